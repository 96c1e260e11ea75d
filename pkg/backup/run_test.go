package backup

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// rig is an account on our own server and a place for its backup.
type rig struct {
	t       testing.TB
	srv     *server.Server
	account server.Account
	dir     string
	token   bool         // log in with a token
	addr    string       // to dial, in place of the server's
	dials   atomic.Int64 // connections that were made
	faults  *counting
	format  string
	depth   int
}

// counting passes commands on to other faults, and counts them and the bodies.
type counting struct {
	mu       sync.Mutex
	commands map[string]int
	fetches  []string
	next     server.Faults
}

func (c *counting) Strike(e server.Event) server.Strike {
	c.mu.Lock()
	c.commands[e.Command]++
	if strings.HasSuffix(e.Command, "FETCH") {
		c.fetches = append(c.fetches, e.Arg)
	}
	next := c.next
	c.mu.Unlock()
	if next == nil {
		return server.Strike{}
	}
	return next.Strike(e)
}

// misbehave lets the server misbehave in another way from now on.
func (r *rig) misbehave(f server.Faults) {
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	r.faults.next = f
}

// Hidden implements server.Hider.
func (c *counting) Hidden(protocol, extension string) bool {
	c.mu.Lock()
	h, ok := c.next.(server.Hider)
	c.mu.Unlock()
	return ok && h.Hidden(protocol, extension)
}

// reset forgets what was counted.
func (c *counting) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.commands)
	c.fetches = nil
}

// count is how often there were such commands.
func (c *counting) count(commands ...string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range commands {
		n += c.commands[name]
	}
	return n
}

// bodies is the number of FETCH commands that asked for messages.
func (c *counting) bodies() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, arg := range c.fetches {
		if strings.Contains(arg, "BODY.PEEK[]") {
			n++
		}
	}
	return n
}

