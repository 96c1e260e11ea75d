package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

func (r *rig) dialPOP(ctx context.Context) (*pop3.Client, error) {
	addr := r.srv.Addr("pop3")
	if r.addr != "" {
		addr = r.addr
	}
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	c, err := pop3.Dial(ctx, wire.Endpoint{Protocol: wire.POP3, Host: host, Port: n, Security: wire.Cleartext}, nil)
	if err != nil {
		return nil, err
	}
	if err := c.Auth(ctx, &auth.Credentials{User: "alice", Password: auth.Literal("pw")}); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (r *rig) runPOP() (*Receipt, error) {
	r.t.Helper()
	repo, err := Open(r.dir, OpenOptions{Create: &Settings{Format: r.format}, Write: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer repo.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return repo.RunPOP(ctx, POPOptions{Dial: r.dialPOP, sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
}

// mustPOP makes a complete run, and checks how many messages are stored and verified.
func (r *rig) mustPOP(name string, want int) *Receipt {
	r.t.Helper()
	rec, err := r.runPOP()
	var refused *pop3.Error
	for tries := 0; tries < 200 && errors.As(err, &refused) && refused.Code == "IN-USE"; tries++ { // by a session that was cut
		time.Sleep(10 * time.Millisecond)
		rec, err = r.runPOP()
	}
	if err != nil || !rec.Complete() {
		r.t.Fatalf("%s: got %+v, %v, want a complete run", name, rec, err)
	}
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer repo.Close()
	for p, err := range repo.Verify(context.Background(), VerifyOptions{}) {
		r.t.Errorf("%s: verify: %+v, %v", name, p, err)
	}
	if got := rec.Mailboxes[0].Stored; got != want {
		r.t.Errorf("%s: got %d stored, want %d", name, got, want)
	}
	return rec
}

func TestPOP_Runs(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 20 {
		r.put("INBOX", text(i, 100*i))
	}
	if rec := r.mustPOP("first", 20); rec.Mailboxes[0].New != 20 {
		t.Errorf("got %+v, want 20 new", rec.Mailboxes)
	}
	if rec := r.mustPOP("second", 20); rec.Bytes != 0 {
		t.Errorf("got %d octets in the second run, want none", rec.Bytes)
	}
	if _, err := r.box("INBOX").Expunge([]uint32{2, 3}); err != nil {
		t.Fatal(err)
	}
	r.put("INBOX", text(50, 100))
	if rec := r.mustPOP("third", 19); rec.Mailboxes[0].Gone != 2 || rec.Mailboxes[0].New != 1 {
		t.Errorf("got %+v, want 1 new and 2 gone", rec.Mailboxes)
	}
}

// TestPOP_Repaired knows messages again by the hash of their ids, which is all that a
// repair finds in the names of their files.
func TestPOP_Repaired(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 5 {
		r.put("INBOX", text(i, 100))
	}
	r.mustPOP("first", 5)
	if err := os.Remove(filepath.Join(r.dir, manifestFile)); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(r.dir, OpenOptions{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := repo.Close(); err != nil {
		t.Fatal(err)
	}
	if rec := r.mustPOP("second", 5); rec.Bytes != 0 || rec.Mailboxes[0].Gone != 0 {
		t.Errorf("got %d octets and %+v, want nothing new and nothing gone", rec.Bytes, rec.Mailboxes)
	}
	if _, err := r.box("INBOX").Expunge([]uint32{2, 3}); err != nil {
		t.Fatal(err)
	}
	if rec := r.mustPOP("third", 3); rec.Mailboxes[0].Gone != 2 {
		t.Errorf("got %+v, want 2 gone", rec.Mailboxes)
	}
}

// TestS12_NoUIDL knows messages by their octets.
func TestS12_NoUIDL(t *testing.T) {
	r := newRig(t, "", "on POP3 UIDL: reply -ERR what is that", slowAuth...)
	for i := range 6 {
		r.put("INBOX", text(i/2, 100)) // each twice
	}
	r.mustPOP("first", 6)
	if rec := r.mustPOP("second", 6); rec.Mailboxes[0].New+rec.Mailboxes[0].Linked != 0 {
		t.Errorf("got %+v, want nothing new", rec.Mailboxes)
	}
	if _, err := r.box("INBOX").Expunge([]uint32{2, 3}); err != nil {
		t.Fatal(err)
	}
	r.mustPOP("third", 4)
}

// TestS12_IDsThatDoNotTell knows messages by their octets whose ids are those of others,
// malformed, missing or like ours, also when they were good before, or become so.
func TestS12_IDsThatDoNotTell(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 6 {
		r.put("INBOX", text(i, 100))
	}
	answer := func(ids string) {
		r.misbehave(striker(func(e server.Event) server.Strike {
			if e.Command == "UIDL" {
				return server.Strike{Reply: "+OK\n" + ids + "."}
			}
			return server.Strike{}
		}))
	}
	for _, c := range []struct {
		name, ids   string
		gone, added int
	}{
		{"all good", "1 a\n2 b\n3 c\n4 d\n5 e\n6 f\n", 0, 6},
		{"some bad", "1 a\n2 a\n3 c\n4 two words\n5 sha256:00.0\n", 5, 5},
		{"the same again", "1 a\n2 a\n3 c\n4 two words\n5 sha256:00.0\n", 0, 0},
		{"in another order", "3 c\n2 a\n5 sha256:00.0\n1 a\n", 0, 0},
		{"with one that is not listed", "3 c\n2 a\n1 a\n7 c\n", 1, 1},
		{"good again", "6 f\n1 a\n2 b\n3 c\n4 d\n5 e\n", 6, 6},
		{"once more", "6 f\n1 a\n2 b\n3 c\n4 d\n5 e\n", 0, 0},
	} {
		answer(c.ids)
		rec := r.mustPOP(c.name, 6)
		if m := rec.Mailboxes[0]; m.Gone != c.gone || m.New+m.Linked+m.Recognised != c.added {
			t.Errorf("%s: got %+v, want %d gone and %d more", c.name, m, c.gone, c.added)
		}
		r.checkPOP(c.name, len(files(t, r.dir))-6)
	}
}

// TestS11_POPManyPages loses the connection in the second page of what is to be fetched.
func TestS11_POPManyPages(t *testing.T) {
	const count = popPageMessages + 900
	r := newRig(t, "", "", slowAuth...)
	var batch []server.NewMessage
	for i := range count {
		batch = append(batch, server.NewMessage{Body: strings.NewReader(text(i, 10))})
	}
	if _, err := r.box("INBOX").Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var fetched, lists atomic.Int64
	r.misbehave(striker(func(e server.Event) server.Strike {
		switch {
		case e.Command == "LIST":
			lists.Add(1)
		case e.Command == "RETR" && fetched.Add(1) == popPageMessages+300:
			return server.Strike{Drop: true}
		}
		return server.Strike{}
	}))
	repo, err := Open(r.dir, OpenOptions{Create: &Settings{}, Write: true})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := repo.RunPOP(t.Context(), POPOptions{Dial: r.dialPOP, sleep: func(ctx context.Context, _ time.Duration) error { return sleep(ctx, 50*time.Millisecond) }})
	if err = errors.Join(err, repo.Close()); err != nil || !rec.Complete() || rec.Mailboxes[0].New != count {
		t.Fatalf("got %+v, %v, want a complete run", rec, err)
	}
	if n := fetched.Load(); lists.Load() != 2 || n > count+pop3.DefaultDepth {
		t.Errorf("got %d listings and %d messages asked for, want 2 and those under way twice", lists.Load(), n)
	}
	if rec := r.mustPOP("second", count); rec.Bytes != 0 {
		t.Errorf("got %d octets in the second run, want none", rec.Bytes)
	}
	r.checkPOP("second", 0)
}

// TestPOP_Pages keeps every message with its id, whatever their lengths.
func TestPOP_Pages(t *testing.T) {
	var pages popPages
	want, left := map[int]string{}, map[int]string{}
	var shared []uint64
	for n := range 3*popPageMessages + 5 {
		uidl := strings.Repeat("x", n%64) + strconv.Itoa(n)
		if n%10 == 0 {
			uidl = ""
		}
		pages.add(n, []byte(uidl))
		want[n] = uidl
		if n%7 == 1 && uidl != "" {
			oid, _ := uidlKey(uidl)
			shared = append(shared, oid)
			continue
		}
		left[n] = uidl
	}
	slices.Sort(shared)
	if got := maps.Collect(pages.all()); !maps.Equal(got, want) {
		t.Errorf("got %d messages, want %d with their ids", len(got), len(want))
	}
	if got := maps.Collect(pages.without(shared).all()); !maps.Equal(got, left) {
		t.Errorf("got %d messages without those that share an id, want %d", len(got), len(left))
	}
	for _, page := range pages {
		if len(page.numbers) > popPageMessages || len(page.ids) > popPageIDs {
			t.Errorf("got a page of %d messages and %d octets", len(page.numbers), len(page.ids))
		}
	}
}

// TestS12_UIDLsChange stores nothing a second time but names.
func TestS12_UIDLsChange(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 6 {
		r.put("INBOX", text(i, 100))
	}
	r.mustPOP("first", 6)
	r.misbehave(striker(func(e server.Event) server.Strike {
		if e.Command == "UIDL" {
			return server.Strike{Lie: "uidl"}
		}
		return server.Strike{}
	}))
	if rec := r.mustPOP("second", 6); rec.Mailboxes[0].Linked != 6 {
		t.Errorf("got %+v, want 6 linked", rec.Mailboxes)
	}
}

func TestR5_POPRefused(t *testing.T) {
	r := newRig(t, "", `on POP3 RETR "3": reply -ERR cannot read it`, slowAuth...)
	for i := range 6 {
		r.put("INBOX", text(i, 100))
	}
	rec, err := r.runPOP()
	if err != nil || rec.Complete() || len(rec.Mailboxes[0].Missing) != 1 || rec.Mailboxes[0].Missing[0].UIDL == "" {
		t.Errorf("got %+v, %v, want one missing", rec, err)
	}
	r.misbehave(nil)
	r.mustPOP("second", 6)
}

// TestS11_POPCut cuts the connection in every place.
func TestS11_POPCut(t *testing.T) {
	step := int64(1)
	if testing.Short() || underRace {
		step = 23
	}
	r := newRig(t, "", "", slowAuth...)
	for i := range 10 {
		r.put("INBOX", text(i, 30))
	}
	for _, upload := range []bool{false, true} {
		n := 0
		for at := int64(0); ; at += step {
			r.dir = memoryDir(t)
			relay := startRelay(t, r.srv.Addr("pop3"), upload, at)
			r.addr = relay.l.Addr().String()
			_, _ = r.runPOP()
			relay.close()
			r.addr = ""
			r.mustPOP("after the cut", 10)
			_ = os.RemoveAll(r.dir)
			if t.Failed() {
				t.Fatalf("upload %v: failed at octet %d", upload, at)
			}
			if !relay.dead.Load() {
				break
			}
			n++
		}
		t.Logf("upload %v: %d cuts", upload, n)
	}
}

// checkPOP compares what is stored with what is on the server, and looks for what is
// there twice or should not be there. Files are kept of so many that are gone.
func (r *rig) checkPOP(name string, gone int) {
	r.t.Helper()
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	defer repo.Close()
	var got, want []string
	for m, err := range repo.Messages("") {
		if err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		s, err := repo.Read(m)
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
			continue
		}
		got = append(got, wireDigest(r.t, s.Wire()))
		_ = s.Close()
	}
	box := r.box("INBOX")
	for _, m := range box.Messages() {
		b, err := box.Open(m.UID)
		if err != nil {
			r.t.Fatal(err)
		}
		want = append(want, wireDigest(r.t, io.NewSectionReader(b, 0, b.Size())))
		_ = b.Close()
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: got %d messages, want %d: %q and %q", name, len(got), len(want), got, want)
	}
	if list := bases(r.t, r.dir); len(list) != len(want)+gone {
		r.t.Errorf("%s: got %d files, want %d: %q", name, len(list), len(want)+gone, list)
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, store.TreeTemp)); len(left) > 0 {
		r.t.Errorf("%s: %d temporary files are left", name, len(left))
	}
	if dirty, _ := repo.dirty(); dirty {
		r.t.Errorf("%s: the repository is marked as in use", name)
	}
}

func wireDigest(t testing.TB, r io.Reader) string { return fmt.Sprintf("%x", sumOf(t, r)) }

func sumOf(t testing.TB, r io.Reader) []byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

// faultyPOP is faultyRun over POP3.
func (r *rig) faultyPOP(s *steps) error {
	return r.faulty(s, func(ctx context.Context, repo *Repo, open func(string, store.Kind) (*store.Tree, error)) error {
		_, err := repo.RunPOP(ctx, POPOptions{Dial: r.dialPOP, openTree: open})
		return err
	})
}

// TestL1_POPEveryStepOfTheDisk fails every step that a run does with its disk: the error
// is told, and the next run completes what is missing. Both for the run that makes the
// repository and for one that has something to take over and to put aside.
func TestL1_POPEveryStepOfTheDisk(t *testing.T) {
	for _, format := range formats {
		for _, errno := range []error{syscall.ENOSPC, syscall.EIO} {
			for _, first := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %v, first %v", format, errno, first), func(t *testing.T) { popSteps(t, format, errno, first) })
			}
		}
	}
}

func popSteps(t *testing.T, format string, errno error, first bool) {
	failed, kinds := 0, &steps{}
	for at := int64(1); ; at++ {
		r := newRig(t, "", "", slowAuth...)
		r.format = format
		for i := range 4 {
			r.put("INBOX", text(i/2, 100)) // each twice: a link
		}
		r.put("INBOX", "bare\nLF\r\n")
		want, gone, aside := 5, 0, 0
		s := &steps{err: errno}
		if !first {
			r.popHistory(t)
			want, gone = 6, 1
			if format != FormatMbox {
				aside = 1 // what is not whole at the end of an mbox is cut off
			}
		}
		s.at.Store(at)
		err := r.faultyPOP(s)
		s.kinds.Range(func(kind, _ any) bool { kinds.kinds.Store(kind, true); return true })
		if s.n.Load() < at {
			if err != nil {
				t.Errorf("without a fault: %v", err)
			}
			break
		}
		if err != nil {
			failed++
			if !errors.Is(err, errno) {
				t.Errorf("step %d: got %v, want %v", at, err, errno)
			}
		}
		r.mustPOP("after the fault", want)
		r.checkPOP("after the fault", gone)
		if got, _ := os.ReadDir(filepath.Join(r.dir, damagedDir)); len(got) != aside {
			t.Errorf("got %d files put aside, want %d", len(got), aside)
		}
		if rec := r.mustPOP("once more", want); rec.Bytes != 0 {
			t.Errorf("got %d octets in the run after that, want none", rec.Bytes)
		}
		r.srv.Close()
		if t.Failed() {
			t.Fatalf("failed at step %d, after the error %v", at, err)
		}
	}
	t.Logf("%d steps failed the run", failed)
	for _, kind := range []string{"create", "write", "sync", "rename", "link", "mkdir"} {
		if _, ok := kinds.kinds.Load(kind); !ok && (kind != "link" || format != FormatMbox) {
			t.Errorf("no step %q", kind)
		}
	}
}

// popHistory makes a run, and then changes that a later one has to find: a message more,
// one less, and a damaged file that a run has left.
func (r *rig) popHistory(t *testing.T) {
	r.mustPOP("before", 5)
	if _, err := r.box("INBOX").Expunge([]uint32{3}); err != nil {
		t.Fatal(err)
	}
	r.put("INBOX", text(9, 100))
	r.put("INBOX", text(9, 100))
	c, err := r.dialPOP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	uids, err := c.Uidl(t.Context())
	if err = errors.Join(err, c.Quit(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.leftover(&Message{Mailbox: &Mailbox{Dir: popInbox}, UIDL: uids[len(uids)-1].ID})
}
