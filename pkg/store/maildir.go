package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maildirSubs are the directories of a Maildir.
var maildirSubs = [...]string{"tmp", "new", "cur"}

// maildirFlags are the letters of Maildir info for IMAP flags, in the order they
// are written. Keywords have small letters: see keywordsFile.
var maildirFlags = [...]struct {
	letter byte
	flag   string
}{
	{'D', `\Draft`}, {'F', `\Flagged`}, {'P', `$Forwarded`}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`},
}

// fieldWire in the name of a file says that it holds wire form.
const fieldWire = ",X=wire"

// maildir is a Maildir as a sink. File names are TIME.QnumberRrandom.HOST,S=SIZE,W=WIRESIZE
// with fieldWire where it applies and ":2,FLAGS" in cur. A message without flags
// goes to new.
type maildir struct {
	*fileSink
	host     string
	keywords []string      // of the letters a, b, …; nil: not known
	wait     time.Duration // for the lock of the file that has them
}

// openMaildir opens path as a Maildir and makes it, or what is missing of it, when
// the directory is missing or empty. Another directory is refused.
func openMaildir(path string) (Sink, error) {
	t, err := newFileSink(path, KindMaildir)
	if err != nil {
		return nil, err
	}
	m := &maildir{fileSink: t, host: hostName(), wait: lockWait}
	if err := m.prepare(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	cleanTemp(m.root, "tmp", "", "")
	return m, nil
}

// prepare makes sure of tmp, new and cur.
func (m *maildir) prepare() error {
	if err := checkMaildir(m.root, m.path); err != nil {
		return err
	}
	for _, sub := range maildirSubs {
		if err := m.makeSub(sub); err != nil {
			return err
		}
		if st, err := m.root.Lstat(sub); err != nil || !st.IsDir() {
			return &Error{Path: m.path, Msg: "not a Maildir: " + sub + " is not a directory"}
		}
	}
	return m.open("tmp", m.newName(), "new", "cur")
}

// makeSub is makeDir below the root.
func (m *maildir) makeSub(sub string) error {
	err := m.disk.mkdir(m.root, sub)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.disk.sync(m.self)
}

// checkMaildir refuses a directory that holds other things and lacks cur and new.
// Half a Maildir (a run that was killed while making it) passes.
func checkMaildir(root *os.Root, path string) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	subs := 0
	for _, sub := range maildirSubs {
		if st, err := root.Lstat(sub); err == nil && st.IsDir() {
			subs++
		}
	}
	names, err := d.Readdirnames(subs + 1)
	if err != nil && err != io.EOF {
		return err
	}
	if subs < len(maildirSubs) && len(names) > subs {
		return &Error{Path: path, Msg: "not a Maildir (no cur, new and tmp) and not empty"}
	}
	return nil
}

// Put implements Sink.
func (m *maildir) Put(ctx context.Context, wire io.Reader, meta Meta) (string, error) {
	return m.put(m.message(ctx, wire, meta, freshFile{name: m.newName()}))
}

// Batch implements Sink.
func (m *maildir) Batch() Batch { return newFileBatch(m.fileSink, m) }

func (m *maildir) newName() string { return m.name.next() + "." + m.host }

func (m *maildir) tempName(name string) string { return name }

// message writes a message to tmp.
func (m *maildir) message(ctx context.Context, wire io.Reader, meta Meta, file freshFile) (stagedFile, error) {
	letters, err := m.keywordLetters(ctx, meta.Flags)
	if err != nil {
		return stagedFile{}, errors.Join(err, m.discard(file.f, m.tempName(file.name)))
	}
	f, s, err := m.write(ctx, wire, freshFile{m.tempName(file.name), file.f}, meta.Date)
	f.dir, f.final = "new", file.name+",S="+strconv.FormatInt(s.Size, 10)+",W="+strconv.FormatInt(s.WireSize, 10)
	if s.Marked {
		f.final += fieldWire
	}
	if info := flagLetters(meta.Flags) + letters; info != "" {
		f.dir, f.final = "cur", f.final+infoMark+info
	}
	return f, err
}

// flagLetters returns the info letters of IMAP flags.
func flagLetters(flags []string) string {
	var b []byte
	for _, f := range maildirFlags {
		if slices.ContainsFunc(flags, func(s string) bool { return strings.EqualFold(s, f.flag) }) {
			b = append(b, f.letter)
		}
	}
	return string(b)
}

// lettersFlags is the reverse, with the keywords of the letters a, b, ….
func lettersFlags(info string, keywords []string) []string {
	var flags []string
	for _, f := range maildirFlags {
		if strings.IndexByte(info, f.letter) >= 0 {
			flags = append(flags, f.flag)
		}
	}
	for i, word := range keywords {
		if word != "" && strings.IndexByte(info, 'a'+byte(i)) >= 0 {
			flags = append(flags, word)
		}
	}
	return flags
}
