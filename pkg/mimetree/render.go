package mimetree

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Rendering is a message ready to be written, of a size known in advance. It may be written any number of times, in constant memory.
type Rendering struct {
	segments []segment
	source   Opener // what the segments take their octets from in turn; nil when each has its own source
	wire     bool   // of a draft: the form of its leaves
	target   Encoding
	size     int64
	needs    Encoding
}

// segment is a piece of the output: one of these.
type segment struct {
	literal []byte
	open    func(src io.Reader, b *buffers) (*encodedBody, error) // a body
	leaf    *node                                                 // the body of a leaf
	multi   *multipart                                            // what is in a multipart, made part by part
}

// cursor goes through the segments of a rendering.
type cursor struct {
	r      *Rendering
	levels []level
}

// level is segments made together.
type level struct {
	segments []segment
	at       int // the next one
	part     int // the next part of it, when it is a multipart
}

func (r *Rendering) cursor() cursor { return cursor{r, []level{{segments: r.segments}}} }

// next gives the next segment that is no multipart.
func (c *cursor) next() (g segment, ok bool) {
	for len(c.levels) > 0 {
		l := &c.levels[len(c.levels)-1]
		if l.at == len(l.segments) {
			c.levels = c.levels[:len(c.levels)-1]
			continue
		}
		g = l.segments[l.at]
		switch {
		case g.multi == nil:
			l.at++
			return g, true
		case l.part == len(g.multi.children):
			l.at, l.part = l.at+1, 0
		default:
			l.part++
			c.levels = append(c.levels, level{segments: c.r.child(g.multi, l.part-1)})
		}
	}
	return segment{}, false
}

// Size is the number of octets of the message.
func (r *Rendering) Size() int64 { return r.size }

// Needs tells what a server must take for this message to pass unchanged.
func (r *Rendering) Needs() Encoding { return r.needs }

// Open gives the message as a stream. The caller closes it. Reading fails when a file is not as it was when it was looked at.
func (r *Rendering) Open() io.ReadCloser { return r.reading() }

func (r *Rendering) reading() *rendered { return &rendered{r: r, at: r.cursor()} }

// WriteTo writes the message.
func (r *Rendering) WriteTo(w io.Writer) (int64, error) {
	s := r.reading()
	n, err := s.WriteTo(w)
	return n, errors.Join(err, s.Close())
}

// rendered is one reading of a Rendering.
type rendered struct {
	r    *Rendering
	src  io.ReadCloser
	at   cursor
	body *encodedBody
	b    buffers
	rest []byte // what Read has not given yet
	err  error
}

// next gives the next piece, valid until the next call.
func (s *rendered) next() ([]byte, error) {
	if s.src == nil && s.r.source != nil {
		if s.src, s.err = s.r.source(); s.err != nil {
			return nil, s.err
		}
	}
	for s.err == nil {
		if s.body == nil {
			segment, ok := s.at.next()
			if !ok {
				s.err = s.ended()
				break
			}
			switch {
			case segment.leaf != nil:
				s.body, s.err = segment.leaf.body(s.r.form(segment.leaf), &s.b)
			case segment.open != nil:
				s.body, s.err = segment.open(s.src, &s.b)
			default:
				return segment.literal, nil
			}
			if s.err != nil {
				break
			}
		}
		piece, err := s.body.next()
		if err == nil {
			return piece, nil
		}
		if cerr := s.closeBody(); err == io.EOF {
			err = cerr
		}
		s.err = err
	}
	return nil, s.err
}

// ended is the error at the end: io.EOF, when the source is at its end too.
func (s *rendered) ended() error {
	if s.src == nil {
		return io.EOF
	}
	var more [1]byte
	n, err := fill(s.src, more[:])
	if n > 0 {
		return errChanged
	}
	return err
}

var errChanged = &message.Error{Msg: "the message changed while it was converted"}

func (s *rendered) closeBody() error {
	if s.body == nil || s.body.c == nil {
		s.body = nil
		return nil
	}
	err := s.body.c.Close()
	s.body = nil
	return err
}

