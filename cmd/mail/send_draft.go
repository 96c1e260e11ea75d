package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/store"
)

// draftOptions is what the flags that compose a message say.
type draftOptions struct {
	subject        string
	subjectGiven   bool
	from           string
	to, cc, bcc    cli.StringSlice
	replyTo        cli.StringSlice
	inReplyTo      string
	header         cli.StringSlice
	text, html     string
	attach, inline cli.StringSlice
}

func (d *draftOptions) flags() []cli.Flag {
	str := func(name, usage string, dest *string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Destination: dest}
	}
	many := func(name, usage string, dest *cli.StringSlice) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, Destination: dest}
	}
	return []cli.Flag{
		&cli.GenericFlag{Name: "subject", Aliases: []string{"s"}, Usage: "compose: the `SUBJECT`", Value: &value{set: func(s string) error {
			d.subject, d.subjectGiven = s, true
			return nil
		}}},
		str("from", "compose: the author's `ADDRESS`, perhaps with a name", &d.from),
		many("to", "compose: a recipient's `ADDRESS`", &d.to),
		many("cc", "compose: a copy goes to `ADDRESS`", &d.cc),
		many("bcc", "compose: a copy that the others do not see goes to `ADDRESS`", &d.bcc),
		many("reply-to", "compose: answers go to `ADDRESS`", &d.replyTo),
		str("in-reply-to", "compose: an answer to the message with this Message-`ID`", &d.inReplyTo),
		many("header", "compose: one more `FIELD` such as 'X-Job: nightly'", &d.header),
		str("text", "compose: the text is in `FILE`, not on standard input", &d.text),
		str("html", "compose: an HTML version of the text is in `FILE`", &d.html),
		many("attach", "compose: attach `FILE`, or all files that match a pattern", &d.attach),
		many("inline", "compose: a `FILE` that the HTML text shows as cid:NAME", &d.inline),
	}
}

// wanted is true when a message is to be composed.
func (d *draftOptions) wanted() bool {
	if d.subjectGiven || d.from != "" || d.inReplyTo != "" || d.text != "" || d.html != "" {
		return true
	}
	for _, s := range []*cli.StringSlice{&d.to, &d.cc, &d.bcc, &d.replyTo, &d.header, &d.attach, &d.inline} {
		if len(s.Value()) > 0 {
			return true
		}
	}
	return false
}

// composed is a message made from flags, and to whom it goes.
type composed struct {
	spool *store.Spool
	rcpt  []string
}

// compose makes the message. Everything that could be missing is looked for here, before anything is sent.
func (d *draftOptions) compose(c *call, p *preparer) (*composed, error) {
	h := &message.Header{}
	rcpt, err := d.fillHeader(h, p, c.args)
	if err != nil {
		return nil, err
	}
	draft := &mimetree.Draft{Header: h, Wire: true}
	if draft.Attach, err = findFiles(d.attach.Value()); err != nil {
		return nil, err
	}
	if draft.Inline, err = findFiles(d.inline.Value()); err != nil {
		return nil, err
	}
	if err := d.texts(c, draft); err != nil {
		return nil, err
	}
	packed, err := draft.Prepare()
	if err != nil {
		return nil, err
	}
	spool, err := spoolPacked(packed)
	if err = errors.Join(err, packed.Close()); err != nil {
		return nil, err
	}
	return &composed{spool, rcpt}, nil
}

// texts finds the text: in the files named, else on standard input, unless that is a terminal and there is something
// else to send.
func (d *draftOptions) texts(c *call, draft *mimetree.Draft) error {
	if d.html != "" {
		draft.HTML = mimetree.TextFile(d.html)
	}
	switch {
	case d.text == "-" || d.text == "" && d.html == "":
		if c.stdinTTY && (len(draft.Attach) > 0 || len(draft.Inline) > 0) {
			return nil
		}
		r, err := c.input("the text of the message")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(r, maxText+1))
		if err != nil {
			return err
		}
		if len(text) > maxText {
			return codef(exitData, "the text on standard input is longer than %d octets: attach it as a file", maxText)
		}
		draft.Text = mimetree.TextOf(string(text))
	case d.text != "":
		draft.Text = mimetree.TextFile(d.text)
	}
	return nil
}

// maxText is the longest text that is composed from standard input, in octets.
const maxText = 64 << 20

