package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeUnpackOptions struct {
	dir      string
	list     bool
	keep     bool
	messages bool
	maxParts int
	maxBytes int64
}

// mimeUnpackCommand is `mail mime unpack`.
func (e *env) mimeUnpackCommand() *cli.Command {
	o := mimeUnpackOptions{dir: "."}
	return e.leaf(leaf{
		name:  "unpack",
		usage: "write the parts of a message to files",
		about: "Writes every part to a file of its own and prints the paths, one a line. Names are those that the message gives, made " +
			"harmless; parts without a name are called part-NUMBER. A file that exists is never replaced, the new one gets a number: " +
			"report-1.pdf. A file appears when it is complete.\n\n" + mimeInputHelp,
		args:    "[FILE]",
		maxArgs: 1,
		changes: true,
		exits:   []int{exitIncomplete},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "C", Usage: "write into the folder `DIR`, made when it is missing", Value: o.dir, Destination: &o.dir},
			&cli.BoolFlag{Name: "list", Usage: "write nothing: print number, type, size and name of each part", Destination: &o.list},
			&cli.BoolFlag{Name: "messages", Usage: "write messages inside the message whole, as .eml files", Destination: &o.messages},
			&cli.BoolFlag{Name: "keep-names", Usage: "fail rather than change a name", Destination: &o.keep},
			&cli.IntFlag{Name: "max-parts", Usage: "write what follows `N` parts to one file, undivided", Value: 10000, Destination: &o.maxParts},
			sizeFlag("max-bytes", "stop when the files together exceed `SIZE` (default: 1G, or 100 times the message)", &o.maxBytes),
		},
		run: func(ctx context.Context, c *call) error { return c.mimeUnpack(ctx, o) },
	})
}

func (c *call) mimeUnpack(ctx context.Context, o mimeUnpackOptions) error {
	if o.maxParts < 1 {
		return usagef("--max-parts: at least 1 is expected")
	}
	u := &mimetree.UnpackOptions{
		Limits: mimetree.Limits{Parts: o.maxParts}, MaxBytes: o.maxBytes, Messages: o.messages, Keep: o.keep, List: o.list || c.dryRun,
		Container: c.noteDefects,
	}
	made := false
	incomplete := false
	err := c.eachMessage(ctx, c.operand(0), func(r io.Reader) error {
		if !u.List && !made {
			if err := os.MkdirAll(o.dir, 0o700); err != nil {
				return codef(exitCreate, "%w", err)
			}
			made = true
		}
		return mimetree.Unpack(ctx, r, o.dir, u, func(e mimetree.Entry) error {
			c.noteDefects(e.Part)
			incomplete = incomplete || isLimit(e.Part)
			return c.printEntry(e, o)
		})
	})
	if err != nil {
		if limit := (*mimetree.LimitError)(nil); errors.As(err, &limit) {
			return &hinted{err, "the files printed are complete; --max-bytes sets the limit"}
		}
		return err
	}
	if incomplete {
		return silent(exitIncomplete)
	}
	return nil
}

// printEntry prints a part that was written.
func (c *call) printEntry(e mimetree.Entry, o mimeUnpackOptions) error {
	path := filepath.Join(o.dir, e.Name)
	switch {
	case c.json:
		object := newPartObject(e.Part, e.Size)
		object.Path = valid(path)
		if o.list {
			object.Path = ""
		}
		return c.printJSON(object)
	case o.list:
		return c.row(e.Part.ID, e.Part.MediaType, strconv.FormatInt(e.Size, 10), e.Name)
	}
	_, err := io.WriteString(c.stdout, c.text(path)+"\n")
	return err
}