// Read implements io.Reader.
func (s *rendered) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(s.rest) == 0 {
		var err error
		if s.rest, err = s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: large pieces without another copy.
func (s *rendered) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(s.rest) == 0 {
			piece, err := s.next()
			if err == io.EOF {
				return total, nil
			}
			if err != nil {
				return total, err
			}
			s.rest = piece
		}
		n, err := w.Write(s.rest)
		total += int64(n)
		s.rest = s.rest[n:]
		if err != nil {
			return total, err
		}
	}
}

// Close closes what is open. Reading fails after it.
func (s *rendered) Close() error {
	err := s.closeBody()
	if s.src != nil {
		err = errors.Join(err, s.src.Close())
		s.src = nil
	}
	s.rest, s.err = nil, errBodyOver
	return err
}

// buffers are shared by the bodies of one reading.
type buffers struct {
	in, flat, out []byte
}

// encodedBody gives content in its transfer encoding, piece by piece.
type encodedBody struct {
	r    io.Reader
	c    io.Closer // nil when there is nothing to close
	b    *buffers
	qp   *qpEncoder
	rows bool   // base64
	eol  string // of base64
	open bool   // the last row of base64 has no line end
	some bool
	done bool
}

// bodyForm is how content is written.
type bodyForm struct {
	encoding string
	wire     bool
	open     bool // base64 ends without a line end
	guard    bool // no row of quoted-printable starts with "--"
}

func (f bodyForm) eol() string {
	if f.wire {
		return "\r\n"
	}
	return "\n"
}

func newEncodedBody(r io.Reader, c io.Closer, form bodyForm, b *buffers) *encodedBody {
	e := &encodedBody{r: r, c: c, b: b, eol: form.eol(), open: form.open}
	if b.in == nil {
		b.in = make([]byte, rowOctets*rowsBulk)
	}
	switch form.encoding {
	case "base64":
		e.rows = true
		if b.flat == nil {
			b.flat = make([]byte, rowChars*rowsBulk)
			b.out = make([]byte, 0, (rowChars+2)*rowsBulk+2)
		}
	case "quoted-printable":
		e.qp = &qpEncoder{eol: e.eol, guard: form.guard}
	}
	return e
}

func (e *encodedBody) next() ([]byte, error) {
	if e.done {
		return nil, io.EOF
	}
	n, err := fill(e.r, e.b.in)
	if e.done = err == io.EOF; err != nil && !e.done {
		return nil, err
	}
	in := e.b.in[:n]
	switch {
	case e.rows:
		return e.base64(in), nil
	case e.qp != nil:
		e.qp.out = e.qp.out[:0]
		e.qp.encode(in)
		if e.done {
			e.qp.finish()
		}
		return e.qp.out, nil
	}
	return in, nil
}

// base64 encodes whole rows, but for the last call.
func (e *encodedBody) base64(in []byte) []byte {
	out := e.b.out[:0]
	if len(in) > 0 {
		if e.some {
			out = append(out, e.eol...)
		}
		e.some = true
		out = appendBase64(out, e.b.flat, in, e.eol)
	}
	if e.done && e.some && !e.open {
		out = append(out, e.eol...)
	}
	return out
}

// base64Size is the size of n octets in base64, with a line end after every row.
func base64Size(n, eol int64) int64 {
	chars := (n + 2) / 3 * 4
	return chars + (chars+rowChars-1)/rowChars*eol
}

// size reads the body to its end.
func (e *encodedBody) size() (int64, error) {
	var n int64
	for {
		piece, err := e.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n += int64(len(piece))
	}
}

// As renders the message for a server that takes target: with [SevenBit] texts are encoded where they need it and files are base64, with
// [EightBit] texts in UTF-8 stay as they are, with [Binary] files go as they are, too. Binary asks for wire form, since the line
// ends of a file would change with those of the message, and for no Seed, since a file could hold a boundary that can be known; without
// them it is EightBit.
func (p *Packed) As(target Encoding) (*Rendering, error) {
	if target == Binary && (!p.d.Wire || p.d.Seed != nil) {
		target = EightBit
	}
	r := &Rendering{wire: p.d.Wire, target: target, needs: p.root.class(target)}
	a := &assembly{r: r}
	if p.d.Header != nil {
		for _, f := range p.d.Header.Fields {
			if !isASCII(f.Raw) {
				r.needs = max(r.needs, EightBit)
			}
			a.literal(strings.TrimRight(strings.ReplaceAll(string(f.Raw), "\r\n", "\n"), "\n") + "\n")
		}
	}
	a.literal("MIME-Version: 1.0\n")
	a.node(p.root)
	if root := p.root; root.multi == nil && root.facts.open && root.encoding(target) != "base64" {
		a.literal("\n")
	}
	r.segments = a.done()
	return r, r.measure()
}

