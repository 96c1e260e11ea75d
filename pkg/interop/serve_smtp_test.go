package interop

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// startServe starts our own server with one user, and returns it with what trusts it.
func startServe(t *testing.T, o server.Options) (*server.Server, *x509.CertPool, User) {
	t.Helper()
	u := User{Name: "alice", Password: "sesame"}
	o.SMTP, o.SMTPS, o.LMTP = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	o.Users = []server.User{{Name: u.Name, Password: u.Password, Token: u.Password}}
	srv, err := server.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	return srv, pool, u
}

// servedBodies are the messages in the user's INBOX without the fields added on delivery.
func servedBodies(t *testing.T, srv *server.Server, user string) []string {
	t.Helper()
	account, err := srv.Store().Account(user)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range box.Messages() {
		b, err := box.Open(m.UID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
		_, rest, _ := strings.Cut(string(text), "\tfor <")
		_, rest, _ = strings.Cut(rest, "\r\n") // the address
		_, rest, _ = strings.Cut(rest, "\r\n") // the date
		out = append(out, rest)
	}
	return out
}

// TestServeSMTPWithout sends with every extension switched off in turn, and with all of them, by DATA and by BDAT,
// over STARTTLS, TLS and LMTP.
func TestServeSMTPWithout(t *testing.T) {
	all := []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "ENHANCEDSTATUSCODES", "LIMITS", "REQUIRETLS"}
	sets := [][]string{nil, all}
	for _, name := range all {
		sets = append(sets, []string{name})
	}
	for _, without := range sets {
		t.Run(fmt.Sprint(without), func(t *testing.T) {
			srv, pool, u := startServe(t, server.Options{Without: without})
			sent := 0
			for _, c := range []struct {
				listener string
				proto    wire.Protocol
				sec      wire.Security
			}{{"smtp", wire.SMTP, wire.StartTLS}, {"smtps", wire.SMTP, wire.ImplicitTLS}, {"lmtp", wire.LMTP, wire.StartTLS}} {
				for _, noChunking := range []bool{false, true} {
					client := dialSMTP(t, endpoint(t, c.proto, srv.Addr(c.listener), c.sec), smtp.Options{NoChunking: noChunking}, pool)
					if err := client.Auth(limit(t), credentials(u, "")); err != nil {
						t.Fatal(err)
					}
					for range 3 {
						text := note(fmt.Sprintf("n%d", sent))
						_, err := client.Send(limit(t), &smtp.Envelope{From: sender, Rcpt: []string{"alice@example.org"}}, strings.NewReader(text))
						if err != nil {
							t.Fatalf("%s: %v", c.listener, err)
						}
						sent++
						got := servedBodies(t, srv, u.Name)
						if len(got) != sent || got[sent-1] != text {
							t.Fatalf("%s: got %d messages, the last %q, want %d and %q", c.listener, len(got), got[len(got)-1], sent, text)
						}
					}
				}
			}
		})
	}
}

// TestServeSMTPAuth logs in by every mechanism.
func TestServeSMTPAuth(t *testing.T) {
	srv, pool, u := startServe(t, server.Options{})
	for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"} {
		t.Run(mech, func(t *testing.T) {
			client := dialSMTP(t, endpoint(t, wire.SMTP, srv.Addr("smtp"), wire.StartTLS), smtp.Options{}, pool)
			wrong := u
			wrong.Password = "open"
			wantAuthError(t, client.Auth(limit(t), credentials(wrong, mech)))
			client = dialSMTP(t, endpoint(t, wire.SMTP, srv.Addr("smtp"), wire.StartTLS), smtp.Options{}, pool)
			if err := client.Auth(limit(t), credentials(u, mech)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestServeSMTPExtensions sends what needs SMTPUTF8, 8BITMIME, BINARYMIME, DSN and REQUIRETLS.
func TestServeSMTPExtensions(t *testing.T) {
	srv, pool, u := startServe(t, server.Options{})
	for _, c := range []struct {
		name string
		env  smtp.Envelope
		text string
	}{
		{"UTF-8 addresses", smtp.Envelope{From: "élan@example.org", Rcpt: []string{"böb@bücher.example"}, UTF8: true}, "Subject: é\r\n\r\né\r\n"},
		{"8-bit", smtp.Envelope{From: sender, Rcpt: []string{"bob@example.org"}, Body: smtp.Body8Bit}, "Subject: x\r\n\r\n\xe9\r\n"},
		{"binary", smtp.Envelope{From: sender, Rcpt: []string{"bob@example.org"}, Body: smtp.BodyBinary}, "Subject: x\r\n\r\n\x00\n\r.\nend"},
		{"DSN", smtp.Envelope{From: sender, Rcpt: []string{"bob@example.org"}, DSN: &smtp.DSN{Notify: smtp.NotifySuccess, Return: "HDRS", EnvID: "a+b=c"}}, note("dsn")},
		{"null path", smtp.Envelope{Rcpt: []string{"bob@example.org"}}, note("null")},
		{"TLS required", smtp.Envelope{From: sender, Rcpt: []string{"bob@example.org"}, RequireTLS: true}, note("tls")},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := dialSMTP(t, endpoint(t, wire.SMTP, srv.Addr("smtp"), wire.StartTLS), smtp.Options{}, pool)
			if _, err := client.Send(limit(t), &c.env, strings.NewReader(c.text)); err != nil {
				t.Fatal(err)
			}
			got := servedBodies(t, srv, u.Name)
			last := len(got) - 1
			if c.env.DSN != nil {
				last-- // the report follows the message
			}
			if got[last] != c.text {
				t.Errorf("got %q, want %q", got[last], c.text)
			}
		})
	}
}
