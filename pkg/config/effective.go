package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// Setting is one setting of an account as it takes effect. Values are for people; a secret is described, never shown.
type Setting struct {
	Key    string // as in the file
	Value  string
	Origin string // "flag", "environment" or "file"
}

// Effective lists the settings of a, in a fixed order, with what flags and environment put in their place. Settings
// that nobody made are left out.
func (a *Account) Effective(o Overrides) []Setting {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	e := &effective{o: o}
	e.add("from", "", "MAIL_FROM", a.From)
	e.add("match", "", "", strings.Join(a.Match, ", "))
	e.add("aliases", "", "", a.Aliases)
	e.add("sent-mailbox", "", "", a.SentMailbox)
	e.add("imap", "", "", a.IMAP)
	e.add("smtp", "", "", a.SMTP)
	e.add("pop", "", "", a.POP)
	e.add("user", o.User, "MAIL_USER", a.User)
	e.add("auth", o.Auth, "", first(a.Auth, auth.Auto))
	e.add("authzid", "", "", a.Authzid)
	e.secrets(a)
	e.add("ca-file", o.CAFile, "MAIL_CA", a.CAFile)
	e.add("pin", o.Pin, "", pinText(a.Pins))
	e.add("client-cert", "", "", a.ClientCert)
	e.add("client-key", "", "", a.ClientKey)
	e.add("proxy", redacted(o.Proxy), "", redacted(a.Proxy))
	e.add("tunnel", "", "", strings.Join(a.Tunnel, " "))
	e.add("source-ip", "", "", a.SourceIP)
	e.add("timeout", durationText(o.Timeout), "", durationText(a.Timeout))
	e.add("allow-cleartext-password", yes(o.AllowCleartextPassword), "", yes(a.AllowCleartextPassword))
	return e.list
}

type effective struct {
	o    Overrides
	list []Setting
}

// add appends what the first layer says that says anything.
func (e *effective) add(key, flag, variable, file string) {
	env := ""
	if variable != "" {
		env = e.o.Getenv(variable)
	}
	for _, s := range []Setting{{key, flag, "flag"}, {key, env, "environment"}, {key, file, "file"}} {
		if s.Value != "" {
			e.list = append(e.list, s)
			return
		}
	}
}

// secrets describes password and token: the first layer that has either decides about both.
func (e *effective) secrets(a *Account) {
	o := e.o
	password := ""
	switch {
	case o.PasswordFile != "":
		password = fmt.Sprintf("file %q", o.PasswordFile)
	case o.PasswordFD >= 0:
		password = fmt.Sprintf("file descriptor %d", o.PasswordFD)
	case o.PasswordCommand != "":
		password = "command"
	}
	token := ""
	if o.TokenCommand != "" {
		token = "command"
	}
	for _, layer := range [][3]string{
		{"flag", password, token},
		{"environment", variableText(o, "MAIL_PASSWORD"), variableText(o, "MAIL_TOKEN")},
		{"file", a.Password.From, a.Token.From},
	} {
		for i, key := range []string{"password", "token"} {
			if layer[i+1] != "" {
				e.list = append(e.list, Setting{key, layer[i+1], layer[0]})
			}
		}
		if layer[1]+layer[2] != "" {
			return
		}
	}
}

func variableText(o Overrides, name string) string {
	if o.Getenv(name) == "" {
		return ""
	}
	return "environment variable " + name
}

func pinText(pins [][32]byte) string {
	list := make([]string, len(pins))
	for i, p := range pins {
		list[i] = fmt.Sprintf("sha256:%x", p)
	}
	return strings.Join(list, ",")
}

// redacted hides the password in a proxy's URL.
func redacted(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return "not a URL"
	}
	return u.Redacted()
}

func durationText(d interface{ String() string }) string {
	if s := d.String(); s != "0s" {
		return s
	}
	return ""
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}
