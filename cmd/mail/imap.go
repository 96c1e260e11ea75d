package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapCommand is `mail imap`.
func (e *env) imapCommand() *cli.Command {
	return e.group("imap", "work on the mailboxes of an IMAP account",
		e.imapListCommand(),
		e.imapSelectCommand(),
		e.imapSearchCommand(),
		e.imapSortCommand(),
		e.imapThreadCommand(),
		e.imapFetchCommand(),
		e.imapCopyCommand(),
		e.imapMoveCommand(),
		e.imapFlagCommand(),
		e.imapAppendCommand(),
		e.imapExpungeCommand(),
		e.imapCreateCommand(),
		e.imapDeleteCommand(),
		e.imapRenameCommand(),
		e.imapSubscribeCommand(),
		e.imapUnsubscribeCommand(),
		e.imapQuotaCommand(),
		e.imapInfoCommand(),
		e.imapWatchCommand(),
		e.imapRawCommand(),
	)
}

// dialIMAP connects and logs in to the IMAP server that the flags and the configuration name.
func (c *call) dialIMAP(ctx context.Context) (*imap.Client, *config.Target, error) {
	t, err := c.loginTarget(wire.IMAP)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.loginIMAP(ctx, t)
	if err != nil {
		return nil, nil, c.label(t, err)
	}
	return client, t, nil
}

// loginIMAP connects and logs in.
func (c *call) loginIMAP(ctx context.Context, t *config.Target) (*imap.Client, error) {
	client, err := imap.Dial(ctx, t.Endpoint, &imap.Options{Wire: &t.Wire, Limits: &imapwire.Limits{Body: c.maxMessage}, Depth: c.depth})
	if err != nil {
		return nil, err
	}
	if err := client.Auth(ctx, &t.Credentials); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// imapSession runs fn in a session. Errors of the server's side get its label, those of our streams and files do not.
func (c *call) imapSession(ctx context.Context, fn func(client *imap.Client) error) error {
	client, t, err := c.dialIMAP(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	err = fn(client)
	if quirks := client.Quirks(); quirks != 0 && c.verbose > 0 {
		c.note("the server's replies had known defects: %v", quirks)
	}
	return c.sessionError(t, err)
}

// sessionError puts the server's label on an error that is not one of our streams and files.
func (c *call) sessionError(t *config.Target, err error) error {
	var (
		ours    *localError
		output  *outputError
		usage   *usageError
		quiet   *coded
		refused *imap.Error
	)
	switch {
	case errors.Is(err, errNothing):
		return nil
	case errors.As(err, &ours):
		return ours.err
	case errors.As(err, &output), errors.As(err, &usage), errors.As(err, &quiet) && quiet.err == nil:
		return err
	case errors.As(err, &refused) && refused.NotFound():
		err = codef(exitNoInput, "%w", err)
	}
	return c.label(t, err)
}

// openMailbox selects a mailbox, for changes or only to read. A refusal without a reason is taken for a mailbox that
// does not exist: old servers do not say more.
func openMailbox(ctx context.Context, client *imap.Client, mailbox string, changes bool) (*imap.SelectData, error) {
	open := client.Examine
	if changes {
		open = client.Select
	}
	data, err := open(ctx, mailbox, &imap.SelectOptions{CondStore: !changes})
	if err != nil {
		return nil, noMailbox(err)
	}
	if changes && data.ReadOnly {
		return nil, codef(exitNoPerm, "mailbox %q can only be read", mailbox)
	}
	return data, nil
}

// noMailbox gives the refusal to open a mailbox its exit code.
func noMailbox(err error) error {
	var refused *imap.Error
	if errors.As(err, &refused) && refused.Status == "NO" && refused.Code == "" && !refused.Temporary() {
		return codef(exitNoInput, "%w", err)
	}
	return err
}
