package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// runAs runs the program under a name, with MAIL_SMTP set.
func runAs(t *testing.T, srv *server.Server, stdin string, argv ...string) result {
	t.Helper()
	e, stdout, stderr := testEnv(stdin)
	e.getenv = func(name string) string {
		return map[string]string{"MAIL_SMTP": "smtp+plain://" + srv.Addr("smtp"), "LOGNAME": "carol"}[name]
	}
	code := run(context.Background(), e, argv)
	return result{code, stdout.String(), stderr.String()}
}

func TestOldNames(t *testing.T) {
	srv := mailHost(t, server.Options{})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "report.txt")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	message := "From: alice@example.org\nTo: bob@example.org\nSubject: raw\n\nfirst\n.\nsecond\n"
	cron := "From: root (Cron Daemon)\nTo: bob\nSubject: Cron <root@host> make report\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\noutput\n"
	for _, tc := range []struct {
		name, stdin string
		argv        []string
		code        int
		arrived     int
		parts       []string // of what arrived last
	}{
		{"mail -s", "hello\n", []string{"mail", "-s", "nightly build", "bob@example.org"}, 0, 1,
			[]string{"Subject: nightly build\r\n", "To: bob@example.org\r\n", "From: carol@" + host + "\r\n", "\r\n\r\nhello\r\n"}},
		{"mail ADDRESS", "hello\n", []string{"mail", "bob@example.org"}, 0, 1, []string{"\r\n\r\nhello\r\n"}},
		{"options after the address", "x\n", []string{"/usr/bin/mail", "bob@example.org", "-s", "late"}, 0, 1, []string{"Subject: late\r\n"}},
		{"a name without a domain", "x\n", []string{"mail", "-s", "s", "bob"}, 0, 1, []string{"To: bob@" + host + "\r\n"}},
		{"mailx with copies", "x\n", []string{"mailx", "-s", "s", "-c", "alice@example.org", "-b", "bob@example.org", "alice"}, 0, 1, []string{"Cc: alice@example.org\r\n"}},
		{"a field by -a", "x\n", []string{"mail", "-a", "X-Job: nightly", "-s", "s", "bob@example.org"}, 0, 1, []string{"X-Job: nightly\r\n"}},
		{"the author by -a", "x\n", []string{"mail", "-a", "From: Dave <dave@example.org>", "-a", "Cc: alice@example.org", "-s", "s", "bob@example.org"}, 0, 1,
			[]string{"From: Dave <dave@example.org>\r\n", "Cc: alice@example.org\r\n", "Delivered-To: bob@example.org\r\n"}},
		{"HTML by -a", "<p>hi</p>\n", []string{"mail", "-a", "MIME-Version: 1.0", "-a", "Content-Type: text/html; charset=UTF-8", "-s", "s", "bob@example.org"}, 0, 1,
			[]string{"Content-Type: text/html", "<p>hi</p>\r\n"}},
		{"plain text by -a", "hi\n", []string{"mail", "-a", "Content-type: text/plain; charset=UTF-8", "-s", "s", "bob@example.org"}, 0, 1, []string{"\r\n\r\nhi\r\n"}},
		{"a file by -a", "x\n", []string{"mail", "-a", file, "-s", "s", "bob@example.org"}, 0, 1, []string{"report.txt"}},
		{"a file by -A", "x\n", []string{"mail", "-A", file, "-s", "s", "bob@example.org"}, 0, 1, []string{"report.txt"}},
		{"a sender by -r", "x\n", []string{"mail", "-r", "dave@example.org", "-s", "s", "bob@example.org"}, 0, 1, []string{"From: dave@example.org\r\n"}},
		{"a sender behind --", "x\n", []string{"mail", "-s", "s", "bob@example.org", "--", "-f", "dave@example.org"}, 0, 1, []string{"Return-Path: <dave@example.org>"}},
		{"-E without text", "", []string{"mail", "-E", "-s", "s", "bob@example.org"}, 0, 0, nil},
		{"-E with text", "x", []string{"mail", "-Es", "s", "bob@example.org"}, 0, 1, nil},
		{"no text", "", []string{"mail", "-s", "empty", "bob@example.org"}, 0, 1, []string{"Subject: empty\r\n"}},
		{"-t", message, []string{"mail", "-t"}, 0, 1, []string{"Subject: raw\r\n", "first\r\n.\r\nsecond"}},
		{"bundled", "x", []string{"mailx", "-nvs", "bundled", "bob@example.org"}, 0, 1, []string{"Subject: bundled\r\n"}},
		{"no address", "x", []string{"mail", "-s", "s"}, 64, 0, nil},
		{"reading", "", []string{"mailx", "-f", "mbox"}, 64, 0, nil},
		{"a command of ours is no address", "", []string{"mail", "imp", "list"}, 64, 0, nil},

		{"sendmail with a dot", message, []string{"/usr/sbin/sendmail", "bob@example.org"}, 0, 1, []string{"first\r\n"}},
		{"sendmail -i", message, []string{"sendmail", "-i", "bob@example.org"}, 0, 1, []string{"first\r\n.\r\nsecond\r\n"}},
		{"sendmail -oi", message, []string{"sendmail", "-oi", "-t"}, 0, 1, []string{"second"}},
		{"sendmail -t with Bcc", "From: alice@example.org\nBcc: bob@example.org\nSubject: hidden\n\nx\n", []string{"sendmail", "-t", "-i"}, 0, 1, []string{"Subject: hidden\r\n"}},
		{"cron of Debian", cron, []string{"/usr/sbin/sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "bob"}, 0, 1, []string{"From: root@" + host + " (Cron Daemon)\r\nTo: bob@" + host + "\r\n", "output\r\n"}},
		{"cronie", cron, []string{"/usr/sbin/sendmail", "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"}, 0, 1, []string{"output\r\n"}},
		{"git send-email", message, []string{"/usr/sbin/sendmail", "-f", "alice@example.org", "-i", "bob@example.org"}, 0, 1, []string{"Return-Path: <alice@example.org>", "second"}},
		{"PHP", message, []string{"/usr/sbin/sendmail", "-t", "-i", "-fwww@example.org"}, 0, 1, []string{"Return-Path: <www@example.org>"}},
		{"mutt", message, []string{"/usr/sbin/sendmail", "-oem", "-oi", "-f", "alice@example.org", "--", "bob@example.org"}, 0, 1, []string{"second"}},
		{"dsn", message, []string{"sendmail", "-i", "-N", "never", "-R", "hdrs", "-V", "id1", "bob@example.org"}, 0, 1, nil},
		{"a name for From", "To: bob@example.org\n\nx\n", []string{"sendmail", "-F", "Carol C", "bob@example.org"}, 0, 1, []string{"From: Carol C <carol@" + host + ">\r\n"}},
		{"commas within a name", "From: \"Doe, Jane, root\" (a, b, c) <dave@example.org>\nTo: bob@example.org\n\nx\n", []string{"sendmail", "-t"}, 0, 1,
			[]string{"From: \"Doe, Jane, root\" (a, b, c) <dave@example.org>\r\n"}},
		{"many names", "From: dave\nTo: " + strings.Repeat("alice, ", 300) + "bob\n\nx\n", []string{"sendmail", "-t", "-f", "dave"}, 0, 1,
			[]string{"alice@" + host + ",\r\n alice@" + host}},
		{"-f without From", "To: bob@example.org\n\nx\n", []string{"sendmail", "-F", "Dave", "-f", "dave@example.org", "bob@example.org"}, 0, 1, []string{"From: Dave <dave@example.org>\r\n"}},
		{"null sender without From", "To: bob@example.org\n\nx\n", []string{"sendmail", "-f", "<>", "bob@example.org"}, 0, 1, []string{"From: carol@" + host + "\r\n"}},
		{"as a command of ours", message, []string{"mail", "sendmail", "-i", "bob@example.org"}, 0, 1, []string{"second"}},
		{"-bv", message, []string{"sendmail", "-bv", "bob@example.org"}, 0, 0, nil},
		{"-q", "", []string{"sendmail", "-q30m"}, 0, 0, nil},
		{"-bd", "", []string{"sendmail", "-bd"}, 64, 0, nil},
		{"unknown option", message, []string{"sendmail", "-Z", "bob@example.org"}, 64, 0, nil},
		{"no recipient", message, []string{"sendmail", "-i", "-f", "alice@example.org"}, 0, 1, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(stored(t, srv, "bob", "INBOX"))
			r := runAs(t, srv, tc.stdin, tc.argv...)
			got := stored(t, srv, "bob", "INBOX")[before:]
			if r.code != tc.code || len(got) != tc.arrived || r.stdout != "" {
				t.Fatalf("exit %d, %d messages, stdout %q; want %d and %d, nothing; stderr %q", r.code, len(got), r.stdout, tc.code, tc.arrived, r.stderr)
			}
			for _, part := range tc.parts {
				if !strings.Contains(got[0], part) {
					t.Errorf("arrived %q\nwant %q in it", got[0], part)
				}
			}
			if tc.name == "sendmail with a dot" && strings.Contains(got[0], "second") {
				t.Errorf("arrived %q, want its end at the dot", got[0])
			}
		})
	}
}

