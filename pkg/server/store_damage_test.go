package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// damageTest is a store with a small journal, and copies of it to be damaged.
type damageTest struct {
	dir, journal string
	files        map[string][]byte // that opening may change
	whole        []byte            // the journal
	state        MailboxState
	uids         map[string]uint32 // by body
	checks       int
}

// damagedBodies are the messages that are in INBOX.
var damagedBodies = []string{"four\r\n", "one\r\n", "three\r\n"}

func newDamageTest(t *testing.T) *damageTest {
	t.Helper()
	d := &damageTest{dir: t.TempDir(), uids: map[string]uint32{}}
	s, err := openMaildir(d.dir, new(faultPlan).fault)
	mustDo(t, err)
	in := userMailbox(t, s, "alice", "INBOX")
	putAll(t, in, "one\r\n")
	putAll(t, in, "two\r\n", "three\r\n")
	_, err = in.SetFlags([]uint32{1}, func(MessageInfo) ([]string, bool) { return []string{"k"}, true })
	mustDo(t, err)
	_, err = in.Expunge([]uint32{2})
	mustDo(t, err)
	putAll(t, in, "four\r\n")
	d.state = in.State()
	for _, i := range in.Messages() {
		d.uids[storedBody(t, in, i.UID)] = i.UID
	}
	mustDo(t, s.Close())
	d.journal = filepath.Join(d.dir, "alice", journalFile)
	d.files = map[string][]byte{filepath.Join(d.dir, "alice", accountFile): nil, d.journal: nil}
	for name := range d.files {
		d.files[name], err = os.ReadFile(name)
		mustDo(t, err)
	}
	d.whole = d.files[d.journal]
	return d
}

// check opens the store with another journal: it has all messages, and either
// all of what was told of UIDs holds or UIDVALIDITY is a new one.
func (d *damageTest) check(t *testing.T, what string, journal []byte) {
	t.Helper()
	for name, text := range d.files {
		mustDo(t, os.WriteFile(name, text, 0o600))
	}
	mustDo(t, os.WriteFile(d.journal, journal, 0o600))
	d.checks++
	var after MailboxState
	for _, when := range []string{"", " again"} {
		if when != "" && d.checks%5 != 0 {
			return
		}
		s, err := openMaildir(d.dir, new(faultPlan).fault)
		mustDo(t, err)
		in := userMailbox(t, s, "alice", "INBOX")
		state := in.State()
		var bodies []string
		for _, i := range in.Messages() {
			body := storedBody(t, in, i.UID)
			bodies = append(bodies, body)
			if state.UIDValidity == d.state.UIDValidity && i.UID != d.uids[body] {
				t.Errorf("%s: %q had UID %d and has %d", what, body, d.uids[body], i.UID)
			}
		}
		if slices.Sort(bodies); !slices.Equal(bodies, damagedBodies) {
			t.Errorf("%s: got %q, want %q", what, bodies, damagedBodies)
		}
		trusted := state.UIDValidity == d.state.UIDValidity
		if trusted && (state.UIDNext < d.state.UIDNext || state.HighestModSeq < d.state.HighestModSeq || state.ID != d.state.ID) || !trusted && state.UIDValidity < d.state.UIDValidity {
			t.Errorf("%s: state was %+v and is %+v", what, d.state, state)
		}
		if when != "" {
			wantEqual(t, what+when, state, after)
		}
		after = state
		mustDo(t, s.Close())
	}
}

// TestMaildir_TornJournal cuts the journal of INBOX at every octet.
func TestMaildir_TornJournal(t *testing.T) {
	t.Parallel()
	d := newDamageTest(t)
	for cut := range d.whole {
		if d.check(t, fmt.Sprint("cut at ", cut), d.whole[:cut]); t.Failed() {
			return
		}
	}
	d.check(t, "whole", d.whole)
	d.check(t, "half a line more", append(slices.Clone(d.whole), `1234abcd {"kind":"ad`...))
	d.check(t, "zeros", append(slices.Clone(d.whole), make([]byte, 4096)...))
}

// TestMaildir_DamagedJournal flips bits of the journal.
func TestMaildir_DamagedJournal(t *testing.T) {
	t.Parallel()
	d := newDamageTest(t)
	flips := 300
	if testing.Short() {
		flips = 50
	}
	for range flips {
		bad, what := slices.Clone(d.whole), "flipped"
		for range 1 + rand.IntN(3) {
			at, bit := rand.IntN(len(bad)), rand.IntN(8)
			bad[at] ^= 1 << bit
			what += fmt.Sprintf(" %d.%d", at, bit)
		}
		if d.check(t, what, bad); t.Failed() {
			return
		}
	}
	d.check(t, "no journal but noise", []byte("\x00\x01\nnoise\n\n"))
}

