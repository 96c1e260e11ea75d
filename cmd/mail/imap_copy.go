package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapCopyOptions struct {
	imapSetOptions
	to     string
	create bool
}

func (o *imapCopyOptions) flags() []cli.Flag {
	return o.imapSetOptions.flags(
		&cli.StringFlag{Name: "to", Usage: "the `MAILBOX` they go to", Destination: &o.to},
		&cli.BoolFlag{Name: "create", Usage: "make that mailbox if there is none", Destination: &o.create},
	)
}

// imapCopyCommand is `mail imap copy`.
func (e *env) imapCopyCommand() *cli.Command {
	o := &imapCopyOptions{}
	return e.leaf(leaf{
		name:  "copy",
		usage: "copy messages into another mailbox",
		about: "Copies on the server, and prints the UIDs of the copies, one a line, where the server tells them.\n\n" + imapSetHelp,
		args:  "MAILBOX SET|TERM… --to MAILBOX", minArgs: 1, maxArgs: -1,
		exits: []int{exitNo, exitIncomplete}, changes: true, network: wire.IMAP, flags: o.flags(),
		run: func(ctx context.Context, c *call) error { return c.imapTransfer(ctx, o, false) },
	})
}

// imapTransfer copies or moves.
func (c *call) imapTransfer(ctx context.Context, o *imapCopyOptions, move bool) error {
	if o.to == "" {
		return usagef("--to MAILBOX is missing")
	}
	verb := "copy"
	if move {
		verb = "move"
	}
	return c.imapChange(ctx, imapChange{options: o.imapSetOptions, verb: verb, readOnly: !move,
		run: func(client *imap.Client, set imap.UIDSet) error {
			transfer := client.Copy
			if move {
				transfer = client.Move
			}
			data, err := transfer(ctx, set, o.to)
			var refused *imap.Error
			if o.create && errors.As(err, &refused) && refused.NotFound() {
				if err = client.Create(ctx, o.to); err == nil {
					data, err = transfer(ctx, set, o.to)
				}
			}
			if e := c.printCopies(data, o.to); e != nil && err == nil {
				err = e
			}
			return err
		}})
}

// printCopies prints the new UIDs.
func (c *call) printCopies(data *imap.CopyData, to string) error {
	if data == nil {
		return nil
	}
	var err error
	data.Each(func(src, dst imap.UID) {
		switch {
		case err != nil:
		case c.json:
			err = c.printJSON(imapObject{UID: src, NewUID: dst, Mailbox: valid(to), UIDValidity: data.UIDValidity})
		default:
			err = c.lines.put(uidText(dst))
		}
	})
	return err
}

// imapChange is a change to messages of a mailbox.
type imapChange struct {
	options  imapSetOptions
	verb     string // what is done, for --dry-run
	readOnly bool   // the mailbox itself stays as it is
	printed  bool   // with --json, a line for each message is printed afterwards
	run      func(client *imap.Client, set imap.UIDSet) error
}

// imapChange finds the messages that the operands name, and changes those that are there.
func (c *call) imapChange(ctx context.Context, change imapChange) error {
	m, err := c.imapMessages(c.args[1:], change.options)
	if err != nil || m.nothing() {
		return err
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], !change.readOnly && !c.dryRun); err != nil {
			return err
		}
		found, missing, err := m.find(ctx, client)
		if err != nil {
			return err
		}
		if c.dryRun {
			if err := c.wouldChange(change.verb, found); err != nil {
				return err
			}
			return imapMissing(missing)
		}
		if err := change.run(client, found); err != nil {
			return err
		}
		if change.printed && c.json {
			if err := c.printUIDs(found); err != nil {
				return err
			}
		}
		return imapMissing(missing)
	})
}

// wouldChange is the dry run.
func (c *call) wouldChange(verb string, set imap.UIDSet) error {
	if !c.json {
		c.note("would %s %s of %q: UID %s", verb, plural(int(set.Count()), "message"), c.args[0], shorten(set.String(), 200))
		return nil
	}
	for uid := range set.All() {
		if err := c.printJSON(imapObject{UID: uid, Mailbox: valid(c.args[0]), DryRun: true}); err != nil {
			return err
		}
	}
	return nil
}
