package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimePackOptions struct {
	draft    draftOptions
	crlf     bool
	eightBit bool
	target   string
}

// mimePackCommand is `mail mime pack`.
func (e *env) mimePackCommand() *cli.Command {
	o := &mimePackOptions{}
	return e.leaf(leaf{
		name:  "pack",
		usage: "build a message from texts and files",
		about: "Prints a message: the text, and the HTML version of it as an alternative, with the files that HTML shows beside it and the " +
			"attachments behind. Without --from, --to and so on it is just the MIME entity. With --from it has a Date, too; a Message-ID is " +
			"left to `mail send`. Without --text the text is made of the HTML version, and images that it shows from files in its folder are " +
			"packed beside it. Standard input is read only for - as the FILE of a text.\n\n" +
			"With --from DIR, a folder that `mail mime unpack --lossless DIR` made, that message is packed again: the same octets, but for the " +
			"parts whose files were edited.\n\n" +
			"Files and patterns that match nothing are an error before anything is printed. Texts are UTF-8. The media type of a file is " +
			"found by its name and content. When SOURCE_DATE_EPOCH is set the same input gives the same output, with that date.",
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
		&cli.StringFlag{Name: "from", Usage: "the author's `ADDRESS`, perhaps with a name; or a folder to pack again", Destination: &d.from},
		many("to", "a recipient's `ADDRESS`", &d.to),
		many("cc", "a copy goes to `ADDRESS`", &d.cc),
		many("header", "one more `FIELD` such as 'X-Job: nightly'", &d.header),
		choiceFlag("target", "`WHAT` the message may hold: 7bit; 8bit leaves texts in UTF-8 as they are; binary, with --crlf, files too", &o.target,
			"7bit", "8bit", "binary"),
		&cli.BoolFlag{Name: "8bit", Usage: "the same as --target 8bit", Destination: &o.eightBit},
		&cli.BoolFlag{Name: "crlf", Usage: "end lines with CR LF", Destination: &o.crlf},
	}
}

func (c *call) mimePack(o *mimePackOptions) (err error) {
	debug.SetGCPercent(mimeGarbage)
	d := &o.draft
	if isUnpacked(d.from) {
		return c.repack(d)
	}
	draft := &mimetree.Draft{Wire: o.crlf}
	if draft.Target, err = o.encoding(); err != nil {
		return err
	}
	if draft.Attach, err = findFiles(d.attach.Value()); err != nil {
		return err
	}
	if draft.Inline, err = findFiles(d.inline.Value()); err != nil {
		return err
	}
	if draft.Header, err = c.packHeader(d); err != nil {
		return err
	}
	if d.text == "-" && d.html == "-" {
		return usagef("only one of --text and --html can be standard input")
	}
	if draft.Text, err = c.packText(d.text); err != nil {
		return err
	}
	if d.html != "" {
		if err := d.htmlVersion(c, draft); err != nil {
			return err
		}
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
		text, err := c.readText("the text of the message")
		return mimetree.TextOf(string(text)), err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // it can be read once
		text, err := readLimited(path)
		return mimetree.TextOf(string(text)), err
	}
	return mimetree.TextFile(path), nil
}

// packHeader makes the fields that were asked for.
func (c *call) packHeader(d *draftOptions) (*message.Header, error) {
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
	if err := d.extraFields(h); err != nil || d.from == "" || h.Has("Date") {
		return h, err
	}
	date, err := c.packDate()
	if err != nil {
		return nil, err
	}
	return h, h.Add("Date", message.FormatDate(date))
}

// packDate is SOURCE_DATE_EPOCH, else now.
func (c *call) packDate() (time.Time, error) {
	epoch := c.getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return c.now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 || seconds > 253402300799 { // the year 9999
		return time.Time{}, usagef("SOURCE_DATE_EPOCH: %q is no number of seconds", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// encoding is what --target and --8bit say.
func (o *mimePackOptions) encoding() (mimetree.Encoding, error) {
	switch {
	case o.eightBit && o.target != "" && o.target != "8bit":
		return 0, usagef("--8bit and --target %s exclude each other", o.target)
	case o.target == "binary" && !o.crlf:
		return 0, usagef("--target binary: the octets of files are kept with --crlf only")
	case o.target == "binary":
		return mimetree.Binary, nil
	case o.eightBit, o.target == "8bit":
		return mimetree.EightBit, nil
	}
	return mimetree.SevenBit, nil
}

// isUnpacked tells if the value of --from is no address but a folder of `mail mime unpack --lossless`.
func isUnpacked(from string) bool {
	if from == "" {
		return false
	}
	info, err := os.Stat(filepath.Join(from, mimetree.LosslessName))
	return err == nil && info.Mode().IsRegular()
}

// repack packs such a folder again.
func (c *call) repack(d *draftOptions) error {
	other := *d
	if other.from = ""; other.wanted() {
		return usagef("--from DIR packs what is in %s: nothing else can be given", d.from)
	}
	changed, err := mimetree.Repack(d.from, c.stdout)
	if err == nil && len(changed) > 0 && c.verbose > 0 {
		c.note("edited: part %s", strings.Join(changed, ", "))
	}
	return err
}
