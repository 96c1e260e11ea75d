package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExchange(t *testing.T) {
	token := &Credentials{User: "alice", Token: Literal("tok"), Mechanism: "xoauth2"}
	bearer := &Credentials{User: "a,b=c", Token: Literal("tok"), Mechanism: "oauthbearer"}
	bearerFirst := "n,a=a=2Cb=3Dc,\x01host=server.example.com\x01port=143\x01auth=Bearer tok\x01\x01"
	for _, c := range []struct {
		name    string
		cr      *Credentials
		ir      bool
		replies []reply
		sent    []string
		err     string // "" is success
	}{
		{"plain with initial response", creds("plain"), true, []reply{success()}, []string{"AUTH PLAIN > \x00alice\x00sesame"}, ""},
		{"plain without", creds("plain"), false, []reply{challenge(""), success()}, []string{"AUTH PLAIN", "> \x00alice\x00sesame"}, ""},
		{"plain, prompt with words", creds("plain"), false, []reply{challenge("go on"), success()}, []string{"AUTH PLAIN", "> \x00alice\x00sesame"}, ""},
		{"plain refused", creds("plain"), true, []reply{refusal("535 no")}, []string{"AUTH PLAIN > \x00alice\x00sesame"}, "authentication with PLAIN failed: 535 no"},
		{"plain, second challenge", creds("plain"), true, []reply{challenge("x"), refusal("501 cancelled")}, []string{"AUTH PLAIN > \x00alice\x00sesame", "*"}, "authentication with PLAIN failed: unexpected challenge from the server"},
		{"login", creds("login"), true, []reply{challenge("Username:"), challenge("Password:"), success()}, []string{"AUTH LOGIN", "> alice", "> sesame"}, ""},
		{"login, other prompts", creds("login"), false, []reply{challenge("User Name\x00"), challenge(""), success()}, []string{"AUTH LOGIN", "> alice", "> sesame"}, ""},
		{"login, third prompt", creds("login"), false, []reply{challenge(""), challenge(""), challenge("PIN:"), refusal("no")}, []string{"AUTH LOGIN", "> alice", "> sesame", "*"}, "authentication with LOGIN failed: unexpected third prompt from the server"},
		{"cram-md5", &Credentials{User: "tim", Password: Literal("tanstaaftanstaaf"), Mechanism: "cram-md5"}, true,
			[]reply{challenge("<1896.697170952@postoffice.reston.mci.net>"), success()},
			[]string{"AUTH CRAM-MD5", "> tim b913a602c7eda7a495b4e6e7334d3890"}, ""},
		{"cram-md5, two challenges", creds("cram-md5"), true, []reply{challenge("a"), challenge("b"), refusal("no")}, nil, "authentication with CRAM-MD5 failed: unexpected second challenge from the server"},
		{"external", &Credentials{Mechanism: "external"}, true, []reply{success()}, []string{"AUTH EXTERNAL > "}, ""},
		{"external without initial response", &Credentials{Mechanism: "external", Authzid: "bob"}, false, []reply{challenge(""), success()}, []string{"AUTH EXTERNAL", "> bob"}, ""},
		{"anonymous", &Credentials{User: "guest@example.org", Mechanism: "anonymous"}, true, []reply{success()}, []string{"AUTH ANONYMOUS > guest@example.org"}, ""},
		{"xoauth2", token, true, []reply{success()}, []string{"AUTH XOAUTH2 > user=alice\x01auth=Bearer tok\x01\x01"}, ""},
		{"T11 xoauth2 error challenge gets an empty line", token, true,
			[]reply{challenge(`{"status":"401","schemes":"bearer","scope":"https://mail.example.org/"}`), refusal("535 5.7.8 bad token")},
			[]string{"AUTH XOAUTH2 > user=alice\x01auth=Bearer tok\x01\x01", "> "},
			"authentication with XOAUTH2 failed: status 401, scope https://mail.example.org/: 535 5.7.8 bad token"},
		{"oauthbearer", bearer, true, []reply{success()}, []string{"AUTH OAUTHBEARER > " + bearerFirst}, ""},
		{"oauthbearer error challenge gets 0x01", bearer, true,
			[]reply{challenge(`{"status":"invalid_token","scope":"mail"}`), temporary("NO later")},
			[]string{"AUTH OAUTHBEARER > " + bearerFirst, "> \x01"},
			"authentication with OAUTHBEARER failed: status invalid_token, scope mail: NO later"},
		{"oauthbearer numeric status", bearer, true, []reply{challenge(`{"status":400}`), refusal("NO")}, nil, "authentication with OAUTHBEARER failed: status 400: NO"},
		{"oauthbearer error challenge that is no JSON", bearer, true, []reply{challenge("go\x1b[2Jaway"), refusal("NO")}, nil, `authentication with OAUTHBEARER failed: server reports go\x1b[2Jaway: NO`},
		{"oauthbearer success after an error challenge is not believed", bearer, true, []reply{challenge(`{"status":"401"}`), success()}, nil, "authentication with OAUTHBEARER failed: status 401"},
		{"oauthbearer endless errors", bearer, true, []reply{challenge("{}"), challenge("{}"), refusal("NO")}, []string{"AUTH OAUTHBEARER > " + bearerFirst, "> \x01", "*"}, "authentication with OAUTHBEARER failed: server reports {}: unexpected second error challenge from the server"},
		{"challenge too long", creds("cram-md5"), true, []reply{challenge(strings.Repeat("x", 9000)), refusal("no")}, []string{"AUTH CRAM-MD5", "*"}, "authentication with CRAM-MD5 failed: challenge is too long"},
		{"connection lost", creds("plain"), true, nil, nil, errGone.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &peer{replies: c.replies}
			m := choose(t, []string{strings.ToUpper(c.cr.Mechanism)}, c.cr)
			err := Exchange(context.Background(), m, p, c.ir)
			if got := errString(err); got != c.err {
				t.Errorf("error %q, want %q", got, c.err)
			}
			if c.sent != nil {
				p.wantLog(t, c.sent...)
			}
			if len(p.replies) > 0 {
				t.Errorf("%d replies of the server were left unread", len(p.replies))
			}
		})
	}
}

