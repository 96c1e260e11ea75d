//go:build !unix

package backup

import "os"

// infoMark is what stands before the flags in the names of a Maildir. A file name
// cannot have a colon on such systems.
const infoMark = ";2,"

// syncFile makes a file durable. Such systems cannot sync a directory.
func syncFile(f *os.File) error {
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil
	}
	return f.Sync()
}

// links cannot tell.
func links(os.FileInfo) (id fileID, several bool) { return fileID{}, false }