// TestMaildir_TornLineIsNotKept: a line that was never acknowledged leaves nothing behind,
// and what is written after it counts.
func TestMaildir_TornLineIsNotKept(t *testing.T) {
	m := newMaildirTest(t)
	putAll(t, testMailbox(t, m.a, "INBOX"), "one\r\n")
	before := testMailbox(t, m.a, "INBOX").State()
	path := filepath.Join(m.user, journalFile)
	m.reopen(t, func() {
		whole, err := os.ReadFile(path)
		mustDo(t, err)
		mustDo(t, os.WriteFile(path, append(whole, `12345678 {"kind":"gone","uids":[1`...), 0o600))
	})
	wantEqual(t, "state", testMailbox(t, m.a, "INBOX").State(), before)
	putAll(t, testMailbox(t, m.a, "INBOX"), "two\r\n")
	m.reopen(t)
	wantSlice(t, "uids", uidsOf(testMailbox(t, m.a, "INBOX").Messages()), []uint32{1, 2})
}

// TestMaildir_OldMoveTakesNothing: the last line of a journal tells of a move that was done
// long ago. A message that got the same UID since, as the other journal was damaged, stays.
func TestMaildir_OldMoveTakesNothing(t *testing.T) {
	m := newMaildirTest(t)
	in := testMailbox(t, m.a, "INBOX")
	putAll(t, in, "moved\r\n")
	_, err := m.a.Move(t.Context(), in, []uint32{1}, testMailbox(t, m.a, "Archive"))
	mustDo(t, err)
	m.reopen(t, func() {
		mustDo(t, os.WriteFile(filepath.Join(m.user, "new", "1.x.host"), []byte("other\n"), 0o600))
		whole, err := os.ReadFile(filepath.Join(m.user, journalFile))
		mustDo(t, err)
		lines := strings.SplitAfter(string(whole), "\n")
		mustDo(t, os.WriteFile(filepath.Join(m.user, journalFile), []byte(lines[0]+lines[1]), 0o600)) // the ID is still there
	})
	for range 2 {
		in = testMailbox(t, m.a, "INBOX")
		wantSlice(t, "uids", uidsOf(in.Messages()), []uint32{1})
		wantEqual(t, "body", storedBody(t, in, 1), "other\r\n")
		wantEqual(t, "moved", testMailbox(t, m.a, "Archive").State().Messages, 1)
		m.reopen(t)
	}
}

// TestMaildir_FileThatStays: the file of an expunged message that could not be removed does
// not come back as a new message, also when more was written since.
func TestMaildir_FileThatStays(t *testing.T) {
	dir := t.TempDir()
	stuck := true
	s, err := openMaildir(dir, func(op, name string) error {
		if stuck && op == "remove" && strings.HasPrefix(name, "new/") {
			return syscall.EIO
		}
		return nil
	})
	mustDo(t, err)
	in := userMailbox(t, s, "alice", "INBOX")
	putAll(t, in, "gone\r\n")
	_, err = in.Expunge([]uint32{1})
	mustDo(t, err)
	putAll(t, in, "stays\r\n")
	for _, kept := range []bool{true, false, false} {
		in.(*mailbox).mu.Lock()
		mustDo(t, in.(*mailbox).refresh(true))
		in.(*mailbox).mu.Unlock()
		wantSlice(t, "uids", uidsOf(in.Messages()), []uint32{2})
		files, err := os.ReadDir(filepath.Join(dir, "alice", "new"))
		mustDo(t, err)
		wantEqual(t, "files", len(files) == 2, kept)
		stuck = false
		s = openAgain(t, dir, s)
		in = userMailbox(t, s, "alice", "INBOX")
	}
	mustDo(t, s.Close())
}