// measure adds up the segments.
func (r *Rendering) measure() error {
	for at := r.cursor(); ; {
		g, ok := at.next()
		if !ok {
			return nil
		}
		n := int64(len(g.literal))
		if g.leaf != nil {
			var err error
			if n, err = g.leaf.encodedSize(r.form(g.leaf)); err != nil {
				return err
			}
		}
		r.size += n
	}
}

// WriteTo writes the message for the draft's own target.
func (p *Packed) WriteTo(w io.Writer) (int64, error) {
	r, err := p.As(p.d.Target)
	if err != nil {
		return 0, err
	}
	return r.WriteTo(w)
}

// assembly makes segments of a rendering.
type assembly struct {
	r        *Rendering
	segments []segment
	text     []byte // the literal to come, in LF form
}

// literal adds text given in LF form.
func (a *assembly) literal(s string) { a.text = append(a.text, s...) }

// add adds a segment.
func (a *assembly) add(g segment) {
	if len(a.text) > 0 {
		if a.r.wire {
			a.text = bytes.ReplaceAll(a.text, []byte("\n"), []byte("\r\n"))
		}
		a.segments = append(a.segments, segment{literal: a.text})
		a.text = nil
	}
	if g.leaf != nil || g.multi != nil {
		a.segments = append(a.segments, g)
	}
}

// done gives the segments.
func (a *assembly) done() []segment {
	a.add(segment{})
	return a.segments
}

// node adds a part: fields, blank line, body.
func (a *assembly) node(n *node) {
	a.text = append(n.appendFields(a.text, a.r.target), '\n')
	if n.multi == nil {
		a.add(segment{leaf: n})
		return
	}
	a.literal("--" + n.multi.boundary + "\n")
	a.add(segment{multi: n.multi})
}

// child makes the segments of a part of m, with the delimiter after it.
func (r *Rendering) child(m *multipart, i int) []segment {
	c := m.children[i]
	a := &assembly{r: r, segments: make([]segment, 0, 3)}
	a.node(c)
	if c.multi == nil && c.encoding(r.target) != "base64" { // base64 ends with a line end that is not part of it
		a.literal("\n")
	}
	a.literal("--" + m.boundary)
	if i == len(m.children)-1 {
		a.literal("--")
	}
	a.literal("\n")
	return a.done()
}

// form is how a leaf is written.
func (r *Rendering) form(n *node) bodyForm {
	return bodyForm{encoding: n.encoding(r.target), wire: r.wire}
}

// body opens a leaf.
func (n *node) body(form bodyForm, b *buffers) (*encodedBody, error) {
	c, err := n.source().reader()
	if err != nil {
		return nil, err
	}
	var r io.Reader = c
	switch {
	case n.raw(form.encoding), form.encoding == "quoted-printable": // which ends its lines itself
	case form.wire || form.encoding == "base64": // the canonical form of text has CRLF, RFC 2049 §4
		r = message.ToWire(c)
	default:
		r = message.ToLF(c)
	}
	return newEncodedBody(r, c, form, b), nil
}

// encodedSize is the size of a leaf in the message. Only quoted-printable has to be written to know it.
func (n *node) encodedSize(form bodyForm) (int64, error) {
	size := n.size
	if !n.raw(form.encoding) {
		if size -= n.facts.crlf; form.wire || form.encoding == "base64" {
			size += n.facts.lines
		}
	}
	switch form.encoding {
	case "base64":
		return base64Size(size, int64(len(form.eol()))), nil
	case "quoted-printable":
		b, err := n.body(form, new(buffers))
		if err != nil {
			return 0, err
		}
		size, err = b.size()
		return size, errors.Join(err, b.c.Close())
	}
	return size, nil
}
