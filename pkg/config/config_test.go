package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// writeFile puts text into a file with the mode given and returns its path.
func writeFile(t testing.TB, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

const full = `default = "work"

[defaults]
timeout = "90s"
ca-file = "ca.pem"
password = { command = ["pass", "show", "default"] }

[account.work]
from     = "Alice <alice@example.org>"
imap     = "imaps://alice@imap.example.org"
smtp     = "smtp://alice@smtp.example.org:587"
pop      = "pop3s://alice@pop.example.org"
password = { command = ["~/bin/pass", "show", "mail/work"] }
auth     = "SCRAM-SHA-256"
pin      = ["sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", "sha256/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="]
proxy    = "socks5://127.0.0.1:1080"
tunnel   = ["ssh", "host", "nc", "imap", "143"]
source-ip = "192.0.2.7"
timeout  = 30
client-cert = "/etc/mail.pem"
client-key = "key.pem"
authzid  = "shared"
match = ["*@work.example.org", "alice+*@example.org"]
aliases = "aliases"
sent-mailbox = "Sent Items"
allow-cleartext-password = true

[account.bulk]
smtp  = "lmtp+unix:///run/lmtp"
user  = "bob"
token = { env = "BULK_TOKEN" }

[account.aaa]
imap = "imap+plain://localhost"
password = { prompt = true }
`

func TestLoad(t *testing.T) {
	path := writeFile(t, full, 0o644) // no secret in it
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range f.Accounts {
		names = append(names, fmt.Sprintf("%s:%d", a.Name, a.Line))
	}
	if got, want := strings.Join(names, " "), "work:8 bulk:28 aaa:33"; got != want || f.Default != "work" || f.Path != path {
		t.Errorf("got accounts %s, default %q, path %q, want %s, work, %s", got, f.Default, f.Path, want, path)
	}
	work, bulk, aaa := f.Accounts[0], f.Accounts[1], f.Accounts[2]
	home, _ := os.UserHomeDir()
	for what, pair := range map[string][2]any{
		"from":               {work.From, "Alice <alice@example.org>"},
		"imap":               {work.IMAP, "imaps://alice@imap.example.org"},
		"timeout":            {work.Timeout, 30 * time.Second},
		"inherited":          {bulk.Timeout, 90 * time.Second},
		"relative path":      {work.CAFile, filepath.Join(filepath.Dir(path), "ca.pem")},
		"absolute path":      {work.ClientCert, "/etc/mail.pem"},
		"password":           {work.Password.From, fmt.Sprintf("command %q", filepath.Join(home, "bin/pass"))},
		"words":              {strings.Join(work.Password.Command[1:], " "), "show mail/work"},
		"token, no password": {bulk.Password.IsZero(), true},
		"token":              {bulk.Token.From, "environment variable BULK_TOKEN"},
		"prompt":             {aaa.Password.From, "prompt"},
		"pins are the same":  {work.Pins[0], work.Pins[1]},
		"tunnel":             {strings.Join(work.Tunnel, " "), "ssh host nc imap 143"},
		"cleartext":          {work.AllowCleartextPassword, true},
		"not inherited back": {bulk.AllowCleartextPassword, false},
		"lmtp":               {bulk.Server("smtp"), "lmtp+unix:///run/lmtp"},
		"authzid":            {work.Authzid, "shared"},
		"match":              {strings.Join(work.Match, " "), "*@work.example.org alice+*@example.org"},
		"aliases":            {filepath.Base(work.Aliases), "aliases"},
		"sent-mailbox":       {work.SentMailbox, "Sent Items"},
		"source-ip":          {work.SourceIP, "192.0.2.7"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		msg, hint  string
	}{
		{"unknown key", "[account.work]\nimap = \"imaps://h\"\npasword = { env = \"X\" }\n", 3, `unknown key "pasword" in [account.work]`, `did you mean "password"`},
		{"unknown key, nothing near", "[account.work]\nqqqqqqqqqqq = 1\n", 2, `unknown key "qqqqqqqqqqq"`, "known here: aliases, allow-cleartext-password, auth"},
		{"unknown key on top", "defualt = \"x\"\n", 1, `unknown key "defualt"`, `did you mean "default"`},
		{"unknown table on top", "\n[accounts.work]\nimap = \"imaps://h\"\n", 0, `unknown key "accounts"`, `did you mean "account"`},
		{"unknown key in defaults", "[defaults]\ncafile = \"x\"\n", 2, `in [defaults]`, `did you mean "ca-file"`},
		{"case matters", "[account.work]\nIMAP = \"imaps://h\"\n", 2, `unknown key "IMAP"`, ""},
		{"unknown source", "[account.work]\npassword = { comand = [\"x\"] }\n", 2, `unknown key "comand" in [account.work.password]`, `did you mean "command"`},
		{"keyring", "[account.work]\npassword = { keyring = true }\n", 2, `unknown key "keyring"`, "secret-tool"},
		{"two sources", "[account.work]\npassword = { env = \"X\", prompt = true }\n", 2, "exactly one of", ""},
		{"no source", "[account.work]\npassword = {}\n", 2, "exactly one of", ""},
		{"I6 command as a string", "[account.work]\npassword = { command = \"pass show x\" }\n", 2, "a list of words is expected", "without a shell"},
		{"empty command", "[account.work]\npassword = { command = [] }\n", 2, "a list of words is expected", ""},
		{"mixed command", "[account.work]\npassword = { command = [\"x\", 1] }\n", 2, "a list of words is expected", ""},
		{"netrc false", "[account.work]\npassword = { netrc = false }\n", 2, "true is expected", ""},
		{"fd", "[account.work]\npassword = { fd = -1 }\n", 2, "number of an open file", ""},
		{"prompt for a token", "[account.work]\ntoken = { prompt = true }\n", 2, `unknown key "prompt" in [account.work.token]`, ""},
		{"password of another kind", "[account.work]\npassword = 7\n", 2, "a string or a table", ""},
		{"empty password", "[account.work]\npassword = \"\"\n", 2, "it is empty", ""},
		{"number for a string", "[account.work]\nimap = 993\n", 2, "account.work.imap: a string in quotes is expected", ""},
		{"password in a URL", "[account.work]\nimap = \"imaps://alice:canary@h\"\n", 2, "must not hold a password", ""},
		{"URL of another protocol", "[account.work]\nimap = \"smtps://h\"\n", 2, "is not a URL for IMAP", ""},
		{"no URL", "[account.work]\nimap = \"imap.example.org\"\n", 2, "not a server URL", ""},
		{"mechanism", "[account.work]\nauth = \"scram-sha256\"\n", 2, `did you mean "scram-sha-256"`, ""},
		{"pin", "[account.work]\npin = \"sha256:00\"\n", 2, "is not a pin", ""},
		{"pin of another kind", "[account.work]\npin = [1]\n", 2, "a string in quotes", ""},
		{"proxy", "[account.work]\nproxy = \"ftp://u:canary@h\"\n", 2, "a URL such as socks5", ""},
		{"tunnel", "[account.work]\ntunnel = \"ssh h\"\n", 2, "a list of words", ""},
		{"timeout", "[account.work]\ntimeout = \"soon\"\n", 2, "a time such as", ""},
		{"timeout of nothing", "[account.work]\ntimeout = 0\n", 2, "a time such as", ""},
		{"timeout overflow", "[account.work]\ntimeout = 9223372036854775807\n", 2, "a time such as", ""},
		{"source-ip", "[account.work]\nsource-ip = \"host\"\n", 2, "not an IP address", ""},
		{"from", "[account.work]\nfrom = \"Alice\"\n", 2, "an address is expected", ""},
		{"I2 line end in from", "[account.work]\nfrom = \"a@b\\r\\nBcc: c@d\"\n", 2, "control character", ""},
		{"bool", "[account.work]\nallow-cleartext-password = \"yes\"\n", 2, "true or false", ""},
		{"default", "default = \"wrok\"\n[account.work]\nimap = \"imaps://h\"\n", 1, `not there: "wrok"`, `did you mean "work"`},
		{"account name", "[account.\"../x\"]\nimap = \"imaps://h\"\n", 1, "does not begin with", ""},
		{"account name with a slash", "[account.\"a/b\"]\nimap = \"imaps://h\"\n", 1, "no blanks, slashes", ""},
		{"account is no table", "account = 1\n", 1, "account is not a table", ""},
		{"one account is no table", "[account]\nwork = \"x\"\n", 2, "account.work is not a table", ""},
		{"array of accounts", "[[account]]\nimap = \"imaps://h\"\n", 1, "account is not a table", ""},
		{"syntax", "[account.work]\nimap = \n", 2, "expected value", ""},
		{"syntax of a secret", "[account.work]\npassword = canary\n", 2, "not shown", ""},
		{"twice", "[account.work]\nuser = \"a\"\nuser = \"b\"\n", 3, "already", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, c.text, 0o600)
			_, err := Load(path)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if !strings.Contains(e.Msg, c.msg) || !strings.Contains(e.Hint, c.hint) || c.line != 0 && e.Line != c.line || e.File != path {
				t.Errorf("got %v (hint %q), want line %d, %q, hint %q", e, e.Hint, c.line, c.msg, c.hint)
			}
			if strings.Contains(e.Error()+e.Hint, "canary") {
				t.Errorf("the error shows the secret: %v", e)
			}
		})
	}
}

