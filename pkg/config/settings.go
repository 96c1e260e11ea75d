package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// setter stores the value of one key in an account.
type setter func(l *loader, a *Account, key string, v value) error

// settings is every key that an account may have.
var settings = map[string]setter{
	"from":                     text(func(a *Account) *string { return &a.From }, checkFrom),
	"user":                     text(func(a *Account) *string { return &a.User }, nil),
	"imap":                     text(func(a *Account) *string { return &a.IMAP }, checkURL(wire.IMAP)),
	"smtp":                     text(func(a *Account) *string { return &a.SMTP }, checkURL(wire.SMTP)),
	"pop":                      text(func(a *Account) *string { return &a.POP }, checkURL(wire.POP3)),
	"auth":                     text(func(a *Account) *string { return &a.Auth }, checkAuth),
	"authzid":                  text(func(a *Account) *string { return &a.Authzid }, nil),
	"source-ip":                text(func(a *Account) *string { return &a.SourceIP }, checkIP),
	"ca-file":                  path(func(a *Account) *string { return &a.CAFile }),
	"client-cert":              path(func(a *Account) *string { return &a.ClientCert }),
	"client-key":               path(func(a *Account) *string { return &a.ClientKey }),
	"match":                    setMatch,
	"aliases":                  path(func(a *Account) *string { return &a.Aliases }),
	"sent-mailbox":             text(func(a *Account) *string { return &a.SentMailbox }, nil),
	"proxy":                    setProxy,
	"password":                 secret(func(a *Account) *Secret { return &a.Password }),
	"token":                    secret(func(a *Account) *Secret { return &a.Token }),
	"pin":                      setPins,
	"tunnel":                   setTunnel,
	"timeout":                  setTimeout,
	"allow-cleartext-password": setAllowCleartext,
}

// text stores a string that passes check; a nil check lets everything pass.
func text(field func(*Account) *string, check func(string) error) setter {
	return func(l *loader, a *Account, key string, v value) error {
		s, err := l.text(key, v)
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(s); err != nil {
				return l.fail(v.line, "%s: %s", key, err)
			}
		}
		*field(a) = s
		return nil
	}
}

// path stores the name of a file; a relative one is relative to the configuration file.
func path(field func(*Account) *string) setter {
	return func(l *loader, a *Account, key string, v value) error {
		s, err := l.text(key, v)
		if err != nil {
			return err
		}
		*field(a) = l.filePath(s)
		return nil
	}
}

// filePath makes a path from the file absolute.
func (l *loader) filePath(s string) string {
	if s = expandHome(s); !filepath.IsAbs(s) {
		s = filepath.Join(filepath.Dir(l.path), s)
	}
	return s
}

// expandHome replaces a leading "~/".
func expandHome(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return s
}

// text returns a string value without control characters.
func (l *loader) text(key string, v value) (string, error) {
	s, ok := v.data.(string)
	if !ok {
		return "", l.fail(v.line, "%s: a string in quotes is expected", key)
	}
	if s == "" {
		return "", l.fail(v.line, "%s: it is empty", key)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", l.fail(v.line, "%s: it has a control character", key)
	}
	return s, nil
}

// words returns an array of strings.
func (l *loader) words(key string, v value) ([]string, error) {
	list, ok := v.data.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, isText := item.(string)
		ok = ok && isText && !strings.Contains(s, "\x00")
		out = append(out, s)
	}
	if !ok || len(out) == 0 || out[0] == "" {
		e := l.fail(v.line, "%s: a list of words is expected", key)
		e.Hint = fmt.Sprintf(`it is run without a shell: %s = ["program", "argument"]`, key[strings.LastIndexByte(key, '.')+1:])
		return nil, e
	}
	out[0] = expandHome(out[0])
	return out, nil
}

func checkFrom(s string) error {
	if !strings.Contains(s, "@") {
		return errors.New("an address is expected")
	}
	return nil
}

