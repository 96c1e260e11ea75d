package imap

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// mustNotLogin dials script, which must fail, and sees that no secret left.
func mustNotLogin(t *testing.T, script string, sec wire.Security) error {
	t.Helper()
	var sent wiretest.Captured
	addr := wiretest.Serve(t, script, wiretest.Capture(&sent))
	c, err := Dial(within(t), endpointOf(t, addr, sec), trusting(t))
	if err == nil {
		err = c.Auth(within(t), alice())
		c.Close()
	}
	if err == nil {
		t.Error("logged in, want an error")
	}
	for n := range 2 {
		if b := sent.Received(n); bytes.Contains(b, []byte("LOGIN")) || bytes.Contains(b, []byte("AUTHENTICATE")) {
			t.Errorf("a login was sent: %q", b)
		}
	}
	return err
}

func TestT1_ResponseInjection(t *testing.T) {
	for name, extra := range map[string]string{
		"one byte":     "x",
		"half line":    "* OK",
		"full reply":   "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
		"many replies": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nA3 OK done\r\nA4 OK logged in\r\n",
		"line end":     "\r\n",
	} {
		script := "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: A1 STARTTLS\n"
		t.Run(name+" in the same write", func(t *testing.T) {
			err := mustNotUpgrade(t, script+fmt.Sprintf("S> %q\nEOF", "A1 OK begin\r\n"+extra))
			wantProtocol(t, err)
		})
		t.Run(name+" in a second write", func(t *testing.T) {
			err := mustNotUpgrade(t, script+fmt.Sprintf("S: A1 OK begin\nSLEEP 20ms\nS> %q\nHANG", extra))
			if err == nil {
				t.Error("got no error")
			}
		})
	}
}

// mustNotUpgrade dials script with tags that it can know.
func mustNotUpgrade(t *testing.T, script string) error {
	t.Helper()
	var sent wiretest.Captured
	addr := wiretest.Serve(t, script, wiretest.Capture(&sent))
	o := trusting(t)
	o.Tag, o.Wire.Timeout = "A", 300*time.Millisecond
	c, err := Dial(within(t), endpointOf(t, addr, wire.StartTLS), o)
	if err == nil {
		c.Close()
		t.Error("the connection was taken as encrypted")
	}
	if b := sent.Received(0); bytes.Contains(b, []byte("LOGIN")) || bytes.Contains(b, []byte("AUTHENTICATE")) {
		t.Errorf("a login was sent: %q", b)
	}
	return err
}

func TestT2_StartTLSRefused(t *testing.T) {
	const hi = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hi\n"
	for name, script := range map[string]string{
		"not offered":            "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi",
		"not offered, asked":     "S: * OK hi\nC: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN\nS: $a OK done",
		"no":                     hi + "C: $a STARTTLS\nS: $a NO not now",
		"bad":                    hi + "C: $a STARTTLS\nS: $a BAD what",
		"closed":                 hi + "C: $a STARTTLS\nCLOSE",
		"reset":                  hi + "C: $a STARTTLS\nRESET",
		"bye":                    hi + "C: $a STARTTLS\nS: * BYE no\nCLOSE",
		"bye without reply":      hi + "C: $a STARTTLS\nS: * BYE no\nCLOSE",
		"garbage":                hi + "C: $a STARTTLS\nS: what?",
		"other tag":              hi + "C: $a STARTTLS\nS: x OK begin",
		"capability refused":     "S: * OK hi\nC: $a CAPABILITY\nS: $a NO",
		"capability bad":         "S: * OK hi\nC: $a CAPABILITY\nS: $a BAD",
		"capability says naught": "S: * OK hi\nC: $a CAPABILITY\nS: $a OK done",
	} {
		t.Run(name, func(t *testing.T) { mustNotLogin(t, script, wire.StartTLS) })
	}
}

