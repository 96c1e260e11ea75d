package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	if list := files(r.t, r.dir); len(list) != len(want)+gone {
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
	for _, format := range []string{FormatMaildir, FormatEML} {
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
		want, gone := 5, 0
		s := &steps{err: errno}
		if !first {
			r.popHistory(t)
			want, gone = 6, 1
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
		if aside, _ := os.ReadDir(filepath.Join(r.dir, damagedDir)); !first && len(aside) != 1 {
			t.Errorf("got %d files put aside, want 1", len(aside))
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
		if _, ok := kinds.kinds.Load(kind); !ok {
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
