package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
)

var everything = []string{"LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS", "GSSAPI"}

func TestChoose(t *testing.T) {
	tlsState := tlsPair(t, 0).client
	secure := Channel{Host: "mail.example.org", Protocol: "imap", TLS: &tlsState}
	open := Channel{Host: "mail.example.org", Protocol: "imap"}
	local := Channel{Host: "localhost", Protocol: "imap", Loopback: true}
	both := &Credentials{User: "alice", Password: Literal("sesame"), Token: Literal("tok")}
	for _, c := range []struct {
		name    string
		offered string
		cr      *Credentials
		ch      Channel
		want    string
		err     error
		words   string
	}{
		{"token first", strings.Join(everything, " "), both, secure, OAuthBearer, nil, ""},
		{"xoauth2 next", "PLAIN XOAUTH2", both, secure, XOAuth2, nil, ""},
		{"no token", strings.Join(everything, " "), creds(""), secure, ScramSHA256Plus, nil, ""},
		{"nothing to bind to", strings.Join(everything, " "), creds(""), local, ScramSHA256, nil, ""},
		{"scram-sha-256 before scram-sha-1-plus", "SCRAM-SHA-1-PLUS SCRAM-SHA-256", creds(""), secure, ScramSHA256, nil, ""},
		{"scram-sha-1-plus", "SCRAM-SHA-1 SCRAM-SHA-1-PLUS", creds("auto"), secure, ScramSHA1Plus, nil, ""},
		{"scram-sha-1", "CRAM-MD5 SCRAM-SHA-1 PLAIN", creds("AUTO"), local, ScramSHA1, nil, ""},
		{"cram-md5", "LOGIN PLAIN CRAM-MD5", creds(""), local, CramMD5, nil, ""},
		{"plain under TLS takes one round trip", "SCRAM-SHA-256 SCRAM-SHA-1-PLUS CRAM-MD5 LOGIN PLAIN", creds(""), secure, Plain, nil, ""},
		{"bound to the channel before plain", "PLAIN SCRAM-SHA-256-PLUS", creds(""), secure, ScramSHA256Plus, nil, ""},
		{"no plain in the clear", "SCRAM-SHA-256 PLAIN", creds(""), open, ScramSHA256, nil, ""},
		{"plain before login", "LOGIN PLAIN", creds(""), secure, Plain, nil, ""},
		{"login", "LOGIN", creds(""), secure, Login, nil, ""},
		{"names in small letters", "login plain", creds(""), secure, Plain, nil, ""},
		{"named, small letters", "LOGIN PLAIN", creds("login"), secure, Login, nil, ""},
		{"external is not chosen", "EXTERNAL PLAIN", creds(""), secure, Plain, nil, ""},
		{"external named", "EXTERNAL PLAIN", creds("external"), secure, External, nil, ""},
		{"O5 cleartext refused", "LOGIN PLAIN", creds(""), open, "", ErrCleartext, "not encrypted"},
		{"O5 bearer token refused", "XOAUTH2", both, open, "", ErrCleartext, "not encrypted"},
		{"O5 cleartext named is refused", "LOGIN PLAIN", creds("plain"), open, "", ErrCleartext, "not encrypted"},
		{"O5 cleartext to loopback", "LOGIN PLAIN", creds(""), local, Plain, nil, ""},
		{"O5 cleartext allowed", "LOGIN PLAIN", &Credentials{User: "alice", Password: Literal("x"), AllowCleartext: true}, open, Plain, nil, ""},
		{"O5 cleartext: scram is fine", "PLAIN SCRAM-SHA-256", creds(""), open, ScramSHA256, nil, ""},
		{"O5 apop is not chosen", "APOP", creds(""), secure, "", ErrNoMechanism, "offers nothing"},
		{"named and not offered", "PLAIN", creds("scram-sha-256"), secure, "", ErrNoMechanism, "does not offer"},
		{"named and nothing to bind to", "SCRAM-SHA-256-PLUS", creds("scram-sha-256-plus"), local, "", ErrNoMechanism, "nothing to bind"},
		{"named and unknown", "GSSAPI", creds("gssapi"), secure, "", ErrNoMechanism, "not a mechanism"},
		{"commands are for the engines", "PLAIN", creds("login-command"), secure, "", ErrNoMechanism, "not a mechanism"},
		{"nothing offered", "", creds(""), secure, "", ErrNoMechanism, "offers nothing"},
		{"token only, no oauth offered", "PLAIN", &Credentials{User: "alice", Token: Literal("t")}, secure, "", ErrNoMechanism, "offers nothing"},
		{"password only, only oauth offered", "XOAUTH2", creds(""), secure, "", ErrNoMechanism, "offers nothing"},
		{"password as token when named", "XOAUTH2", creds("xoauth2"), secure, XOAuth2, nil, ""},
		{"no secret", "PLAIN", &Credentials{User: "alice"}, secure, "", ErrNoMechanism, "no password"},
		{"named, no secret", "PLAIN", &Credentials{User: "alice", Mechanism: "plain"}, secure, "", nil, "no password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, cr := "", *c.cr
			cr.Chosen = func(name string) { told = name }
			m, err := Choose(context.Background(), strings.Fields(c.offered), &cr, c.ch)
			if told != c.want {
				t.Errorf("told %q, want %q", told, c.want)
			}
			if c.want != "" {
				if err != nil || m.Name() != c.want {
					t.Fatalf("got %v, %v, want %s", m, err, c.want)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || c.err != nil && !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %q wrapping %v", err, c.words, c.err)
			}
			if e != nil && e.Hint == "" {
				t.Errorf("%v has no hint", err)
			}
		})
	}
}

