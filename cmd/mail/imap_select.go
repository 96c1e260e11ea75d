package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapSelectCommand is `mail imap select`.
func (e *env) imapSelectCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "select",
		usage: "open a mailbox and print its state",
		about: "Prints one line for each thing the server tells about the mailbox: the number of messages, of unseen ones, " +
			"uidvalidity, uidnext, highestmodseq, size, flags. The mailbox is opened for reading only.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		network: wire.IMAP,
		run:     func(ctx context.Context, c *call) error { return c.imapSelect(ctx) },
	})
}

func (c *call) imapSelect(ctx context.Context) error {
	return c.imapSession(ctx, func(client *imap.Client) error {
		// STATUS comes first: it must not be asked about a mailbox that is open
		status, err := client.Status(ctx, c.args[0], imap.StatusUnseen|imap.StatusSize)
		var refused *imap.Error
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		data, err := openMailbox(ctx, client, c.args[0], false)
		if err != nil {
			return err
		}
		if c.json {
			return c.imapSelectJSON(data, status)
		}
		return c.imapSelectRows(data, status)
	})
}

func (c *call) imapSelectJSON(data *imap.SelectData, status *imap.StatusData) error {
	o := imapMailbox{Name: valid(c.args[0]), Attributes: []string{}}
	o.addStatus(status)
	o.TotalEmails, o.UIDValidity, o.UIDNext, o.HighestModSeq = &data.Exists, data.UIDValidity, data.UIDNext, data.HighestModSeq
	o.MailboxID, o.Flags, o.Permanent = valid(data.MailboxID), flagWords(data.Flags), flagWords(data.PermanentFlags)
	return c.printJSON(o)
}

func (c *call) imapSelectRows(data *imap.SelectData, status *imap.StatusData) error {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	rows := [][2]string{{"messages", number(uint64(data.Exists))}}
	add := func(name string, known bool, value string) {
		if known {
			rows = append(rows, [2]string{name, value})
		}
	}
	if status.Has(imap.StatusUnseen) {
		add("unseen", true, number(uint64(status.Unseen)))
	}
	add("uidvalidity", data.UIDValidity != 0, number(uint64(data.UIDValidity)))
	add("uidnext", data.UIDNext != 0, number(uint64(data.UIDNext)))
	add("highestmodseq", data.HighestModSeq != 0, number(data.HighestModSeq))
	if status.Has(imap.StatusSize) {
		add("size", true, number(uint64(status.Size)))
	}
	add("mailboxid", data.MailboxID != "", data.MailboxID)
	add("flags", len(data.Flags) > 0, strings.Join(flagWords(data.Flags), " "))
	add("permanentflags", data.CanChange, strings.Join(flagWords(data.PermanentFlags), " "))
	for _, row := range rows {
		if err := c.row(row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
