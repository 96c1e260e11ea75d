package main

import (
	"context"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// maxTop caps what top holds before it prints.
const maxTop = 64 << 20

type popTopOptions struct {
	crlf bool
}

// popTopCommand is `mail pop top`.
func (e *env) popTopCommand() *cli.Command {
	var o popTopOptions
	return e.leaf(leaf{
		name:    "top",
		usage:   "print the header and the first lines of a message",
		about:   "Prints the header and, behind the empty line, the first LINES lines of the body; without LINES none.\n\n" + popNamesHelp,
		args:    "N [LINES]",
		minArgs: 1,
		maxArgs: 2,
		network: wire.POP3,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "crlf", Usage: "print line ends as they came", Destination: &o.crlf},
		},
		run: func(ctx context.Context, c *call) error { return c.popTop(ctx, o) },
	})
}

func (c *call) popTop(ctx context.Context, o popTopOptions) error {
	lines := 0
	if len(c.args) == 2 {
		n, err := strconv.ParseUint(c.args[1], 10, 31)
		if err != nil {
			return usagef("%q is not a number of lines", c.args[1])
		}
		lines = int(n)
	}
	names, err := c.popNames(c.args[:1])
	if err != nil {
		return err
	}
	return c.popSession(ctx, func(client *pop3.Client) error {
		m, err := openMaildrop(ctx, client, names, false)
		if err != nil {
			return err
		}
		chosen, err := m.choose(names)
		if err != nil {
			return err
		}
		if len(chosen) != 1 {
			return usagef("%q names %d messages, one is expected", c.args[0], len(chosen))
		}
		return c.popTopOne(ctx, client, chosen[0], lines, o)
	})
}

// popTopOne prints nothing until all has come.
func (c *call) popTopOne(ctx context.Context, client *pop3.Client, m popMessage, lines int, o popTopOptions) error {
	var text []byte
	err := client.Top(ctx, []int{m.number}, lines, func(_ int, _ int64, r io.Reader) error {
		if !o.crlf {
			r = message.ToLF(r)
		}
		var err error
		text, err = io.ReadAll(io.LimitReader(r, maxTop+1))
		if err == nil && len(text) > maxTop {
			err = codef(exitData, "message %d: more than %d octets", m.number, maxTop)
		}
		return err
	})
	if err != nil {
		return lacks(ctx, client, err, "TOP")
	}
	if !c.json {
		_, err = c.stdout.Write(text)
		return err
	}
	object, shown := m.object(), valid(string(text))
	object.Text = &shown
	return c.printJSON(object)
}
