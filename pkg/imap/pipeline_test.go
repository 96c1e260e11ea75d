package imap

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// TestPipeline_NoDeadlock has a server that reads one command, answers at length and reads the next. Commands without
// a bound would fill the way to it while its answers fill the way back. Every depth gives the same.
func TestPipeline_NoDeadlock(t *testing.T) {
	const boxes, noise = 600, 40
	long := strings.Repeat("x", 300)
	var results [][]Mailbox
	for _, depth := range []int{1, 8, 64, 0} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			fmt.Fprint(nc, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n")
			in := bufio.NewReaderSize(nc, 16)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				words := strings.Fields(line)
				var b strings.Builder
				switch words[1] {
				case "LIST":
					for i := range boxes {
						fmt.Fprintf(&b, "* LIST () \"/\" box%d%s\r\n", i, long)
					}
				case "STATUS":
					fmt.Fprintf(&b, "* STATUS %s (MESSAGES %d)\r\n", words[2], len(words[2]))
					b.WriteString(strings.Repeat("* OK "+long+"\r\n", noise))
				}
				if _, err := fmt.Fprint(nc, b.String(), words[0]+" OK done\r\n"); err != nil {
					return
				}
			}
		}()
		c, err := Dial(within(t), endpointOf(t, l.Addr().String(), wire.Cleartext), &Options{Depth: depth})
		if err != nil {
			t.Fatal(err)
		}
		list, err := c.List(within(t), &ListOptions{Status: StatusMessages})
		if err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		for _, m := range list {
			if !m.Status.Has(StatusMessages) || int(m.Status.Messages) != len(m.Name) {
				t.Fatalf("depth %d: got %+v", depth, m)
			}
		}
		results = append(results, list)
		c.Close()
		l.Close()
		<-ended
	}
	for i := range results {
		if len(results[i]) != boxes || !reflect.DeepEqual(results[i], results[0]) {
			t.Errorf("run %d differs from depth 1", i)
		}
	}
}

// TestT8_NothingIsShared dials the same server twice: neither connection knows of the other's TLS, login or names.
func TestT8_NothingIsShared(t *testing.T) {
	addr := wiretest.Serve(t, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 IDLE] hi
		C: $a NOOP
		S: $a OK done
		C? * LOGOUT
		CONN
		S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi
		C: $a STARTTLS
		S: $a OK go
		TLS
		C: $b CAPABILITY
		S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
		S: $b OK done
		C: $c AUTHENTICATE PLAIN *
		S: $c OK [CAPABILITY IMAP4rev1] in
		C? * LOGOUT`)
	plain, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Noop(within(t)); err != nil {
		t.Fatal(err)
	}
	plain.Close()
	safe, err := Dial(within(t), endpointOf(t, addr, wire.StartTLS), trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	defer safe.Close()
	if safe.Conn().TLS() == nil || safe.Preauthenticated() || safe.has("IDLE") {
		t.Error("the second connection is not its own")
	}
	if err := safe.Auth(within(t), alice()); err != nil {
		t.Error(err)
	}
}

// TestS16_ReferralsAreNotFollowed names another server in every reply that can. The peer takes one connection only.
func TestS16_ReferralsAreNotFollowed(t *testing.T) {
	c, err := dial(t, `S: * OK [REFERRAL imap://evil.example.org/] [CAPABILITY IMAP4rev1] hi
		C: $a CAPABILITY
		S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LOGIN-REFERRALS MAILBOX-REFERRALS
		S: $a OK done
		C: $a AUTHENTICATE PLAIN *
		S: $a NO [REFERRAL imap://alice@evil.example.org/] try there
		C? * LOGOUT`, wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err == nil {
		t.Error("login: got no error")
	}
	c = session(t, "IMAP4rev1 MAILBOX-REFERRALS", "C: $a SELECT x\nS: $a NO [REFERRAL imap://evil.example.org/x] there\nC: $a LIST *\nS: $a OK done")
	_, err = c.Select(within(t), "x", nil)
	wantRefusal(t, err, "NO", "REFERRAL")
	if _, err := c.List(within(t), nil); err != nil {
		t.Error(err)
	}
}

// TestS14_RefusedAgainAndAgain answers BAD to everything: each call ends, with one command or two.
func TestS14_RefusedAgainAndAgain(t *testing.T) {
	var script strings.Builder
	for range 9 {
		script.WriteString("C: $a *\nS: $a BAD no\n")
	}
	c := selected(t, "IMAP4rev1 ESEARCH LIST-EXTENDED IDLE ENABLE QRESYNC CONDSTORE", script.String())
	ctx := within(t)
	calls := map[string]func() error{
		"search": func() error { _, err := c.Search(ctx); return err },
		"list":   func() error { _, err := c.List(ctx, nil); return err },
		"idle":   func() error { _, err := c.Idle(ctx, 0); return err },
		"watch":  func() error { return c.Watch(ctx, nil, func(Event) error { return nil }) },
		"noop":   func() error { return c.Noop(ctx) },
		"store":  func() error { return c.Store(ctx, uids(t, "1"), AddFlags, nil) },
	}
	for name, call := range calls {
		var refused *Error
		if err := call(); !errors.As(err, &refused) || refused.Status != "BAD" {
			t.Errorf("%s: got %v, want BAD", name, err)
		}
	}
	if err := c.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}
