package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// mailHost starts a server with the users alice and bob.
func mailHost(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Users = []server.User{{Name: "alice", Password: "secret"}, {Name: "bob", Password: "secret"}}
	if o.SMTP == "" {
		o.SMTP, o.IMAP = "127.0.0.1:0", "127.0.0.1:0"
	}
	o.AllowCleartextLogin = true
	srv, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// stored gives the texts in a mailbox.
func stored(t *testing.T, srv *server.Server, user, mailbox string) []string {
	t.Helper()
	account, err := srv.Store().Account(user)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range box.Messages() {
		body, err := box.Open(m.UID)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, body.Size())
		if _, err := body.ReadAt(text, 0); err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		texts = append(texts, string(text))
	}
	return texts
}

// subjects gives the Subject of each text, sorted.
func subjects(texts []string) []string {
	var list []string
	for _, text := range texts {
		_, rest, _ := strings.Cut(text, "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		list = append(list, subject)
	}
	slices.Sort(list)
	return list
}

// numbered is an mboxrd stream of n messages from alice to bob.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "From alice@example.org Fri Nov 20 10:00:00 2026\nFrom: alice@example.org\nTo: bob@example.org\nSubject: %04d\n\nnumber %d\n\n", i, i)
	}
	return b.String()
}

func TestSend_Connections(t *testing.T) {
	const n = 300
	for _, tc := range []struct {
		name  string
		rules []server.Rule
		words []string
	}{
		{"one", nil, nil},
		{"eight", nil, []string{"-j", "8"}},
		{"without CHUNKING", nil, []string{"-j", "3", "--no-chunking"}},
		{"connections that are cut", []server.Rule{{Protocol: "SMTP", Command: "MAIL", Hit: 1, Of: 40, Strike: server.Strike{Drop: true}}}, []string{"-j", "4"}},
		{"more connections than the server takes", []server.Rule{{Protocol: "SMTP", Command: "EHLO", After: 3,
			Strike: server.Strike{Reply: "421 4.7.0 too many connections"}}}, []string{"-j", "8"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := server.Options{}
			if tc.rules != nil {
				o.Faults = &server.Rules{List: tc.rules}
			}
			srv := mailHost(t, o)
			results := filepath.Join(t.TempDir(), "results")
			r := sendWith(t, numbered(n), append([]string{"--server", "smtp+plain://" + srv.Addr("smtp"), "--results", results}, tc.words...)...)
			lines := resultLines(t, results)
			uncertain := 0
			for _, line := range lines {
				switch {
				case line.Message < 1 || line.Message > n, line.Status == "accepted" && line.Code != 250, line.Status == "refused", line.Status == "deferred" != line.Uncertain:
					t.Errorf("result %+v, want accepted with 250, or uncertain, and a number from 1 to %d", line, n)
				case line.Uncertain:
					uncertain++
				}
			}
			got := subjects(stored(t, srv, "bob", "INBOX"))
			wantCode := 0
			if uncertain > 0 {
				wantCode = exitPartial
			}
			if r.code != wantCode || r.stdout != "" || len(lines) != n {
				t.Errorf("exit %d, stdout %q, %d result lines; want %d, nothing, %d; stderr %q", r.code, r.stdout, len(lines), wantCode, n, r.stderr)
			}
			if len(slices.Compact(slices.Clone(got))) != len(got) || len(got) < n-uncertain || len(got) > n {
				t.Errorf("%d messages arrived: %q\nwant each of %d once, but for %d that are uncertain", len(got), got, n, uncertain)
			}
			if tc.name != "connections that are cut" && uncertain != 0 {
				t.Errorf("%d are uncertain, want none", uncertain)
			}
		})
	}
}

func resultLines(t *testing.T, file string) (lines []sentJSON) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var one sentJSON
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, one)
	}
	return lines
}

