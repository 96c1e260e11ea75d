package pop3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// caps is the dialogue of CAPA.
func caps(names ...string) string {
	return "C: CAPA\nS: +OK\nS: " + strings.Join(append(names, "."), "\nS: ") + "\n"
}

func authWith(t *testing.T, script string, cr *auth.Credentials) (*Client, error) {
	t.Helper()
	c, err := dialScript(t, greeted+script, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Auth(within(t), cr)
}

func TestAuth_Ways(t *testing.T) {
	plain := b64("\x00alice\x00" + canary)
	token := strings.Repeat("t", 300)
	xoauth := b64("user=alice\x01auth=Bearer " + token + "\x01\x01")
	cases := []struct {
		name, script string
		change       func(*auth.Credentials)
	}{
		{"PLAIN with initial response", caps("SASL PLAIN") + "C: AUTH PLAIN " + plain + "\nS: +OK", nil},
		{"capability in lower case", caps("sasl plain") + "C: AUTH PLAIN " + plain + "\nS: +OK", nil},
		{"LOGIN", caps("SASL LOGIN") + lines("C: AUTH LOGIN*", "S: + "+b64("Username:"), "C: "+b64("alice"),
			"S: + "+b64("Password:"), "C: "+b64(canary), "S: +OK"), nil},
		{"long initial response waits for the challenge", caps("SASL XOAUTH2") + "C: AUTH XOAUTH2\nS: + \nC: " + xoauth + "\nS: +OK",
			func(cr *auth.Credentials) { cr.Token, cr.Password = auth.Literal(token), nil }},
		{"a challenge of + alone", caps("SASL XOAUTH2") + "C: AUTH XOAUTH2\nS: +\nC: " + xoauth + "\nS: +OK",
			func(cr *auth.Credentials) { cr.Token, cr.Password = auth.Literal(token), nil }},
		{"XOAUTH2 in two steps, though the token is short", caps("SASL XOAUTH2") + "C: AUTH XOAUTH2\nS: + \nC: " +
			b64("user=alice\x01auth=Bearer t0ken\x01\x01") + "\nS: +OK",
			func(cr *auth.Credentials) { cr.Token, cr.Password = auth.Literal("t0ken"), nil }},
		{"empty initial response", caps("SASL EXTERNAL") + "C: AUTH EXTERNAL =\nS: +OK",
			func(cr *auth.Credentials) { cr.Mechanism = "external" }},
		{"USER and PASS without SASL", caps("USER") + "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: +OK", nil},
		{"USER and PASS without CAPA", "C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS " + canary + "\nS: +OK", nil},
		{"USER and PASS when no mechanism fits", caps("SASL GSSAPI NTLM", "USER") + "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: +OK", nil},
		{"USER and PASS asked for", caps("SASL PLAIN") + "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: +OK",
			func(cr *auth.Credentials) { cr.Mechanism = "USER" }},
		{"USER and PASS pipelined", caps("USER", "PIPELINING") + `C> "USER alice\r\nPASS ` + canary + `\r\n"` + "\nS: +OK\nS: +OK", nil},
		{"a name with a space", caps("USER") + "C: USER alice b\nS: +OK\nC: PASS " + canary + "\nS: +OK",
			func(cr *auth.Credentials) { cr.User = "alice b" }},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			cr := alice()
			if tt.change != nil {
				tt.change(cr)
			}
			c, err := authWith(t, tt.script+"\nC? *\nC? *", cr)
			if err != nil {
				t.Fatalf("got %v, want a login", err)
			}
			if c.state != transaction {
				t.Errorf("got state %v, want %v", c.state, transaction)
			}
		})
	}
}

func TestAuth_APOP(t *testing.T) {
	cr := &auth.Credentials{User: "mrose", Password: auth.Literal("tanstaaf"), Mechanism: "apop"} // RFC 1939 §7
	c, err := dialScript(t, `
		S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
		C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
		S: +OK maildrop has 1 message (369 octets)
		C? QUIT`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), cr); err != nil {
		t.Error(err)
	}
	addr := wiretest.Serve(t, `
		S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
		C: STLS
		S: +OK
		TLS
		C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
		S: +OK
		C? QUIT`)
	c, err = Dial(within(t), endpointOf(t, addr, wire.StartTLS), trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(within(t), cr); err != nil {
		t.Errorf("after STLS: %v", err)
	}
}

