package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapFetchOptions struct {
	imapSetOptions
	output                       string
	headers, structure, envelope bool
	preview                      bool
	part, span                   string
	rawPart, decode              bool
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
			"the path of each is printed once it is safely on disk. --headers, --part, --range, --structure, --envelope and " +
			"--preview take only that over the net. \\Seen is not set unless --mark-seen says so.\n\n" +
			"--part gives a part with its transfer encoding undone. With --decode the server undoes it (BINARY) if it can, and a " +
			"text comes as UTF-8 whatever its charset is. --range takes a piece of the part, or of the message, as it is on the " +
			"server, with its transfer encoding: 0-1023 are the first 1024 octets, 1024- is all behind them. --preview prints the " +
			"UID and the first words of the text: those that the server tells (PREVIEW), else up to 200 characters of the first " +
			"text part, of which 4 KiB are fetched.\n\n" +
			"With --json, --envelope and --structure tell Gmail's labels and ids too (X-GM-EXT-1), and those of OBJECTID.\n\n" + imapSetHelp + "\n\n" +
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
			&cli.BoolFlag{Name: "decode", Usage: "give the part decoded, text as UTF-8", Destination: &o.decode},
			&cli.StringFlag{Name: "range", Usage: "take the octets `FROM-TO` of the part or message, as it is on the server", Destination: &o.span},
			&cli.BoolFlag{Name: "structure", Usage: "print the parts of each message", Destination: &o.structure},
			&cli.BoolFlag{Name: "envelope", Usage: "print UID, date, sender and subject", Destination: &o.envelope},
			&cli.BoolFlag{Name: "preview", Usage: "print UID and the first words of the text", Destination: &o.preview},
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
func (o *imapFetchOptions) list() bool { return o.structure || o.envelope || o.preview }

// pieces tells if what is given is no whole message, nor header of one.
func (o *imapFetchOptions) pieces() bool { return o.part != "" || o.span != "" }

func (o *imapFetchOptions) check(c *call) error {
	ways := 0
	for _, on := range []bool{o.headers, o.structure, o.envelope, o.preview, o.pieces()} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return usagef("only one of --headers, --part, --structure, --envelope and --preview can be given")
	case o.output != "-" && (o.list() || o.pieces()):
		return usagef("-o stores messages: it goes with none of --part, --range, --structure, --envelope and --preview")
	case o.list() && (o.markSeen || o.crlf):
		return usagef("--mark-seen and --crlf go with messages and parts that are printed")
	case o.output != "-" && o.crlf:
		return usagef("--crlf is for standard output")
	case o.rawPart && o.part == "":
		return usagef("--raw goes with --part")
	case o.decode && (o.part == "" || o.rawPart || o.span != ""):
		return usagef("--decode goes with --part, and with neither --raw nor --range")
	case c.json && o.output == "-" && !o.list():
		return usagef("--json describes messages: it needs --envelope, --structure, --preview or -o with a folder or file")
	}
	return nil
}

func (c *call) imapFetch(ctx context.Context, o *imapFetchOptions) error {
	if err := o.check(c); err != nil {
		return err
	}
	section, err := o.section()
	if err != nil {
		return err
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
		case o.preview:
			return f.preview(ctx)
		case o.list():
			return f.describe(ctx)
		case o.pieces():
			return f.part(ctx)
		}
		return f.deliver(ctx)
	})
}

// section reads --part and --range.
func (o *imapFetchOptions) section() (imap.Section, error) {
	section, err := imapwire.ParseSection(o.part)
	if err != nil {
		return section, usagef("%v", err)
	}
	if o.span == "" {
		return section, nil
	}
	from, to, ok := strings.Cut(o.span, "-")
	first, err := strconv.ParseUint(from, 10, 32)
	last := uint64(math.MaxUint32 - 1)
	if to != "" && err == nil {
		last, err = strconv.ParseUint(to, 10, 32)
	}
	if !ok || err != nil || last < first {
		return section, usagef("%q is no range like 0-1023 or 1024-", o.span)
	}
	section.Offset, section.Length = uint32(first), uint32(min(last-first+1, math.MaxUint32))
	return section, nil
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
		Flags: f.o.envelope, InternalDate: f.o.envelope, Size: true, Gmail: f.json, ObjectID: f.json}
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
	out := imapObject{UID: msg.UID}
	if env := msg.Envelope; env != nil { // no more than is shown: there may be many
		out.addEnvelope(&imap.Envelope{Date: env.Date, Subject: env.Subject, From: env.From})
	}
	if out.SentAt == "" && !msg.InternalDate.IsZero() {
		out.SentAt = msg.InternalDate.Format(time.RFC3339)
	}
	return c.row(out.columns()...)
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

// ourFault marks an error as one of our own streams and files, when the connection is not at fault.
func (f *imapFetching) ourFault(err error) error {
	if err == nil || f.client.Err() != nil {
		return err
	}
	return &localError{err}
}

// Messages are made durable together, at most so many at a time, of so many octets.
const (
	deliverMessages = 500
	deliverOctets   = 32 << 20
)

// imapDelivery puts messages into a destination.
type imapDelivery struct {
	*imapFetching
	batch store.Batch
	most  int          // messages that are made durable together
	about []imapObject // those of the batch, with --json
}

// deliver puts messages, or their headers, into the destination.
func (f *imapFetching) deliver(ctx context.Context) error {
	many := !f.m.single() && f.set.Count() > 1
	sink, err := store.OpenSink(f.o.output, store.SinkOptions{Stdout: f.stdout, CRLF: f.o.crlf, Many: many})
	if err != nil {
		return &localError{err}
	}
	d := &imapDelivery{imapFetching: f, batch: sink.Batch(), most: deliverMessages}
	items := &imap.FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []imap.Section{{}}, MarkSeen: f.o.markSeen}
	if f.o.headers {
		items.Sections[0].Spec = "HEADER"
	}
	if f.o.markSeen { // what is marked should be stored
		d.most = 1
	}
	gone, err := f.client.Fetch(ctx, f.set, items, func(msg *imap.Message) error { return d.add(ctx, msg) })
	if ctx.Err() == nil { // what came before an error stays
		err = cmp.Or(err, d.commit(ctx))
	}
	if e := errors.Join(d.batch.Close(), sink.Close()); e != nil && err == nil {
		err = &localError{e}
	}
	return f.done(gone, err)
}

// add takes one message.
func (d *imapDelivery) add(ctx context.Context, msg *imap.Message) error {
	body, err := msg.Next()
	if err != nil {
		return err
	}
	err = d.batch.Add(ctx, body, store.Meta{Date: msg.InternalDate, Flags: storeFlags(msg.Flags)})
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return err
	case err != nil:
		return d.ourFault(err)
	case d.json:
		d.about = append(d.about, imapObjectOf(msg))
	}
	if n, octets := d.batch.Staged(); n < d.most && octets < deliverOctets {
		return nil
	}
	return d.commit(ctx)
}

// commit stores the messages taken and names them once they are there.
func (d *imapDelivery) commit(ctx context.Context) error {
	names, err := d.batch.Commit(ctx)
	if err != nil && !errors.Is(err, ctx.Err()) {
		err = &localError{err}
	}
	for i := 0; i < len(names) && names[i] != "-" && err == nil; i++ {
		if !d.json {
			err = d.lines.put(escapeText(names[i]))
			continue
		}
		d.about[i].Mailbox, d.about[i].Path = valid(d.args[0]), names[i]
		err = d.printJSON(d.about[i])
	}
	d.about = d.about[:0]
	return err
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
