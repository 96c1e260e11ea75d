package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// tryLogin dials and logs in over sec, and returns the error of the step that failed and all that was sent.
func tryLogin(t *testing.T, script string, sec wire.Security) (sent []byte, err error) {
	t.Helper()
	var capture wiretest.Captured
	addr := wiretest.Serve(t, script, wiretest.Capture(&capture))
	o := trusting(t)
	o.Wire.Timeout = time.Second
	c, err := Dial(within(t), endpointOf(t, addr, sec), o)
	if err == nil {
		defer func() { _ = c.Close() }()
		err = c.Auth(within(t), alice())
	}
	return capture.Received(0), err
}

func TestT1_ResponseInjection(t *testing.T) {
	tails := map[string]string{
		"one byte":     `+`,
		"a line end":   `\r\n`,
		"half a line":  `+OK inj`,
		"a reply":      `+OK injected\r\n`,
		"many replies": `+OK 1\r\n+OK 2\r\n-ERR 3\r\n+OK\r\nUSER\r\n.\r\n`,
		"a TLS alert":  `\x15\x03\x01\x00\x02\x02\x28`,
	}
	for name, tail := range tails {
		t.Run("same write, "+name, func(t *testing.T) {
			sent, err := tryLogin(t, greeted+`C: STLS
				S> "+OK go\r\n`+tail+`"
				HANG`, wire.StartTLS)
			wantProtocol(t, err)
			noSecret(t, sent)
		})
		for _, wait := range []string{"0ms", "30ms"} {
			t.Run("own write after "+wait+", "+name, func(t *testing.T) {
				sent, err := tryLogin(t, greeted+`C: STLS
					S: +OK go
					SLEEP `+wait+`
					S> "`+tail+`"
					HANG`, wire.StartTLS)
				if err == nil {
					t.Fatal("got a session, want an error")
				}
				noSecret(t, sent)
			})
		}
	}
}

func TestT2_STLSRefused(t *testing.T) {
	cases := map[string]string{
		"-ERR":                    "S: -ERR no TLS here",
		"-ERR with a code":        "S: -ERR [SYS/PERM] no",
		"-ERR and more":           `S> "-ERR currently unavailable\r\n+OK user accepted\r\n+OK authenticated\r\n"`,
		"EOF":                     "CLOSE",
		"reset":                   "RESET",
		"half-close":              "HALFCLOSE",
		"empty line":              "S: ",
		"garbage":                 "S: 220 go ahead",
		"lower case":              "S: +ok go",
		"half a reply, then EOF":  `S> "+O"` + "\nCLOSE",
		"a reply without its end": `S> "+OK"` + "\nCLOSE",
		"endless line":            `FLOOD "+OK ++++++++++++++++++++++++++++++++++++++"`,
	}
	for name, reply := range cases {
		t.Run(name, func(t *testing.T) {
			sent, err := tryLogin(t, greeted+"C: STLS\n"+reply+"\nHANG", wire.StartTLS)
			if err == nil {
				t.Fatal("got a session, want an error")
			}
			noSecret(t, sent)
		})
	}
	_, err := tryLogin(t, greeted+"C: STLS\nS: -ERR no TLS here\nHANG", wire.StartTLS)
	var refused *Error
	if !errors.As(err, &refused) || refused.Command != "STLS" || refused.Text != "no TLS here" || refused.Hint() == "" {
		t.Errorf("got %#v, want an *Error of STLS with the server's words and a hint", err)
	}
}

func TestT3_EarlyOK(t *testing.T) {
	// the agreement to STLS comes in the greeting's segment, before it was asked for
	for name, greetings := range map[string]string{
		"one":  `S> "+OK ready\r\n+OK begin TLS\r\n"`,
		"many": `S> "+OK ready\r\n+OK begin TLS\r\n+OK\r\n.\r\n+OK\r\n"`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, sec := range []wire.Security{wire.StartTLS, wire.Cleartext} {
				sent, err := tryLogin(t, greetings+"\nHANG", sec)
				wantProtocol(t, err)
				if len(sent) > 0 {
					t.Errorf("got %q sent, want nothing", sent)
				}
			}
		})
	}
}

