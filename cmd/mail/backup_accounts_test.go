package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
)

func TestBackupAccounts(t *testing.T) {
	alice := listedAccount{name: "alice", user: "alice@example.org"}
	bob := listedAccount{name: "bob", user: "bob", imap: "imaps://imap.example.org", pop: "pop3s://pop.example.org",
		passwordFile: "/run/bob", passwordCommand: "pass show bob", tokenCommand: "token bob"}
	all := "name,user,imap,pop,password-file,password-command,token-command\n"
	for _, c := range []struct {
		name, text string
		want       []listedAccount
		err        string
	}{
		{"CSV", all + "alice,alice@example.org,,,,,\n\n# comment\nbob,,imaps://imap.example.org,pop3s://pop.example.org,/run/bob,pass show bob,token bob\n",
			[]listedAccount{alice, bob}, ""},
		{"CSV of another order, quoted, CRLF, with a mark", "\xef\xbb\xbfuser, name\r\n\"alice@example.org\", alice\r\n", []listedAccount{alice}, ""},
		{"CSV, users only", "user\nbob\n", []listedAccount{{name: "bob", user: "bob"}}, ""},
		{"JSON", `{"name":"alice","user":"alice@example.org"}` + "\n\n" + `{"name":"bob","imap":"imaps://imap.example.org","pop":"pop3s://pop.example.org",` +
			`"password-file":"/run/bob","password-command":"pass show bob","token-command":"token bob"}`, []listedAccount{alice, bob}, ""},
		{"empty", "", nil, "list: it is empty"},
		{"header only", "name\n", nil, "list: there is no account in it"},
		{"unknown column", "name,colour\n", nil, `list:1: unknown column "colour"`},
		{"unknown member", "{\"name\":\"a\"}\n{\"nmae\":\"b\"}", nil, `list:2: unknown column "nmae"`},
		{"password", "name,password\na,b\n", nil, "list:1: a password does not belong into a list"},
		{"column twice", "name,name\na,b\n", nil, `list:1: two columns are called "name"`},
		{"short row", "name,user\n\na\n", nil, "list:3: wrong number of fields"},
		{"no name", "name,imap\n,imaps://h\n", nil, "list:2: an account needs a name or a user"},
		{"account twice", "name\na\nb\na\n", nil, `list:4: account "a" is in line 2 already`},
		{"no strings", `{"name":7}`, nil, "list:1: not a JSON object of strings"},
		{"long line", `{"name":"` + strings.Repeat("x", maxAccountLine) + `"}`, nil, "list:1: bufio.Scanner: token too long"},
		{"long name", "name\n" + strings.Repeat("x", 300), nil, "list:2: the name"},
		{"no text", "name\n\xff\n", nil, "list: not UTF-8"},
		{"too long", strings.Repeat("#\n", maxAccountList/2+1), nil, "list: longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAccounts("list", strings.NewReader(c.text))
			var bad *config.Error
			switch {
			case c.err != "" && (!errors.As(err, &bad) || !strings.HasPrefix(err.Error(), c.err)):
				t.Errorf("got %v, want %s", err, c.err)
			case c.err == "" && (err != nil || !slices.Equal(got, c.want)):
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// TestF2_BackupAccountFolders holds that folders of accounts stay below the directory and apart, also where case does not
// count.
func TestF2_BackupAccountFolders(t *testing.T) {
	seen := map[string]string{}
	for name, want := range map[string]string{
		"alice@example.org": "alice@example.org", "Alice@example.org": "%41lice@example.org", "%41lice@example.org": "%2541lice@example.org",
		"..": "%2E%2E", ".mail-backup": "%2Email-backup", "a/b": "a%2Fb", `a\b`: "a%5Cb", "a.": "a%2E", "é": "%C3%A9", "a b": "a%20b", "NUL": "%4E%55%4C",
	} {
		got := accountFolder(name)
		if got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
		folded := strings.ToLower(got)
		if other, twice := seen[folded]; twice {
			t.Errorf("%q and %q are one folder", name, other)
		}
		seen[folded] = name
	}
}

// TestBackupShards holds that each account is in one part, always the same, and that the parts are about equal.
func TestBackupShards(t *testing.T) {
	const accounts, parts = 4000, 8
	counts := make([]int, parts)
	for i := range accounts {
		name, in := fmt.Sprintf("user%d@example.org", i), 0
		for p := range uint64(parts) {
			if (shard{p + 1, parts}).has(name) {
				counts[p]++
				in++
			}
		}
		if in != 1 || !(shard{}).has(name) {
			t.Errorf("%s is in %d parts", name, in)
		}
	}
	if least := slices.Min(counts); least < accounts/parts*3/4 {
		t.Errorf("got parts of %v", counts)
	}
	if !(shard{2, 8}).has("alice@example.org") {
		for p := range uint64(8) {
			if (shard{p + 1, 8}).has("alice@example.org") {
				t.Errorf("alice@example.org has moved to part %d", p+1)
			}
		}
	}
	for value, want := range map[string]shard{"1/1": {1, 1}, "3/8": {3, 8}, "0/8": {}, "9/8": {}, "1": {}, "1/": {}, "-1/8": {}, "1/9999999": {}} {
		var got shard
		err := shardFlag(&got).(*cli.GenericFlag).Value.Set(value)
		if got != want || (err == nil) != (want != shard{}) {
			t.Errorf("%q: got %+v, %v, want %+v", value, got, err, want)
		}
	}
}

func TestBackupWorseCode(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{exitOK, exitTemporary, exitTemporary}, {exitTemporary, exitIncomplete, exitIncomplete}, {exitIncomplete, exitTemporary, exitIncomplete},
		{exitIncomplete, exitNoPerm, exitNoPerm}, {exitNoPerm, exitIO, exitNoPerm}, {exitNoPerm, exitOK, exitNoPerm},
	} {
		if got := worseCode(c.a, c.b); got != c.want {
			t.Errorf("%d and %d: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
