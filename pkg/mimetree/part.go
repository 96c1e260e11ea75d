package mimetree

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Part is one entity of a message: the message itself, a multipart, an embedded message or a leaf.
type Part struct {
	// ID is the part number of RFC 9051 §6.4.5: "1.2". A multipart that is the whole body of a message has none there; its ID is the
	// section that holds its body, "TEXT" or "2.TEXT". The uuencoded files in part 1.2 are "1.2.U1", "1.2.U2", which no section is called.
	ID string
	// Depth is the number of containers around the part.
	Depth int
	// Parent is the container around the part, nil at the top.
	Parent *Part
	// Header is the entity's own header: the message header at the top and in embedded messages, the MIME header otherwise.
	Header *message.Header

	MediaType         string // lower case, "text/plain" when nothing is said
	Params            Params // of Content-Type
	Charset           string // of text parts, cleaned, "us-ascii" when nothing is said; "" for other types
	Encoding          string // Content-Transfer-Encoding, lower case, "7bit" when nothing is said
	Disposition       string // "attachment", "inline", … or "" when nothing is said
	DispositionParams Params // of Content-Disposition
	Filename          string // what the sender calls the file; untrusted, see SafeName
	ContentID         string // without angle brackets

	// Embedded tells that the part is the content of a message/rfc822 part: its Header is a message header.
	Embedded bool
	// Container tells that the parts inside are walked: a multipart with a boundary, or a message.
	Container bool
	// Decoded tells that the part is in a message or a text that was transfer-encoded: its offsets are those in that, decoded.
	Decoded bool
	// Uuencoded tells that the part is a file in the text that is its Parent. It has no header; its body is the lines from "begin" to "end".
	Uuencoded bool

	HeaderOffset int64 // where the header starts in the stream
	BodyOffset   int64 // where the body starts
	Size         int64 // octets of the body as it stands; known when the part has been left

	// Defects is what had to be tolerated so far; complete when the part has been left.
	Defects []Defect
}

// Multipart tells if the media type is a multipart.
func (p *Part) Multipart() bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// Message tells if the part holds an embedded message.
func (p *Part) Message() bool {
	return p.MediaType == "message/rfc822" || p.MediaType == "message/global"
}

// Text tells if the part is text, so that its charset matters.
func (p *Part) Text() bool { return strings.HasPrefix(p.MediaType, "text/") }

// Root tells if the part is the message itself.
func (p *Part) Root() bool { return p.Parent == nil }

func (p *Part) defect(id DefectID, detail string) {
	p.Defects = addDefect(p.Defects, id, "%s", detail)
}

// field gives the value of the first field of that name and notes others.
func (p *Part) field(name string) (string, bool) {
	v, ok := p.Header.Get(name)
	if ok && len(p.Header.Values(name)) > 1 {
		p.defect(DefectDuplicateField, name)
	}
	return v, ok
}

// describe fills in what the header says. fallback is the media type when it says nothing.
func (p *Part) describe(fallback string) {
	p.MediaType = fallback
	if v, ok := p.field("Content-Type"); ok {
		var list []Defect
		p.MediaType, p.Params, list = ParseMediaType(v)
		p.Defects = append(p.Defects, list...)
	}
	v, _ := p.field("Content-Transfer-Encoding")
	p.Encoding = cleanEncoding(v)
	if v, ok := p.field("Content-Disposition"); ok {
		var list []Defect
		p.Disposition, p.DispositionParams, list = ParseDisposition(v)
		p.Defects = append(p.Defects, list...)
	}
	if p.Text() {
		p.Charset = cleanCharset(p.Params.Get("charset"))
	}
	p.Filename = p.DispositionParams.Get("filename")
	if p.Filename == "" {
		p.Filename = p.Params.Get("name")
	}
	if v, ok := p.Header.Get("Content-ID"); ok {
		p.ContentID = strings.Trim(v, " \t<>")
	}
	for _, f := range p.Header.Fields {
		if f.Name == "" && !((p.Root() || p.Embedded) && strings.HasPrefix(string(f.Raw), "From ")) {
			p.defect(DefectHeaderLine, shorten(f.Value()))
			break
		}
	}
}

// errBodyOver is what a body says when it is read after the visit.
var errBodyOver = errors.New("mimetree: body read after its visit")

// Body is the body of the part being visited. It is read at most once, in one of the ways below, and only during the visit;
// what is not read is passed over. Reading the body of a container, or [Body.Raw] of a text with files in it, takes it as it stands, and the parts inside are then not visited.
type Body struct {
	w       *walker
	part    *Part
	file    *uuFile // of a file in a text, nil for all else
	files   int     // in this text so far
	started bool
	over    bool
	raw     bool
	dec     *Decoder
	text    replacer
}

