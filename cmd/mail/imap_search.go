package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapSearchCommand is `mail imap search`.
func (e *env) imapSearchCommand() *cli.Command {
	var raw string
	return e.leaf(leaf{
		name:  "search",
		usage: "search a mailbox and print UIDs",
		about: "Prints the UIDs of the messages that fulfil every term, one a line; without a term, of all messages. Status 1 " +
			"means that none does.\n\n" +
			"Terms: all seen unseen answered unanswered flagged unflagged deleted undeleted draft undraft recent old new; " +
			"from:TEXT to: cc: bcc: subject: body: text: look for a part of what is there; header:NAME:TEXT does in any field, " +
			"header:NAME asks if there is one; since:DATE before: on: go by arrival, sentsince: sentbefore: senton: by the " +
			"Date field, with 2026-11-01, today, yesterday, 7d or 2w for a DATE; younger:AGE older: go by arrival to the second, " +
			"with 90s, 30m, 2h, 7d or 2w; larger:SIZE smaller: with 500k or 10M; keyword:WORD unkeyword: uid:SET; label:NAME " +
			"gmail:QUERY for Gmail only; not:TERM turns a term around. Each term is an operand of its own.\n\n" +
			"Where the server does not know ages (WITHIN), or takes no texts beyond ASCII, it is asked for more messages, and " +
			"those are looked at here. label: and gmail: cannot be done without Gmail: the status is 76.\n\n" +
			"--imap takes search keys as they are in IMAP, for OR and what else the server knows.",
		args:    "MAILBOX [TERM…]",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitNo},
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "imap", Usage: "search by raw IMAP search `KEYS` too", Destination: &raw},
		},
		run: func(ctx context.Context, c *call) error { return c.imapSearch(ctx, raw) },
	})
}

func (c *call) imapSearch(ctx context.Context, raw string) error {
	q, err := c.parseTerms(c.args[1:], raw)
	if err != nil {
		return err
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], false); err != nil {
			return err
		}
		found, err := q.run(ctx, client)
		if err != nil {
			return err
		}
		if found.Empty() {
			return silent(exitNo)
		}
		return c.printUIDs(found)
	})
}

// printUIDs prints one UID a line.
func (c *call) printUIDs(set imap.UIDSet) error {
	for uid := range set.All() {
		if err := c.printUID(uid); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) printUID(uid imap.UID) error {
	if c.json {
		return c.printJSON(imapObject{UID: uid})
	}
	return c.lines.put(uidText(uid))
}
