package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// servedPOP3 is our own server with mail for alice.
type servedPOP3 struct {
	*server.Server
	pool     *x509.CertPool
	ca       string // file
	messages [][]byte
}

func servePOP3(t testing.TB, change func(*server.Options)) *servedPOP3 {
	t.Helper()
	o := server.Options{
		POP3: "127.0.0.1:0", POP3S: "127.0.0.1:0", Store: server.NewMemory(), AllowCleartextLogin: true,
		Users: []server.User{{Name: "alice", Password: "ses ame", Token: "tok"}},
	}
	if change != nil {
		change(&o)
	}
	srv, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	s := &servedPOP3{Server: srv, pool: x509.NewCertPool(), ca: filepath.Join(t.TempDir(), "ca.pem"), messages: popSamples()}
	s.pool.AppendCertsFromPEM(srv.CA())
	if err := os.WriteFile(s.ca, srv.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	account, err := o.Store.Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.messages {
		if _, err := inbox.Append(limit(t), []server.NewMessage{{Body: bytes.NewReader(m)}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// popSamples are messages with CRLF line ends, dots in all places, and one that is large.
func popSamples() [][]byte {
	list := [][]byte{
		[]byte("Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend.\r\n.\r\n"),
		[]byte("Subject: \xff\x00 octets\r\n\r\n\x80\x00\xff\r\n"),
		[]byte("Subject: large\r\n\r\n" + strings.Repeat(".a line of some length, again and again\r\n", 50_000)),
	}
	for i := range 100 {
		list = append(list, fmt.Appendf(nil, "Subject: %d\r\n\r\n.%d\r\n", i, i))
	}
	return list
}

func (s *servedPOP3) modes() []mode {
	return []mode{{"pop3s", s.Addr("pop3s"), wire.ImplicitTLS}, {"stls", s.Addr("pop3"), wire.StartTLS}, {"plain", s.Addr("pop3"), wire.Cleartext}}
}

func TestServePOP3Modes(t *testing.T) {
	s := servePOP3(t, nil)
	ways := append(popMechanisms(), struct{ mech, shown string }{"xoauth2", "XOAUTH2"}, struct{ mech, shown string }{"oauthbearer", "OAUTHBEARER"},
		struct{ mech, shown string }{"scram-sha-256-plus", "-PLUS"}, struct{ mech, shown string }{"scram-sha-1-plus", "-PLUS"})
	for _, m := range s.modes() {
		for _, way := range ways {
			if way.shown == "-PLUS" && m.sec == wire.Cleartext {
				continue
			}
			t.Run(m.name+"/"+way.mech, func(t *testing.T) {
				cr := &auth.Credentials{User: "alice", Password: auth.Literal("ses ame"), Mechanism: way.mech}
				if strings.Contains(way.mech, "oauth") {
					cr.Password, cr.Token = nil, auth.Literal("tok")
				}
				wrong := *cr
				wrong.Password = auth.Literal("wrong")
				c := dialPOP3(t, endpoint(t, wire.POP3, m.addr, m.sec), pop3.Options{}, s.pool)
				if cr.Token == nil {
					wantAuthError(t, c.Auth(limit(t), &wrong))
				}
				if err := c.Auth(limit(t), cr); err != nil {
					t.Fatal(err)
				}
				if st, err := c.Stat(limit(t)); err != nil || st.Count != len(s.messages) {
					t.Errorf("got %+v, %v, want %d messages", st, err, len(s.messages))
				}
				second := dialPOP3(t, endpoint(t, wire.POP3, m.addr, m.sec), pop3.Options{}, s.pool)
				if e, ok := errors.AsType[*pop3.Error](second.Auth(limit(t), cr)); !ok || !strings.Contains(e.Error(), "IN-USE") {
					t.Errorf("second session: got %v, want [IN-USE]", e)
				}
				if err := c.Quit(limit(t)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestServePOP3Session(t *testing.T) {
	for _, without := range []string{"", "maildir", "PIPELINING", "CAPA", "UIDL", "TOP", "SASL"} {
		t.Run("without "+without, func(t *testing.T) {
			s := servePOP3(t, func(o *server.Options) {
				if o.Without = []string{without}; without == "maildir" { // everything, on disk
					var err error
					if o.Store, err = server.OpenMaildir(t.TempDir()); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = o.Store.Close() })
				}
			})
			open := func() (*pop3.Client, error) {
				c := dialPOP3(t, endpoint(t, wire.POP3, s.Addr("pop3"), wire.StartTLS), pop3.Options{}, s.pool)
				mech := ""
				if without == "CAPA" {
					mech = "user"
				}
				return c, c.Auth(limit(t), &auth.Credentials{User: "alice", Password: auth.Literal("ses ame"), Mechanism: mech})
			}
			c := retry(t, open)
			if list, err := c.List(limit(t)); err != nil || len(list) != len(s.messages) {
				t.Fatalf("LIST: %d entries, %v", len(list), err)
			}
			before, err := c.Uidl(limit(t))
			if (err == nil) != (without != "UIDL") {
				t.Errorf("UIDL: got %v", err)
			}
			all := make([]int, len(s.messages))
			for i := range all {
				all[i] = i + 1
			}
			checkTexts(t, "RETR", c.Retr, all, func(n int) []byte { return s.messages[n-1] })
			top := func(want func(n int) []byte) {
				err := c.Top(limit(t), all[:2], 1, func(n int, _ int64, r io.Reader) error {
					if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want(n)) {
						t.Errorf("TOP %d: got %q, %v", n, got, err)
					}
					return nil
				})
				if (err == nil) != (without != "TOP") {
					t.Errorf("TOP: got %v", err)
				}
			}
			top(func(n int) []byte {
				parts := bytes.SplitAfterN(s.messages[n-1], []byte("\r\n"), 4)
				return bytes.Join(parts[:3], nil)
			})
			if err := c.Dele(limit(t), all[:50]); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil { // no QUIT: nothing is deleted
				t.Fatal(err)
			}
			c = retry(t, open)
			if err := c.Dele(limit(t), all[50:]); err != nil {
				t.Fatal(err)
			}
			if err := c.Quit(limit(t)); err != nil {
				t.Fatal(err)
			}
			c = retry(t, open)
			if st, err := c.Stat(limit(t)); err != nil || st.Count != 50 {
				t.Errorf("got %+v, %v, want 50 messages", st, err)
			}
			if after, err := c.Uidl(limit(t)); without != "UIDL" && (err != nil || !slices.Equal(after, before[:50])) {
				t.Errorf("ids changed: got %v, %v", after, err)
			}
		})
	}
}

// retry calls open until the server has noticed that the session before is gone, and its maildrop free.
func retry(t *testing.T, open func() (*pop3.Client, error)) *pop3.Client {
	t.Helper()
	for {
		c, err := open()
		if e, ok := errors.AsType[*pop3.Error](err); !ok || e.Code != "IN-USE" {
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func checkTexts(t *testing.T, verb string, get func(ctx context.Context, ns []int, fn pop3.BodyFunc) error, ns []int, want func(n int) []byte) {
	t.Helper()
	seen := 0
	err := get(limit(t), ns, func(n int, _ int64, r io.Reader) error {
		seen++
		got, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, want(n)) {
			t.Errorf("%s %d: %d octets differ from the %d stored", verb, n, len(got), len(want(n)))
		}
		return err
	})
	if err != nil || seen != len(ns) {
		t.Errorf("%s: %d of %d texts, %v", verb, seen, len(ns), err)
	}
}

// TestServePOP3Python has Python's poplib log in by USER and APOP, read everything, and delete a message.
func TestServePOP3Python(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	s := servePOP3(t, nil)
	script := `
import poplib, ssl, sys
host, plain, tls, ca = sys.argv[1:]
ctx = ssl.create_default_context(cafile=ca)
def check(p):
    n, size = p.stat()
    assert n == 103 and len(p.list()[1]) == 103 and len(p.uidl()[1]) == 103, n
    assert b"\r\n".join(p.retr(1)[1]) == b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend.\r\n.", p.retr(1)
    assert len(p.retr(3)[1]) == 50002, len(p.retr(3)[1])
    assert p.top(1, 1)[1] == [b"Subject: dots", b"", b"."], p.top(1, 1)
    assert "UIDL" in p.capa()
p = poplib.POP3_SSL("localhost", int(tls), context=ctx); p.user("alice"); p.pass_("ses ame"); check(p); p.quit()
p = poplib.POP3("localhost", int(plain)); p.stls(context=ctx); p.utf8(); p.user("alice"); p.pass_("ses ame"); check(p); p.quit()
p = poplib.POP3("localhost", int(plain)); p.apop("alice", "ses ame"); check(p); p.dele(2); p.rset(); p.dele(1); p.noop(); p.quit()
p = poplib.POP3("localhost", int(plain)); p.user("alice"); p.pass_("ses ame"); assert p.stat()[0] == 102; p.quit()
print("fine")
`
	cmd := Command(t, python, "-c", script, "localhost", port(s.Addr("pop3")), port(s.Addr("pop3s")), s.ca)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "fine\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestServePOP3Curl has curl fetch over TLS, STLS and with SASL mechanisms, and delete.
func TestServePOP3Curl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	s := servePOP3(t, nil)
	run := func(args ...string) []byte {
		t.Helper()
		cmd := Command(t, curl, append([]string{"-sS", "--max-time", "20", "--cacert", s.ca, "-u", "alice:ses ame"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("curl %q: %v\n%.300s", args, err, out)
		}
		return out
	}
	tls, plain := "pop3s://localhost:"+port(s.Addr("pop3s")), "pop3://localhost:"+port(s.Addr("pop3"))
	for n := 1; n <= 3; n++ {
		same(t, fmt.Sprintf("message %d", n), run(fmt.Sprintf("%s/%d", tls, n)), s.messages[n-1])
		same(t, fmt.Sprintf("message %d", n), run("--ssl-reqd", fmt.Sprintf("%s/%d", plain, n)), s.messages[n-1])
	}
	for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "+APOP"} {
		same(t, mech, run("--login-options", "AUTH="+mech, plain+"/1"), s.messages[0])
	}
	run("-I", "-X", "DELE 1", plain)
	if list := run(tls); bytes.Count(list, []byte("\n")) != len(s.messages)-1 {
		t.Errorf("%d messages after DELE, want %d", bytes.Count(list, []byte("\n")), len(s.messages)-1)
	}
}
