package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// world is an environment for Resolve: an empty home directory, and variables written NAME=VALUE.
func world(t *testing.T, o Overrides, vars ...string) Overrides {
	t.Helper()
	env := map[string]string{"HOME": t.TempDir()}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	o.Getenv = func(name string) string { return env[name] }
	if o.PasswordFD == 0 {
		o.PasswordFD = -1
	}
	if o.OpenTTY == nil {
		o.OpenTTY = func() (io.ReadWriteCloser, error) { return nil, fs.ErrNotExist }
	}
	return o
}

// put writes a file into the home directory of o.
func put(t *testing.T, o Overrides, name, text string, mode fs.FileMode) {
	t.Helper()
	path := filepath.Join(o.Getenv("HOME"), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// reveal shows what a source gives: "-" for nil, "error: …" for an error.
func reveal(src auth.Source) string {
	if src == nil {
		return "-"
	}
	s, err := src(context.Background())
	if err != nil {
		return "error: " + err.Error()
	}
	return s.Reveal()
}

// show is a Target in one line: label, scheme and user, password, token, mechanism.
func show(t *Target) string {
	cr := t.Credentials
	return strings.TrimSpace(fmt.Sprintf("%s %s pw=%s tok=%s %s", t.Label(), t.Endpoint, reveal(cr.Password), reveal(cr.Token), cr.Mechanism))
}

const accounts = `default = "work"
[account.work]
imap = "imaps://alice@imap.example.org"
smtp = "smtp://smtp.example.org"
user = "fallback"
password = "from-account"
from = "alice@example.org"

[account.tok]
imap = "imaps://tok@imap.example.net"
token = { command = ["printf", "token-from-command"] }
auth = "XOAUTH2"

[account.open]
smtp = "smtp+plain://localhost:2525"

[account.nobody]
imap = "imaps://imap.example.org"
password = "x"

[account.ext]
imap = "imaps://imap.example.org"
auth = "external"

[account.net]
imap = "imaps://netrc.example.org"
password = { netrc = true }

[account.envy]
imap = "imaps://alice@imap.example.org"
password = { env = "SECRET_VAR" }

[account.bare]
imap = "imaps://alice@imap.example.org"
`

func TestResolve(t *testing.T) {
	const netrc = "machine netrc.example.org login carol password from-netrc\nmachine imap.example.com login dave password daves\ndefault password of-default\n"
	for _, c := range []struct {
		name  string
		proto wire.Protocol
		o     Overrides
		vars  []string
		want  string // of show, or "error: " and a piece of it
	}{
		{"default account", wire.IMAP, Overrides{}, nil, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=from-account tok=-"},
		{"user of the account", wire.SMTP, Overrides{}, nil, "work (smtp.example.org:587) smtp://fallback@smtp.example.org:587 pw=from-account tok=-"},
		{"account by flag", wire.IMAP, Overrides{Account: "tok"}, nil, "tok (imap.example.net:993) imaps://tok@imap.example.net:993 pw=- tok=token-from-command xoauth2"},
		{"account by environment", wire.IMAP, Overrides{}, []string{"MAIL_ACCOUNT=tok"}, "tok (imap.example.net:993) imaps://tok@imap.example.net:993 pw=- tok=token-from-command xoauth2"},
		{"account by flag before server by environment", wire.IMAP, Overrides{Account: "work"}, []string{"MAIL_IMAP=imaps://other@h"}, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=from-account tok=-"},
		{"server by environment before default account", wire.IMAP, Overrides{}, []string{"MAIL_IMAP=imaps://eve@h", "MAIL_PASSWORD=p"}, "h:993 imaps://eve@h:993 pw=p tok=-"},
		{"no user, no login", wire.SMTP, Overrides{Account: "open"}, nil, "open (localhost:2525) smtp+plain://localhost:2525 pw=- tok=-"},
		{"server by flag, no user", wire.SMTP, Overrides{Server: "smtp+plain://localhost:2525"}, nil, "localhost:2525 smtp+plain://localhost:2525 pw=- tok=-"},
		{"server by flag takes no secret of an account", wire.IMAP, Overrides{Server: "imaps://alice@h", NoInput: true}, nil, "error: no password for alice@h, and --no-input"},
		{"server and account", wire.IMAP, Overrides{Server: "imaps://h", Account: "work"}, nil, "error: exclude each other"},
		{"password by environment", wire.IMAP, Overrides{Server: "imaps://alice@h"}, []string{"MAIL_PASSWORD=p"}, "h:993 imaps://alice@h:993 pw=p tok=-"},
		{"user by environment", wire.IMAP, Overrides{Server: "imaps://h"}, []string{"MAIL_USER=al", "MAIL_PASSWORD=p"}, "h:993 imaps://al@h:993 pw=p tok=-"},
		{"user of the URL before environment", wire.IMAP, Overrides{Server: "imaps://alice@h"}, []string{"MAIL_USER=al", "MAIL_PASSWORD=p"}, "h:993 imaps://alice@h:993 pw=p tok=-"},
		{"user by flag before the URL", wire.IMAP, Overrides{Server: "imaps://alice@h", User: "bob@example.org"}, []string{"MAIL_PASSWORD=p"}, "h:993 imaps://bob%40example.org@h:993 pw=p tok=-"},
		{"user by environment before the account", wire.IMAP, Overrides{}, []string{"MAIL_USER=al"}, "work (imap.example.org:993) imaps://al@imap.example.org:993 pw=from-account tok=-"},
		{"password by environment before the account", wire.IMAP, Overrides{}, []string{"MAIL_PASSWORD=p"}, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=p tok=-"},
		{"password by environment before the token of the account", wire.IMAP, Overrides{Account: "tok"}, []string{"MAIL_PASSWORD=p"}, "tok (imap.example.net:993) imaps://tok@imap.example.net:993 pw=p tok=- xoauth2"},
		{"token by environment", wire.IMAP, Overrides{}, []string{"MAIL_TOKEN=t"}, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=- tok=t"},
		{"password by command", wire.IMAP, Overrides{PasswordCommand: "printf 'a b'"}, []string{"MAIL_PASSWORD=p"}, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=a b tok=-"},
		{"token by command", wire.IMAP, Overrides{TokenCommand: "printf t"}, nil, "work (imap.example.org:993) imaps://alice@imap.example.org:993 pw=- tok=t"},
		{"command that needs a shell", wire.IMAP, Overrides{PasswordCommand: "pass x | head"}, nil, "error: needs a shell"},
		{"two passwords", wire.IMAP, Overrides{PasswordCommand: "x", PasswordFile: "y"}, nil, "error: exclude each other"},
		{"auth by flag", wire.IMAP, Overrides{Account: "tok", Auth: "OAUTHBEARER"}, nil, "tok (imap.example.net:993) imaps://tok@imap.example.net:993 pw=- tok=token-from-command oauthbearer"},
		{"auth by flag, unknown", wire.IMAP, Overrides{Auth: "palin"}, nil, `error: did you mean "plain"`},
		{"password without a user", wire.IMAP, Overrides{Account: "nobody"}, nil, "error: no user name"},
		{"password by flag without a user", wire.SMTP, Overrides{Account: "open", PasswordCommand: "x"}, nil, "error: no user name"},
		{"password by environment without a user", wire.SMTP, Overrides{Account: "open"}, []string{"MAIL_PASSWORD=p"}, "open (localhost:2525) smtp+plain://localhost:2525 pw=- tok=-"},
		{"external needs neither", wire.IMAP, Overrides{Account: "ext"}, nil, "ext (imap.example.org:993) imaps://external@imap.example.org:993 pw=- tok=- external"},
		{"netrc on purpose gives the user", wire.IMAP, Overrides{Account: "net"}, nil, "net (netrc.example.org:993) imaps://carol@netrc.example.org:993 pw=from-netrc tok=-"},
		{"netrc on purpose, default entry", wire.IMAP, Overrides{Account: "net", User: "bob"}, nil, "net (netrc.example.org:993) imaps://bob@netrc.example.org:993 pw=of-default tok=-"},
		{"netrc by itself", wire.IMAP, Overrides{Server: "imaps://dave@imap.example.com"}, nil, "imap.example.com:993 imaps://dave@imap.example.com:993 pw=daves tok=-"},
		{"netrc by itself, default only", wire.IMAP, Overrides{Server: "imaps://dave@imap.example.edu", NoInput: true}, nil, "error: no password for dave@imap.example.edu"},
		{"env of the account", wire.IMAP, Overrides{Account: "envy"}, []string{"SECRET_VAR=v"}, "envy (imap.example.org:993) imaps://alice@imap.example.org:993 pw=v tok=-"},
		{"env of the account, not set", wire.IMAP, Overrides{Account: "envy"}, nil, "envy (imap.example.org:993) imaps://alice@imap.example.org:993 pw=error: secret from environment variable SECRET_VAR: not set, or empty tok=-"},
		{"no terminal", wire.IMAP, Overrides{Account: "bare"}, nil, "bare (imap.example.org:993) imaps://alice@imap.example.org:993 pw=error: secret from terminal: there is none to ask on tok=-"},
		{"no input", wire.IMAP, Overrides{Account: "bare", NoInput: true}, nil, "error: no password for alice@imap.example.org"},
		{"no such account", wire.IMAP, Overrides{Account: "wrok"}, nil, `error: no account "wrok"`},
		{"no such server", wire.POP3, Overrides{}, nil, `error: account "work" has no POP3 server`},
		{"URL of another protocol", wire.IMAP, Overrides{Server: "smtps://h"}, nil, "error: --server: smtps://h:465 is not a URL for IMAP"},
		{"password in the URL", wire.IMAP, Overrides{Server: "imaps://alice:canary@h"}, nil, "error: must not hold a password"},
		{"password in the URL by environment", wire.IMAP, Overrides{}, []string{"MAIL_IMAP=imaps://alice:canary@h"}, "error: MAIL_IMAP: a server URL must not hold a password"},
		{"lmtp for smtp", wire.SMTP, Overrides{Server: "lmtp+unix:///run/lmtp"}, nil, "/run/lmtp lmtp+unix:///run/lmtp pw=- tok=-"},
		{"pop by environment", wire.POP3, Overrides{}, []string{"MAIL_POP=pop3s://h"}, "h:995 pop3s://h:995 pw=- tok=-"},
		{"config by environment, missing", wire.IMAP, Overrides{}, []string{"MAIL_CONFIG=/nonexistent/c.toml"}, "error: /nonexistent/c.toml: no such file"},
		{"config by flag, missing", wire.IMAP, Overrides{ConfigFile: "/nonexistent/d.toml"}, []string{"MAIL_CONFIG=/nonexistent/c.toml"}, "error: /nonexistent/d.toml: no such file"},
		{"bad pin", wire.IMAP, Overrides{Pin: "sha1:00"}, nil, "error: not a pin"},
		{"bad proxy", wire.IMAP, Overrides{Proxy: "h:1080"}, nil, "error: a URL such as"},
		{"no CA file", wire.IMAP, Overrides{CAFile: "/nonexistent/ca"}, nil, "error: /nonexistent/ca: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := world(t, c.o, c.vars...)
			put(t, o, ".config/mail/config.toml", accounts, 0o600)
			put(t, o, ".netrc", netrc, 0o600)
			target, err := Resolve(c.proto, o)
			if words, ok := strings.CutPrefix(c.want, "error: "); ok {
				var e *Error
				var se *auth.SourceError
				if err == nil || !strings.Contains(err.Error(), words) || !errors.As(err, &e) && !errors.As(err, &se) || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v, want an error with %q", err, words)
				}
				return
			}
			if err != nil {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if got := show(target); got != c.want {
				t.Errorf("got\n%s, want\n%s", got, c.want)
			}
		})
	}
}

func TestResolveWithoutFile(t *testing.T) {
	o := world(t, Overrides{})
	_, err := Resolve(wire.IMAP, o)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, filepath.Join(o.Getenv("HOME"), ".config/mail/config.toml")) || !strings.Contains(e.Hint, "MAIL_IMAP") {
		t.Errorf("got %v, want a hint with the path and the variable", err)
	}
	if _, err := Resolve(wire.IMAP, world(t, Overrides{Account: "work"})); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) || e.Hint == "" {
		t.Errorf("account without a file: got %v", err)
	}
	if _, err := OpenFile(world(t, Overrides{})); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFile: got %v, want fs.ErrNotExist", err)
	}
	if _, err := Resolve(wire.SMTP, Overrides{Server: "smtps://h", PasswordFD: -1}); err != nil {
		t.Errorf("no environment at all: %v", err)
	}
}

func TestResolveDefaultAccount(t *testing.T) {
	for text, want := range map[string]string{
		"[account.only]\nimap = \"imaps://h\"\n":                                                  "only",
		"[account.a]\nimap = \"imaps://h\"\n[account.b]\nimap = \"imaps://h\"\n":                  "error: no default",
		"default = \"b\"\n[account.a]\nimap = \"imaps://h\"\n[account.b]\nimap = \"imaps://h\"\n": "b",
		"": "error: no account in it",
	} {
		o := world(t, Overrides{})
		put(t, o, ".config/mail/config.toml", text, 0o600)
		target, err := Resolve(wire.IMAP, o)
		if words, ok := strings.CutPrefix(want, "error: "); ok {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%q: got %v, want an error with %q", text, err, words)
			}
		} else if err != nil || target.Account != want {
			t.Errorf("%q: got %v, %v, want account %s", text, target, err, want)
		}
	}
}

func TestResolveFrom(t *testing.T) {
	o := world(t, Overrides{})
	put(t, o, ".config/mail/config.toml", accounts, 0o600)
	if target, err := Resolve(wire.IMAP, o); err != nil || target.From != "alice@example.org" {
		t.Errorf("got %+v, %v, want the account's address", target, err)
	}
	o = world(t, Overrides{Server: "imaps://h"}, "MAIL_FROM=bob@example.org")
	if target, err := Resolve(wire.IMAP, o); err != nil || target.From != "bob@example.org" {
		t.Errorf("got %+v, %v, want the environment's address", target, err)
	}
}

func TestPasswordByFile(t *testing.T) {
	o := world(t, Overrides{Server: "imaps://alice@h", PasswordFile: writeFile(t, "from-file\n", 0o600)})
	target, err := Resolve(wire.IMAP, o)
	if err != nil || reveal(target.Credentials.Password) != "from-file" {
		t.Errorf("got %v, %v, want from-file", target, err)
	}
}

// tty answers one question.
type tty struct {
	io.Reader
	io.Writer
}

func (tty) Close() error { return nil }

func TestPromptText(t *testing.T) {
	var asked strings.Builder
	times := 0
	o := world(t, Overrides{Server: "imaps://h", User: "ali\u009bce", OpenTTY: func() (io.ReadWriteCloser, error) {
		times++
		return tty{strings.NewReader("typed\n"), &asked}, nil
	}})
	target, err := Resolve(wire.IMAP, o)
	if err != nil {
		t.Fatal(err)
	}
	if times != 0 {
		t.Error("the question came before the password was needed")
	}
	for range 2 {
		if got := reveal(target.Credentials.Password); got != "typed" {
			t.Errorf("got %q, want typed", got)
		}
	}
	if want := "password for ali?ce@h: "; asked.String() != want || times != 1 {
		t.Errorf("asked %d times: %q, want once %q", times, asked.String(), want)
	}
}

func TestTokenIsFetchedAnew(t *testing.T) {
	count := filepath.Join(t.TempDir(), "n")
	o := world(t, Overrides{})
	put(t, o, ".config/mail/config.toml", fmt.Sprintf("[account.a]\nimap = \"imaps://a@h\"\ntoken = { command = [\"sh\", \"-c\", \"echo x >>%s; grep -c x %s\"] }\n", count, count), 0o600)
	target, err := Resolve(wire.IMAP, o)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := reveal(target.Credentials.Token), reveal(target.Credentials.Token); a != "1" || b != "2" {
		t.Errorf("got %q and %q, want 1 and 2", a, b)
	}
}

func TestO4_NetrcExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	o := world(t, Overrides{Server: "imaps://dave@h"})
	put(t, o, ".netrc", "machine h login dave password canary", 0o644)
	_, err := Resolve(wire.IMAP, o)
	var se *auth.SourceError
	if !errors.As(err, &se) || !strings.Contains(err.Error(), "other users") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestO3_TargetDoesNotPrint(t *testing.T) {
	o := world(t, Overrides{Server: "imaps://alice@h"}, "MAIL_PASSWORD=C4nary-passw0rd", "MAIL_TOKEN=C4nary-t0ken")
	target, err := Resolve(wire.IMAP, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb+verb, target, *target); strings.Contains(s, "C4nary") || strings.Contains(s, "43346e617279") {
			t.Errorf("%s shows the secret: %s", verb, s)
		}
	}
}

func TestResolveWire(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	both := cert + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	pin := strings.Repeat("ab", 32)
	o := world(t, Overrides{Timeout: time.Minute, Pin: pin + ",sha256:" + strings.Repeat("cd", 32), Proxy: "socks5://127.0.0.1:9"})
	put(t, o, ".config/mail/ca.pem", cert, 0o600)
	put(t, o, ".config/mail/client.pem", both, 0o600)
	put(t, o, ".config/mail/config.toml", `[account.a]
imap = "imaps://h"
ca-file = "ca.pem"
client-cert = "client.pem"
source-ip = "127.0.0.1"
tunnel = ["nc", "h", "143"]
timeout = "5s"
pin = "`+strings.Repeat("ef", 32)+`"
`, 0o600)
	target, err := Resolve(wire.IMAP, o)
	if err != nil {
		t.Fatal(err)
	}
	w := target.Wire
	if w.RootCAs == nil || w.Certificate == nil || w.SourceIP.String() != "127.0.0.1" || len(w.Tunnel) != 3 || w.Proxy.Host != "127.0.0.1:9" {
		t.Errorf("got %+v", w)
	}
	if w.Timeout != time.Minute || len(w.Pins) != 2 || w.Pins[0][0] != 0xab || w.Pins[1][0] != 0xcd {
		t.Errorf("flags do not win: timeout %v, pins %x", w.Timeout, w.Pins)
	}
	o.Timeout, o.Pin = 0, ""
	if target, err = Resolve(wire.IMAP, o); err != nil || target.Wire.Timeout != 5*time.Second || target.Wire.Pins[0][0] != 0xef {
		t.Errorf("got %+v, %v, want the account's timeout and pin", target, err)
	}
	put(t, o, ".config/mail/ca.pem", "nothing", 0o600)
	if _, err = Resolve(wire.IMAP, o); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
		t.Errorf("got %v, want an error about the CA file", err)
	}
	put(t, o, ".config/mail/ca.pem", cert, 0o600)
	put(t, o, ".config/mail/client.pem", cert, 0o600)
	if _, err = Resolve(wire.IMAP, o); err == nil || !strings.Contains(err.Error(), "client.pem") {
		t.Errorf("got %v, want an error about the client certificate", err)
	}
}
