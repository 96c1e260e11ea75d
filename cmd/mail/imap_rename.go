package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapRenameCommand is `mail imap rename`.
func (e *env) imapRenameCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "rename",
		usage:   "rename a mailbox",
		about:   "Gives a mailbox, and those below it, another name.",
		args:    "MAILBOX NEWNAME",
		minArgs: 2,
		maxArgs: 2,
		changes: true,
		network: wire.IMAP,
		run: func(ctx context.Context, c *call) error {
			return c.imapOnMailbox(ctx, "rename", func(client *imap.Client) error { return client.Rename(ctx, c.args[0], c.args[1]) })
		},
	})
}
