package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

const sender = "alice@example.org"

// note is a small message in wire form.
func note(subject string) string {
	return "From: alice@example.org\r\nSubject: " + subject + "\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n" +
		"Message-ID: <" + subject + "@example.org>\r\n\r\nhello\r\n.\r\n..two dots\r\nlast line\r\n"
}

// inbox waits until the user has n messages and returns them.
func inbox(t *testing.T, d *DovecotServer, u User, n int) [][]byte {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c := dialPOP3(t, endpoint(t, wire.POP3, d.POP3, wire.Cleartext), pop3.Options{}, nil)
		if err := c.Auth(limit(t), credentials(u, "")); err != nil {
			t.Fatal(err)
		}
		st, err := c.Stat(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		if st.Count >= n {
			return retrAll(t, c, st.Count)
		}
		_ = c.Close()
		if time.Now().After(end) {
			t.Fatalf("the inbox has %d messages after 20 s, want %d", st.Count, n)
		}
	}
}

// retrAll fetches messages 1 to n.
func retrAll(t *testing.T, c *pop3.Client, n int) [][]byte {
	t.Helper()
	var ns []int
	for i := range n {
		ns = append(ns, i+1)
	}
	out := make([][]byte, n)
	err := c.Retr(limit(t), ns, func(number int, _ int64, r io.Reader) error {
		data, err := io.ReadAll(r)
		out[number-1] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSMTPAuth(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	for _, m := range p.authModes() {
		for _, s := range saslMechanisms {
			t.Run(m.name+"/"+s.mech, func(t *testing.T) {
				t.Parallel()
				u := d.AddUser(t)
				var tr tracer
				c := dialSMTP(t, endpoint(t, wire.SMTP, m.addr, m.sec), smtp.Options{Wire: &wire.Config{Trace: tr.add}}, p.CA)
				if err := c.Auth(limit(t), credentials(u, s.mech)); err != nil {
					t.Fatalf("%v\n%s", err, tr.String())
				}
				env := &smtp.Envelope{From: sender, Rcpt: []string{"bob@" + DiscardDomain}}
				if _, err := c.Send(limit(t), env, strings.NewReader(note("auth"))); err != nil {
					t.Errorf("send: %v", err)
				}
				shown := m.shown(s.mech, "AUTH "+s.shown)
				if got := tr.String(); !strings.Contains(got, shown) || strings.Contains(got, u.Password) {
					t.Errorf("want %s and no password in the trace:\n%s", shown, got)
				}
			})
		}
	}
}

func TestSMTPAuthRefused(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	for _, s := range saslMechanisms {
		t.Run(s.mech, func(t *testing.T) {
			t.Parallel()
			u := d.AddUser(t)
			u.Password = "wrong"
			c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTPS, wire.ImplicitTLS), smtp.Options{}, p.CA)
			wantAuthError(t, c.Auth(limit(t), credentials(u, s.mech)))
		})
	}
}

// TestSMTPAuthPasswords tries passwords that are hard to quote.
func TestSMTPAuthPasswords(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	for _, password := range []string{`a"b\c`, "grüße", " spaces ", "{SSHA}x:y%u$", strings.Repeat("x", 200)} {
		for _, s := range saslMechanisms {
			t.Run(s.mech+"/"+fmt.Sprintf("%.12q", password), func(t *testing.T) {
				t.Parallel()
				c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTPS, wire.ImplicitTLS), smtp.Options{}, p.CA)
				if err := c.Auth(limit(t), credentials(d.AddUser(t, password), s.mech)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSMTPWithoutAuth shows that a server that wants authentication says so for every
// recipient.
func TestSMTPWithoutAuth(t *testing.T) {
	p := Postfix(t)
	c := dialSMTP(t, endpoint(t, wire.SMTP, p.Submission, wire.StartTLS), smtp.Options{}, p.CA)
	res, err := c.Send(limit(t), &smtp.Envelope{From: sender, Rcpt: []string{"bob@" + DiscardDomain}}, strings.NewReader(note("x")))
	got, ok := errors.AsType[*smtp.NoRecipientError](err)
	if !ok || got.Temporary() || res.Rcpt[0].Err.Code != 554 {
		t.Errorf("got %v, want every recipient refused with 554", err)
	}
}

// ways are the ways in which a message can travel.
var ways = []struct {
	name string
	opts smtp.Options
}{
	{"chunking", smtp.Options{}},
	{"data", smtp.Options{NoChunking: true}},
	{"lockstep", smtp.Options{Pipeline: 1}},
	{"lockstep data", smtp.Options{Pipeline: 1, NoChunking: true}},
}

// TestD1_SMTPOutcomes sends to recipients of every kind.
func TestD1_SMTPOutcomes(t *testing.T) {
	p := Postfix(t)
	good := "bob@" + DiscardDomain
	cases := []struct {
		name, from string
		rcpt       []string
		codes      []int // of the recipients; 0 accepted
		check      func(err error) bool
		want       string
	}{
		{"accepted", sender, []string{good}, []int{0}, func(err error) bool { return err == nil }, "no error"},
		{"null sender", "", []string{good}, []int{0}, func(err error) bool { return err == nil }, "no error"},
		{"some", sender, []string{good, Refused, Deferred, good}, []int{0, 550, 450, 0}, func(err error) bool {
			e, ok := errors.AsType[*smtp.PartialError](err)
			return ok && !e.Temporary() && len(e.Accepted) == 2 && len(e.Refused) == 2
		}, "a PartialError of two and two"},
		{"some for now", sender, []string{Deferred, good}, []int{450, 0}, func(err error) bool {
			e, ok := errors.AsType[*smtp.PartialError](err)
			return ok && e.Temporary()
		}, "a temporary PartialError"},
		{"refused", sender, []string{Refused}, []int{550}, func(err error) bool {
			e, ok := errors.AsType[*smtp.NoRecipientError](err)
			return ok && !e.Temporary()
		}, "a permanent NoRecipientError"},
		{"deferred", sender, []string{Deferred}, []int{450}, func(err error) bool {
			e, ok := errors.AsType[*smtp.NoRecipientError](err)
			return ok && e.Temporary()
		}, "a temporary NoRecipientError"},
		{"all refused", sender, []string{Refused, Deferred}, []int{550, 450}, func(err error) bool {
			e, ok := errors.AsType[*smtp.NoRecipientError](err)
			return ok && e.Temporary() && len(e.Refused) == 2
		}, "a NoRecipientError"},
		{"text refused", sender, []string{RefusedData}, []int{554}, isReply(554), "554"},
		{"text deferred", sender, []string{DeferredData}, []int{451}, isReply(451), "451"},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), w.opts, nil)
			for _, tc := range cases { // on one connection: each leaves it usable
				res, err := c.Send(limit(t), &smtp.Envelope{From: tc.from, Rcpt: tc.rcpt}, strings.NewReader(note("outcome")))
				if !tc.check(err) {
					t.Errorf("%s: got %v (%T), want %s", tc.name, err, err, tc.want)
				}
				for i, r := range res.Rcpt {
					code := 0
					if r.Err != nil {
						code = r.Err.Code
					}
					if code != tc.codes[i] {
						t.Errorf("%s: recipient %d got %d (%v), want %d", tc.name, i, code, r.Err, tc.codes[i])
					}
				}
			}
		})
	}
}

func isReply(code int) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*smtp.Error](err)
		return ok && e.Code == code && e.Temporary() == (code < 500)
	}
}

