package backup

import (
	"os"
)

// disk is what the repository does to a file system that may fail or lose
// something. Tests put another in the place of osDisk, in which any step fails.
type disk interface {
	mkdir(root *os.Root, name string) error
	create(root *os.Root, name string) (*os.File, error) // a new file, mode 0600
	writeAt(f *os.File, p []byte, off int64) (int, error)
	truncate(f *os.File, size int64) error
	sync(f *os.File) error // makes a file, or the names in a directory, durable
	rename(root *os.Root, from, to string) error
	remove(root *os.Root, name string) error
}

// osDisk is the file system.
type osDisk struct{}

func (osDisk) mkdir(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return root.Chmod(name, 0o700) // the umask may have taken bits
}

func (osDisk) create(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osDisk) writeAt(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }

func (osDisk) truncate(f *os.File, size int64) error { return f.Truncate(size) }

func (osDisk) sync(f *os.File) error { return syncFile(f) }

func (osDisk) rename(root *os.Root, from, to string) error { return root.Rename(from, to) }

func (osDisk) remove(root *os.Root, name string) error { return root.Remove(name) }
