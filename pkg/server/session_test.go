package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// startAll starts a server of all protocols.
func startAll(t testing.TB, change func(*Options)) *Server {
	return startCore(t, func(o *Options) {
		o.POP3, o.POP3S, o.IMAP, o.IMAPS = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		if change != nil {
			change(o)
		}
	})
}

// dialTLS connects to a listener that has TLS from the start.
func dialTLS(t testing.TB, srv *Server, listener string) *corePeer {
	t.Helper()
	nc, err := tls.Dial("tcp", srv.Addr(listener), &tls.Config{ServerName: "localhost", RootCAs: srv.roots(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	return &corePeer{t, nc, bufio.NewReader(nc)}
}

// loginBy logs in by the client engine of a protocol, over TLS.
func loginBy(t testing.TB, srv *Server, listener string, cr *auth.Credentials) error {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr(listener))
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(port)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ep := wire.Endpoint{Host: host, Port: number}
	cfg := &wire.Config{RootCAs: srv.roots(t)}
	var c interface {
		Auth(context.Context, *auth.Credentials) error
		Close() error
	}
	switch listener {
	case "smtps":
		ep.Protocol = wire.SMTP
		c, err = smtp.Dial(ctx, ep, &smtp.Options{Wire: cfg})
	case "pop3s":
		ep.Protocol = wire.POP3
		c, err = pop3.Dial(ctx, ep, &pop3.Options{Wire: cfg})
	default:
		ep.Protocol = wire.IMAP
		c, err = imap.Dial(ctx, ep, &imap.Options{Wire: cfg})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.Auth(ctx, cr)
}

// loginUntilFree is loginBy, and waits until the maildrop of the login before is free again.
func loginUntilFree(t testing.TB, srv *Server, listener string, cr *auth.Credentials) error {
	t.Helper()
	for range 400 {
		var inUse *pop3.Error
		err := loginBy(t, srv, listener, cr)
		if !errors.As(err, &inUse) || inUse.Code != "IN-USE" {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the maildrop was never free")
}

var secureListeners = []string{"smtps", "pop3s", "imaps"}

// TestLogins holds that every mechanism works in every protocol, and that the wrong secret is refused as such.
func TestLogins(t *testing.T) {
	srv := startAll(t, nil)
	for _, listener := range secureListeners {
		for _, mechanism := range []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "scram-sha-1-plus", "scram-sha-256-plus", "xoauth2", "oauthbearer"} {
			t.Run(listener+" "+mechanism, func(t *testing.T) {
				cr := &auth.Credentials{User: "alice", Mechanism: mechanism, Password: auth.Literal("sesame"), Token: auth.Literal("token")}
				if err := loginUntilFree(t, srv, listener, cr); err != nil {
					t.Errorf("right: got %v", err)
				}
				cr.Password, cr.Token = auth.Literal("wrong"), auth.Literal("wrong")
				var refused *auth.Error
				if err := loginBy(t, srv, listener, cr); !errors.As(err, &refused) || refused.Temporary() {
					t.Errorf("wrong: got %v, want a refusal for good", err)
				}
			})
		}
	}
}

// TestLoginWithoutBinding holds that a client that could bind the channel may log in without where that is not on
// offer.
func TestLoginWithoutBinding(t *testing.T) {
	srv := startAll(t, func(o *Options) { o.Without = []string{"AUTH=SCRAM-SHA-256-PLUS", "AUTH=SCRAM-SHA-1-PLUS"} })
	for _, listener := range secureListeners {
		for _, mechanism := range []string{"scram-sha-256", "scram-sha-1"} {
			cr := &auth.Credentials{User: "alice", Mechanism: mechanism, Password: auth.Literal("sesame")}
			if err := loginUntilFree(t, srv, listener, cr); err != nil {
				t.Errorf("%s %s: got %v", listener, mechanism, err)
			}
		}
	}
}

// TestBearerRefused plays the exchange of a token that is wrong, or said to have expired: a challenge in JSON, the
// client's answer to it, the refusal (RFC 7628 §3.2.3).
func TestBearerRefused(t *testing.T) {
	expired, err := ParseScript(strings.NewReader("on * AUTH*: lie expired-token"))
	if err != nil {
		t.Fatal(err)
	}
	code := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		name, token string
		faults      Faults
	}{{"wrong", "wrong", nil}, {"expired", "token", expired}} {
		t.Run(c.name, func(t *testing.T) {
			srv := startAll(t, func(o *Options) { o.Faults = c.faults })
			xoauth2 := code([]byte("user=alice\x01auth=Bearer " + c.token + "\x01\x01"))
			bearer := code([]byte("n,a=alice,\x01auth=Bearer " + c.token + "\x01\x01"))
			told2, told := code([]byte(`{"status":"401","schemes":"bearer","scope":"mail"}`)), code([]byte(`{"status":"invalid_token","scope":"mail"}`))
			smtp := dialTLS(t, srv, "smtps")
			smtp.talk(srv, "S: 220 mx.example.org ESMTP mail serve\nC: EHLO x")
			for line := ""; line != "250 HELP\r\n"; {
				if line, err = smtp.r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			smtp.talk(srv, "C: AUTH XOAUTH2 "+xoauth2+"\nS: 334 "+told2+"\nC> \"\\r\\n\"\nS: 535 5.7.8 authentication failed\n"+
				"C: AUTH OAUTHBEARER "+bearer+"\nS: 334 "+told+"\nC: AQ==\nS: 535 5.7.8 authentication failed\n"+stepQuit)
			pop := dialTLS(t, srv, "pop3s")
			if _, err := pop.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			pop.talk(srv, "C: AUTH XOAUTH2 "+xoauth2+"\nS: + "+told2+"\nC> \"\\r\\n\"\nS: -ERR [AUTH] wrong user name, password or token\n"+
				"C: AUTH OAUTHBEARER\nS: + \nC: "+bearer+"\nS: + "+told+"\nC: AQ==\nS: -ERR [AUTH] wrong user name, password or token\nC: QUIT\nS: +OK bye\nEOF")
			imap := dialTLS(t, srv, "imaps")
			if _, err := imap.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			imap.talk(srv, "C: 1 AUTHENTICATE XOAUTH2 "+xoauth2+"\nS: + "+told2+"\nC> \"\\r\\n\"\nS: 1 NO [AUTHENTICATIONFAILED] wrong user name, password or token")
		})
	}
}

// TestFailedLogins holds that guessing ends the session in every protocol, with a last word.
func TestFailedLogins(t *testing.T) {
	srv := startAll(t, nil)
	plain := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00wrong"))
	for _, c := range []struct{ listener, hello, command, refusal, last string }{
		{"smtps", "EHLO x\r\n", "AUTH PLAIN " + plain, "535 5.7.8 authentication failed\r\n", "421 4.7.0 too many failed logins\r\n"},
		{"pop3s", "", "AUTH PLAIN " + plain, "-ERR [AUTH] wrong user name, password or token\r\n", "-ERR [AUTH] wrong user name, password or token\r\n"},
		{"imaps", "", "1 AUTHENTICATE PLAIN " + plain, "1 NO [AUTHENTICATIONFAILED] wrong user name, password or token\r\n",
			"* BYE too many failed logins\r\n1 NO [AUTHENTICATIONFAILED] wrong user name, password or token\r\n"},
		{"imaps", "", "1 LOGIN alice wrong", "1 NO [AUTHENTICATIONFAILED] wrong user name, password or token\r\n",
			"* BYE too many failed logins\r\n1 NO [AUTHENTICATIONFAILED] wrong user name, password or token\r\n"},
	} {
		t.Run(c.listener+" "+c.command[:6], func(t *testing.T) {
			t.Parallel()
			p := dialTLS(t, srv, c.listener)
			p.send(c.hello + strings.Repeat(c.command+"\r\n", maxFailures+5))
			out, _ := io.ReadAll(p.r)
			want := strings.Repeat(c.refusal, maxFailures-1) + c.last
			if !strings.HasSuffix(string(out), want) || strings.Count(string(out), c.refusal) > maxFailures {
				t.Errorf("got %q\nwant the end %q", out, want)
			}
		})
	}
}

// TestV_PanicEverywhere lets the faults, and with them the session that asks, panic at many moments of each protocol:
// other sessions go on, new ones begin, locks are free, and the log tells of it.
func TestV_PanicEverywhere(t *testing.T) {
	var log syncBuffer
	srv := startAll(t, func(o *Options) {
		o.AllowCleartextLogin = true
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Faults = faultFunc(func(e Event) Strike {
			if strings.Contains(strings.ToLower(e.Arg), "boom") {
				panic("a mistake at " + e.Protocol + " " + e.Command)
			}
			return Strike{}
		})
	})
	count := 0
	for _, c := range []struct {
		listener, hello, ping, pong string
		last                        []string
	}{
		{"smtp", "EHLO x\r\n", "NOOP", "250 2.0.0 ok", []string{"NOOP boom", "VRFY boom", "MAIL FROM:<boom@b>", "AUTH boom", "EHLO boom"}},
		{"smtp", "EHLO x\r\nMAIL FROM:<boo@m>\r\n", "NOOP", "250 2.0.0 ok", []string{"RCPT TO:<boom@b>", "DATA boom"}},
		{"lmtp", "LHLO x\r\nMAIL FROM:<a@b>\r\n", "NOOP", "250 2.0.0 ok", []string{"RCPT TO:<boom@b>", "HELP boom"}},
		{"pop3", "USER bob\r\nPASS other\r\n", "NOOP", "-ERR log in first", []string{"RETR boom", "QUIT boom", "XBOOM boom"}},
		{"imap", "1 LOGIN alice sesame\r\n2 SELECT INBOX\r\n", "p NOOP", "p OK NOOP completed",
			[]string{"3 STATUS boom (MESSAGES)", "3 SEARCH TEXT boom", "3 APPEND boom {1}"}},
	} {
		for _, last := range c.last {
			bystander := dialCore(t, srv.Addr(c.listener))
			if _, err := bystander.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			victim := dialCore(t, srv.Addr(c.listener))
			victim.send(c.hello + last + "\r\n")
			if out, err := io.ReadAll(victim.r); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%s %q: got %q (%v), want the end of the session", c.listener, last, out, err)
			}
			count++
			bystander.talk(srv, "C: "+c.ping+"\nS: "+c.pong)
			if c.listener == "pop3" { // the maildrop that the victim had open
				if err := loginUntilFree(t, srv, "pop3s", &auth.Credentials{User: "bob", Password: auth.Literal("other")}); err != nil {
					t.Errorf("%q: the next login got %v", last, err)
				}
			}
		}
	}
	srv.Close()
	if got := strings.Count(log.String(), "panic in session"); got != count {
		t.Errorf("the log tells of %d panics, want %d:\n%s", got, count, log.String())
	}
}
