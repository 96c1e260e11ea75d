package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// popCommand is `mail pop`.
func (e *env) popCommand() *cli.Command {
	return e.group("pop", "read and empty a POP3 maildrop",
		e.popStatCommand(),
		e.popListCommand(),
		e.popUidlCommand(),
		e.popRetrCommand(),
		e.popTopCommand(),
		e.popFetchCommand(),
		e.popDeleCommand(),
	)
}

// popNamesHelp is the part of the help about naming messages.
const popNamesHelp = "Messages are named by number (3), by range (1:5, 7:*), by `*` for the last one, by `all`, or by " +
	"uidl:ID with an id that `mail pop uidl` prints. Numbers are those of `mail pop list`; they change when messages are " +
	"deleted, ids do not. `-` reads names from standard input, one a line. A name that no message has ends the command " +
	"with status 66 before anything is done."

// dialPOP connects and logs in to the POP3 server that the flags and the configuration name.
func (c *call) dialPOP(ctx context.Context) (*pop3.Client, *config.Target, error) {
	t, err := c.loginTarget(wire.POP3)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.loginPOP(ctx, t)
	if err != nil {
		return nil, nil, c.label(t, err)
	}
	return client, t, nil
}

// loginPOP connects and logs in.
func (c *call) loginPOP(ctx context.Context, t *config.Target) (*pop3.Client, error) {
	client, err := pop3.Dial(ctx, t.Endpoint, &pop3.Options{Wire: &t.Wire, MaxMessage: c.maxMessage})
	if err != nil {
		return nil, err
	}
	err = asTheyAre(ctx, client)
	if err == nil {
		err = client.Auth(ctx, &t.Credentials)
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// asTheyAre asks a server that would change messages with UTF-8 in their headers not to (RFC 6856). Its refusal is
// no reason to stop.
func asTheyAre(ctx context.Context, client *pop3.Client) error {
	caps, err := client.Caps(ctx)
	if err != nil || !caps.Has("UTF8") {
		return err
	}
	var refused *pop3.Error
	if err := client.UTF8(ctx); err != nil && !errors.As(err, &refused) {
		return err
	}
	return nil
}

// popSession runs fn in a session. Errors of the server's side get its label, those of our streams and files do not.
func (c *call) popSession(ctx context.Context, fn func(client *pop3.Client) error) error {
	client, t, err := c.dialPOP(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	err = fn(client)
	var ours *localError
	var output *outputError
	var usage *usageError
	switch {
	case errors.As(err, &ours):
		return ours.err
	case errors.As(err, &output), errors.As(err, &usage):
		return err
	}
	return c.label(t, err)
}

// popOnMessages runs fn in a session, with the messages that the operands name. With --json their ids are known when
// the server has any.
func (c *call) popOnMessages(ctx context.Context, fn func(client *pop3.Client, m *maildrop, chosen []popMessage) error) error {
	names, err := c.popNames(c.args)
	if err != nil {
		return err
	}
	return c.popSession(ctx, func(client *pop3.Client) error {
		m, err := openMaildrop(ctx, client, names, false)
		if err == nil && c.json {
			err = c.optionalIDs(ctx, client, m)
		}
		if err != nil {
			return err
		}
		chosen, err := m.choose(names)
		if err != nil {
			return err
		}
		return fn(client, m, chosen)
	})
}

// localError is a failure on our side of a session: a file or a stream.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// lacks rewords the refusal of a command when the server does not announce the capability for it.
func lacks(ctx context.Context, client *pop3.Client, err error, capability string) error {
	var refused *pop3.Error
	if !errors.As(err, &refused) || refused.Temporary() {
		return err
	}
	caps, capsErr := client.Caps(ctx)
	if capsErr != nil || !caps.Supported || caps.Has(capability) {
		return err
	}
	return codef(exitProtocol, "the server does not offer %s: %v", capability, refused)
}