func errString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestExchangeTemporary(t *testing.T) {
	p := &peer{replies: []reply{temporary("454 4.7.0 try later")}}
	err := Exchange(context.Background(), choose(t, []string{"PLAIN"}, creds("")), p, true)
	var e *Error
	if !errors.As(err, &e) || !e.Temporary() || e.Mechanism != "PLAIN" {
		t.Errorf("got %#v, want a temporary error of PLAIN", err)
	}
}

func TestExchangeKeepsProtocolError(t *testing.T) {
	inner := errors.New("protocol error value")
	p := &peer{replies: []reply{{err: &Error{Text: "NO", Err: inner}}}}
	err := Exchange(context.Background(), choose(t, []string{"PLAIN"}, creds("")), p, true)
	if !errors.Is(err, inner) {
		t.Errorf("%v does not wrap the transport's error", err)
	}
}

func TestExchangeCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := &peer{replies: []reply{success()}}
	if err := Exchange(ctx, choose(t, []string{"PLAIN"}, creds("")), p, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	p.wantLog(t)
}

func TestExchangeEndless(t *testing.T) {
	m := &mechanism{name: "X", start: func() ([]byte, error) { return nil, nil }, next: func([]byte) ([]byte, error) { return []byte("y"), nil }}
	p := &peer{}
	for range 100 {
		p.replies = append(p.replies, challenge("x"))
	}
	if err := Exchange(context.Background(), m, p, true); err == nil || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("got %v, want an error about endless challenges", err)
	}
	if len(p.log) != maxRounds+2 {
		t.Errorf("client sent %d lines, want %d", len(p.log), maxRounds+2)
	}
}

func TestExchangeHints(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.7.30 Basic authentication is not supported for Client Submission":        "OAuth2",
		"534-5.7.9 Application-specific password required":                              "application password",
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled": "administrator",
		"535 5.7.8 wrong": "",
	} {
		p := &peer{replies: []reply{refusal(text)}}
		err := Exchange(context.Background(), choose(t, []string{"PLAIN"}, creds("")), p, true)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, want) || (want == "") != (e.Hint == "") {
			t.Errorf("%s: hint %q, want one with %q", text, e.Hint, want)
		}
	}
}

// A server that repeats the password must not get it into our error message (O3).
func TestO3_ReflectedSecret(t *testing.T) {
	const canary = "C4nary-passw0rd"
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, reflected := range []string{canary, encode(canary), encode("\x00alice\x00" + canary), encode("x" + canary + "y"), encode("xy" + canary + "yz")} {
		p := &peer{replies: []reply{refusal("535 wrong: " + reflected)}}
		err := Exchange(context.Background(), choose(t, []string{"PLAIN"}, &Credentials{User: "alice", Password: Literal(canary)}), p, true)
		if err == nil || !strings.Contains(err.Error(), "535 wrong: ") || !strings.Contains(err.Error(), "[secret]") {
			t.Errorf("%s: got %v, want the secret blanked", reflected, err)
		}
		for _, form := range canaryForms(canary) {
			if err != nil && strings.Contains(err.Error(), form) {
				t.Errorf("%s: got %v, which shows %s", reflected, err, form)
			}
		}
	}
}

func TestSecretBlank(t *testing.T) {
	for _, c := range []struct{ secret, text, want string }{
		{"sesame", "no sesame here sesame", "no [secret] here [secret]"},
		{"ab", "abba", "abba"}, // too short: letters would vanish from every text
		{"abcd", "abcd", "[secret]"},
		{"", "text", "text"},
		{`se"s\ame`, `raw se"s\ame quoted se\"s\\ame twice se\\\"s\\\\ame`, "raw [secret] quoted [secret] twice [secret]"},
		{"sesame", "", ""},
	} {
		if got := NewSecret(c.secret).Blank(c.text); got != c.want {
			t.Errorf("%q in %q: got %q, want %q", c.secret, c.text, got, c.want)
		}
	}
}

func TestSecretScrub(t *testing.T) {
	s := NewSecret("sesame")
	inner := errors.New("what is sesame")
	err := s.Scrub(fmt.Errorf("PASS: %w", inner))
	if err.Error() != "PASS: what is [secret]" || !errors.Is(err, inner) {
		t.Errorf("got %v, want the secret blanked and the error wrapped", err)
	}
	if plain := errors.New("other"); s.Scrub(plain) != plain || s.Scrub(nil) != nil {
		t.Error("an error without the secret is changed")
	}
	p := &peer{replies: []reply{{err: inner}}}
	err = Exchange(context.Background(), choose(t, []string{"PLAIN"}, creds("")), p, true)
	if err == nil || strings.Contains(err.Error(), "sesame") || !errors.Is(err, inner) {
		t.Errorf("Exchange: got %v, want it scrubbed", err)
	}
}