// checkURL accepts URLs of servers that speak p; where SMTP is wanted LMTP will do.
func checkURL(p wire.Protocol) func(string) error {
	return func(s string) error {
		ep, err := wire.ParseEndpoint(s)
		if err != nil {
			return err
		}
		return checkProtocol(ep, p)
	}
}

// checkProtocol compares the protocol of a URL with the one needed.
func checkProtocol(ep wire.Endpoint, p wire.Protocol) error {
	lmtp := ep.Protocol == wire.LMTP && p == wire.SMTP || ep.Protocol == wire.SMTP && p == wire.LMTP
	if ep.Protocol != p && !lmtp {
		return fmt.Errorf("%s is not a URL for %s", ep, strings.ToUpper(string(p)))
	}
	return nil
}

// mechanisms are the values of auth.
var mechanisms = []string{
	"auto", "scram-sha-256-plus", "scram-sha-256", "scram-sha-1-plus", "scram-sha-1", "cram-md5", "plain", "login",
	"oauthbearer", "xoauth2", "external", "anonymous", "apop", "user", "login-command",
}

func checkAuth(s string) error {
	if slices.Contains(mechanisms, strings.ToLower(s)) {
		return nil
	}
	if near := nearest(strings.ToLower(s), mechanisms); near != "" {
		return fmt.Errorf("unknown mechanism %q, did you mean %q", s, near)
	}
	return fmt.Errorf("unknown mechanism %q: known are %s", s, strings.Join(mechanisms, ", "))
}

func checkIP(s string) error {
	if net.ParseIP(s) == nil {
		return fmt.Errorf("%q is not an IP address", s)
	}
	return nil
}

func setProxy(l *loader, a *Account, key string, v value) error {
	s, err := l.text(key, v)
	if err != nil {
		return err
	}
	u, err := parseProxy(s)
	if err != nil {
		return l.fail(v.line, "%s: %s", key, err)
	}
	if _, has := u.User.Password(); has {
		l.literal = key
	}
	a.Proxy = s
	return nil
}

// parseProxy reads the URL of a proxy. It may hold a password, so errors do not quote it.
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"socks5", "socks5h", "http"}, u.Scheme) {
		return nil, errors.New("a URL such as socks5://host:port or http://host:port is expected")
	}
	return u, nil
}

func setPins(l *loader, a *Account, key string, v value) error {
	list := []any{v.data}
	if many, ok := v.data.([]any); ok {
		list = many
	}
	a.Pins = nil
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return l.fail(v.line, "%s: a string in quotes is expected", key)
		}
		pin, err := parsePin(s)
		if err != nil {
			return l.fail(v.line, "%s: %s", key, err)
		}
		a.Pins = append(a.Pins, pin)
	}
	return nil
}

// parsePin reads "sha256:" and hexadecimal digits, perhaps with colons between, or "sha256/" and base64.
func parsePin(s string) (pin [32]byte, err error) {
	var b []byte
	if enc, ok := strings.CutPrefix(s, "sha256/"); ok {
		b, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(enc, "/"))
	} else {
		b, err = hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(s, "sha256:"), ":", ""))
	}
	if err != nil || len(b) != len(pin) {
		return pin, fmt.Errorf("%q is not a pin: sha256: and 64 hexadecimal digits, or sha256/ and base64", s)
	}
	return [32]byte(b), nil
}

// setMatch stores patterns of senders, one or a list.
func setMatch(l *loader, a *Account, key string, v value) error {
	list := []any{v.data}
	if many, ok := v.data.([]any); ok {
		list = many
	}
	a.Match = nil
	for _, item := range list {
		s, ok := item.(string)
		if !ok || !strings.Contains(s, "@") {
			return l.fail(v.line, "%s: addresses are expected, in which * stands for anything: \"*@example.org\"", key)
		}
		a.Match = append(a.Match, s)
	}
	return nil
}

func setTunnel(l *loader, a *Account, key string, v value) (err error) {
	a.Tunnel, err = l.words(key, v)
	return err
}

