package server

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// diskFault is asked before each operation on a disk and makes it fail with the error
// that it returns. For errShortWrite half of the octets are written first. Where it is
// set nothing waits for the disk.
type diskFault func(op, name string) error

// errShortWrite makes a write stop in the middle, as on a disk that is full.
var errShortWrite = errors.New("short write")

// disk is a directory. All that a Maildir store does to files goes through it, so that
// tests can make every single step fail.
type disk struct {
	root  *os.Root
	fault diskFault // nil in earnest
}

func (d *disk) check(op, name string) error {
	if d.fault == nil {
		return nil
	}
	if err := d.fault(op, name); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// openRoot opens a directory below d.
func (d *disk) openRoot(name string) (*disk, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &disk{root: root, fault: d.fault}, nil
}

func (d *disk) close() error { return d.root.Close() }

func (d *disk) open(name string) (*diskFile, error) { return d.openFile(name, os.O_RDONLY) }

// openFile opens a file; one that is made gets mode 0600.
func (d *disk) openFile(name string, flag int) (*diskFile, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

func (d *disk) mkdir(name string) error {
	if err := d.check("mkdir", name); err != nil {
		return err
	}
	return d.root.Mkdir(name, modeDirectory)
}

// makeFolder makes a directory unless it is there.
func (d *disk) makeFolder(name string) error {
	if err := d.mkdir(name); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d *disk) rename(from, to string) error {
	if err := d.check("rename", from); err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

func (d *disk) link(from, to string) error {
	if err := d.check("link", from); err != nil {
		return err
	}
	return d.root.Link(from, to)
}

func (d *disk) remove(name string) error {
	if err := d.check("remove", name); err != nil {
		return err
	}
	return d.root.Remove(name)
}

func (d *disk) removeAll(name string) error {
	if err := d.check("remove", name); err != nil {
		return err
	}
	return d.root.RemoveAll(name)
}

func (d *disk) lstat(name string) (fs.FileInfo, error) {
	if err := d.check("stat", name); err != nil {
		return nil, err
	}
	return d.root.Lstat(name)
}

func (d *disk) chtimes(name string, t time.Time) error {
	if err := d.check("chtimes", name); err != nil {
		return err
	}
	return d.root.Chtimes(name, t, t)
}

// writeFile makes a file that is complete and durable, or as it was before.
func (d *disk) writeFile(name string, text []byte) error {
	temp := path.Join(path.Dir(name), newTemp)
	f, err := d.openFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(d.root.Remove(temp)))
	}
	return nil
}

// sync makes the names in a directory durable.
func (d *disk) sync(dir string) error {
	f, err := d.open(dir)
	if err != nil {
		return err
	}
	if err = d.check("sync", dir); err == nil && d.fault == nil {
		err = syncOpenDir(f.File)
	}
	return errors.Join(err, f.Close())
}

// diskFile is a file of a disk.
type diskFile struct {
	*os.File
	disk *disk
	name string
}

// Write implements io.Writer.
func (f *diskFile) Write(p []byte) (int, error) {
	return f.cut(p, f.File.Write)
}

// WriteAt implements io.WriterAt.
func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	return f.cut(p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *diskFile) cut(p []byte, write func([]byte) (int, error)) (int, error) {
	err := f.disk.check("write", f.name)
	if !errors.Is(err, errShortWrite) {
		if err != nil {
			return 0, err
		}
		return write(p)
	}
	n, werr := write(p[:len(p)/2])
	return n, errors.Join(syscall.ENOSPC, werr)
}

// Sync makes the content of the file durable.
func (f *diskFile) Sync() error {
	if err := f.disk.check("sync", f.name); err != nil || f.disk.fault != nil {
		return err
	}
	return f.File.Sync()
}

// Truncate sets the size of the file.
func (f *diskFile) Truncate(size int64) error {
	if err := f.disk.check("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
