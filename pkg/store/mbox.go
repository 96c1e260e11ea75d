package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// mbox is an mboxrd file as a sink. Every Put and Commit takes the locks that mail
// programs use, fcntl and FILE.lock, so that several may append to one file.
//
// Appending is not atomic. What a killed process leaves behind its old end is cut
// off by the next Put or OpenSink for that file, which learns of it from a
// journal (see journal). An error is undone at once.
type mbox struct {
	path string // as the user gave it
	real string // without symbolic links
	wait time.Duration
	disk disk
	f    *os.File
	dot  dotLock
	j    journal
}

// openMbox opens path as an mbox and makes it when it is missing.
func openMbox(path string) (Sink, error) {
	f, err := os.OpenFile(path, os.O_RDWR|nonBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createMbox(path)
	}
	if err != nil {
		return nil, err
	}
	m := &mbox{path: path, wait: lockWait, disk: osDisk{}, f: f}
	if m.real, err = filepath.EvalSymlinks(path); err == nil {
		m.dot = dotLock{path: m.real + ".lock"}
		m.j = newJournal(m.real)
		err = m.check()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// createMbox makes an empty file, durably.
func createMbox(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err = f.Chmod(0o600); err == nil { // the umask may have taken bits
		err = syncPath(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// check refuses what is no regular file or no mbox, and recovers.
func (m *mbox) check() error {
	if err := m.looksRight(); err != nil {
		return err
	}
	return m.locked(context.Background(), func() error { return m.j.recover(m.disk, m.f) })
}

// looksRight refuses what is no regular file or no mbox.
func (m *mbox) looksRight() error {
	st, err := m.f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return &Error{Path: m.path, Msg: "not a regular file"}
	}
	var start [5]byte
	if n, _ := m.f.ReadAt(start[:], 0); n > 0 && string(start[:n]) != "From " {
		return &Error{Path: m.path, Msg: `not an mbox (does not begin with "From ")`}
	}
	return nil
}

// locked calls do while holding the locks.
func (m *mbox) locked(ctx context.Context, do func() error) error {
	err := retryLock(ctx, m.path, m.wait, m.tryLocks)
	if err != nil {
		return err
	}
	return errors.Join(do(), m.dot.release(), unlock(m.f))
}

// tryLocks takes both locks or none, of the file that has the name now: another
// program may have put a new one in its place.
func (m *mbox) tryLocks() (ok bool, holder string, err error) {
	if err := m.reopen(); err != nil {
		return false, "", err
	}
	if ok, err := tryLock(m.f, true); !ok || err != nil {
		return false, "", err
	}
	ok, holder, err = m.dot.try(m.f)
	if ok && err == nil {
		if same, err := m.current(); same || err != nil {
			return true, "", err
		}
		ok = false
		err = m.dot.release()
	}
	if !ok || err != nil {
		err = errors.Join(err, unlock(m.f))
	}
	return ok, holder, err
}

// current reports whether the open file still has its name.
func (m *mbox) current() (bool, error) {
	now, err := os.Stat(m.real)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := m.f.Stat()
	return err == nil && os.SameFile(now, mine), err
}

// reopen opens the file that has the name now.
func (m *mbox) reopen() error {
	if same, err := m.current(); same || err != nil {
		return err
	}
	f, err := os.OpenFile(m.real, os.O_RDWR|nonBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createMbox(m.real)
	}
	if err != nil {
		return err
	}
	old := m.f
	m.f = f
	return errors.Join(old.Close(), m.looksRight())
}

// Put implements Sink.
func (m *mbox) Put(ctx context.Context, wire io.Reader, meta Meta) (name string, err error) {
	sp, err := NewWireSpool(contextReader{ctx, wire})
	if err != nil {
		return "", err
	}
	defer sp.Close()
	if meta.Date.IsZero() {
		meta.Date = time.Now() // the same for both passes of append
	}
	write := func(w io.Writer) error { return writeMbox(w, sp, meta, false) }
	plan := planWriter{}
	if err := write(&plan); err != nil {
		return "", err
	}
	at, err := m.append(ctx, plan, write)
	if err != nil {
		return "", err
	}
	return m.name(at), nil
}

// Batch implements Sink.
func (m *mbox) Batch() Batch { return &mboxBatch{m: m} }

// name is the name of the message at an offset.
func (m *mbox) name(at int64) string { return mboxName(m.path, at) }

// mboxName is the name of the message at an offset of the mbox path.
func mboxName(path string, at int64) string { return path + "@" + strconv.FormatInt(at, 10) }

// append writes what plan knows of behind the end of the file, and returns where
// that begins. After an error the file is as it was.
func (m *mbox) append(ctx context.Context, plan planWriter, write func(w io.Writer) error) (at int64, err error) {
	err = m.locked(ctx, func() error {
		if err := m.j.recover(m.disk, m.f); err != nil {
			return err
		}
		old, pad, err := m.end()
		if err != nil {
			return err
		}
		at = old + int64(len(pad))
		if err := m.j.begin(m.disk, old, at+plan.n, append([]byte(pad), plan.head...)); err != nil {
			return err
		}
		err = buffered(io.NewOffsetWriter(m.disk.writer(m.f), old), func(w *bufio.Writer) error {
			if _, err := w.WriteString(pad); err != nil {
				return err
			}
			return write(contextWriter{ctx, w})
		})
		if err == nil {
			err = m.disk.sync(m.f)
		}
		if err != nil {
			return errors.Join(err, m.cut(old))
		}
		m.j.end(m.disk)
		return nil
	})
	return at, err
}

// cut takes back what was appended after old.
func (m *mbox) cut(old int64) error {
	if err := m.disk.truncate(m.f, old); err != nil {
		return err // the journal stays, the next run cuts
	}
	if err := m.disk.sync(m.f); err != nil {
		return err
	}
	m.j.end(m.disk)
	return nil
}

// end returns the size of the file, and what is missing there to a blank line.
func (m *mbox) end() (size int64, pad string, err error) {
	st, err := m.f.Stat()
	if err != nil || st.Size() == 0 {
		return 0, "", err
	}
	tail := make([]byte, min(st.Size(), 3))
	if _, err := m.f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return 0, "", err
	}
	n := len(tail)
	switch {
	case tail[n-1] != '\n':
		pad = "\n\n"
	case n >= 2 && tail[n-2] == '\n', n == 3 && string(tail) == "\n\r\n":
	default:
		pad = "\n"
	}
	return st.Size(), pad, nil
}

// Close implements Sink.
func (m *mbox) Close() error {
	if ok, err := tryLock(m.f, true); ok && err == nil {
		m.j.remove() // closing the file drops the lock
	}
	return errors.Join(m.j.close(), m.f.Close())
}

// planWriter learns the length and the first octets of what will be written.
type planWriter struct {
	n    int64
	head []byte
}

// Write implements io.Writer.
func (p *planWriter) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if k := min(journalHead-len(p.head), len(b)); k > 0 {
		p.head = append(p.head, b[:k]...)
	}
	return len(b), nil
}

// contextWriter fails once ctx is done.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