func TestAuth_Refused(t *testing.T) {
	var authErr *auth.Error
	var popErr *Error
	plain := "C: AUTH PLAIN *\n"
	cases := []struct {
		name, script string
		want         any // pointer to the type of error
		temporary    bool
	}{
		{"PASS", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR no", &authErr, false},
		{"PASS [AUTH]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [AUTH] no", &authErr, false},
		{"PASS [IN-USE]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [IN-USE] no", &popErr, true},
		{"PASS [in-use]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [in-use] no", &popErr, true},
		{"PASS [LOGIN-DELAY]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [LOGIN-DELAY] no", &popErr, true},
		{"PASS [SYS/TEMP]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [SYS/TEMP] no", &popErr, true},
		{"PASS [SYS/PERM]", caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: -ERR [SYS/PERM] no", &popErr, false},
		{"USER", caps("USER") + "C: USER alice\nS: -ERR no such user", &authErr, false},
		{"USER, pipelined", caps("USER", "PIPELINING") + "C: USER alice\nC: PASS *\nS: -ERR no such user\nS: -ERR what", &authErr, false},
		{"AUTH", caps("SASL PLAIN", "USER") + plain + "S: -ERR no", &authErr, false},
		{"AUTH [AUTH]", caps("SASL PLAIN", "USER") + plain + "S: -ERR [AUTH] no", &authErr, false},
		{"AUTH [IN-USE]", caps("SASL PLAIN", "USER") + plain + "S: -ERR [IN-USE] no", &popErr, true},
		{"AUTH [SYS/TEMP/X]", caps("SASL PLAIN", "USER") + plain + "S: -ERR [SYS/TEMP/X] no", &popErr, true},
		{"challenge that is no base64", caps("SASL CRAM-MD5 PLAIN", "USER") + "C: AUTH CRAM-MD5\nS: + Rubbish!\nC: \\*\nS: -ERR cancelled", &authErr, false},
		{"challenge instead of go-ahead", caps("SASL PLAIN") + plain + "S: + " + b64("what?") + "\nC: \\*\nS: -ERR cancelled", &authErr, false},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			_, err := authWith(t, tt.script+"\nC? QUIT", alice())
			if !errors.As(err, tt.want) {
				t.Fatalf("got %v (%T), want a %T", err, err, tt.want)
			}
			temp, ok := err.(interface{ Temporary() bool })
			if !ok || temp.Temporary() != tt.temporary {
				t.Errorf("%v: got temporary %v, want %v", err, temp, tt.temporary)
			}
		})
	}
}

func TestAuth_NoCommonWay(t *testing.T) {
	cases := []struct {
		name, script string
		mechanism    string
	}{
		{"SASL without ours, no USER", caps("SASL GSSAPI"), ""},
		{"neither SASL nor USER", caps("UIDL"), ""},
		{"named one not offered", caps("SASL PLAIN", "USER"), "scram-sha-256"},
		{"named one, no CAPA", "C: CAPA\nS: -ERR\n", "plain"},
		{"APOP without timestamp", "", "apop"},
		{"IMAP's", caps("SASL PLAIN", "USER"), "login-command"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			cr := alice()
			cr.Mechanism = tt.mechanism
			_, err := authWith(t, tt.script+"C? QUIT", cr)
			if !errors.Is(err, auth.ErrNoMechanism) {
				t.Errorf("got %v, want auth.ErrNoMechanism", err)
			}
		})
	}
}

func TestAuth_PasswordSourceFails(t *testing.T) {
	broken := errors.New("no key")
	cr := alice()
	cr.Password = func(context.Context) (auth.Secret, error) { return auth.Secret{}, broken }
	for _, script := range []string{caps("USER"), caps("SASL PLAIN")} {
		if _, err := authWith(t, script+"C? QUIT", cr); !errors.Is(err, broken) {
			t.Errorf("got %v, want the source's error", err)
		}
	}
}

