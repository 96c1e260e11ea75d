package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// faultPlan makes the operation at a position fail. The zero value lets all pass.
type faultPlan struct {
	at    int   // 1 for the first
	err   error // of errShortWrite only writes are counted
	stays bool  // all after it fail too
	seen  int
	armed bool
	hit   string
}

func (p *faultPlan) fault(op, name string) error {
	if !p.armed || op == "stat" || errors.Is(p.err, errShortWrite) && op != "write" {
		return nil
	}
	if p.seen++; p.seen != p.at && !(p.stays && p.seen > p.at) {
		return nil
	}
	if p.hit == "" {
		p.hit = op + " " + name
	}
	return p.err
}

// faultCase is a change, and what the bodies in each mailbox are before and after it.
type faultCase struct {
	name   string
	change func(t *testing.T, s Store) error
	after  map[string][]string
}

// faultBefore is what faultPrepare makes.
var faultBefore = map[string][]string{
	"alice/INBOX": {"1 one", "2 two [k]", `3 three [\Seen]`}, "alice/Archive": {"1 old"}, "bob/INBOX": {"1 bob"},
}

func faultPrepare(t *testing.T, s Store) {
	in := userMailbox(t, s, "alice", "INBOX")
	putAll(t, in, "one", "two", "three")
	_, err := in.SetFlags([]uint32{2}, func(MessageInfo) ([]string, bool) { return []string{"k"}, true })
	mustDo(t, err)
	_, err = in.SetFlags([]uint32{3}, func(MessageInfo) ([]string, bool) { return []string{`\Seen`}, true })
	mustDo(t, err)
	putAll(t, userMailbox(t, s, "alice", "Archive"), "old")
	putAll(t, userMailbox(t, s, "bob", "INBOX"), "bob")
}

func userMailbox(t testing.TB, s Store, user, name string) Mailbox {
	t.Helper()
	a, err := s.Account(user)
	mustDo(t, err)
	return testMailbox(t, a, name)
}

