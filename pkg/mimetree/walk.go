package mimetree

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Limits bounds what a walk does for a hostile message. A zero field stands for the default.
type Limits struct {
	Depth        int   // containers inside containers, 100
	Parts        int   // parts in all, 10,000
	HeaderBytes  int   // octets of one part header, 1 MiB
	HeaderFields int   // fields of one part header, 10,000
	AllHeaders   int64 // octets of all part headers together, 64 MiB
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, n int) {
		if *v <= 0 {
			*v = n
		}
	}
	def(&l.Depth, 100)
	def(&l.Parts, 10000)
	def(&l.HeaderBytes, message.MaxHeaderBytes)
	def(&l.HeaderFields, message.MaxHeaderFields)
	if l.AllHeaders <= 0 {
		l.AllHeaders = 64 << 20
	}
	return l
}

// WalkOptions tells how a message is walked. The zero value is fine.
type WalkOptions struct {
	Limits Limits
	Decode DecodeOptions
	// OpenEncoded walks embedded messages that are transfer-encoded, which RFC 2045 §6.4 forbids, too, ten inside each other at most.
	OpenEncoded bool
	// OpenUuencoded visits the uuencoded files in texts, too: those between the lines of a text/plain part that has no file name and is no
	// attachment. Each is a [Part] with the text as its Parent, visited while that is read, or after its visit when it is not, and Body.Read and
	// Body.Text of the text leave it out.
	OpenUuencoded bool
	// Leave, when set, is called when a part is over: Size and Defects are then complete. For a container this is after its parts.
	Leave func(p *Part) error
}

// ErrStop, returned by a visitor, ends the walk without an error.
var ErrStop = errors.New("stop the walk")

// Visitor is called for each part, containers before what they hold. body is valid during the call.
type Visitor func(p *Part, body *Body) error

// Walk reads one message from r, in CRLF or LF form, and visits its parts in order. It fails with the error of r or of the visitor,
// and with a [*message.Error] when the header of the message itself is beyond the limits; everything else that is wrong with a message
// is a [Defect] of a part. nil options mean the defaults.
func Walk(r io.Reader, o *WalkOptions, visit Visitor) error {
	return walk(r, o, nil, visit)
}

