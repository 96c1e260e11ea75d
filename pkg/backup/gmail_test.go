package backup

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/server"
)

// labels makes the mailboxes of a server labels.
type labels struct{ *counting }

func (labels) Labels() bool { return true }

// gmailRig is an account at Gmail as our server plays it.
func gmailRig(t *testing.T) *rig {
	t.Helper()
	without, quirks, err := server.Persona("gmail")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: memoryDir(t) + "/backup", faults: &counting{commands: map[string]int{}, next: quirks}}
	r.srv, err = server.Start(context.Background(), server.Options{Users: []server.User{{Name: "alice", Password: "pw"}},
		IMAP: "127.0.0.1:0", AllowCleartextLogin: true, Without: without, Faults: labels{r.faults}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.srv.Close)
	if r.account, err = r.srv.Store().Account("alice"); err != nil {
		t.Fatal(err)
	}
	return r
}

// label adds a label to messages of a mailbox, or moves them to Spam or Trash.
func (r *rig) label(mailbox, label string, uids ...uint32) {
	r.t.Helper()
	to := r.box(label)
	if _, err := r.account.Copy(context.Background(), r.box(mailbox), uids, to); err != nil {
		r.t.Fatal(err)
	}
}

// stockGmail puts a message with three labels there, one with none, and others.
func (r *rig) stockGmail() {
	r.t.Helper()
	for i := range 8 {
		r.put("INBOX", text(i, 5000+i))
	}
	r.label("INBOX", "work", 1, 2)
	r.label("INBOX", "crêpes & café/2026", 1)
	r.label("INBOX", "[Gmail]/Starred", 1, 3)
	r.label("INBOX", "[Gmail]/Spam", 4)
	r.label("INBOX", "[Gmail]/Trash", 5)
	r.label("INBOX", "[Gmail]/Important", 6)
	if _, err := r.box("INBOX").Expunge([]uint32{6, 7}); err != nil {
		r.t.Fatal(err)
	}
	r.put("[Gmail]/Sent Mail", text(10, 100), `\Seen`)
	r.put("[Gmail]/Drafts", text(11, 100), `\Draft`)
}