// faultChanges change the store in every way. UIDs of new messages are not told: those
// of an attempt that failed are used up.
var faultChanges = []faultCase{
	{"append", func(t *testing.T, s Store) error {
		m, err := findMailbox(s, "alice", "INBOX")
		if err != nil {
			return err
		}
		_, err = m.Append(t.Context(), []NewMessage{{Body: strings.NewReader("new"), Flags: []string{`\Flagged`}}})
		return err
	}, map[string][]string{"alice/INBOX": {"1 one", "2 two [k]", `3 three [\Seen]`, `+ new [\Flagged]`}}},
	{"multiappend", func(t *testing.T, s Store) error {
		m, err := findMailbox(s, "alice", "Archive")
		if err != nil {
			return err
		}
		_, err = m.Append(t.Context(), []NewMessage{{Body: strings.NewReader("x")}, {Body: strings.NewReader("bare\ny")}, {Body: strings.NewReader("z"), Flags: []string{`\Seen`}}})
		return err
	}, map[string][]string{"alice/Archive": {"1 old", "+ x", "+ bare\ny", `+ z [\Seen]`}}},
	{"store", func(t *testing.T, s Store) error {
		m, err := findMailbox(s, "alice", "INBOX")
		if err != nil {
			return err
		}
		_, err = m.SetFlags([]uint32{1, 3}, func(MessageInfo) ([]string, bool) { return []string{`\Answered`, "w"}, true })
		return err
	}, map[string][]string{"alice/INBOX": {`1 one [\Answered w]`, "2 two [k]", `3 three [\Answered w]`}}},
	{"expunge", func(t *testing.T, s Store) error {
		m, err := findMailbox(s, "alice", "INBOX")
		if err != nil {
			return err
		}
		_, err = m.Expunge([]uint32{1, 3})
		return err
	}, map[string][]string{"alice/INBOX": {"2 two [k]"}}},
	{"copy", func(t *testing.T, s Store) error {
		return faultTransfer(s, func(a Account, from, to Mailbox) ([]CopiedUID, error) {
			return a.Copy(t.Context(), from, []uint32{2, 3}, to)
		})
	}, map[string][]string{"alice/Archive": {"1 old", "+ two [k]", `+ three [\Seen]`}}},
	{"move", func(t *testing.T, s Store) error {
		return faultTransfer(s, func(a Account, from, to Mailbox) ([]CopiedUID, error) {
			return a.Move(t.Context(), from, []uint32{2, 3}, to)
		})
	}, map[string][]string{"alice/INBOX": {"1 one"}, "alice/Archive": {"1 old", "+ two [k]", `+ three [\Seen]`}}},
	{"deliver", func(t *testing.T, s Store) error {
		alice, err := findMailbox(s, "alice", "INBOX")
		bob, berr := findMailbox(s, "bob", "INBOX")
		if err = errors.Join(err, berr); err != nil {
			return err
		}
		return deliverAll(t.Context(), []letter{{alice, NewMessage{Body: strings.NewReader("both")}}, {bob, NewMessage{Body: strings.NewReader("both")}}})
	}, map[string][]string{"alice/INBOX": {"1 one", "2 two [k]", `3 three [\Seen]`, "+ both"}, "bob/INBOX": {"1 bob", "+ both"}}},
	{"create", func(t *testing.T, s Store) error {
		a, err := s.Account("alice")
		mustDo(t, err)
		return a.Create("A/"+strings.Repeat("long", 60), `\Important`)
	}, map[string][]string{"alice/A": nil, "alice/A/" + strings.Repeat("long", 60): nil}},
	{"delete", func(t *testing.T, s Store) error {
		a, err := s.Account("alice")
		mustDo(t, err)
		return a.Delete("Archive")
	}, map[string][]string{"alice/Archive": {"gone"}}},
	{"rename", func(t *testing.T, s Store) error {
		a, err := s.Account("alice")
		mustDo(t, err)
		return a.Rename("Archive", strings.Repeat("new", 80))
	}, map[string][]string{"alice/Archive": {"gone"}, "alice/" + strings.Repeat("new", 80): {"+ old"}}},
	{"rename INBOX", func(t *testing.T, s Store) error {
		a, err := s.Account("alice")
		mustDo(t, err)
		return a.Rename("INBOX", "Was")
	}, map[string][]string{"alice/INBOX": nil, "alice/Was": {"+ one", "+ two [k]", `+ three [\Seen]`}}},
}

func findMailbox(s Store, user, name string) (Mailbox, error) {
	a, err := s.Account(user)
	if err != nil {
		return nil, err
	}
	return a.Mailbox(name)
}

// faultTransfer copies or moves from INBOX to Archive.
func faultTransfer(s Store, do func(a Account, from, to Mailbox) ([]CopiedUID, error)) error {
	from, err := findMailbox(s, "alice", "INBOX")
	to, terr := findMailbox(s, "alice", "Archive")
	if err = errors.Join(err, terr); err != nil {
		return err
	}
	a, err := s.Account("alice")
	if err == nil {
		_, err = do(a, from, to)
	}
	return err
}

// faultState tells what is in all mailboxes but the empty ones that were there before.
func faultState(t *testing.T, s Store) map[string][]string {
	t.Helper()
	state := map[string][]string{}
	for _, user := range []string{"alice", "bob"} {
		a, err := s.Account(user)
		mustDo(t, err)
		for _, info := range a.List() {
			m := testMailbox(t, a, info.Name)
			var lines []string
			for _, i := range m.Messages() {
				uid := fmt.Sprint(i.UID)
				if known := faultBefore[user+"/"+info.Name]; int(i.UID) > len(known) {
					uid = "+"
				}
				line := uid + " " + storedBody(t, m, i.UID)
				if len(i.Flags) > 0 {
					line += " " + fmt.Sprint(i.Flags)
				}
				lines = append(lines, line)
			}
			state[user+"/"+info.Name] = lines
		}
	}
	return state
}

