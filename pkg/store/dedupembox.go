package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ChangedError says that another program changed an mbox while its lock was held. Trying again later may help.
type ChangedError struct {
	Path string
}

// Error implements error.
func (e *ChangedError) Error() string {
	return (&Error{Path: e.Path, Msg: "another program changed it, and took no lock"}).Error()
}

// Temporary reports that the same may succeed later.
func (e *ChangedError) Temporary() bool { return true }

// Unwrap makes it an os.ErrDeadlineExceeded.
func (e *ChangedError) Unwrap() error { return os.ErrDeadlineExceeded }

// mboxDeduper takes duplicates out of an mbox.
type mboxDeduper struct {
	o    DedupeOptions
	src  *Source
	seen map[Digest]int64 // where the first message with a key begins
	keys []Digest         // of the messages that stay
	dups []Duplicate
	stay []span // octets that stay, in order; the last one is open while messages are read
	gone bool   // the last message is a duplicate
}

// span is a range of octets.
type span struct{ from, to int64 }

// dedupeMbox is Dedupe for an mbox.
func dedupeMbox(ctx context.Context, src *Source, o DedupeOptions) (int, error) {
	d := newMboxDeduper(src, o)
	if o.DryRun {
		for m, err := range src.Messages(ctx) {
			if err == nil {
				err = d.message(ctx, m)
			}
			if err != nil {
				return 0, err
			}
		}
		return d.tell()
	}
	sink, err := openMbox(src.Path)
	if err != nil {
		return 0, err
	}
	m := sink.(*mbox)
	if err := errors.Join(d.run(ctx, m), m.Close()); err != nil {
		return 0, err
	}
	return d.tell()
}

func newMboxDeduper(src *Source, o DedupeOptions) *mboxDeduper {
	return &mboxDeduper{o: o, src: src, seen: make(map[Digest]int64), stay: []span{{}}}
}

// tell calls Found for each duplicate.
func (d *mboxDeduper) tell() (int, error) {
	for _, dup := range d.dups {
		if d.o.Found == nil {
			break
		}
		if err := d.o.Found(dup); err != nil {
			return len(d.dups), err
		}
	}
	return len(d.dups), nil
}

// run takes the duplicates out of m.
func (d *mboxDeduper) run(ctx context.Context, m *mbox) error {
	if to, ok := d.o.To.(*mbox); ok && to.real == m.real {
		return &Error{Path: m.path, Msg: "is where its duplicates shall go"}
	}
	root, err := os.OpenRoot(filepath.Dir(m.real))
	if err != nil {
		return err
	}
	defer root.Close()
	return m.locked(ctx, func() error {
		if err := m.j.recover(m.disk, m.f); err != nil {
			return err
		}
		return d.replace(ctx, m, root)
	})
}

// replace puts a file without the duplicates in the place of m, which is locked.
func (d *mboxDeduper) replace(ctx context.Context, m *mbox, root *os.Root) error {
	before, err := m.f.Stat()
	if err != nil {
		return err
	}
	base := filepath.Base(m.real)
	temp := "." + base + ".mail-dedupe"
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that died
		return err
	}
	f, err := m.disk.create(root, temp)
	if err != nil {
		return err
	}
	err = d.fill(ctx, m, f, before)
	if err = errors.Join(err, f.Close()); err == nil && len(d.dups) > 0 {
		err = d.verify(ctx, m, root, temp, before)
	}
	if err == nil && len(d.dups) > 0 {
		return d.publish(m, root, temp, base)
	}
	return errors.Join(err, m.disk.remove(root, temp))
}

// fill writes what stays to f, durably, if not all of it does. before is what m was.
func (d *mboxDeduper) fill(ctx context.Context, m *mbox, f *os.File, before fs.FileInfo) error {
	if err := keepOwner(f, before); err != nil {
		return err
	}
	if err := f.Chmod(before.Mode()); err != nil {
		return err
	}
	err := d.each(m.f, func(msg *Message) error { return d.message(ctx, msg) })
	if err != nil || len(d.dups) == 0 {
		return err
	}
	if d.gone {
		d.stay = d.stay[:len(d.stay)-1]
	} else {
		d.stay[len(d.stay)-1].to = before.Size()
	}
	err = buffered(io.NewOffsetWriter(m.disk.writer(f), 0), func(w *bufio.Writer) error {
		for _, s := range d.stay {
			n, err := copyTo(contextWriter{ctx, w}, io.NewSectionReader(m.f, s.from, s.to-s.from))
			if err != nil {
				return err
			}
			if n < s.to-s.from {
				return &ChangedError{m.path}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.disk.sync(f)
}

// each reads the messages in f, which is locked or not known to others.
func (d *mboxDeduper) each(f *os.File, do func(*Message) error) (err error) {
	rerr := d.src.mboxMessages(f, func(m *Message, merr error) bool {
		if err = merr; err == nil {
			err = do(m)
		}
		return err == nil
	})
	return errors.Join(err, rerr)
}

// message looks if a message is there for the first time.
func (d *mboxDeduper) message(ctx context.Context, m *Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, ok, err := d.o.key(m)
	if err != nil {
		return err
	}
	first, again := d.seen[key]
	again = ok && again
	last := &d.stay[len(d.stay)-1]
	switch {
	case again && !d.gone:
		last.to = m.offset
		d.stay = append(d.stay, span{})
	case !again && d.gone:
		last.from = m.offset
	}
	d.gone = again
	if again {
		dup := Duplicate{Path: m.Path, Of: mboxName(d.src.Path, first)}
		if d.o.To != nil && !d.o.DryRun {
			dup.To, err = d.o.To.Put(ctx, m.Wire(), m.Meta)
		}
		d.dups = append(d.dups, dup)
		return err
	}
	if ok {
		d.seen[key] = m.offset
	}
	d.keys = append(d.keys, key)
	return nil
}

// verify reads the new file: it must have just the messages that stay. And nobody has written to the old one.
func (d *mboxDeduper) verify(ctx context.Context, m *mbox, root *os.Root, temp string, before fs.FileInfo) error {
	f, err := root.Open(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	var keys []Digest
	err = d.each(f, func(msg *Message) error {
		key, _, err := d.o.key(msg)
		keys = append(keys, key)
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return err
	}
	if !slices.Equal(keys, d.keys) {
		return &Error{Path: m.path, Msg: "without its duplicates it would be read as other messages"}
	}
	now, err := m.f.Stat()
	if err != nil {
		return err
	}
	same, err := m.current()
	if err == nil && (!same || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime())) {
		err = &ChangedError{m.path}
	}
	return err
}

// publish gives the new file its name.
func (d *mboxDeduper) publish(m *mbox, root *os.Root, temp, base string) error {
	dir, err := root.Open(".")
	if err != nil {
		return errors.Join(err, m.disk.remove(root, temp))
	}
	defer dir.Close()
	if err := m.disk.renameAt(dir, temp, dir, base); err != nil {
		return errors.Join(err, m.disk.remove(root, temp))
	}
	return m.disk.sync(dir)
}