func TestT5_StateBeforeTLS(t *testing.T) {
	addr := wiretest.Serve(t, `
		S: +OK ready <1896.697170952@example.org>
		C: STLS
		S: +OK go
		TLS
		C: CAPA
		S: +OK
		S: USER
		S: .
		C: USER alice
		S: +OK
		C: PASS `+canary+`
		S: +OK
		C: CAPA
		S: +OK
		S: UIDL
		S: .
		C: QUIT
		S: +OK`)
	c, err := Dial(within(t), endpointOf(t, addr, wire.StartTLS), trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Conn().TLS() == nil {
		t.Error("no TLS after STLS")
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Fatal(err)
	}
	caps, err := c.Caps(within(t))
	if err != nil || caps.Has("USER") || !caps.Has("uidl") {
		t.Errorf("got %v, %v; want the capabilities asked for after login", caps, err)
	}
	if err := c.Quit(within(t)); err != nil {
		t.Error(err)
	}
}

func TestT6_BadGreeting(t *testing.T) {
	cases := []struct{ name, script, want string }{
		{"SMTP", "S: 220 mx.example.org ESMTP", "speaks SMTP"},
		{"IMAP", "S: * OK IMAP4rev1 ready", "speaks IMAP"},
		{"IMAP PREAUTH", "S: * PREAUTH welcome back", "speaks IMAP"},
		{"HTTP", "S: HTTP/1.1 400 Bad Request", "speaks HTTP"},
		{"empty line", "S: ", "neither +OK nor -ERR"},
		{"no blank", "S: +OKAY", "neither +OK nor -ERR"},
		{"binary", `S> "\x00\xff\x00\r\n"`, "neither +OK nor -ERR"},
		{"control characters", `S> "\x1b]0;title\x07\r\n"`, `\x1b]0;title\a`},
		{"EOF", "CLOSE", "connection closed"},
		{"endless line", `FLOOD "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`, "line too long"},
	}
	for _, tt := range cases {
		for _, sec := range []wire.Security{wire.Cleartext, wire.StartTLS} {
			t.Run(tt.name, func(t *testing.T) {
				sent, err := tryLogin(t, tt.script+"\nHANG", sec)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got error %v, want one with %q", err, tt.want)
				}
				if len(sent) > 0 {
					t.Errorf("got %q sent after a bad greeting, want nothing", sent)
				}
			})
		}
	}
}

func TestGreetingRefused(t *testing.T) {
	cases := []struct {
		line, code string
		temporary  bool
	}{
		{"-ERR too many connections", "", true},
		{"-ERR [SYS/TEMP] later", "SYS/TEMP", true},
		{"-ERR [SYS/PERM] you are banned", "SYS/PERM", false},
		{"-ERR", "", true},
	}
	for _, tt := range cases {
		t.Run(tt.line, func(t *testing.T) {
			_, err := dialScript(t, "S: "+tt.line, nil)
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if refused.Code != tt.code || refused.Temporary() != tt.temporary {
				t.Errorf("got code %q, temporary %v; want %q, %v", refused.Code, refused.Temporary(), tt.code, tt.temporary)
			}
		})
	}
}

func TestT7_Certificates(t *testing.T) {
	for _, cert := range []string{"expired", "not-yet-valid", "wrong-name", "self-signed", "common-name"} {
		for _, sec := range []wire.Security{wire.ImplicitTLS, wire.StartTLS} {
			t.Run(cert, func(t *testing.T) {
				script := "TLSFAIL " + cert
				if sec == wire.StartTLS {
					script = greeted + "C: STLS\nS: +OK\n" + script
				}
				addr := wiretest.Serve(t, script)
				_, err := Dial(within(t), endpointOf(t, addr, sec), trusting(t))
				var te *wire.TLSError
				if !errors.As(err, &te) || !te.Certificate() {
					t.Errorf("got %v, want a *wire.TLSError about the certificate", err)
				}
			})
		}
	}
}

