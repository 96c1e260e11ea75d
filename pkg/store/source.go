package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Kind is how mail is kept on disk.
type Kind string

// The kinds of sources. KindMbox is mboxrd, which also reads well what was written
// without care; the other kinds of mbox are read only where they are asked for,
// because nothing in a file tells them for sure: a Content-Length may come from the
// sender of a message.
const (
	KindMaildir Kind = "maildir"
	KindMbox    Kind = "mbox"
	KindMboxO   Kind = "mboxo"   // ">From " stands for "From "
	KindMboxCL2 Kind = "mboxcl2" // Content-Length says where a message ends
	KindEML     Kind = "eml"     // a folder of .eml files, or one file
)

// Source is a place where mail is kept, to be read.
type Source struct {
	Kind Kind
	Path string
}

// OpenSource finds out what a source is: "maildir:DIR", "mbox:FILE" ("mboxrd:" is
// the same, and "mboxcl:", whose lines are made harmless too), "mboxo:FILE", "mboxcl2:FILE", "eml:DIR", or a path, of which the kind is
// recognised. What is not there is an fs.ErrNotExist, what is no mail an *Error.
func OpenSource(src string) (*Source, error) {
	word, path, found := strings.Cut(src, ":")
	s := &Source{Kind: Kind(word), Path: path}
	switch {
	case found && (word == "mboxrd" || word == "mboxcl"):
		s.Kind = KindMbox
	case found && slices.Contains([]Kind{KindMaildir, KindMbox, KindMboxO, KindMboxCL2, KindEML}, s.Kind):
	default:
		s.Kind, s.Path = "", src
	}
	st, err := os.Stat(s.Path)
	if err != nil {
		return nil, err
	}
	is, err := recognise(s.Path, st)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Kind == "":
		s.Kind = is
	case s.Kind == is, s.Kind == KindEML && st.IsDir():
	case is == KindMbox && (s.Kind == KindMboxO || s.Kind == KindMboxCL2):
	default:
		return nil, &Error{Path: s.Path, Msg: "not of the kind " + string(s.Kind)}
	}
	if s.Kind == "" {
		return nil, &Error{Path: s.Path, Msg: "no Maildir, mbox or .eml files"}
	}
	return s, nil
}

// recognise looks at what is there. "" is nothing known.
func recognise(path string, st fs.FileInfo) (Kind, error) {
	if st.IsDir() {
		return recogniseDir(path)
	}
	if !st.Mode().IsRegular() { // opening a FIFO would hang
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	start := make([]byte, 16)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	text := strings.TrimLeft(string(start[:n]), "\r\n")
	switch {
	case strings.HasPrefix(text, "From "), n == 0:
		return KindMbox, nil
	case strings.EqualFold(filepath.Ext(path), emlSuffix):
		return KindEML, nil
	}
	return "", nil
}

func recogniseDir(path string) (Kind, error) {
	if isMaildir(path) {
		return KindMaildir, nil
	}
	d, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		if slices.ContainsFunc(names, isEML) {
			return KindEML, nil
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}

// isMaildir reports a directory with cur and new.
func isMaildir(path string) bool {
	for _, sub := range maildirSubs[1:] {
		if st, err := os.Stat(filepath.Join(path, sub)); err != nil || !st.IsDir() {
			return false
		}
	}
	return true
}

func isEML(name string) bool {
	return name[0] != '.' && strings.EqualFold(filepath.Ext(name), emlSuffix)
}

// Messages reads the messages in their order: that of the file, or of the names of
// files. They are valid as with ReadStream. While an mbox is read, a shared lock
// keeps programs from changing it; a lock held by another one is a *LockError.
func (s *Source) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		all := s.all(ctx)
		for m, err := range all {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (s *Source) all(ctx context.Context) iter.Seq2[*Message, error] {
	switch s.Kind {
	case KindMaildir:
		return ReadMaildir(s.Path)
	case KindEML:
		if st, err := os.Stat(s.Path); err == nil && !st.IsDir() {
			return readEMLFile(s.Path)
		}
		return ReadEML(s.Path)
	}
	return func(yield func(*Message, error) bool) {
		if err := s.readMbox(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

// readMbox reads an mbox under a lock.
func (s *Source) readMbox(ctx context.Context, yield func(*Message, error) bool) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close() // gives up the lock too
	err = retryLock(ctx, s.Path, lockWait, func() (bool, string, error) {
		ok, err := tryLock(f, false)
		return ok, "", err
	})
	if err != nil {
		return err
	}
	return s.mboxMessages(f, yield)
}

// mboxMessages reads an mbox that is locked.
func (s *Source) mboxMessages(f *os.File, yield func(*Message, error) bool) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m := newMboxReader(io.NewSectionReader(f, 0, st.Size()))
	switch s.Kind {
	case KindMboxO:
		m.kind = mboxO
	case KindMboxCL2:
		m.kind, m.at, m.size = mboxCL2, f, st.Size()
	}
	m.each(func(msg *Message, err error) bool {
		if err != nil {
			return yield(nil, err)
		}
		msg.Path = mboxName(s.Path, msg.offset)
		msg.Meta.Flags = addFlags(msg.Meta.Flags, statusFlags(msg.Spool))
		return yield(msg, nil)
	})
	return nil
}

// readEMLFile reads a message that is a file of its own.
func readEMLFile(path string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			yield(nil, err)
			return
		}
		defer root.Close()
		files{root: root, dir: filepath.Dir(path)}.read([]string{filepath.Base(path)}, yield)
	}
}

// statusFlags reads the flags that mail programs write into the header of a message
// in an mbox: Status (R: seen), X-Status (A, F, T, D) and X-Keywords.
func statusFlags(s *Spool) []string {
	h, err := s.Header()
	if err != nil {
		return nil
	}
	var flags []string
	add := func(field, letters string, names ...string) {
		v, _ := h.Get(field)
		for i, name := range names {
			if strings.IndexByte(v, letters[i]) >= 0 {
				flags = append(flags, name)
			}
		}
	}
	add("Status", "R", `\Seen`)
	add("X-Status", "AFTD", `\Answered`, `\Flagged`, `\Draft`, `\Deleted`)
	words, _ := h.Get("X-Keywords")
	for i, w := range strings.Fields(words) {
		if i < maxKeywords && len(w) <= maxKeyword && message.IsASCII(w) {
			flags = append(flags, w)
		}
	}
	return flags
}

// addFlags adds what is not there yet.
func addFlags(flags, more []string) []string {
	for _, m := range more {
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, m) }) {
			flags = append(flags, m)
		}
	}
	return flags
}
