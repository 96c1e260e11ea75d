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

// lockPause is how long a Put waits between two looks at a lock that another
// process holds.
const lockPause = 50 * time.Millisecond

// mbox is an mboxrd file as a sink. Every Put takes a lock (flock), so that
// several processes may append to one file.
//
// Appending is not atomic. What a killed process leaves behind its old end is cut
// off by the next Put or OpenSink for that file, which learns of it from a
// journal (see journal). An error is undone at once.
type mbox struct {
	path string
	f    *os.File
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
	m := &mbox{path: path, f: f, j: newJournal(path)}
	if err := m.check(); err != nil {
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
	return m.locked(context.Background(), func() error { return m.j.recover(m.f) })
}

// locked calls do while holding the lock.
func (m *mbox) locked(ctx context.Context, do func() error) error {
	for {
		ok, err := tryLock(m.f)
		if err != nil {
			return err
		}
		if ok {
			return errors.Join(do(), unlock(m.f))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
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
	err = m.locked(ctx, func() (err error) {
		if err := m.j.recover(m.f); err != nil {
			return err
		}
		name, err = m.append(ctx, sp, meta)
		return err
	})
	return name, err
}

// append writes sp behind the end of the file, which it restores after an error.
func (m *mbox) append(ctx context.Context, sp *Spool, meta Meta) (string, error) {
	old, pad, err := m.end()
	if err != nil {
		return "", err
	}
	plan := planWriter{}
	if err := writeMbox(&plan, sp, meta, false); err != nil {
		return "", err
	}
	head := append([]byte(pad), plan.head...)
	if err := m.j.begin(old, old+int64(len(pad))+plan.n, head); err != nil {
		return "", err
	}
	err = buffered(io.NewOffsetWriter(m.f, old), func(w *bufio.Writer) error {
		if _, err := w.WriteString(pad); err != nil {
			return err
		}
		return writeMbox(contextWriter{ctx, w}, sp, meta, false)
	})
	if err == nil {
		err = m.f.Sync()
	}
	if err != nil {
		return "", errors.Join(err, m.cut(old))
	}
	m.j.end()
	return m.path + "@" + strconv.FormatInt(old+int64(len(pad)), 10), nil
}

// cut takes back what was appended after old.
func (m *mbox) cut(old int64) error {
	if err := m.f.Truncate(old); err != nil {
		return err // the journal stays, the next run cuts
	}
	if err := m.f.Sync(); err != nil {
		return err
	}
	m.j.end()
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
	if ok, err := tryLock(m.f); ok && err == nil {
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
