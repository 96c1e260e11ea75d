package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapListOptions struct {
	long       bool
	subscribed bool
}

// imapListCommand is `mail imap list`.
func (e *env) imapListCommand() *cli.Command {
	var o imapListOptions
	return e.leaf(leaf{
		name:  "list",
		usage: "list mailboxes",
		about: "Prints the name of each mailbox and its attributes. In PATTERN, `*` stands for anything and `%` for anything " +
			"within one level. With -l come the number of messages, of unseen ones, and the size in octets where the server " +
			"tells it; `-` stands for what it does not tell. A pattern that no mailbox fits ends with status 1.",
		args:    "[PATTERN]",
		maxArgs: 1,
		exits:   []int{exitNo},
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "l", Usage: "print messages, unseen and size too", Destination: &o.long},
			&cli.BoolFlag{Name: "subscribed", Usage: "list subscribed mailboxes only", Destination: &o.subscribed},
		},
		run: func(ctx context.Context, c *call) error { return c.imapList(ctx, o) },
	})
}

func (c *call) imapList(ctx context.Context, o imapListOptions) error {
	options := &imap.ListOptions{Subscribed: o.subscribed}
	if len(c.args) > 0 {
		options.Pattern = c.args[0]
	}
	if o.long {
		options.Status = imap.StatusMessages | imap.StatusUnseen | imap.StatusSize | imap.StatusUIDValidity |
			imap.StatusUIDNext | imap.StatusHighestModSeq | imap.StatusMailboxID
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		list, err := client.List(ctx, options)
		if err != nil {
			return err
		}
		for i := range list {
			if err := c.imapListed(&list[i], o); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			return silent(exitNo)
		}
		return nil
	})
}

func (c *call) imapListed(m *imap.Mailbox, o imapListOptions) error {
	if c.json {
		out := imapMailbox{Name: valid(m.Name), Role: m.Role(), Delimiter: valid(m.Delim), Attributes: flagWords(m.Attrs)}
		if subscribed := m.Has(`\Subscribed`) || o.subscribed; subscribed {
			out.IsSubscribed = &subscribed
		}
		out.addStatus(m.Status)
		return c.printJSON(out)
	}
	columns := []string{m.Name, strings.Join(flagWords(m.Attrs), " ")}
	if o.long {
		columns = append(columns,
			told(m.Status.Has(imap.StatusMessages), func() int64 { return int64(m.Status.Messages) }),
			told(m.Status.Has(imap.StatusUnseen), func() int64 { return int64(m.Status.Unseen) }),
			told(m.Status.Has(imap.StatusSize), func() int64 { return m.Status.Size }))
	}
	return c.row(columns...)
}

// told prints a number, or - when the server did not tell it.
func told(known bool, number func() int64) string {
	if !known {
		return "-"
	}
	return strconv.FormatInt(number(), 10)
}