// faultWant is the state after c.
func faultWant(before map[string][]string, c faultCase) map[string][]string {
	want := maps.Clone(before)
	for name, lines := range c.after {
		if want[name] = lines; len(lines) == 1 && lines[0] == "gone" {
			delete(want, name)
		}
	}
	return want
}

func sameState(x, y map[string][]string) bool { return maps.EqualFunc(x, y, slices.Equal[[]string]) }

// TestMaildir_DiskFails lets each single operation on the disk fail, in every change, and
// lets the disk be full from each write on: the change fails and has changed nothing,
// before and after opening the store again, and done again it succeeds, once.
func TestMaildir_DiskFails(t *testing.T) {
	var points atomic.Int64
	t.Run("changes", func(t *testing.T) {
		for _, c := range faultChanges {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, p := range []faultPlan{{err: syscall.EIO}, {err: errShortWrite}, {err: errShortWrite, stays: true}} {
					for p.at = 1; !t.Failed() && faultOnce(t, c, p); p.at++ {
						points.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d points", points.Load())
}

// faultOnce runs c with one operation that fails. It is false when there is none at
// that position.
func faultOnce(t *testing.T, c faultCase, p faultPlan) bool {
	t.Helper()
	dir := t.TempDir()
	s, err := openMaildir(dir, p.fault)
	mustDo(t, err)
	closed := false
	defer func() {
		if !closed {
			_ = s.Close()
		}
	}()
	faultPrepare(t, s)
	before, marks := faultState(t, s), faultMarks(t, s)
	want := faultWant(before, c)
	p.armed = true
	err = c.change(t, s)
	p.armed = false
	what := fmt.Sprintf("%d, %s, %v", p.at, p.hit, p.err)
	if p.hit == "" {
		mustDo(t, err)
		return false
	}
	check := func(when string, s Store, want map[string][]string) {
		if got := faultState(t, s); !sameState(got, want) {
			t.Errorf("%s: %s, error %v:\n got %q\nwant %q", what, when, err, got, want)
		}
	}
	failed := err != nil
	if failed {
		check("failed", s, before)
	} else {
		check("not hurt", s, want)
	}
	again := openAgain(t, dir, s)
	closed = true
	if !failed {
		check("opened again", again, want)
	} else {
		check("opened again", again, before)
		if err := c.change(t, again); err != nil {
			t.Errorf("%s: done again: %v", what, err)
		}
		check("done again", again, want)
	}
	last := openAgain(t, dir, again)
	check("at the end", last, want)
	checkMarks(t, what, marks, faultMarks(t, last))
	mustDo(t, last.Close())
	return true
}

func openAgain(t *testing.T, dir string, s Store) Store {
	t.Helper()
	_ = s.Close() // an error is of the fault
	again, err := openMaildir(dir, new(faultPlan).fault)
	mustDo(t, err)
	return again
}

// faultMarks are the counters of mailboxes by their ID.
func faultMarks(t *testing.T, s Store) map[string]MailboxState {
	marks := map[string]MailboxState{}
	for _, user := range []string{"alice", "bob"} {
		a, err := s.Account(user)
		mustDo(t, err)
		for _, info := range a.List() {
			state := testMailbox(t, a, info.Name).State()
			marks[state.ID] = state
		}
	}
	return marks
}

func checkMarks(t *testing.T, what string, before, after map[string]MailboxState) {
	t.Helper()
	for id, b := range before {
		a, ok := after[id]
		if ok && (a.UIDValidity != b.UIDValidity || a.UIDNext < b.UIDNext || a.HighestModSeq < b.HighestModSeq) {
			t.Errorf("%s: counters went from %+v to %+v", what, b, a)
		}
	}
}
