package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

var formats = []string{FormatMaildir, FormatEML, FormatMbox}

// testRepo makes messages as a run does.
type testRepo struct {
	*Repo
	t   testing.TB
	rec *recorder
}

// newRepo makes a repository in a new directory.
func newRepo(t testing.TB, format string) *testRepo {
	t.Helper()
	return openRepo(t, t.TempDir(), OpenOptions{Create: &Settings{Format: format}, Write: true})
}

func openRepo(t testing.TB, dir string, o OpenOptions) *testRepo {
	t.Helper()
	r, err := open(dir, o, quickDisk{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c := &testRepo{Repo: r, t: t}
	if o.Write && r.Damage() == nil {
		c.rec, err = r.record()
		c.must(err)
	}
	return c
}

// reopen closes the repository and opens it once more.
func (c *testRepo) reopen(write bool) *testRepo {
	c.t.Helper()
	c.must(c.Close())
	return openRepo(c.t, c.dir, OpenOptions{Write: write})
}

func (c *testRepo) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// box tells of a mailbox.
func (c *testRepo) box(name string) uint32 {
	c.t.Helper()
	n, err := c.rec.box(&Mailbox{Name: name, Delim: "/"})
	c.must(err)
	return n
}

// message makes a message that is not stored yet.
func (c *testRepo) message(box, v, uid uint32, body string, flags ...string) *Message {
	info, ok := c.tip.info(box)
	if !ok {
		c.t.Fatalf("no mailbox %d", box)
	}
	m := &Message{Mailbox: info.Mailbox, UIDValidity: v, UID: uid, Size: int64(len(body)) + int64(strings.Count(body, "\n")), Digest: sha256.Sum256([]byte(body)),
		Date: time.Date(2026, 11, 22, 12, 0, int(uid%60), 0, time.FixedZone("", 3600)), Flags: flags}
	if uid == 0 {
		m.UIDL = "id-" + body
	}
	m.File = factsOf(m, int64(len(body)), false).name()
	if c.settings.Format == FormatEML {
		m.File += emlSuffix
	}
	return m
}

// put writes the file of a message and records it.
func (c *testRepo) put(box, v, uid uint32, body string, flags ...string) *Message {
	c.t.Helper()
	m := c.message(box, v, uid, body, flags...)
	c.write(m, body)
	c.must(c.rec.msgs(box, m))
	return m
}

// write writes the file of a message.
func (c *testRepo) write(m *Message, body string) {
	c.t.Helper()
	name := path.Join(c.fileDir(m.Mailbox), c.diskName(m))
	c.must(c.root.MkdirAll(m.Mailbox.Dir, 0o700))
	if c.settings.Format == FormatMbox {
		if _, _, err := c.stat(name); errors.Is(err, fs.ErrNotExist) {
			appendMbox(c.t, filepath.Join(c.dir, path.Dir(name)), m.File, body)
		}
		return
	}
	c.must(c.root.MkdirAll(path.Dir(name), 0o700))
	c.must(c.root.WriteFile(name, []byte(body), 0o600))
}

// appendMbox appends a message to an mbox.
func appendMbox(t testing.TB, mbox, name, body string) {
	t.Helper()
	facts, _ := parseFileName(name)
	text := mboxLine(name, facts) + strings.ReplaceAll("\n"+body, "\nFrom ", "\n>From ")[1:] + "\n"
	if !strings.HasSuffix(body, "\n") {
		text += "\n"
	}
	f, err := os.OpenFile(mbox, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// snap ends a run.
func (c *testRepo) snap(when time.Time) string {
	c.t.Helper()
	s := &Snapshot{Time: when, Complete: true}
	c.must(c.rec.snap(s))
	c.must(c.rec.commit())
	return s.ID
}

// state tells all messages of a snapshot, one a line.
func (c *testRepo) state(at string) string {
	c.t.Helper()
	text, err := tellState(c.Repo, at)
	c.must(err)
	return text
}

func tellState(r *Repo, at string) (string, error) {
	boxes, err := r.Mailboxes(at)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, m := range boxes {
		fmt.Fprintf(&b, "%+v\n", m)
	}
	for m, err := range r.Messages(at) {
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, tellMessage(m))
	}
	return b.String(), nil
}

func tellMessage(m *Message) string {
	return fmt.Sprintf("%s %d %d %q %s %d %x %s %q %q %q %d %d %q", m.Mailbox.Name, m.UIDValidity, m.UID, m.UIDL, m.File, m.Size, m.Digest[:4],
		formatTime(m.Date), m.Flags, m.EmailID, m.ThreadID, m.GmailID, m.GmailThread, m.Labels)
}

// files lists what is below a directory, but for .mail-backup.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == metaDir {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func uidSet(uids ...imap.UID) (set imap.UIDSet) {
	for _, u := range uids {
		set.Add(u)
	}
	return set
}

// copyTree copies a repository.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