// walk is Walk with a tap of the scanner.
func walk(r io.Reader, o *WalkOptions, tap func(octets []byte, body bool), visit Visitor) error {
	w := &walker{scanner: newScanner(r), visit: visit}
	if o != nil {
		w.o = *o
	}
	w.o.Limits = w.o.Limits.withDefaults()
	w.tap = tap
	err := w.run()
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// maxEncoded is how many encoded messages are opened inside each other. Each needs a buffer of its own and all the octets again.
const maxEncoded = 10

// frame is an open container.
type frame struct {
	part      *Part
	prefix    string // of the IDs of the parts inside
	multipart bool   // boundaries[level] is its own
	level     int
	children  int
	closed    bool // the close delimiter was seen
	encoded   bool // it is an encoded message: its octets come from another scanner
}

type walker struct {
	*scanner
	o       WalkOptions
	visit   Visitor
	frames  []frame
	parts   int
	headers int64
	outside int           // containers around what is walked
	encoded int           // encoded messages around it
	scratch []byte        // of the decoders
	inner   []byte        // of those of files in a text
	block   []byte        // of the header reader
	lines   *bufio.Reader // of the header parser
}

// run is the walk, without recursion: entities open frames, ends of bodies close them.
func (w *walker) run() error {
	for more := true; more; {
		opened, err := w.entity()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		if more, err = w.unwind(); err != nil {
			return err
		}
	}
	w.drain(w.pos)
	return nil
}

// openEncoded walks the message in the body of p.
func (w *walker) openEncoded(p *Part, body *Body) error {
	inner := &walker{scanner: newScanner(body), o: w.o, visit: w.visit, frames: []frame{{part: p, prefix: p.ID, encoded: true}},
		parts: w.parts, headers: w.headers, outside: w.depth(), encoded: w.encoded + 1}
	err := inner.run()
	w.parts, w.headers = inner.parts, inner.headers
	return err
}

// openUuencoded visits a file in the text that body gives.
func (w *walker) openUuencoded(body *Body, name string, f *uuFile) (taken bool, err error) {
	text := body.part
	if w.parts >= w.o.Limits.Parts {
		text.defect(DefectPartLimit, strconv.Itoa(w.o.Limits.Parts)+" parts")
		return false, nil
	}
	w.parts++
	body.files++
	p := &Part{ID: text.ID + ".U" + strconv.Itoa(body.files), Depth: text.Depth + 1, Parent: text, Header: new(message.Header),
		MediaType: "application/octet-stream", Encoding: "x-uuencode", Filename: name, Uuencoded: true,
		Decoded: text.Decoded || !isIdentity(text.Encoding), HeaderOffset: f.t.at}
	if isIdentity(text.Encoding) {
		p.HeaderOffset += text.BodyOffset
	}
	p.BodyOffset = p.HeaderOffset
	start := f.t.at
	inner := &Body{w: w, part: p, file: f}
	if err := w.visit(p, inner); err != nil {
		return true, err
	}
	for err == nil {
		_, err = f.next()
	}
	if err != io.EOF {
		return true, err
	}
	inner.end()
	p.Size = f.t.at - start
	if w.o.Leave == nil {
		return true, nil
	}
	return true, w.o.Leave(p)
}

// depth is the number of containers around the next part.
func (w *walker) depth() int { return w.outside + len(w.frames) }

// entity reads the header of the next entity and visits it. opened tells that another entity follows at once: what was read is
// an embedded message, or a multipart whose first delimiter has been taken.
func (w *walker) entity() (opened bool, err error) {
	p, err := w.readPart()
	if err != nil {
		return false, err
	}
	body := &Body{w: w, part: p}
	if err := w.visit(p, body); err != nil {
		return false, err
	}
	switch {
	case !p.Container || body.started:
		p.Container = false
	case p.Message() && !isIdentity(p.Encoding):
		if err := w.openEncoded(p, body); err != nil {
			return false, err
		}
	default:
		body.end()
		return w.open(p)
	}
	if err := body.rest(); err != nil {
		return false, err
	}
	body.end()
	if err := w.skip(); err != nil {
		return false, err
	}
	return false, w.leave(p)
}

// open makes p a frame. For a multipart the preamble is passed over.
func (w *walker) open(p *Part) (opened bool, err error) {
	prefix := p.ID
	if p.Multipart() {
		prefix = strings.TrimSuffix(strings.TrimSuffix(p.ID, "TEXT"), ".")
	}
	f := frame{part: p, prefix: prefix}
	if p.Message() {
		w.frames = append(w.frames, f)
		return true, nil
	}
	f.multipart, f.level = true, len(w.boundaries)
	w.frames = append(w.frames, f)
	w.boundaries = append(w.boundaries, boundary{text: []byte(w.compareBoundary(p))})
	if err := w.skip(); err != nil {
		return false, err
	}
	return false, nil
}

// compareBoundary gives the boundary of p and notes what is ambiguous about it beside those around it.
func (w *walker) compareBoundary(p *Part) string {
	text := boundaryOf(p)
	if !isBoundary(text) || text != p.Params.Get("boundary") {
		p.defect(DefectBoundaryChars, shorten(p.Params.Get("boundary")))
	}
	for _, b := range w.boundaries {
		switch outer := string(b.text); {
		case b.closed:
		case outer == text:
			p.defect(DefectBoundaryReused, "")
		case strings.HasPrefix(outer, text), strings.HasPrefix(text, outer):
			p.defect(DefectBoundaryPrefix, shorten(outer))
		}
	}
	return text
}

// isBoundary tells if s has only the characters that a boundary may have (RFC 2046 §5.1.1).
func isBoundary(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z' && r < 0x80
		return !letter && !strings.ContainsRune("0123456789'()+_,-./:=? ", r)
	}) < 0
}

// unwind closes the containers that the delimiter just found, or the end of the stream, ends. more tells that another
// entity follows.
func (w *walker) unwind() (more bool, err error) {
	for len(w.frames) > 0 {
		f := &w.frames[len(w.frames)-1]
		if f.multipart && w.found.level == f.level {
			closes := w.found.closes
			w.takeDelimiter()
			if !closes {
				return true, nil
			}
			f.closed = true
			w.boundaries[f.level].closed = true
			if err := w.skip(); err != nil { // epilogue
				return false, err
			}
		}
		if f.multipart {
			w.judge(f)
			w.boundaries = w.boundaries[:f.level]
		}
		p, encoded := f.part, f.encoded
		w.frames = w.frames[:len(w.frames)-1]
		if encoded { // it is left where its octets are
			continue
		}
		if err := w.leave(p); err != nil {
			return false, err
		}
	}
	return false, nil
}

// judge notes what was seen of a multipart by its end.
func (w *walker) judge(f *frame) {
	if f.children == 0 {
		f.part.defect(DefectNoParts, "")
	} else if !f.closed {
		f.part.defect(DefectNoClose, "")
	}
	b := w.boundaries[f.level]
	if b.near {
		f.part.defect(DefectBoundaryNear, "")
	}
	if b.after {
		f.part.defect(DefectBoundaryAfter, "")
	}
}