func newRig(t testing.TB, persona string, script string, without ...string) *rig {
	t.Helper()
	r := &rig{t: t, dir: memoryDir(t) + "/backup", faults: &counting{commands: map[string]int{}}}
	o := server.Options{Users: []server.User{{Name: "alice", Password: "pw", Token: "t0ken"}}, IMAP: "127.0.0.1:0", IMAPS: "127.0.0.1:0",
		POP3: "127.0.0.1:0", AllowCleartextLogin: true, Without: without, Faults: r.faults}
	faults, err := server.ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	r.faults.next = faults
	if persona != "" {
		w, quirks, err := server.Persona(persona)
		if err != nil {
			t.Fatal(err)
		}
		o.Without = append(w, without...)
		r.faults.next = server.JoinFaults(faults, quirks)
		r.token = persona == "exchange"
	}
	if r.srv, err = server.Start(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.srv.Close)
	if r.account, err = r.srv.Store().Account("alice"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) box(name string) server.Mailbox {
	r.t.Helper()
	box, err := r.account.Mailbox(name)
	if err != nil {
		if err = r.account.Create(name, ""); err == nil {
			box, err = r.account.Mailbox(name)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return box
}

// memoryDir is a directory in memory if there is such a thing.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "mail-backup-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// text is a message.
func text(i int, size int) string {
	return fmt.Sprintf("From: bob@example.org\r\nSubject: message %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s\r\n", i, i, strings.Repeat("line of text\r\n", size/14))
}

// put adds a message.
func (r *rig) put(mailbox, text string, flags ...string) {
	r.t.Helper()
	date := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	if _, err := r.box(mailbox).Append(context.Background(), []server.NewMessage{{Body: strings.NewReader(text), Flags: flags, Date: date}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) dial(ctx context.Context) (*imap.Client, error) {
	r.dials.Add(1)
	sec, addr, o := wire.Cleartext, r.srv.Addr("imap"), &imap.Options{Depth: r.depth}
	cr := &auth.Credentials{User: "alice", Password: auth.Literal("pw")}
	if r.token {
		cr.Password, cr.Token = nil, auth.Literal("t0ken")
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(r.srv.CA())
		sec, addr, o.Wire = wire.ImplicitTLS, r.srv.Addr("imaps"), &wire.Config{RootCAs: pool}
	}
	if r.addr != "" {
		addr = r.addr
	}
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	c, err := imap.Dial(ctx, wire.Endpoint{Protocol: wire.IMAP, Host: host, Port: n, Security: sec}, o)
	if err != nil {
		return nil, err
	}
	if err := c.Auth(ctx, cr); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// run makes one run, in which pauses take no time.
func (r *rig) run(o RunOptions) (*Receipt, error) {
	r.t.Helper()
	repo, err := Open(r.dir, OpenOptions{Create: &Settings{Format: r.format}, Write: true})
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	if o.Dial == nil {
		o.Dial = r.dial
	}
	if o.sleep == nil {
		o.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return repo.Run(ctx, o)
}

// must makes one run that has to be complete.
func (r *rig) must(o RunOptions) *Receipt {
	r.t.Helper()
	rec, err := r.run(o)
	if err != nil || !rec.Complete() {
		r.t.Fatalf("got %+v, %v, want a complete run", rec, err)
	}
	return rec
}

// check compares what is stored with what is on the server, verifies it, and looks
// for what is there and should not be.
func (r *rig) check(name string) {
	r.t.Helper()
	repo, err := Open(r.dir, OpenOptions{})
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	defer repo.Close()
	for p, err := range repo.Verify(context.Background(), VerifyOptions{}) {
		if err != nil {
			r.t.Errorf("%s: verify: %v", name, err)
			break
		}
		r.t.Errorf("%s: verify: %+v", name, p)
	}
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
		body, err := io.ReadAll(s.Wire())
		_ = s.Close()
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
		}
		got = append(got, fmt.Sprintf("%s %d %d %v %q %x", m.Mailbox.Name, m.UIDValidity, m.UID, m.Date.UTC(), m.Flags, sha256.Sum256(body)))
	}
	for _, info := range r.account.List() {
		if info.NoSelect {
			continue
		}
		box := r.box(info.Name)
		for _, m := range box.Messages() {
			b, err := box.Open(m.UID)
			if err != nil {
				r.t.Fatal(err)
			}
			body, _ := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			_ = b.Close()
			want = append(want, fmt.Sprintf("%s %d %d %v %q %x", info.Name, box.State().UIDValidity, m.UID, m.Date.UTC(), m.Flags, sha256.Sum256(body)))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: got %d messages, want %d: too many are\n%.2000s\nand too few\n%.2000s", name, len(got), len(want), without(got, want), without(want, got))
	}
	if left, _ := os.ReadDir(r.dir + "/" + store.TreeTemp); len(left) > 0 {
		r.t.Errorf("%s: %d temporary files are left", name, len(left))
	}
	if dirty, _ := repo.dirty(); dirty {
		r.t.Errorf("%s: the repository is marked as in use", name)
	}
}

// without tells what is in a and not in b, which are sorted.
func without(a, b []string) string {
	var list []string
	for _, s := range a {
		if _, ok := slices.BinarySearch(b, s); !ok {
			list = append(list, s)
		}
	}
	return strings.Join(list, "\n")
}

func TestRun_FirstAndSecond(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 30 {
		r.put("INBOX", text(i, 2000), `\Seen`, "work")
	}
	r.put("Work/2026", "bare\nLF\r\n")
	r.must(RunOptions{})
	r.check("first run")
	dials := r.dials.Load()
	r.faults.reset()
	r.must(RunOptions{})
	r.check("second run")
	if n := r.faults.count("LIST", "STATUS", "EXAMINE", "UID FETCH"); n != 1 || r.dials.Load() != dials+1 {
		t.Errorf("got %d commands and %d connections when nothing is new, want 1 of each", n, r.dials.Load()-dials)
	}
}

// setFlags gives a message other flags.
func setFlags(t testing.TB, box server.Mailbox, uid uint32, flags ...string) {
	t.Helper()
	_, err := box.SetFlags([]uint32{uid}, func(server.MessageInfo) ([]string, bool) { return flags, true })
	if err != nil {
		t.Fatal(err)
	}
}
