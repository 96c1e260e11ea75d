package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
)

// fill gives the account some mail in several mailboxes.
func (r *rig) fill() {
	for i := range 40 {
		r.put("INBOX", text(i, 100+i*50), [][]string{{`\Seen`}, {`\Flagged`, "work"}, nil}[i%3]...)
	}
	for i := range 5 {
		r.put("Entwürfe/2026", text(100+i, 10))
		r.put("lists", text(i, 100+i*50)) // the same as in INBOX
	}
	r.put("odd", "")
	r.put("odd", "\r\n")
	r.put("odd", "bare\nLF and \r CR\r\n\x00\xff")
	r.put("odd", "no line end")
}

// change changes what a later run has to find.
func (r *rig) change() {
	inbox := r.box("INBOX")
	setFlags(r.t, inbox, 1, `\Seen`, `\Answered`)
	setFlags(r.t, inbox, 2)
	if _, err := inbox.Expunge([]uint32{3, 40}); err != nil {
		r.t.Fatal(err)
	}
	r.put("INBOX", text(200, 300), "new")
	r.put("lists", text(201, 300))
	if err := r.account.Delete("Trash"); err != nil {
		r.t.Fatal(err)
	}
}

// TestRun_AnyServer makes the same runs against our server as others are, and without
// each extension: the result is the same.
func TestRun_AnyServer(t *testing.T) {
	var cases [][2]string // persona, extension that is missing
	for _, p := range server.Personas() {
		cases = append(cases, [2]string{p, ""})
	}
	for _, ext := range []string{"", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CONDSTORE", "QRESYNC", "ESEARCH", "ENABLE", "OBJECTID", "STATUS=SIZE",
		"LITERAL+", "UNSELECT", "NAMESPACE", "UTF8=ACCEPT", "IMAP4rev2", "COMPRESS=DEFLATE", "CONDSTORE,QRESYNC", "CONDSTORE,QRESYNC,ESEARCH,LIST-STATUS,LIST-EXTENDED"} {
		cases = append(cases, [2]string{"", ext})
	}
	for _, c := range cases {
		t.Run(c[0]+" without "+c[1], func(t *testing.T) {
			var without []string
			if c[1] != "" {
				without = strings.Split(c[1], ",")
			}
			if c[0] == "" {
				without = append(without, slowAuth...)
			}
			r := newRig(t, c[0], "", without...)
			r.fill()
			r.must(RunOptions{MaxWait: 100 * time.Hour})
			r.check("first run")
			if rec := r.must(RunOptions{MaxWait: 100 * time.Hour}); rec.Bytes != 0 {
				t.Errorf("got %d octets of messages in the second run, want none", rec.Bytes)
			}
			r.check("second run")
			r.change()
			rec := r.must(RunOptions{MaxWait: 100 * time.Hour})
			r.check("third run")
			for _, m := range rec.Mailboxes {
				if m.Name == "INBOX" && (m.New != 1 || m.Changed != 2 || m.Gone != 2 || m.Stored != 39) {
					t.Errorf("got %+v, want 1 new, 2 changed, 2 gone, 39 stored", m)
				}
			}
		})
	}
}

// TestRun_Depth1 does the same over a connection that waits for each reply.
func TestRun_Depth1(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.depth = 1
	r.fill()
	r.must(RunOptions{})
	r.change()
	r.must(RunOptions{})
	r.check("depth 1")
}

