package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapFlagOptions struct {
	imapSetOptions
	add, remove, set cli.StringSlice
}

// imapFlagCommand is `mail imap flag`.
func (e *env) imapFlagCommand() *cli.Command {
	o := &imapFlagOptions{}
	return e.leaf(leaf{
		name:  "flag",
		usage: "change the flags of messages",
		about: "Adds flags to messages, removes flags, or sets them to exactly those given (`--set none` leaves none). Each " +
			"option may be given several times. seen, answered, flagged, deleted and draft stand for the system flags; any " +
			"other word is a keyword.\n\n" + imapSetHelp,
		args:    "MAILBOX SET|TERM…",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitNo, exitIncomplete},
		changes: true,
		network: wire.IMAP,
		flags: o.imapSetOptions.flags(
			&cli.StringSliceFlag{Name: "add", Usage: "add `FLAG`", Destination: &o.add},
			&cli.StringSliceFlag{Name: "remove", Usage: "remove `FLAG`", Destination: &o.remove},
			&cli.StringSliceFlag{Name: "set", Usage: "set the flags to `FLAG`", Destination: &o.set},
		),
		run: func(ctx context.Context, c *call) error { return c.imapFlag(ctx, o) },
	})
}

func (c *call) imapFlag(ctx context.Context, o *imapFlagOptions) error {
	add, err := parseFlags(o.add.Value())
	if err != nil {
		return err
	}
	remove, err := parseFlags(o.remove.Value())
	if err != nil {
		return err
	}
	words := o.set.Value()
	clear := len(words) == 1 && words[0] == "none"
	if clear {
		words = nil
	}
	set, err := parseFlags(words)
	switch {
	case err != nil:
		return err
	case len(add)+len(remove)+len(set) == 0 && !clear:
		return usagef("one of --add, --remove and --set is expected")
	case (len(set) > 0 || clear) && len(add)+len(remove) > 0:
		return usagef("--set goes with neither --add nor --remove")
	}
	return c.imapChange(ctx, imapChange{options: o.imapSetOptions, verb: "change the flags of", printed: true,
		run: func(client *imap.Client, uids imap.UIDSet) error {
			if len(set) > 0 || clear {
				return client.Store(ctx, uids, imap.SetFlags, set)
			}
			if len(add) > 0 {
				if err := client.Store(ctx, uids, imap.AddFlags, add); err != nil {
					return err
				}
			}
			if len(remove) > 0 {
				return client.Store(ctx, uids, imap.RemoveFlags, remove)
			}
			return nil
		}})
}

// parseFlags reads flags as a person writes them.
func parseFlags(words []string) ([]imap.Flag, error) {
	var flags []imap.Flag
	for _, w := range words {
		f, err := imapwire.ParseFlag(w)
		if err == nil && f == imapwire.FlagRecent {
			return nil, usagef("\\Recent belongs to the server")
		}
		if err != nil {
			return nil, usagef("%v", err)
		}
		flags = append(flags, f)
	}
	return flags, nil
}