// remote makes a session of an in-memory connection look like one to another host: not loopback, no TLS.
func remote(t *testing.T, script string, o *Options) *Client {
	t.Helper()
	conn := wire.NewConn(wiretest.Pipe(t, script), o.orDefaults().Wire)
	c, err := New(within(t), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestO5_NoCleartextCredentials(t *testing.T) {
	cases := map[string]string{
		"USER":             caps("USER"),
		"no CAPA":          "C: CAPA\nS: -ERR\n",
		"SASL PLAIN LOGIN": caps("SASL PLAIN LOGIN", "USER"),
		"PIPELINING":       caps("USER", "PIPELINING"),
	}
	for name, script := range cases {
		for _, mechanism := range []string{"", "user"} {
			t.Run(name+" "+mechanism, func(t *testing.T) {
				c := remote(t, greeted+script+"C? QUIT", nil)
				cr := alice()
				cr.Mechanism = mechanism
				if err := c.Auth(within(t), cr); !errors.Is(err, auth.ErrCleartext) {
					t.Errorf("got %v, want auth.ErrCleartext", err)
				}
			})
		}
	}
	t.Run("allowed", func(t *testing.T) {
		c := remote(t, loggedIn+"C? QUIT", nil)
		cr := alice()
		cr.AllowCleartext = true
		if err := c.Auth(within(t), cr); err != nil {
			t.Error(err)
		}
	})
	t.Run("no APOP by itself", func(t *testing.T) {
		c := remote(t, "S: +OK <1@example.org>\n"+caps("APOP")+"C? QUIT", nil)
		if err := c.Auth(within(t), alice()); err == nil {
			t.Error("got a login, want an error")
		}
	})
}

func TestI1_Injection(t *testing.T) {
	bad := []string{"a\r\nDELE 1", "a\nDELE 1", "a\rDELE 1", "a\x00b", "\r\n", "a\u0085b", "a\x7fb", "a\x1b[2Jb"}
	for _, s := range bad {
		t.Run(fmt.Sprintf("user %q", s), func(t *testing.T) {
			for _, mechanism := range []string{"", "apop"} {
				script := "S: +OK <1@example.org>\n" + "C? CAPA\nS: +OK\nS: USER\nS: .\nC? QUIT"
				if mechanism == "apop" {
					script = "S: +OK <1@example.org>\nC? QUIT"
				}
				c, err := dialScript(t, script, nil)
				if err != nil {
					t.Fatal(err)
				}
				cr := &auth.Credentials{User: s, Password: auth.Literal(canary), Mechanism: mechanism}
				if err := c.Auth(within(t), cr); err == nil {
					t.Errorf("mechanism %q: got a login, want an error", mechanism)
				}
				_ = c.Close()
			}
		})
	}
	for _, s := range []string{"p\r\nDELE 1", "p\nq", "p\rq", "p\x00q"} {
		t.Run(fmt.Sprintf("password %q", s), func(t *testing.T) {
			cr := &auth.Credentials{User: "alice", Password: auth.Literal(s)}
			if _, err := authWith(t, caps("USER", "PIPELINING")+"C? QUIT", cr); err == nil {
				t.Error("got a login, want an error")
			} else if strings.Contains(err.Error(), s) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	for i := range 256 { // every octet: it either travels as it is, or nothing does
		user := "a" + string([]byte{byte(i)}) + "b"
		err := checkName(user)
		if control := i < ' ' || i == 0x7f; control != (err != nil) {
			t.Errorf("checkName(%q): got %v", user, err)
		}
	}
}

func TestO3_SecretsInTrace(t *testing.T) {
	const stamp = "<1896.697170952@example.org>"
	digest := fmt.Sprintf("%x", md5.Sum([]byte(stamp+canary)))
	forms := []string{canary, b64(canary), b64("\x00alice\x00" + canary), digest}
	leak := "-ERR wrong: " + canary
	cases := []struct{ name, script, mechanism string }{
		{"USER", greeted + caps("USER") + "C: USER alice\nS: +OK\nC: PASS *\nS: " + leak, ""},
		{"USER, pipelined", greeted + caps("USER", "PIPELINING") + "C: USER alice\nC: PASS *\nS: +OK\nS: " + leak, ""},
		{"PLAIN", greeted + caps("SASL PLAIN") + "C: AUTH PLAIN *\nS: " + leak, ""},
		{"PLAIN, code", greeted + caps("SASL PLAIN") + "C: AUTH PLAIN *\nS: -ERR [SYS/PERM] wrong: " + canary, ""},
		{"LOGIN", greeted + caps("SASL LOGIN") + lines("C: AUTH LOGIN*", "S: + "+b64("Username:"), "C: *", "S: + "+b64(canary), "C: *", "S: "+leak), ""},
		{"SCRAM", greeted + caps("SASL SCRAM-SHA-256") + lines("C: AUTH SCRAM-SHA-256 *", "S: + "+b64(canary), "C: *", "S: "+leak), ""},
		{"APOP", "S: +OK " + stamp + "\nC: APOP alice " + digest + "\nS: -ERR wrong: " + digest, "apop"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			o := &Options{Wire: &wire.Config{Trace: func(_ wire.TraceKind, text []byte) { fmt.Fprintf(&out, "%s\n", text) }}}
			c, err := dialScript(t, tt.script+"\nC? QUIT", o)
			if err != nil {
				t.Fatal(err)
			}
			cr := alice()
			cr.Mechanism = tt.mechanism
			err = c.Auth(within(t), cr)
			if err == nil {
				t.Fatal("got a login, want an error")
			}
			if out.Len() == 0 {
				t.Fatal("the trace is empty")
			}
			fmt.Fprintf(&out, "%v\n%+v\n%#v\n", err, err, errors.Unwrap(err))
			for _, f := range forms {
				if strings.Contains(out.String(), f) {
					t.Errorf("%q shows in trace or error:\n%s", f, out.String())
				}
			}
		})
	}
}

func TestAuth_CommandLineLimit(t *testing.T) {
	// RFC 5034 §4: AUTH and its initial response fit into 255 octets with CRLF, or the response waits
	for _, n := range []int{170, 171, 172, 173, 174, 175, 176, 180} {
		pw := strings.Repeat("p", n)
		ir := b64("\x00alice\x00" + pw)
		script := "C: AUTH PLAIN " + ir + "\nS: +OK\n"
		if len("AUTH PLAIN "+ir+"\r\n") > 255 {
			script = "C: AUTH PLAIN\nS: +\nC: " + ir + "\nS: +OK\n"
		}
		cr := &auth.Credentials{User: "alice", Password: auth.Literal(pw)}
		if _, err := authWith(t, caps("SASL PLAIN")+script+"C? QUIT", cr); err != nil {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}
