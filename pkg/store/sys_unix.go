//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noFollow makes opening a symbolic link fail, nonBlock keeps a FIFO from hanging.
const (
	noFollow = syscall.O_NOFOLLOW
	nonBlock = syscall.O_NONBLOCK
)

// infoMark is what stands before the flags in the names of a Maildir.
const infoMark = ":2,"

// alive reports whether there is a process with that id.
func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }

// syncFile makes a file, or the names in a directory, durable.
func syncFile(f *os.File) error { return f.Sync() }

// keepOwner gives f the owner and the group that another file has.
func keepOwner(f *os.File, of os.FileInfo) error {
	want, ok := of.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := st.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// isReadOnly reports a file system that cannot be written to.
func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// renameAt renames a file from one open directory to another.
func renameAt(from *os.File, old string, to *os.File, name string) error {
	if err := unix.Renameat(int(from.Fd()), old, int(to.Fd()), name); err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), old), New: filepath.Join(to.Name(), name), Err: err}
	}
	return nil
}

// linkAt makes another name of a file, which is no symbolic link.
func linkAt(from *os.File, old string, to *os.File, name string) error {
	if err := unix.Linkat(int(from.Fd()), old, int(to.Fd()), name, 0); err != nil {
		return &os.LinkError{Op: "link", Old: filepath.Join(from.Name(), old), New: filepath.Join(to.Name(), name), Err: err}
	}
	return nil
}

// cannotLink reports that a file can have no other name there.
func cannotLink(err error) bool {
	return errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EOPNOTSUPP)
}

// setTime sets the modification time of a file in an open directory. One that the
// system cannot say is left out.
func setTime(dir *os.File, name string, date time.Time) error {
	t, err := unix.TimeToTimespec(date)
	if err != nil {
		return nil
	}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW))
}