// gmailOnServer tells of all mailboxes what messages they have, and of messages their flags and labels.
func gmailOnServer(t *testing.T, dial func(context.Context) (*imap.Client, error)) []string {
	t.Helper()
	ctx := context.Background()
	c, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	boxes, err := c.List(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, box := range boxes {
		list = append(list, fmt.Sprintf("%s %v", box.Name, box.Attrs))
		if !box.Selectable() {
			continue
		}
		if _, err := c.Examine(ctx, box.Name, nil); err != nil {
			t.Fatal(err)
		}
		_, err := c.Fetch(ctx, everything(), &imap.FetchOptions{Flags: true, InternalDate: true, Envelope: true, Gmail: true}, func(m *imap.Message) error {
			flags := slices.DeleteFunc(slices.Clone(m.Flags), func(f imap.Flag) bool { return f == `\Recent` })
			list = append(list, fmt.Sprintf("%s: %s %v %q %q", box.Name, m.Envelope.Subject, m.InternalDate.UTC(), flags, m.Labels))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(list)
	return list
}

// namesOf counts the names of each file of a backup by what it has as subject.
func namesOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	names, files := map[string]int{}, map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "cur" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(b), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\n")
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if was := files[subject]; was != nil && !os.SameFile(was, st) {
			t.Errorf("%s: %s is stored more than once", path, subject)
		}
		files[subject] = st
		names[subject]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestGmail backs an account up whose mailboxes are labels: every message is fetched once and stored once, the manifest
// has its labels, and another run fetches nothing.
func TestGmail(t *testing.T) {
	r := gmailRig(t)
	r.stockGmail()
	rec := r.must(RunOptions{})
	var octets int64
	for _, name := range []string{"[Gmail]/All Mail", "[Gmail]/Spam", "[Gmail]/Trash"} {
		octets += r.box(name).State().Size
	}
	if got := rec.Bytes; got != octets {
		t.Errorf("fetched %d octets, want %d: each message once", got, octets)
	}
	r.check("first run")
	for subject, want := range map[string]int{"message 0": 5, "message 1": 3, "message 2": 3, "message 3": 1, "message 4": 1, "message 5": 2, "message 6": 1, "message 7": 2} {
		if got := namesOf(t, r.dir)[subject]; got != want {
			t.Errorf("%s has %d names, want %d", subject, got, want)
		}
	}
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[uint64]string{}
	for m, err := range repo.Messages("") {
		if err != nil {
			t.Fatal(err)
		}
		if m.GmailID == 0 || m.GmailThread == 0 {
			t.Errorf("%s UID %d has no id", m.Mailbox.Name, m.UID)
		}
		if m.Mailbox.Name == "[Gmail]/All Mail" && m.UID == 1 {
			if want := []string{`\Inbox`, `\Starred`, "crêpes & café/2026", "work"}; !slices.Equal(m.Labels, want) {
				t.Errorf("got labels %q, want %q", m.Labels, want)
			}
		}
		ids[m.GmailID] = ""
	}
	_ = repo.Close()
	if len(ids) != 10 {
		t.Errorf("got %d ids, want one for each of 10 messages", len(ids))
	}
	r.faults.reset()
	if rec = r.must(RunOptions{}); rec.Bytes != 0 || r.faults.count("UID FETCH", "FETCH") != 0 {
		t.Errorf("second run: fetched %d octets and made %d commands, want none", rec.Bytes, r.faults.count("UID FETCH", "FETCH"))
	}
}

// TestGmail_Changes: a label, a flag, the way to the trash and an archived message are taken over, and nothing that is
// stored is fetched again.
func TestGmail_Changes(t *testing.T) {
	r := gmailRig(t)
	r.stockGmail()
	r.must(RunOptions{})
	r.faults.reset()
	r.label("INBOX", "new", 1, 2)
	r.label("INBOX", "[Gmail]/Trash", 3)
	if _, err := r.box("INBOX").Expunge([]uint32{2}); err != nil {
		t.Fatal(err)
	}
	_, err := r.box("work").SetFlags([]uint32{1}, func(m server.MessageInfo) ([]string, bool) { return append(m.Flags, `\Answered`), true })
	if err != nil {
		t.Fatal(err)
	}
	if rec := r.must(RunOptions{}); rec.Bytes != 0 {
		t.Errorf("fetched %d octets, want none", rec.Bytes)
	}
	r.check("changes")
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	var stored []string
	for m, err := range repo.Messages("") {
		if err != nil {
			t.Fatal(err)
		}
		if m.Mailbox.Name == "[Gmail]/All Mail" {
			stored = append(stored, fmt.Sprintf("%d %q", m.UID, m.Labels))
		}
	}
	want := []string{`1 ["\\Inbox" "\\Starred" "crêpes & café/2026" "new" "work"]`, `2 ["new" "work"]`, `6 ["\\Important"]`, `7 []`, `8 ["\\Inbox"]`,
		`9 ["\\Sent"]`, `10 ["\\Draft"]`}
	sameLines(t, "labels", stored, want)
	_ = repo.Close()
	fresh := text(20, 100)
	r.put("new", fresh)
	if rec := r.must(RunOptions{}); rec.Bytes != int64(len(fresh)) {
		t.Errorf("fetched %d octets, want %d", rec.Bytes, len(fresh))
	}
	r.check("a new message")
}

// TestGmail_Restore restores into an empty account: mailboxes, messages, flags and labels are the same.
func TestGmail_Restore(t *testing.T) {
	r := gmailRig(t)
	r.stockGmail()
	r.must(RunOptions{})
	want := gmailOnServer(t, r.dial)
	to := gmailRig(t)
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	for i, counted := range []string{"22 wanted, 0 present, 10 appended, 12 merged, 0 refused", "22 wanted, 10 present, 0 appended, 12 merged, 0 refused"} {
		rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: to.dial})
		if err != nil || !rep.Complete() || counts(rep) != counted {
			t.Errorf("restore %d: got %s, %v, want %s\n%+v", i, counts(rep), err, counted, rep)
		}
		sameLines(t, fmt.Sprint("restore ", i), gmailOnServer(t, to.dial), want)
	}
}