// TestSMTPDelivery compares what was sent with what arrives, for each way and mode.
func TestSMTPDelivery(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	for _, w := range ways {
		for _, sec := range []wire.Security{wire.Cleartext, wire.StartTLS} {
			t.Run(fmt.Sprintf("%s/%d", w.name, sec), func(t *testing.T) {
				t.Parallel()
				u := d.AddUser(t)
				c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, sec), w.opts, p.CA)
				if (c.Conn().TLS() != nil) != (sec == wire.StartTLS) {
					t.Errorf("got TLS %v for security %d", c.Conn().TLS() != nil, sec)
				}
				msg := note("delivery") + strings.Repeat("0123456789 long body\r\n", 20000)
				res, err := c.Send(limit(t), &smtp.Envelope{From: sender, Rcpt: []string{u.Address}, Size: int64(len(msg))}, strings.NewReader(msg))
				if err != nil {
					t.Fatal(err)
				}
				contains(t, res.Reply, "250 2.0.0")
				got := inbox(t, d, u, 1)[0]
				if !bytes.HasSuffix(got, []byte(msg)) {
					t.Errorf("got %d octets, want the %d that were sent at their end", len(got), len(msg))
				}
			})
		}
	}
}

// TestSMTPSendAll sends many messages over one connection; each must arrive once.
func TestSMTPSendAll(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	const count = 60
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			u := d.AddUser(t)
			c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), w.opts, nil)
			done := 0
			err := c.SendAll(limit(t), notes(u.Address, count), func(i int, _ *smtp.Message, _ *smtp.Result, err error) error {
				wantBad := i%10 == 3 // see notes
				if i != done || (err != nil) != wantBad {
					t.Errorf("message %d (report %d): got %v, want an error: %v", i, done, err, wantBad)
				}
				done++
				return nil
			})
			if err != nil || done != count {
				t.Fatalf("got %d reports, %v, want %d", done, err, count)
			}
			seen := map[string]int{}
			for _, m := range inbox(t, d, u, count-count/10) {
				_, rest, _ := strings.Cut(string(m), "Subject: ")
				subject, _, _ := strings.Cut(rest, "\r\n")
				seen[subject]++
				if !strings.HasSuffix(string(m), note(subject)) {
					t.Errorf("message %s is not as it was sent", subject)
				}
			}
			for i := range count {
				want := 1
				if i%10 == 3 {
					want = 0
				}
				if got := seen[fmt.Sprint("n", i)]; got != want {
					t.Errorf("message %d arrived %d times, want %d", i, got, want)
				}
			}
		})
	}
}