func TestO4_LiteralSecret(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	texts := map[string]string{
		"password": "[account.work]\nimap = \"imaps://h\"\npassword = \"canary\"\n",
		"token":    "[account.work]\nimap = \"imaps://h\"\ntoken = \"canary\"\n",
		"defaults": "[defaults]\npassword = \"canary\"\n[account.work]\nimap = \"imaps://h\"\n",
		"proxy":    "[account.work]\nimap = \"imaps://h\"\nproxy = \"http://u:canary@h:1\"\n",
	}
	for name, text := range texts {
		for _, mode := range []fs.FileMode{0o644, 0o640, 0o660, 0o604, 0o610, 0o602} {
			_, err := Load(writeFile(t, text, mode))
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Hint, "chmod 600") || strings.Contains(e.Error(), "canary") {
				t.Errorf("%s, mode %o: got %v, want a refusal", name, mode, err)
			}
		}
		f, err := Load(writeFile(t, text, 0o600))
		if err != nil {
			t.Errorf("%s, mode 600: %v", name, err)
		} else if s := fmt.Sprintf("%v %+v %#v", f, *f.Accounts[0], f.Accounts[0].Password); name != "proxy" && strings.Contains(s, "canary") {
			t.Errorf("%s: printing the file shows the secret: %s", name, s)
		}
	}
	overridden := "[defaults]\npassword = \"canary\"\n[account.work]\nimap = \"imaps://h\"\npassword = { prompt = true }\n"
	if _, err := Load(writeFile(t, overridden, 0o644)); err == nil {
		t.Error("a secret in [defaults] that no account uses: got nil, want a refusal, for it is in the file")
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want an *Error that is fs.ErrNotExist", err)
	}
	if _, err := Load(t.TempDir()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: got %v, want another error", err)
	}
	if _, err := Load(writeFile(t, strings.Repeat("#\n", 600_000), 0o600)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("long file: got %v, want an error", err)
	}
}

