package mimetree

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// chunkSize is how much of a body is taken at a time.
const chunkSize = 64 << 10

// decoding undoes one transfer encoding, chunk by chunk. decode appends what src stands for to dst and may keep an
// unfinished tail; finish appends what the tail stands for.
type decoding interface {
	decode(dst, src []byte) []byte
	finish(dst []byte) []byte
	defects() []Defect
}

// chunker gives a stream piece by piece, without copying. A piece is valid until the next call; io.EOF comes alone.
type chunker interface {
	next() ([]byte, error)
}

// readerChunks makes a chunker of a reader.
type readerChunks struct {
	r   io.Reader
	buf []byte
	err error
}

func (c *readerChunks) next() ([]byte, error) {
	if c.buf == nil {
		c.buf = make([]byte, chunkSize)
	}
	for c.err == nil {
		n, err := c.r.Read(c.buf)
		c.err = err
		if n > 0 {
			return c.buf[:n], nil
		}
	}
	return nil, c.err
}

// Decoder gives the octets that a transfer-encoded stream stands for. Bad data never makes it fail: what can be decoded is,
// and the rest is told by [Decoder.Defects]. The only errors are those of the source.
type Decoder struct {
	src  chunker
	dec  decoding
	out  []byte // decoded, reused
	rest []byte // part of out that Read has not given yet
	err  error
}

// DecodeOptions tells how bodies are decoded. The zero value changes nothing but the encoding.
type DecodeOptions struct {
	LF bool // line breaks of 7bit, 8bit and quoted-printable bodies are given as LF, whatever they are in the source
}

// NewDecoder decodes r, which holds a body in the named Content-Transfer-Encoding ("base64", "quoted-printable",
// "7bit", … in any case). An unknown encoding is passed through and is a defect.
func NewDecoder(r io.Reader, encoding string, o DecodeOptions) *Decoder {
	return newDecoder(&readerChunks{r: r}, cleanEncoding(encoding), o)
}

func newDecoder(src chunker, encoding string, o DecodeOptions) *Decoder {
	d := &Decoder{src: src}
	switch encoding {
	case "base64":
		d.dec = new(base64Decoder)
	case "quoted-printable":
		d.dec = &qpDecoder{lf: o.LF}
	case "7bit":
		d.dec = &identity{lf: o.LF, ascii: true}
	case "8bit":
		d.dec = &identity{lf: o.LF}
	case "binary":
		d.dec = new(identity)
	case "x-uuencode":
		d.dec = new(uuDecoder)
	default:
		d.dec = &identity{list: []Defect{{ID: DefectUnknownEncoding, Detail: shorten(encoding)}}}
	}
	return d
}

// cleanEncoding reduces the value of a Content-Transfer-Encoding field to its lower-case name, "7bit" when empty.
func cleanEncoding(v string) string {
	if i := strings.IndexAny(v, "(;"); i >= 0 {
		v = v[:i]
	}
	v = strings.ToLower(strings.Trim(v, " \t\r\n\"'."))
	switch v {
	case "", "7-bit", "us-ascii":
		return "7bit"
	case "8-bit":
		return "8bit"
	case "x-uue", "uuencode", "uue", "x-uu", "x-uuencoded":
		return "x-uuencode"
	case "quotedprintable", "quoted_printable", "quoted-printeable":
		return "quoted-printable"
	case "base-64", "x-base64":
		return "base64"
	}
	return v
}

// isIdentity tells if an encoding is none: the octets are the content.
func isIdentity(encoding string) bool {
	return encoding == "7bit" || encoding == "8bit" || encoding == "binary"
}

// isKnownEncoding tells if an encoding can be undone.
func isKnownEncoding(encoding string) bool {
	switch encoding {
	case "base64", "quoted-printable", "x-uuencode":
		return true
	}
	return isIdentity(encoding)
}

// fill decodes the next chunk into d.rest.
func (d *Decoder) fill() error {
	for len(d.rest) == 0 {
		if d.err != nil {
			return d.err
		}
		chunk, err := d.src.next()
		if err == nil {
			d.out = d.dec.decode(d.out[:0], chunk)
		} else {
			d.out = d.out[:0]
			if d.err = err; err == io.EOF {
				d.out = d.dec.finish(d.out)
			}
		}
		d.rest = d.out
	}
	return nil
}

// Read gives decoded octets.
func (d *Decoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := d.fill(); err != nil {
		return 0, err
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// WriteTo writes everything that is left, in large pieces.
func (d *Decoder) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := d.fill(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(d.rest)
		total += int64(n)
		d.rest = d.rest[n:]
		if err != nil {
			return total, err
		}
	}
}

// Defects lists what had to be tolerated in what was decoded so far; it is complete after the end of the stream.
func (d *Decoder) Defects() []Defect { return d.dec.defects() }

// identity passes 7bit, 8bit and binary bodies through.
type identity struct {
	lf    bool // CRLF becomes LF
	ascii bool // octets above 127 are a defect
	cr    bool // a CR at the end of the chunk before, not given yet
	list  []Defect
}

func (d *identity) defects() []Defect { return d.list }

func (d *identity) decode(dst, src []byte) []byte {
	if d.ascii && !isASCII(src) {
		d.list = addDefect(d.list, DefectEightBit, "")
		d.ascii = false
	}
	if !d.lf {
		return append(dst, src...)
	}
	if d.cr && len(src) > 0 {
		d.cr = false
		if src[0] != '\n' {
			dst = append(dst, '\r')
		}
	}
	for {
		i := bytes.IndexByte(src, '\r')
		switch {
		case i < 0:
			return append(dst, src...)
		case i == len(src)-1:
			d.cr = true
			return append(dst, src[:i]...)
		case src[i+1] == '\n':
			dst = append(dst, src[:i]...)
		default:
			dst = append(dst, src[:i+1]...)
		}
		src = src[i+1:]
	}
}

func (d *identity) finish(dst []byte) []byte {
	if d.cr {
		d.cr = false
		dst = append(dst, '\r')
	}
	return dst
}

// isASCII tells if no octet is above 127.
func isASCII(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return false
		}
		p = p[8:]
	}
	for _, c := range p {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
