package main

import (
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type popRetrOptions struct {
	output string
	crlf   bool
	max    int64
}

// popRetrCommand is `mail pop retr`.
func (e *env) popRetrCommand() *cli.Command {
	o := &popRetrOptions{output: "-"}
	return e.leaf(leaf{
		name:  "retr",
		usage: "print or store messages",
		about: "Prints one message as it is, with LF line ends, and several as an mboxrd stream. With -o they are stored, and " +
			"the path of each is printed once it is safely on disk. Nothing is deleted on the server. When some messages " +
			"cannot be had the others still are, and the status is 3.\n\n" + popNamesHelp,
		args:    "N…",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitIncomplete, exitCreate},
		network: wire.POP3,
		flags: []cli.Flag{
			destFlag("o", "store in `DEST`: maildir:DIR, mbox:FILE, eml:DIR, or - for standard output", &o.output),
			&cli.BoolFlag{Name: "crlf", Usage: "print line ends as they came", Destination: &o.crlf},
			maxMessageFlag(&o.max),
		},
		run: func(ctx context.Context, c *call) error {
			c.maxMessage = o.max
			return c.popRetr(ctx, *o)
		},
	})
}

func (o popRetrOptions) check(c *call) error {
	switch {
	case o.output == "-" && c.json:
		return usagef("--json describes stored messages: it needs -o with a folder or file")
	case o.output != "-" && o.crlf:
		return usagef("--crlf is for standard output")
	}
	return nil
}

func (c *call) popRetr(ctx context.Context, o popRetrOptions) error {
	if err := o.check(c); err != nil {
		return err
	}
	return c.popOnMessages(ctx, func(client *pop3.Client, m *maildrop, chosen []popMessage) error {
		if len(chosen) == 0 {
			return nil
		}
		sink, err := store.OpenSink(o.output, store.SinkOptions{Stdout: c.stdout, CRLF: o.crlf, Many: len(chosen) > 1})
		if err != nil {
			return &localError{err}
		}
		err = c.popDeliver(ctx, client, m, chosen, sink)
		if e := sink.Close(); e != nil && err == nil {
			err = &localError{e}
		}
		if err == nil {
			err = client.Quit(ctx) // some servers keep flags only then
		}
		return err
	})
}

// popDeliver puts the messages into the sink as they come, and names each once it is there.
func (c *call) popDeliver(ctx context.Context, client *pop3.Client, m *maildrop, chosen []popMessage, sink store.Sink) error {
	return client.Retr(ctx, popNumbers(chosen), func(n int, size int64, r io.Reader) error {
		counted := &countedReader{r: r}
		name, err := sink.Put(ctx, counted, store.Meta{})
		if err == nil && size >= 0 && counted.n != size && c.verbose > 0 {
			c.note("message %d has %d octets, the server had said %d", n, counted.n, size)
		}
		switch {
		case err != nil && client.Conn().Err() == nil && !errors.Is(err, ctx.Err()):
			return &localError{err}
		case err != nil, name == "-":
			return err
		case c.json:
			o := m.messages[m.index[n]].object()
			o.Path = name
			return c.printJSON(o)
		}
		return c.lines.put(escapeText(name))
	})
}

// countedReader counts what passes.
type countedReader struct {
	r io.Reader
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
