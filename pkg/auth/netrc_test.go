package auth

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetrc(t *testing.T) {
	for _, c := range []struct{ name, text, host, user, want string }{
		{"one line", "machine mail.example.org login alice password sesame\n", "mail.example.org", "alice", "sesame"},
		{"several lines", "machine mail.example.org\n\tlogin alice\n\tpassword sesame", "mail.example.org", "alice", "sesame"},
		{"crlf", "machine mail.example.org\r\nlogin alice\r\npassword sesame\r\n", "mail.example.org", "alice", "sesame"},
		{"case of the host", "machine Mail.Example.ORG login alice password sesame", "mail.EXAMPLE.org", "alice", "sesame"},
		{"second user", "machine h login bob password b\nmachine h login alice password a", "h", "alice", "a"},
		{"no login matches all", "machine h password x", "h", "alice", "x"},
		{"other user only", "machine h login bob password b", "h", "alice", "error: no entry for alice@h"},
		{"no such host", "machine h login bob password b", "i", "bob", "error: no entry for bob@i"},
		{"default", "machine h login bob password b\ndefault login alice password d", "i", "alice", "d"},
		{"default before machine", "default password d\nmachine h password m", "h", "alice", "m"},
		{"default not for another user", "default login bob password d", "i", "alice", "error: no entry"},
		{"any user", "machine h login bob password b", "h", "", "b"},
		{"quoted", `machine h login "al ice" password "se \"sa\\me\" \t#x"`, "h", "al ice", "se \"sa\\me\" \t#x"},
		{"quoted line ends", `machine h login alice password "a\nb\rc"`, "h", "alice", "a\nb\rc"},
		{"quote inside a token", `machine h login alice password se"sa"me`, "h", "alice", `se"sa"me`},
		{"empty quoted", `machine h login alice password ""`, "h", "alice", "error: no entry"},
		{"hash inside", "machine h login alice password se#same", "h", "alice", "se#same"},
		{"hash in front", "machine h login alice password #sesame", "h", "alice", "#sesame"},
		{"comment", "# machine h password wrong\nmachine h # the server\nlogin alice password right", "h", "alice", "right"},
		{"macdef", "machine h login alice password a\nmacdef init\ncd /pub\nmachine x password y\n\nmachine i login alice password b", "i", "alice", "b"},
		{"machine in a macro", "macdef init\nmachine x password y\n\nmachine i login alice password b", "x", "alice", "error: no entry"},
		{"macdef to the end", "machine h login alice password a\nmacdef init\ncd", "h", "alice", "a"},
		{"account, port, protocol", "machine h account x port imap protocol imap login alice password a", "h", "alice", "a"},
		{"keyword as a value", "machine h login password password machine", "h", "password", "machine"},
		{"user for login", "machine h user alice password a", "h", "alice", "a"},
		{"no password", "machine h login alice\nmachine h login alice password a", "h", "alice", "a"},
		{"8-bit", "machine h login alice password pässwörd", "h", "alice", "pässwörd"},
		{"empty file", "", "h", "alice", "error: no entry"},
		{"missing value", "machine h login alice password", "h", "alice", "error: line 1: password without a value"},
		{"password before machine", "password x", "h", "alice", "error: line 1: password before any machine"},
		{"unknown keyword", "machine h\n login alice\n pasword sesame", "h", "alice", "error: line 3: unknown keyword"},
		{"open quote", "machine h password \"abc\nmachine i", "h", "alice", "error: line 1: quoted string without an end"},
		{"open escape", `machine h password "abc\`, "h", "alice", "error: line 1: quoted string without an end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "netrc", c.text, 0o600)
			wantSecret(t, Netrc(path, c.host, c.user), c.want)
			if _, err := LookupNetrc(path, c.host, c.user); err != nil && (strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "abc")) {
				t.Errorf("error shows a piece of the file: %v", err)
			}
		})
	}
}

func TestNetrcFile(t *testing.T) {
	const text = "machine h login alice password sesame"
	wantSecret(t, Netrc(write(t, "netrc", text, 0o640), "h", "alice"), "error: other users may read it")
	wantSecret(t, Netrc(filepath.Join(t.TempDir(), "none"), "h", "alice"), "error: no such file")

	_, err := LookupNetrc(write(t, "netrc", text, 0o644), "other", "alice")
	if !errors.Is(err, ErrNoNetrcEntry) {
		t.Errorf("readable file without the host: got %v, want ErrNoNetrcEntry", err)
	}
	t.Setenv("NETRC", write(t, "netrc", text, 0o600))
	wantSecret(t, Netrc("", "h", "alice"), "sesame")

	home := filepath.Dir(write(t, ".netrc", text, 0o600))
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	if got, want := NetrcPath("", getenv), filepath.Join(home, ".netrc"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	login, err := LookupNetrc(NetrcPath("", getenv), "h", "")
	if err != nil || login.User != "alice" || login.Default || login.Password.Reveal() != "sesame" {
		t.Errorf("got %+v, %v, want alice", login, err)
	}
}

func TestNetrcLinear(t *testing.T) {
	text := strings.Repeat("machine h login bob password x\n", maxNetrcEntries)
	if _, err := parseNetrc(text); err != nil {
		t.Errorf("%d machines: %v", maxNetrcEntries, err)
	}
	if _, err := parseNetrc(text + "machine z"); err == nil {
		t.Errorf("%d machines are accepted, want an error", maxNetrcEntries+1)
	}
}