func TestOldNames_Queue(t *testing.T) {
	srv := mailHost(t, server.Options{})
	for _, argv := range [][]string{{"mailq"}, {"mail", "mailq"}, {"sendmail", "-bp"}} {
		if r := runAs(t, srv, "", argv...); r.code != 0 || r.stdout != "Mail queue is empty\n" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", argv, r.code, r.stdout, r.stderr)
		}
	}
}

func TestNewaliases(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	for _, f := range [][2]string{{config, "[account.a]\naliases = \"aliases\"\n"}, {filepath.Join(dir, "aliases"), "root: alice@example.org\nbad line\n"}} {
		if err := os.WriteFile(f[0], []byte(f[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, _, stderr := testEnv("")
	e.getenv = func(name string) string { return map[string]string{"MAIL_CONFIG": config}[name] }
	if code := run(context.Background(), e, []string{"newaliases"}); code != exitConfig || !strings.Contains(stderr.String(), "aliases:2:") {
		t.Errorf("exit %d, stderr %q; want 78 and the place", code, stderr)
	}
}

func TestMailxDialogue(t *testing.T) {
	srv := mailHost(t, server.Options{})
	e, _, stderr := testEnv("a subject\nfirst\n.\nnot sent\n")
	e.getenv = func(name string) string {
		return map[string]string{"MAIL_SMTP": "smtp+plain://" + srv.Addr("smtp"), "MAIL_FROM": "alice@example.org"}[name]
	}
	e.stdinTTY = true
	code := run(context.Background(), e, []string{"mail", "bob@example.org"})
	got := stored(t, srv, "bob", "INBOX")
	if code != 0 || len(got) != 1 || !strings.Contains(got[0], "Subject: a subject\r\n") || !strings.HasSuffix(got[0], "\r\n\r\nfirst\r\n") {
		t.Errorf("exit %d, arrived %q, stderr %q", code, got, stderr)
	}
}

func TestDotEnded(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tc := range []struct{ in, want string }{
		{"a\n.\nb\n", "a\n"}, {"a\r\n.\r\nb", "a\r\n"}, {".", ""}, {"a\n..\n", "a\n..\n"}, {"", ""}, {"a", "a"}, {"a.\n.b\n", "a.\n.b\n"},
		{long + "\n.\nb", long + "\n"}, {long + ".\nb\n", long + ".\nb\n"},
	} {
		got, err := io.ReadAll(&dotEnded{r: bufio.NewReader(strings.NewReader(tc.in))})
		if err != nil || string(got) != tc.want {
			t.Errorf("%.20q: %.40q, %v; want %.40q", tc.in, got, err, tc.want)
		}
	}
}
