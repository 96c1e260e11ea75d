package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/store"
)

type boxDedupeOptions struct {
	by, to string
}

// boxDedupeCommand is `mail box dedupe`.
func (e *env) boxDedupeCommand() *cli.Command {
	o := boxDedupeOptions{by: "content"}
	return e.leaf(leaf{
		name:  "dedupe",
		usage: "remove messages that are there more than once",
		about: "Removes from a Maildir, a folder of .eml files or an mbox the messages that it holds more than once, octet for octet, or, " +
			"--by message-id, with the same Message-ID. The oldest stays, in an mbox the first. With --to they are moved rather than removed: each is on " +
			"disk there before it goes. Prints the path of each duplicate.\n\n" +
			"An mbox is locked, written anew beside the old file, without a change to any other octet, and replaced at once, so that a run that is " +
			"interrupted leaves one of the two whole. Mode and owner stay.\n\n" + boxSourceHelp,
		args:    "SRC",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		exits:   []int{exitCreate},
		flags: []cli.Flag{
			choiceFlag("by", "compare `WHAT`: content (default) or message-id", &o.by, "content", "message-id"),
			&cli.StringFlag{Name: "to", Usage: "move duplicates to the Maildir `DIR`, or to maildir:DIR, mbox:FILE or eml:DIR",
				Destination: &o.to},
		},
		run: func(ctx context.Context, c *call) error { return c.boxDedupe(ctx, o) },
	})
}

func (c *call) boxDedupe(ctx context.Context, o boxDedupeOptions) (err error) {
	src, err := c.openBox(c.args[0])
	if err != nil {
		return err
	}
	options := store.DedupeOptions{ByMessageID: o.by == "message-id", DryRun: c.dryRun, Found: c.boxDuplicate}
	if o.to != "" && !c.dryRun {
		if kind, _, found := strings.Cut(o.to, ":"); !found || kind != "maildir" && kind != "mbox" && kind != "eml" {
			o.to = "maildir:" + o.to
		}
		if options.To, err = store.OpenSink(o.to, store.SinkOptions{}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, options.To.Close()) }()
	}
	n, err := store.Dedupe(ctx, src, options)
	if err != nil {
		return boxData(err)
	}
	if n == 0 {
		c.note("no duplicates")
	}
	return nil
}

// boxDuplicate prints a message that is there more than once.
func (c *call) boxDuplicate(d store.Duplicate) error {
	if c.json {
		return c.printJSON(boxMoved{Path: valid(d.Path), From: valid(d.Of), To: valid(d.To), DryRun: c.dryRun})
	}
	return c.lines.put(escapeText(d.Path))
}
