package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapUnsubscribeCommand is `mail imap unsubscribe`.
func (e *env) imapUnsubscribeCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "unsubscribe",
		usage:   "take a mailbox off the list of subscribed ones",
		about:   "Takes a mailbox off the list that `mail imap list --subscribed` prints. The mailbox itself stays.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		network: wire.IMAP,
		run: func(ctx context.Context, c *call) error {
			return c.imapOnMailbox(ctx, "unsubscribe", func(client *imap.Client) error { return client.Unsubscribe(ctx, c.args[0]) })
		},
	})
}
