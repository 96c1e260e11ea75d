package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// popUidlCommand is `mail pop uidl`.
func (e *env) popUidlCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "uidl",
		usage: "print number and unique id of messages",
		about: "Prints one line for each message: its number, a space, its id, which stays the same between sessions. An id " +
			"that is malformed, or that several messages have, is reported on standard error: it cannot be used as " +
			"uidl:ID.\n\n" + popNamesHelp,
		args:    "[N…]",
		maxArgs: -1,
		network: wire.POP3,
		run:     func(ctx context.Context, c *call) error { return c.popUidl(ctx) },
	})
}

func (c *call) popUidl(ctx context.Context) error {
	names, err := c.popNames(c.args)
	if err != nil {
		return err
	}
	return c.popSession(ctx, func(client *pop3.Client) error {
		m, err := openMaildrop(ctx, client, names, true)
		if err != nil {
			return err
		}
		chosen, err := m.choose(names)
		if err != nil {
			return err
		}
		for _, msg := range chosen {
			if msg.uid.Flaw != pop3.NoFlaw {
				c.note("message %d: %v", msg.number, msg.uid.Flaw)
			}
			if c.json {
				err = c.printJSON(msg.object())
			} else {
				err = c.lines.put(fmt.Sprintf("%d %s", msg.number, escapeText(msg.uid.ID)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
