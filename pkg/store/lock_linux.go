package store

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes an advisory lock on f if nobody is in the way: one of fcntl, which
// is what other mail programs use and what works over NFS, but of the open file
// rather than of the process.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	kind := int16(unix.F_RDLCK)
	if exclusive {
		kind = unix.F_WRLCK
	}
	switch err := fcntlLock(f, kind); err {
	case nil:
		return true, nil
	case unix.EAGAIN, unix.EACCES:
		return false, nil
	default:
		return false, os.NewSyscallError("fcntl", err)
	}
}

func unlock(f *os.File) error { return os.NewSyscallError("fcntl", fcntlLock(f, unix.F_UNLCK)) }

func fcntlLock(f *os.File, kind int16) error {
	for {
		l := unix.Flock_t{Type: kind, Whence: io.SeekStart}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != unix.EINTR {
			return err
		}
	}
}
