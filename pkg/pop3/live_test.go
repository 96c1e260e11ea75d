package pop3

import (
	"context"
	"crypto/x509"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// live is our own server with alice's maildrop over TLS; script, which may be empty, says how it misbehaves.
func live(t *testing.T, script string) (b *box, o *Options) {
	t.Helper()
	faults, err := server.ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.Start(context.Background(), server.Options{
		Users: []server.User{{Name: "alice", Password: canary, Token: "t0ken"}}, POP3: "127.0.0.1:0", POP3S: "127.0.0.1:0", Faults: faults,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	b = boxOf(t, srv)
	b.fill(t, cutMessages)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	return b, &Options{Wire: &wire.Config{RootCAs: pool}}
}

// enter connects by sec and logs in.
func (b *box) enter(t *testing.T, sec wire.Security, o *Options, cr *auth.Credentials) (*Client, error) {
	t.Helper()
	addr := b.Addr("pop3")
	if sec == wire.ImplicitTLS {
		addr = b.Addr("pop3s")
	}
	c, err := Dial(within(t), endpointOf(t, addr, sec), o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, c.Auth(within(t), cr)
}

func TestLive_EveryWayIn(t *testing.T) {
	b, o := live(t, "")
	for _, mechanism := range []string{"", "user", "apop", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-1-plus", "scram-sha-256",
		"scram-sha-256-plus", "xoauth2", "oauthbearer"} {
		for _, sec := range []wire.Security{wire.ImplicitTLS, wire.StartTLS} {
			cr := alice()
			cr.Mechanism = mechanism
			if strings.Contains(mechanism, "oauth") {
				cr.Token = auth.Literal("t0ken")
			}
			c, err := b.enter(t, sec, o, cr)
			if err != nil {
				t.Errorf("%q, security %v: %v", mechanism, sec, err)
				continue
			}
			if n, err := c.Stat(within(t)); err != nil || n.Count != 2 || c.Quit(within(t)) != nil {
				t.Errorf("%q, security %v: got %+v, %v", mechanism, sec, n, err)
			}
			cr.Password, cr.Token = auth.Literal("another"), auth.Literal("another")
			_, err = b.enter(t, sec, o, cr)
			var refused *auth.Error
			if !errors.As(err, &refused) {
				t.Errorf("%q with a wrong secret: got %v, want an *auth.Error", mechanism, err)
			}
		}
	}
}

// TestLive_Session does what a session can do, in all that its commands have beside the plain way.
func TestLive_Session(t *testing.T) {
	b, o := live(t, "")
	c, err := b.enter(t, wire.ImplicitTLS, o, alice())
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	caps, err := c.Caps(ctx)
	if days, ok := caps.Params("EXPIRE"); err != nil || !ok || !reflect.DeepEqual(days, []string{"NEVER"}) {
		t.Errorf("got EXPIRE %v, %v", days, err)
	}
	if some, err := c.List(ctx, 2); err != nil || len(some) != 1 || some[0].Number != 2 || some[0].Size != int64(len(cutMessages[1])) {
		t.Errorf("got %v, %v for the second message", some, err)
	}
	all, err := c.Uidl(ctx)
	if err != nil || len(all) != 2 || all[0].ID == all[1].ID {
		t.Fatalf("got %v, %v; want two ids", all, err)
	}
	if some, err := c.Uidl(ctx, 2, 1); err != nil || !reflect.DeepEqual(some, []UID{all[1], all[0]}) {
		t.Errorf("got %v, %v; want the ids in the order asked for", some, err)
	}
	if err := c.Dele(ctx, []int{1}); err != nil {
		t.Error(err)
	}
	var msgs []got
	err = c.Retr(ctx, []int{1, 2, 3}, collect(&msgs))
	var partial *PartialError
	if !errors.As(err, &partial) || len(partial.Refused) != 2 || len(msgs) != 1 || msgs[0].text != cutMessages[1] ||
		!strings.HasPrefix(err.Error(), "2 of 3 messages refused, the first message 1: ") {
		t.Errorf("got %v, %v; want the second message", msgs, err)
	}
	other, err := b.enter(t, wire.StartTLS, o, alice())
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != "IN-USE" || refused.Hint() == "" || !refused.Temporary() {
		t.Errorf("a second session: got %v, want [IN-USE] and a hint", err)
	}
	_ = other.Close()
	if err := c.Rset(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Quit(ctx); err != nil || len(b.inbox.Messages()) != 2 {
		t.Errorf("got %v, and %d messages are left, want 2", err, len(b.inbox.Messages()))
	}
}

// TestLive_Faults meets a server that fails in the middle.
func TestLive_Faults(t *testing.T) {
	b, o := live(t, `
		on POP3 AUTH once: reply -ERR [LOGIN-DELAY] wait
		on POP3 RETR "2": garbage "-ERR \x1b[2J"; reply gone
		on POP3 RETR "1" after 1: reset at byte 10
		on POP3 UIDL "2": reply +OK 1 x
		on POP3 QUIT once: reply -ERR [SYS/PERM] the disk is read-only
		on POP3 QUIT: drop`)
	_, err := b.enter(t, wire.ImplicitTLS, o, alice())
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != "LOGIN-DELAY" || refused.Hint() == "" || !refused.Temporary() {
		t.Errorf("got %v, want [LOGIN-DELAY] and a hint", err)
	}
	for _, want := range []Outcome{Partial, Unknown} {
		c, err := b.enter(t, wire.ImplicitTLS, o, alice())
		if err != nil {
			t.Fatal(err)
		}
		var msgs []got
		err = c.Retr(within(t), []int{2}, collect(&msgs))
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), `\x1b[2Jgone`) || refused.Hint() != "" {
			t.Errorf("got %v, want a refusal without control characters", err)
		}
		if err := c.Dele(within(t), []int{1}); err != nil {
			t.Error(err)
		}
		err = c.Quit(within(t))
		var ce *CommitError
		if !errors.As(err, &ce) || ce.Outcome != want || ce.Hint() == "" || ce.Temporary() != (want == Unknown) || len(b.inbox.Messages()) != 2 {
			t.Errorf("got %v, and %d messages are left; want outcome %v and 2", err, len(b.inbox.Messages()), want)
		}
	}
	c, err := b.enter(t, wire.ImplicitTLS, o, alice())
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := c.Uidl(within(t), 2); err == nil {
		t.Errorf("the id of another message: got %v, want an error", ids)
	}
}
