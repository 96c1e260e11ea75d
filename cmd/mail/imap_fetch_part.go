package main

import (
	"context"
	"errors"
	"io"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

// part prints one part of each message, or a piece of it, decoded unless it is told not to.
func (f *imapFetching) part(ctx context.Context) error {
	gone, err := f.set, error(nil)
	if f.o.decode && f.decodable() {
		section := f.section
		section.Binary = true
		if gone, err = f.fetchPart(ctx, f.set, section); !refusedDecoding(err) {
			return f.partsDone(gone, err)
		}
	}
	gone, err = f.fetchPart(ctx, gone, f.section)
	return f.partsDone(gone, err)
}

func (f *imapFetching) partsDone(gone imap.UIDSet, err error) error {
	if err == nil && f.m.single() && !gone.Empty() {
		return notFoundf("no message with UID %s, or it has no part %s", f.m.set, f.o.part)
	}
	return f.done(gone, err)
}

// decodable tells if the section can have a transfer encoding.
func (f *imapFetching) decodable() bool {
	return !f.o.rawPart && f.o.span == "" && f.section.Spec == "" && len(f.section.Part) > 0
}

// refusedDecoding tells if the server does not decode, at least not that: it lacks BINARY, or says UNKNOWN-CTE (RFC 3516
// §4.3), or what else comes to its mind.
func refusedDecoding(err error) bool {
	var refused *imap.Error
	return lacksExtension(err) || errors.As(err, &refused) && refused.Status != "BYE" && !refused.Temporary()
}

func (f *imapFetching) fetchPart(ctx context.Context, set imap.UIDSet, section imap.Section) (gone imap.UIDSet, err error) {
	decode := f.decodable()
	items := &imap.FetchOptions{Structure: decode, Sections: []imap.Section{section}, MarkSeen: f.o.markSeen}
	return f.client.Fetch(ctx, set, items, func(msg *imap.Message) error {
		body, err := msg.Next()
		if err != nil {
			return err
		}
		way := imapPartWay{lf: !f.o.crlf && !f.o.rawPart && f.o.span == "", binary: section.Binary}
		if decode && msg.Structure != nil {
			if p := msg.Structure.Find(f.section.String()); p != nil && !p.Multipart() && p.Type != "message" {
				way.encoding = p.Encoding
				if f.o.decode && p.Type == "text" {
					way.charset = charsetOf(p)
				}
			}
		}
		return f.ourFault(f.copyPart(body, way))
	})
}

// imapPartWay says what becomes of a part on its way to standard output.
type imapPartWay struct {
	encoding string // to be undone; "" for what has none, and is not a part
	charset  string // to be converted to UTF-8; "" is left as it is
	binary   bool   // the server has undone the encoding
	lf       bool   // line ends are to be LF, where they are line ends
}

func charsetOf(p *imap.BodyStructure) string {
	for _, param := range p.Params {
		if param.Name == "charset" {
			return param.Value
		}
	}
	return "us-ascii"
}

// copyPart writes a part to standard output. What is base64 has the line ends that it is to have.
func (f *imapFetching) copyPart(body io.Reader, way imapPartWay) error {
	switch {
	case way.encoding != "" && !way.binary:
		body = mimetree.NewDecoder(body, way.encoding, mimetree.DecodeOptions{LF: way.lf})
	case way.lf && way.encoding != "base64":
		body = message.ToLF(body)
	}
	if way.charset != "" {
		body, _ = mimetree.NewCharsetReader(way.charset, body)
	}
	_, err := io.Copy(f.stdout, body)
	return err
}
