//go:build unix

package store

import (
	"os"
	"syscall"
)

// noFollow makes opening a symbolic link fail, nonBlock keeps a FIFO from hanging.
const (
	noFollow = syscall.O_NOFOLLOW
	nonBlock = syscall.O_NONBLOCK
)

// tryLock takes an exclusive advisory lock (flock) on f if nobody holds it.
func tryLock(f *os.File) (bool, error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EWOULDBLOCK:
			return false, nil
		case syscall.EINTR:
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}

func unlock(f *os.File) error {
	return os.NewSyscallError("flock", syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
}

// syncDir makes the names in a directory durable.
func syncDir(d *os.File) error { return d.Sync() }
