package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// sendOptions is what the flags of `mail send` say.
type sendOptions struct {
	sender      string // envelope sender
	senderGiven bool
	headerRcpt  bool // -t
	draft       draftOptions
	print       bool
	dsn         smtp.DSN
	dsnGiven    bool
	onPartial   string
	helo        string
	noChunking  bool
}

// sendCommand is `mail send`.
func (e *env) sendCommand() *cli.Command {
	o := &sendOptions{}
	return e.leaf(leaf{
		name:    "send",
		usage:   "send a message",
		args:    "[RCPT…]",
		maxArgs: -1,
		about: "Sends the message on standard input, or every message of an mboxrd stream, to the operands, or without operands to the " +
			"recipients in To, Cc and Bcc (of a message that was resent, to those of the latest resending). Bcc never leaves. Missing Date, " +
			"Message-ID and From are added; nothing else is changed. The envelope sender is that of -f, of the account, or of the header.\n\n" +
			"With one of the options that compose, the message is made from them and standard input is its text. Operands are recipients then " +
			"that To names.\n\n" +
			"A message is read to its end and checked before the server is connected to. Each recipient that the server refuses is named on " +
			"standard error with the server's words; --json prints one object for each recipient, accepted or not, on standard output.",
		flags:   o.flags(),
		network: wire.SMTP,
		changes: true,
		exits:   []int{exitPartial, exitNoUser},
		run:     func(ctx context.Context, c *call) error { return c.send(ctx, o) },
	})
}

func (o *sendOptions) flags() []cli.Flag {
	own := []cli.Flag{
		&cli.GenericFlag{Name: "f", Usage: "envelope sender `ADDRESS`; <> is the null sender of reports", Value: &value{set: func(s string) error {
			o.sender, o.senderGiven = s, true
			return nil
		}}},
		&cli.BoolFlag{Name: "t", Destination: &o.headerRcpt, Usage: "send to the recipients in the header too when there are operands"},
	}
	own = append(own, o.draft.flags()...)
	return append(own,
		&cli.BoolFlag{Name: "print", Destination: &o.print, Usage: "write the message to standard output instead of sending it; with its Bcc"},
		o.dsnFlag("dsn", "ask for reports on `EVENTS`: success,failure,delay or never", func(s string) (err error) {
			o.dsn.Notify, err = smtp.ParseNotify(s)
			return err
		}),
		o.dsnFlag("ret", "reports bring back the `PART`: full or hdrs", func(s string) error {
			o.dsn.Return = strings.ToUpper(s)
			if o.dsn.Return != "FULL" && o.dsn.Return != "HDRS" {
				return usagef("full or hdrs expected")
			}
			return nil
		}),
		o.dsnFlag("envid", "reports bring back `ID`", func(s string) error { o.dsn.EnvID = s; return nil }),
		choiceFlag("on-partial", "when some recipients are refused, `DO` continue or abort", &o.onPartial, "continue", "abort"),
		&cli.StringFlag{Name: "helo", Destination: &o.helo, Usage: "our `NAME` to the server, instead of localhost"},
		&cli.BoolFlag{Name: "no-chunking", Destination: &o.noChunking, Usage: "send by DATA even where the server offers BDAT"},
	)
}

func (o *sendOptions) dsnFlag(name, usage string, set func(string) error) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		o.dsnGiven = true
		return set(s)
	}}}
}

// send is the whole command: messages come out of a source, are made ready, and go to the server.
func (c *call) send(ctx context.Context, o *sendOptions) error {
	p := &preparer{c: c, o: o}
	if err := p.findServer(); err != nil {
		return err
	}
	source, err := c.sendSource(o, p)
	if err != nil {
		return err
	}
	defer source.stop()
	switch {
	case o.print:
		return c.printMessages(ctx, source)
	case c.dryRun:
		return c.showEnvelopes(p, source)
	}
	d := &delivery{c: c, o: o, target: p.target, source: source}
	return d.run(ctx)
}
