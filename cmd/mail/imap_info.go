package main

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapInfoCommand is `mail imap info`.
func (e *env) imapInfoCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "info",
		usage: "print what the server is and can do",
		about: "Logs in and prints a line for each thing the server tells: its greeting, TLS version and certificate, what it " +
			"offers before and after the login, what it says of itself (ID), how it was logged in, the namespaces with their " +
			"separators, and its limits: the largest message taken (APPENDLIMIT), the most messages one command works on " +
			"(MESSAGELIMIT).",
		network: wire.IMAP,
		run:     func(ctx context.Context, c *call) error { return c.imapInfo(ctx) },
	})
}

// imapInfo is what is found out.
type imapInfo struct {
	Greeting   string            `json:"greeting,omitempty"`
	TLS        *tlsInfo          `json:"tls,omitempty"`
	Before     []string          `json:"capabilitiesBeforeLogin"`
	Mechanism  string            `json:"mechanism,omitempty"`
	After      []string          `json:"capabilities"`
	Enabled    []string          `json:"enabled,omitempty"`
	ID         map[string]string `json:"id"`
	Namespaces []imapNamespace   `json:"namespaces"`
	Limits     map[string]string `json:"limits,omitempty"`
	id         []imap.IDField    // in the server's order
}

type tlsInfo struct {
	Version  string `json:"version"`
	Cipher   string `json:"cipher"`
	Subject  string `json:"subject,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	NotAfter string `json:"notAfter,omitempty"`
}

type imapNamespace struct {
	Kind      string `json:"kind"` // personal, otherUsers, shared
	Prefix    string `json:"prefix"`
	Delimiter string `json:"delimiter"`
}

// limitNames are the capabilities that tell a number.
var limitNames = []string{"APPENDLIMIT", "MESSAGELIMIT", "SAVELIMIT"}

func (c *call) imapInfo(ctx context.Context) error {
	t, err := c.loginTarget(wire.IMAP)
	if err != nil {
		return err
	}
	info := &imapInfo{}
	shown := t.Wire.Trace
	t.Wire.Trace = func(kind wire.TraceKind, text []byte) {
		if kind == wire.TraceReply && info.Greeting == "" {
			info.Greeting = strings.TrimRight(string(text), "\r\n")
		}
		if shown != nil {
			shown(kind, text)
		}
	}
	t.Credentials.Chosen = func(mechanism string) { info.Mechanism = mechanism }
	client, err := imap.Dial(ctx, t.Endpoint, &imap.Options{Wire: &t.Wire})
	if err != nil {
		return c.label(t, err)
	}
	defer func() { _ = client.Close() }()
	err = info.ask(ctx, client, func() error { return client.Auth(ctx, &t.Credentials) })
	if err != nil {
		return c.label(t, err)
	}
	if c.json {
		return c.printJSON(info)
	}
	return c.imapInfoRows(info)
}

// ask asks the server; what it does not like to tell is left out.
func (i *imapInfo) ask(ctx context.Context, client *imap.Client, login func() error) error {
	before, err := client.Capability(ctx)
	if err != nil {
		return err
	}
	i.Before, i.TLS = before, tlsInfoOf(client.Conn().TLS())
	if err := login(); err != nil {
		return err
	}
	after, err := client.Capability(ctx)
	if err != nil {
		return err
	}
	i.After = after
	if after.Has("ID") {
		i.id, err = client.ID(ctx, []imap.IDField{{Name: "name", Value: "mail"}, {Name: "version", Value: version}})
		if err = ifBroken(err); err != nil {
			return err
		}
	}
	i.ID = map[string]string{}
	for _, f := range i.id {
		i.ID[f.Name] = f.Value
	}
	namespaces, err := client.Namespace(ctx)
	if err = ifBroken(err); err != nil {
		return err
	}
	i.addNamespaces(namespaces)
	i.Limits = map[string]string{}
	for _, name := range limitNames {
		if value, ok := after.Value(name); ok {
			i.Limits[strings.ToLower(name)] = value
		}
	}
	i.Enabled = client.Enabled()
	return nil
}

// ifBroken forgets a refusal.
func ifBroken(err error) error {
	var refused *imap.Error
	if errors.As(err, &refused) && refused.Status != "BYE" {
		return nil
	}
	return err
}

func (i *imapInfo) addNamespaces(n *imap.Namespaces) {
	if n == nil {
		return
	}
	for _, kind := range []struct {
		name string
		list []imap.Namespace
	}{{"personal", n.Personal}, {"otherUsers", n.OtherUsers}, {"shared", n.Shared}} {
		for _, space := range kind.list {
			i.Namespaces = append(i.Namespaces, imapNamespace{kind.name, space.Prefix, space.Delim})
		}
	}
}

func tlsInfoOf(state *tls.ConnectionState) *tlsInfo {
	if state == nil {
		return nil
	}
	t := &tlsInfo{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
	if len(state.PeerCertificates) > 0 {
		cert := state.PeerCertificates[0]
		t.Subject, t.Issuer = valid(cert.Subject.String()), valid(cert.Issuer.String())
		t.NotAfter = cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return t
}

func (c *call) imapInfoRows(i *imapInfo) error {
	rows := [][2]string{{"greeting", i.Greeting}}
	if i.TLS != nil {
		rows = append(rows, [2]string{"tls", i.TLS.Version + " " + i.TLS.Cipher},
			[2]string{"certificate", i.TLS.Subject + ", by " + i.TLS.Issuer + ", until " + i.TLS.NotAfter})
	}
	rows = append(rows, [2]string{"before login", strings.Join(i.Before, " ")}, [2]string{"login", i.Mechanism},
		[2]string{"after login", strings.Join(i.After, " ")}, [2]string{"enabled", strings.Join(i.Enabled, " ")})
	for _, f := range i.id {
		rows = append(rows, [2]string{"id " + f.Name, f.Value})
	}
	for _, n := range i.Namespaces {
		rows = append(rows, [2]string{"namespace " + n.Kind, `"` + n.Prefix + `" "` + n.Delimiter + `"`})
	}
	for _, name := range limitNames {
		name = strings.ToLower(name)
		rows = append(rows, [2]string{name, i.Limits[name]})
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if err := c.row(row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
