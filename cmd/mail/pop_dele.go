package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// popDeleCommand is `mail pop dele`.
func (e *env) popDeleCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "dele",
		usage: "delete messages",
		about: "Marks the messages and lets the server delete them at the end of the session. Status 0 means that the " +
			"server said they are deleted. Status 75 means that it could not, or that its answer was lost; the message " +
			"on standard error says which. Status 3 means that some were deleted and the others refused.\n\n" + popNamesHelp,
		args:    "N…",
		minArgs: 1,
		maxArgs: -1,
		changes: true,
		exits:   []int{exitIncomplete},
		network: wire.POP3,
		run:     func(ctx context.Context, c *call) error { return c.popDele(ctx) },
	})
}

func (c *call) popDele(ctx context.Context) error {
	return c.popOnMessages(ctx, func(client *pop3.Client, _ *maildrop, chosen []popMessage) error {
		if c.dryRun {
			return c.popWouldDelete(chosen)
		}
		return c.popDelete(ctx, client, chosen)
	})
}

// popWouldDelete is the dry run.
func (c *call) popWouldDelete(chosen []popMessage) error {
	for _, msg := range chosen {
		if !c.json {
			id := ""
			if msg.uid.ID != "" && msg.uid.Flaw == pop3.NoFlaw {
				id = ", uidl:" + msg.uid.ID
			}
			c.note("would delete message %d (%d octets%s)", msg.number, msg.size, id)
			continue
		}
		o := msg.object()
		o.DryRun = true
		if err := c.printJSON(o); err != nil {
			return err
		}
	}
	return nil
}

// popDelete marks, commits, and only then says what was deleted. When some marks were refused the others are still
// committed: the user named each of them.
func (c *call) popDelete(ctx context.Context, client *pop3.Client, chosen []popMessage) error {
	refused := client.Dele(ctx, popNumbers(chosen))
	var partial *pop3.PartialError
	if refused != nil && !errors.As(refused, &partial) {
		return fmt.Errorf("nothing was deleted: %w", refused)
	}
	if err := client.Quit(ctx); err != nil {
		if partial != nil {
			c.note("%v", refused)
		}
		return err
	}
	if !c.json {
		return refused
	}
	left := map[int]bool{}
	if partial != nil {
		for _, r := range partial.Refused {
			left[r.Number] = true
		}
	}
	for _, msg := range chosen {
		o := msg.object()
		if o.Deleted = !left[msg.number]; !o.Deleted {
			continue
		}
		if err := c.printJSON(o); err != nil {
			return err
		}
	}
	return refused
}
