package popfetch

import (
	"errors"
	"os"
)

// disk is what a State does to the file system. Tests put another in the place of osDisk, in which any step fails.
type disk interface {
	write(f *os.File, p []byte) error
	sync(f *os.File) error    // the octets of a file
	syncDir(dir string) error // the names in it
	rename(from, to string) error
	empty(f *os.File) error
}

// osDisk is the file system.
type osDisk struct{}

func (osDisk) write(f *os.File, p []byte) error {
	_, err := f.Write(p)
	return err
}

func (osDisk) sync(f *os.File) error { return f.Sync() }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) empty(f *os.File) error { return f.Truncate(0) }
