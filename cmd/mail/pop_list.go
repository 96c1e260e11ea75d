package main

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type popListOptions struct {
	headers bool
}

// popListCommand is `mail pop list`.
func (e *env) popListCommand() *cli.Command {
	var o popListOptions
	return e.leaf(leaf{
		name:  "list",
		usage: "print number and size of messages",
		about: "Prints one line for each message: its number, a space, its size in octets as the server counts it. With " +
			"--headers the columns are number, size, date, sender and subject, separated by tabs.\n\n" + popNamesHelp,
		args:    "[N…]",
		maxArgs: -1,
		exits:   []int{exitIncomplete},
		network: wire.POP3,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "headers", Usage: "print date, sender and subject too", Destination: &o.headers},
		},
		run: func(ctx context.Context, c *call) error { return c.popList(ctx, o) },
	})
}

func (c *call) popList(ctx context.Context, o popListOptions) error {
	return c.popOnMessages(ctx, func(client *pop3.Client, _ *maildrop, chosen []popMessage) error {
		if o.headers {
			return c.popListHeaders(ctx, client, chosen)
		}
		for _, msg := range chosen {
			if err := c.popPrint(msg); err != nil {
				return err
			}
		}
		return nil
	})
}

// optionalIDs adds the ids to a maildrop when the server has them and they are not known yet.
func (c *call) optionalIDs(ctx context.Context, client *pop3.Client, m *maildrop) error {
	if len(m.ids) > 0 {
		return nil
	}
	err := m.readIDs(ctx, client)
	var refused *pop3.Error
	var known *coded
	if errors.As(err, &refused) || errors.As(err, &known) {
		return nil
	}
	return err
}

func (c *call) popPrint(m popMessage) error {
	if c.json {
		return c.printJSON(m.object())
	}
	return c.lines.put(m.pair())
}

// popListHeaders prints the messages with what their headers say. A message whose header the server refuses is listed
// without, and the command ends as incomplete.
func (c *call) popListHeaders(ctx context.Context, client *pop3.Client, chosen []popMessage) error {
	i := 0
	skipped := func(until int) error { // those that were refused
		for ; i < len(chosen) && chosen[i].number != until; i++ {
			if err := c.popPrintHeader(chosen[i], popSummary{}); err != nil {
				return err
			}
		}
		return nil
	}
	err := client.Top(ctx, popNumbers(chosen), 0, func(n int, _ int64, r io.Reader) error {
		s, err := readSummary(r)
		if err != nil {
			return err
		}
		if err := skipped(n); err != nil {
			return err
		}
		i++
		return c.popPrintHeader(chosen[i-1], s)
	})
	var partial *pop3.PartialError
	switch {
	case !errors.As(err, &partial):
		return err
	case len(partial.Done) == 0:
		return lacks(ctx, client, err, "TOP")
	}
	return errors.Join(skipped(0), err)
}

func (c *call) popPrintHeader(m popMessage, s popSummary) error {
	if c.json {
		o := m.object()
		s.fill(&o)
		return c.printJSON(o)
	}
	return c.row(append([]string{strconv.Itoa(m.number), strconv.FormatInt(m.size, 10)}, s.columns()...)...)
}
