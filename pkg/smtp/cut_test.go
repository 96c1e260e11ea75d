package smtp

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// cutConn is a connection to a server in memory that breaks after so many octets read, or written.
type cutConn struct {
	*server
	reads, writes int   // octets left; -1: no cut
	err           error // what a read gives then
	one           bool  // octet by octet
	deaf          bool  // reading ends too when a write has failed
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.reads == 0 {
		return 0, c.err
	}
	if c.one {
		p = p[:1]
	}
	if c.reads > 0 && len(p) > c.reads {
		p = p[:c.reads]
	}
	n, err := c.server.Read(p)
	if c.reads > 0 {
		c.reads -= n
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.writes < 0 {
		return c.server.Write(p)
	}
	n := min(len(p), c.writes)
	if _, err := c.server.Write(p[:n]); err != nil {
		return 0, err
	}
	c.writes -= n
	if n < len(p) {
		if c.deaf {
			c.reads = 0
		}
		return n, syscall.EPIPE
	}
	return n, nil
}

func (c *cutConn) Close() error { return nil }

// cutSession logs in and sends two messages over nc. It gives the results of those that were begun.
func cutSession(t *testing.T, nc net.Conn, p wire.Protocol) (results []*Result, errs []error) {
	t.Helper()
	c, err := New(bg(t), wire.NewConn(nc, nil), wire.Endpoint{Protocol: p, Host: "127.0.0.1", Security: wire.Cleartext}, nil)
	if err != nil {
		return nil, []error{err}
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("secret")}); err != nil {
		return nil, []error{err}
	}
	for i := range 2 {
		text := fmt.Sprintf("Subject: %d\r\n\r\n.hello\r\n", i)
		r, err := c.Send(bg(t), &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org", "eve@example.org"}}, strings.NewReader(text))
		results, errs = append(results, r), append(errs, err)
	}
	return results, errs
}

// judge compares what the client believes with what the server did.
func judge(t *testing.T, at string, s *server, results []*Result, errs []error) {
	t.Helper()
	believed, doubtful := 0, 0
	for i, r := range results {
		switch k := kind(errs[i]); k {
		case "ok":
			believed++
			if outcome(r) != "++" {
				t.Errorf("%s: message %d is ok with outcome %s", at, i, outcome(r))
			}
		case "uncertain":
			doubtful++
			if outcome(r) != "??" {
				t.Errorf("%s: message %d is uncertain with outcome %s", at, i, outcome(r))
			}
		default:
			if outcome(r) != "tt" {
				t.Errorf("%s: message %d (%v) has outcome %s, want it temporary", at, i, errs[i], outcome(r))
			}
		}
	}
	if n := len(s.texts); n < believed || n > believed+doubtful {
		t.Errorf("%s: the server committed %d, the client believes %d and doubts %d: %v", at, n, believed, doubtful, errs)
	}
}

func TestS11_CutAtEachOctet(t *testing.T) {
	for _, m := range modes {
		for _, p := range []wire.Protocol{wire.SMTP} {
			t.Run(m.name, func(t *testing.T) { cutEverywhere(t, p, append([]string{"AUTH PLAIN", "8BITMIME"}, m.keywords...)) })
		}
	}
}

func cutEverywhere(t *testing.T, p wire.Protocol, keywords []string) {
	t.Helper()
	whole := &cutConn{server: newServer(keywords...), reads: 1 << 30, writes: 1 << 30}
	_, errs := cutSession(t, whole, p)
	if len(errs) != 2 || errs[0] != nil || errs[1] != nil {
		t.Fatalf("without a cut: %v", errs)
	}
	in, out := 1<<30-whole.reads, 1<<30-whole.writes
	for _, kind := range []struct {
		name string
		err  error
	}{{"EOF", io.EOF}, {"reset", syscall.ECONNRESET}, {"timeout", &timeout{}}} {
		for n := range in {
			nc := &cutConn{server: newServer(keywords...), reads: n, writes: -1, err: kind.err, one: n%2 == 0}
			results, errs := cutSession(t, nc, p)
			if errs[len(errs)-1] == nil {
				t.Errorf("%s after %d octets: no error", kind.name, n)
			}
			judge(t, fmt.Sprintf("%s after %d octets read", kind.name, n), nc.server, results, errs)
		}
	}
	for n := range out - len("QUIT\r\n") {
		nc := &cutConn{server: newServer(keywords...), reads: -1, writes: n}
		results, errs := cutSession(t, nc, p)
		if errs[len(errs)-1] == nil {
			t.Errorf("write cut after %d octets: no error", n)
		}
		for i, err := range errs {
			if kind(err) == "uncertain" {
				t.Errorf("write cut after %d octets: message %d is called uncertain, its end was not sent: %v", n, i, err)
			}
		}
		judge(t, fmt.Sprintf("write cut after %d octets", n), nc.server, results, errs)
	}
	t.Logf("%d cuts while reading, %d while writing", 3*in, out-6)
}

type timeout struct{}

func (*timeout) Error() string   { return "i/o timeout" }
func (*timeout) Timeout() bool   { return true }
func (*timeout) Temporary() bool { return true }

func TestD6_LostReplyAfterTheDot(t *testing.T) {
	const final = "250-2.0.0 almost\r\n250 2.0.0 queued\r\n"
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			script, _ := transactionScript(m, [3]int{250, 550, 250}, 354, 250)
			script = hello(m.keywords...) + script[:strings.LastIndex(script, "S: ")]
			for n := range len(final) + 1 {
				some := ""
				if n > 0 {
					some = fmt.Sprintf("S> %q\n", final[:n])
				}
				c := mustOpen(t, script+some+"CLOSE\n", nil)
				r, err := send(t, c, envelope("r0@example.org", "r1@example.org", "r2@example.org"))
				want, out := "uncertain", "?p?"
				if n == len(final) {
					want, out = "partial", "+p+"
				}
				wantKind(t, err, want)
				wantOutcome(t, r, out)
				if u, ok := err.(*UncertainError); ok && (len(u.Rcpt) != 2 || !u.Temporary()) {
					t.Errorf("uncertain about %v, temporary %v", u.Rcpt, u.Temporary())
				}
			}
		})
	}
}