func (w *walker) leave(p *Part) error {
	p.Size = w.bodyEnd - p.BodyOffset
	if p.Multipart() && p.Container || p.Container && isIdentity(p.Encoding) {
		p.Size = max(0, p.Size-w.before)
	}
	if w.o.Leave == nil {
		return nil
	}
	return w.o.Leave(p)
}

// readPart reads a header and makes the part of it.
func (w *walker) readPart() (*Part, error) {
	p := &Part{Depth: w.depth(), Decoded: w.encoded > 0, HeaderOffset: w.offset(), Header: new(message.Header)}
	fallback, prefix, number := "text/plain", "", 0
	if n := len(w.frames); n > 0 {
		f := &w.frames[n-1]
		f.children++
		p.Parent, p.Embedded, prefix = f.part, !f.multipart, f.prefix
		if f.multipart {
			number = f.children
		}
		if f.part.MediaType == "multipart/digest" {
			fallback = "message/rfc822"
		}
	}
	if w.parts++; w.parts > w.o.Limits.Parts {
		w.opaque(p)
	} else {
		if err := w.readHeader(p); err != nil {
			return nil, err
		}
		p.describe(fallback)
		p.Container = w.descends(p)
	}
	p.BodyOffset = w.offset()
	p.ID = partID(prefix, number, p)
	return p, nil
}

// opaque makes p the whole rest of the stream, delimiters, headers and all.
func (w *walker) opaque(p *Part) {
	w.blind, w.ended = true, false
	p.MediaType, p.Encoding = "application/octet-stream", "binary"
	p.defect(DefectPartLimit, strconv.Itoa(w.o.Limits.Parts)+" parts")
}

// partID numbers a part; number is its place in a multipart, 0 when it is the content of a message.
func partID(prefix string, number int, p *Part) string {
	last := strconv.Itoa(max(number, 1))
	if number == 0 && p.Container && p.Multipart() {
		last = "TEXT"
	}
	if prefix == "" {
		return last
	}
	return prefix + "." + last
}

// boundaryOf gives the boundary of a multipart; blanks at the end cannot be part of it (RFC 2046 §5.1.1).
func boundaryOf(p *Part) string { return strings.TrimRight(p.Params.Get("boundary"), " \t\r\n") }

// descends decides if the parts inside p are walked, and notes why not.
func (w *walker) descends(p *Part) bool {
	identity := isIdentity(p.Encoding)
	switch {
	case p.Multipart():
		b := boundaryOf(p)
		if !identity { // forbidden, and never true in practice
			p.defect(DefectEncodedComposite, shorten(p.Encoding))
		}
		if b == "" || len(b) > boundaryMax || strings.ContainsAny(b, "\r\n") {
			p.defect(DefectNoBoundary, shorten(b))
			return false
		}
		if len(b) > 70 {
			p.defect(DefectBoundaryLong, strconv.Itoa(len(b))+" characters")
		}
	case p.Message():
		if !identity {
			p.defect(DefectEncodedComposite, shorten(p.Encoding))
			if !w.o.OpenEncoded || w.encoded >= maxEncoded || !isKnownEncoding(p.Encoding) {
				return false
			}
		}
	default:
		return false
	}
	if w.depth() >= w.o.Limits.Depth {
		p.defect(DefectDepthLimit, strconv.Itoa(w.o.Limits.Depth)+" levels")
		return false
	}
	return true
}

// readHeader reads the header of p. A delimiter line ends it too, and then the body is empty.
func (w *walker) readHeader(p *Part) error {
	limit := w.o.Limits.HeaderBytes
	if left := w.o.Limits.AllHeaders - w.headers; left < int64(limit) {
		limit = int(left)
	}
	h := headerBlock{s: w.scanner, block: w.block[:0], limit: limit, fields: w.o.Limits.HeaderFields, mbox: p.Root() || p.Embedded}
	h.read()
	w.block = h.block
	w.headers += int64(len(h.block))
	if err := w.failure(); err != nil && w.pos == w.end {
		return err
	}
	if h.over {
		if p.Root() {
			return &message.Error{Msg: "header is larger than " + strconv.Itoa(limit) + " octets or " +
				strconv.Itoa(w.o.Limits.HeaderFields) + " fields"}
		}
		p.defect(DefectHeaderLimit, "")
	}
	if h.noBlank {
		p.defect(DefectHeaderNoBlank, "")
	}
	if h.dropped {
		p.defect(DefectHeaderLine, "the first line")
	}
	if len(h.block) == 0 {
		return nil
	}
	if w.lines == nil {
		w.lines = bufio.NewReader(nil)
	}
	w.lines.Reset(bytes.NewReader(h.block))
	parsed, err := message.ReadHeader(w.lines)
	if err != nil {
		p.defect(DefectHeaderLimit, err.Error())
		return nil
	}
	p.Header = parsed
	return nil
}
