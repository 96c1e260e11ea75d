package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapCreateCommand is `mail imap create`.
func (e *env) imapCreateCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "create",
		usage:   "make a mailbox",
		about:   "Makes a mailbox, with those above it where the server does so. Status 73 means that it exists, if the server says so.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		network: wire.IMAP,
		run: func(ctx context.Context, c *call) error {
			return c.imapOnMailbox(ctx, "create", func(client *imap.Client) error { return client.Create(ctx, c.args[0]) })
		},
	})
}