func TestSend_LoginRefusedStopsTheRun(t *testing.T) {
	counted := &counter{}
	srv := mailHost(t, server.Options{RequireLogin: true, Faults: counted})
	r := sendWith(t, numbered(10), "--server", "smtp+plain://alice@"+srv.Addr("smtp"), "--password-file", secretFile(t, "wrong"), "-j", "4")
	if r.code != exitNoPerm {
		t.Errorf("exit %d, want %d; stderr %q", r.code, exitNoPerm, r.stderr)
	}
	if counted.of("AUTH") != 1 || counted.of("MAIL") != 0 {
		t.Errorf("%d logins tried and %d messages begun, want 1 and 0", counted.of("AUTH"), counted.of("MAIL"))
	}
}

// TestSend_LoginMissingStopsTheRun sends to a server that wants a login and is not given one: no message counts as
// refused because of that.
func TestSend_LoginMissingStopsTheRun(t *testing.T) {
	for _, words := range [][]string{nil, {"-j", "4"}, {"--no-chunking"}} {
		srv := mailHost(t, server.Options{RequireLogin: true})
		r := sendWith(t, numbered(10), append([]string{"--server", "smtp+plain://" + srv.Addr("smtp"), "--json"}, words...)...)
		if r.code != exitNoPerm || r.stdout != "" || strings.Count(r.stderr, "530 5.7.0 log in first") != 1 || !strings.Contains(r.stderr, "rest of the messages was not sent") {
			t.Errorf("%q: %+v, want exit 77, no results, and one line about the login", words, r)
		}
	}
}

// counter counts commands, and strikes none.
type counter struct {
	seen chan string
}

func (c *counter) Strike(e server.Event) server.Strike {
	if c.seen == nil {
		c.seen = make(chan string, 10_000)
	}
	c.seen <- e.Command
	return server.Strike{}
}

