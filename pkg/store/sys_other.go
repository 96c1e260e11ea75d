//go:build !unix

package store

import "os"

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

// isReadOnly cannot tell.
func isReadOnly(error) bool { return false }
