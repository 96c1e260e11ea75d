package main

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/smtp/mx"
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

	sources     cli.StringSlice // --message
	connections int             // -j
	rate        *rate
	results     string
	saveSent    bool
	sentMailbox string
	aliases     string
	undisclosed bool
	resend      bool
	requireTLS  bool
	fullName    string
	skipEmpty   bool

	mx       bool
	mxPort   int
	resolver mx.Resolver
}

// sendCommand is `mail send`.
func (e *env) sendCommand() *cli.Command {
	o := &sendOptions{resolver: net.DefaultResolver}
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
		&cli.StringSliceFlag{Name: "message", Destination: &o.sources,
			Usage: "send the messages in `SOURCE`, a file, maildir:DIR, mbox:FILE or eml:DIR, instead of standard input; may be repeated"},
		&cli.IntFlag{Name: "j", Value: 1, Destination: &o.connections, Usage: "send over `N` connections at once"},
		&cli.GenericFlag{Name: "rate", Usage: "send at most `N/UNIT` messages: 30/min, 5/s, 500/h", Value: &value{set: func(s string) (err error) {
			o.rate, err = parseRate(s)
			return err
		}}},
		&cli.StringFlag{Name: "results", Destination: &o.results, Usage: "append a JSON object for each recipient to `FILE`"},
		&cli.BoolFlag{Name: "save-sent", Destination: &o.saveSent, Usage: "store a copy of what was sent in the account's mailbox for sent mail, by IMAP"},
		&cli.StringFlag{Name: "sent-mailbox", Usage: "store the copies in `MAILBOX`", Destination: &o.sentMailbox},
		&cli.StringFlag{Name: "aliases", Usage: "look up recipients without a domain in `FILE`", Destination: &o.aliases, TakesFile: true},
		&cli.BoolFlag{Name: "undisclosed", Destination: &o.undisclosed, Usage: "hide the recipients: To and Cc become undisclosed-recipients:;"},
		&cli.BoolFlag{Name: "resend", Destination: &o.resend, Usage: "resend the message as it is to the operands, with Resent- fields in front"},
		&cli.StringFlag{Name: "full-name", Usage: "`NAME` of the author in a From field that is added", Destination: &o.fullName},
		&cli.BoolFlag{Name: "skip-empty", Destination: &o.skipEmpty, Usage: "compose: send nothing when there is neither text nor attachment"},
		&cli.BoolFlag{Name: "require-tls", Destination: &o.requireTLS, Usage: "every server on the way must use verified TLS (REQUIRETLS)"},
		&cli.BoolFlag{Name: "mx", Destination: &o.mx, Usage: "deliver directly to the mail exchangers of the recipients' domains"},
		&cli.IntFlag{Name: "mx-port", Destination: &o.mxPort, Usage: "with --mx: connect to `PORT` instead of 25"},
		&cli.GenericFlag{Name: "resolver", Usage: "with --mx: ask the DNS server at `ADDRESS:PORT`", Value: &value{set: func(s string) error {
			if _, err := netip.ParseAddrPort(s); err != nil {
				return usagef("an address and a port expected, such as 127.0.0.1:53")
			}
			o.resolver = mx.NewResolver(s)
			return nil
		}}},
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
	if err := o.check(c); err != nil {
		return err
	}
	if c.speaks {
		return c.submissions(ctx, o)
	}
	router, err := newRouter(c, o)
	if err != nil {
		return err
	}
	source, err := c.sendSource(o, &preparer{c: c, o: o, router: router})
	if err != nil {
		return err
	}
	defer source.stop()
	switch {
	case o.print:
		return c.printMessages(ctx, source)
	case c.dryRun:
		return c.showEnvelopes(source)
	}
	return c.deliver(ctx, o, source, nil)
}

// deliver sends the messages of a source. told, if it is not nil, gets what becomes of each recipient.
func (c *call) deliver(ctx context.Context, o *sendOptions, source *sendSource, told func(sentJSON)) error {
	report, err := newSendReport(c, o)
	if err != nil {
		return err
	}
	report.told = told
	d := &delivery{c: c, o: o, report: report, feed: &feed{source: source, bad: report.fail}}
	report.feed = d.feed
	return d.run(ctx)
}

// check refuses options that contradict each other.
func (o *sendOptions) check(c *call) error {
	switch {
	case o.connections < 1 || o.connections > maxConnections:
		return usagef("-j: a number from 1 to %d expected", maxConnections)
	case o.mx && c.overrides.Server != "":
		return usagef("--mx finds the servers itself: it excludes --server")
	case o.mx && o.onPartial == "abort":
		return usagef("--mx reaches several servers: --on-partial abort cannot hold a message back from all of them")
	case o.resend && (o.draft.wanted() || o.headerRcpt || len(c.args) == 0):
		return usagef("--resend takes a message as it is, and the operands as its recipients")
	case len(o.sources.Value()) > 0 && o.draft.wanted():
		return usagef("--message takes messages as they are: it excludes the options that compose one")
	}
	return nil
}

// maxConnections is the most that -j opens.
const maxConnections = 64
