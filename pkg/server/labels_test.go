package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// labelPrepare makes an account with a message in each place.
func labelPrepare(t *testing.T, s Store) {
	a, err := s.Account("alice")
	mustDo(t, err)
	mustDo(t, a.Create("work/a", ""))
	putAll(t, testMailbox(t, a, "INBOX"), "one", "two", "three")
	putAll(t, testMailbox(t, a, "work/a"), "four")
	putAll(t, testMailbox(t, a, "[Gmail]/Starred"), "star")
	putAll(t, testMailbox(t, a, "[Gmail]/Spam"), "spam")
	putAll(t, testMailbox(t, a, "[Gmail]/Trash"), "trash")
	in := testMailbox(t, a, "INBOX")
	_, err = a.Copy(t.Context(), in, []uint32{1}, testMailbox(t, a, "work/a"))
	mustDo(t, err)
	_, err = in.SetFlags([]uint32{2}, withFlag(flagDeleted))
	mustDo(t, err)
}

// labelBefore is what labelPrepare makes: flags and labels by the body.
var labelBefore = map[string]string{
	"one": "[] INBOX work/a", "two": "[] INBOX", "three": "[] INBOX", "four": "[] work/a", "star": `[\Flagged] [Gmail]/Starred`,
	"spam": "[] [Gmail]/Spam", "trash": "[] [Gmail]/Trash",
}

// labelState tells where each message is, and holds what must be so at any time.
func labelState(t *testing.T, s Store) map[string]string {
	t.Helper()
	account, err := s.Account("alice")
	mustDo(t, err)
	a := account.(*labelAccount)
	state, byID := map[string]string{}, map[string]MessageInfo{}
	for _, name := range []string{labelAll, "[Gmail]/Spam", "[Gmail]/Trash"} {
		b := testMailbox(t, a, name)
		for _, m := range b.Messages() {
			body := storedBody(t, b, m.UID)
			if _, twice := state[body]; twice {
				t.Errorf("%s is there twice", body)
			}
			m.Flags = slices.DeleteFunc(slices.Clone(m.Flags), func(f string) bool { return f == flagDeleted })
			state[body] = strings.TrimSpace(fmt.Sprint(m.Flags) + " " + strings.Join(a.Labels(m.ID), " "))
			byID[m.ID] = m
		}
	}
	for _, info := range a.List() {
		if info.NoSelect {
			continue
		}
		for _, m := range testMailbox(t, a, info.Name).Messages() {
			flags := slices.DeleteFunc(slices.Clone(m.Flags), func(f string) bool { return f == flagDeleted })
			if whole, ok := byID[m.ID]; !ok || !slices.Equal(flags, whole.Flags) {
				t.Errorf("%s UID %d has %q, the message %+v", info.Name, m.UID, flags, whole)
			}
		}
	}
	for body, where := range state {
		if strings.Contains(where, "Starred") != strings.Contains(where, "Flagged") && !strings.Contains(where, "Trash") && !strings.Contains(where, "Spam") {
			t.Errorf("%s: flag and label differ: %s", body, where)
		}
	}
	return state
}

// labelCase is a change and the messages that are different after it; "" is gone. One in steps may be done by half.
type labelCase struct {
	name   string
	change func(ctx context.Context, t *testing.T, a *labelAccount) error
	after  map[string]string
	steps  bool
}

func labelTransfer(from, to string, move bool, uids ...uint32) func(context.Context, *testing.T, *labelAccount) error {
	return func(ctx context.Context, t *testing.T, a *labelAccount) error {
		f, err := a.Mailbox(from)
		if err != nil {
			return err
		}
		b, err := a.Mailbox(to)
		if err != nil {
			return err
		}
		do := a.Copy
		if move {
			do = a.Move
		}
		copied, err := do(ctx, f, uids, b)
		if err == nil && len(copied) != len(uids) {
			t.Errorf("got %v for %v", copied, uids)
		}
		return err
	}
}

func labelExpunge(name string, uids ...uint32) func(context.Context, *testing.T, *labelAccount) error {
	return func(_ context.Context, t *testing.T, a *labelAccount) error {
		b, err := a.Mailbox(name)
		if err != nil {
			return err
		}
		gone, err := b.Expunge(append(uids, 99))
		if err == nil && !slices.Equal(gone, uids) {
			t.Errorf("got %v, want %v", gone, uids)
		}
		return err
	}
}

func labelFlag(name, flag string, uids ...uint32) func(context.Context, *testing.T, *labelAccount) error {
	return func(_ context.Context, _ *testing.T, a *labelAccount) error {
		b, err := a.Mailbox(name)
		if err != nil {
			return err
		}
		_, err = b.SetFlags(uids, withFlag(flag))
		return err
	}
}

