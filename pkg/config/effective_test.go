package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEffective(t *testing.T) {
	const text = `[account.work]
imap = "imaps://alice@imap.example.org"
from = "alice@example.org"
password = "canary"
proxy = "socks5://u:canary@h:1"
timeout = "5s"
pin = "sha256:abababababababababababababababababababababababababababababababab"
tunnel = ["ssh", "h"]
allow-cleartext-password = true
`
	f, err := Load(writeFile(t, text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Overrides
		vars []string
		want string
	}{
		{"file", Overrides{}, nil, `from=alice@example.org(file) imap=imaps://alice@imap.example.org(file) auth=auto(file) password=the configuration file(file) ` +
			`pin=sha256:` + strings.Repeat("ab", 32) + `(file) proxy=socks5://u:xxxxx@h:1(file) tunnel=ssh h(file) timeout=5s(file) allow-cleartext-password=true(file)`},
		{"environment", Overrides{}, []string{"MAIL_PASSWORD=canary", "MAIL_USER=bob", "MAIL_CA=/ca", "MAIL_FROM=bob@example.org"},
			`from=bob@example.org(environment) imap=imaps://alice@imap.example.org(file) user=bob(environment) auth=auto(file) password=environment variable MAIL_PASSWORD(environment) ` +
				`ca-file=/ca(environment) pin=sha256:` + strings.Repeat("ab", 32) + `(file) proxy=socks5://u:xxxxx@h:1(file) tunnel=ssh h(file) timeout=5s(file) allow-cleartext-password=true(file)`},
		{"flags", Overrides{User: "carol", TokenCommand: "x canary", Auth: "xoauth2", Timeout: time.Second, Proxy: "http://a:canary@h", Pin: "p"}, []string{"MAIL_PASSWORD=canary"},
			`from=alice@example.org(file) imap=imaps://alice@imap.example.org(file) user=carol(flag) auth=xoauth2(flag) token=command(flag) pin=p(flag) proxy=http://a:xxxxx@h(flag) ` +
				`tunnel=ssh h(file) timeout=1s(flag) allow-cleartext-password=true(file)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range f.Accounts[0].Effective(world(t, c.o, c.vars...)) {
				got = append(got, fmt.Sprintf("%s=%s(%s)", s.Key, s.Value, s.Origin))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got\n%s, want\n%s", strings.Join(got, " "), c.want)
			}
		})
	}
}
