package main

import (
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimePackOptions struct {
	draft    draftOptions
	crlf     bool
	eightBit bool
}

// mimePackCommand is `mail mime pack`.
func (e *env) mimePackCommand() *cli.Command {
	o := &mimePackOptions{}
	return e.leaf(leaf{
		name:  "pack",
		usage: "build a message from texts and files",
		about: "Prints a message: the text, and the HTML version of it as an alternative, with the files that HTML shows beside it and the " +
			"attachments behind. Without --from, --to and so on it is just the MIME entity; Date and Message-ID are left to `mail send`. " +
			"Standard input is read only for - as the FILE of a text.\n\n" +
			"Files and patterns that match nothing are an error before anything is printed. Texts are UTF-8. The media type of a file is " +
			"found by its name and content. When SOURCE_DATE_EPOCH is set the same input gives the same output.",
		flags: o.flags(),
		run:   func(_ context.Context, c *call) error { return c.mimePack(o) },
	})
}

func (o *mimePackOptions) flags() []cli.Flag {
	d := &o.draft
	many := func(name, usage string, dest *cli.StringSlice) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, Destination: dest}
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "text", Usage: "the text is in `FILE`", Destination: &d.text},
		&cli.StringFlag{Name: "html", Usage: "the HTML version of the text is in `FILE`", Destination: &d.html},
		many("attach", "attach `FILE`, or all files that match a pattern", &d.attach),
		many("inline", "a `FILE` that the HTML text shows as cid:NAME", &d.inline),
		&cli.GenericFlag{Name: "subject", Aliases: []string{"s"}, Usage: "the `SUBJECT`", Value: &value{set: func(s string) error {
			d.subject, d.subjectGiven = s, true
			return nil
		}}},
		&cli.StringFlag{Name: "from", Usage: "the author's `ADDRESS`, perhaps with a name", Destination: &d.from},
		many("to", "a recipient's `ADDRESS`", &d.to),
		many("cc", "a copy goes to `ADDRESS`", &d.cc),
		many("header", "one more `FIELD` such as 'X-Job: nightly'", &d.header),
		&cli.BoolFlag{Name: "8bit", Usage: "leave texts in UTF-8 as they are", Destination: &o.eightBit},
		&cli.BoolFlag{Name: "crlf", Usage: "end lines with CR LF", Destination: &o.crlf},
	}
}

func (c *call) mimePack(o *mimePackOptions) (err error) {
	d := &o.draft
	draft := &mimetree.Draft{Wire: o.crlf}
	if o.eightBit {
		draft.Target = mimetree.EightBit
	}
	if draft.Attach, err = findFiles(d.attach.Value()); err != nil {
		return err
	}
	if draft.Inline, err = findFiles(d.inline.Value()); err != nil {
		return err
	}
	if draft.Header, err = packHeader(d); err != nil {
		return err
	}
	if d.text == "-" && d.html == "-" {
		return usagef("only one of --text and --html can be standard input")
	}
	if draft.Text, err = c.packText(d.text); err != nil {
		return err
	}
	if draft.HTML, err = c.packText(d.html); err != nil {
		return err
	}
	if epoch := c.getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		draft.Seed = []byte("SOURCE_DATE_EPOCH=" + epoch)
	}
	packed, err := draft.Prepare()
	if err != nil {
		return err
	}
	_, err = packed.WriteTo(c.stdout)
	return errors.Join(err, packed.Close())
}

// packText opens a text: a file, standard input, or none.
func (c *call) packText(path string) (mimetree.Opener, error) {
	switch path {
	case "":
		return nil, nil
	case "-":
		r, err := c.input("the text of the message")
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(r, maxText+1))
		if err == nil && len(text) > maxText {
			err = codef(exitData, "the text on standard input is longer than %d octets: attach it as a file", maxText)
		}
		return mimetree.TextOf(string(text)), err
	}
	return mimetree.TextFile(path), nil
}

// packHeader makes the fields that were asked for.
func packHeader(d *draftOptions) (*message.Header, error) {
	h := &message.Header{}
	var from []string
	if d.from != "" {
		from = []string{d.from}
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"From", from}, {"To", d.to.Value()}, {"Cc", d.cc.Value()}} {
		if _, err := addressField(h, list.name, list.values); err != nil {
			return nil, err
		}
	}
	if d.subjectGiven {
		if err := h.AddText("Subject", d.subject); err != nil {
			return nil, err
		}
	}
	return h, d.extraFields(h)
}
