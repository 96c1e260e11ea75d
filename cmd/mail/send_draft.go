package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
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
	date           time.Time
	importance     string
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
		&cli.GenericFlag{Name: "date", Usage: "compose: the `DATE` in the header: 2026-11-01T12:00:00Z, or as in a Date field", Value: &value{set: func(s string) (err error) {
			d.date, err = parseArrival(s)
			return err
		}}},
		choiceFlag("importance", "compose: how important it is, `HOW` high, normal or low", &d.importance, "high", "normal", "low"),
	}
}

// wanted is true when a message is to be composed.
func (d *draftOptions) wanted() bool {
	if d.subjectGiven || d.importance != "" || !d.date.IsZero() || d.from != "" || d.inReplyTo != "" || d.text != "" || d.html != "" {
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
	draft *mimetree.Draft
	rcpt  []string
}

// compose makes the message. Everything that could be missing is looked for before anything is sent, here and when the
// draft is prepared.
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
	if d.html != "" {
		if err := d.htmlVersion(c, draft); err != nil {
			return nil, err
		}
	}
	if err := d.plainVersion(c, draft, p.o.skipEmpty); err != nil {
		return nil, err
	}
	return &composed{draft, rcpt}, nil
}

// htmlVersion reads the HTML text, takes along the images that it shows from files, and makes a text of it when none is
// given.
func (d *draftOptions) htmlVersion(c *call, draft *mimetree.Draft) error {
	read, dir := func() ([]byte, error) { return readLimited(d.html) }, filepath.Dir(d.html)
	if d.html == "-" {
		read, dir = func() ([]byte, error) { return c.readText("the HTML text of the message") }, "."
	}
	text, err := read()
	if err != nil {
		return err
	}
	text, images, err := mimetree.InlineImages(text, dir)
	if err != nil {
		return err
	}
	draft.HTML = mimetree.TextOf(string(text))
	draft.Inline = append(draft.Inline, images...)
	if d.text == "" {
		plain, err := mimetree.TextFromHTML(bytes.NewReader(text))
		if err != nil {
			return err
		}
		draft.Text = mimetree.TextOf(plain)
	}
	return nil
}

// plainVersion finds the text: in the file named, else on standard input, unless that is a terminal and there is
// something else to send.
func (d *draftOptions) plainVersion(c *call, draft *mimetree.Draft, skipEmpty bool) error {
	switch {
	case draft.Text != nil:
		return nil
	case d.text != "" && d.text != "-":
		draft.Text = mimetree.TextFile(d.text)
		return nil
	case c.stdinTTY && len(draft.Attach)+len(draft.Inline) > 0:
		return nil
	}
	text, err := c.readText("the text of the message")
	if err != nil {
		return err
	}
	if len(text) == 0 && len(draft.Attach)+len(draft.Inline) == 0 {
		if skipEmpty {
			return errNoText
		}
		if c.local {
			c.note("the message has no text")
		}
	}
	draft.Text = mimetree.TextOf(string(text))
	return nil
}

// readText reads a text on standard input.
func (c *call) readText(what string) ([]byte, error) {
	r, err := c.input(what)
	if err != nil {
		return nil, err
	}
	return limited(r, "standard input")
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return limited(f, path)
}

func limited(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = codef(exitData, "the text in %s is longer than %d octets: attach it as a file", name, maxText)
	}
	return text, err
}

// errNoText is --skip-empty: there is nothing to send.
var errNoText = errors.New("no text")

// maxText is the longest text that is composed, in octets.
const maxText = 64 << 20

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
	if !h.Has("To") && !h.Has("Cc") {
		if err := h.Add("To", undisclosed); err != nil {
			return nil, err
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
	if d.importance != "" { // RFC 2156 §5.3.4, and what mailers of one maker look at
		priority := map[string]string{"high": "1 (Highest)", "normal": "3 (Normal)", "low": "5 (Lowest)"}[d.importance]
		if err := errors.Join(h.Add("Importance", d.importance), h.Add("X-Priority", priority)); err != nil {
			return nil, err
		}
	}
	if !d.date.IsZero() {
		if err := h.Add("Date", message.FormatDate(d.date)); err != nil {
			return nil, err
		}
	}
	return rcpt, d.extraFields(h)
}

// addressField adds a field of addresses, when there are any, and gives them for the envelope.
func addressField(h *message.Header, name string, values []string) (envelope []string, err error) {
	var shown []string
	for _, v := range values {
		if bareName.MatchString(v) { // a recipient of this machine, or an alias
			envelope, shown = append(envelope, v), append(shown, v)
			continue
		}
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
		files = slices.Grow(files, len(paths))
		for _, path := range paths {
			files = append(files, mimetree.File{Path: path})
		}
	}
	return files, nil
}
