package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// faultFunc is Faults made of a function.
type faultFunc func(Event) Strike

func (f faultFunc) Strike(e Event) Strike { return f(e) }

// testNow is the clock of the tests.
func testNow() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC) }

// startCore starts a server for the test, with users alice and bob and what change sets, and closes it after.
func startCore(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	o := Options{
		SMTP: "127.0.0.1:0", SMTPS: "127.0.0.1:0", LMTP: "127.0.0.1:0", Hostname: "mx.example.org",
		Users: []User{{Name: "alice", Password: "sesame", Token: "token"}, {Name: "bob", Password: "other"}},
	}
	if change != nil {
		change(&o)
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	srv, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// roots trusts the server's authority.
func (srv *Server) roots(t testing.TB) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(srv.CA()) {
		t.Fatal("the CA is not PEM")
	}
	return pool
}

// inboxOf returns the messages of a user's INBOX.
func inboxOf(t testing.TB, srv *Server, user string) []string {
	t.Helper()
	account, err := srv.Store().Account(user)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, info := range box.Messages() {
		b, err := box.Open(info.UID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
		texts = append(texts, string(text))
	}
	return texts
}

// peer is the client's end of a dialogue.
type corePeer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func dialCore(t testing.TB, addr string) *corePeer {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	return &corePeer{t, nc, bufio.NewReader(nc)}
}

// talk plays a script: "C: line", `C> "raw"`, "S: line" (octet for octet), TLS, EOF.
func (p *corePeer) talk(srv *Server, script string) {
	p.t.Helper()
	for step := range strings.SplitSeq(script, "\n") {
		step = strings.TrimLeft(step, "\t ")
		switch {
		case step == "":
		case strings.HasPrefix(step, "C: "):
			p.send(step[3:] + "\r\n")
		case strings.HasPrefix(step, "C> "):
			raw, err := strconv.Unquote(step[3:])
			if err != nil {
				p.t.Fatalf("bad step %q", step)
			}
			p.send(raw)
		case strings.HasPrefix(step, "S: "):
			got, err := p.r.ReadString('\n')
			if err != nil || got != step[3:]+"\r\n" {
				p.t.Fatalf("got %q (%v), want %q", got, err, step[3:])
			}
		case step == "EOF":
			if rest, err := io.ReadAll(p.r); len(rest) > 0 || err != nil {
				p.t.Fatalf("got %q (%v), want the end of the connection", rest, err)
			}
		case step == "TLS":
			c := tls.Client(p.nc, &tls.Config{ServerName: "localhost", RootCAs: srv.roots(p.t)})
			if err := c.Handshake(); err != nil {
				p.t.Fatal(err)
			}
			p.nc, p.r = c, bufio.NewReader(c)
		default:
			p.t.Fatalf("unknown step %q", step)
		}
	}
}

func (p *corePeer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, s); err != nil {
		p.t.Fatal(err)
	}
}

func TestListenAddresses(t *testing.T) {
	for _, c := range []struct {
		name, addr string
		remote     bool
		want       error
	}{
		{"IPv4 loopback", "127.0.0.1:0", false, nil},
		{"other IPv4 loopback", "127.8.9.10:0", false, nil},
		{"localhost", "localhost:0", false, nil},
		{"all addresses", ":0", false, ErrNotLoopback},
		{"IPv4 any", "0.0.0.0:0", false, ErrNotLoopback},
		{"IPv6 any", "[::]:0", false, ErrNotLoopback},
		{"a name", "example.org:0", false, ErrNotLoopback},
		{"documentation", "192.0.2.1:0", false, ErrNotLoopback},
		{"all, allowed", "0.0.0.0:0", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, err := Start(context.Background(), Options{SMTP: c.addr, AllowRemote: c.remote})
			if !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil {
				srv.Close()
			}
		})
	}
	if _, err := Start(context.Background(), Options{}); err == nil {
		t.Error("a server without an address started")
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "lmtp")
	srv := startCore(t, func(o *Options) { o.LMTP = path })
	dialCore(t, path).talk(srv, "S: 220 mx.example.org LMTP mail serve\nC: QUIT\nS: 221 2.0.0 goodbye\nEOF")
}

