package store

import (
	"io"
	"os"
)

// disk is what the sinks do to a file system that may fail or lose something. Tests
// put another in the place of osDisk, in which any step fails.
type disk interface {
	create(root *os.Root, name string) (*os.File, error) // a new file, mode 0600
	writer(f *os.File) io.WriterAt
	sync(f *os.File) error      // makes a file or the names in a directory durable
	syncWhole(f *os.File) error // makes the whole file system of f durable
	rename(root *os.Root, from, to string) error
	remove(root *os.Root, name string) error
	truncate(f *os.File, size int64) error
}

// osDisk is the file system.
type osDisk struct{}

func (osDisk) create(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
}

func (osDisk) writer(f *os.File) io.WriterAt { return f }

func (osDisk) sync(f *os.File) error { return syncFile(f) }

func (osDisk) syncWhole(f *os.File) error { return syncWhole(f) }

func (osDisk) rename(root *os.Root, from, to string) error { return root.Rename(from, to) }

func (osDisk) remove(root *os.Root, name string) error { return root.Remove(name) }

func (osDisk) truncate(f *os.File, size int64) error { return f.Truncate(size) }
