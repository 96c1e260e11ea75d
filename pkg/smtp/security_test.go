package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// session connects over TCP as an endpoint with security s asks, logs in and sends one message.
func session(t *testing.T, script string, s wire.Security, opts ...wiretest.Option) error {
	t.Helper()
	addr := wiretest.Serve(t, script, opts...)
	o := &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool, Timeout: 60 * time.Second}}
	c, err := Dial(bg(t), endpoint(t, addr, s), o)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	cr := &auth.Credentials{User: "alice", Password: auth.Literal("canary-password")}
	if err := c.Auth(bg(t), cr); err != nil {
		return err
	}
	_, err = c.Send(bg(t), envelope("bob@example.org"), strings.NewReader(testBody))
	return err
}

const (
	offerTLS = "S: 220 mx\nC: EHLO localhost\nS: 250-mx\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\n"
	underTLS = "C: EHLO localhost\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 235 ok\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n"
)

func TestStartTLS(t *testing.T) {
	if err := session(t, offerTLS+"S: 220 go\nTLS\n"+underTLS, wire.StartTLS); err != nil {
		t.Error(err)
	}
}

func TestImplicitTLS(t *testing.T) {
	if err := session(t, "S: 220 mx\n"+underTLS, wire.ImplicitTLS, wiretest.ImplicitTLS(wiretest.CA(t).Good)); err != nil {
		t.Error(err)
	}
}

func TestT1_ResponseInjection(t *testing.T) {
	payloads := []struct{ name, raw string }{
		{"one octet", "2"},
		{"LF", "\n"},
		{"half line", "250-AUTH PL"},
		{"full reply", "250 AUTH PLAIN\r\n"},
		{"many replies", "250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"},
	}
	for _, p := range payloads {
		for _, how := range []struct{ name, script string }{
			{"same write", fmt.Sprintf("S> %q\n", "220 go\r\n"+p.raw)},
			{"write of its own", fmt.Sprintf("S: 220 go\nS> %q\n", p.raw)},
			{"after a delay", fmt.Sprintf("S: 220 go\nSLEEP 20ms\nS> %q\n", p.raw)},
			// No more octets than the client needs for a record header: it does not hang up while they are sent.
			{"split into octets", fmt.Sprintf("SPLIT 1\nS> %q\n", "220 go\r\n"+p.raw[:min(len(p.raw), 4)])},
		} {
			t.Run(p.name+"/"+how.name, func(t *testing.T) {
				var got wiretest.Captured
				err := session(t, offerTLS+how.script+"HALFCLOSE\nHANG\n", wire.StartTLS, wiretest.Capture(&got))
				if k := kind(err); k != "protocol" && k != "tls" {
					t.Errorf("error is %s (%v), want protocol or tls", k, err)
				}
				assertNoSecret(t, got.Received(0))
			})
		}
	}
}

func assertNoSecret(t *testing.T, received []byte) {
	t.Helper()
	for _, bad := range []string{"AUTH PLAIN", "MAIL FROM", "canary", "AGFsaWNl"} {
		if strings.Contains(string(received), bad) {
			t.Errorf("the client sent %q: %q", bad, received)
		}
	}
}

func TestT2_Stripping(t *testing.T) {
	greet := "S: 220 mx\nC: EHLO localhost\n"
	for _, tc := range []struct{ name, script, kind string }{
		{"not offered", greet + "S: 250-mx\nS: 250 AUTH PLAIN\n", "capability"},
		{"not offered, HELO only", "S: 220 mx\nC: EHLO *\nS: 502 no\nC: HELO *\nS: 250-mx\nS: 250 STARTTLS\n", "capability"},
		{"misspelt", greet + "S: 250-mx\nS: 250-XSTARTTLS\nS: 250 STARTTLSX\n", "capability"},
		{"454", offerTLS + "S: 454 TLS not available\nHANG\n", "error"},
		{"500", offerTLS + "S: 500 what\nHANG\n", "error"},
		{"502", offerTLS + "S: 502 no\nHANG\n", "error"},
		{"421", offerTLS + "S: 421 closing\nHANG\n", "error"},
		{"250", offerTLS + "S: 250 ok\nHANG\n", "protocol"},
		{"354", offerTLS + "S: 354 ok\nHANG\n", "protocol"},
		{"garbage", offerTLS + "S: BAD what\nHANG\n", "protocol"},
		{"closed", offerTLS + "CLOSE\n", "closed"},
		{"reset", offerTLS + "RESET\n", "other"},
		{"closed after the agreement", offerTLS + "S: 220 go\nCLOSE\n", "tls"},
		{"EHLO after TLS refused", offerTLS + "S: 220 go\nTLS\nC: EHLO *\nS: 421 closing\nHANG\n", "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got wiretest.Captured
			err := session(t, tc.script, wire.StartTLS, wiretest.Capture(&got))
			wantKind(t, err, tc.kind)
			assertNoSecret(t, got.Received(0))
		})
	}
}