func TestT10_OldTLS(t *testing.T) {
	for name, script := range map[string]string{"implicit": "TLSFAIL", "STLS": greeted + "C: STLS\nS: +OK\nTLSFAIL"} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, script, wiretest.TLSVersions(tls.VersionTLS10, tls.VersionTLS11))
			sec := wire.ImplicitTLS
			if name == "STLS" {
				sec = wire.StartTLS
			}
			_, err := Dial(within(t), endpointOf(t, addr, sec), trusting(t))
			var te *wire.TLSError
			if !errors.As(err, &te) {
				t.Errorf("got %v, want a *wire.TLSError", err)
			}
		})
	}
}

func TestT12_WrongPort(t *testing.T) {
	t.Run("TLS to a cleartext port", func(t *testing.T) {
		addr := wiretest.Serve(t, "S: +OK ready\nHANG")
		_, err := Dial(within(t), endpointOf(t, addr, wire.ImplicitTLS), trusting(t))
		var te *wire.TLSError
		if !errors.As(err, &te) || te.Certificate() || te.Hint() == "" {
			t.Errorf("got %v, want a *wire.TLSError with a hint", err)
		}
	})
	t.Run("cleartext to a TLS port", func(t *testing.T) {
		addr := wiretest.Serve(t, "TLSFAIL")
		o := &Options{Wire: &wire.Config{Timeout: 300 * time.Millisecond}}
		_, err := Dial(within(t), endpointOf(t, addr, wire.StartTLS), o)
		var te *wire.TimeoutError
		if !errors.As(err, &te) || te.Hint() == "" {
			t.Errorf("got %v, want a *wire.TimeoutError with a hint", err)
		}
	})
	for name, end := range map[string]string{"EOF": "CLOSE", "reset": "RESET", "garbage": "S: -ERR what was that\nHANG"} {
		t.Run(name+" in the handshake", func(t *testing.T) {
			sent, err := tryLogin(t, greeted+"C: STLS\nS: +OK\nSLEEP 20ms\n"+end, wire.StartTLS)
			if err == nil {
				t.Error("got a session, want an error")
			}
			noSecret(t, sent)
		})
	}
}

