package mimetree

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// DowngradeReason says why a message is not converted.
type DowngradeReason string

// The reasons a message is not converted to 7bit.
const (
	DowngradeSigned    DowngradeReason = "it is signed or encrypted, and conversion would break that"
	DowngradeHeader    DowngradeReason = "octets above 127 in a header, which need SMTPUTF8"
	DowngradeOutside   DowngradeReason = "octets above 127 outside of the parts"
	DowngradeStructure DowngradeReason = "the structure does not say how to convert it"
)

// DowngradeError says that a message is not converted, and why. Nothing has been written then.
type DowngradeError struct {
	Part   string // its ID, see [Part]
	Reason DowngradeReason
}

// Error implements error.
func (e *DowngradeError) Error() string {
	if e.Part == "" {
		return "cannot be converted to 7bit: " + string(e.Reason)
	}
	return fmt.Sprintf("part %s cannot be converted to 7bit: %s", e.Part, e.Reason)
}

// Downgrade converts a message to 7bit, for a server without 8BITMIME (RFC 6152 §3) or BINARYMIME (RFC 3030 §3). Leaves with octets
// above 127, NUL or lines over 998 octets become quoted-printable when they are text, base64 when they are not; embedded messages are not
// encoded themselves, what is in them is. Content-Transfer-Encoding follows on these leaves and on what said 8bit or binary around them.
// Everything else stays octet for octet, and so does the whole message when no leaf needs it. Every leaf decodes to what it was.
//
// The message is in wire form, or in LF form throughout: the line end of its header tells. It is read once here, once or twice more to
// tell the size, and once for each writing.
//
// A [*DowngradeError] refuses what would lose something: a leaf inside multipart/signed or multipart/encrypted, S/MIME
// (application/pkcs7-mime), and any leaf when the message carries a DKIM-Signature or an ARC-Message-Signature; octets above 127
// in headers; those in preambles and epilogues; and what may not be encoded or whose structure was not understood. A signature inside a
// multipart/signed of which nothing needs conversion is no hindrance. The other errors are those of open and of [Walk].
func Downgrade(open Opener) (*Rendering, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // only read
	d := &downgrade{in: &highReader{r: src}}
	if err := Walk(d.in, &WalkOptions{Leave: d.leave}, d.visit); err != nil {
		return nil, err
	}
	if d.err == nil && d.in.high > d.high {
		d.refuse(nil, DowngradeOutside)
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.rendering(open)
}

// highReader counts octets, and those above 127.
type highReader struct {
	r       io.Reader
	n, high int64
}

func (h *highReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.n += int64(n)
	if !isASCII(p[:n]) {
		for _, c := range p[:n] {
			h.high += int64(c >> 7)
		}
	}
	return n, err
}

// downgrade is the plan of a conversion.
type downgrade struct {
	in     *highReader
	wire   bool
	signed bool // by DKIM or ARC
	edits  []edit
	work   bool  // a leaf has to be encoded
	high   int64 // octets above 127 in leaves
	leaf   textFacts
	err    *DowngradeError // the first
}

// edit is a change of what is at an offset of the source: a header that becomes another, or a body that gets another encoding.
type edit struct {
	at, size int64
	header   string
	from, to string // encodings of a body
}

func (d *downgrade) refuse(p *Part, reason DowngradeReason) {
	if d.err != nil {
		return
	}
	d.err = &DowngradeError{Reason: reason}
	if p != nil {
		d.err.Part = p.ID
	}
}

func (d *downgrade) visit(p *Part, body *Body) error {
	if p.Root() {
		d.wire = string(p.Header.End) != "\n"
		d.signed = p.Header.Has("DKIM-Signature") || p.Header.Has("ARC-Message-Signature")
	}
	if slices.ContainsFunc(p.Header.Fields, func(f message.Field) bool { return !isASCII(f.Raw) }) {
		d.refuse(p, DowngradeHeader)
	}
	if p.Container {
		d.relabel(p)
		return nil
	}
	var err error
	d.leaf, err = scanText(body.Raw())
	d.high += d.leaf.eightBit
	return err
}

// relabel makes 7bit of a label above that. Inside of what is signed it stays: the label does no harm there, and the change would.
func (d *downgrade) relabel(p *Part) {
	if encodingClass(p.Encoding) != SevenBit && !sealed(p) {
		d.setEncoding(p, "7bit")
	}
}

// sealed tells if a part is inside of one that is signed or encrypted.
func sealed(p *Part) bool {
	for q := p.Parent; q != nil; q = q.Parent {
		if q.MediaType == "multipart/signed" || q.MediaType == "multipart/encrypted" {
			return true
		}
	}
	return false
}

// leave decides about a leaf.
func (d *downgrade) leave(p *Part) error {
	if p.Container {
		return nil
	}
	f := d.leaf
	if f.eightBit == 0 && !f.nul && f.longest <= message.MaxLineLength {
		d.relabel(p)
		return nil
	}
	d.work = true
	to := d.encoding(p, f)
	switch {
	case d.signed || sealed(p) || p.MediaType == "application/pkcs7-mime" || p.MediaType == "application/x-pkcs7-mime":
		d.refuse(p, DowngradeSigned)
	case to == "":
		d.refuse(p, DowngradeStructure)
	default:
		d.setEncoding(p, to)
		d.edits = append(d.edits, edit{at: p.BodyOffset, size: p.Size, from: p.Encoding, to: to})
	}
	return nil
}

// encoding chooses the encoding of a leaf, "" when it must not have one (RFC 2045 §6.4, RFC 2046 §5.2).
func (d *downgrade) encoding(p *Part, f textFacts) string {
	for _, defect := range p.Defects {
		switch defect.ID {
		case DefectPartLimit, DefectDepthLimit, DefectHeaderLimit:
			return ""
		}
	}
	switch p.Encoding {
	case "7bit", "8bit", "binary":
	case "base64", "quoted-printable", "x-uuencode": // which should be 7bit themselves: encoded again from what they give
		return "base64"
	default:
		return ""
	}
	uniform := f.crlf == 0
	if d.wire {
		uniform = f.crlf == f.lines
	}
	switch {
	case p.Multipart(), p.Message(), p.MediaType == "message/partial", p.MediaType == "message/external-body":
		return ""
	case p.Text() && uniform:
		return f.encoding(SevenBit)
	}
	return "base64"
}

// setEncoding plans a header with another Content-Transfer-Encoding.
func (d *downgrade) setEncoding(p *Part, encoding string) {
	const name = "Content-Transfer-Encoding"
	old := p.Header.Bytes()
	if int64(len(old)) != p.BodyOffset-p.HeaderOffset {
		d.refuse(p, DowngradeStructure)
		return
	}
	eol := "\n"
	if d.wire {
		eol = "\r\n"
	}
	var b strings.Builder
	done := false
	for _, f := range p.Header.Fields {
		switch {
		case !strings.EqualFold(f.Name, name):
			b.Write(f.Raw)
		case !done:
			done = true
			b.WriteString(f.Name + ": " + encoding + eol)
		}
	}
	if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteString(eol)
	}
	if !done {
		if (p.Root() || p.Embedded) && !p.Header.Has("MIME-Version") {
			b.WriteString("MIME-Version: 1.0" + eol)
		}
		b.WriteString(name + ": " + encoding + eol)
	}
	if p.Header.End == nil {
		b.WriteString(eol)
	}
	b.Write(p.Header.End)
	d.edits = append(d.edits, edit{at: p.HeaderOffset, size: int64(len(old)), header: b.String()})
}

