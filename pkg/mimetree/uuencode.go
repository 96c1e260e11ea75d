package mimetree

import (
	"bytes"
	"encoding/binary"
)

// uuLineMax is the longest line looked at; the format's own limit is 61 characters.
const uuLineMax = 4096

// uuDecoder undoes uuencode, which some old mail names as its transfer encoding. Lines before "begin" and after "end" are
// not data.
type uuDecoder struct {
	carry []byte
	state int // 0 before begin, 1 inside, 2 after end
	list  []Defect
}

func (d *uuDecoder) defects() []Defect { return d.list }

func (d *uuDecoder) decode(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			d.carry = append(d.carry, src[:min(len(src), max(0, uuLineMax-len(d.carry)))]...)
			return dst
		}
		line := src[:i]
		if len(d.carry) > 0 {
			d.carry = append(d.carry, line[:min(len(line), max(0, uuLineMax-len(d.carry)))]...)
			line = d.carry
		}
		dst = d.line(dst, bytes.TrimRight(line, "\r"))
		d.carry = d.carry[:0]
		src = src[i+1:]
	}
}

func (d *uuDecoder) finish(dst []byte) []byte {
	if len(d.carry) > 0 {
		dst = d.line(dst, bytes.TrimRight(d.carry, "\r"))
		d.carry = nil
	}
	if d.state != 2 {
		d.list = addDefect(d.list, DefectUUInvalid, "no begin or end line")
	}
	return dst
}

func (d *uuDecoder) line(dst, line []byte) []byte {
	switch {
	case d.state == 2:
		return dst
	case d.state == 0:
		if bytes.HasPrefix(line, []byte("begin ")) {
			d.state = 1
		}
		return dst
	case bytes.Equal(line, []byte("end")):
		d.state = 2
		return dst
	case len(line) == 0:
		return dst
	}
	want := int(line[0]-' ') & 63
	groups := (want + 2) / 3
	var padded [84]byte
	if line = line[1:]; len(line) < 4*groups { // blanks at the end may have been lost in transit
		if want-(len(line)+3)/4*3 > 3 {
			d.list = addDefect(d.list, DefectUUInvalid, "short line")
		}
		for n := copy(padded[:], line); n < len(padded); n++ {
			padded[n] = ' '
		}
		line = padded[:]
	}
	at, odd := len(dst), uint32(0)
	dst = grow(dst, 3*groups)
	for out := dst[at:]; len(out) >= 3 && len(line) >= 4; out, line = out[3:], line[4:] {
		v := binary.BigEndian.Uint32(line)
		odd |= (v+0x1f1f1f1f|v)&0x80808080 | ^(v|v<<1)&0x40404040 // above "`", below " "
		v ^= 0x20202020                                           // in the lower six bits the same as to subtract " "
		v = v>>6&0xfc0000 | v>>4&0x3f000 | v>>2&0xfc0 | v&0x3f
		out[0], out[1], out[2] = byte(v>>16), byte(v>>8), byte(v)
	}
	if odd != 0 {
		d.list = addDefect(d.list, DefectUUInvalid, "character outside the alphabet")
	}
	return dst[:at+want]
}
