package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// popMessages are four messages in wire form; lines begin with dots and with "From ".
func popMessages() [][]byte {
	var messages [][]byte
	for i, subject := range []string{"one", "=?utf-8?B?w6TDtsO8?=", "three", "four"} {
		text := fmt.Sprintf("Date: Mon, %d Nov 2026 10:00:00 +0100\r\nFrom: Bob <bob@example.org>\r\nSubject: %s\r\n\r\n", i+2, subject)
		messages = append(messages, []byte(text+".\r\n..\r\nFrom me\r\n>From you\r\n"+strings.Repeat("line\r\n", i)))
	}
	return messages
}

// popShell is a shell of a user with popMessages in the maildrop.
func popShell(t *testing.T) (*shell, *interop.DovecotServer, interop.User, [][]byte) {
	t.Helper()
	d := interop.Dovecot(t)
	user := d.AddUser(t)
	messages := popMessages()
	d.Put(t, user, messages...)
	return newShell(t, user), d, user, messages
}

func lf(wire []byte) string { return strings.ReplaceAll(string(wire), "\r\n", "\n") }

// TestPopCommands runs every command over every kind of connection.
func TestPopCommands(t *testing.T) {
	s, d, user, messages := popShell(t)
	var sizes, total = "", 0
	for i, m := range messages {
		sizes += fmt.Sprintf("%d %d\n", i+1, len(m))
		total += len(m)
	}
	for _, server := range []string{"pop3s://" + user.Name + "@" + d.POP3S, "pop3://" + user.Name + "@" + d.POP3, "pop3+plain://" + user.Name + "@" + d.POP3} {
		t.Run(server[:strings.Index(server, ":")], func(t *testing.T) {
			s := *s
			s.t = t
			s.env = append(append([]string{}, s.env...), "MAIL_PASSWORD="+user.Password, "MAIL_POP="+server, "MAIL_CA="+d.CAFile)
			for command, want := range map[string]string{
				"stat":          fmt.Sprintf("%d %d\n", len(messages), total),
				"list":          sizes,
				"list 3":        fmt.Sprintf("3 %d\n", len(messages[2])),
				"retr 2":        lf(messages[1]),
				"retr 2 --crlf": string(messages[1]),
				"retr *":        lf(messages[3]),
				"top 1":         lf(messages[0][:bytes.Index(messages[0], []byte("\r\n\r\n"))+4]),
				"top 1 2":       lf(messages[0][:bytes.Index(messages[0], []byte("From me"))]),
				"stat --json":   fmt.Sprintf(`{"count":%d,"size":%d}`+"\n", len(messages), total),
			} {
				if got := s.run(nil, append([]string{"pop"}, strings.Fields(command)...)...); got != want {
					t.Errorf("mail pop %s:\ngot  %q\nwant %q", command, got, want)
				}
			}
			if got := s.run(nil, "pop", "list", "--headers"); !strings.Contains(got, "\t2026-11-03T10:00:00+01:00\tBob <bob@example.org>\täöü\n") {
				t.Errorf("mail pop list --headers: got %q", got)
			}
		})
	}
}

// TestPopStreams takes several messages as a stream and into every kind of store.
func TestPopStreams(t *testing.T) {
	s, _, _, messages := popShell(t)
	stream := s.run(nil, "pop", "retr", "all")
	want := ""
	for _, m := range messages {
		want += "FROM" + regexp.MustCompile(`(?m)^(>*From )`).ReplaceAllString(lf(m), ">$1") + "\n"
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(want), "FROM", "From .*\n") + "$"
	// the first field of a header is no "From " line, so only bodies are stuffed
	if !regexp.MustCompile(pattern).MatchString(stream) {
		t.Errorf("got %q, want %q", stream, want)
	}
	for _, dest := range []string{"maildir:box", "eml:files"} {
		paths := strings.Fields(s.run(nil, "pop", "retr", "1:*", "-o", dest))
		if len(paths) != len(messages) {
			t.Errorf("%s: got %q, want %d paths", dest, paths, len(messages))
			continue
		}
		for i, path := range paths {
			want := lf(messages[i])
			if strings.HasPrefix(dest, "eml") {
				want = string(messages[i])
			}
			if !filepath.IsAbs(path) {
				path = filepath.Join(s.dir, path)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
			}
		}
	}
	if s.run(nil, "pop", "retr", "1:*", "-o", "mbox:file"); string(s.read("file")) != stream && !regexp.MustCompile(pattern).Match(s.read("file")) {
		t.Errorf("mbox: got %q, want %q", s.read("file"), want)
	}
}

