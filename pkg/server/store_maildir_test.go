package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// maildirTest is a Maildir store with the paths of alice's files.
type maildirTest struct {
	dir, user string
	s         Store
	a         Account
}

func newMaildirTest(t *testing.T) *maildirTest {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	m := &maildirTest{dir: dir, user: filepath.Join(dir, userFolder("alice@example.org"))}
	m.reopen(t)
	return m
}

// reopen closes the store, calls meanwhile and opens it again.
func (m *maildirTest) reopen(t *testing.T, meanwhile ...func()) {
	t.Helper()
	if m.s != nil {
		mustDo(t, m.s.Close())
	}
	for _, f := range meanwhile {
		f()
	}
	m.s = openTestMaildir(t, m.dir)
	m.a = testAccount(t, m.s)
}

// files returns the names in a directory of alice's.
func (m *maildirTest) files(t *testing.T, sub ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(append([]string{m.user}, sub...)...))
	mustDo(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// describe is all that must survive.
func describe(t *testing.T, a Account) string {
	t.Helper()
	var b strings.Builder
	for _, i := range a.List() {
		fmt.Fprintf(&b, "%+v\n", i)
		if i.NoSelect {
			continue
		}
		m := testMailbox(t, a, i.Name)
		fmt.Fprintf(&b, "  %+v %v\n", m.State(), m.Vanished(0))
		for _, msg := range m.Messages() {
			fmt.Fprintf(&b, "  %d %d %q %s %d %s %q\n", msg.UID, msg.ModSeq, msg.Flags, msg.Date.Format(time.RFC3339), msg.Size, msg.ID, storedBody(t, m, msg.UID))
		}
	}
	return b.String()
}

// furnishTest makes some of everything.
func furnishTest(t *testing.T, a Account) {
	t.Helper()
	in := testMailbox(t, a, "INBOX")
	_, err := in.Append(t.Context(), []NewMessage{
		{Body: strings.NewReader("Subject: a\r\n\r\na\r\n"), Flags: []string{`\Seen`, "work"}, Date: time.Date(2020, 1, 2, 3, 4, 5, 0, time.FixedZone("", -7200))},
		{Body: strings.NewReader("bare\nLF")}})
	mustDo(t, err)
	putAll(t, in, "c\r\n", "d\r\n")
	_, err = in.SetFlags([]uint32{2, 3}, func(MessageInfo) ([]string, bool) { return []string{`\Flagged`, "k"}, true })
	mustDo(t, err)
	_, err = in.SetFlags([]uint32{2}, func(MessageInfo) ([]string, bool) { return nil, true })
	mustDo(t, err)
	_, err = in.Expunge([]uint32{3})
	mustDo(t, err)
	mustDo(t, a.Create("Lists/go", `\Important`))
	mustDo(t, a.Subscribe("Lists/go", true))
	_, err = a.Copy(t.Context(), in, []uint32{1, 2}, testMailbox(t, a, "Lists/go"))
	mustDo(t, err)
	mustDo(t, a.Rename("Sent", "Gone out"))
	mustDo(t, a.Delete("Junk"))
	mustDo(t, a.Create("Junk", "")) // no special use any more
	mustDo(t, a.Create("X/Y", ""))
	mustDo(t, a.Delete("X"))
}

func TestMaildir_SurvivesReopening(t *testing.T) {
	m := newMaildirTest(t)
	furnishTest(t, m.a)
	want := describe(t, m.a)
	for range 2 {
		m.reopen(t)
		if got := describe(t, m.a); got != want {
			t.Fatalf("after opening again\n%s\nwant\n%s", got, want)
		}
	}
	wantSlice(t, "tmp", m.files(t, "tmp"), nil)
	for _, name := range m.files(t) {
		if strings.HasPrefix(name, trashPrefix) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestMaildir_SecondInstanceIsRefused(t *testing.T) {
	m := newMaildirTest(t)
	_, err := OpenMaildir(m.dir)
	wantError(t, "second", err, ErrStoreInUse)
	mustDo(t, m.s.Close())
	s, err := OpenMaildir(m.dir)
	mustDo(t, err)
	mustDo(t, s.Close())
}

// TestMaildir_OthersCanReadIt: pkg/store, which knows nothing of the journals, reads
// the same messages and flags.
func TestMaildir_OthersCanReadIt(t *testing.T) {
	m := newMaildirTest(t)
	furnishTest(t, m.a)
	for _, c := range []struct{ mailbox, dir string }{{"INBOX", ""}, {"Lists/go", folderName("Lists/go")}} {
		var got, want []string
		for msg, err := range store.ReadMaildir(filepath.Join(m.user, c.dir)) {
			mustDo(t, err)
			b := new(strings.Builder)
			_, err = fmt.Fprintf(b, "%q ", msg.Meta.Flags)
			mustDo(t, err)
			r := make([]byte, msg.WireSize())
			n, _ := msg.Wire().Read(r)
			got = append(got, b.String()+string(r[:n]))
		}
		box := testMailbox(t, m.a, c.mailbox)
		for _, i := range box.Messages() {
			var flags []string
			for _, f := range i.Flags {
				if strings.HasPrefix(f, `\`) {
					flags = append(flags, f)
				}
			}
			want = append(want, fmt.Sprintf("%q ", flags)+storedBody(t, box, i.UID))
		}
		slices.Sort(got)
		slices.Sort(want)
		wantSlice(t, c.mailbox, got, want)
	}
	data, err := os.ReadFile(filepath.Join(m.user, "cur", m.files(t, "cur")[0]))
	mustDo(t, err)
	if strings.Contains(string(data), "Subject") && strings.Contains(string(data), "\r") {
		t.Errorf("not in LF form: %q", data)
	}
}

// TestMaildir_OthersChangeIt: messages that come, go and change by other hands.
func TestMaildir_OthersChangeIt(t *testing.T) {
	m := newMaildirTest(t)
	in := testMailbox(t, m.a, "INBOX")
	putAll(t, in, "one\r\n", "two\r\n", "three\r\n")
	_, err := in.SetFlags([]uint32{2}, func(MessageInfo) ([]string, bool) { return []string{"k", `\Draft`}, true })
	mustDo(t, err)
	start := in.State()
	cur, fresh := filepath.Join(m.user, "cur"), filepath.Join(m.user, "new")
	watch, stop := in.Watch()
	defer stop()

	mustDo(t, os.WriteFile(filepath.Join(fresh, "1.x.host"), []byte("four\nfour\n"), 0o600))
	wantEqual(t, "new file", in.State().Messages, 4)
	wantEqual(t, "watchers", len(watch), 1)
	wantEqual(t, "its body", storedBody(t, in, 4), "four\r\nfour\r\n")
	wantEqual(t, "its size", in.Messages()[3].Size, 12)

	mustDo(t, os.Rename(filepath.Join(fresh, "1.x.host"), filepath.Join(cur, "1.x.host:2,FS")))
	old := m.files(t, "cur")[1]
	wantEqual(t, "before a State", storedBody(t, in, 4), "four\r\nfour\r\n")
	wantSlice(t, "flags in the name", in.Messages()[3].Flags, []string{`\Flagged`, `\Seen`})
	mustDo(t, os.Rename(filepath.Join(cur, old), filepath.Join(cur, strings.Replace(old, ":2,D", ":2,DT", 1))))
	if s := in.State(); s.Deleted != 1 || s.HighestModSeq <= start.HighestModSeq {
		t.Errorf("state after a flag by name: %+v", s)
	}
	wantSlice(t, "keywords stay", in.Messages()[1].Flags, []string{`\Deleted`, `\Draft`, "k"})

	mustDo(t, os.Remove(filepath.Join(fresh, m.files(t, "new")[0])))
	again := testMailbox(t, m.a, "INBOX")
	gone := again.Vanished(start.HighestModSeq)
	if len(gone) != 1 || again.State().Messages != 3 {
		t.Errorf("vanished: %v, %+v", gone, again.State())
	}
	_, err = in.Open(gone[0])
	wantError(t, "its body", err, ErrNoMessage)

	// Letters of others stay.
	name := m.files(t, "cur")[0]
	mustDo(t, os.Rename(filepath.Join(cur, name), filepath.Join(cur, name+"ab")))
	_, err = in.SetFlags([]uint32{4}, func(MessageInfo) ([]string, bool) { return []string{`\Seen`, `\Answered`}, true })
	mustDo(t, err)
	wantEqual(t, "letters", m.files(t, "cur")[0], "1.x.host:2,RSab")

	// A rename that nobody has noticed does not get in the way of changes.
	name = m.files(t, "new")[0]
	uid := uint32(4) - gone[0] // of 1 and 3 the other
	mustDo(t, os.Rename(filepath.Join(fresh, name), filepath.Join(cur, name+":2,R")))
	_, err = in.SetFlags([]uint32{uid}, func(MessageInfo) ([]string, bool) { return []string{`\Seen`}, true })
	mustDo(t, err)
	wantEqual(t, "renamed on", slices.Contains(m.files(t, "cur"), name+":2,S"), true)
	mustDo(t, os.Rename(filepath.Join(cur, name+":2,S"), filepath.Join(cur, name+":2,RS")))
	_, err = m.a.Move(t.Context(), in, []uint32{uid}, testMailbox(t, m.a, "Trash"))
	mustDo(t, err)
	wantEqual(t, "moved", testMailbox(t, m.a, "Trash").State().Messages, 1)
	wantEqual(t, "files left", len(m.files(t, "cur"))+len(m.files(t, "new")), 2)

	want := describe(t, m.a)
	m.reopen(t)
	wantEqual(t, "after opening again", describe(t, m.a), want)
}

func TestMaildir_ChangesWhileClosed(t *testing.T) {
	m := newMaildirTest(t)
	putAll(t, testMailbox(t, m.a, "INBOX"), "one\r\n", "two\r\n")
	uidNext := testMailbox(t, m.a, "INBOX").State().UIDNext
	m.reopen(t, func() {
		names := m.files(t, "new")
		mustDo(t, os.Remove(filepath.Join(m.user, "new", names[0])))
		mustDo(t, os.WriteFile(filepath.Join(m.user, "cur", "7.y.host:2,S"), []byte("three\n"), 0o600))
		mustDo(t, os.WriteFile(filepath.Join(m.user, "cur", "8.\xff\xfe.host:2,"), []byte("four\n"), 0o600))
		mustDo(t, os.Symlink("/etc/passwd", filepath.Join(m.user, "new", "9.z.host")))
		for _, sub := range []string{"cur", "new", "tmp"} {
			mustDo(t, os.MkdirAll(filepath.Join(m.user, ".other.Tool", sub), 0o700))
		}
		mustDo(t, os.WriteFile(filepath.Join(m.user, ".other.Tool", "new", "1.a.b"), []byte("hello\n"), 0o600))
	})
	in := testMailbox(t, m.a, "INBOX")
	wantEqual(t, "messages", in.State().Messages, 3)
	wantEqual(t, "vanished", len(in.Vanished(0)), 1)
	for _, i := range in.Messages()[1:] {
		if i.UID < uidNext {
			t.Errorf("a new message has UID %d, below UIDNEXT %d", i.UID, uidNext)
		}
	}
	other := testMailbox(t, m.a, "other/Tool")
	wantEqual(t, "mailbox of another program", storedBody(t, other, 1), "hello\r\n")
	want := describe(t, m.a)
	m.reopen(t)
	wantEqual(t, "after opening again", describe(t, m.a), want)
}

// TestMaildir_HalfDone stages what a process that is killed between two steps leaves.
func TestMaildir_HalfDone(t *testing.T) {
	m := newMaildirTest(t)
	in := testMailbox(t, m.a, "INBOX")
	putAll(t, in, "keep\r\n")
	putAll(t, in, "added\r\n")
	putAll(t, in, "gone\r\n")
	var gone string
	m.reopen(t, func() { // journal written, file not renamed; a body that was never added
		for _, name := range m.files(t, "new") {
			path := filepath.Join(m.user, "new", name)
			switch text, err := os.ReadFile(path); {
			case err != nil:
				t.Fatal(err)
			case string(text) == "added\n":
				mustDo(t, os.Rename(path, filepath.Join(m.user, "tmp", tempPrefix+name)))
			case string(text) == "gone\n":
				gone = name
			}
		}
		mustDo(t, os.WriteFile(filepath.Join(m.user, "tmp", tempPrefix+"1.Rx.host"), []byte("half"), 0o600))
	})
	in = testMailbox(t, m.a, "INBOX")
	wantSlice(t, "uids", uidsOf(in.Messages()), []uint32{1, 2, 3})
	wantEqual(t, "body", storedBody(t, in, 2), "added\r\n")
	wantSlice(t, "tmp", m.files(t, "tmp"), nil)

	_, err := in.Expunge([]uint32{3})
	mustDo(t, err)
	m.reopen(t, func() { // journal written, file not removed
		mustDo(t, os.WriteFile(filepath.Join(m.user, "new", gone), []byte("gone\n"), 0o600))
	})
	wantSlice(t, "uids", uidsOf(testMailbox(t, m.a, "INBOX").Messages()), []uint32{1, 2})
	wantEqual(t, "files", len(m.files(t, "new")), 2)

	// A move of which the first half was done.
	in = testMailbox(t, m.a, "INBOX")
	archive := testMailbox(t, m.a, "Archive")
	one, err := in.(*mailbox).link(1)
	mustDo(t, err)
	one.source, one.sourceUID = in.State().ID, 1
	mustDo(t, archive.(*mailbox).add([]incoming{one}))
	m.reopen(t)
	wantSlice(t, "moved from", uidsOf(testMailbox(t, m.a, "INBOX").Messages()), []uint32{2})
	wantEqual(t, "moved to", storedBody(t, testMailbox(t, m.a, "Archive"), 1), "keep\r\n")

	// Renaming with children, of which one was done.
	mustDo(t, m.a.Create("A/B", `\Flagged`))
	mustDo(t, m.a.Subscribe("A/B", true))
	putAll(t, testMailbox(t, m.a, "A/B"), "b")
	k := m.a.(*account).keep.(*maildirAccount)
	mustDo(t, k.journal.write(accountRecord{Renaming: &renaming{From: []string{".A", ".A.B"}, To: []string{".Z", ".Z.B"}, Old: []string{"A", "A/B"}, New: []string{"Z", "Z/B"}}}))
	m.reopen(t, func() { mustDo(t, os.Rename(filepath.Join(m.user, ".A"), filepath.Join(m.user, ".Z"))) })
	wantEqual(t, "renamed", storedBody(t, testMailbox(t, m.a, "Z/B"), 1), "b")
	got := m.a.List()[slices.Index(listNames(m.a), "Z/B")]
	wantEqual(t, "its facts", got, MailboxInfo{Name: "Z/B", SpecialUse: `\Flagged`, Subscribed: true})
	wantEqual(t, "old name", slices.Contains(listNames(m.a), "A"), false)
	mustDo(t, m.a.Create("A/B", "")) // must not be renamed again
	m.reopen(t)
	wantEqual(t, "new A/B", slices.Contains(listNames(m.a), "A/B"), true)
}

func TestMaildir_JournalIsRewritten(t *testing.T) {
	m := newMaildirTest(t)
	in := testMailbox(t, m.a, "INBOX")
	putAll(t, in, "one\r\n", "two\r\n", "three\r\n")
	_, err := in.Expunge([]uint32{2})
	mustDo(t, err)
	for i := range journalSlack + 50 {
		_, err := in.SetFlags([]uint32{1}, func(MessageInfo) ([]string, bool) { return []string{fmt.Sprint("k", i%2)}, true })
		mustDo(t, err)
	}
	f := in.(*mailbox).keep.(*maildirFolder)
	if f.journal.lines > journalSlack {
		t.Errorf("%d lines for 2 messages", f.journal.lines)
	}
	want := describe(t, m.a)
	m.reopen(t)
	wantEqual(t, "after opening again", describe(t, m.a), want)
}