// spoolPacked writes the message into a spool. The goroutine that writes ends before the call does.
func spoolPacked(packed *mimetree.Packed) (*store.Spool, error) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := packed.WriteTo(w)
		_ = w.CloseWithError(err)
	}()
	spool, err := store.NewWireSpool(r)
	_ = r.CloseWithError(io.ErrClosedPipe)
	<-done
	return spool, err
}

// fillHeader writes the fields in the usual order and gives the recipients. Date and Message-ID come with every message
// that is sent.
func (d *draftOptions) fillHeader(h *message.Header, p *preparer, operands []string) (rcpt []string, err error) {
	from, err := p.author(d.from)
	if err != nil {
		return nil, err
	}
	if err := h.Add("From", message.FormatAddress(from)); err != nil {
		return nil, err
	}
	to := append(d.to.Value(), operands...)
	for _, list := range []struct {
		name   string
		values []string
		rcpt   bool
	}{{"Reply-To", d.replyTo.Value(), false}, {"To", to, true}, {"Cc", d.cc.Value(), true}, {"Bcc", d.bcc.Value(), true}} {
		addrs, err := addressField(h, list.name, list.values)
		if err != nil {
			return nil, err
		}
		if list.rcpt {
			rcpt = append(rcpt, addrs...)
		}
	}
	if d.subjectGiven {
		if err := h.AddText("Subject", d.subject); err != nil {
			return nil, err
		}
	}
	if d.inReplyTo != "" {
		if err := addReference(h, d.inReplyTo); err != nil {
			return nil, err
		}
	}
	return rcpt, d.extraFields(h)
}

// addressField adds a field of addresses, when there are any, and gives them for the envelope.
func addressField(h *message.Header, name string, values []string) (envelope []string, err error) {
	var shown []string
	for _, v := range values {
		list, err := parseAddresses(v)
		if err != nil {
			return nil, inOption(name, err)
		}
		for _, a := range list {
			if err := message.CheckAddress(a.Addr); err != nil {
				return nil, inOption(name, err)
			}
			envelope = append(envelope, a.Addr)
			shown = append(shown, message.FormatAddress(a))
		}
	}
	if len(shown) == 0 {
		return nil, nil
	}
	return envelope, h.Add(name, strings.Join(shown, ", "))
}

// inOption says which field an address was meant for.
func inOption(name string, err error) error {
	var e *message.Error
	if errors.As(err, &e) && e.Field == "" {
		e.Field = name
	}
	return err
}

func addReference(h *message.Header, id string) error {
	if !strings.HasPrefix(id, "<") {
		id = "<" + id + ">"
	}
	if strings.ContainsAny(id[1:len(id)-1], "<> \t") || !strings.HasSuffix(id, ">") {
		return usagef("--in-reply-to: %q is not one Message-ID", id)
	}
	if err := h.Add("In-Reply-To", id); err != nil {
		return err
	}
	return h.Add("References", id)
}

// extraFields adds what --header says: addresses as addresses, other texts with encoded words where they need them.
func (d *draftOptions) extraFields(h *message.Header) error {
	for _, f := range d.header.Value() {
		name, text, ok := strings.Cut(f, ":")
		if !ok {
			return usagef("--header: %q is not NAME: TEXT", f)
		}
		if err := message.CheckFieldName(name); err != nil {
			return err
		}
		text = strings.TrimSpace(text)
		switch strings.ToLower(name) {
		case "from", "to", "cc", "bcc", "subject", "reply-to":
			return usagef("--header: %s has an option of its own: --%s", name, strings.ToLower(name))
		case "sender":
			if _, err := addressField(h, name, []string{text}); err != nil {
				return err
			}
			continue
		}
		add := h.AddText
		if message.IsASCII(text) {
			add = h.Add
		}
		if err := add(name, text); err != nil {
			return err
		}
	}
	return nil
}

// findFiles expands patterns. A name that exists is taken as it is; a pattern without a match is an error.
func findFiles(patterns []string) ([]mimetree.File, error) {
	var files []mimetree.File
	for _, pattern := range patterns {
		paths := []string{pattern}
		if _, err := os.Lstat(pattern); err != nil {
			if paths, err = filepath.Glob(pattern); err != nil {
				return nil, usagef("%q: %v", pattern, err)
			}
		}
		if len(paths) == 0 {
			return nil, notFoundf("%q: no such file, and nothing matches it", pattern)
		}
		for _, path := range paths {
			files = append(files, mimetree.File{Path: path})
		}
	}
	return files, nil
}