// rendering makes the segments of the plan.
func (d *downgrade) rendering(open Opener) (*Rendering, error) {
	r := &Rendering{source: open}
	var at int64
	if !d.work {
		d.edits = nil
	}
	for _, e := range d.edits {
		r.copies(e.at - at)
		at = e.at + e.size
		if e.to == "" {
			r.replaces(e)
		} else {
			r.encodes(e, bodyForm{encoding: e.to, wire: d.wire, open: at < d.in.n, guard: true})
		}
	}
	r.copies(d.in.n - at)
	if r.size >= 0 {
		return r, nil
	}
	size, err := r.WriteTo(io.Discard)
	if err != nil {
		return nil, err
	}
	r.size = size
	return r, nil
}

// copies adds n octets of the source.
func (r *Rendering) copies(n int64) {
	if n == 0 {
		return
	}
	r.grow(n)
	r.segments = append(r.segments, segment{open: func(src io.Reader, b *buffers) (*encodedBody, error) {
		return newEncodedBody(&exactReader{src, n}, nil, bodyForm{}, b), nil
	}})
}

// grow adds to the size, which is below zero when it is not known.
func (r *Rendering) grow(n int64) {
	if r.size >= 0 {
		r.size += n
	}
}

// replaces adds a header instead of that in the source.
func (r *Rendering) replaces(e edit) {
	r.grow(int64(len(e.header)))
	r.segments = append(r.segments, segment{literal: []byte(e.header)}, segment{open: func(src io.Reader, _ *buffers) (*encodedBody, error) {
		_, err := io.Copy(io.Discard, &exactReader{src, e.size})
		return &encodedBody{done: true}, err
	}})
}

// encodes adds a body of the source in another encoding.
func (r *Rendering) encodes(e edit, form bodyForm) {
	if e.to == "base64" && isIdentity(e.from) {
		eol := int64(len(form.eol()))
		r.grow(base64Size(e.size, eol))
		if form.open {
			r.grow(-eol)
		}
	} else {
		r.size = -1
	}
	r.segments = append(r.segments, segment{open: func(src io.Reader, b *buffers) (*encodedBody, error) {
		body := io.Reader(&exactReader{src, e.size})
		if !isIdentity(e.from) {
			body = NewDecoder(body, e.from, DecodeOptions{})
		}
		return newEncodedBody(body, nil, form, b), nil
	}})
}

// exactReader gives n octets of r, and fails when there are fewer.
type exactReader struct {
	r io.Reader
	n int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	if e.n -= int64(n); err == io.EOF {
		if err = nil; e.n > 0 {
			err = errChanged
		}
	}
	return n, err
}