func TestS14_CapaRefusedOnce(t *testing.T) {
	c, err := dialScript(t, lines("S: +OK", "C: CAPA", "S: -ERR what", "C: USER alice", "S: +OK", "C: PASS "+canary, "S: +OK",
		"C: CAPA", "S: -ERR what", "C: STAT", "S: +OK 0 0", "C: NOOP", "S: +OK"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // asked once, and never again
		caps, err := c.Caps(within(t))
		if err != nil || caps.Supported || len(caps.Lines) != 0 {
			t.Fatalf("got %+v, %v; want no capabilities and no error", caps, err)
		}
	}
	if _, err := c.Stat(within(t)); err != nil {
		t.Error(err)
	}
	if err := c.Noop(within(t)); err != nil {
		t.Error(err)
	}
	_ = c.conn.Close()
}

func TestS14_RefusedAtEveryStep(t *testing.T) {
	steps := []string{"CAPA", "USER alice", "PASS " + canary, "STAT"}
	for i, at := range steps {
		for _, reply := range []string{"S: -ERR [SYS/TEMP] no", "S: -ERR", "CLOSE", "S: 421 bye"} {
			t.Run(at+" "+reply, func(t *testing.T) {
				script := greeted
				for _, s := range steps[:i] {
					script += "C: " + s + "\nS: +OK\n"
					if s == "CAPA" {
						script += "S: USER\nS: .\n"
					}
				}
				script += "C: " + at + "\n" + reply + "\n"
				refusedCapa := at == "CAPA" && strings.HasPrefix(reply, "S: -ERR") // goes on without capabilities
				if refusedCapa {
					script += "C: USER alice\nCLOSE"
				} else {
					script += "HANG"
				}
				c, err := dialScript(t, script, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err = c.Auth(within(t), alice()); err == nil {
					_, err = c.Stat(within(t))
				}
				var refused *Error
				if err == nil || refusedCapa && errors.As(err, &refused) {
					t.Errorf("got error %v, want another one", err)
				}
			})
		}
	}
}

func TestCancel(t *testing.T) {
	c := login(t, loggedIn+"C: STAT\nHANG", nil)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := c.Stat(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := c.Noop(within(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v on a dead session, want its first error", err)
	}
}

func TestStates(t *testing.T) {
	c, err := dialScript(t, greeted+"C: QUIT", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	calls := map[string]func() error{
		"Stat": func() error { _, err := c.Stat(ctx); return err },
		"List": func() error { _, err := c.List(ctx); return err },
		"Uidl": func() error { _, err := c.Uidl(ctx); return err },
		"Retr": func() error { return c.Retr(ctx, []int{1}, nil) },
		"Top":  func() error { return c.Top(ctx, []int{1}, 0, nil) },
		"Dele": func() error { return c.Dele(ctx, []int{1}) },
		"Rset": func() error { return c.Rset(ctx) },
		"Noop": func() error { return c.Noop(ctx) },
	}
	for name, call := range calls {
		if err := call(); err == nil || !strings.Contains(err.Error(), "not logged in") {
			t.Errorf("%s before login: got %v, want it refused", name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	calls["Auth"] = func() error { return c.Auth(ctx, alice()) }
	calls["Caps"] = func() error { _, err := c.Caps(ctx); return err }
	calls["Lang"] = func() error { return c.Lang(ctx, "*") }
	calls["UTF8"] = func() error { return c.UTF8(ctx) }
	calls["Quit"] = func() error { return c.Quit(ctx) }
	for name, call := range calls {
		if err := call(); !errors.Is(err, errClosed) {
			t.Errorf("%s after Close: got %v, want %v", name, err, errClosed)
		}
	}
}

func TestTimestamp(t *testing.T) {
	cases := []struct{ greeting, want string }{
		{"ready <1896.697170952@example.org>", "<1896.697170952@example.org>"},
		{"<a@b> hi", "<a@b>"},
		{"no timestamp", ""},
		{"< a@b>", ""},
		{"<a@b", ""},
		{"a@b>", ""},
		{"<\x01@b>", ""},
		{"> <a@b>", "<a@b>"},
	}
	for _, tt := range cases {
		if got := timestamp([]byte(tt.greeting)); got != tt.want {
			t.Errorf("timestamp(%q): got %q, want %q", tt.greeting, got, tt.want)
		}
	}
}

func TestUTF8AndLang(t *testing.T) {
	c, err := dialScript(t, greeted+lines("C: LANG de", "S: +OK de Sprache", "C: UTF8", "S: +OK", "C: LANG *", "S: -ERR [SYS/PERM] no"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	if err := c.Lang(ctx, "de"); err != nil {
		t.Error(err)
	}
	if err := c.UTF8(ctx); err != nil {
		t.Error(err)
	}
	var refused *Error
	if err := c.Lang(ctx, "*"); !errors.As(err, &refused) {
		t.Errorf("got %v, want an *Error", err)
	}
	for _, bad := range []string{"", "de\r\nQUIT", "d e", "d\x00"} {
		var ae *wire.ArgumentError
		if err := c.Lang(ctx, bad); !errors.As(err, &ae) {
			t.Errorf("Lang(%q): got %v, want a *wire.ArgumentError", bad, err)
		}
	}
	_ = c.conn.Close()
}
