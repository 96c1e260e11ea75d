package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// popMechanisms adds POP3's own ways to the mechanisms.
func popMechanisms() []struct{ mech, shown string } {
	out := []struct{ mech, shown string }{{"apop", "APOP"}, {"user", "USER"}}
	for _, s := range saslMechanisms {
		out = append(out, struct{ mech, shown string }{s.mech, "AUTH " + s.shown})
	}
	return out
}

func TestPOP3Auth(t *testing.T) {
	d := Dovecot(t)
	for _, m := range d.popModes() {
		for _, s := range popMechanisms() {
			t.Run(m.name+"/"+s.mech, func(t *testing.T) {
				t.Parallel()
				u := d.AddUser(t)
				var tr tracer
				c := dialPOP3(t, endpoint(t, wire.POP3, m.addr, m.sec), pop3.Options{Wire: &wire.Config{Trace: tr.add}}, d.CA)
				if err := c.Auth(limit(t), credentials(u, s.mech)); err != nil {
					t.Fatalf("%v\n%s", err, tr.String())
				}
				if st, err := c.Stat(limit(t)); err != nil || st != (pop3.Stat{}) {
					t.Errorf("got %+v, %v, want an empty maildrop", st, err)
				}
				shown := m.shown(s.mech, s.shown)
				if got := tr.String(); !strings.Contains(got, shown) || strings.Contains(got, u.Password) {
					t.Errorf("want %s and no password in the trace:\n%s", shown, got)
				}
				if (c.Conn().TLS() != nil) != (m.sec != wire.Cleartext) {
					t.Errorf("got TLS %v in mode %s", c.Conn().TLS() != nil, m.name)
				}
			})
		}
	}
}

func TestPOP3AuthRefused(t *testing.T) {
	d := Dovecot(t)
	for _, s := range popMechanisms() {
		t.Run(s.mech, func(t *testing.T) {
			t.Parallel()
			u := d.AddUser(t)
			u.Password = "wrong"
			c := dialPOP3(t, endpoint(t, wire.POP3, d.POP3S, wire.ImplicitTLS), pop3.Options{}, d.CA)
			wantAuthError(t, c.Auth(limit(t), credentials(u, s.mech)))
		})
	}
}

// openPOP3 logs in to a user's maildrop.
func openPOP3(t *testing.T, d *DovecotServer, u User, o pop3.Options) *pop3.Client {
	t.Helper()
	c := dialPOP3(t, endpoint(t, wire.POP3, d.POP3S, wire.ImplicitTLS), o, d.CA)
	if err := c.Auth(limit(t), credentials(u, "")); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill puts n messages of different sizes into the maildrop.
func fill(t *testing.T, d *DovecotServer, u User, n int) [][]byte {
	t.Helper()
	var messages [][]byte
	for i := range n {
		messages = append(messages, []byte(note(fmt.Sprint("m", i))+strings.Repeat(".line of text\r\n", i*i)))
	}
	d.Put(t, u, messages...)
	return messages
}

// TestPOP3Session goes through every verb, pipelined and not.
func TestPOP3Session(t *testing.T) {
	d := Dovecot(t)
	for _, depth := range []int{0, 1, 3} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) {
			t.Parallel()
			u := d.AddUser(t)
			messages := fill(t, d, u, 40)
			c := openPOP3(t, d, u, pop3.Options{Depth: depth})
			checkListing(t, c, messages)
			for i, got := range retrAll(t, c, len(messages)) {
				if !bytes.Equal(got, messages[i]) {
					t.Errorf("message %d: got %d octets, want the %d stored", i+1, len(got), len(messages[i]))
				}
			}
			checkTop(t, c, messages)
			if err := c.Dele(limit(t), []int{1, 3, 40}); err != nil {
				t.Fatal(err)
			}
			if st, err := c.Stat(limit(t)); err != nil || st.Count != 37 {
				t.Errorf("got %+v, %v, want 37 messages left", st, err)
			}
			if err := c.Rset(limit(t)); err != nil {
				t.Fatal(err)
			}
			if st, err := c.Stat(limit(t)); err != nil || st.Count != 40 {
				t.Errorf("got %+v, %v, want all 40 messages", st, err)
			}
			if err := errors.Join(c.Noop(limit(t)), c.Quit(limit(t))); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkListing(t *testing.T, c *pop3.Client, messages [][]byte) {
	t.Helper()
	list, err := c.List(limit(t))
	if err != nil || len(list) != len(messages) {
		t.Fatalf("got %d entries, %v, want %d", len(list), err, len(messages))
	}
	for i, e := range list {
		if e.Number != i+1 || e.Size != int64(len(messages[i])) {
			t.Errorf("entry %d: got %+v, want size %d", i, e, len(messages[i]))
		}
	}
	uids, err := c.Uidl(limit(t))
	if err != nil || len(uids) != len(messages) {
		t.Fatalf("got %d ids, %v, want %d", len(uids), err, len(messages))
	}
	some, err := c.Uidl(limit(t), 7, 2)
	if err != nil || !slices.Equal(some, []pop3.UID{uids[6], uids[1]}) {
		t.Errorf("got %+v, %v, want ids 7 and 2 of %+v", some, err, uids[:7])
	}
}

func checkTop(t *testing.T, c *pop3.Client, messages [][]byte) {
	t.Helper()
	err := c.Top(limit(t), []int{2, 30}, 1, func(n int, _ int64, r io.Reader) error {
		got, err := io.ReadAll(r)
		header, _, _ := bytes.Cut(messages[n-1], []byte("\r\n\r\n"))
		if want := string(header) + "\r\n\r\nhello\r\n"; string(got) != want {
			t.Errorf("top %d: got %q, want %q", n, got, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPOP3Refused asks for messages that are not there, among others.
func TestPOP3Refused(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	fill(t, d, u, 5)
	c := openPOP3(t, d, u, pop3.Options{})
	var got []int
	err := c.Retr(limit(t), []int{2, 9, 4, 77}, func(n int, _ int64, r io.Reader) error {
		got = append(got, n)
		_, err := io.Copy(io.Discard, r)
		return err
	})
	pe, ok := errors.AsType[*pop3.PartialError](err)
	if !ok || !slices.Equal(got, []int{2, 4}) || !slices.Equal(pe.Done, got) || len(pe.Refused) != 2 || pe.Refused[1].Number != 77 {
		t.Errorf("got %v and %v, want 2 and 4 done, 9 and 77 refused", got, err)
	}
	if err := c.Noop(limit(t)); err != nil {
		t.Errorf("the session is over: %v", err)
	}
}

// TestR1_POP3Update shows that Quit deletes and Close does not.
func TestR1_POP3Update(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	fill(t, d, u, 5)

	c := openPOP3(t, d, u, pop3.Options{})
	before, err := c.Uidl(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Dele(limit(t), []int{1, 2}), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = openPOP3(t, d, u, pop3.Options{})
	after, err := c.Uidl(limit(t))
	if err != nil || !slices.Equal(after, before) {
		t.Errorf("after close: got %+v, %v, want %+v", after, err, before)
	}
	if err := errors.Join(c.Dele(limit(t), []int{1, 4}), c.Quit(limit(t))); err != nil {
		t.Fatal(err)
	}
	c = openPOP3(t, d, u, pop3.Options{})
	after, err = c.Uidl(limit(t))
	want := []string{before[1].ID, before[2].ID, before[4].ID}
	var got []string
	for _, id := range after {
		got = append(got, id.ID)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("after quit: got %v, %v, want %v", got, err, want)
	}
}
