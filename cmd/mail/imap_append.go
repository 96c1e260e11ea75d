package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapAppendOptions struct {
	flags  cli.StringSlice
	date   string
	create bool
}

// imapAppendCommand is `mail imap append`.
func (e *env) imapAppendCommand() *cli.Command {
	o := &imapAppendOptions{}
	return e.leaf(leaf{
		name:  "append",
		usage: "store messages in a mailbox",
		about: "Stores the message, or each message of the mboxrd stream, on standard input, and prints its UID where the " +
			"server tells it. Without --date the arrival date is that of the stream, else the server's clock.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "flag", Usage: "give it `FLAG`: seen, flagged, a keyword; may be repeated", Destination: &o.flags},
			&cli.StringFlag{Name: "date", Usage: "its arrival `DATE`: 2026-11-01, 2026-11-01T12:00:00Z, or as in a Date field",
				Destination: &o.date},
			&cli.BoolFlag{Name: "create", Usage: "make the mailbox if there is none", Destination: &o.create},
		},
		run: func(ctx context.Context, c *call) error { return c.imapAppend(ctx, o) },
	})
}

// parseArrival reads --date.
func parseArrival(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	t, err := message.ParseDate(text)
	if err != nil {
		return time.Time{}, usagef("%q is not a date such as 2026-11-01 or 2026-11-01T12:00:00Z", text)
	}
	return t, nil
}

func (c *call) imapAppend(ctx context.Context, o *imapAppendOptions) error {
	flags, err := parseFlags(o.flags.Value())
	if err != nil {
		return err
	}
	meta := imap.AppendOptions{Flags: flags}
	if o.date != "" {
		if meta.Date, err = parseArrival(o.date); err != nil {
			return err
		}
	}
	in, err := c.input("a message")
	if err != nil {
		return err
	}
	if c.dryRun {
		return c.wouldAppend()
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		n := 0
		for msg, err := range store.ReadStream(in) {
			if err != nil {
				return &localError{err}
			}
			if err := c.appendOne(ctx, client, msg, imapAppending{meta, o.create}); err != nil {
				if n > 0 {
					err = fmt.Errorf("after %s stored: %w", plural(n, "message"), err)
				}
				return err
			}
			n++
		}
		if n == 0 {
			return &localError{codef(exitData, "no message on standard input")}
		}
		return nil
	})
}

// imapAppending says how each message is stored.
type imapAppending struct {
	meta   imap.AppendOptions
	create bool
}

// appendOne stores one message and prints its UID.
func (c *call) appendOne(ctx context.Context, client *imap.Client, msg *store.Message, o imapAppending) error {
	meta := o.meta
	if meta.Date.IsZero() {
		meta.Date = msg.Meta.Date
	}
	if meta.Flags == nil {
		for _, word := range msg.Meta.Flags {
			if f, err := imapwire.ParseFlag(word); err == nil && f != imapwire.FlagRecent {
				meta.Flags = append(meta.Flags, f)
			}
		}
	}
	put := func() (*imap.AppendData, error) {
		return client.Append(ctx, c.args[0], msg.WireSize(), msg.Wire(), &meta)
	}
	data, err := put()
	var refused *imap.Error
	if o.create && errors.As(err, &refused) && refused.NotFound() {
		if err = client.Create(ctx, c.args[0]); err == nil {
			data, err = put()
		}
	}
	switch {
	case err != nil, data.UID == 0 && !c.json:
		return err
	case c.json:
		return c.printJSON(imapObject{UID: data.UID, Mailbox: valid(c.args[0]), UIDValidity: data.UIDValidity,
			Size: msg.WireSize(), Keywords: jmapKeywords(meta.Flags)})
	}
	return c.lines.put(uidText(data.UID))
}

// wouldAppend is the dry run: it reads the messages and stores none.
func (c *call) wouldAppend() error {
	n := 0
	for msg, err := range store.ReadStream(c.stdin) {
		if err != nil {
			return err
		}
		n++
		if c.json {
			if err := c.printJSON(imapObject{Mailbox: valid(c.args[0]), Size: msg.WireSize(), DryRun: true}); err != nil {
				return err
			}
			continue
		}
		c.note("would store a message of %d octets in %q", msg.WireSize(), c.args[0])
	}
	if n == 0 {
		return codef(exitData, "no message on standard input")
	}
	return nil
}
