package mimetree

import (
	"bytes"
)

// maxBadLines is how many lines that are no fields a header may hold. The next one is taken for the first line of a body that no
// blank line announces.
const maxBadLines = 100

// headerBlock cuts a header out of the stream. It ends with the blank line, which is consumed, or before a delimiter line, at the end
// of the stream, or before a line that must be the first of the body although no blank line came: one that is no field and that no field
// follows.
type headerBlock struct {
	s       *scanner
	block   []byte // what was read, blank line included
	limit   int    // octets
	fields  int    // fields allowed
	mbox    bool   // a "From " line may come first
	over    bool   // a limit was passed; the rest was dropped
	dropped bool   // the first line is no field
	noBlank bool   // the body starts without a blank line
	seen    int    // fields so far
	bad     int    // lines that are no fields
	start   int    // where the current field starts in block
}

func (h *headerBlock) read() {
	for first := true; !h.s.ended; first = false {
		if h.s.atDelimiter() {
			return
		}
		h.s.need(2 * delimMax)
		line, _ := h.s.line(h.s.pos)
		switch kind := lineKind(line); {
		case kind == lineNone:
			return
		case kind == lineBlank:
			h.take()
			return
		case kind == lineFold && !first:
		case kind == lineField, first && h.mbox && bytes.HasPrefix(line, []byte("From ")):
			h.field()
		default:
			if h.bad++; h.bad > maxBadLines || !h.fieldFollows(line) {
				h.noBlank = true
				return
			}
			if first { // a header cannot start with it
				h.drop()
				h.dropped = true
				continue
			}
			h.field()
		}
		h.take()
	}
}

// fieldFollows tells if the line after the one given, which is no field, is one. A line that starts like a delimiter has nothing to do
// with a header.
func (h *headerBlock) fieldFollows(line []byte) bool {
	if len(line) == 0 || line[len(line)-1] != '\n' || bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	next, _ := h.s.line(h.s.pos + len(line))
	return lineKind(next) == lineField
}

// drop consumes one line without keeping it.
func (h *headerBlock) drop() {
	keep := h.block
	h.take()
	h.block = h.block[:len(keep)]
}

// field notes that a field starts.
func (h *headerBlock) field() {
	h.start = len(h.block)
	if h.seen++; h.seen > h.fields {
		h.over = true
	}
}

// take consumes one line, however long. Beyond the limit the field it belongs to is dropped, and everything after it.
func (h *headerBlock) take() {
	for cr := false; ; {
		data := h.s.buf[h.s.pos:h.s.end]
		i := bytes.IndexByte(data, '\n')
		if i >= 0 {
			data = data[:i+1]
		}
		if !h.over && len(h.block)+len(data) > h.limit {
			h.over = true
			h.block = h.block[:h.start]
		}
		if !h.over {
			h.block = append(h.block, data...)
		}
		h.s.pos += len(data)
		h.s.lineStart = i >= 0
		if i >= 0 {
			if h.s.lineEnd = lineEndLen(data); cr && len(data) == 1 {
				h.s.lineEnd = 2
			}
			return
		}
		cr = len(data) > 0 && data[len(data)-1] == '\r'
		if h.s.need(1); h.s.pos == h.s.end {
			return
		}
	}
}

// The kinds of lines in a header.
const (
	lineNone  = iota // nothing left
	lineBlank        // ends the header
	lineFold         // starts with a blank: continues the field before
	lineField        // starts with a name and a colon
	lineOther
)

func lineKind(line []byte) int {
	switch {
	case len(line) == 0:
		return lineNone
	case line[0] == '\n', len(line) > 1 && line[0] == '\r' && line[1] == '\n':
		return lineBlank
	case line[0] == ' ' || line[0] == '\t':
		return lineFold
	}
	for i, c := range line {
		if c == ':' && i > 0 {
			return lineField
		}
		if c <= ' ' || c >= 0x7f {
			rest := bytes.TrimLeft(line[i:], " \t")
			if i > 0 && len(rest) > 0 && rest[0] == ':' { // obsolete: blanks before the colon
				return lineField
			}
			return lineOther
		}
	}
	return lineOther
}