// chunks marks the body as read and gives its pieces as they stand.
func (b *Body) chunks() chunker {
	b.started = true
	if b.file == nil {
		b.w.enterBody()
	}
	return bodyChunks{b}
}

// bodyChunks is the body as a chunker.
type bodyChunks struct{ b *Body }

func (c bodyChunks) next() ([]byte, error) {
	if c.b.over {
		return nil, errBodyOver
	}
	if c.b.file != nil {
		return c.b.file.next()
	}
	return c.b.w.next()
}

// decoder is the decoder of the body, made on first use.
func (b *Body) decoder() *Decoder {
	if b.dec == nil {
		encoding := b.part.Encoding
		if b.part.Multipart() || b.part.Container && isIdentity(encoding) {
			encoding = "8bit"
		}
		b.dec = b.split(encoding)
		b.dec.out = *b.scratch()
	}
	return b.dec
}

// split is a decoder that leaves out the uuencoded files in a text, if they are wanted apart.
func (b *Body) split(encoding string) *Decoder {
	if !b.splits() {
		return newDecoder(b.chunks(), encoding, b.w.o.Decode)
	}
	t := &uuText{src: b.chunks()}
	t.open = func(name string, f *uuFile) (bool, error) { return b.w.openUuencoded(b, name, f) }
	if isIdentity(encoding) {
		return newDecoder(t, encoding, b.w.o.Decode)
	}
	decoded := newDecoder(t.src, encoding, b.w.o.Decode)
	t.src = decodedChunks{decoded}
	return &Decoder{src: t, dec: passing{new(identity), decoded}}
}

// splits tells if the body is looked through for uuencoded files. What is a file itself stays as it is.
func (b *Body) splits() bool {
	p := b.part
	return b.w.o.OpenUuencoded && p.MediaType == "text/plain" && p.Filename == "" && p.Disposition != "attachment" &&
		p.Encoding != "x-uuencode" && isKnownEncoding(p.Encoding)
}

// rest reads what is left of a text for the files in it.
func (b *Body) rest() error {
	if b.raw || !b.splits() {
		return nil
	}
	_, err := b.WriteTo(io.Discard)
	return err
}

// scratch is the buffer of the decoder: a file is decoded while the text around it is.
func (b *Body) scratch() *[]byte {
	if b.file != nil {
		return &b.w.inner
	}
	return &b.w.scratch
}

// decodedChunks gives what a decoder gives.
type decodedChunks struct{ d *Decoder }

func (c decodedChunks) next() ([]byte, error) {
	err := c.d.fill()
	piece := c.d.rest
	c.d.rest = nil
	return piece, err
}

// passing changes nothing, and has the defects of the decoder before it.
type passing struct {
	*identity
	from *Decoder
}

func (p passing) defects() []Defect { return p.from.Defects() }

// Read gives the body with its transfer encoding undone. Bad data is no error: see [Part.Defects].
func (b *Body) Read(p []byte) (int, error) { return b.decoder().Read(p) }

// WriteTo writes the body, its transfer encoding undone, in large pieces.
func (b *Body) WriteTo(w io.Writer) (int64, error) { return b.decoder().WriteTo(w) }

// Raw gives the body as it stands, transfer encoding and line ends included.
func (b *Body) Raw() io.Reader {
	b.raw = true
	d := &Decoder{src: b.chunks(), dec: new(identity)}
	d.out = *b.scratch()
	return d
}

// Text gives the body decoded and converted to valid UTF-8 by the part's charset; what cannot be converted is U+FFFD.
func (b *Body) Text() io.Reader {
	return b.TextAs(b.part.Charset)
}

// TextAs is Text by another charset than the part's own.
func (b *Body) TextAs(charset string) io.Reader {
	r, known := b.text.reader(charset, b.decoder())
	if !known {
		b.part.defect(DefectUnknownCharset, shorten(charset))
	}
	return r
}

// end closes the body after its visit.
func (b *Body) end() {
	b.over = true
	if b.started && b.file == nil {
		b.w.leaveBody()
	}
	if n := b.text.replaced; n > 0 {
		b.part.defect(DefectCharsetInvalid, strconv.FormatInt(n, 10)+" replaced")
	}
	if b.dec != nil {
		for _, d := range b.dec.Defects() {
			b.part.defect(d.ID, d.Detail)
		}
		*b.scratch() = b.dec.out[:0]
	}
}