// TestR3_UIDValidityChanges finds what is stored again, with and without ids of
// messages, and fetches nothing.
func TestR3_UIDValidityChanges(t *testing.T) {
	for _, without := range []string{"", "OBJECTID", "QRESYNC,CONDSTORE,OBJECTID"} {
		t.Run("without "+without, func(t *testing.T) {
			r := newRig(t, "", "", append(strings.Split(without, ","), slowAuth...)...)
			for i := range 40 {
				r.put("Work", text(i, 100+i*50), `\Seen`)
			}
			r.must(RunOptions{})
			before, _ := os.ReadDir(filepath.Join(r.dir, "Work", "cur"))
			r.reset("Work")
			r.faults.reset()
			rec := r.must(RunOptions{})
			for _, m := range rec.Mailboxes {
				if m.Name == "Work" && (m.Recognised != 40 || m.New != 0 || m.Size != 0) {
					t.Errorf("got %+v, want 40 recognised", m)
				}
			}
			if n := r.faults.bodies(); n != 0 {
				t.Errorf("got %d fetches of messages, want none", n)
			}
			r.check("after the change")
			after, _ := os.ReadDir(filepath.Join(r.dir, "Work", "cur"))
			if len(before) != len(after) {
				t.Errorf("got %d files, want %d", len(after), len(before))
			}
			if rec := r.must(RunOptions{}); rec.Bytes != 0 {
				t.Errorf("the run after that: got %d octets of messages, want none", rec.Bytes)
			}
		})
	}
}

// reset makes a mailbox anew, with the same messages under another UIDVALIDITY.
func (r *rig) reset(name string) {
	r.t.Helper()
	old := r.box(name)
	var uids []uint32
	for _, m := range old.Messages() {
		uids = append(uids, m.UID)
	}
	_, err := r.account.Move(context.Background(), old, uids, r.box("other"))
	if err == nil {
		err = errors.Join(r.account.Delete(name), r.account.Rename("other", name))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestR5_NotGiven is a message that the server says it has and does not give, in
// several ways.
func TestR5_NotGiven(t *testing.T) {
	for name, script := range map[string]string{
		"left out": "on IMAP UID FETCH *BODY*: lie vanished",
		"refused":  "on IMAP UID FETCH *BODY*: reply NO [SERVERBUG] broken message",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "", script, slowAuth...)
			r.put("INBOX", text(1, 10))
			r.put("Work", text(2, 10))
			rec, err := r.run(RunOptions{})
			if err != nil || rec.Complete() {
				t.Fatalf("got %+v, %v, want an incomplete receipt", rec, err)
			}
			for _, m := range rec.Mailboxes {
				if m.Server == 1 && (len(m.Missing) != 1 || m.Missing[0].UID != 1 || m.Missing[0].Why == "") {
					t.Errorf("got %+v, want one missing message", m)
				}
			}
			r.misbehave(nil)
			r.must(RunOptions{})
			r.check("afterwards")
		})
	}
}

// TestR5_GoesMeanwhile is a message that is expunged while it is fetched: no failure.
func TestR5_GoesMeanwhile(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 5 {
		r.put("INBOX", text(i, 10))
	}
	var once sync.Once
	r.misbehave(striker(func(e server.Event) server.Strike {
		if e.Command == "UID FETCH" && strings.Contains(e.Arg, "BODY") {
			once.Do(func() { _, _ = r.box("INBOX").Expunge([]uint32{2}) })
		}
		return server.Strike{}
	}))
	r.must(RunOptions{})
	r.check("one went")
}

type striker func(server.Event) server.Strike

func (s striker) Strike(e server.Event) server.Strike { return s(e) }

// TestS8_SizesLie stores what came.
func TestS8_SizesLie(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH: lie wrong-size", slowAuth...)
	for i := range 12 {
		r.put("INBOX", text(i, 100))
	}
	rec := r.must(RunOptions{})
	if len(rec.Warnings) == 0 {
		t.Error("no warning of sizes that are not right")
	}
	r.check("sizes lie")
}

// TestRun_Throttled waits as the server asks, and goes on.
func TestRun_Throttled(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH 2 times: reply NO Request is throttled. Suggested Backoff Time: 90000 milliseconds", slowAuth...)
	r.fill()
	var waits []time.Duration
	var mu sync.Mutex
	o := RunOptions{Event: func(e Event) {
		if e.Kind == EventWait {
			mu.Lock()
			waits = append(waits, e.Wait)
			mu.Unlock()
		}
	}}
	r.must(o)
	r.check("throttled")
	if len(waits) == 0 || slices.Max(waits) < 80*time.Second {
		t.Errorf("got pauses %v, want one of 90 s", waits)
	}
}

