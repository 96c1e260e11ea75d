package mimetree

import (
	"bytes"

	asm "github.com/segmentio/asm/base64"
)

// The one door to the vectorised codec. Both take whole groups; bulkDecode's result is only trusted when it
// consumed everything, since where it failed is not reported reliably.
func bulkDecode(dst, src []byte) (int, error) { return asm.StdEncoding.Decode(dst, src) }
func bulkEncode(dst, src []byte)              { asm.StdEncoding.Encode(dst, src) }

// base64Decoder undoes base64 (RFC 2045 §6.8). Clean chunks are compacted row by row and decoded in bulk; a chunk
// with anything else than the alphabet and line ends goes through the tolerant loop once.
type base64Decoder struct {
	compact []byte // the chunk without its line ends
	carry   []byte // raw characters of an unfinished group, at most 3 after a clean chunk
	group   uint32 // bits of an unfinished group in the tolerant loop
	have    int    // characters in group
	done    bool   // padding was seen: nothing more is decoded
	list    []Defect
}

func (d *base64Decoder) defects() []Defect { return d.list }

func (d *base64Decoder) decode(dst, src []byte) []byte {
	if d.done {
		return d.slow(dst, src)
	}
	if d.have > 0 { // the tolerant loop left bits behind
		return d.slow(dst, src)
	}
	c := append(d.compact[:0], d.carry...)
	d.carry = d.carry[:0]
	c = appendRows(c, src)
	d.compact = c
	whole := len(c) &^ 3
	if i := bytes.IndexByte(c, '='); i >= 0 {
		whole = i &^ 3
	}
	dst, ok := d.bulk(dst, c[:whole])
	if !ok {
		return d.slow(dst, c)
	}
	if rest := c[whole:]; len(rest) > 3 {
		return d.slow(dst, rest)
	}
	d.carry = append(d.carry, c[whole:]...)
	return dst
}

// bulk appends the octets of src, which is a multiple of four long and should hold alphabet characters only. If it does not, ok
// is false and dst comes back as it was.
func (d *base64Decoder) bulk(dst, src []byte) (out []byte, ok bool) {
	if len(src) == 0 {
		return dst, true
	}
	want := len(src) / 4 * 3
	at := len(dst)
	dst = grow(dst, want)
	n, err := bulkDecode(dst[at:at+want], src)
	if err != nil || n != want {
		return dst[:at], false
	}
	return dst[:at+want], true
}

// grow gives dst room for n more bytes and includes them in its length.
func grow(dst []byte, n int) []byte {
	if need := len(dst) + n; need <= cap(dst) {
		return dst[:need]
	}
	return append(dst, make([]byte, n)...)
}

// appendRows appends src without its line ends. Rows of base64 are all of one length, so the place of the next line end is
// guessed from the row before; a wrong guess that slips through leaves a line end in the result, which the tolerant loop
// skips.
func appendRows(dst, src []byte) []byte {
	for len(src) > 0 {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			if src[len(src)-1] == '\r' {
				src = src[:len(src)-1]
			}
			return append(dst, src...)
		}
		stride, cut := i+1, i
		if i > 0 && src[i-1] == '\r' {
			cut--
		}
		dst = append(dst, src[:cut]...)
		src = src[stride:]
		for len(src) >= stride && src[stride-1] == '\n' && (cut == i || src[cut] == '\r') {
			dst = append(dst, src[:cut]...)
			src = src[stride:]
		}
	}
	return dst
}

// Classes of characters beside the 64 of the alphabet.
const (
	base64Pad   = 64
	base64Blank = 65
	base64Other = 66
)

var base64Class = func() (t [256]byte) {
	for i := range t {
		t[i] = base64Other
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	for _, c := range []byte(" \t\r\n") {
		t[c] = base64Blank
	}
	t['='] = base64Pad
	return t
}()

// slow is the tolerant loop: blanks are skipped, junk is skipped and reported, padding ends the data.
func (d *base64Decoder) slow(dst, src []byte) []byte {
	for _, c := range src {
		v := base64Class[c]
		switch {
		case v == base64Blank:
		case d.done:
			if v != base64Pad {
				d.list = addDefect(d.list, DefectBase64Trailing, "")
				return dst
			}
		case v < 64:
			d.group = d.group<<6 | uint32(v)
			if d.have++; d.have == 4 {
				dst = append(dst, byte(d.group>>16), byte(d.group>>8), byte(d.group))
				d.group, d.have = 0, 0
			}
		case v == base64Pad && d.have >= 2:
			dst = d.flush(dst)
			d.done = true
		default:
			d.list = addDefect(d.list, DefectBase64Junk, "")
		}
	}
	return dst
}

// flush appends the octets of an unfinished group of two or three characters.
func (d *base64Decoder) flush(dst []byte) []byte {
	switch d.have {
	case 2:
		dst = append(dst, byte(d.group>>4))
	case 3:
		dst = append(dst, byte(d.group>>10), byte(d.group>>2))
	}
	d.group, d.have = 0, 0
	return dst
}

// finish decides about a group that is not full. When the bits that no octet needs are zero it is the end without its padding, as some
// writers leave it; otherwise it is a fragment of a group (RFC 4648 §3.5): the text was cut, and the fragment goes.
func (d *base64Decoder) finish(dst []byte) []byte {
	rest := d.carry
	d.carry = nil
	dst = d.slow(dst, rest)
	switch {
	case d.have == 1, d.have == 2 && d.group&15 != 0, d.have == 3 && d.group&3 != 0:
		d.list = addDefect(d.list, DefectBase64Truncated, "")
		d.have = 0
	case d.have > 0:
		d.list = addDefect(d.list, DefectBase64NoPadding, "")
	}
	return d.flush(dst)
}

const (
	rowOctets = 57 // octets in one row
	rowChars  = 76 // characters in one row, RFC 2045 §6.8
	rowsBulk  = 800
)

// appendBase64 appends src, which is not empty, in rows that eol separates. flat has room for what src gives.
func appendBase64(dst, flat, src []byte, eol string) []byte {
	flat = flat[:(len(src)+2)/3*4]
	bulkEncode(flat, src)
	for len(flat) > rowChars {
		dst = append(dst, flat[:rowChars]...)
		dst = append(dst, eol...)
		flat = flat[rowChars:]
	}
	return append(dst, flat...)
}
