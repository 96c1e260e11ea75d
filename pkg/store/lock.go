package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// lockPause is the time between two looks at a lock that another process holds,
	// lockWait the time after which waiting ends.
	lockPause = 50 * time.Millisecond
	lockWait  = 30 * time.Second
	// staleAge is the age at which a dot lock is taken for a forgotten one, if the
	// mbox has not changed in that time either.
	staleAge = 10 * time.Minute
)

// LockError says that another process holds the lock of an mbox and did not give
// it up in time. Trying again later may help.
type LockError struct {
	Path   string
	Holder string // what is known about the other process, or ""
}

// Error implements error.
func (e *LockError) Error() string {
	text := fmt.Sprintf("%q: locked by another process", e.Path)
	if e.Holder != "" {
		text += " (" + e.Holder + ")"
	}
	return text
}

// Temporary reports that the same may succeed later.
func (e *LockError) Temporary() bool { return true }

// Unwrap makes it an os.ErrDeadlineExceeded.
func (e *LockError) Unwrap() error { return os.ErrDeadlineExceeded }

// retryLock calls try until it succeeds or fails, for lockWait at most. try says
// who is in the way.
func retryLock(ctx context.Context, path string, wait time.Duration, try func() (ok bool, holder string, err error)) error {
	end := time.Now().Add(wait)
	for {
		ok, holder, err := try()
		if ok || err != nil {
			return err
		}
		if !time.Now().Before(end) {
			return &LockError{Path: path, Holder: holder}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// dotLock is the lock file FILE.lock beside an mbox FILE, which many mail programs
// look for. It holds the process id and the host, as "PID:HOST".
//
// A lock is stale, and is removed, when it names a process of this host that is
// dead (or this one, which does not hold it: the caller holds the other lock of
// the mbox), or when both it and the mbox have not changed for staleAge.
type dotLock struct {
	path string
	mine fs.FileInfo // nil: not held
}

// try makes the lock file, unless another process has done it. Where the directory
// does not allow that, other locks have to do, and it succeeds.
//
// The file appears with what it says in it: one that is empty, of a process that
// died too early, could not be told from another program's.
func (l *dotLock) try(mbox *os.File) (ok bool, holder string, err error) {
	temp := filepath.Join(filepath.Dir(l.path), "."+filepath.Base(l.path)+".mail-new")
	mine, err := writeLock(temp)
	if err == nil {
		err = errors.Join(os.Link(temp, l.path), os.Remove(temp))
	}
	switch {
	case err == nil:
		l.mine = mine
		return true, "", nil
	case errors.Is(err, fs.ErrExist):
		holder, err = l.clear(mbox)
		return false, holder, err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errors.ErrUnsupported), isReadOnly(err):
		return true, "", nil
	}
	return false, "", err
}

// writeLock writes the file temp, which says who holds the lock. Only the holder of
// the other lock does that.
func writeLock(temp string) (fs.FileInfo, error) {
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%d:%s\n", os.Getpid(), hostName())
	mine, serr := f.Stat()
	return mine, errors.Join(err, serr, f.Close())
}

// clear removes a stale lock, and returns who holds another.
func (l *dotLock) clear(mbox *os.File) (holder string, err error) {
	f, err := os.OpenFile(l.path, os.O_RDONLY|noFollow|nonBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return l.path, nil // of somebody else
	}
	defer f.Close()
	lock, err := f.Stat()
	if err != nil {
		return "", err
	}
	text := make([]byte, 200)
	n, err := f.Read(text)
	if err != nil && err != io.EOF {
		return "", err
	}
	holder = strings.TrimSpace(strings.ToValidUTF8(string(text[:n]), "?"))
	box, err := mbox.Stat()
	if err != nil {
		return "", err
	}
	old := time.Now().Add(-staleAge)
	if !deadHolder(holder) && !(lock.ModTime().Before(old) && box.ModTime().Before(old)) {
		return l.path + " " + strconv.Quote(holder), nil
	}
	if now, err := os.Lstat(l.path); err != nil || !os.SameFile(now, lock) {
		return "", nil // gone, or a new one
	}
	err = os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return "", err
}

// deadHolder reports whether a lock names a process of this host that is dead, or
// this process.
func deadHolder(holder string) bool {
	id, host, _ := strings.Cut(holder, ":")
	pid, err := strconv.Atoi(id)
	return err == nil && pid > 0 && host == hostName() && (pid == os.Getpid() || !alive(pid))
}

// release removes the lock, if it is still ours.
func (l *dotLock) release() error {
	mine := l.mine
	l.mine = nil
	if mine == nil {
		return nil
	}
	if now, err := os.Lstat(l.path); err != nil || !os.SameFile(now, mine) {
		return nil // another program took it for stale
	}
	return os.Remove(l.path)
}
