package mimetree

import "bytes"

// qpCarryMax is the longest unfinished line that is kept whole between two chunks.
const qpCarryMax = 4096

// qpDecoder undoes quoted-printable (RFC 2045 §6.7), line by line.
type qpDecoder struct {
	lf    bool   // line breaks are given as LF
	carry []byte // an unfinished line
	list  []Defect
}

func (d *qpDecoder) defects() []Defect { return d.list }

func (d *qpDecoder) decode(dst, src []byte) []byte {
	if len(d.carry) > 0 {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			d.carry = append(d.carry, src...)
			return d.relieve(dst)
		}
		d.carry = append(d.carry, src[:i+1]...)
		dst = d.line(dst, d.carry)
		d.carry = d.carry[:0]
		src = src[i+1:]
	}
	for {
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			d.carry = append(d.carry, src...)
			return d.relieve(dst)
		}
		dst = d.line(dst, src[:i+1])
		src = src[i+1:]
	}
}

// relieve decodes the front of an unfinished line that has grown too long, but for its last blanks, CR or escape, which the
// rest of the line decides about.
func (d *qpDecoder) relieve(dst []byte) []byte {
	if len(d.carry) <= qpCarryMax {
		return dst
	}
	keep := bytes.TrimRight(d.carry, " \t\r")
	if i := bytes.LastIndexByte(keep, '='); i >= 0 && len(keep)-i < 3 {
		keep = keep[:i]
	}
	if len(d.carry)-len(keep) > qpCarryMax {
		keep = d.carry // a run of blanks beyond any line: taken as text
	}
	dst = d.text(dst, keep)
	d.carry = append(d.carry[:0], d.carry[len(keep):]...)
	return dst
}

// line decodes a line with its line end. Blanks before the line end were added in transit and go.
func (d *qpDecoder) line(dst, line []byte) []byte {
	eol := line[len(line)-1:]
	text := line[:len(line)-1]
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
		if !d.lf {
			eol = line[n-1:]
		}
	}
	text = bytes.TrimRight(text, " \t")
	if n := len(text); n > 0 && text[n-1] == '=' { // soft line break
		return d.text(dst, text[:n-1])
	}
	return append(d.text(dst, text), eol...)
}

func (d *qpDecoder) text(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '=')
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		src = src[i:]
		if len(src) < 3 {
			d.list = addDefect(d.list, DefectQPInvalid, "")
			return append(dst, src...)
		}
		hi, lo := hexValue(src[1]), hexValue(src[2])
		if hi > 15 || lo > 15 {
			d.list = addDefect(d.list, DefectQPInvalid, "")
			dst = append(dst, '=')
			src = src[1:]
			continue
		}
		dst = append(dst, hi<<4|lo)
		src = src[3:]
	}
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

func (d *qpDecoder) finish(dst []byte) []byte {
	rest := bytes.TrimRight(d.carry, " \t\r")
	d.carry = nil
	if n := len(rest); n > 0 && rest[n-1] == '=' {
		rest = rest[:n-1]
	}
	return d.text(dst, rest)
}

// qpEncoder makes quoted-printable of text. Lines of the input end in LF or CRLF; a lone CR is encoded. Rows that could be taken for
// something else in transit, "." alone or "From " at the start, are escaped.
type qpEncoder struct {
	eol   string // of the output
	guard bool   // "--" at the start of a row is escaped: the text stands between boundaries that are not ours
	line  []byte // a blank or CR that may stand before a line end
	row   []byte // unfinished output row
	out   []byte
}

const upperHex = "0123456789ABCDEF"

const qpRow = 76 // RFC 2045 §6.7 (5), the soft line break included

// encode takes a chunk; the last octet of it may be held back in e.line until its follower is known.
func (e *qpEncoder) encode(p []byte) {
	for _, c := range p {
		if len(e.line) > 0 {
			last := e.line[0]
			e.line = e.line[:0]
			if c == '\n' {
				e.endLine(last)
				continue
			}
			e.octet(last)
		}
		switch c {
		case '\n':
			e.hardBreak()
		case ' ', '\t', '\r': // may stand before a line end
			e.line = append(e.line, c)
		default:
			e.octet(c)
		}
	}
}

// endLine handles a blank or CR that is followed by LF.
func (e *qpEncoder) endLine(last byte) {
	if last != '\r' {
		e.escape(last)
	} else if n := len(e.row); n > 0 && (e.row[n-1] == ' ' || e.row[n-1] == '\t') {
		blank := e.row[n-1]
		e.row = e.row[:n-1]
		e.escape(blank)
	}
	e.hardBreak()
}

func (e *qpEncoder) octet(c byte) {
	if c != '=' && (c == ' ' || c == '\t' || ('!' <= c && c <= '~')) {
		e.put(c)
		return
	}
	e.escape(c)
}

func (e *qpEncoder) escape(c byte) {
	e.put('=', upperHex[c>>4], upperHex[c&15])
}

// put adds one character or one escape to the row; a full row gets a soft line break.
func (e *qpEncoder) put(s ...byte) {
	if len(e.row)+len(s) > qpRow-1 {
		e.flushRow()
		e.out = append(append(e.out, '='), e.eol...)
	}
	e.row = append(e.row, s...)
}

func (e *qpEncoder) hardBreak() {
	e.flushRow()
	e.out = append(e.out, e.eol...)
}

// flushRow moves the row to the output, with its first character escaped where transport might change it. A row without room for
// the escape becomes two.
func (e *qpEncoder) flushRow() {
	row := e.row
	n := e.risky(row)
	if n > 0 && len(row) > qpRow-3 {
		e.out = append(append(appendEscaped(e.out, row[:n]), '='), e.eol...)
		row = row[n:]
		n = e.risky(row)
	}
	if n > 0 {
		e.out = appendEscaped(e.out, row)
	} else {
		e.out = append(e.out, row...)
	}
	e.row = e.row[:0]
}

// risky gives the length of the start of a row that must not be as it is, 0 when there is none.
func (e *qpEncoder) risky(row []byte) int {
	switch {
	case len(row) == 1 && row[0] == '.':
		return 1
	case bytes.HasPrefix(row, []byte("From ")):
		return len("From")
	case e.guard && bytes.HasPrefix(row, []byte("--")):
		return len("--")
	}
	return 0
}

// appendEscaped appends s, which is not empty, with its first character escaped.
func appendEscaped(dst, s []byte) []byte {
	return append(append(dst, '=', upperHex[s[0]>>4], upperHex[s[0]&15]), s[1:]...)
}

// finish ends the text. A last line without a line end gets none.
func (e *qpEncoder) finish() {
	if len(e.line) > 0 {
		e.escape(e.line[0])
		e.line = e.line[:0]
	}
	if len(e.row) > 0 {
		e.flushRow()
	}
}
