package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeCheckOptions struct {
	strict bool
}

// mimeCheckCommand is `mail mime check`.
func (e *env) mimeCheckCommand() *cli.Command {
	var o mimeCheckOptions
	return e.leaf(leaf{
		name:  "check",
		usage: "tell everything that is wrong or ambiguous in a message",
		about: "Prints one line for each finding: the number of the part, - for the message as a whole, an id that scripts can rely on, and " +
			"a few words. Looked for are departures from the standards and what different programs read differently, which is how messages " +
			"get past filters. Nothing is printed for a message that is right. A header without From, Date, Message-ID, Sender and Received is " +
			"taken for a draft, which need not have the first two.\n\n" + mimePartsHelp + "\n\n" + mimeInputHelp,
		args:    "[FILE]",
		maxArgs: 1,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "end with status 65 when anything was found", Destination: &o.strict},
		},
		run: func(ctx context.Context, c *call) error { return c.mimeCheck(ctx, o) },
	})
}

// findingObject is a finding in --json output.
type findingObject struct {
	Message int    `json:"message"` // its place in the stream
	PartID  string `json:"partId,omitempty"`
	ID      string `json:"id"`
	Detail  string `json:"detail,omitempty"`
}

func (c *call) mimeCheck(ctx context.Context, o mimeCheckOptions) error {
	found, messages := 0, 0
	err := c.eachMessage(ctx, c.operand(0), func(r io.Reader) error {
		messages++
		return mimetree.Check(r, nil, func(f mimetree.Finding) error {
			found++
			if c.json {
				return c.printJSON(findingObject{messages, f.Part, string(f.ID), valid(f.Detail)})
			}
			return c.row(dash(f.Part), string(f.ID), dash(f.Detail))
		})
	})
	if err == nil && o.strict && found > 0 {
		return codef(exitData, "%s", plural(found, "finding"))
	}
	return err
}
