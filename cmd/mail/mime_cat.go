package main

import (
	"context"
	"io"
	"path"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeCatOptions struct {
	raw, utf8 bool
	charset   string
}

// mimeCatCommand is `mail mime cat`.
func (e *env) mimeCatCommand() *cli.Command {
	var o mimeCatOptions
	return e.leaf(leaf{
		name:  "cat",
		usage: "print one part of a message, decoded",
		about: "Prints the body of a part with its transfer encoding undone. Text is converted to UTF-8, with U+FFFD for what is nothing in " +
			"its charset, and the lines of a text that flows (format=flowed) are joined. A message inside the message, and a multipart, " +
			"is printed as it stands.\n\nPART is a number, the name of a file as the message or `mail mime unpack` has it, or a pattern " +
			"such as '*.csv'; of a name or a pattern all parts that match are printed, one after the other, but a uuencoded file in a " +
			"text where it stands. With --raw a text is printed with the files in it as they stand. " + mimePartsHelp + "\n\n" + mimeInputHelp,
		args:    "PART [FILE]",
		minArgs: 1,
		maxArgs: 2,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "raw", Usage: "print the body as it stands", Destination: &o.raw},
			&cli.StringFlag{Name: "charset", Usage: "read text in the charset `NAME`, whatever the part says; none leaves its octets as they are", Destination: &o.charset},
			&cli.BoolFlag{Name: "utf8", Usage: "convert text to UTF-8, as is done anyway", Destination: &o.utf8},
		},
		run: func(ctx context.Context, c *call) error { return c.mimeCat(ctx, o) },
	})
}

func (c *call) mimeCat(ctx context.Context, o mimeCatOptions) error {
	if o.raw && (o.utf8 || o.charset != "") || o.utf8 && o.charset == "none" {
		return usagef("--raw, --utf8 and --charset exclude each other")
	}
	if c.json {
		return usagef("--json: a part is printed as it is")
	}
	if o.charset != "" && o.charset != "none" {
		if _, known := mimetree.NewCharsetReader(o.charset, strings.NewReader("")); !known {
			return usagef("--charset: %q is not known", o.charset)
		}
	}
	match, err := partMatch(c.args[0])
	if err != nil {
		return err
	}
	found := false
	err = c.eachMessage(ctx, c.operand(1), func(r io.Reader) error {
		var printed *mimetree.Part
		walk := &mimetree.WalkOptions{
			Decode:        mimetree.DecodeOptions{LF: true},
			OpenEncoded:   true,
			OpenUuencoded: true,
			Leave: func(p *mimetree.Part) error {
				if p == printed {
					c.noteDefects(p)
					return match.done()
				}
				return nil
			},
		}
		return mimetree.Walk(r, walk, func(p *mimetree.Part, body *mimetree.Body) error {
			if !match.is(p) {
				return nil
			}
			err := c.copyBody(p, body, o)
			found, printed = true, p // last, since a file in a text is printed meanwhile
			return err
		})
	})
	if err == nil && !found {
		return errNoPart(c.args[0])
	}
	return err
}

// partChoice says which parts are meant: one number, or names.
type partChoice struct {
	id, name string
}

// partMatch reads PART. What starts like a number and is none is a name.
func partMatch(s string) (partChoice, error) {
	if id, err := partID(s); err == nil {
		return partChoice{id: id}, nil
	}
	if _, err := path.Match(s, ""); s == "" || err != nil {
		return partChoice{}, usagef("%q is neither the number of a part nor a name nor a pattern", s)
	}
	return partChoice{name: s}, nil
}

func (m partChoice) is(p *mimetree.Part) bool {
	if m.name == "" {
		return p.ID == m.id
	}
	if p.Filename == "" && p.Container {
		return false
	}
	for _, name := range []string{p.Filename, mimetree.FileName(p)} {
		if ok, err := path.Match(m.name, name); name == m.name || ok && err == nil {
			return true
		}
	}
	return false
}

// done ends the walk when nothing else can match.
func (m partChoice) done() error {
	if m.name == "" {
		return mimetree.ErrStop
	}
	return nil
}

// copyBody writes a body to standard output.
func (c *call) copyBody(p *mimetree.Part, body *mimetree.Body, o mimeCatOptions) error {
	var r io.Reader = body
	switch {
	case o.raw:
		r = body.Raw()
	case p.Text() && o.charset != "none":
		charset := o.charset
		if charset == "" {
			charset = p.Charset
		}
		r = body.TextAs(charset)
		if flowed, delSp := p.Flowed(); flowed {
			r = mimetree.NewFlowedReader(r, delSp)
		}
	}
	_, err := io.Copy(c.stdout, r)
	return err
}
