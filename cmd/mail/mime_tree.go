package main

import (
	"context"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeTreeOptions struct {
	strict  bool
	offsets bool
}

// mimeTreeCommand is `mail mime tree`.
func (e *env) mimeTreeCommand() *cli.Command {
	var o mimeTreeOptions
	return e.leaf(leaf{
		name:  "tree",
		usage: "show the structure of a message",
		about: "Prints one line for each part: its number, media type, size in octets after decoding, transfer encoding, charset, " +
			"disposition and file name, with - for what is not said. What is wrong with the message is named on standard error, each " +
			"defect with an id that scripts can rely on. `mail mime check` finds more.\n\n" + mimePartsHelp + "\n\n" + mimeInputHelp,
		args:    "[FILE]",
		maxArgs: 1,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "offsets", Usage: "print where each part stands: the offset of its header, and offset and size of its body, in octets",
				Destination: &o.offsets},
			&cli.BoolFlag{Name: "strict", Usage: "end with status 65 when anything is wrong with the message", Destination: &o.strict},
		},
		run: func(ctx context.Context, c *call) error { return c.mimeTree(ctx, o) },
	})
}

func (c *call) mimeTree(ctx context.Context, o mimeTreeOptions) error {
	defects := 0
	err := c.eachMessage(ctx, c.operand(0), func(r io.Reader) error {
		tree, err := mimetree.ReadTree(r, &mimetree.WalkOptions{OpenEncoded: true, OpenUuencoded: true})
		if err != nil {
			return err
		}
		for _, p := range tree.Parts {
			defects += len(p.Defects)
			c.noteDefects(p.Part)
		}
		return c.printTree(tree, o)
	})
	if err == nil && o.strict && defects > 0 {
		return codef(exitData, "%s", plural(defects, "defect"))
	}
	return err
}

func (c *call) printTree(tree *mimetree.Tree, opts mimeTreeOptions) error {
	if c.json {
		objects := make(map[*mimetree.Part]*partObject)
		for _, p := range tree.Parts {
			o := newPartObject(p.Part, p.Size)
			if opts.offsets {
				o.Header, o.Body = place(p.Part)
			}
			objects[p.Part] = o
			if up := objects[p.Parent]; up != nil {
				up.SubParts = append(up.SubParts, o)
			}
		}
		return c.printJSON(objects[tree.Parts[0].Part])
	}
	for _, p := range tree.Parts {
		encoding := p.Encoding
		if p.Container {
			encoding = ""
		}
		columns := []string{p.ID, p.MediaType, strconv.FormatInt(p.Size, 10), dash(encoding), dash(p.Charset), dash(p.Disposition), dash(p.Filename)}
		if opts.offsets {
			columns = append(columns, offsets(p.Part)...)
		}
		if err := c.row(columns...); err != nil {
			return err
		}
	}
	return nil
}

// offsets are where a part stands. Inside an encoded message or text there is no such place.
func offsets(p *mimetree.Part) []string {
	header, body := place(p)
	if body == nil {
		return []string{"-", "-", "-"}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{number(header.Offset), number(body.Offset), number(body.Size)}
}
