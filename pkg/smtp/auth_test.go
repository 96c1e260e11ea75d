package smtp

import (
	"errors"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestAuth(t *testing.T) {
	long := strings.Repeat("p", 9300)
	for _, tc := range []struct {
		name, script, mechanism, password string
		kind                              string // "ok", "auth" or as kind says
		temporary                         bool
		hint                              string
	}{
		{"PLAIN with an initial response", hello("AUTH LOGIN PLAIN") + "C: AUTH PLAIN ${b64:\\x00alice\\x00secret}\nS: 235 ok\n" + bye, "", "secret", "ok", false, ""},
		{"old spelling of the keyword", hello("AUTH=PLAIN") + "C: AUTH PLAIN *\nS: 235 ok\n" + bye, "", "secret", "ok", false, ""},
		{"LOGIN", hello("AUTH LOGIN") + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: ${b64:alice}\nS: 334 UGFzc3dvcmQ6\nC: ${b64:secret}\nS: 235 ok\n" + bye, "", "secret", "ok", false, ""},
		{"initial response too long", hello("AUTH PLAIN") + "C: AUTH PLAIN\nS: 334 \nC: ${b64:\\x00alice\\x00" + long + "}\nS: 235 ok\n" + bye, "", long, "ok", false, ""},
		{"initial response too long, refused", hello("AUTH PLAIN") + "C: AUTH PLAIN\nS: 535 no\n" + bye, "", long, "auth", false, "user name"},
		{"535", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 535 5.7.8 bad credentials\n" + bye, "", "secret", "auth", false, "user name"},
		{"454", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 454 4.7.0 later\n" + bye, "", "secret", "auth", true, ""},
		{"421", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 421 4.7.0 closing\n", "", "secret", "auth", true, ""},
		{"538", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 538 encrypt\n" + bye, "", "secret", "auth", false, "TLS"},
		{"534", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 534 weak\n" + bye, "", "secret", "auth", false, "stronger"},
		{"504", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 504 unknown\n" + bye, "", "secret", "auth", false, "--auth"},
		{"challenge is not base64", hello("AUTH LOGIN") + "C: AUTH LOGIN\nS: 334 !!!\nEOF\n", "", "secret", "protocol", false, ""},
		{"another 3yz", hello("AUTH LOGIN") + "C: AUTH LOGIN\nS: 354 go\nEOF\n", "", "secret", "protocol", false, ""},
		{"closed", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nCLOSE\n", "", "secret", "closed", false, ""},
		{"not offered", hello() + bye, "", "secret", "capability", false, ""},
		{"no common mechanism", hello("AUTH GSSAPI NTLM") + bye, "", "secret", "auth", false, ""},
		{"challenge too many", hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 334 \nC: \\*\nS: 501 cancelled\n", "", "secret", "auth", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustOpen(t, tc.script, nil)
			err := c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal(tc.password), Mechanism: tc.mechanism, AllowCleartext: true})
			var e *auth.Error
			if got := errors.As(err, &e); got != (tc.kind == "auth") {
				t.Errorf("error is %v, want %s", err, tc.kind)
			}
			if e != nil && (e.Temp != tc.temporary || !strings.Contains(e.Hint, tc.hint)) {
				t.Errorf("temporary %v, hint %q; want %v, %q", e.Temp, e.Hint, tc.temporary, tc.hint)
			}
			if tc.kind != "auth" {
				wantKind(t, err, tc.kind)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
			_ = c.Close()
		})
	}
}

func TestAuth_NotAskedFor(t *testing.T) {
	c := mustOpen(t, hello("AUTH PLAIN")+bye, nil)
	if err := c.Auth(bg(t), &auth.Credentials{}); err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

func TestO5_NoPasswordInCleartext(t *testing.T) {
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		var got wiretest.Captured
		conn := wire.NewConn(wiretest.Pipe(t, hello("AUTH "+mech)+"HANG\n", wiretest.Capture(&got)), nil)
		c, err := New(bg(t), conn, wire.Endpoint{Protocol: wire.SMTP, Host: "mx.example.org", Security: wire.Cleartext}, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("canary-password")})
		if !errors.Is(err, auth.ErrCleartext) {
			t.Errorf("%s: error is %v, want ErrCleartext", mech, err)
		}
		_ = c.Close()
		assertNoSecret(t, got.Received(0))
	}
}

func TestO3_TraceHidesSecrets(t *testing.T) {
	var trace strings.Builder
	cfg := &wire.Config{Trace: func(k wire.TraceKind, text []byte) { trace.Write(append(text, '\n')) }}
	for _, script := range []string{
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 535 you sent canary-password, or AGFsaWNlAGNhbmFyeS1wYXNzd29yZA==\n" + bye,
		hello("AUTH LOGIN") + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 334 UGFzc3dvcmQ6\nC: *\nS: 535 canary-password\n" + bye,
	} {
		conn := wire.NewConn(wiretest.Pipe(t, script), cfg)
		c, err := New(bg(t), conn, wire.Endpoint{Protocol: wire.SMTP, Host: "127.0.0.1", Security: wire.Cleartext}, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("canary-password")})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("error is %v", err)
		}
		_ = c.Close()
	}
	for _, bad := range []string{"canary", "AGFsaWNl", "Y2FuYXJ5"} {
		if strings.Contains(trace.String(), bad) {
			t.Errorf("the trace shows %q:\n%s", bad, trace.String())
		}
	}
	if !strings.Contains(trace.String(), "AUTH PLAIN [secret]") {
		t.Errorf("the trace does not show the command:\n%s", trace.String())
	}
}