func TestAccountNearest(t *testing.T) {
	f, err := Load(writeFile(t, full, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, hint := range map[string]string{"wrok": `did you mean "work"`, "zzzzzzzz": "there is work, bulk, aaa"} {
		_, err := f.Account(name)
		var e *Error
		if !errors.As(err, &e) || e.Hint != hint {
			t.Errorf("%s: got %v, want hint %q", name, err, hint)
		}
	}
}

func TestDefaultPath(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/x", "/home/alice", "/x/mail/config.toml"},
		{"", "/home/alice", "/home/alice/.config/mail/config.toml"},
		{"relative", "/home/alice", "/home/alice/.config/mail/config.toml"},
	} {
		env := map[string]string{"XDG_CONFIG_HOME": c.xdg, "HOME": c.home}
		if got := DefaultPath(func(n string) string { return env[n] }); got != filepath.FromSlash(c.want) {
			t.Errorf("XDG_CONFIG_HOME=%q HOME=%q: got %q, want %q", c.xdg, c.home, got, c.want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"pass show mail/work", "pass|show|mail/work"},
		{"  pass   show\t x ", "pass|show|x"},
		{`pass 'show  it' "a \"b\" c" d\ e ''`, `pass|show  it|a "b" c|d e|`},
		{`sh -c 'pass show x | head -n1'`, "sh|-c|pass show x | head -n1"},
		{`a"b"'c'`, "abc"},
		{"", "error: empty"}, {"''", "error: empty"}, {"pass 'x", "error: not closed"}, {`pass x\`, "error: not closed"},
		{"pass | head", "error: needs a shell"}, {"pass $X", "error: needs a shell"}, {"pass `x`", "error: needs a shell"}, {"a;b", "error: needs a shell"}, {"a&b", "error: needs a shell"}, {"a>b", "error: needs a shell"},
	} {
		got, err := SplitWords(c.in)
		if words, ok := strings.CutPrefix(c.want, "error: "); ok {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: got %q, %v, want an error with %q", c.in, got, err, words)
			}
		} else if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, %v, want %s", c.in, got, err, c.want)
		}
	}
}

// FuzzLoad feeds the parser: no panic, every error is an *Error, and a good file has good accounts.
func FuzzLoad(f *testing.F) {
	f.Add(full)
	f.Add("[account.a]\npassword = { env = 'X' }\n[account.a.b]\n")
	f.Add("account.a.imap = 'imaps://h'\naccount = { b = {} }")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parse("config.toml", text)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("got %T, want *Error", err)
		}
		if err != nil {
			return
		}
		for _, a := range file.Accounts {
			if checkName(a.Name) != nil {
				t.Errorf("account %q has a bad name", a.Name)
			}
		}
	})
}
