package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// raw is a bare connection, for the questions that need no engine.
type raw struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

func dialRaw(t *testing.T, addr string, cfg *tls.Config) *raw {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	if cfg != nil {
		c = tls.Client(c, cfg)
	}
	return &raw{c, bufio.NewReader(c), t}
}

// ask sends a line ("" sends nothing) and reads until a line begins with end.
func (r *raw) ask(line, end string) string {
	r.t.Helper()
	if line != "" {
		if _, err := io.WriteString(r, line+"\r\n"); err != nil {
			r.t.Fatal(err)
		}
	}
	var all strings.Builder
	for {
		got, err := r.in.ReadString('\n')
		all.WriteString(got)
		if err != nil {
			r.t.Fatalf("after %q: %v, so far %q", line, err, all.String())
		}
		if strings.HasPrefix(got, end) {
			return all.String()
		}
	}
}

func contains(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("got %q, want %q in it", got, w)
		}
	}
}

func TestDovecotAnswersIMAP(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	for name, r := range map[string]*raw{
		"plain": dialRaw(t, d.IMAP, nil),
		"tls":   dialRaw(t, d.IMAPS, &tls.Config{RootCAs: d.CA, ServerName: "localhost"}),
	} {
		t.Run(name, func(t *testing.T) {
			contains(t, r.ask("", "* OK"), "IMAP4rev1")
			contains(t, r.ask("a CAPABILITY", "a "), "AUTH=PLAIN", "AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-256", "SASL-IR")
			contains(t, r.ask(fmt.Sprintf("b LOGIN %s %q", u.Name, u.Password), "b "), "b OK")
			contains(t, r.ask("c SELECT INBOX", "c "), "* 0 EXISTS", "UIDVALIDITY")
			contains(t, r.ask(`d LIST "" *`, "d "), `\Sent`, `\Drafts`, `"/"`)
		})
	}
}

func TestDovecotAnswersPOP3(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	for name, r := range map[string]*raw{
		"plain": dialRaw(t, d.POP3, nil),
		"tls":   dialRaw(t, d.POP3S, &tls.Config{RootCAs: d.CA, ServerName: "localhost"}),
	} {
		t.Run(name, func(t *testing.T) {
			contains(t, r.ask("", "+OK"), "<", "@") // APOP's time stamp
			contains(t, r.ask("CAPA", "."), "SASL", "UIDL", "PIPELINING")
			contains(t, r.ask("USER "+u.Name, "+OK"), "+OK")
			contains(t, r.ask("PASS "+u.Password, "+OK"), "+OK")
			contains(t, r.ask("STAT", "+OK"), "+OK 0 0")
			contains(t, r.ask("QUIT", "+OK"), "+OK")
		})
	}
}

func TestDovecotStartTLSOffered(t *testing.T) {
	d := Dovecot(t)
	r := dialRaw(t, d.IMAP, nil)
	contains(t, r.ask("a CAPABILITY", "a "), "STARTTLS")
	p := dialRaw(t, d.POP3, nil)
	contains(t, p.ask("CAPA", "."), "STLS")
}

func TestPostfixAnswers(t *testing.T) {
	p := Postfix(t)
	t.Run("smtp", func(t *testing.T) {
		r := dialRaw(t, p.SMTP, nil)
		contains(t, r.ask("", "220 "), "ESMTP")
		got := r.ask("EHLO localhost", "250 ")
		contains(t, got, "PIPELINING", "SIZE 1500000000", "STARTTLS", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES")
		if strings.Contains(got, "AUTH") {
			t.Errorf("got %q, want no AUTH", got)
		}
	})
	t.Run("submission", func(t *testing.T) {
		r := dialRaw(t, p.Submission, nil)
		r.ask("", "220 ")
		if got := r.ask("EHLO localhost", "250 "); strings.Contains(got, "AUTH") {
			t.Errorf("got %q, want no AUTH before TLS", got)
		}
		contains(t, r.ask("MAIL FROM:<>", "5"), "530 5.7.0")
		r.ask("STARTTLS", "220 ")
		r.Conn = tls.Client(r.Conn, &tls.Config{RootCAs: p.CA, ServerName: "localhost"})
		r.in = bufio.NewReader(r.Conn)
		got := r.ask("EHLO localhost", "250 ")
		for _, mech := range Mechanisms {
			contains(t, got, mech)
		}
	})
	t.Run("smtps", func(t *testing.T) {
		r := dialRaw(t, p.SMTPS, &tls.Config{RootCAs: p.CA, ServerName: "127.0.0.1"})
		r.ask("", "220 ")
		contains(t, r.ask("EHLO localhost", "250 "), "AUTH PLAIN", "SCRAM-SHA-256")
		r.ask("MAIL FROM:<alice@example.org>", "250 ")
		r.ask("RCPT TO:<bob@"+DiscardDomain+">", "554 5.7.1 ") // not authenticated
	})
}

func TestPostfixPolicies(t *testing.T) {
	p := Postfix(t)
	r := dialRaw(t, p.SMTP, nil)
	r.ask("", "220 ")
	r.ask("EHLO localhost", "250 ")
	r.ask("MAIL FROM:<alice@example.org>", "250 ")
	r.ask("RCPT TO:<"+Refused+">", "550 5.1.1 ")
	r.ask("RCPT TO:<"+Deferred+">", "450 4.2.1 ")
	r.ask("RCPT TO:<nosuch@"+Domain+">", "550 ")
	r.ask("RCPT TO:<bob@"+DiscardDomain+">", "250 ")
	r.ask("RSET", "250 ")
	r.ask("MAIL FROM:<alice@example.org>", "250 ")
	r.ask("RCPT TO:<"+RefusedData+">", "250 ")
	r.ask("DATA", "554 5.7.1 ")
	r.ask("RSET", "250 ")
	r.ask("MAIL FROM:<alice@example.org>", "250 ")
	r.ask("RCPT TO:<"+DeferredData+">", "250 ")
	r.ask("DATA", "451 4.7.1 ")
	r.ask("RSET", "250 ")
	r.ask("MAIL FROM:<"+RefusedSender+">", "250 ")
	r.ask("RCPT TO:<bob@"+DiscardDomain+">", "550 5.7.1 ")
}

// TestDelivery sends a message with Postfix and reads it with Dovecot.
func TestDelivery(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	u := d.AddUser(t)
	r := dialRaw(t, p.SMTP, nil)
	r.ask("", "220 ")
	r.ask("EHLO localhost", "250 ")
	r.ask("MAIL FROM:<alice@example.org>", "250 ")
	r.ask("RCPT TO:<"+u.Address+">", "250 ")
	r.ask("DATA", "354 ")
	r.ask("Subject: delivered\r\nBcc: kept@example.org\r\n\r\nhello\r\n.", "250 ")
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b := dialRaw(t, d.POP3, nil)
		b.ask("", "+OK")
		b.ask("USER "+u.Name, "+OK")
		b.ask("PASS "+u.Password, "+OK")
		if got := b.ask("STAT", "+OK"); strings.Contains(got, "+OK 1 ") {
			contains(t, b.ask("RETR 1", "."), "Return-Path: <alice@example.org>", "Subject: delivered\r\nBcc: kept@example.org\r\n\r\nhello\r\n")
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no message after 10 s:\n%s", tail(p.Log))
		}
		b.ask("QUIT", "+OK")
	}
}
