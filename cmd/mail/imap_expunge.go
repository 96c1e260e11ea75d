package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapExpungeCommand is `mail imap expunge`.
func (e *env) imapExpungeCommand() *cli.Command {
	o := &imapSetOptions{}
	return e.leaf(leaf{
		name:  "expunge",
		usage: "remove messages marked \\Deleted",
		about: "Without messages named, removes every message of the mailbox that is marked \\Deleted, whoever marked it. With " +
			"some named, removes those of them that are marked, which the server must be able to do (UIDPLUS); else the " +
			"status is 76 and nothing is removed.\n\n" + imapSetHelp,
		args:    "MAILBOX [SET|TERM…]",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitNo, exitIncomplete},
		changes: true,
		network: wire.IMAP,
		flags:   o.flags(),
		run:     func(ctx context.Context, c *call) error { return c.imapExpunge(ctx, *o) },
	})
}

func (c *call) imapExpunge(ctx context.Context, o imapSetOptions) error {
	if len(c.args) == 1 && o.raw == "" {
		return c.imapExpungeAll(ctx)
	}
	return c.imapChange(ctx, imapChange{options: o, verb: "expunge those marked \\Deleted among", printed: false,
		run: func(client *imap.Client, set imap.UIDSet) error {
			n, err := client.UIDExpunge(ctx, set)
			return c.expunged(n, err)
		}})
}

func (c *call) imapExpungeAll(ctx context.Context) error {
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], !c.dryRun); err != nil {
			return err
		}
		if !c.dryRun {
			n, err := client.Expunge(ctx)
			return c.expunged(n, err)
		}
		marked, err := client.Search(ctx, imap.SearchFlag(`\Deleted`))
		if err != nil || marked.Empty() {
			return err
		}
		return c.wouldChange("expunge", marked)
	})
}

// expunged tells how many messages were removed.
func (c *call) expunged(n int, err error) error {
	if err != nil || !c.json {
		return err
	}
	return c.printJSON(struct {
		Mailbox  string `json:"mailbox"`
		Expunged int    `json:"expunged"`
	}{valid(c.args[0]), n})
}