func TestImplicitTLSNames(t *testing.T) {
	srv := startCore(t, nil)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "mx.example.org"} {
		c, err := tls.Dial("tcp", srv.Addr("smtps"), &tls.Config{ServerName: name, RootCAs: srv.roots(t)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = c.Close()
	}
	_, err := tls.Dial("tcp", srv.Addr("smtps"), &tls.Config{ServerName: "example.com", RootCAs: srv.roots(t)})
	if err == nil {
		t.Error("the certificate holds for a name that is not ours")
	}
	_, err = tls.Dial("tcp", srv.Addr("smtps"), &tls.Config{ServerName: "localhost", RootCAs: srv.roots(t), MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func TestDeliver(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Domains = []string{"example.org"} })
	for _, c := range []struct {
		rcpt, user string
		want       error
	}{
		{"alice", "alice", nil}, {"BOB@Example.Org", "bob", nil}, {"bob+x", "bob", nil}, {`"bob"@example.org`, "bob", nil},
		{"nobody@example.org", "alice", nil}, {"bob@example.com", "", errRelay},
	} {
		err := srv.Deliver(context.Background(), c.rcpt, strings.NewReader(c.rcpt))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.rcpt, err, c.want)
		}
		if c.user == "" {
			continue
		}
		if got := inboxOf(t, srv, c.user); len(got) == 0 || got[len(got)-1] != c.rcpt {
			t.Errorf("%s: got %q in the inbox of %s", c.rcpt, got, c.user)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestMaxSessions(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.MaxSessions = 1 })
	first := dialCore(t, srv.Addr("smtp"))
	first.talk(srv, "S: 220 mx.example.org ESMTP mail serve")
	dialCore(t, srv.Addr("smtp")).talk(srv, "S: 421 4.3.2 too many sessions, try again later\nEOF")
	first.talk(srv, "C: QUIT\nS: 221 2.0.0 goodbye\nEOF")
	for i := 0; len(srv.current()) > 0 && i < 500; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	dialCore(t, srv.Addr("smtp")).talk(srv, "S: 220 mx.example.org ESMTP mail serve\nC: QUIT\nS: 221 2.0.0 goodbye\nEOF")
}

// TestShutdownDrains holds that a transaction is finished while idle sessions are ended.
func TestShutdownDrains(t *testing.T) {
	busy := make(chan struct{})
	srv := startCore(t, func(o *Options) {
		o.Faults = faultFunc(func(e Event) Strike {
			if e.Command == "EOM" {
				close(busy)
				return Strike{Delay: 600 * time.Millisecond}
			}
			return Strike{}
		})
	})
	idle := dialCore(t, srv.Addr("smtp"))
	idle.talk(srv, "S: 220 mx.example.org ESMTP mail serve")
	p := dialCore(t, srv.Addr("smtp"))
	p.talk(srv, `S: 220 mx.example.org ESMTP mail serve
		C: HELO client.example.org
		S: 250 mx.example.org
		C: MAIL FROM:<alice@example.org>
		S: 250 2.1.0 sender accepted
		C: RCPT TO:<bob@example.org>
		S: 250 2.1.5 recipient accepted
		C: DATA
		S: 354 go ahead, end with a dot
		C> "Subject: x\r\n\r\ny\r\n.\r\n"`)
	<-busy
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(context.Background()) }()
	idle.talk(srv, "EOF")
	p.talk(srv, "S: 250 2.0.0 message accepted\nS: 421 4.3.2 the server is shutting down\nEOF")
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if _, err := net.Dial("tcp", srv.Addr("smtp")); err == nil {
		t.Error("the server still listens")
	}
}

func TestShutdownCut(t *testing.T) {
	srv := startCore(t, func(o *Options) {
		o.Faults = faultFunc(func(e Event) Strike {
			if e.Command == "NOOP" {
				return Strike{Delay: time.Minute}
			}
			return Strike{}
		})
	})
	p := dialCore(t, srv.Addr("smtp"))
	p.talk(srv, "S: 220 mx.example.org ESMTP mail serve\nC: NOOP")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if d := time.Since(begin); d > 60*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestFaults(t *testing.T) {
	rules, err := ParseScript(strings.NewReader(`
		# what the dialogues below meet
		on smtp RCPT *@slow.test: reply 451 4.7.1 try later
		on smtp NOOP once: delay 1ms; garbage "x\r\n"
		on smtp VRFY: drop
		on smtp HELP: reset
		on smtp RSET: split 1 pause 1ms
		on smtp DATA: reset at byte 5
		hide SMTP CHUNKING
	`))
	if err != nil {
		t.Fatal(err)
	}
	srv := startCore(t, func(o *Options) { o.Faults = rules })
	const hello = "S: 220 mx.example.org ESMTP mail serve\nC: HELO [127.0.0.1]\nS: 250 mx.example.org\n"
	t.Run("reply", func(t *testing.T) {
		dialCore(t, srv.Addr("smtp")).talk(srv, hello+`C: MAIL FROM:<>
			S: 250 2.1.0 sender accepted
			C: RCPT TO:<bob@Slow.test>
			S: 451 4.7.1 try later
			C: RCPT TO:<bob@example.org>
			S: 250 2.1.5 recipient accepted`)
	})
	t.Run("garbage once", func(t *testing.T) {
		dialCore(t, srv.Addr("smtp")).talk(srv, hello+"C: NOOP\nS: x\nS: 250 2.0.0 ok\nC: NOOP\nS: 250 2.0.0 ok")
	})
	t.Run("drop", func(t *testing.T) { dialCore(t, srv.Addr("smtp")).talk(srv, hello+"C: VRFY a\nEOF") })
	t.Run("split", func(t *testing.T) {
		p := dialCore(t, srv.Addr("smtp"))
		p.talk(srv, hello+"C: RSET")
		b := make([]byte, 100)
		if n, err := p.nc.Read(b); err != nil || n > 5 {
			t.Errorf("got %d octets (%v), want few", n, err)
		}
	})
	t.Run("hidden", func(t *testing.T) {
		dialCore(t, srv.Addr("smtp")).talk(srv, hello+"C: BDAT 0 LAST\nS: 500 5.5.1 unknown command")
	})
	for name, script := range map[string]string{
		"reset": "C: HELP",
		"cut": `C: MAIL FROM:<>
			S: 250 2.1.0 sender accepted
			C: RCPT TO:<bob@example.org>
			S: 250 2.1.5 recipient accepted
			C: DATA
			S: 354 go ahead, end with a dot
			C: Subject: never stored`,
	} {
		t.Run(name, func(t *testing.T) {
			p := dialCore(t, srv.Addr("smtp"))
			p.talk(srv, hello+script)
			if rest, err := io.ReadAll(p.r); err == nil {
				t.Errorf("got %q and an end in order, want a reset", rest)
			}
		})
	}
	if got := inboxOf(t, srv, "bob"); len(got) > 0 {
		t.Errorf("got %q stored, want nothing", got)
	}
}