var labelCases = []labelCase{
	{"append", func(ctx context.Context, _ *testing.T, a *labelAccount) error {
		b, err := a.Mailbox("work/a")
		if err != nil {
			return err
		}
		_, err = b.Append(ctx, []NewMessage{{Body: strings.NewReader("x"), Flags: []string{`\Flagged`}}, {Body: strings.NewReader("y"), Flags: []string{flagDeleted}}})
		return err
	}, map[string]string{"x": `[\Flagged] [Gmail]/Starred work/a`, "y": "[] work/a"}, false},
	{"append to spam", func(ctx context.Context, _ *testing.T, a *labelAccount) error {
		b, err := a.Mailbox("[Gmail]/Spam")
		if err != nil {
			return err
		}
		_, err = b.Append(ctx, []NewMessage{{Body: strings.NewReader("x"), Flags: []string{`\Flagged`}}})
		return err
	}, map[string]string{"x": `[\Flagged] [Gmail]/Spam`}, false},
	{"copy", labelTransfer("INBOX", "work/a", false, 1, 2), map[string]string{"two": "[] INBOX work/a"}, false},
	{"copy to all", labelTransfer("INBOX", labelAll, false, 1, 2), nil, false},
	{"copy to itself", labelTransfer("INBOX", "INBOX", false, 1, 2), nil, false},
	{"copy to starred", labelTransfer("INBOX", "[Gmail]/Starred", false, 1), map[string]string{"one": `[\Flagged] INBOX [Gmail]/Starred work/a`}, false},
	{"copy to trash", labelTransfer("INBOX", "[Gmail]/Trash", false, 1, 2), map[string]string{"one": "[] [Gmail]/Trash", "two": "[] [Gmail]/Trash"}, false},
	{"copy from trash", labelTransfer("[Gmail]/Trash", "INBOX", false, 1), map[string]string{"trash": "[] INBOX"}, false},
	{"copy from spam to all", labelTransfer("[Gmail]/Spam", labelAll, false, 1), map[string]string{"spam": "[]"}, false},
	{"copy from spam to trash", labelTransfer("[Gmail]/Spam", "[Gmail]/Trash", false, 1), map[string]string{"spam": "[] [Gmail]/Trash"}, false},
	{"move", labelTransfer("INBOX", "work/a", true, 1, 2), map[string]string{"one": "[] work/a", "two": "[] work/a"}, true},
	{"move from starred", labelTransfer("[Gmail]/Starred", "INBOX", true, 1), map[string]string{"star": "[] INBOX"}, true},
	{"move from all", labelTransfer(labelAll, "[Gmail]/Important", true, 4), map[string]string{"four": "[] [Gmail]/Important work/a"}, false},
	{"move to trash", labelTransfer(labelAll, "[Gmail]/Trash", true, 1), map[string]string{"one": "[] [Gmail]/Trash"}, false},
	{"move from trash", labelTransfer("[Gmail]/Trash", "[Gmail]/Spam", true, 1), map[string]string{"trash": "[] [Gmail]/Spam"}, false},
	{"flag", labelFlag("INBOX", "k", 1, 3), map[string]string{"one": "[k] INBOX work/a", "three": "[k] INBOX"}, false},
	{"star", labelFlag("work/a", `\Flagged`, 1), map[string]string{"four": `[\Flagged] [Gmail]/Starred work/a`}, false},
	{"mark deleted", labelFlag(labelAll, flagDeleted, 1), nil, false},
	{"expunge", labelExpunge("INBOX", 1, 2), map[string]string{"one": "[] work/a", "two": "[]"}, false},
	{"expunge all", labelExpunge(labelAll, 1), map[string]string{"one": "[] [Gmail]/Trash"}, false},
	{"expunge starred", labelExpunge("[Gmail]/Starred", 1), map[string]string{"star": "[]"}, false},
	{"expunge trash", labelExpunge("[Gmail]/Trash", 1), map[string]string{"trash": ""}, false},
	{"labels", func(ctx context.Context, _ *testing.T, a *labelAccount) error {
		_, err := a.SetLabels(ctx, a.all, []uint32{1, 4}, labelChange{op: '=', names: []string{"new", "[Gmail]/Starred"}})
		return err
	}, map[string]string{"one": `[\Flagged] [Gmail]/Starred new`, "four": `[\Flagged] [Gmail]/Starred new`}, true},
	{"trash by label", func(ctx context.Context, _ *testing.T, a *labelAccount) error {
		_, err := a.SetLabels(ctx, a.all, []uint32{1}, labelChange{op: '+', names: []string{"[Gmail]/Trash", "work/a"}})
		return err
	}, map[string]string{"one": "[] [Gmail]/Trash"}, true},
	{"delete", func(_ context.Context, _ *testing.T, a *labelAccount) error { return a.Delete("work/a") },
		map[string]string{"one": "[] INBOX", "four": "[]"}, false},
	{"rename", func(_ context.Context, _ *testing.T, a *labelAccount) error { return a.Rename("work", "play") },
		map[string]string{"one": "[] INBOX play/a", "four": "[] play/a"}, false},
}

