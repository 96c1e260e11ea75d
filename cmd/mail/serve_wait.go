package main

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// Defaults of `mail serve wait`.
const (
	waitTime = 30 * time.Second
	waitStep = 200 * time.Millisecond // between two looks at a server without IDLE
)

// serveWaitOptions say which message is waited for.
type serveWaitOptions struct {
	to, from, subject, mailbox string
	crlf                       bool
}

// serveWaitCommand is `mail serve wait`.
func (e *env) serveWaitCommand() *cli.Command {
	o := &serveWaitOptions{mailbox: "INBOX"}
	pattern := func(name, usage string, dest *string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Destination: dest}
	}
	return e.leaf(leaf{
		name:  "wait",
		usage: "wait for a message and print it",
		about: "Looks into a mailbox over IMAP until a message is there that fits, and prints it as it is, with LF line ends. " +
			"Messages that are there already count; of several the oldest is taken. It is left as it was, unseen. It works " +
			"with `mail serve`, whose --exec sets what it needs in the environment, and with any other server.\n\n" +
			"--to, --from and --subject are compared without regard to case, * stands for any text. --to looks at the header's " +
			"recipients and at Delivered-To. Without any of them every message fits.\n\n" +
			"--timeout is how long to wait, 30 seconds unless it is given; status 75 says that no such message came.",
		network: wire.IMAP,
		flags: []cli.Flag{
			pattern("to", "take a message to `ADDRESS`", &o.to),
			pattern("from", "take a message from `ADDRESS`", &o.from),
			pattern("subject", "take a message whose subject is like `GLOB`", &o.subject),
			&cli.StringFlag{Name: "mailbox", Usage: "look into `MAILBOX`", Value: o.mailbox, Destination: &o.mailbox},
			&cli.BoolFlag{Name: "crlf", Usage: "print line ends as they came", Destination: &o.crlf},
		},
		run: func(ctx context.Context, c *call) error { return c.serveWait(ctx, o) },
	})
}

func (c *call) serveWait(ctx context.Context, o *serveWaitOptions) error {
	patience := c.timeout
	if patience <= 0 {
		patience = waitTime
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.imapSession(limited, func(client *imap.Client) error {
		if _, err := openMailbox(limited, client, o.mailbox, false); err != nil {
			return err
		}
		uid, err := o.find(limited, client)
		if err != nil {
			return err
		}
		return c.serveWaitPrint(limited, client, uid, o.crlf)
	})
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return codef(exitTemporary, "no such message within %v", patience)
	}
	return err
}

// find looks at each message once, as it comes, until one fits.
func (o *serveWaitOptions) find(ctx context.Context, client *imap.Client) (uid imap.UID, err error) {
	watch := &imap.WatchOptions{Known: &imap.UIDSet{}, Poll: waitStep}
	err = client.Watch(ctx, watch, func(e imap.Event) error {
		if e.Kind != imap.EventNew {
			return nil
		}
		found, err := o.first(ctx, client, e.UIDs)
		if err == nil && found != 0 {
			uid, err = found, imap.ErrStop
		}
		return err
	})
	if err == nil && uid == 0 {
		err = ctx.Err()
	}
	return uid, err
}

// first returns the lowest UID of the messages in set that fit, or 0.
func (o *serveWaitOptions) first(ctx context.Context, client *imap.Client, set imap.UIDSet) (uid imap.UID, err error) {
	items := &imap.FetchOptions{Sections: []imap.Section{{Spec: "HEADER"}}}
	_, err = client.Fetch(ctx, set, items, func(m *imap.Message) error {
		body, err := m.Next()
		if err != nil {
			return err
		}
		header, err := message.ReadHeader(bufio.NewReader(body))
		if err == nil && o.fits(header) && (uid == 0 || m.UID < uid) { // without a header nothing could fit
			uid = m.UID
		}
		return nil
	})
	return uid, err
}

// fits compares a header with what is wanted.
func (o *serveWaitOptions) fits(h *message.Header) bool {
	subject, _ := h.Get("Subject")
	return (o.subject == "" || matchGlob(o.subject, message.DecodeWords(subject))) &&
		(o.to == "" || anyAddress(h, o.to, "To", "Cc", "Bcc", "Delivered-To", "X-Original-To")) &&
		(o.from == "" || anyAddress(h, o.from, "From", "Sender", "Return-Path"))
}

// anyAddress reports whether an address in one of the fields fits.
func anyAddress(h *message.Header, pattern string, fields ...string) bool {
	for _, name := range fields {
		for _, value := range h.Values(name) {
			list, err := message.ParseAddressList(value)
			if err != nil {
				list = []message.Address{{Addr: strings.Trim(value, "<> ")}}
			}
			for _, a := range list {
				if matchGlob(pattern, a.Addr) {
					return true
				}
			}
		}
	}
	return false
}

// matchGlob compares without regard to case; "*" stands for any text, also none.
func matchGlob(pattern, text string) bool {
	pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	parts := strings.Split(pattern, "*")
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok || len(parts) == 1 {
		return ok && text == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// serveWaitPrint prints the message.
func (c *call) serveWaitPrint(ctx context.Context, client *imap.Client, uid imap.UID, crlf bool) error {
	sink, err := store.OpenSink("-", store.SinkOptions{Stdout: c.stdout, CRLF: crlf})
	if err != nil {
		return &localError{err}
	}
	set := imap.UIDSet{}
	set.Add(uid)
	gone, err := client.Fetch(ctx, set, &imap.FetchOptions{Sections: []imap.Section{{}}}, func(m *imap.Message) error {
		body, err := m.Next()
		if err != nil {
			return err
		}
		if _, err = sink.Put(ctx, body, store.Meta{}); err != nil && client.Err() == nil && ctx.Err() == nil {
			return &localError{err}
		}
		return err
	})
	if e := sink.Close(); e != nil && err == nil {
		err = &localError{e}
	}
	if err == nil && !gone.Empty() {
		return notFoundf("message %d was there and is gone", uid)
	}
	return err
}
