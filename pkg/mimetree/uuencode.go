package mimetree

import "bytes"

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
	line = line[1:]
	var group [4]byte
	for want > 0 {
		if len(line) < 4 { // blanks at the end may have been lost in transit
			if len(line) == 0 && want > 3 {
				d.list = addDefect(d.list, DefectUUInvalid, "short line")
			}
			line = append(group[:copy(group[:], line)], "    "[:4-len(line)]...)
		}
		a, b, c, e := line[0]-' ', line[1]-' ', line[2]-' ', line[3]-' '
		if max(a, b, c, e) > 64 {
			d.list = addDefect(d.list, DefectUUInvalid, "character outside the alphabet")
		}
		a, b, c, e = a&63, b&63, c&63, e&63
		out := [3]byte{a<<2 | b>>4, b<<4 | c>>2, c<<6 | e}
		dst = append(dst, out[:min(want, 3)]...)
		want -= 3
		line = line[4:]
	}
	return dst
}
