package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapMoveCommand is `mail imap move`.
func (e *env) imapMoveCommand() *cli.Command {
	o := &imapCopyOptions{}
	return e.leaf(leaf{
		name:  "move",
		usage: "move messages into another mailbox",
		about: "Moves on the server, and prints the new UIDs, one a line, where the server tells them. A server without MOVE " +
			"is asked to copy, then to mark what was copied, then to remove what was marked, each step only after it agreed " +
			"to the one before; messages are never lost, at worst they are in both mailboxes. A server that cannot remove " +
			"single messages keeps them marked \\Deleted in the old mailbox, and the status is 3.\n\n" + imapSetHelp,
		args: "MAILBOX SET|TERM… --to MAILBOX", minArgs: 1, maxArgs: -1,
		exits: []int{exitNo, exitIncomplete}, changes: true, network: wire.IMAP, flags: o.flags(),
		run: func(ctx context.Context, c *call) error { return c.imapTransfer(ctx, o, true) },
	})
}