func TestD6_UnframeableReplyAfterTheDot(t *testing.T) {
	for _, reply := range []string{"S: what\n", "S: 354 go\n", "S> \"250-a\\r\\n450 b\\r\\n\"\n"} {
		c := mustOpen(t, hello("PIPELINING", "CHUNKING")+"C: MAIL *\nC: RCPT *\nC: BDAT *\nC{28}\nS: 250 ok\nS: 250 ok\n"+reply+"HANG\n", nil)
		r, err := send(t, c, envelope("bob@example.org"))
		wantKind(t, err, "uncertain")
		wantOutcome(t, r, "?")
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := withCancel(t)
	c := mustOpen(t, hello("PIPELINING", "CHUNKING")+"C: MAIL *\nC: RCPT *\nC: BDAT *\nHANG\n", nil)
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	r, err := c.Send(ctx, envelope("bob@example.org"), strings.NewReader(testBody))
	wantKind(t, err, "uncertain")
	wantOutcome(t, r, "?")
	if !isCanceled(err) {
		t.Errorf("error %v does not tell of the context", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	if _, err := c.Send(bg(t), envelope("bob@example.org"), strings.NewReader(testBody)); err == nil {
		t.Error("a connection whose context ended sends on")
	}
	dead, stop := withCancel(t)
	stop()
	if _, err := Dial(dead, endpoint(t, wiretest.Serve(t, "HANG\n", wiretest.Repeat()), wire.Cleartext), nil); !isCanceled(err) {
		t.Errorf("dial with an ended context: %v", err)
	}
}

func TestD6_ServerGoneWhileIdleIsCertain(t *testing.T) {
	const once = "C: MAIL *\nC: RCPT *\nC: BDAT *\nC{28}\nS: 250 ok\nS: 250 ok\nS: 250 queued\n"
	for _, tc := range []struct{ name, script, kind string }{
		{"closed", "CLOSE\n", "closed"},
		{"421 before", "S: 421 idle\nCLOSE\n", "error"},
		{"alive", "C: NOOP\nS: 250 ok\n" + once + bye, "ok"},
		{"NOOP unknown", "C: NOOP\nS: 500 what\n" + once + bye, "ok"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustOpen(t, hello("PIPELINING", "CHUNKING")+once+tc.script, nil)
			if _, err := send(t, c, envelope("bob@example.org")); err != nil {
				t.Fatal(err)
			}
			c.probeAfter = 0
			_, err := send(t, c, envelope("bob@example.org"))
			wantKind(t, err, tc.kind)
			_ = c.Close()
		})
	}
}