// of is how often a command came. It may be asked once the sessions are over.
func (c *counter) of(command string) (n int) {
	for range len(c.seen) {
		one := <-c.seen
		if one == command {
			n++
		}
		c.seen <- one
	}
	return n
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRate(t *testing.T) {
	for text, want := range map[string]time.Duration{"30/min": 2 * time.Second, "5/s": 200 * time.Millisecond, "1/h": time.Hour, "0.5/s": 2 * time.Second} {
		if r, err := parseRate(text); err != nil || r.every != want {
			t.Errorf("%s: %v, %v; want %v", text, r, err, want)
		}
	}
	for _, text := range []string{"", "5", "0/s", "-1/s", "5/day", "NaN/s", "Inf/s", "1e-9/h"} {
		if r, err := parseRate(text); err == nil {
			t.Errorf("%s: %v, want an error", text, r)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r, _ := parseRate("30/min")
		start := time.Now()
		for range 5 {
			if err := r.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("5 messages at 30/min took %v, want 8s", took)
		}
	})
}

func TestSend_Rate(t *testing.T) {
	srv := mailHost(t, server.Options{})
	r := sendWith(t, numbered(5), "--server", "smtp+plain://"+srv.Addr("smtp"), "--rate", "50/s", "-j", "2")
	if got := stored(t, srv, "bob", "INBOX"); r.code != 0 || len(got) != 5 {
		t.Errorf("exit %d, %d messages, stderr %q; want 0 and 5", r.code, len(got), r.stderr)
	}
}

// twoHosts starts servers on the same port of two loopback addresses.
func twoHosts(t *testing.T) (first, second *server.Server, port string) {
	t.Helper()
	for range 20 {
		first = mailHost(t, server.Options{SMTP: "127.0.0.2:0", Domains: []string{"crepes.fr"}})
		_, port, _ = net.SplitHostPort(first.Addr("smtp"))
		o := server.Options{SMTP: "127.0.0.3:" + port, Domains: []string{"hamburger.edu"}, Users: []server.User{{Name: "bob"}}}
		second, err := server.Start(t.Context(), o)
		if err == nil {
			t.Cleanup(second.Close)
			return first, second, port
		}
	}
	t.Skip("no port is free on two loopback addresses")
	return nil, nil, ""
}

func TestSend_MX(t *testing.T) {
	crepes, hamburger, port := twoHosts(t)
	dns := wiretest.DNS(t, wiretest.Zone{
		"crepes.fr":         {"MX 10 dead.crepes.fr", "MX 20 mx.crepes.fr"},
		"dead.crepes.fr":    {"A 127.0.0.4"},
		"mx.crepes.fr":      {"A 127.0.0.2"},
		"hamburger.edu":     {"A 127.0.0.3"},
		"null.test":         {"MX 0 ."},
		"broken.test":       {"SERVFAIL"},
		"dead.test":         {"A 127.0.0.4"},
		"wrong.test":        {"MX 1 mx.crepes.fr"},
		"elsewhere.invalid": {},
	})
	text := "From: alice@example.org\nSubject: hello\n\nhi\n"
	for _, tc := range []struct {
		name   string
		rcpt   []string
		code   int
		status map[string]string // by recipient: status and enhanced code
	}{
		{"two domains", []string{"alice@crepes.fr", "bob@HAMBURGER.edu", "bob@crepes.fr"}, 0,
			map[string]string{"alice@crepes.fr": "accepted 2.0.0", "bob@crepes.fr": "accepted 2.0.0", "bob@HAMBURGER.edu": "accepted 2.0.0"}},
		{"null MX", []string{"x@null.test"}, 67, map[string]string{"x@null.test": "refused 5.1.10"}},
		{"no such domain", []string{"x@no-such.test"}, 67, map[string]string{"x@no-such.test": "refused 5.1.2"}},
		{"DNS fails", []string{"x@broken.test"}, 75, map[string]string{"x@broken.test": "deferred 4.4.3"}},
		{"nobody listens", []string{"x@dead.test"}, 75, map[string]string{"x@dead.test": "deferred "}},
		{"refused by its host", []string{"x@wrong.test"}, 67, map[string]string{"x@wrong.test": "refused 5.7.1"}},
		{"some", []string{"alice@crepes.fr", "x@null.test", "x@broken.test"}, 4,
			map[string]string{"alice@crepes.fr": "accepted 2.0.0", "x@null.test": "refused 5.1.10", "x@broken.test": "deferred 4.4.3"}},
		{"address literal", []string{"alice@[127.0.0.2]"}, 67, map[string]string{"alice@[127.0.0.2]": "refused 5.7.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := sendWith(t, text, append([]string{"--mx", "--mx-port", port, "--resolver", dns, "--json"}, tc.rcpt...)...)
			got := map[string]string{}
			for line := range strings.Lines(r.stdout) {
				var one sentJSON
				if err := json.Unmarshal([]byte(line), &one); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				got[one.Recipient] = one.Status + " " + one.Enhanced
			}
			if r.code != tc.code || !maps.Equal(got, tc.status) {
				t.Errorf("exit %d, %v\nwant %d, %v\nstderr %q", r.code, got, tc.code, tc.status, r.stderr)
			}
		})
	}
	if a, b := len(stored(t, crepes, "alice", "INBOX")), len(stored(t, hamburger, "bob", "INBOX")); a != 2 || b != 1 {
		t.Errorf("%d messages for alice@crepes.fr and %d for bob@hamburger.edu, want 2 and 1", a, b)
	}
}

// TestSend_MXManyRecipients has a host that takes two recipients of one message, and says so or not.
func TestSend_MXManyRecipients(t *testing.T) {
	for _, without := range [][]string{nil, {"LIMITS"}} {
		srv := mailHost(t, server.Options{SMTP: "127.0.0.1:0", Domains: []string{"crepes.fr"}, MaxRcpt: 2, Without: without})
		_, port, _ := net.SplitHostPort(srv.Addr("smtp"))
		dns := wiretest.DNS(t, wiretest.Zone{"crepes.fr": {"A 127.0.0.1"}})
		r := sendWith(t, plainMessage, "--mx", "--mx-port", port, "--resolver", dns, "--json", "a@crepes.fr", "b@crepes.fr", "c@crepes.fr", "d@crepes.fr", "e@crepes.fr")
		if got := stored(t, srv, "alice", "INBOX"); r.code != 0 || len(got) != 3 || strings.Count(r.stdout, `"status":"accepted"`) != 5 {
			t.Errorf("without %q: exit %d, %d messages, want 0 and 3; %s", without, r.code, len(got), r.stdout)
		}
	}
}

func TestSend_SaveSent(t *testing.T) {
	srv := mailHost(t, server.Options{RequireLogin: true})
	password := secretFile(t, "secret")
	config := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("[account.work]\nfrom = \"alice@example.org\"\nsmtp = \"smtp+plain://alice@%s\"\nimap = \"imap+plain://alice@%s\"\npassword = { file = %q }\n",
		srv.Addr("smtp"), srv.Addr("imap"), password)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sendWith(t, "", "--config", config, "--save-sent", "-s", "with a copy", "--to", "bob@example.org", "--bcc", "alice@example.org")
	if r.code != 0 {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	sent := stored(t, srv, "alice", "Sent")
	if len(sent) != 1 || !strings.Contains(sent[0], "Bcc: alice@example.org\r\n") || !strings.Contains(sent[0], "Subject: with a copy\r\n") {
		t.Errorf("the copies are %q, want one with its Bcc", sent)
	}
	if got := stored(t, srv, "bob", "INBOX"); len(got) != 1 || strings.Contains(got[0], "Bcc") {
		t.Errorf("bob got %q, want one without Bcc", got)
	}
	r = sendWith(t, "", "--config", config, "--sent-mailbox", "No/Such", "-s", "without", "--to", "bob@example.org")
	if r.code != exitIncomplete || len(stored(t, srv, "bob", "INBOX")) != 2 {
		t.Errorf("no such mailbox: exit %d, stderr %q; want 3, and the message sent", r.code, r.stderr)
	}
	r = sendWith(t, plainMessage, "--server", "smtp+plain://alice@"+srv.Addr("smtp"), "--password-file", password, "--save-sent")
	if r.code != exitConfig || len(stored(t, srv, "bob", "INBOX")) != 2 {
		t.Errorf("no IMAP server: exit %d, stderr %q; want 78, and nothing sent", r.code, r.stderr)
	}
}

func TestSend_AccountBySender(t *testing.T) {
	work, home := mailHost(t, server.Options{}), mailHost(t, server.Options{})
	config := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("default = \"home\"\n[account.home]\nfrom = \"alice@home.test\"\nsmtp = \"smtp+plain://%s\"\n"+
		"[account.work]\nfrom = \"alice@work.test\"\nmatch = [\"*@work.test\", \"ci+*@*.test\"]\nsmtp = \"smtp+plain://%s\"\n", home.Addr("smtp"), work.Addr("smtp"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stream strings.Builder
	for i, from := range []string{"alice@work.test", "ALICE@home.test", "bob@Work.test", "eve@elsewhere.test", "ci+7@x.test"} {
		fmt.Fprintf(&stream, "From a@b Fri Nov 20 10:00:00 2026\nFrom: %s\nTo: bob@example.org\nSubject: %d\n\nhi\n\n", from, i)
	}
	r := sendWith(t, stream.String(), "--config", config)
	if r.code != 0 {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	if got := subjects(stored(t, work, "bob", "INBOX")); !slices.Equal(got, []string{"0", "2", "4"}) {
		t.Errorf("by work: %q, want 0 2 4", got)
	}
	if got := subjects(stored(t, home, "bob", "INBOX")); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("by home: %q, want 1 3", got)
	}
	r = sendWith(t, stream.String(), "--config", config, "--account", "home")
	if got := len(stored(t, home, "bob", "INBOX")); r.code != 0 || got != 7 {
		t.Errorf("with --account: exit %d, %d messages by home in all, want 0 and 7", r.code, got)
	}
}

func TestWildcard(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"*@example.org", "alice@example.org", true}, {"*@example.org", "alice@example.org.evil.test", false}, {"*", "", true},
		{"a*a", "a", false}, {"a*b*c", "a--b--c", true}, {"a*b*c", "a--c", false}, {"alice@example.org", "alice@example.org", true},
		{"ci+*@*.test", "ci+1@x.test", true},
	} {
		if got := wildcard(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q %q: %v, want %v", tc.pattern, tc.text, got, tc.want)
		}
	}
}

func TestAliases(t *testing.T) {
	file := filepath.Join(t.TempDir(), "aliases")
	text := "# comment\nroot: admins, ops@example.org\nadmins: alice@example.org,\n  \"Bob B\" <bob@example.org>\n\nPostmaster: root, postmaster\nloop: pool\npool: loop, eve@example.org\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := readAliases(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ rcpt, want string }{
		{"root", "alice@example.org bob@example.org ops@example.org"},
		{"ROOT", "alice@example.org bob@example.org ops@example.org"},
		{"postmaster", "alice@example.org bob@example.org ops@example.org postmaster"},
		{"loop", "eve@example.org"},
		{"dave", "dave"},
		{"root@example.org", "root@example.org"},
	} {
		got, err := a.expand([]string{tc.rcpt})
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.rcpt, got, err, tc.want)
		}
	}
	a.names["default"] = []string{"dave", "root"}
	if got, err := a.expand([]string{"nobody", "dave@example.org"}); err != nil || strings.Join(got, " ") != "dave alice@example.org bob@example.org ops@example.org dave@example.org" {
		t.Errorf("default: %q, %v", got, err)
	}
	for name, text := range map[string]string{"program": "root: |/bin/sh", "file": "root: /dev/null", "include": "root: :include:/etc/passwd", "no colon": "root", "nobody": "root:", "address": "root: a b@c d"} {
		if err := os.WriteFile(file, []byte("ok: alice@example.org\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAliases(file); exitCode(err) != exitConfig || !strings.Contains(err.Error(), ":2:") {
			t.Errorf("%s: %v, want an error of the configuration in line 2", name, err)
		}
	}
}

