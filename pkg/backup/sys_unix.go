//go:build unix

package backup

import (
	"os"
	"syscall"
)

// infoMark is what stands before the flags in the names of a Maildir.
const infoMark = ":2,"

// tryLock takes the lock of f if nobody has it. It ends with the process.
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

// syncFile makes a file, or the names in a directory, durable.
func syncFile(f *os.File) error { return f.Sync() }

// links tells which file it is that has several names.
func links(st os.FileInfo) (id fileID, several bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	return fileID{uint64(sys.Dev), uint64(sys.Ino)}, sys.Nlink > 1
}
