package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapFetchOptions struct {
	imapSetOptions
	output                       string
	headers, structure, envelope bool
	part                         string
	rawPart                      bool
	markSeen, crlf               bool
	maxMessage                   int64
}

// imapFetchCommand is `mail imap fetch`.
func (e *env) imapFetchCommand() *cli.Command {
	o := &imapFetchOptions{output: "-"}
	return e.leaf(leaf{
		name:  "fetch",
		usage: "print or store messages, or parts of them",
		about: "Prints one message as it is, with LF line ends, and several as an mboxrd stream. With -o they are stored, and " +
			"the path of each is printed once it is safely on disk. --headers, --part, --structure and --envelope take only " +
			"that over the net. \\Seen is not set unless --mark-seen says so.\n\n" + imapSetHelp + "\n\n" +
			"Status 66 means that none of the messages is there, 3 that some of those named one by one are not, 1 that a " +
			"search found none.",
		args:    "MAILBOX SET|TERM…",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitNo, exitIncomplete, exitCreate},
		network: wire.IMAP,
		flags: o.imapSetOptions.flags(
			destFlag("o", "store in `DEST`: maildir:DIR, mbox:FILE, eml:DIR, or - for standard output", &o.output),
			&cli.BoolFlag{Name: "headers", Usage: "take the header only", Destination: &o.headers},
			&cli.StringFlag{Name: "part", Usage: "take the part `N` (1, 2.1), decoded; also 2.MIME, 2.HEADER, TEXT",
				Destination: &o.part},
			&cli.BoolFlag{Name: "raw", Usage: "leave the transfer encoding of the part as it is", Destination: &o.rawPart},
			&cli.BoolFlag{Name: "structure", Usage: "print the parts of each message", Destination: &o.structure},
			&cli.BoolFlag{Name: "envelope", Usage: "print UID, date, sender and subject", Destination: &o.envelope},
			&cli.BoolFlag{Name: "mark-seen", Usage: "set \\Seen", Destination: &o.markSeen},
			&cli.BoolFlag{Name: "crlf", Usage: "print line ends as they came", Destination: &o.crlf},
			maxMessageFlag(&o.maxMessage),
		),
		run: func(ctx context.Context, c *call) error {
			c.maxMessage = o.maxMessage
			return c.imapFetch(ctx, o)
		},
	})
}

// list tells if the messages are described rather than given.
func (o *imapFetchOptions) list() bool { return o.structure || o.envelope }

func (o *imapFetchOptions) check(c *call) error {
	ways := 0
	for _, on := range []bool{o.headers, o.structure, o.envelope, o.part != ""} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return usagef("only one of --headers, --part, --structure and --envelope can be given")
	case o.output != "-" && (o.list() || o.part != ""):
		return usagef("-o stores messages: it goes with none of --part, --structure and --envelope")
	case o.output != "-" && o.crlf:
		return usagef("--crlf is for standard output")
	case o.rawPart && o.part == "":
		return usagef("--raw goes with --part")
	case c.json && o.output == "-" && !o.list():
		return usagef("--json describes messages: it needs --envelope, --structure or -o with a folder or file")
	}
	return nil
}

func (c *call) imapFetch(ctx context.Context, o *imapFetchOptions) error {
	if err := o.check(c); err != nil {
		return err
	}
	var section imap.Section
	var err error
	if o.part != "" {
		if section, err = imapwire.ParseSection(o.part); err != nil {
			return usagef("%v", err)
		}
	}
	m, err := c.imapMessages(c.args[1:], o.imapSetOptions)
	if err != nil || m.nothing() {
		return err
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], o.markSeen); err != nil {
			return err
		}
		set, missing := m.set, imap.UIDSet{}
		if !m.single() {
			if set, missing, err = m.find(ctx, client); err != nil {
				return err
			}
		}
		f := &imapFetching{call: c, client: client, o: o, section: section, m: m, set: set, missing: missing}
		switch {
		case o.list():
			return f.describe(ctx)
		case o.part != "":
			return f.part(ctx)
		}
		return f.deliver(ctx)
	})
}

// imapFetching is one run of the command with its mailbox open.
type imapFetching struct {
	*call
	client  *imap.Client
	o       *imapFetchOptions
	section imap.Section // of --part
	m       *imapMessages
	set     imap.UIDSet // what is to come
	missing imap.UIDSet // what was named and is not there
}

// done ends the fetch: gone are the messages of the set that did not come.
func (f *imapFetching) done(gone imap.UIDSet, err error) error {
	if err != nil {
		return err
	}
	if f.set.Minus(gone).Empty() {
		return f.m.none(true)
	}
	missing := f.missing.Clone()
	missing.AddSet(gone)
	return imapMissing(missing)
}

// describe prints what messages are, without their octets.
func (f *imapFetching) describe(ctx context.Context) error {
	items := &imap.FetchOptions{Envelope: f.o.envelope, Structure: f.o.structure,
		Flags: f.o.envelope, InternalDate: f.o.envelope, Size: true}
	return f.done(f.client.Fetch(ctx, f.set, items, func(msg *imap.Message) error {
		if f.json {
			return f.imapDescribeJSON(msg)
		}
		if f.o.envelope {
			return f.imapEnvelopeRow(msg)
		}
		return f.imapStructureRows(msg)
	}))
}