func TestT3_RepliesBeforeTheirCommands(t *testing.T) {
	// What a server sends ahead of our commands must not pass for the agreement and the handshake.
	for _, raw := range []string{"220 mx\r\n250 STARTTLS\r\n220 go\r\n250 mx\r\n235 ok\r\n", "220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n"} {
		var got wiretest.Captured
		err := session(t, fmt.Sprintf("S> %q\nHALFCLOSE\nHANG\n", raw), wire.StartTLS, wiretest.Capture(&got))
		if err == nil {
			t.Error("no error")
		}
		assertNoSecret(t, got.Received(0))
	}
}

func TestT5_ForgetsWhatCameBeforeTLS(t *testing.T) {
	// Before TLS the server boasts of everything; after it, it offers nothing.
	script := "S: 220 mx\nC: EHLO localhost\nS: 250-liar\nS: 250-AUTH PLAIN\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250-SIZE 10\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n" +
		"C: EHLO localhost\nS: 250 mx\nC: MAIL FROM:<alice@example.org>\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n"
	addr := wiretest.Serve(t, script)
	c, err := Dial(bg(t), endpoint(t, addr, wire.StartTLS), &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Extensions(); len(got) != 0 || c.Identity() != "mx" {
		t.Errorf("extensions %q of %q, want none of mx", got, c.Identity())
	}
	err = c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("canary-password")})
	wantKind(t, err, "capability")
	env := envelope("bob@example.org")
	env.Size = int64(len(testBody))
	if _, err := send(t, c, env); err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

func TestT6_BadGreetingCloses(t *testing.T) {
	for _, greeting := range []string{"hello\r\n", "+OK POP3\r\n", "* OK IMAP4rev1\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n", "220\x00\r\n", "220-a\r\n350 b\r\n", "22\r\n"} {
		t.Run(greeting, func(t *testing.T) {
			var got wiretest.Captured
			err := session(t, fmt.Sprintf("S> %q\nHANG\n", greeting), wire.StartTLS, wiretest.Capture(&got))
			wantKind(t, err, "protocol")
			if sent := got.Received(0); len(sent) > 0 {
				t.Errorf("the client went on with %q", sent)
			}
		})
	}
}

func TestT10_OldTLSRefused(t *testing.T) {
	for _, v := range []string{"1.0", "1.1"} {
		err := session(t, "OPT tls-min 1.0\nOPT tls-max "+v+"\n"+offerTLS+"S: 220 go\nTLSFAIL\n", wire.StartTLS)
		wantKind(t, err, "tls")
	}
	for _, v := range []string{"1.2", "1.3"} {
		if err := session(t, "OPT tls-max "+v+"\n"+offerTLS+"S: 220 go\nTLS\n"+underTLS, wire.StartTLS); err != nil {
			t.Errorf("TLS %s: %v", v, err)
		}
	}
}

func TestT7_Certificates(t *testing.T) {
	for _, cert := range []string{"expired", "not-yet-valid", "wrong-name", "self-signed", "common-name"} {
		t.Run(cert, func(t *testing.T) {
			err := session(t, offerTLS+"S: 220 go\nTLSFAIL "+cert+"\n", wire.StartTLS)
			var e *wire.TLSError
			if !errors.As(err, &e) || !e.Certificate() {
				t.Errorf("error is %v, want a refused certificate", err)
			}
		})
	}
}

func TestT12_WrongPort(t *testing.T) {
	t.Run("TLS server, STARTTLS client", func(t *testing.T) {
		err := session(t, `S> "\x15\x03\x01\x00\x02\x02\x46"`+"\nHANG\n", wire.StartTLS)
		wantKind(t, err, "protocol")
		if err != nil && !strings.Contains(err.Error(), "smtps") {
			t.Errorf("%q does not name the scheme to use", err)
		}
	})
	t.Run("cleartext server, TLS client", func(t *testing.T) {
		err := session(t, "S: 220 mx ESMTP\nHANG\n", wire.ImplicitTLS)
		var h interface{ Hint() string }
		if !errors.As(err, &h) || !strings.Contains(h.Hint(), "STARTTLS") {
			t.Errorf("%v has no hint about STARTTLS", err)
		}
	})
	t.Run("silent server", func(t *testing.T) {
		addr := wiretest.Serve(t, "HANG\n")
		o := &Options{Timeouts: &Timeouts{Greeting: 50 * time.Millisecond}}
		_, err := Dial(bg(t), endpoint(t, addr, wire.StartTLS), o)
		wantKind(t, err, "timeout")
		var h interface{ Hint() string }
		if !errors.As(err, &h) || !strings.Contains(h.Hint(), "smtps") {
			t.Errorf("%v has no hint about smtps", err)
		}
	})
	t.Run("closed in the handshake", func(t *testing.T) {
		wantKind(t, session(t, offerTLS+"S: 220 go\nRESET\n", wire.StartTLS), "tls")
	})
}

