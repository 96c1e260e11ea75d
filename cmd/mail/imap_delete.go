package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapDeleteCommand is `mail imap delete`.
func (e *env) imapDeleteCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "delete",
		usage:   "delete a mailbox and its messages",
		about:   "Deletes a mailbox and every message in it, for good.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		network: wire.IMAP,
		run: func(ctx context.Context, c *call) error {
			return c.imapOnMailbox(ctx, "delete", func(client *imap.Client) error { return client.Delete(ctx, c.args[0]) })
		},
	})
}
