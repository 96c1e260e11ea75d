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
	renameAt(from *os.File, old string, to *os.File, name string) error
	remove(root *os.Root, name string) error
	truncate(f *os.File, size int64) error
	mkdir(root *os.Root, name string) error // mode 0700
	linkAt(from *os.File, old string, to *os.File, name string) error
}

// osDisk is the file system.
type osDisk struct{}

func (osDisk) create(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
}

func (osDisk) writer(f *os.File) io.WriterAt { return f }

func (osDisk) sync(f *os.File) error { return syncFile(f) }

func (osDisk) syncWhole(f *os.File) error { return syncWhole(f) }

func (osDisk) remove(root *os.Root, name string) error { return root.Remove(name) }

func (osDisk) truncate(f *os.File, size int64) error { return f.Truncate(size) }

func (osDisk) mkdir(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o700)
	if err != nil {
		return err
	}
	st, err := root.Lstat(name)
	if err == nil && st.Mode().Perm() != 0o700 {
		err = root.Chmod(name, 0o700) // the umask has taken bits
	}
	return err
}

func (osDisk) renameAt(from *os.File, old string, to *os.File, name string) error {
	return renameAt(from, old, to, name)
}

func (osDisk) linkAt(from *os.File, old string, to *os.File, name string) error {
	return linkAt(from, old, to, name)
}

// faultyDisk is a disk whose steps fail when fault says so. What is removed is
// always removed: it is the answer to a failure.
type faultyDisk struct {
	osDisk
	fault func(step string) error
}

func (d faultyDisk) create(root *os.Root, name string) (*os.File, error) {
	if err := d.fault("create"); err != nil {
		return nil, err
	}
	return d.osDisk.create(root, name)
}

func (d faultyDisk) writer(f *os.File) io.WriterAt { return faultyWriter{d, f} }

type faultyWriter struct {
	d faultyDisk
	f *os.File
}

// WriteAt implements io.WriterAt. A write that fails has written half.
func (w faultyWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := w.d.fault("write"); err != nil {
		n, _ := w.f.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return w.f.WriteAt(p, off)
}

func (d faultyDisk) sync(f *os.File) error {
	if err := d.fault("sync"); err != nil {
		return err
	}
	return d.osDisk.sync(f)
}

func (d faultyDisk) syncWhole(f *os.File) error {
	if err := d.fault("syncfs"); err != nil {
		return err
	}
	return d.osDisk.syncWhole(f)
}

func (d faultyDisk) mkdir(root *os.Root, name string) error {
	if err := d.fault("mkdir"); err != nil {
		return err
	}
	return d.osDisk.mkdir(root, name)
}

func (d faultyDisk) renameAt(from *os.File, old string, to *os.File, name string) error {
	if err := d.fault("rename"); err != nil {
		return err
	}
	return d.osDisk.renameAt(from, old, to, name)
}

func (d faultyDisk) linkAt(from *os.File, old string, to *os.File, name string) error {
	if err := d.fault("link"); err != nil {
		return err
	}
	return d.osDisk.linkAt(from, old, to, name)
}