func TestI1_AddressInjection(t *testing.T) {
	places := []struct{ name, format string }{
		{"local part", "al%sice@example.org"},
		{"quoted local part", `"al%sice"@example.org`},
		{"quoted pair", `"al\%sice"@example.org`},
		{"domain", "alice@exa%smple.org"},
		{"literal", "alice@[192.0.2.1%s]"},
		{"end", "alice@example.org%s"},
		{"beginning", "%salice@example.org"},
		{"no domain", "al%sice"},
	}
	c := mustOpen(t, hello("SMTPUTF8", "8BITMIME", "DSN")+bye, nil)
	tryAll := func(bad string) {
		for _, p := range places {
			addr := fmt.Sprintf(p.format, bad)
			for _, env := range []*Envelope{{From: addr, Rcpt: []string{"bob@example.org"}}, {Rcpt: []string{"bob@example.org", addr}}} {
				if _, err := c.plan(env); kind(err) != "argument" {
					t.Errorf("%s with %q: %v, want an ArgumentError", p.name, bad, err)
				}
			}
		}
	}
	for b := range 256 {
		if b < 0x20 || b >= 0x7f {
			tryAll(string([]byte{byte(b)})) // from 0x80 on: not UTF-8
		}
	}
	for _, bad := range []string{"\r\nRCPT TO:<eve@example.org>", "\u0085", "\u0080", "\u009f", "\u2028", "\u2029", "\xc0\x8d\xc0\x8a", "\xed\xa0\x80"} {
		tryAll(bad)
	}
	for _, addr := range []string{"a b@example.org", "a>b@example.org", "<a@example.org>", "a@b@example.org", "a@exa mple.org", `"a@example.org`, `"a"b@example.org`,
		"a@", "@example.org", "a@[1 2]", "a@[1]]", "a@[1>", "a,b@example.org", "a@example.org SIZE=1", "a@example.org> SIZE=1", strings.Repeat("a", 513)} {
		if _, err := c.plan(&Envelope{From: "alice@example.org", Rcpt: []string{addr}}); kind(err) != "argument" {
			t.Errorf("%q: %v, want an ArgumentError", addr, err)
		}
	}
	for _, addr := range []string{"a@example.org", `"a b"@example.org`, `"a@evil> x"@example.org`, `"a\"b"@example.org`, "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]",
		"a..b.@example.org", "jürgen@bücher.example", "root", "a+b=c@example.org", "!#$%&'*+-/=?^_`{|}~@example.org", "用户@例え.example"} {
		if _, err := c.plan(&Envelope{From: addr, Rcpt: []string{addr}}); err != nil {
			t.Errorf("%q is refused: %v", addr, err)
		}
	}
	_ = c.Close()
}

func TestI1_OtherArguments(t *testing.T) {
	c := mustOpen(t, hello("DSN")+bye, nil)
	for b := range 256 {
		bad := string([]byte{'x', byte(b), 'y'})
		_, err := c.plan(&Envelope{Rcpt: []string{"bob@example.org"}, DSN: &DSN{EnvID: bad}})
		if fits := b >= ' ' && b < 0x7f; (err == nil) != fits {
			t.Errorf("ENVID with octet %#x: %v, want it let through: %v", b, err, fits)
		}
		err = checkLocalName(bad)
		if refuse := b <= ' ' || b >= 0x7f; refuse && err == nil {
			t.Errorf("EHLO name with octet %#x is let through", b)
		}
	}
	for _, d := range []*DSN{{Return: "full"}, {Return: "FULL\r\nX"}, {Notify: NotifyNever | NotifyDelay}, {EnvID: strings.Repeat("x", 101)}, {EnvID: strings.Repeat("+", 34)}} {
		if _, err := c.plan(&Envelope{Rcpt: []string{"bob@example.org"}, DSN: d}); kind(err) != "argument" {
			t.Errorf("%+v: %v, want an ArgumentError", d, err)
		}
	}
	_ = c.Close()
	_, err := New(bg(t), wire.NewConn(wiretest.Pipe(t, "HANG\n"), nil), wire.Endpoint{Security: wire.Cleartext}, &Options{LocalName: "a\r\nMAIL FROM:<>"})
	wantKind(t, err, "argument")
}

func TestI1_NoRecipient(t *testing.T) {
	c := mustOpen(t, hello()+bye, nil)
	_, err := send(t, c, &Envelope{From: "alice@example.org"})
	wantKind(t, err, "argument")
	_ = c.Close()
}
