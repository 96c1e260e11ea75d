//go:build unix

package server

import (
	"os"
	"syscall"
)

// tryLockFile takes an exclusive advisory lock (flock) on f if nobody holds it. It
// ends with the process.
func tryLockFile(f *os.File) (bool, error) {
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

func syncOpenDir(d *os.File) error { return d.Sync() }