// TestR1_PopDele deletes by number and by id; what is left is seen by the next sessions, and in the Maildir.
func TestR1_PopDele(t *testing.T) {
	s, d, user, messages := popShell(t)
	type object struct {
		Number  int
		ID      string
		Size    int
		Deleted bool
	}
	ids := map[int]string{}
	for _, line := range strings.Split(strings.TrimSpace(s.run(nil, "pop", "uidl")), "\n") {
		var n int
		var id string
		if _, err := fmt.Sscan(line, &n, &id); err != nil {
			t.Fatalf("mail pop uidl: %q: %v", line, err)
		}
		ids[n] = id
	}
	if len(ids) != len(messages) {
		t.Fatalf("got ids %v, want %d", ids, len(messages))
	}
	if r := s.try(nil, "pop", "dele", "1", "--dry-run"); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "would delete message 1") {
		t.Errorf("dry run: %v", r)
	}
	if r := s.try(nil, "pop", "dele", "1", "99"); r.code != 66 || r.stdout != "" || !strings.Contains(r.stderr, "99") {
		t.Errorf("one missing: %v", r)
	}
	if got := s.run(nil, "pop", "stat"); !strings.HasPrefix(got, "4 ") {
		t.Fatalf("got %q after nothing was deleted", got)
	}
	var o object
	out := s.run(nil, "pop", "dele", "uidl:"+ids[3], "--json")
	if err := json.Unmarshal([]byte(out), &o); err != nil || o != (object{3, ids[3], len(messages[2]), true}) {
		t.Errorf("got %q, %v", out, err)
	}
	if out := s.run(strings.NewReader("1 first\n"), "pop", "dele", "-"); out != "" {
		t.Errorf("got %q, want nothing", out)
	}
	if got, want := s.run(nil, "pop", "uidl"), fmt.Sprintf("1 %s\n2 %s\n", ids[2], ids[4]); got != want {
		t.Errorf("left: got %q, want %q", got, want)
	}
	if r := s.try(nil, "pop", "retr", "uidl:"+ids[1]); r.code != 66 || r.stdout != "" || !strings.Contains(r.stderr, ids[1]) {
		t.Errorf("deleted one: %v", r)
	}
	if got := s.run(nil, "pop", "retr", "uidl:"+ids[4]); got != lf(messages[3]) {
		t.Errorf("got %q, want %q", got, lf(messages[3]))
	}
	files, err := filepath.Glob(filepath.Join(d.Maildir(user), "[cn]*", "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("got files %v, %v; want two", files, err)
	}
}

func TestPopFailures(t *testing.T) {
	s, d, user, _ := popShell(t)
	s.write("wrong", []byte("not it\n"))
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"wrong password, TLS":  {[]string{"pop", "stat", "--password-file", "wrong"}, 77, "lab (" + d.POP3S + ")"},
		"wrong password, STLS": {[]string{"pop", "stat", "--server", "pop3://" + user.Name + "@" + d.POP3, "--ca-file", d.CAFile, "--password-file", "wrong"}, 77, d.POP3},
		"wrong password, APOP": {[]string{"pop", "stat", "--auth", "apop", "--password-file", "wrong"}, 77, "APOP"},
		"expired certificate":  {[]string{"pop", "stat", "--server", "pop3s://x@" + wiretest.Serve(t, "TLSFAIL expired"), "--ca-file", wiretest.CA(t).File}, 78, "expired"},
		"expired, STLS": {[]string{"pop", "stat", "--server", "pop3://x@" + wiretest.Serve(t, "S: +OK\nC: STLS\nS: +OK\nTLSFAIL expired"), "--ca-file", wiretest.CA(t).File},
			78, "expired"},
		"unknown authority":         {[]string{"pop", "stat", "--server", "pop3s://x@" + d.POP3S, "--ca-file", wiretest.CA(t).File, "--password-file", "wrong", "--pin", strings.Repeat("00", 32)}, 78, "pin"},
		"closed port":               {[]string{"pop", "stat", "--server", "pop3s://x@" + closedPort(t)}, 75, "refused"},
		"missing message":           {[]string{"pop", "retr", "1", "99"}, 66, "no message 99"},
		"IMAP's port":               {[]string{"pop", "stat", "--server", "pop3+plain://x@" + d.IMAP}, 76, "IMAP"},
		"TLS on the cleartext port": {[]string{"pop", "stat", "--server", "pop3s://x@" + d.POP3}, 76, "hint"},
		"cleartext on the TLS port": {[]string{"pop", "stat", "--server", "pop3://x@" + d.POP3S, "--timeout", "1s"}, 75, "pop3s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			r := s.try(nil, test.args...)
			if r.code != test.code || r.stdout != "" || !strings.Contains(r.stderr, test.want) {
				t.Errorf("mail %q: want status %d and %q: %v", test.args, test.code, test.want, r)
			}
		})
	}
}
