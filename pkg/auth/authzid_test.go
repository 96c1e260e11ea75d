package auth

import (
	"context"
	"errors"
	"testing"
)

// TestAuthzid holds that a login as somebody else never falls back to the account of the one who logs in.
func TestAuthzid(t *testing.T) {
	master := func(mech string) *Credentials {
		return &Credentials{User: "master", Password: Literal("sesame"), Authzid: "alice", Mechanism: mech}
	}
	token := &Credentials{User: "master", Token: Literal("tok"), Authzid: "alice"}
	for _, c := range []struct {
		name    string
		offered []string
		cr      *Credentials
		sent    string // "": refused
	}{
		{"plain", []string{CramMD5, Login, Plain}, master(""), "AUTH PLAIN > alice\x00master\x00sesame"},
		{"nothing that can", []string{CramMD5, Login}, master(""), ""},
		{"login by name", []string{Login}, master("login"), ""},
		{"cram-md5 by name", []string{CramMD5}, master("cram-md5"), ""},
		{"xoauth2", []string{XOAuth2}, token, "AUTH XOAUTH2 > user=alice\x01auth=Bearer tok\x01\x01"},
		{"oauthbearer", []string{OAuthBearer}, token, "AUTH OAUTHBEARER > n,a=alice,\x01host=h\x01auth=Bearer tok\x01\x01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Choose(context.Background(), c.offered, c.cr, Channel{Host: "h", Loopback: true})
			if c.sent == "" {
				var e *Error
				if !errors.As(err, &e) || e.Hint == "" || errors.Is(err, ErrNoMechanism) { // that would make engines try LOGIN
					t.Errorf("got %v, %v, want a refusal with a hint", m, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{replies: []reply{success()}}
			if err := Exchange(context.Background(), m, p, true); err != nil {
				t.Fatal(err)
			}
			if len(p.log) != 1 || p.log[0] != c.sent {
				t.Errorf("sent %q, want %q", p.log, c.sent)
			}
		})
	}
	for _, cr := range []*Credentials{master("user"), master("login-command"), master("")} {
		var e *Error
		if s, err := cr.Secret(context.Background()); !s.IsZero() || !errors.As(err, &e) {
			t.Errorf("%s: got %v, want no password for a command that cannot say whose account is meant", cr.Mechanism, err)
		}
	}
}
