package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// maildirSubs are the directories of a Maildir.
var maildirSubs = [...]string{"tmp", "new", "cur"}

// maildirFlags are the letters of Maildir info for IMAP flags, in the order they
// are written. Other flags and keywords have no place there.
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
	tree
	host string
}

// openMaildir opens path as a Maildir and makes it, or what is missing of it, when
// the directory is missing or empty. Another directory is refused.
func openMaildir(path string) (Sink, error) {
	t, err := newTree(path)
	if err != nil {
		return nil, err
	}
	m := &maildir{tree: t, host: hostName()}
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
	if err := m.openDir("new"); err != nil {
		return err
	}
	return m.openDir("cur")
}

// makeSub is makeDir below the root.
func (m *maildir) makeSub(sub string) error {
	err := m.root.Mkdir(sub, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.root.Chmod(sub, 0o700); err != nil { // the umask may have taken bits
		return err
	}
	return syncPath(m.path)
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
	return m.put(m.stage(ctx, wire, meta))
}

// Batch implements Sink.
func (m *maildir) Batch() Batch { return newFileBatch(&m.tree, m.stage) }

// stage writes a message to tmp.
func (m *maildir) stage(ctx context.Context, wire io.Reader, meta Meta) (stagedFile, error) {
	base := m.name.next() + "." + m.host
	return m.tree.stage(filepath.Join("tmp", base), meta.Date, func(w io.Writer) (string, int64, error) {
		form, stored, facts, err := writeConverted(w, contextReader{ctx, wire})
		if err != nil {
			return "", 0, err
		}
		name := base + ",S=" + strconv.FormatInt(stored, 10) + ",W=" + strconv.FormatInt(facts.Size, 10) + form
		if info := flagLetters(meta.Flags); info != "" {
			return filepath.Join("cur", name+infoMark+info), facts.Size, nil
		}
		return filepath.Join("new", name), facts.Size, nil
	})
}

// writeConverted writes wire to w in LF form, or in wire form when it has to be,
// and returns the mark for the name and the octets stored. Which form it is shows
// only at the end of the message, hence the Spool.
func writeConverted(w io.Writer, wire io.Reader) (mark string, stored int64, facts message.Facts, err error) {
	sp, err := NewWireSpool(wire)
	if err != nil {
		return "", 0, facts, err
	}
	defer sp.Close()
	facts = sp.Facts()
	r := sp.LF()
	if !facts.Reversible() {
		mark, r = fieldWire, sp.Wire()
	}
	stored, err = copyTo(w, r) // in chunks of 64 KiB
	return mark, stored, facts, err
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
