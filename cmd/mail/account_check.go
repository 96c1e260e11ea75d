package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// checkLine is the outcome for one server in `account check --json`.
type checkLine struct {
	Account   string `json:"account,omitempty"`
	Protocol  string `json:"protocol"`
	Server    string `json:"server"`
	TLS       string `json:"tls,omitempty"`       // "TLS 1.3"; empty: no connection was made
	Mechanism string `json:"mechanism,omitempty"` // empty: no login
	User      string `json:"user,omitempty"`
	OK        bool   `json:"ok"`
	Exit      int    `json:"exit"`
	Error     string `json:"error,omitempty"`
}

// accountCheckCommand logs in to every server of an account.
func (e *env) accountCheckCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "check",
		usage: "connect and log in to every server of an account",
		args:  "[NAME…]",
		about: "Connects to each server of the account, or of the accounts named, verifies its certificate, logs in, and leaves again. " +
			"Prints a line for each: account, protocol, server, TLS version, mechanism, and ok or failed; a dash stands for what was not " +
			"reached. What failed is said on standard error. Nothing is sent and nothing is changed.\n\n" +
			"The exit status is that of the failure that a later try will not mend, else of the first.",
		maxArgs: -1,
		network: wire.IMAP,
		offers:  offerAccounts,
		run:     func(ctx context.Context, c *call) error { return c.checkAccounts(ctx) },
	})
}

func (c *call) checkAccounts(ctx context.Context) error {
	names := c.args
	if len(names) == 0 {
		names = []string{c.overrides.Account}
	} else if c.overrides.Account != "" {
		return usagef("the account is named twice: --account %s and %s", c.overrides.Account, names[0])
	}
	var failures []error
	for _, name := range names {
		one := *c
		one.overrides.Account = name
		if err := one.checkAccount(ctx); err != nil {
			failures = append(failures, err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return join(failures)
}

// checkAccount checks the servers of the account that the overrides name.
func (c *call) checkAccount(ctx context.Context) error {
	protocols, err := c.protocolsToCheck()
	if err != nil {
		return err
	}
	var failures []error
	for _, p := range protocols {
		t, err := c.target(p)
		line := checkLine{Account: c.overrides.Account, Protocol: protocolWord(p)}
		if err == nil {
			line, err = c.checkServer(ctx, t)
		}
		if line.OK = err == nil; err != nil {
			line.Error, line.Exit = err.Error(), exitCode(err)
			failures = append(failures, err)
		}
		if err := c.checkRow(line); err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return join(failures)
}

// join holds errors side by side; one alone stays what it is.
func join(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// protocolsToCheck lists what there are servers for: the one of --server, those of the environment when no account is
// named, and those of the account.
func (c *call) protocolsToCheck() ([]wire.Protocol, error) {
	if c.overrides.Server != "" {
		ep, err := wire.ParseEndpoint(c.overrides.Server)
		if err != nil {
			return nil, &config.Error{Msg: "--server: " + err.Error()}
		}
		return []wire.Protocol{ep.Protocol}, nil
	}
	variables := map[wire.Protocol]string{wire.IMAP: "MAIL_IMAP", wire.POP3: "MAIL_POP", wire.SMTP: "MAIL_SMTP"}
	var list []wire.Protocol
	_, a, err := c.account(c.overrides.Account)
	for _, p := range accountProtocols {
		given := c.overrides.Account == "" && c.getenv(variables[p]) != ""
		if given || err == nil && a.Server(p) != "" {
			list = append(list, p)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case err != nil:
		return nil, err
	}
	return nil, &config.Error{
		Msg:  fmt.Sprintf("account %q has no imap, pop or smtp server", a.Name),
		Hint: fmt.Sprintf(`add imap = "imaps://alice@imap.example.org" to [account.%s]`, a.Name),
	}
}

// session is what the clients of all protocols have in common.
type session interface {
	Auth(context.Context, *auth.Credentials) error
	Conn() *wire.Conn
	Close() error
}

// dialTarget opens a session of the target's protocol.
func dialTarget(ctx context.Context, t *config.Target) (session, error) {
	switch t.Endpoint.Protocol {
	case wire.IMAP:
		return imap.Dial(ctx, t.Endpoint, &imap.Options{Wire: &t.Wire})
	case wire.POP3:
		return pop3.Dial(ctx, t.Endpoint, &pop3.Options{Wire: &t.Wire})
	}
	return smtp.Dial(ctx, t.Endpoint, &smtp.Options{Wire: &t.Wire})
}

// checkServer connects and logs in.
func (c *call) checkServer(ctx context.Context, t *config.Target) (checkLine, error) {
	line := checkLine{
		Account: t.Account, Protocol: protocolWord(t.Endpoint.Protocol), Server: t.Endpoint.Address(), User: t.Credentials.User,
	}
	s, err := dialTarget(ctx, t)
	if err != nil {
		return line, c.label(t, err)
	}
	defer s.Close()
	line.TLS = "cleartext"
	if state := s.Conn().TLS(); state != nil {
		line.TLS = tls.VersionName(state.Version)
	}
	if t.Credentials.User == "" {
		return line, nil
	}
	mechanism, err := logIn(ctx, s, t)
	if line.Mechanism = mechanism; err != nil {
		return line, c.label(t, err)
	}
	return line, nil
}

// logIn authenticates and tells by which mechanism.
func logIn(ctx context.Context, s session, t *config.Target) (mechanism string, err error) {
	if p, ok := s.(interface{ Preauthenticated() bool }); ok && p.Preauthenticated() {
		return "preauth", nil
	}
	cr := t.Credentials
	cr.Chosen = func(name string) { mechanism = name }
	err = s.Auth(ctx, &cr)
	if mechanism == "" && err == nil { // no SASL: the protocol's own command
		switch {
		case cr.Mechanism == auth.APOPCommand:
			mechanism = auth.APOPCommand
		case t.Endpoint.Protocol == wire.POP3:
			mechanism = auth.UserCommand
		default:
			mechanism = auth.LoginCommand
		}
	}
	return mechanism, err
}

func (c *call) checkRow(l checkLine) error {
	if c.json {
		return c.printJSON(l)
	}
	outcome := "ok"
	if !l.OK {
		outcome = "failed"
	}
	columns := []string{l.Account, l.Protocol, l.Server, l.TLS, l.Mechanism, outcome}
	for i, s := range columns {
		if s == "" {
			columns[i] = "-"
		}
	}
	return c.row(columns...)
}
