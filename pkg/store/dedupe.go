package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DedupeOptions says what Dedupe takes for a duplicate and does with it.
type DedupeOptions struct {
	ByMessageID bool // messages with equal Message-ID are equal, not those with equal octets
	DryRun      bool // only look
	To          Sink // where duplicates go; nil: they are removed
	// Found is called for each duplicate after it was dealt with. An error ends Dedupe.
	Found func(Duplicate) error
}

// Duplicate is a message that is there once more.
type Duplicate struct {
	Path string // of the message
	Of   string // path of the one that is kept
	To   string // where it was moved, "" if it was not
}

// Dedupe removes from a Maildir, a folder of .eml files or an mbox what it holds more
// than once, and returns how many messages that were. If To is set a message is
// durable there before it goes.
//
// The oldest of equal messages in a folder is kept, by the date it was received, then
// by its name. Before a message goes it is read once more, and compared.
//
// Of equal messages in an mbox the first is kept. All that stays is copied, octet for
// octet, to a new file, which is read again, made durable, and takes the name of the
// old one, its mode and its owner while the locks are held; extended attributes are
// not kept. So a process that dies leaves one of the two, whole. The file
// that a symbolic link names is the one replaced. Paths have the offsets in the old
// file. Programs that change the mbox without a lock are a *ChangedError, if that is
// seen; those that open it before they lock it have to look if it is still the same.
func Dedupe(ctx context.Context, src *Source, o DedupeOptions) (int, error) {
	st, err := os.Stat(src.Path)
	if err != nil {
		return 0, err
	}
	switch {
	case src.Kind == KindMbox, src.Kind == KindMboxO, src.Kind == KindMboxCL2:
		return dedupeMbox(ctx, src, o)
	case !st.IsDir():
		return 0, &Error{Path: src.Path, Msg: "one message has no duplicates"}
	}
	root, err := os.OpenRoot(src.Path)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	d := deduper{o: o, files: files{root: root, dir: src.Path}}
	if d.keywords, err = readKeywords(root); err != nil {
		return 0, err
	}
	copies, err := d.look(ctx, src)
	if err != nil {
		return 0, err
	}
	n := 0
	for i, c := range copies {
		if i == 0 || c.key != copies[i-1].key {
			d.kept = c
			continue
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		gone, err := d.remove(ctx, c)
		if err != nil {
			return n, fmt.Errorf("%s: %w", c.path, err)
		}
		if gone {
			n++
		}
	}
	return n, nil
}

type deduper struct {
	files
	o    DedupeOptions
	kept fileCopy
}

// fileCopy is one of the messages with a key.
type fileCopy struct {
	key  Digest
	date time.Time
	path string // relative
}

// look reads all messages, and returns them by key, the one to be kept first.
func (d *deduper) look(ctx context.Context, src *Source) ([]fileCopy, error) {
	var copies []fileCopy
	for m, err := range src.Messages(ctx) {
		if err != nil {
			return nil, err
		}
		key, ok, err := d.o.key(m)
		if err != nil {
			return nil, err
		}
		path, err := filepath.Rel(src.Path, m.Path)
		if err != nil {
			return nil, err
		}
		if ok {
			copies = append(copies, fileCopy{key, m.Meta.Date, path})
		}
	}
	slices.SortFunc(copies, func(a, b fileCopy) int {
		if n := strings.Compare(string(a.key[:]), string(b.key[:])); n != 0 {
			return n
		}
		if n := a.date.Compare(b.date); n != 0 {
			return n
		}
		return strings.Compare(filepath.Base(a.path), filepath.Base(b.path))
	})
	return copies, nil
}

// key is what equal messages have in common. A message without Message-ID is like
// no other.
func (o DedupeOptions) key(m *Message) (key Digest, ok bool, err error) {
	if !o.ByMessageID {
		key, err = m.Digest()
		return key, true, err
	}
	h, err := m.Header()
	if err != nil {
		return key, false, nil // no header that can be read
	}
	id, _ := h.Get("Message-ID")
	id = strings.TrimSpace(id)
	return sha256.Sum256([]byte(id)), id != "", nil
}

// remove deals with a duplicate. One that has changed, or whose original has, stays.
func (d *deduper) remove(ctx context.Context, c fileCopy) (gone bool, err error) {
	original, same, err := d.check(d.kept, func(*Message) error { return nil })
	if err != nil || !same {
		return false, err
	}
	dup := Duplicate{Of: filepath.Join(d.dir, original)}
	path, same, err := d.check(c, func(m *Message) error {
		if d.o.DryRun || d.o.To == nil {
			return nil
		}
		dup.To, err = d.o.To.Put(ctx, m.Wire(), m.Meta)
		return err
	})
	if err != nil || !same {
		return false, err
	}
	dup.Path = filepath.Join(d.dir, path)
	if !d.o.DryRun {
		if err := d.root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if d.o.Found != nil {
		err = d.o.Found(dup)
	}
	return true, err
}

// check reads a message again and calls do with it if it is what it was. It returns
// where the message is now.
func (d *deduper) check(c fileCopy, do func(*Message) error) (path string, same bool, err error) {
	d.read([]string{c.path}, func(m *Message, rerr error) bool {
		if err = rerr; err != nil {
			return false
		}
		var key Digest
		if key, _, err = d.o.key(m); err == nil && key == c.key {
			same = true
			err = do(m)
		}
		if err == nil {
			path, err = filepath.Rel(d.dir, m.Path)
		}
		return false
	})
	return path, same, err
}
