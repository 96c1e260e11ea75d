package imap

import (
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// BodyStructure is the MIME tree of a message as the server parsed it (RFC 9051
// §7.5.2).
type BodyStructure struct {
	Path        string // "1.2", to name the part in a fetch; "" for a multipart at the top
	Type        string // media type in lower case: "text"
	Subtype     string // in lower case: "plain"
	Params      []Param
	ID          string
	Description string
	Encoding    string // transfer encoding in lower case
	Size        int64  // octets, with the transfer encoding
	Lines       int64  // of text and message parts
	MD5         string
	Disposition string // in lower case: "attachment"
	DispParams  []Param
	Language    []string
	Location    string
	Envelope    *Envelope        // of message/rfc822
	Parts       []*BodyStructure // of multiparts; the one body of message/rfc822
}

// Param is a parameter of a part's type or disposition. Names are in lower
// case, values as the server wrote them.
type Param struct{ Name, Value string }

// MediaType is type and subtype: "text/plain".
func (b *BodyStructure) MediaType() string { return b.Type + "/" + b.Subtype }

// Multipart tells if the part is made of parts.
func (b *BodyStructure) Multipart() bool { return b.Type == "multipart" }

// Filename is the name given to the part, "" when there is none. It is as the
// server wrote it: not decoded, and not safe as a path.
func (b *BodyStructure) Filename() string {
	if name := param(b.DispParams, "filename"); name != "" {
		return name
	}
	return param(b.Params, "name")
}

func param(list []Param, name string) string {
	for _, p := range list {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Find returns the part with the path given, nil when there is none. In a
// message that is not multipart, "1" is the body itself.
func (b *BodyStructure) Find(path string) *BodyStructure {
	if b.Path == path {
		return b
	}
	for _, p := range b.Parts {
		if found := p.Find(path); found != nil {
			return found
		}
	}
	return nil
}

// Walk calls f for the part and everything in it, parents first.
func (b *BodyStructure) Walk(f func(*BodyStructure)) {
	f(b)
	for _, p := range b.Parts {
		p.Walk(f)
	}
}

// newStructure makes sense of a BODYSTRUCTURE value. The decoder has capped its
// depth and size. ok is false when anything did not fit.
func newStructure(v imapwire.Value) (b *BodyStructure, ok bool) {
	if v.Kind != imapwire.ListValue || len(v.List) == 0 {
		return nil, false
	}
	p := &structParser{}
	if isMultipart(v) {
		b = p.multipart(v, "")
	} else {
		b = p.single(v, "1")
	}
	return b, !p.odd
}

type structParser struct{ odd bool }

// isMultipart: a multipart begins with its first part, or, from Gmail, with its
// subtype alone when it has no parts.
func isMultipart(v imapwire.Value) bool {
	if v.Kind != imapwire.ListValue || len(v.List) == 0 {
		return false
	}
	return v.List[0].Kind == imapwire.ListValue || (len(v.List) == 1 && v.List[0].Kind == imapwire.StringValue)
}

func (p *structParser) body(v imapwire.Value, path string) *BodyStructure {
	if isMultipart(v) {
		return p.multipart(v, path)
	}
	return p.single(v, path)
}

func below(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

func (p *structParser) multipart(v imapwire.Value, path string) *BodyStructure {
	b := &BodyStructure{Path: path, Type: "multipart"}
	items := v.List
	for len(items) > 0 && items[0].Kind == imapwire.ListValue {
		b.Parts = append(b.Parts, p.body(items[0], below(path, len(b.Parts)+1)))
		items = items[1:]
	}
	r := &reader{items: items}
	b.Subtype = strings.ToLower(r.text())
	p.odd = p.odd || len(b.Parts) == 0
	if len(r.items) > 0 {
		b.Params = p.params(r.next())
		p.extension(b, r)
	}
	p.odd = p.odd || r.odd
	return b
}

func (p *structParser) single(v imapwire.Value, path string) *BodyStructure {
	b := &BodyStructure{Path: path}
	r := &reader{items: v.List}
	b.Type, b.Subtype = strings.ToLower(r.text()), strings.ToLower(r.text())
	b.Params = p.params(r.next())
	b.ID, b.Description = r.text(), r.text()
	if b.Encoding = strings.ToLower(r.text()); b.Encoding == "" {
		b.Encoding = "7bit"
	}
	b.Size = p.number(r)
	switch {
	case b.Type == "text":
		b.Lines = p.optionalNumber(r)
	case b.Type == "message" && (b.Subtype == "rfc822" || b.Subtype == "global"):
		p.message(b, r)
	}
	if len(r.items) > 0 {
		b.MD5 = r.text()
		p.extension(b, r)
	}
	p.odd = p.odd || r.odd
	return b
}

// message reads what message/rfc822 has besides: envelope, body and lines. Some
// servers leave them out.
func (p *structParser) message(b *BodyStructure, r *reader) {
	if len(r.items) < 3 || r.items[0].Kind != imapwire.ListValue {
		p.odd = true
		return
	}
	env, ok := newEnvelope(r.next())
	b.Envelope = env
	inner := r.next()
	if inner.Kind == imapwire.ListValue && len(inner.List) > 0 {
		if isMultipart(inner) { // its parts are numbered below the message itself
			b.Parts = []*BodyStructure{p.multipart(inner, b.Path)}
			b.Parts[0].Path = b.Path + ".TEXT"
		} else {
			b.Parts = []*BodyStructure{p.single(inner, below(b.Path, 1))}
		}
	}
	b.Lines = p.optionalNumber(r)
	p.odd = p.odd || !ok
}

// number reads octets. Dovecot and Exchange were seen to send -1.
func (p *structParser) number(r *reader) int64 {
	n, err := strconv.ParseInt(r.next().Text, 10, 64)
	if err != nil || n < 0 {
		p.odd = true
		return 0
	}
	return n
}

// optionalNumber reads lines, which some servers leave out.
func (p *structParser) optionalNumber(r *reader) int64 {
	if len(r.items) == 0 || r.items[0].Kind != imapwire.AtomValue {
		p.odd = true
		return 0
	}
	return p.number(r)
}

// params reads pairs of names and values; mail.ru sends NIL for a value.
func (p *structParser) params(v imapwire.Value) []Param {
	var list []Param
	for i := 0; i+1 < len(v.List); i += 2 {
		p.odd = p.odd || v.List[i+1].Kind != imapwire.StringValue
		list = append(list, Param{strings.ToLower(v.List[i].Text), v.List[i+1].Text})
	}
	p.odd = p.odd || len(v.List)%2 != 0 || v.Kind == imapwire.StringValue
	return list
}

// extension reads disposition, language and location, as far as they are there.
func (p *structParser) extension(b *BodyStructure, r *reader) {
	if len(r.items) > 0 {
		d := &reader{items: r.list()}
		if len(d.items) > 0 {
			b.Disposition = strings.ToLower(d.text())
			if len(d.items) > 0 {
				b.DispParams = p.params(d.next())
			}
		}
	}
	if len(r.items) > 0 {
		lang := r.next()
		if lang.Kind == imapwire.StringValue {
			b.Language = []string{lang.Text}
		}
		for _, l := range lang.List {
			b.Language = append(b.Language, l.Text)
		}
	}
	if len(r.items) > 0 {
		b.Location = r.text()
	}
}
