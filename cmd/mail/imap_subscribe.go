package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapSubscribeCommand is `mail imap subscribe`.
func (e *env) imapSubscribeCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "subscribe",
		usage:   "put a mailbox on the list of subscribed ones",
		about:   "Puts a mailbox on the list that `mail imap list --subscribed` prints.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		network: wire.IMAP,
		run: func(ctx context.Context, c *call) error {
			return c.imapOnMailbox(ctx, "subscribe", func(client *imap.Client) error { return client.Subscribe(ctx, c.args[0]) })
		},
	})
}