func setTimeout(l *loader, a *Account, key string, v value) error {
	var d time.Duration
	var err error
	switch t := v.data.(type) {
	case int64:
		if t > 0 && t <= int64(365*24*time.Hour/time.Second) {
			d = time.Duration(t) * time.Second
		}
	case string:
		d, err = time.ParseDuration(t)
	}
	if err != nil || d <= 0 {
		return l.fail(v.line, "%s: a time such as \"90s\" or \"5m\" is expected", key)
	}
	a.Timeout = d
	return nil
}

func setAllowCleartext(l *loader, a *Account, key string, v value) error {
	yes, ok := v.data.(bool)
	if !ok {
		return l.fail(v.line, "%s: true or false is expected", key)
	}
	a.AllowCleartextPassword = yes
	return nil
}

// loadCA reads the certificates to trust.
func loadCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(expandHome(file))
	if err != nil {
		return nil, openError(file, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &Error{File: file, Msg: "there is no PEM certificate in it"}
	}
	return pool, nil
}

// loadCertificate reads the client's certificate and key, which may be in one file.
func loadCertificate(cert, key string) (*tls.Certificate, error) {
	if key == "" {
		key = cert
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, &Error{File: cert, Msg: strings.TrimPrefix(err.Error(), "tls: "), Hint: "client-cert and client-key are PEM files; the key must not be encrypted"}
	}
	return &pair, nil
}

// secret stores where a secret comes from: a string is the secret itself, a table names one source.
func secret(field func(*Account) *Secret) setter {
	return func(l *loader, a *Account, key string, v value) error {
		switch t := v.data.(type) {
		case string:
			if t == "" {
				return l.fail(v.line, "%s: it is empty", key)
			}
			*field(a), l.literal = Secret{From: "the configuration file", Literal: auth.NewSecret(t)}, key
			return nil
		case map[string]any:
			s, err := l.source(key, t, v.line)
			if err != nil {
				return err
			}
			*field(a) = s
			return nil
		}
		return l.fail(v.line, "%s: a string or a table such as { command = [\"pass\", \"show\", \"mail/work\"] } is expected", key)
	}
}

// sourceKeys is what the table of a secret may have.
var sourceKeys = []string{"command", "env", "fd", "file", "netrc", "prompt"}

// source reads the table of a secret.
func (l *loader) source(key string, t map[string]any, line int) (Secret, error) {
	names := sortedKeys(t)
	for _, name := range names {
		if !slices.Contains(sourceKeys, name) || strings.HasSuffix(key, ".token") && (name == "netrc" || name == "prompt") {
			return Secret{}, l.unknown(key, name, line, sourceKeys)
		}
	}
	if len(names) != 1 {
		return Secret{}, l.fail(line, "%s: exactly one of %s is expected", key, strings.Join(sourceKeys, ", "))
	}
	name := names[0]
	return l.sourceOf(key+"."+name, name, value{t[name], line})
}

// sourceOf reads one entry of it.
func (l *loader) sourceOf(key, name string, v value) (s Secret, err error) {
	switch name {
	case "command":
		if s.Command, err = l.words(key, v); err == nil {
			s.From = fmt.Sprintf("command %q", s.Command[0])
		}
	case "env":
		s.Env, err = l.text(key, v)
		s.From = "environment variable " + s.Env
	case "file":
		s.File, err = l.text(key, v)
		s.File = l.filePath(s.File)
		s.From = fmt.Sprintf("file %q", s.File)
	case "fd":
		n, ok := v.data.(int64)
		if !ok || n < 0 || n > 1<<20 {
			return s, l.fail(v.line, "%s: the number of an open file is expected", key)
		}
		s.FD, s.UseFD, s.From = int(n), true, fmt.Sprintf("file descriptor %d", n)
	case "netrc", "prompt":
		if yes, ok := v.data.(bool); !ok || !yes {
			return s, l.fail(v.line, "%s: true is expected", key)
		}
		s.Netrc, s.Prompt, s.From = name == "netrc", name == "prompt", name
	}
	return s, err
}