// TestMaildir_OddFiles: files that other programs might leave do not get in the way.
func TestMaildir_OddFiles(t *testing.T) {
	m := newMaildirTest(t)
	for name, year := range map[string]int{"1.far.host": 20000, "2.old.host": -5} {
		path := filepath.Join(m.user, "new", name)
		mustDo(t, os.WriteFile(path, []byte("odd\n"), 0o600))
		at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Logf("no such times here: %v", err)
		}
	}
	long := strings.Repeat("l", 240)
	mustDo(t, os.WriteFile(filepath.Join(m.user, "cur", long+":2,S"), []byte("long\n"), 0o600))
	mustDo(t, os.Mkdir(filepath.Join(m.user, "cur", "directory"), 0o700))
	wantEqual(t, "messages", testMailbox(t, m.a, "INBOX").State().Messages, 3)
	want := describe(t, m.a)
	m.reopen(t)
	wantEqual(t, "opened again", describe(t, m.a), want)
	_, err := testMailbox(t, m.a, "INBOX").Expunge([]uint32{1, 2, 3})
	mustDo(t, err)
	m.reopen(t)
	wantEqual(t, "expunged", testMailbox(t, m.a, "INBOX").State().Messages, 0)
}

// TestMaildir_LostNameFile: a mailbox the long name of which is lost is still there.
func TestMaildir_LostNameFile(t *testing.T) {
	m := newMaildirTest(t)
	long := strings.Repeat("Long ", 60)
	mustDo(t, m.a.Create(long, ""))
	putAll(t, testMailbox(t, m.a, long), "kept\r\n")
	dir := filepath.Join(m.user, folderName(long))
	for _, damage := range []func() error{
		func() error { return os.Truncate(filepath.Join(dir, nameFile), 0) },
		func() error { return os.Remove(filepath.Join(dir, nameFile)) },
	} {
		m.reopen(t, func() { mustDo(t, damage()) })
		name := folderName(long)[1:]
		wantEqual(t, "body", storedBody(t, testMailbox(t, m.a, name), 1), "kept\r\n")
	}
}

// TestMaildir_ManyExpunges: a journal does not grow with the messages that were, and is
// not rewritten all the time either.
func TestMaildir_ManyExpunges(t *testing.T) {
	rewritten := 0
	s, err := openMaildir(t.TempDir(), func(op, name string) error {
		if op == "rename" && name == journalFile+".new" {
			rewritten++
		}
		return nil
	})
	mustDo(t, err)
	defer s.Close()
	in := userMailbox(t, s, "alice", "INBOX")
	rewritten = 0
	for i := range 3 * journalSlack {
		putAll(t, in, "x")
		_, err := in.Expunge([]uint32{uint32(i + 1)})
		mustDo(t, err)
	}
	if rewritten < 1 || rewritten > 10 {
		t.Errorf("the journal was rewritten %d times for %d changes", rewritten, 6*journalSlack)
	}
}

// TestDeliverAll_CutShort stages what a process leaves that is killed when one of two
// mailboxes has the message: nobody has it after the next start.
func TestDeliverAll_CutShort(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenMaildir(dir)
	mustDo(t, err)
	letters := []letter{{userMailbox(t, s, "alice", "INBOX"), NewMessage{Body: strings.NewReader("both")}}, {userMailbox(t, s, "bob", "INBOX"), NewMessage{Body: strings.NewReader("both")}}}
	mustDo(t, deliverAll(t.Context(), letters))
	all := make([]arriving, 2)
	for i, l := range letters {
		m := l.box.(*mailbox)
		all[i].in, err = m.acct.takeAll(t.Context(), []NewMessage{{Body: strings.NewReader("cut")}})
		mustDo(t, err)
	}
	_, err = pledge(letters, all)
	mustDo(t, err)
	_, err = letters[0].box.(*mailbox).publish(t.Context(), all[0].in)
	mustDo(t, err)
	for range 2 {
		s = openAgain(t, dir, s)
		for _, user := range []string{"alice", "bob"} {
			wantSlice(t, user, uidsOf(userMailbox(t, s, user, "INBOX").Messages()), []uint32{1})
		}
	}
	mustDo(t, s.Close())
}

// TestDeliverAll_Memory: if one mailbox cannot take it, none has it.
func TestDeliverAll_Memory(t *testing.T) {
	s := keepStore(t, NewMemory())
	bad := errors.New("cut off")
	err := deliverAll(t.Context(), []letter{{userMailbox(t, s, "alice", "INBOX"), NewMessage{Body: strings.NewReader("both")}},
		{userMailbox(t, s, "bob", "INBOX"), NewMessage{Body: errReader{bad}}}})
	wantError(t, "deliver", err, bad)
	wantEqual(t, "alice", userMailbox(t, s, "alice", "INBOX").State().Messages, 0)
}
