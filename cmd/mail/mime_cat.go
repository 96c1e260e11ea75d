package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeCatOptions struct {
	raw, utf8 bool
}

// mimeCatCommand is `mail mime cat`.
func (e *env) mimeCatCommand() *cli.Command {
	var o mimeCatOptions
	return e.leaf(leaf{
		name:  "cat",
		usage: "print one part of a message, decoded",
		about: "Prints the body of a part with its transfer encoding undone. A message inside the message, and a multipart, is printed " +
			"as it stands.\n\n" + mimePartsHelp + "\n\n" + mimeInputHelp,
		args:    "PART [FILE]",
		minArgs: 1,
		maxArgs: 2,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "raw", Usage: "print the body as it stands", Destination: &o.raw},
			&cli.BoolFlag{Name: "utf8", Usage: "convert text to UTF-8", Destination: &o.utf8},
		},
		run: func(ctx context.Context, c *call) error { return c.mimeCat(ctx, o) },
	})
}

func (c *call) mimeCat(ctx context.Context, o mimeCatOptions) error {
	if o.raw && o.utf8 {
		return usagef("--raw and --utf8 exclude each other")
	}
	if c.json {
		return usagef("--json: a part is printed as it is")
	}
	id, err := partID(c.args[0])
	if err != nil {
		return err
	}
	found := false
	err = c.eachMessage(ctx, c.operand(1), func(r io.Reader) error {
		walk := &mimetree.WalkOptions{
			Decode: mimetree.DecodeOptions{LF: true},
			Leave: func(p *mimetree.Part) error {
				if p.ID != id {
					return nil
				}
				c.noteDefects(p)
				return mimetree.ErrStop
			},
		}
		return mimetree.Walk(r, walk, func(p *mimetree.Part, body *mimetree.Body) error {
			if p.ID != id {
				return nil
			}
			found = true
			return c.copyBody(p, body, o)
		})
	})
	if err == nil && !found {
		return errNoPart(id)
	}
	return err
}

// copyBody writes a body to standard output.
func (c *call) copyBody(p *mimetree.Part, body *mimetree.Body, o mimeCatOptions) error {
	var err error
	switch {
	case o.raw:
		_, err = io.Copy(c.stdout, body.Raw())
	case o.utf8 && p.Text():
		_, err = io.Copy(c.stdout, body.Text())
	default:
		_, err = body.WriteTo(c.stdout)
	}
	return err
}
