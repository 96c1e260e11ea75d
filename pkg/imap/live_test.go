package imap

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

// live is our own server with alice's account, as one of its personas or as itself, and a session over TLS.
func live(t *testing.T, persona, script string) *Client {
	t.Helper()
	faults, err := server.ParseScript(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Users: []server.User{{Name: "alice", Password: canary, Token: "t0ken"}}, IMAPS: "127.0.0.1:0", Faults: faults}
	if persona != "" {
		without, quirks, err := server.Persona(persona)
		if err != nil {
			t.Fatal(err)
		}
		o.Without, o.Faults = without, server.JoinFaults(faults, quirks)
	}
	srv, err := server.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	c, err := Dial(within(t), endpointOf(t, srv.Addr("imaps"), wire.ImplicitTLS), &Options{Wire: &wire.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	cr := alice()
	if persona == "exchange" {
		cr.Password, cr.Token = nil, auth.Literal("t0ken")
	}
	if err := c.Auth(within(t), cr); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLive_Round stores, finds, fetches, copies, moves and deletes at servers with all extensions and with few: the
// result is the same.
func TestLive_Round(t *testing.T) {
	for _, persona := range append(server.Personas(), "") {
		t.Run(persona, func(t *testing.T) {
			c, ctx := live(t, persona, ""), within(t)
			for _, text := range []string{"Subject: one\r\n\r\n1\r\n", "Subject: two\r\n\r\n2\r\n"} {
				if _, err := c.Append(ctx, "INBOX", int64(len(text)), strings.NewReader(text), nil); err != nil {
					t.Fatal(err)
				}
			}
			if sel, err := c.Select(ctx, "INBOX", nil); err != nil || sel.Exists != 2 || sel.UIDNext != 3 {
				t.Fatalf("got %+v, %v", sel, err)
			}
			if found, err := c.Search(ctx, SearchSubject("two")); err != nil || found.String() != "2" {
				t.Errorf("search: got %v, %v", found, err)
			}
			got, missing, err := bodies(c, ctx, uids(t, "1:2"), whole())
			if want := []string{"1:=Subject: one\r\n\r\n1\r\n;", "2:=Subject: two\r\n\r\n2\r\n;"}; err != nil || missing.Count() != 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("fetch: got %q, missing %v, %v; want %q", got, missing, err, want)
			}
			if err := c.Create(ctx, "Recipes"); err != nil {
				t.Errorf("create: %v", err)
			}
			if _, err := c.Copy(ctx, uids(t, "1"), "Recipes"); err != nil {
				t.Errorf("copy: %v", err)
			}
			if _, err := c.Move(ctx, uids(t, "2"), "Recipes"); err != nil {
				t.Errorf("move: %v", err)
			}
			if left, err := c.Search(ctx); err != nil || left.String() != "1" {
				t.Errorf("after the move: got %v, %v", left, err)
			}
			if state, err := c.Status(ctx, "Recipes", StatusMessages); err != nil || state.Messages != 2 {
				t.Errorf("status: got %+v, %v", state, err)
			}
			if err := c.Logout(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLive_Faults meets a server that is cut or lies in the middle of a message.
func TestLive_Faults(t *testing.T) {
	for name, tt := range map[string]struct {
		rule string
		want func(err error, missing UIDSet, got []string) bool
	}{
		"reset": {"on IMAP UID FETCH: reset at byte 3", func(err error, _ UIDSet, _ []string) bool { return err != nil }},
		"vanished": {"on IMAP UID FETCH: lie vanished", func(err error, missing UIDSet, got []string) bool {
			return err == nil && missing.String() == "1" && len(got) == 0
		}},
		"refused": {"on IMAP UID FETCH: reply NO [LIMIT] slow down", func(err error, _ UIDSet, _ []string) bool {
			var refused *Error
			return errors.As(err, &refused) && refused.Code == "LIMIT" && refused.Temporary()
		}},
		"short string": {"on IMAP UID FETCH: lie short-string", func(err error, _ UIDSet, _ []string) bool { return err != nil }},
		"early OK":     {"on IMAP UID FETCH: lie early-ok", func(err error, missing UIDSet, _ []string) bool { return err != nil || missing.Count() == 1 }},
		"wrong tag":    {"on IMAP UID FETCH: lie wrong-tag", func(err error, _ UIDSet, _ []string) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx := live(t, "", tt.rule), within(t)
			if _, err := c.Append(ctx, "INBOX", 6, strings.NewReader("A: b\r\n"), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Select(ctx, "INBOX", nil); err != nil {
				t.Fatal(err)
			}
			got, missing, err := bodies(c, ctx, uids(t, "1"), whole())
			if !tt.want(err, missing, got) {
				t.Errorf("got %q, missing %v, %v", got, missing, err)
			}
		})
	}
}
