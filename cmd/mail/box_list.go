package main

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/store"
)

type boxListOptions struct {
	mailboxes, paths bool
}

// boxListCommand is `mail box list`.
func (e *env) boxListCommand() *cli.Command {
	var o boxListOptions
	return e.leaf(leaf{
		name:  "list",
		usage: "list the messages in a Maildir, mbox or folder of .eml files",
		about: "Prints one line for each message: its number, its size as it is on the wire, date, sender and subject, separated by " +
			"tabs. Numbers go by the order in the mbox, or of the file names. --mailboxes lists what mailboxes a directory holds: " +
			"their names, kinds and paths. Folders of a Maildir++ (.A.B) and nested ones are named A/B, and `.` is the directory " +
			"itself.\n\n" + boxSourceHelp,
		args:    "SRC",
		minArgs: 1,
		maxArgs: 1,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "mailboxes", Usage: "list mailboxes, not messages", Destination: &o.mailboxes},
			&cli.BoolFlag{Name: "paths", Usage: "print paths instead of numbers", Destination: &o.paths},
		},
		run: func(ctx context.Context, c *call) error { return c.boxList(ctx, o) },
	})
}

func (c *call) boxList(ctx context.Context, o boxListOptions) error {
	if o.mailboxes {
		return c.boxMailboxes()
	}
	src, err := c.openBox(c.args[0])
	if err != nil {
		return err
	}
	number := 0
	for m, err := range src.Messages(ctx) {
		if err != nil {
			return boxData(err)
		}
		number++
		if err := c.boxListed(number, m, o); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) boxListed(number int, m *store.Message, o boxListOptions) error {
	s := boxSummary(m)
	if c.json {
		return c.printJSON(newBoxObject(number, m, s))
	}
	name := strconv.Itoa(number)
	if o.paths {
		name = m.Path
	}
	columns := s.columns()
	if columns[0] == "" && !m.Meta.Date.IsZero() {
		columns[0] = m.Meta.Date.Format(time.RFC3339)
	}
	return c.row(append([]string{name, strconv.FormatInt(m.WireSize(), 10)}, columns...)...)
}

// boxSummary is what the header says; nothing, if it cannot be read.
func boxSummary(m *store.Message) popSummary {
	h, err := m.Header()
	if err != nil {
		return popSummary{}
	}
	s, err := readSummary(bytes.NewReader(h.Bytes()))
	if err != nil {
		return popSummary{}
	}
	return s
}

// boxFolder is one mailbox in --json output.
type boxFolder struct {
	Name string     `json:"name"`
	Kind store.Kind `json:"kind"`
	Path string     `json:"path"`
}

func (c *call) boxMailboxes() error {
	folders, err := store.Folders(c.args[0])
	if err != nil {
		return boxData(err)
	}
	for _, f := range folders {
		name, ok := imapwire.DecodeUTF7(f.Name)
		if !ok {
			name = f.Name
		}
		if name == "" {
			name = "."
		}
		if c.json {
			err = c.printJSON(boxFolder{valid(name), f.Kind, valid(f.Path)})
		} else {
			err = c.row(name, string(f.Kind), f.Path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
