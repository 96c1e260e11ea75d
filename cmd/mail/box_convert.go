package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/store"
)

// boxConvertCommand is `mail box convert`.
func (e *env) boxConvertCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "convert",
		usage: "copy messages into a Maildir, mbox or eml folder",
		about: "Stores every message of SRC in DEST: maildir:DIR, mbox:FILE or eml:DIR, which is made if it is missing. Octets, order " +
			"and dates stay; flags too where DEST has a place for them. A folder of .eml files has none, a Maildir has one " +
			"for 26 keywords, which the file dovecot-keywords names, and an mbox has them in its `From ` lines. Prints the name of each message once it is safely on disk.\n\n" +
			"SRC is only read, and what is in DEST stays. Messages that DEST holds already are not stored again, so the same command " +
			"completes a run that was interrupted.\n\n" + boxSourceHelp,
		args:    "SRC DEST",
		minArgs: 2,
		maxArgs: 2,
		changes: true,
		exits:   []int{exitCreate},
		run:     func(ctx context.Context, c *call) error { return c.boxConvert(ctx) },
	})
}

func (c *call) boxConvert(ctx context.Context) error {
	dest := c.args[1]
	if kind, path, _ := strings.Cut(dest, ":"); path == "" || kind != "maildir" && kind != "mbox" && kind != "eml" {
		return usagef("%q: one of maildir:DIR, mbox:FILE, eml:DIR expected", dest)
	}
	src, err := c.openBox(c.args[0])
	if err != nil {
		return err
	}
	done, err := store.Convert(ctx, src, dest, store.ConvertOptions{DryRun: c.dryRun, Stored: func(from, name string) error {
		switch {
		case c.json:
			return c.printJSON(boxMoved{Path: valid(name), From: valid(from), DryRun: c.dryRun})
		case c.dryRun:
			name = from
		}
		return c.lines.put(escapeText(name))
	}})
	if err != nil {
		return err
	}
	if done.Already > 0 {
		c.note("%s stored, %s in %s already", boxCount(done.Stored), boxCount(done.Already), dest)
	}
	return nil
}