func TestT3_EarlyOK(t *testing.T) {
	t.Run("guessed tag in the greeting segment", func(t *testing.T) {
		err := mustNotLogin(t, `S> "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\nA1 OK done\r\n"
			C? * STARTTLS
			EOF`, wire.StartTLS)
		wantProtocol(t, err)
	})
	t.Run("the right tag, guessed", func(t *testing.T) {
		var sent wiretest.Captured
		addr := wiretest.Serve(t, `S> "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\nA1 OK done\r\n"
			C: A1 STARTTLS
			S: A1 NO
			HANG`, wiretest.Capture(&sent))
		o := trusting(t)
		o.Tag = "A"
		if c, err := Dial(within(t), endpointOf(t, addr, wire.StartTLS), o); err == nil {
			c.Close()
			t.Error("the connection was taken as encrypted")
		}
	})
	t.Run("tag not outstanding", func(t *testing.T) {
		c := session(t, allCaps, "C: $a NOOP\nS: x99 OK done\nS: $a OK done\nHANG")
		wantProtocol(t, c.Noop(within(t)))
		if err := c.Noop(within(t)); err == nil {
			t.Error("the connection lives on")
		}
	})
	t.Run("old tag", func(t *testing.T) {
		c := session(t, allCaps, "C: $a NOOP\nS: $a OK done\nC: $b NOOP\nS: ${a} OK again\nHANG")
		if err := c.Noop(within(t)); err != nil {
			t.Fatal(err)
		}
		wantProtocol(t, c.Noop(within(t)))
	})
	t.Run("OK before the literal", func(t *testing.T) {
		c := session(t, "IMAP4rev1", "C: $a APPEND INBOX {5}\nS: ${a} OK done\nHANG")
		_, err := c.Append(within(t), "INBOX", 5, strings.NewReader("a\r\nb\r"), nil)
		wantProtocol(t, err)
	})
}

func TestT3_TagsDiffer(t *testing.T) {
	first := session(t, allCaps, "C: $a NOOP\nS: $a OK done")
	second := session(t, allCaps, "C: $a NOOP\nS: $a OK done")
	if first.tag == second.tag || len(first.tag) < 5 {
		t.Errorf("tags %q and %q can be guessed", first.tag, second.tag)
	}
	first.Noop(within(t))
	second.Noop(within(t))
}

