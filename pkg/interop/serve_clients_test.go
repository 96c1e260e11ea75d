package interop

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
)

// mailSystem is our own server with all of its listeners, and a folder for the programs of others that talk to it. The
// user is alice, her password is "ses ame".
type mailSystem struct {
	*server.Server
	t    *testing.T
	pool *x509.CertPool
	dir  string // HOME of the programs
	ca   string // file
}

func serveAll(t *testing.T, change func(*server.Options)) *mailSystem {
	t.Helper()
	const free = "127.0.0.1:0"
	o := server.Options{
		SMTP: free, SMTPS: free, LMTP: free, POP3: free, POP3S: free, IMAP: free, IMAPS: free, RequireLogin: true,
		Users: []server.User{{Name: "alice", Password: "ses ame", Token: "tok"}},
	}
	if change != nil {
		change(&o)
	}
	srv, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	m := &mailSystem{Server: srv, t: t, pool: x509.NewCertPool(), dir: t.TempDir()}
	m.pool.AppendCertsFromPEM(srv.CA())
	m.ca = m.write("ca.pem", string(srv.CA()))
	return m
}

// in is the system for a subtest.
func (m *mailSystem) in(t *testing.T) *mailSystem {
	c := *m
	c.t = t
	return &c
}

func (m *mailSystem) port(listener string) string { return port(m.Addr(listener)) }

// write puts a file into the folder and returns its path.
func (m *mailSystem) write(name, text string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// maildir makes an empty Maildir.
func (m *mailSystem) maildir(name string) {
	m.t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(m.dir, name, sub), 0o700); err != nil {
			m.t.Fatal(err)
		}
	}
}

// expand puts the ports in place of words like $imaps, and the paths of $ca and $dir.
func (m *mailSystem) expand(text string) string {
	return os.Expand(text, func(word string) string {
		switch word {
		case "ca":
			return m.ca
		case "dir":
			return m.dir
		}
		return m.port(word)
	})
}

// config writes a file whose text is expanded.
func (m *mailSystem) config(name, text string) string {
	m.t.Helper()
	return m.write(name, m.expand(text))
}

// command is a program with the folder as its home; the test is skipped if the program is not installed.
func (m *mailSystem) command(stdin, name string, args ...string) *exec.Cmd {
	m.t.Helper()
	path, err := program(name)
	require(m.t, err)
	cmd := Command(m.t, path, args...)
	cmd.Dir, cmd.Stdin = m.dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+m.dir, "XDG_CONFIG_HOME="+m.dir, "LC_ALL=C.UTF-8", "TERM=vt100", "MAIL=", "EMAIL=")
	return cmd
}

// try runs a program and returns what it printed and its exit status.
func (m *mailSystem) try(stdin, name string, args ...string) (out string, status int) {
	m.t.Helper()
	cmd := m.command(stdin, name, args...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// run is try for a program that has to succeed.
func (m *mailSystem) run(stdin, name string, args ...string) string {
	m.t.Helper()
	out, status := m.try(stdin, name, args...)
	if status != 0 {
		m.t.Fatalf("%s %q: status %d\n%.4000s", name, args, status, out)
	}
	return out
}

func (m *mailSystem) mailbox(user, name string) server.Mailbox {
	m.t.Helper()
	account, err := m.Store().Account(user)
	if err != nil {
		m.t.Fatal(err)
	}
	box, err := account.Mailbox(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return box
}

func (m *mailSystem) put(mailbox string, messages ...string) {
	m.t.Helper()
	date := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	for _, text := range messages {
		if _, err := m.mailbox("alice", mailbox).Append(limit(m.t), []server.NewMessage{{Body: strings.NewReader(text), Date: date}}); err != nil {
			m.t.Fatal(err)
		}
	}
}

// texts are the messages of a mailbox of alice, in wire form.
func (m *mailSystem) texts(mailbox string) []string {
	m.t.Helper()
	box := m.mailbox("alice", mailbox)
	out := []string{}
	for _, info := range box.Messages() {
		b, err := box.Open(info.UID)
		if err != nil {
			m.t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			m.t.Fatal(err)
		}
		_ = b.Close()
		out = append(out, string(text))
	}
	return out
}

// delivered are the messages in the INBOX without the lines that the server put in front of them.
func (m *mailSystem) delivered() []string {
	out := m.texts("INBOX")
	for i, text := range out {
		_, text, _ = strings.Cut(text, ";\r\n\t")
		_, out[i], _ = strings.Cut(text, "\r\n") // the date
	}
	return out
}

// flags are those of the messages of a mailbox, one text for each.
func (m *mailSystem) flags(mailbox string) []string {
	var out []string
	for _, info := range m.mailbox("alice", mailbox).Messages() {
		out = append(out, strings.Join(info.Flags, " "))
	}
	return out
}

// files are the contents of the files in a folder below the home, "*" in pattern stands for any name.
func (m *mailSystem) files(pattern string) []string {
	m.t.Helper()
	names, err := filepath.Glob(filepath.Join(m.dir, pattern))
	if err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			m.t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// letters are messages of which programs have no reason to change an octet; the large one is a megabyte.
func letters() []string {
	bodies := []string{
		".\r\n..\r\n.x\r\nFrom here\r\n>From there\r\n.\r\n", "\xe9\xff\x80 8-bit\r\n", "no line end", "\r\n\r\n \r\n",
		strings.Repeat("l", 990) + "\r\n", strings.Repeat(".a line of some length, again and again\r\n", 25_000), "",
	}
	out := make([]string, len(bodies))
	for i, body := range bodies {
		out[i] = fmt.Sprintf("Return-Path: <bob@example.org>\r\nFrom: Bob <bob@example.org>\r\nTo: alice@example.org\r\nSubject: letter %d\r\n"+
			"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%[1]d@example.org>\r\nX-Folded: one\r\n\ttwo\r\n\r\n%s", i, body)
	}
	return out
}

// sameTexts compares messages without regard to their order; got may have local line ends, and an end of the last line
// that want lacks.
func sameTexts(t *testing.T, what string, got, want []string) {
	t.Helper()
	norm := func(list []string) []string {
		list = slices.Clone(list)
		for i, text := range list {
			list[i] = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n") + "\n"
		}
		slices.Sort(list)
		return list
	}
	got, want = norm(got), norm(want)
	if len(got) != len(want) {
		t.Errorf("%s: got %d messages, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		same(t, fmt.Sprintf("%s: message %d", what, i+1), []byte(got[i]), []byte(want[i]))
	}
}

func sameList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

// wantRefusal runs a program that must not accept the server's certificate.
func (m *mailSystem) wantRefusal(name string, args ...string) {
	m.t.Helper()
	out, status := m.try("", name, args...)
	if status == 0 || !strings.Contains(strings.ToLower(out), "certificate") {
		m.t.Errorf("%s without the authority: status %d, want a complaint about the certificate\n%.2000s", name, status, out)
	}
}
