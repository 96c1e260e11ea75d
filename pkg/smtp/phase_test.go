package smtp

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestPhaseOf(t *testing.T) {
	const to = "C: MAIL *\nS: 250 ok\nC: RCPT *\n"
	for _, tc := range []struct {
		name, script string
		want         Phase
	}{
		{"554 instead of a greeting", "S: 554 no service\n", PhaseGreeting},
		{"closed before the greeting", "CLOSE\n", PhaseGreeting},
		{"not SMTP", "S: +OK ready\n", PhaseGreeting},
		{"EHLO put off", "S: 220 hi\nC: EHLO *\nS: 421 busy\n", PhaseEHLO},
		{"closed after EHLO", "S: 220 hi\nC: EHLO *\nCLOSE\n", PhaseEHLO},
		{"closed after AUTH", hello("AUTH PLAIN") + "C: AUTH *\nCLOSE\n", PhaseAuth},
		{"AUTH refused", hello("AUTH PLAIN") + "C: AUTH *\nS: 535 no\n" + bye, PhaseAuth},
		{"no mechanism", hello("AUTH NTLM") + bye, PhaseAuth},
		{"MAIL refused", hello() + "C: MAIL *\nS: 550 no\n" + bye, PhaseMail},
		{"closed after MAIL", hello() + "C: MAIL *\nCLOSE\n", PhaseMail},
		{"RCPT refused", hello() + to + "S: 550 no\n" + bye, PhaseRcpt},
		{"closed after RCPT", hello() + to + "CLOSE\n", PhaseRcpt},
		{"DATA refused", hello() + to + "S: 250 ok\nC: DATA\nS: 451 no\n" + bye, PhaseData},
		{"closed after DATA", hello() + to + "S: 250 ok\nC: DATA\nCLOSE\n", PhaseData},
		{"text refused", hello() + to + "S: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 554 no\n" + bye, PhaseFinal},
		{"closed after the text", hello() + to + "S: 250 ok\nC: DATA\nS: 354 go\nC.\nCLOSE\n", PhaseFinal},
		{"accepted", hello() + to + "S: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 ok\n" + bye, PhaseFinal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := open(t, tc.script, nil)
			if _, ok := offers(c, "AUTH"); ok {
				err = c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("secret")})
			}
			if err != nil {
				if got := PhaseOf(err); got != tc.want {
					t.Errorf("%v: phase is %q, want %q", err, got, tc.want)
				}
				return
			}
			r, err := send(t, c, envelope("bob@example.org"))
			if got := r.Rcpt[0].Phase(); got != tc.want {
				t.Errorf("%+v: phase is %q, want %q", r.Rcpt[0], got, tc.want)
			}
			var refusal *Error
			if errors.As(err, &refusal) && PhaseOf(err) != tc.want {
				t.Errorf("%v: phase is %q, want %q", err, PhaseOf(err), tc.want)
			}
			_ = c.Close()
		})
	}
	t.Run("connect", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		_, err = Dial(bg(t), endpoint(t, l.Addr().String(), wire.Cleartext), nil)
		if PhaseOf(err) != PhaseConnect {
			t.Errorf("%v: phase is %q", err, PhaseOf(err))
		}
	})
	t.Run("starttls", func(t *testing.T) {
		addr := wiretest.Serve(t, hello("STARTTLS")+"C: STARTTLS\nS: 454 no\n")
		_, err := Dial(bg(t), endpoint(t, addr, wire.StartTLS), nil)
		if PhaseOf(err) != PhaseStartTLS {
			t.Errorf("%v: phase is %q", err, PhaseOf(err))
		}
	})
	if got := PhaseOf(&PartialError{}); got != "" {
		t.Errorf("several recipients have the phase %q", got)
	}
}

func offers(c *Client, keyword string) (string, bool) {
	if c == nil {
		return "", false
	}
	return c.Extension(keyword)
}

// TestHELO_ServerHangsUpOnEHLO is about servers so old that they do not answer EHLO at all.
func TestHELO_ServerHangsUpOnEHLO(t *testing.T) {
	const once = "S: 220 old\nC: EHLO *\nCLOSE\nCONN\n"
	for _, tc := range []struct {
		name, script string
		sec          wire.Security
		proto        wire.Protocol
		ok           bool
	}{
		{"closed", once + "S: 220 old\nC: HELO localhost\nS: 250 hi\n" + bye, wire.Cleartext, wire.SMTP, true},
		{"reset", strings.Replace(once, "CLOSE", "RESET", 1) + "S: 220 old\nC: HELO localhost\nS: 250 hi\n" + bye, wire.Cleartext, wire.SMTP, true},
		{"HELO refused: no third try", once + "S: 220 old\nC: HELO *\nS: 502 no\n", wire.Cleartext, wire.SMTP, false},
		{"STARTTLS needs EHLO", "S: 220 old\nC: EHLO *\nCLOSE\n", wire.StartTLS, wire.SMTP, false},
		{"LMTP has no HELO", "S: 220 old\nC: LHLO *\nCLOSE\n", wire.Cleartext, wire.LMTP, false},
		{"421 is an answer", "S: 220 old\nC: EHLO *\nS: 421 busy\nCLOSE\n", wire.Cleartext, wire.SMTP, false},
		{"greeting missing", "CLOSE\n", wire.Cleartext, wire.SMTP, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ep := endpoint(t, wiretest.Serve(t, tc.script), tc.sec)
			ep.Protocol = tc.proto
			c, err := Dial(bg(t), ep, nil)
			if (err == nil) != tc.ok {
				t.Errorf("error is %v, want it connected: %v", err, tc.ok)
			}
			if c != nil {
				_ = c.Close()
			}
		})
	}
}

// serveOn answers connections to l with the servers that make gives.
func serveOn(t testing.TB, l net.Listener, make func() *server) {
	t.Helper()
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			ended.Go(func() { converse(nc, make()) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); ended.Wait() })
}

// converse lets s have what comes over nc, and nc what s says.
func converse(nc net.Conn, s *server) {
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	buf := make([]byte, 64<<10)
	for {
		if _, err := s.out.WriteTo(nc); err != nil {
			return
		}
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		_, _ = s.Write(buf[:n])
	}
}

func TestLMTP_UnixSocket(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lmtp")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			s := newServer(append([]string{"BINARYMIME"}, m.keywords...)...)
			s.final = func(rcpt string) string { return map[string]string{"b@example.org": "452 4.2.2 full"}[rcpt] }
			serveOn(t, l, func() *server { return s })
			ep, err := wire.ParseEndpoint("lmtp+unix://" + path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Dial(bg(t), ep, nil)
			if err != nil {
				t.Fatal(err)
			}
			env := envelope("a@example.org", "b@example.org", "c@example.org")
			text := testBody
			if m.chunk {
				env.Body, text = BodyBinary, "Subject: x\r\n\r\n\x00\r\n.\n\xff\r"
			}
			r, err := c.Send(bg(t), env, io.MultiReader(strings.NewReader(text)))
			wantKind(t, err, "partial")
			wantOutcome(t, r, "+t+")
			_ = c.Close()
			if len(s.texts) != 1 || s.texts[0] != text {
				t.Errorf("the server got %q, want %q", s.texts, text)
			}
		})
	}
}