// notes are count messages; every tenth, from the fourth, is for nobody the server knows.
func notes(to string, count int) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for i := range count {
			env := &smtp.Envelope{From: sender, Rcpt: []string{to}}
			if i%10 == 3 {
				env.Rcpt = []string{Refused}
			}
			if !yield(&smtp.Message{Envelope: env, Body: strings.NewReader(note(fmt.Sprint("n", i)))}) {
				return
			}
		}
	}
}

// TestSMTPDeliveryNotification asks for a report of success, which must come back.
func TestSMTPDeliveryNotification(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	from, to := d.AddUser(t), d.AddUser(t)
	c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), smtp.Options{}, nil)
	env := &smtp.Envelope{From: from.Address, Rcpt: []string{to.Address}, DSN: &smtp.DSN{Notify: smtp.NotifySuccess, Return: "HDRS", EnvID: "id+with=odd chars"}}
	if _, err := c.Send(limit(t), env, strings.NewReader(note("dsn"))); err != nil {
		t.Fatal(err)
	}
	contains(t, string(inbox(t, d, from, 1)[0]), "Original-Envelope-Id: id+with=odd chars", "Action: delivered", "Final-Recipient: rfc822; "+to.Address,
		"Original-Recipient: rfc822;"+to.Address)
}

// TestSMTPUTF8 sends to an address beyond ASCII (RFC 6531).
func TestSMTPUTF8(t *testing.T) {
	p := Postfix(t)
	c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), smtp.Options{}, nil)
	if _, ok := c.Extension("SMTPUTF8"); !ok {
		t.Skip("this postfix has no SMTPUTF8")
	}
	env := &smtp.Envelope{From: "élodie@example.org", Rcpt: []string{"грета@" + DiscardDomain}, UTF8: true}
	if _, err := c.Send(limit(t), env, strings.NewReader("Subject: grüße\r\n\r\nhallo\r\n")); err != nil {
		t.Error(err)
	}
}

// TestSMTPTooLarge finds out before anything is sent that a message is too large.
func TestSMTPTooLarge(t *testing.T) {
	p := Postfix(t)
	c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), smtp.Options{}, nil)
	_, err := c.Send(limit(t), &smtp.Envelope{From: sender, Rcpt: []string{"bob@" + DiscardDomain}, Size: c.MaxSize() + 1}, strings.NewReader("never read"))
	if _, ok := errors.AsType[*smtp.CapabilityError](err); !ok {
		t.Errorf("got %v (%T), want a *CapabilityError", err, err)
	}
	if err := c.Noop(limit(t)); err != nil {
		t.Errorf("the connection is not usable any more: %v", err)
	}
}

// TestT7_UnknownAuthority refuses each server's certificate without its authority.
func TestT7_UnknownAuthority(t *testing.T) {
	p := Postfix(t)
	d := Dovecot(t)
	for _, m := range p.authModes() {
		_, err := smtp.Dial(limit(t), endpoint(t, wire.SMTP, m.addr, m.sec), nil)
		if e, ok := errors.AsType[*wire.TLSError](err); !ok || !e.Certificate() {
			t.Errorf("smtp %s: got %v (%T), want a *TLSError about the certificate", m.name, err, err)
		}
	}
	for _, m := range d.popModes()[1:] {
		_, err := pop3.Dial(limit(t), endpoint(t, wire.POP3, m.addr, m.sec), nil)
		if e, ok := errors.AsType[*wire.TLSError](err); !ok || !e.Certificate() {
			t.Errorf("pop3 %s: got %v (%T), want a *TLSError about the certificate", m.name, err, err)
		}
	}
}

// TestSMTPCancel ends a Send whose body does not come.
func TestSMTPCancel(t *testing.T) {
	p := Postfix(t)
	c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), smtp.Options{NoChunking: true}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	body := io.MultiReader(strings.NewReader(note("cancelled")), readerFunc(func([]byte) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}))
	_, err := c.Send(ctx, &smtp.Envelope{From: sender, Rcpt: []string{"bob@" + DiscardDomain}}, body)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := c.Noop(limit(t)); err == nil {
		t.Error("the connection lives on, want it dead")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
