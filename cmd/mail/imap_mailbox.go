package main

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// imapOnMailbox runs one command on the mailbox that the operand names.
func (c *call) imapOnMailbox(ctx context.Context, verb string, run func(client *imap.Client) error) error {
	if c.dryRun {
		c.note("would %s %q", verb, c.args[0])
		return nil
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if err := run(client); err != nil || !c.json {
			return err
		}
		return c.printJSON(struct {
			Name string `json:"name"`
			Done string `json:"done"`
		}{valid(c.args[len(c.args)-1]), verb})
	})
}