// TestRun_ThrottledTooLong ends the run, and says what is left.
func TestRun_ThrottledTooLong(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH: reply NO [OVERQUOTA] Account exceeded command or bandwidth limits.", slowAuth...)
	r.fill()
	rec, err := r.run(RunOptions{MaxWait: time.Minute})
	if err != nil || rec.Complete() {
		t.Fatalf("got %+v, %v, want an incomplete receipt", rec, err)
	}
	var refused *imap.Error
	if !slices.ContainsFunc(rec.Mailboxes, func(m MailboxReceipt) bool { return errors.As(m.Err, &refused) && refused.Code == "OVERQUOTA" }) {
		t.Errorf("got %+v, want the refusal", rec.Mailboxes)
	}
	r.misbehave(nil)
	r.must(RunOptions{})
	r.check("afterwards")
}

// TestRun_Budget stops when the octets of the day are used up, and goes on the next
// day.
func TestRun_Budget(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.fill()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	days := 0
	for ; days < 50; days++ {
		o := RunOptions{Budget: 20_000, now: func() time.Time { return now.AddDate(0, 0, days) }}
		rec, err := r.run(o)
		if err != nil || rec.Bytes > o.Budget {
			t.Fatalf("got %+v, %v", rec, err)
		}
		if rec.Complete() {
			break
		}
		var budget *BudgetError
		if !slices.ContainsFunc(rec.Mailboxes, func(m MailboxReceipt) bool { return errors.As(m.Err, &budget) }) {
			t.Errorf("got %+v, want a *BudgetError", rec.Mailboxes)
		}
		again, err := r.run(o)
		if err != nil || again.Complete() || again.Bytes+rec.Bytes > o.Budget {
			t.Errorf("the same day: got %+v, %v, want nothing more", again, err)
		}
	}
	if days < 2 || days == 50 {
		t.Errorf("got done in %d days", days)
	}
	r.check("after some days")
}

// TestRun_Cancelled ends a run in the middle: what was fetched is stored.
func TestRun_Cancelled(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH after 3: delay 1h", slowAuth...)
	for i := range 3000 {
		r.put("INBOX", text(i, 10))
	}
	repo, err := Open(r.dir, OpenOptions{Create: &Settings{}, Write: true})
	if err != nil {
		t.Fatal(err)
	}
	var rec *Receipt
	for patience := time.Second; patience < time.Minute && (rec == nil || rec.Bytes == 0); patience *= 2 { // the machine may be busy
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		rec, err = repo.Run(ctx, RunOptions{Dial: r.dial, Connections: 1})
		cancel()
	}
	if err := repo.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, context.DeadlineExceeded) || rec == nil || rec.Complete() {
		t.Fatalf("got %+v, %v", rec, err)
	}
	for _, m := range rec.Mailboxes {
		if m.Name == "INBOX" && (m.Stored == 0 || m.Stored == 3000 || m.Err == nil) {
			t.Errorf("got %+v, want a part stored", m)
		}
	}
	r.misbehave(nil)
	before := rec.Bytes
	rec = r.must(RunOptions{})
	r.check("afterwards")
	if before == 0 || rec.Bytes == 0 {
		t.Errorf("got %d octets, then %d", before, rec.Bytes)
	}
}

