package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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
			"server tells it. Many go out without waiting for each reply. Without --date the arrival date is that of the stream, " +
			"else the server's clock; without --flag the flags are those of the stream.\n\n" +
			"The server may refuse some of the messages and store the others: each is told by its number in the stream, and the " +
			"status is 3. When the connection breaks while the last replies are owed, it is not known whether those messages are " +
			"stored: that is told too, and the status is 75.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		exits:   []int{exitIncomplete},
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
	next, stop := iter.Pull2(store.ReadStream(in))
	defer stop()
	first, err, ok := next()
	switch {
	case err != nil:
		return err
	case !ok:
		return codef(exitData, "no message on standard input")
	}
	a := &imapAppending{call: c, meta: meta, next: next, first: first, facts: map[int]imapObject{}}
	c.depth = appendDepth
	return c.imapSession(ctx, func(client *imap.Client) error {
		if o.create { // one that exists is refused
			var refused *imap.Error
			if err := client.Create(ctx, c.args[0]); err != nil && (!errors.As(err, &refused) || client.Err() != nil) {
				return err
			}
		}
		return a.result(client.AppendAll(ctx, c.args[0], a.items, a.outcome))
	})
}

const (
	// appendDepth bounds the commands in flight, each of which keeps at most appendKept octets.
	appendDepth = 16
	// appendKept is the size up to which a message is kept until its outcome is known: the server may refuse several that
	// went in one command, and they are sent again one by one.
	appendKept = 1 << 20
)

// imapAppending is one run of the command.
type imapAppending struct {
	*call
	meta   imap.AppendOptions // of all messages
	first  *store.Message
	next   func() (*store.Message, error, bool)
	facts  map[int]imapObject // of messages under way, by number from 0
	stored int
	failed []appendFailure
}

type appendFailure struct {
	number int
	err    error
}

// items gives the messages to be stored.
func (a *imapAppending) items(yield func(imap.AppendItem, error) bool) {
	msg, ok := a.first, true
	for n := 0; ok; n++ {
		item, err := a.item(n, msg)
		if !yield(item, err) || err != nil {
			return
		}
		if msg, err, ok = a.next(); err != nil {
			yield(imap.AppendItem{}, &localError{err})
			return
		}
	}
}

func (a *imapAppending) item(n int, msg *store.Message) (imap.AppendItem, error) {
	item := imap.AppendItem{Size: msg.WireSize(), Body: msg.Wire(), Flags: a.meta.Flags, Date: a.meta.Date}
	if item.Date.IsZero() {
		item.Date = msg.Meta.Date
	}
	if item.Flags == nil {
		for _, word := range msg.Meta.Flags {
			if f, err := imapwire.ParseFlag(word); err == nil && f != imapwire.FlagRecent {
				item.Flags = append(item.Flags, f)
			}
		}
	}
	if item.Size <= appendKept {
		octets, err := io.ReadAll(item.Body)
		if err != nil {
			return item, &localError{err}
		}
		item.Body = bytes.NewReader(octets)
	}
	a.facts[n] = imapObject{Mailbox: valid(a.args[0]), Size: item.Size, Keywords: jmapKeywords(item.Flags)}
	return item, nil
}

// outcome prints the UID of a message that is stored.
func (a *imapAppending) outcome(n int, r imap.AppendResult) error {
	out := a.facts[n]
	delete(a.facts, n)
	if r.Err != nil {
		a.failed = append(a.failed, appendFailure{n + 1, r.Err})
		return nil
	}
	a.stored++
	switch {
	case a.json:
		out.UID, out.UIDValidity = r.UID, r.UIDValidity
		return a.printJSON(out)
	case r.UID == 0:
		return nil
	}
	return a.lines.put(uidText(r.UID))
}

// result tells what was not stored. err is what ended it all, if something did.
func (a *imapAppending) result(err error) error {
	if len(a.failed) == 1 && a.stored == 0 {
		return a.failed[0].err
	}
	for _, f := range a.failed {
		fmt.Fprintf(a.stderr, "mail: message %d: %s\n", f.number, escapeText(f.err.Error()))
	}
	switch {
	case err != nil && a.stored > 0:
		return fmt.Errorf("after %s stored: %w", plural(a.stored, "message"), err)
	case err != nil || len(a.failed) == 0:
		return err
	case a.stored == 0:
		return fmt.Errorf("no message is stored: %w", a.failed[0].err)
	}
	return codef(exitIncomplete, "%s not stored, %d stored", plural(len(a.failed), "message"), a.stored)
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