func (c *labelCase) want() map[string]string {
	want := maps.Clone(labelBefore)
	maps.Copy(want, c.after)
	maps.DeleteFunc(want, func(_, where string) bool { return where == "" })
	return want
}

// TestLabels makes every change in memory, twice where that means something.
func TestLabels(t *testing.T) {
	for _, c := range labelCases {
		t.Run(c.name, func(t *testing.T) {
			s := newLabelStore(NewMemory().(*localStore))
			labelPrepare(t, s)
			if got := labelState(t, s); !maps.Equal(got, labelBefore) {
				t.Fatalf("before:\n got %q\nwant %q", got, labelBefore)
			}
			a, err := s.Account("alice")
			mustDo(t, err)
			mustDo(t, c.change(t.Context(), t, a.(*labelAccount)))
			if got, want := labelState(t, s), c.want(); !maps.Equal(got, want) {
				t.Errorf("\n got %q\nwant %q", got, want)
			}
		})
	}
}

// TestLabels_FarUIDs: what is copied is told in the order of UIDs, also when they lie more than an int of 32 bits
// apart.
func TestLabels_FarUIDs(t *testing.T) {
	s := newLabelStore(NewMemory().(*localStore))
	in := userMailbox(t, s, "alice", "INBOX").(*labelBox)
	putAll(t, in, "one")
	in.mailbox.mu.Lock()
	in.mailbox.uidNext = 3 << 30
	in.mailbox.mu.Unlock()
	putAll(t, in, "two")
	uids := []uint32{1, 3 << 30}
	mustDo(t, in.acct.Create("work", ""))
	to := testMailbox(t, in.acct, "work")
	_, err := in.acct.Copy(t.Context(), in, uids[1:], to)
	mustDo(t, err)
	got, err := in.acct.Copy(t.Context(), in, uids, to)
	if want := []CopiedUID{{uids[0], 2}, {uids[1], 1}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestLabels_ModSeq: a change of labels raises the mod-sequence of the message in the mailbox of all mail, and of no
// other one.
func TestLabels_ModSeq(t *testing.T) {
	for _, c := range labelCases {
		t.Run(c.name, func(t *testing.T) {
			s := newLabelStore(NewMemory().(*localStore))
			labelPrepare(t, s)
			all := userMailbox(t, s, "alice", labelAll)
			before := map[uint32]uint64{}
			for _, m := range all.Messages() {
				before[m.UID] = m.ModSeq
			}
			a, err := s.Account("alice")
			mustDo(t, err)
			mustDo(t, c.change(t.Context(), t, a.(*labelAccount)))
			for _, m := range all.Messages() {
				_, other := c.after[storedBody(t, all, m.UID)]
				if was, ok := before[m.UID]; ok && (m.ModSeq != was) != (other || c.name == "mark deleted" && m.UID == 1) {
					t.Errorf("UID %d: mod-sequence %d after %d, changed: %v", m.UID, m.ModSeq, was, other)
				}
			}
		})
	}
}

// TestLabels_DiskFails lets each single operation on the disk fail, and the disk be gone from each one on, in every
// change: no message is lost or there twice, all its mailboxes agree at once and after opening the store again, a
// change that was acknowledged is there, and one that was not, to its end or not at all, unless it has steps.
func TestLabels_DiskFails(t *testing.T) {
	var points atomic.Int64
	t.Run("changes", func(t *testing.T) {
		for _, c := range labelCases {
			if c.after == nil {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, p := range []faultPlan{{err: syscall.EIO}, {err: syscall.EIO, stays: true}} {
					for p.at = 1; !t.Failed() && labelFaultOnce(t, c, p); p.at++ {
						points.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d points", points.Load())
}

func labelFaultOnce(t *testing.T, c labelCase, p faultPlan) bool {
	t.Helper()
	dir := t.TempDir()
	base, err := openMaildir(dir, p.fault)
	mustDo(t, err)
	s := newLabelStore(base.(*localStore))
	labelPrepare(t, s)
	account, err := s.Account("alice")
	mustDo(t, err)
	p.armed = true
	err = c.change(t.Context(), t, account.(*labelAccount))
	live := p.hit != "" && !p.stays
	if live {
		p.armed = false
	}
	check := func(when string, s Store) {
		t.Helper()
		got := labelState(t, s)
		for body := range labelBefore {
			if where, changes := c.after[body]; got[body] == "" && (where != "" || !changes) {
				t.Errorf("%s is lost", body)
			}
		}
		done, undone := maps.Equal(got, c.want()), maps.Equal(got, labelBefore)
		if err == nil && !done || err != nil && !c.steps && !done && !undone {
			t.Errorf("%s: error %v:\n got %q\nwant %q", when, err, got, c.want())
		}
		if t.Failed() {
			t.Fatalf("%d, %s, stays %v, %s: error %v", p.at, p.hit, p.stays, when, err)
		}
	}
	if live {
		check("at once", s)
	}
	again := openAgain(t, dir, s)
	defer again.Close()
	check("opened again", newLabelStore(again.(*localStore)))
	return p.hit != ""
}

// TestLabels_Outside: what other programs put into the Maildir of a label is in that of all mail too.
func TestLabels_Outside(t *testing.T) {
	dir := t.TempDir()
	base, err := OpenMaildir(dir)
	mustDo(t, err)
	defer base.Close()
	s := newLabelStore(base.(*localStore))
	labelPrepare(t, s)
	other, err := base.Account("alice")
	mustDo(t, err)
	putAll(t, testMailbox(t, other, "work/a"), "from outside")
	want := maps.Clone(labelBefore)
	want["from outside"] = "[] work/a"
	if got := labelState(t, s); !maps.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// TestLabels_Concurrent: many change the same messages at once, while deliveries come in; in the end all mailboxes
// agree and no message is lost.
func TestLabels_Concurrent(t *testing.T) {
	s := newLabelStore(NewMemory().(*localStore))
	labelPrepare(t, s)
	account, err := s.Account("alice")
	mustDo(t, err)
	a := account.(*labelAccount)
	in, targets := testMailbox(t, a, "INBOX"), slices.Clone(a.boxes)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				letters := []letter{{in, NewMessage{Body: strings.NewReader(fmt.Sprint("new ", w, " ", i))}}}
				if err := deliverAll(context.Background(), letters); err != nil {
					t.Error(err)
				}
				uids := []uint32{uint32(i), uint32(i + 1)} // some are there no more
				_, err := in.SetFlags(uids, withFlag([]string{`\Flagged`, `\Seen`, flagDeleted, "k"}[w]))
				_, cerr := a.Copy(context.Background(), in, uids, targets[1+(w+i)%(len(targets)-1)])
				_, merr := a.Move(context.Background(), a.trash, uids, in)
				_, lerr := a.SetLabels(context.Background(), a.all, uids, labelChange{op: "+-="[w%3], names: []string{fmt.Sprint("label ", i%3), labelStarred}})
				if err := errors.Join(err, cerr, merr, lerr); err != nil {
					t.Error(err)
				}
				in.State()
				for _, m := range a.all.Messages() {
					a.Labels(m.ID)
				}
			}
		})
	}
	wg.Wait()
	if got := len(labelState(t, s)); got != len(labelBefore)+100 {
		t.Errorf("got %d messages, want %d", got, len(labelBefore)+100)
	}
}

// TestLabels_Restart: ids, UIDs and mod-sequences are the same after opening the store again, which changes nothing.
func TestLabels_Restart(t *testing.T) {
	dir := t.TempDir()
	tell := func() (text string) {
		t.Helper()
		base, err := openMaildir(dir, new(faultPlan).fault)
		mustDo(t, err)
		defer base.Close()
		s := newLabelStore(base.(*localStore))
		a, err := s.Account("alice")
		mustDo(t, err)
		if len(testMailbox(t, a, labelAll).Messages()) == 0 {
			labelPrepare(t, s)
		}
		for _, info := range a.List() {
			if info.NoSelect {
				continue
			}
			b := testMailbox(t, a, info.Name)
			text += fmt.Sprintf("%+v %+v\n", info, b.State())
			for _, m := range b.Messages() {
				text += fmt.Sprintf("%d %d %d %q %q\n", m.UID, m.ModSeq, gmailNumber(m.ID), m.Flags, a.(*labelAccount).Labels(m.ID))
			}
		}
		return text
	}
	if first, again := tell(), tell(); first != again {
		t.Errorf("got\n%s\nwant\n%s", again, first)
	}
}
