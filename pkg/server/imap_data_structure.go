package server

import (
	"io"
	"strings"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

// emptyPart stands where the grammar wants a part and the message has none.
const emptyPart = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0`

// structure is a part and what is inside it.
type structure struct {
	*mimetree.Part
	inside []*structure
}

// readStructure walks a message.
func readStructure(b Body) (*structure, *lineCounter, error) {
	lines := newLineCounter(b)
	var root *structure
	var open []*structure // from the top down to the last part
	err := walkBody(b, lines, nil, func(p *mimetree.Part, _ *mimetree.Body) error {
		s := &structure{Part: p}
		open = append(open[:min(p.Depth, len(open))], s)
		if p.Depth == 0 {
			root = s
		} else {
			above := open[len(open)-2]
			above.inside = append(above.inside, s)
		}
		return nil
	})
	if err == nil {
		_, err = io.Copy(io.Discard, lines)
	}
	return root, lines, err
}

// imapBodyStructure writes the structure of a message as the value of BODYSTRUCTURE or, when it is not extended, of
// BODY (RFC 9051 §7.5.2). It reads the message once. Parameters of RFC 2231 come put together; one that is not ASCII is
// "name*" with its value percent-encoded UTF-8.
func imapBodyStructure(b Body, extended bool) ([]byte, error) {
	root, lines, err := readStructure(b)
	if err != nil {
		return nil, err
	}
	w := &structureWriter{extended: extended, lines: lines}
	if err := w.part(root); err != nil {
		return nil, err
	}
	return w.out, nil
}

type structureWriter struct {
	dataWriter
	extended bool
	lines    *lineCounter
}

// part writes a part; its depth is that of the walk.
func (w *structureWriter) part(s *structure) error {
	if s.Container && s.Multipart() {
		return w.multipart(s)
	}
	return w.single(s)
}

// multipart writes body-type-mpart.
func (w *structureWriter) multipart(s *structure) error {
	w.raw("(")
	for _, p := range s.inside {
		if err := w.part(p); err != nil {
			return err
		}
	}
	if len(s.inside) == 0 {
		w.empty()
	}
	w.raw(" ")
	w.text(strings.TrimPrefix(s.MediaType, "multipart/"))
	if w.extended {
		w.raw(" ")
		w.params(s.Params)
		w.extension(s)
	}
	w.raw(")")
	return nil
}

// empty writes a part that is not there.
func (w *structureWriter) empty() {
	w.raw(emptyPart)
	if w.extended {
		w.raw(" NIL NIL NIL NIL")
	}
	w.raw(")")
}

// single writes body-type-1part: basic, text or message.
func (w *structureWriter) single(s *structure) error {
	w.raw("(")
	w.mediaType(s)
	w.raw(" ")
	w.field(s, "Content-ID")
	w.raw(" ")
	w.field(s, "Content-Description")
	w.raw(" ")
	w.text(s.Encoding)
	w.raw(" ")
	w.number(s.Size)
	if s.Message() {
		if err := w.message(s); err != nil {
			return err
		}
	}
	if s.Message() || s.Text() {
		n, err := w.lines.of(s.Part)
		if err != nil {
			return err
		}
		w.raw(" ")
		w.number(n)
	}
	if w.extended {
		w.raw(" ")
		w.field(s, "Content-MD5")
		w.extension(s)
	}
	w.raw(")")
	return nil
}

// mediaType writes type, subtype and parameters. A multipart that cannot be taken apart is a run of octets: the grammar
// has no multipart without parts.
func (w *structureWriter) mediaType(s *structure) {
	major, minor, _ := strings.Cut(s.MediaType, "/")
	if s.Multipart() {
		major, minor = "application", "octet-stream"
	}
	w.text(major)
	w.raw(" ")
	w.text(minor)
	w.raw(" ")
	if s.Text() && !s.Header.Has("Content-Type") {
		w.raw(`("charset" "us-ascii")`) // RFC 2045 §5.2
		return
	}
	w.params(s.Params)
}

// message writes the envelope and the structure of an embedded message. One that was not taken apart, because it is
// encoded or too deep, has an empty one.
func (w *structureWriter) message(s *structure) error {
	w.raw(" ")
	if len(s.inside) == 0 {
		w.raw("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ")
		w.empty()
		return nil
	}
	w.envelope(s.inside[0].Header)
	w.raw(" ")
	return w.part(s.inside[0])
}

// field writes a field of the part's header, or NIL.
func (w *structureWriter) field(s *structure, name string) {
	v, ok := s.Header.Get(name)
	w.optional(v, ok && v != "")
}

// extension writes disposition, language and location, each behind a space.
func (w *structureWriter) extension(s *structure) {
	w.raw(" ")
	if s.Disposition == "" {
		w.raw("NIL")
	} else {
		w.raw("(")
		w.text(s.Disposition)
		w.raw(" ")
		w.params(s.DispositionParams)
		w.raw(")")
	}
	w.raw(" ")
	w.languages(s)
	w.raw(" ")
	w.field(s, "Content-Location")
}

// languages writes Content-Language (RFC 3282) as a list of tags, or NIL.
func (w *structureWriter) languages(s *structure) {
	v, _ := s.Header.Get("Content-Language")
	tags := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(tags) == 0 {
		w.raw("NIL")
		return
	}
	for i, tag := range tags[:min(len(tags), 100)] {
		w.separator(i)
		w.text(tag)
	}
	w.raw(")")
}

// params writes a parenthesized list of parameters, or NIL.
func (w *structureWriter) params(list mimetree.Params) {
	if len(list) == 0 {
		w.raw("NIL")
		return
	}
	for i, p := range list {
		w.separator(i)
		name, value := p.Name, p.Value
		if p.Name != "boundary" && !isQuotable(p.Value) {
			name, value = p.Name+"*", percentEncoded(p.Value)
		}
		w.text(name)
		w.raw(" ")
		w.text(value)
	}
	w.raw(")")
}

// percentEncoded writes a value as RFC 2231 §4 has it.
func percentEncoded(s string) string {
	const digits = "0123456789ABCDEF"
	out := []byte("utf-8''")
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '_' {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}
