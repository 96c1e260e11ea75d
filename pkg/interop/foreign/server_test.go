package foreign

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
)

// system is the server with a store in memory. Its users are alice and bob, whose password is sesame, as is the token
// of alice.
type system struct {
	*server.Server
	t   *testing.T
	tls *tls.Config
}

func start(t *testing.T, change func(*server.Options)) *system {
	t.Helper()
	const free = "127.0.0.1:0"
	o := server.Options{
		SMTP: free, SMTPS: free, LMTP: free, IMAP: free, IMAPS: free, RequireLogin: true,
		Users: []server.User{{Name: "alice", Password: "sesame", Token: "sesame"}, {Name: "bob", Password: "sesame"}},
	}
	if change != nil {
		change(&o)
	}
	srv, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	return &system{Server: srv, t: t, tls: &tls.Config{RootCAs: pool, ServerName: "localhost"}}
}

// in is the system for a subtest.
func (s *system) in(t *testing.T) *system {
	c := *s
	c.t = t
	return &c
}

// dial connects without TLS.
func (s *system) dial(listener string) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr(listener))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	return conn
}

func (s *system) mailbox(user, name string) server.Mailbox {
	s.t.Helper()
	account, err := s.Store().Account(user)
	if err != nil {
		s.t.Fatal(err)
	}
	box, err := account.Mailbox(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return box
}

func (s *system) put(user, mailbox string, messages ...string) {
	s.t.Helper()
	for _, text := range messages {
		if _, err := s.mailbox(user, mailbox).Append(context.Background(), []server.NewMessage{{Body: strings.NewReader(text), Date: date}}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// date is when messages of the tests came.
var date = time.Date(2026, 11, 2, 10, 0, 0, 0, time.FixedZone("", 3600))

// texts are the messages of a mailbox.
func (s *system) texts(user, mailbox string) []string {
	s.t.Helper()
	box := s.mailbox(user, mailbox)
	var out []string
	for _, info := range box.Messages() {
		b, err := box.Open(info.UID)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			s.t.Fatal(err)
		}
		_ = b.Close()
		out = append(out, string(text))
	}
	return out
}

// wantDelivered checks the last message in a user's INBOX: its octets, and fields that the server put in front.
func (s *system) wantDelivered(user string, count int, text string, fields ...string) {
	s.t.Helper()
	got := s.texts(user, "INBOX")
	if len(got) != count {
		s.t.Errorf("%s: got %d messages, want %d", user, len(got), count)
		return
	}
	trace, body, _ := strings.Cut(got[count-1], ";\r\n\t")
	if _, body, _ = strings.Cut(body, "\r\n"); body != text {
		s.t.Errorf("%s: got %.300q, want %.300q", user, body, text)
	}
	for _, want := range fields {
		if !strings.Contains(trace, want) {
			s.t.Errorf("%s: got the trace %q, want %q in it", user, trace, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal reports a difference.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
