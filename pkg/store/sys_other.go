//go:build !unix

package store

import (
	"os"
	"path/filepath"
	"time"
)

const (
	noFollow = 0
	nonBlock = 0
)

// infoMark is what stands before the flags in the names of a Maildir. A file name
// cannot have a colon on such systems.
const infoMark = ";2,"

// alive cannot tell.
func alive(int) bool { return true }

// tryLock does nothing; the dot lock remains.
func tryLock(*os.File, bool) (bool, error) { return true, nil }

func unlock(*os.File) error { return nil }

// syncFile makes a file durable. Such systems cannot sync a directory.
func syncFile(f *os.File) error {
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil
	}
	return f.Sync()
}

// keepOwner leaves it to the system who owns a file.
func keepOwner(*os.File, os.FileInfo) error { return nil }

// isReadOnly cannot tell.
func isReadOnly(error) bool { return false }

// renameAt renames a file from one open directory to another.
func renameAt(from *os.File, old string, to *os.File, name string) error {
	return os.Rename(filepath.Join(from.Name(), old), filepath.Join(to.Name(), name))
}

// linkAt makes another name of a file.
func linkAt(from *os.File, old string, to *os.File, name string) error {
	return os.Link(filepath.Join(from.Name(), old), filepath.Join(to.Name(), name))
}

// cannotLink takes every failure for a file system without links.
func cannotLink(error) bool { return true }

// setTime sets the modification time of a file in an open directory.
func setTime(dir *os.File, name string, date time.Time) error {
	return os.Chtimes(filepath.Join(dir.Name(), name), date, date)
}
