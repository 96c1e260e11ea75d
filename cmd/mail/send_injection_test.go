package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// TestI5_AddressConflicts holds that the address in the header is the one the message goes to, and that what can be read
// in two ways goes nowhere.
func TestI5_AddressConflicts(t *testing.T) {
	for _, tc := range []struct {
		name, to string
		rcpt     string // "" is a refusal with 65
	}{
		{"quoted local part with an address in it", `"alice@evil.test x"@example.org`, `"alice@evil.test x"@example.org`},
		{"quoted local part with brackets", `"a<eve@evil.test>"@example.org`, `"a<eve@evil.test>"@example.org`},
		{"address in the display name", `"eve@evil.test" <bob@example.org>`, "bob@example.org"},
		{"address in a comment", "bob@example.org (eve@evil.test)", "bob@example.org"},
		{"comment before the domain", "bob@(evil.test)example.org", "bob@example.org"},
		{"group", "team: bob@example.org;", "bob@example.org"},
		{"encoded word with an address", "=?utf-8?q?eve=40evil.test=2C?= <bob@example.org>", "bob@example.org"},
		{"route", "<@evil.test:bob@example.org>", "bob@example.org"},
		{"two at signs", "bob@example.org@evil.test", ""},
		{"two addresses in brackets", "<bob@example.org> <eve@evil.test>", ""},
		{"name with an unquoted comma and address", "Bob, eve@evil.test <bob@example.org>", ""},
		{"open quote", `"bob <bob@example.org>`, ""},
		{"open bracket", "bob <bob@example.org", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := &counter{}
			srv := mailHost(t, server.Options{Faults: seen})
			stdin := "From: alice@example.org\nTo: " + tc.to + "\n\nx\n"
			r := sendWith(t, stdin, "--server", "smtp+plain://"+srv.Addr("smtp"), "-t", "--json")
			switch {
			case tc.rcpt == "" && (r.code != exitData || seen.of("MAIL") != 0):
				t.Errorf("exit %d, %d messages begun; want 65 and none; stderr %q", r.code, seen.of("MAIL"), r.stderr)
			case tc.rcpt != "" && (r.code != 0 || strings.Count(r.stdout, "\n") != 1 || !strings.Contains(r.stdout, `"recipient":`+quoted(tc.rcpt)+`,`)):
				t.Errorf("exit %d, results %q; want 0 and %s alone; stderr %q", r.code, r.stdout, tc.rcpt, r.stderr)
			}
		})
	}
}

// quoted is s as JSON has it.
func quoted(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	return `"` + s + `"`
}

// TestI6_Arguments holds that an address never becomes an option, and that no shell sees what a command is given.
func TestI6_Arguments(t *testing.T) {
	srv := mailHost(t, server.Options{RequireLogin: true})
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	at := []string{"--server", "smtp+plain://alice@" + srv.Addr("smtp"), "--password-command", "printf secret", "--json"}
	for _, tc := range []struct {
		name, stdin string
		words       []string
	}{
		{"operand", plainMessage, []string{"--", "-oQ/tmp@example.org"}},
		{"header", "From: alice@example.org\nTo: -X" + mark + "@example.org\n\nx\n", nil},
		{"sender", plainMessage, []string{"-f", "-be@example.org", "bob@example.org"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if r := sendWith(t, tc.stdin, append(append([]string{}, at...), tc.words...)...); r.code != 0 && r.code != exitData {
				t.Errorf("exit %d, stderr %q; want it sent, or the address refused", r.code, r.stderr)
			}
		})
	}
	for _, command := range []string{"printf secret; touch " + mark, "printf $(touch " + mark + ")", "printf `touch " + mark + "`", "printf secret > " + mark} {
		at[3] = command
		r := sendWith(t, plainMessage, append(append([]string{}, at...), "bob@example.org")...)
		if _, err := os.Stat(mark); err == nil || r.code == 0 {
			t.Errorf("%q: exit %d, %v: a shell was at work", command, r.code, err)
		}
	}
	r := runAs(t, srv, plainMessage, "sendmail", "-i", "--", "-X"+mark)
	if _, err := os.Stat(mark); err == nil {
		t.Errorf("an address behind -- was an option: exit %d", r.code)
	}
}
