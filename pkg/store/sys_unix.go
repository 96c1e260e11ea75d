//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
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

// isReadOnly reports a file system that cannot be written to.
func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
