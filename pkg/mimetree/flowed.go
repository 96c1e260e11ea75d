package mimetree

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Flowed tells if the part is a text whose lines flow (RFC 3676 §4), and if the blank that marks a line that goes on is no part of
// the text (DelSp, §4.3).
func (p *Part) Flowed() (flowed, delSp bool) {
	flowed = p.MediaType == "text/plain" && strings.EqualFold(p.Params.Get("format"), "flowed")
	return flowed, flowed && strings.EqualFold(p.Params.Get("delsp"), "yes")
}

const (
	flowedLine  = 4096 // octets of a line that are looked at together
	maxQuotes   = 1000 // marks of quotation that are told apart
	flowedDelim = "-- "
)

// NewFlowedReader joins the lines of a flowed text (RFC 3676) to paragraphs of one line each. Quoted ones keep their marks, with a
// blank behind; the delimiter before a signature stays alone. Lines end in LF. delSp says what [Part.Flowed] does.
func NewFlowedReader(r io.Reader, delSp bool) io.Reader {
	return &flowedReader{in: bufio.NewReaderSize(r, flowedLine), delSp: delSp}
}

type flowedReader struct {
	in    *bufio.Reader
	delSp bool
	out   []byte // not given yet
	rest  []byte
	depth int  // marks of the paragraph
	flows bool // the paragraph goes on
	part  bool // the middle of a line comes next
	blank bool // the line ended in a blank so far, which is not written yet
	err   error
}

// Read implements io.Reader.
func (f *flowedReader) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.out = f.out[:0]
		f.next()
		f.rest = f.out
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// next takes a line, or what fits of it.
func (f *flowedReader) next() {
	line, err := f.in.ReadSlice('\n')
	whole := !errors.Is(err, bufio.ErrBufferFull)
	if whole && err != nil {
		f.err = err
	}
	if len(line) == 0 {
		if f.flows && f.err == io.EOF {
			f.endLine()
		}
		return
	}
	ended := line[len(line)-1] == '\n'
	if ended {
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	}
	if !f.part {
		line = f.start(line, whole)
	} else if f.blank {
		f.out = append(f.out, ' ')
	}
	f.blank = bytes.HasSuffix(line, []byte(" "))
	f.out = append(f.out, bytes.TrimSuffix(line, []byte(" "))...)
	if f.part = !whole; whole {
		f.finish(ended)
	}
}

// start takes the marks off a line and begins a paragraph with it, unless it goes on with the one before. It gives the text.
func (f *flowedReader) start(line []byte, whole bool) []byte {
	depth := 0
	for depth < len(line) && depth < maxQuotes && line[depth] == '>' {
		depth++
	}
	text := bytes.TrimPrefix(line[depth:], []byte(" "))
	delimiter := whole && string(text) == flowedDelim
	if f.flows && depth == f.depth && !delimiter {
		f.flows = false
		return text
	}
	if f.flows {
		f.endLine()
	}
	f.depth = depth
	f.out = append(f.out, line[:depth]...)
	if depth > 0 && len(text) > 0 {
		f.out = append(f.out, ' ')
	}
	if delimiter { // fixed, its blank included
		f.out = append(f.out, flowedDelim...)
		return nil
	}
	return text
}

// finish decides if the line, now at its end, flows into the next.
func (f *flowedReader) finish(ended bool) {
	f.flows = f.blank
	if f.blank && !f.delSp {
		f.out = append(f.out, ' ')
	}
	f.blank = false
	if !f.flows && ended {
		f.endLine()
	}
}

func (f *flowedReader) endLine() {
	f.out = append(f.out, '\n')
	f.flows = false
}