func TestSend_Shapes(t *testing.T) {
	srv := mailHost(t, server.Options{})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"aliases": "team: alice@example.org, bob@example.org\n",
		"one.eml": "From: alice@example.org\nTo: bob@example.org\nSubject: one\n\n1\n",
		"two.eml": "From: alice@example.org\nTo: bob@example.org\nSubject: two\n\n2\n",
		"mbox":    numbered(3),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := "smtp+plain://" + srv.Addr("smtp")
	for _, tc := range []struct {
		name, stdin string
		words       []string
		code        int
		arrived     int    // messages for bob
		last        string // in the last one
	}{
		{"alias", plainMessage, []string{"--aliases", dir + "/aliases", "team"}, 0, 1, "Subject: hi\r\n"},
		{"composed for hidden recipients", "hello", []string{"-s", "s", "--from", "alice@example.org", "--bcc", "bob@example.org"}, 0, 1, "To: undisclosed-recipients:;\r\n"},
		{"undisclosed", plainMessage, []string{"--undisclosed"}, 0, 1, "To: undisclosed-recipients:;\r\n"},
		{"resent", plainMessage, []string{"--resend", "-f", "alice@example.org", "bob@example.org"}, 0, 1, "Resent-From: alice@example.org\r\nResent-To: bob@example.org\r\nFrom: Alice"},
		{"several files", "", []string{"--message", dir + "/*.eml"}, 0, 2, "Subject: two\r\n"},
		{"an mbox and a folder", "", []string{"--message", "mbox:" + dir + "/mbox", "--message", "eml:" + dir}, 0, 5, "Subject: two\r\n"},
		{"a file that is not there", "", []string{"--message", dir + "/one.eml", "--message", dir + "/none.eml"}, 66, 0, ""},
		{"a pattern without a match", "", []string{"--message", dir + "/*.txt"}, 66, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(stored(t, srv, "bob", "INBOX"))
			r := sendWith(t, tc.stdin, append([]string{"--server", at}, tc.words...)...)
			got := stored(t, srv, "bob", "INBOX")[before:]
			if r.code != tc.code || len(got) != tc.arrived {
				t.Fatalf("exit %d, %d messages; want %d and %d; stderr %q", r.code, len(got), tc.code, tc.arrived, r.stderr)
			}
			if tc.arrived > 0 && !strings.Contains(got[len(got)-1], tc.last) {
				t.Errorf("arrived %q, want %q in it", got[len(got)-1], tc.last)
			}
		})
	}
}
