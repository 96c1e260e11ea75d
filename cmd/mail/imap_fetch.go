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
		),
		run: func(ctx context.Context, c *call) error { return c.imapFetch(ctx, o) },
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
		switch {
		case o.list():
			return c.imapDescribe(ctx, client, o, m, set, missing)
		case o.part != "":
			return c.imapPart(ctx, client, o, section, m, set, missing)
		}
		return c.imapDeliver(ctx, client, o, m, set, missing)
	})
}

// fetched ends a fetch: gone are the messages of set that did not come, missing those that were not there before.
func (m *imapMessages) fetched(err error, set, gone, missing imap.UIDSet) error {
	if err != nil {
		return err
	}
	if set.Minus(gone).Empty() {
		return m.none(true)
	}
	missing = missing.Clone()
	missing.AddSet(gone)
	return imapMissing(missing)
}

// imapDescribe prints what messages are, without their octets.
func (c *call) imapDescribe(ctx context.Context, client *imap.Client, o *imapFetchOptions, m *imapMessages, set, missing imap.UIDSet) error {
	items := &imap.FetchOptions{Envelope: o.envelope, Structure: o.structure,
		Flags: o.envelope, InternalDate: o.envelope, Size: true}
	gone, err := client.Fetch(ctx, set, items, func(msg *imap.Message) error {
		if c.json {
			return c.imapDescribeJSON(msg)
		}
		if o.envelope {
			return c.imapEnvelopeRow(msg)
		}
		return c.imapStructureRows(msg)
	})
	return m.fetched(err, set, gone, missing)
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

// imapPart prints one part of each message, decoded unless it is told not to.
func (c *call) imapPart(ctx context.Context, client *imap.Client, o *imapFetchOptions, section imap.Section, m *imapMessages, set, missing imap.UIDSet) error {
	decode := !o.rawPart && section.Spec == "" && len(section.Part) > 0
	items := &imap.FetchOptions{Structure: decode, Sections: []imap.Section{section}, MarkSeen: o.markSeen}
	gone, err := client.Fetch(ctx, set, items, func(msg *imap.Message) error {
		body, err := msg.Next()
		if err != nil {
			return err
		}
		encoding := ""
		if decode && msg.Structure != nil {
			if p := msg.Structure.Find(section.String()); p != nil && !p.Multipart() && p.Type != "message" {
				encoding = p.Encoding
			}
		}
		return c.copyPart(client, body, encoding, o.crlf || o.rawPart)
	})
	if err == nil && m.single() && !gone.Empty() {
		return notFoundf("no message with UID %s, or it has no part %s", m.set, o.part)
	}
	return m.fetched(err, set, gone, missing)
}

// copyPart writes a part to standard output.
func (c *call) copyPart(client *imap.Client, body io.Reader, encoding string, wireForm bool) error {
	if encoding != "" {
		body = mimetree.NewDecoder(body, encoding, mimetree.DecodeOptions{LF: !wireForm})
	}
	_, err := io.Copy(c.stdout, body)
	return c.ourFault(client, err)
}

// ourFault marks an error as one of our own streams and files, when the connection is not at fault.
func (c *call) ourFault(client *imap.Client, err error) error {
	if err == nil || client.Err() != nil {
		return err
	}
	return &localError{err}
}

// imapDeliver puts messages, or their headers, into the destination.
func (c *call) imapDeliver(ctx context.Context, client *imap.Client, o *imapFetchOptions, m *imapMessages, set, missing imap.UIDSet) error {
	sink, err := store.OpenSink(o.output, store.SinkOptions{Stdout: c.stdout, CRLF: o.crlf, Many: !m.single() && set.Count() > 1})
	if err != nil {
		return &localError{err}
	}
	items := &imap.FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []imap.Section{{}}, MarkSeen: o.markSeen}
	if o.headers {
		items.Sections[0].Spec = "HEADER"
	}
	gone, err := client.Fetch(ctx, set, items, func(msg *imap.Message) error { return c.imapPut(ctx, client, sink, msg) })
	if e := sink.Close(); e != nil && err == nil {
		err = &localError{e}
	}
	return m.fetched(err, set, gone, missing)
}

// imapPut stores one message and names it once it is there.
func (c *call) imapPut(ctx context.Context, client *imap.Client, sink store.Sink, msg *imap.Message) error {
	body, err := msg.Next()
	if err != nil {
		return err
	}
	meta := store.Meta{Date: msg.InternalDate, Flags: storeFlags(msg.Flags)}
	name, err := sink.Put(ctx, body, meta)
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return err
	case err != nil:
		return c.ourFault(client, err)
	case name == "-":
		return nil
	case c.json:
		out := imapObjectOf(msg)
		out.Mailbox, out.Path = valid(c.args[0]), name
		return c.printJSON(out)
	}
	return c.lines.put(escapeText(name))
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