// TestR9_TwoRuns gives the second the error of the lock.
func TestR9_TwoRuns(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	repo, err := Open(r.dir, OpenOptions{Create: &Settings{}, Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	var lock *store.LockError
	if _, err := r.run(RunOptions{}); !errors.As(err, &lock) {
		t.Errorf("got %v, want a *store.LockError", err)
	}
}

// TestR10_SetAside does not take a file over that is not what its name says.
func TestR10_SetAside(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.put("INBOX", text(1, 100))
	r.must(RunOptions{})
	old, _ := filepath.Glob(filepath.Join(r.dir, "INBOX/cur/*"))
	name := strings.Replace(old[0], "U1.", "U2.", 1)
	if err := errors.Join(os.WriteFile(name, []byte("other\n"), 0o600), os.WriteFile(filepath.Join(r.dir, dirtyFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.put("INBOX", text(2, 100))
	rec := r.must(RunOptions{})
	r.check("afterwards")
	aside, _ := filepath.Glob(filepath.Join(r.dir, damagedDir, "*"))
	if len(aside) != 1 || len(rec.Warnings) == 0 {
		t.Errorf("got %q and warnings %q, want the file set aside", aside, rec.Warnings)
	}
}

// TestRun_Patterns chooses mailboxes.
func TestRun_Patterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"INBOX", "INBOX", true}, {"inbox", "INBOX", true}, {"*", "a/b", true}, {"%", "a/b", false}, {"%", "ab", true}, {"a/%", "a/b", true},
		{"a/%", "a/b/c", false}, {"a*c", "a/b/c", true}, {"%/b/%", "a/b/c", true}, {"!a*", "a", false}, {"!a*", "b", true}, {"a*b*c", "aXbXd", false},
	} {
		if got := (patterns{c.pattern}).match(c.name, "/"); got != c.want {
			t.Errorf("%q matches %q: got %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	r := newRig(t, "", "", slowAuth...)
	r.fill()
	rec := r.must(RunOptions{Patterns: []string{"*", "!INBOX", "!odd"}})
	for _, m := range rec.Mailboxes {
		if m.Name == "INBOX" || m.Name == "odd" {
			t.Errorf("got %s in the receipt", m.Name)
		}
	}
	rec = r.must(RunOptions{Patterns: []string{"INBOX"}})
	if len(rec.Mailboxes) != 1 || rec.Mailboxes[0].New+rec.Mailboxes[0].Linked != 40 {
		t.Errorf("got %+v", rec.Mailboxes)
	}
	r.must(RunOptions{})
	r.check("all")
}

// TestRun_DryRun stores nothing.
func TestRun_DryRun(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.fill()
	rec, err := r.run(RunOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range rec.Mailboxes {
		n += m.New
	}
	left, _ := os.ReadDir(r.dir)
	if n != 54 || len(left) != 1 {
		t.Errorf("got %d messages to come and %v, want 54 and nothing stored", n, left)
	}
}

// TestP5_TakesOver finds the files of a run that died before it could record them,
// and fetches nothing.
func TestP5_TakesOver(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.must(RunOptions{})
	for i := range 30 {
		r.put("INBOX", text(i, 100), `\Seen`, "work")
	}
	// The write of the manifest is the one that comes behind the last rename.
	s := &steps{err: syscall.EIO}
	renamed := false
	repo, err := open(r.dir, OpenOptions{Write: true}, failWrite{fail: func() bool { return renamed }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = repo.Run(context.Background(), RunOptions{Dial: r.dial, openTree: func(path string, kind store.Kind) (*store.Tree, error) {
		return store.OpenFaultyTree(path, kind, func(step string) error {
			renamed = renamed || step == "rename"
			return s.next(step)
		})
	}})
	if err := errors.Join(repo.Close()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want EIO", err)
	}
	if _, err := r.box("INBOX").Expunge([]uint32{5}); err != nil {
		t.Fatal(err)
	}
	rec := r.must(RunOptions{})
	r.check("taken over")
	for _, m := range rec.Mailboxes {
		if m.Name == "INBOX" && (m.Size != 0 || m.Recognised != 30 || m.Gone != 1) {
			t.Errorf("got %+v, want 30 recognised, of which one is gone, and nothing fetched", m)
		}
	}
}

// failWrite is a disk on which the manifest cannot be written.
type failWrite struct {
	osDisk
	fail func() bool
}

func (d failWrite) writeAt(f *os.File, p []byte, off int64) (int, error) {
	if d.fail() {
		return 0, syscall.EIO
	}
	return d.osDisk.writeAt(f, p, off)
}

// TestRun_MovedMessages links what has gone to another mailbox, where the server has
// ids that tell.
func TestRun_MovedMessages(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 20 {
		r.put("INBOX", text(i, 5000))
	}
	r.must(RunOptions{})
	uids := []uint32{2, 3, 4, 17}
	if _, err := r.account.Move(context.Background(), r.box("INBOX"), uids, r.box("Archive")); err != nil {
		t.Fatal(err)
	}
	r.put("Archive", text(50, 100))
	rec := r.must(RunOptions{})
	r.check("moved")
	for _, m := range rec.Mailboxes {
		if m.Name == "Archive" && (m.Linked != 4 || m.New != 1 || m.Size > 1000) {
			t.Errorf("got %+v, want 4 linked and 1 new", m)
		}
	}
}

// TestS11_MessageThatBreaksTheConnection leaves one message out and gets the others.
func TestS11_MessageThatBreaksTheConnection(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH *BODY*: reset at byte 5000", slowAuth...)
	for i := range 20 {
		size := 100
		if i == 7 {
			size = 9000
		}
		r.put("INBOX", text(i, size))
	}
	rec, err := r.run(RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range rec.Mailboxes {
		if m.Name == "INBOX" && (m.Stored != 19 || len(m.Missing) != 1 || m.Missing[0].UID != 8) {
			t.Errorf("got %+v, want UID 8 missing", m)
		}
	}
	r.misbehave(nil)
	r.must(RunOptions{})
	r.check("afterwards")
}

// TestRun_ServerGoesAway ends when there is nobody to dial any more.
func TestRun_ServerGoesAway(t *testing.T) {
	r := newRig(t, "", "on IMAP UID FETCH *BODY* after 1: drop\non IMAP CONNECT after 3: drop", slowAuth...)
	for i := range 3000 {
		r.put("INBOX", text(i, 10))
	}
	rec, err := r.run(RunOptions{})
	if err != nil || rec.Complete() {
		t.Fatalf("got %+v, %v, want an incomplete run", rec, err)
	}
	r.misbehave(nil)
	r.must(RunOptions{})
	r.check("afterwards")
}

// TestRun_ManyMailboxes is pipelined over few connections.
func TestRun_ManyMailboxes(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 200 {
		r.put(fmt.Sprintf("box %d", i), text(i, 100))
	}
	r.must(RunOptions{})
	r.check("first")
	if r.dials.Load() > 4 {
		t.Errorf("got %d connections, want 4 at most", r.dials.Load())
	}
}

// TestR10_NoLinkToDamage stores a message that comes again as it came, when the file
// that it could be a link of is not what it was.
func TestR10_NoLinkToDamage(t *testing.T) {
	t.Run("found by its octets", func(t *testing.T) { checkNoLinkToDamage(t, "OBJECTID") })
	t.Run("found by its id", func(t *testing.T) { checkNoLinkToDamage(t) })
}

func checkNoLinkToDamage(t *testing.T, without ...string) {
	t.Helper()
	r := newRig(t, "", "", without...)
	r.put("INBOX", text(1, 100))
	r.must(RunOptions{})
	files, err := filepath.Glob(filepath.Join(r.dir, "INBOX", "cur", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got files %q, %v, want one", files, err)
	}
	octets, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	octets[len(octets)/2] ^= 1
	if err := os.WriteFile(files[0], octets, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.account.Copy(t.Context(), r.box("INBOX"), []uint32{1}, r.box("Work")); err != nil {
		t.Fatal(err)
	}
	if rec := r.must(RunOptions{}); rec.Bytes == 0 {
		t.Errorf("got %+v, want the message fetched", rec)
	}
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	var got []string
	for p, err := range repo.Verify(t.Context(), VerifyOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Mailbox)
	}
	if !slices.Equal(got, []string{"INBOX"}) {
		t.Errorf("got damage in %q, want it in INBOX only", got)
	}
}