func (c *call) imapDescribeJSON(msg *imap.Message) error {
	out := imapObjectOf(msg)
	out.addEnvelope(msg.Envelope)
	if msg.Structure != nil {
		out.BodyStructure = imapPartOf(msg.Structure)
		out.Keywords = nil
	}
	return c.printJSON(out)
}

func (c *call) imapEnvelopeRow(msg *imap.Message) error {
	var out imapObject
	out.addEnvelope(msg.Envelope)
	date, from, subject := out.SentAt, "", ""
	if date == "" && !msg.InternalDate.IsZero() {
		date = msg.InternalDate.Format(time.RFC3339)
	}
	for i, a := range out.From {
		if i > 0 {
			from += ", "
		}
		if a.Name == "" {
			from += a.Email
		} else {
			from += a.Name + " <" + a.Email + ">"
		}
	}
	if out.Subject != nil {
		subject = *out.Subject
	}
	return c.row(uidText(msg.UID), date, from, subject)
}

func uidText(uid imap.UID) string { return strconv.FormatUint(uint64(uid), 10) }

// imapStructureRows prints a row for each part: UID, part, type, encoding, size, disposition, name.
func (c *call) imapStructureRows(msg *imap.Message) error {
	if msg.Structure == nil {
		c.note("message %d: the server's description of its structure makes no sense", msg.UID)
		return nil
	}
	var err error
	msg.Structure.Walk(func(b *imap.BodyStructure) {
		p := imapPartOf(b)
		path, size := p.PartID, strconv.FormatInt(p.Size, 10)
		if b.Multipart() {
			path, size = b.Path, ""
		}
		if e := c.row(uidText(msg.UID), path, p.Type, p.Encoding, size, p.Disposition, p.Name); e != nil && err == nil {
			err = e
		}
	})
	return err
}

// part prints one part of each message, decoded unless it is told not to.
func (f *imapFetching) part(ctx context.Context) error {
	decode := !f.o.rawPart && f.section.Spec == "" && len(f.section.Part) > 0
	items := &imap.FetchOptions{Structure: decode, Sections: []imap.Section{f.section}, MarkSeen: f.o.markSeen}
	gone, err := f.client.Fetch(ctx, f.set, items, func(msg *imap.Message) error {
		body, err := msg.Next()
		if err != nil {
			return err
		}
		encoding := ""
		if decode && msg.Structure != nil {
			if p := msg.Structure.Find(f.section.String()); p != nil && !p.Multipart() && p.Type != "message" {
				encoding = p.Encoding
			}
		}
		return f.copyPart(body, encoding)
	})
	if err == nil && f.m.single() && !gone.Empty() {
		return notFoundf("no message with UID %s, or it has no part %s", f.m.set, f.o.part)
	}
	return f.done(gone, err)
}

// copyPart writes a part to standard output.
func (f *imapFetching) copyPart(body io.Reader, encoding string) error {
	switch lf := !f.o.crlf && !f.o.rawPart; {
	case encoding != "":
		body = mimetree.NewDecoder(body, encoding, mimetree.DecodeOptions{LF: lf})
	case lf:
		body = message.ToLF(body)
	}
	_, err := io.Copy(f.stdout, body)
	return f.ourFault(err)
}

// ourFault marks an error as one of our own streams and files, when the connection is not at fault.
func (f *imapFetching) ourFault(err error) error {
	if err == nil || f.client.Err() != nil {
		return err
	}
	return &localError{err}
}

// deliver puts messages, or their headers, into the destination.
func (f *imapFetching) deliver(ctx context.Context) error {
	many := !f.m.single() && f.set.Count() > 1
	sink, err := store.OpenSink(f.o.output, store.SinkOptions{Stdout: f.stdout, CRLF: f.o.crlf, Many: many})
	if err != nil {
		return &localError{err}
	}
	items := &imap.FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []imap.Section{{}}, MarkSeen: f.o.markSeen}
	if f.o.headers {
		items.Sections[0].Spec = "HEADER"
	}
	gone, err := f.client.Fetch(ctx, f.set, items, func(msg *imap.Message) error { return f.put(ctx, sink, msg) })
	if e := sink.Close(); e != nil && err == nil {
		err = &localError{e}
	}
	return f.done(gone, err)
}

// put stores one message and names it once it is there.
func (f *imapFetching) put(ctx context.Context, sink store.Sink, msg *imap.Message) error {
	body, err := msg.Next()
	if err != nil {
		return err
	}
	name, err := sink.Put(ctx, body, store.Meta{Date: msg.InternalDate, Flags: storeFlags(msg.Flags)})
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return err
	case err != nil:
		return f.ourFault(err)
	case name == "-":
		return nil
	case f.json:
		out := imapObjectOf(msg)
		out.Mailbox, out.Path = valid(f.args[0]), name
		return f.printJSON(out)
	}
	return f.lines.put(escapeText(name))
}

// storeFlags leaves out \Recent, which belongs to the session.
func storeFlags(flags []imap.Flag) []string {
	words := make([]string, 0, len(flags))
	for _, f := range flags {
		if f != imapwire.FlagRecent {
			words = append(words, string(f))
		}
	}
	return words
}