func TestChooseRefusesBadSecrets(t *testing.T) {
	for name, cr := range map[string]*Credentials{
		"NUL in user":           {User: "al\x00ice", Password: Literal("sesame")},
		"NUL in password":       {User: "alice", Password: Literal("ses\x00ame")},
		"NUL in authzid":        {User: "alice", Authzid: "b\x00b", Password: Literal("sesame")},
		"empty password":        {User: "alice", Password: Literal("")},
		"control in token":      {User: "alice", Token: Literal("tok\x01auth=Bearer other")},
		"control in token user": {User: "alice\x01", Token: Literal("tok")},
		"space in token":        {User: "alice", Token: Literal("access_token: tok")},
		"NUL, external":         {User: "alice", Authzid: "\x00", Mechanism: "external"},
		"NUL, anonymous":        {User: "ali\x00ce", Mechanism: "anonymous"},
	} {
		for _, mech := range everything[:len(everything)-1] {
			c := *cr
			if c.Mechanism == "" && (c.Token == nil) == (mech == OAuthBearer || mech == XOAuth2) || mech == External || mech == Anonymous {
				continue
			}
			offer := mech
			if c.Mechanism != "" {
				offer = strings.ToUpper(c.Mechanism)
			}
			ch := Channel{Loopback: true}
			if isPlus(mech) {
				st := tlsPair(t, 0).client
				ch.TLS = &st
			}
			m, err := Choose(context.Background(), []string{offer}, &c, ch)
			var e *Error
			if !errors.As(err, &e) || errors.Is(err, ErrNoMechanism) {
				t.Errorf("%s, %s: got %v, %v, want a refusal", name, offer, m, err)
			}
		}
	}
}

func TestCleartextAllowed(t *testing.T) {
	if err := CleartextAllowed(Channel{Loopback: true}, &Credentials{}); err != nil {
		t.Errorf("loopback: got %v, want nil", err)
	}
	err := CleartextAllowed(Channel{Protocol: "pop3"}, &Credentials{})
	var e *Error
	if !errors.Is(err, ErrCleartext) || !errors.As(err, &e) || !strings.Contains(e.Hint, "pop3s://") {
		t.Errorf("got %v, want ErrCleartext with a hint", err)
	}
}

func TestAPOP(t *testing.T) {
	const stamp = "<1896.697170952@dbc.mtview.ca.us>"
	cr := &Credentials{User: "mrose", Password: Literal("tanstaaf"), Mechanism: "APOP"}
	got, err := APOP(context.Background(), stamp, cr)
	if want := "c4c9334bac560ecc979e58001b3e22fb"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, mech := range []string{"", "auto", "plain"} {
		c := *cr
		c.Mechanism = mech
		if _, err := APOP(context.Background(), stamp, &c); !errors.Is(err, ErrNoMechanism) {
			t.Errorf("mechanism %q: got %v, want a refusal", mech, err)
		}
	}
	for _, bad := range []string{"", "<>", "<a@b", "a@b>", "<ab>", "<@b>", "<a@>", "<a@b@c>", "<a b@c>", "<a\x80@c>", "<a\r\n@c>", "<a<@c>", "<" + strings.Repeat("a", 600) + "@b>"} {
		if _, err := APOP(context.Background(), bad, cr); !errors.Is(err, ErrNoMechanism) {
			t.Errorf("timestamp %q: got %v, want a refusal", bad, err)
		}
	}
}