func TestT4_Preauth(t *testing.T) {
	t.Run("starttls wanted", func(t *testing.T) {
		wantProtocol(t, mustNotLogin(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi\nEOF", wire.StartTLS))
	})
	t.Run("implicit tls", func(t *testing.T) {
		c, err := dial(t, "TLS\nS: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC? * LOGOUT", wire.ImplicitTLS, trusting(t))
		if err != nil || !c.Preauthenticated() {
			t.Fatalf("got %v, want a session", err)
		}
		if err := c.Auth(within(t), alice()); err != nil {
			t.Errorf("Auth: %v, want nothing to do", err)
		}
	})
	t.Run("cleartext", func(t *testing.T) {
		c := session(t, "IMAP4rev1", "")
		if !c.Preauthenticated() {
			t.Error("not authenticated")
		}
	})
	t.Run("later", func(t *testing.T) {
		c := session(t, allCaps, "C: $a NOOP\nS: * PREAUTH hi\nHANG")
		wantProtocol(t, c.Noop(within(t)))
	})
}

func TestT5_StateBeforeTLSIsForgotten(t *testing.T) {
	c, err := dial(t, `
		S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=CRAM-MD5 LITERAL+] hi
		C: $a STARTTLS
		S: * LIST () "/" evil
		S: * OK [ALERT] visit evil.example
		S: * 5 EXISTS
		S: $a OK begin
		TLS
		C: $b CAPABILITY
		S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
		S: $b OK done
		C: $c AUTHENTICATE PLAIN
		S: +
		C: *
		S: $c OK [CAPABILITY IMAP4rev1 MOVE] done
		C? * LOGOUT`, wire.StartTLS, trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Fatal(err)
	}
	caps, err := c.Capability(within(t))
	if err != nil || !caps.Has("move") || caps.Has("LITERAL+") || caps.Has("AUTH=CRAM-MD5") {
		t.Errorf("got %v, %v, want the capabilities after the login", caps, err)
	}
}

func TestT6_BadGreeting(t *testing.T) {
	for name, greeting := range map[string]string{
		"empty": "S:", "smtp": "S: 220 mx.example.org ESMTP", "pop3": "S: +OK POP3 ready", "http": "S: HTTP/1.1 400 Bad Request",
		"tagged": "S: A1 OK hi", "continue": "S: + go", "data": "S: * 5 EXISTS", "no": "S: * NO not now", "word": "S: * FOO",
		"number": "S: * 5 OK hi", "bye": "S: * BYE too many connections", "bad": "S: * BAD hi",
	} {
		for _, sec := range []wire.Security{wire.Cleartext, wire.StartTLS} {
			t.Run(fmt.Sprintf("%s/%d", name, sec), func(t *testing.T) {
				err := mustNotLogin(t, greeting+"\nS: * CAPABILITY IMAP4rev1\nEOF", sec)
				if name == "bye" {
					wantRefusal(t, err, "BYE", "")
				}
			})
		}
	}
}

func TestT12_WrongPort(t *testing.T) {
	t.Run("cleartext server on a TLS port", func(t *testing.T) {
		_, err := dial(t, "S: * OK hi\nHANG", wire.ImplicitTLS, trusting(t))
		var te *wire.TLSError
		if !errors.As(err, &te) || te.Certificate() || te.Hint() == "" {
			t.Errorf("got %v, want a TLS error with a hint", err)
		}
	})
	t.Run("TLS server on a cleartext port", func(t *testing.T) {
		o := trusting(t)
		o.Wire.Timeout = 200 * time.Millisecond
		_, err := dial(t, "TLSFAIL", wire.Cleartext, o)
		var to *wire.TimeoutError
		if !errors.As(err, &to) || to.Hint() == "" {
			t.Errorf("got %v, want a time-out with a hint", err)
		}
	})
	t.Run("closed in the handshake", func(t *testing.T) {
		_, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: $a STARTTLS\nS: $a OK go\nCLOSE", wire.StartTLS, trusting(t))
		if err == nil {
			t.Error("got no error")
		}
	})
	t.Run("garbage in the handshake", func(t *testing.T) {
		_, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\nC: $a STARTTLS\nS: $a OK go\nSLEEP 50ms\nS: * OK garbage\nHANG",
			wire.StartTLS, trusting(t))
		if err == nil {
			t.Error("got no error")
		}
	})
}

func TestS14_CapabilityRefusedOnce(t *testing.T) {
	for _, status := range []string{"NO", "BAD"} {
		c, err := dial(t, "S: * OK hi\nC: $a CAPABILITY\nS: $a "+status+" no\nC? * LOGOUT", wire.Cleartext, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, c.Auth(within(t), alice()), status, "")
	}
}

func TestO3_SecretsStayOutOfTraces(t *testing.T) {
	const hi = "S: * OK [CAPABILITY IMAP4rev1 %s] hi\n"
	tests := []struct{ name, mechanism, caps, script string }{
		{"login", "login-command", "", "C: $a LOGIN alice \"*\"\nS: $a OK done"},
		{"login, literal", "login-command", "", "C: $a LOGIN alice {14}\nS: + go\nC{14}\nC:\nS: $a OK done"},
		{"login refused", "login-command", "", "C: $a LOGIN alice \"*\"\nS: $a NO wrong password s3kret canary"},
		{"plain, initial", "plain", "AUTH=PLAIN SASL-IR", "C: $a AUTHENTICATE PLAIN *\nS: $a OK done"},
		{"plain", "plain", "AUTH=PLAIN", "C: $a AUTHENTICATE PLAIN\nS: +\nC: *\nS: $a OK done"},
		{"login mechanism", "login", "AUTH=LOGIN", "C: $a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: *\nS: + UGFzc3dvcmQ6\nC: *\nS: $a OK done"},
		{"refused", "plain", "AUTH=PLAIN SASL-IR", "C: $a AUTHENTICATE PLAIN *\nS: $a NO AGFsaWNlAHMza3JldCBjYW5hcnk= s3kret canary"},
		{"cut", "plain", "AUTH=PLAIN SASL-IR", "C: $a AUTHENTICATE PLAIN *\nCLOSE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var trace strings.Builder
			o := &Options{Wire: &wire.Config{Trace: func(k wire.TraceKind, text []byte) { fmt.Fprintf(&trace, "%d %s\n", k, text) }}}
			script := fmt.Sprintf(hi, tt.caps) + strings.ReplaceAll(tt.script, "OK done", "OK [CAPABILITY IMAP4rev1] done")
			if tt.name != "cut" {
				script += "\nC? * LOGOUT"
			}
			c, err := dial(t, script, wire.Cleartext, o)
			if err != nil {
				t.Fatal(err)
			}
			secret := canary
			if strings.Contains(tt.name, "literal") {
				secret += "\x01"
			}
			err = c.Auth(within(t), &auth.Credentials{User: "alice", Password: auth.Literal(secret), Mechanism: tt.mechanism})
			shown := trace.String() + fmt.Sprint(err)
			for _, leak := range []string{"s3kret", "canary", "czNrcmV0", "Mza3JldC"} {
				if strings.Contains(shown, leak) {
					t.Errorf("%q in the trace or the error:\n%s", leak, shown)
				}
			}
			if !strings.Contains(shown, "[secret]") {
				t.Errorf("the trace does not show that a secret was sent:\n%s", shown)
			}
		})
	}
}
