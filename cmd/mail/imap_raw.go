package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapRawCommand is `mail imap raw`.
func (e *env) imapRawCommand() *cli.Command {
	mailbox, write := "", false
	return e.leaf(leaf{
		name:  "raw",
		usage: "send IMAP commands as they are",
		about: "Logs in, sends each LINE as one command, without a tag, waits for its reply, and prints the untagged replies as " +
			"they come, octet for octet, CRLF and literals among them; on a terminal control characters are shown as escapes. " +
			"The reply itself goes to standard error. The first one that is NO or BAD ends the command: the status is 69, 75, " +
			"76 or what the reply's code tells.\n\n" +
			"`{-}` in a LINE stands for standard input as a literal, with CRLF line ends. Mailbox names and flags are as in the " +
			"protocol. STARTTLS, AUTHENTICATE, LOGIN, COMPRESS and IDLE cannot be sent.",
		args:    "LINE…",
		minArgs: 1,
		maxArgs: -1,
		changes: true,
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "mailbox", Usage: "open `MAILBOX` before, for reading", Destination: &mailbox},
			&cli.BoolFlag{Name: "write", Usage: "open it for changes", Destination: &write},
		},
		run: func(ctx context.Context, c *call) error { return c.imapRaw(ctx, mailbox, write) },
	})
}

// stdinLiteral stands for standard input in a raw command.
const stdinLiteral = "{-}"

func (c *call) imapRaw(ctx context.Context, mailbox string, write bool) error {
	if c.json {
		return usagef("--json: the replies are as the server writes them")
	}
	if write && mailbox == "" {
		return usagef("--write goes with --mailbox")
	}
	literal, err := c.rawLiteral()
	if err != nil {
		return err
	}
	if literal != nil {
		defer func() { _ = literal.Close() }()
	}
	if c.dryRun {
		for _, line := range c.args {
			c.note("would send %s", line)
		}
		return nil
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if mailbox != "" {
			if _, err := openMailbox(ctx, client, mailbox, write); err != nil {
				return err
			}
		}
		for _, line := range c.args {
			texts := strings.Split(line, stdinLiteral)
			var literals []imap.RawLiteral
			if len(texts) > 1 {
				literals = []imap.RawLiteral{{Size: literal.WireSize(), Body: literal.Wire()}}
			}
			reply, err := client.Raw(ctx, texts, literals, c.stdout)
			if err != nil {
				return err
			}
			c.note("OK %s", reply)
		}
		return nil
	})
}

// rawLiteral reads standard input if a line has a place for it, which one line may have, once.
func (c *call) rawLiteral() (*store.Spool, error) {
	switch strings.Count(strings.Join(c.args, "\n"), stdinLiteral) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, usagef("standard input can be sent once: there is more than one %s", stdinLiteral)
	}
	in, err := c.input("the literal")
	if err != nil {
		return nil, err
	}
	return store.NewSpool(in)
}
