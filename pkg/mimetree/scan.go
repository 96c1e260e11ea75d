package mimetree

import (
	"bytes"
	"errors"
	"io"
)

const (
	scanBuffer = 128 << 10
	// delimMax is the longest line that can be a delimiter: hyphens, a boundary, blanks, a line end.
	delimMax = 1200
	// boundaryMax is the longest boundary honoured; RFC 2046 §5.1.1 allows 70.
	boundaryMax = 1000
)

// delimiter says what ended a body.
type delimiter struct {
	level  int  // index of the boundary among the open ones, -1: the end of the stream
	closes bool // "--boundary--"
	length int  // octets of the delimiter line with its line end, still to be consumed
}

// scanner reads a stream line by line where it must and in large pieces where it can, over one buffer, and knows the
// boundaries that are open. One instance serves a whole walk.
type scanner struct {
	r          io.Reader
	buf        []byte
	pos, end   int   // the unread octets are buf[pos:end]
	base       int64 // offset of buf[0] in the stream
	err        error // what the reader said last
	lineStart  bool  // pos is at the start of a line
	boundaries []boundary
	blind      bool // no boundary is looked for
	ended      bool // the current body is over, found says by what
	found      delimiter
	bodyEnd    int64 // offset of the end of the body, when it is over
	lineEnd    int64 // octets of the line end just consumed, while nothing has come after it
	before     int64 // octets of the line end before bodyEnd that belongs to the delimiter there

	tap    func(octets []byte, body bool) // is given all octets in order, body for those of a body that is read; nil for none
	tapped int                            // index of the first octet that tap has not been given
	inBody bool                           // a body is being read
}

// boundary is that of an open multipart.
type boundary struct {
	text   []byte
	closed bool // its close delimiter was seen: it delimits nothing any more
	near   bool // a line that a hasty reader could take for its delimiter was seen
	after  bool // a delimiter line was seen after the close delimiter
}

// drain gives tap what has been consumed up to index end.
func (s *scanner) drain(end int) {
	if s.tap != nil && end > s.tapped {
		s.tap(s.buf[s.tapped:end], s.inBody)
	}
	s.tapped = end
}

// enterBody and leaveBody enclose the octets of a body that is read.
func (s *scanner) enterBody() {
	s.drain(s.pos)
	s.inBody = true
}

func (s *scanner) leaveBody() {
	end := s.pos
	if s.ended {
		end = int(s.bodyEnd - s.base)
	}
	s.drain(end)
	s.inBody = false
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: r, buf: make([]byte, scanBuffer), lineStart: true}
}

// offset is the place of the next unread octet in the stream.
func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

// need reads until n octets are unread, the stream ends or fails. n is far below the size of the buffer.
func (s *scanner) need(n int) {
	if s.end-s.pos >= n || s.err != nil {
		return
	}
	s.drain(s.pos)
	s.tapped = 0
	copy(s.buf, s.buf[s.pos:s.end])
	s.base += int64(s.pos)
	s.end -= s.pos
	s.pos = 0
	for empty := 0; s.end < n && s.err == nil; {
		var m int
		m, s.err = s.r.Read(s.buf[s.end:])
		s.end += m
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
}

// failure is the error of the reader, nil at a plain end.
func (s *scanner) failure() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// finish notes that d ends the current body here.
func (s *scanner) finish(d delimiter) {
	s.ended, s.found, s.bodyEnd, s.before = true, d, s.offset(), 0
}

// match tells if line, without or with its line end, is a delimiter line of an open boundary. The innermost one wins. The whole
// line must match (RFC 2046 §5.1.1), but for blanks at its end: a boundary that another one begins with is not it.
func (s *scanner) match(line []byte) (d delimiter, ok bool) {
	if s.blind || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return d, false
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(s.boundaries) - 1; i >= 0; i-- {
		b := &s.boundaries[i]
		rest, ok := bytes.CutPrefix(text, b.text)
		if !ok || b.near && len(rest) > 2 {
			continue
		}
		switch closes := string(rest) == "--"; {
		case len(rest) > 0 && !closes:
			b.near = b.near || !b.closed && !s.is(text)
		case b.closed:
			b.after = b.after || !s.is(text)
		default:
			return delimiter{level: i, closes: closes, length: len(line)}, true
		}
	}
	return d, false
}

// is tells if text is the delimiter of a boundary, without the hyphens before it.
func (s *scanner) is(text []byte) bool {
	for _, b := range s.boundaries {
		if rest, ok := bytes.CutPrefix(text, b.text); ok && !b.closed && (len(rest) == 0 || string(rest) == "--") {
			return true
		}
	}
	return false
}

// line gives the line that starts at index at, with its line end, as far as it is within delimMax. whole is false when
// more must be read to know.
func (s *scanner) line(at int) (line []byte, whole bool) {
	limit := min(s.end, at+delimMax)
	if i := bytes.IndexByte(s.buf[at:limit], '\n'); i >= 0 {
		return s.buf[at : at+i+1], true
	}
	return s.buf[at:limit], limit == at+delimMax || s.err != nil
}

// atDelimiter tells if the next line, at whose start the scanner is, is a delimiter, and if so ends the body there.
func (s *scanner) atDelimiter() bool {
	if !s.lineStart || s.blind || len(s.boundaries) == 0 {
		return false
	}
	if s.need(1); s.pos == s.end || s.buf[s.pos] != '-' {
		return false
	}
	s.need(delimMax)
	line, _ := s.line(s.pos)
	d, ok := s.match(line)
	if ok {
		s.finish(d)
		s.before = s.lineEnd
	}
	return ok
}

// next gives the next piece of the current body, up to the delimiter that ends it. The line end before a delimiter
// belongs to the delimiter. It is valid until the next call of any method; io.EOF means the end of the body.
func (s *scanner) next() ([]byte, error) {
	if s.ended || s.atDelimiter() {
		return nil, io.EOF
	}
	want := 1
	for {
		s.need(want)
		if s.pos == s.end {
			s.finish(delimiter{level: -1})
			if err := s.failure(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		n, d, certain := s.extent()
		piece := s.buf[s.pos : s.pos+n]
		s.pos += n
		if certain {
			s.finish(d)
			s.skipLineEnd()
		}
		if n > 0 {
			s.lineStart, s.lineEnd = certain || piece[n-1] == '\n', 0
			return piece, nil
		}
		if certain {
			return nil, io.EOF
		}
		want = min(s.end-s.pos+delimMax, scanBuffer)
	}
}

// skipLineEnd consumes the line end before a delimiter.
func (s *scanner) skipLineEnd() {
	if s.pos < s.end && s.buf[s.pos] == '\r' {
		s.pos++
	}
	s.pos++
	s.lineStart = true
}

// extent finds how many unread octets surely belong to the body. found is true when a delimiter line follows them and
// its line end.
func (s *scanner) extent() (n int, d delimiter, found bool) {
	data := s.buf[s.pos:s.end]
	if s.blind || len(s.boundaries) == 0 {
		return len(data), d, false
	}
	for at := 0; ; {
		i := indexDashes(data, at)
		if i < 0 {
			break
		}
		line, whole := s.line(s.pos + i + 1)
		if !whole {
			return beforeLF(data, i), d, false
		}
		if d, ok := s.match(line); ok {
			return beforeLF(data, i), d, true
		}
		at = i + 2 // its first dash is passed
	}
	if s.err != nil {
		return len(data), d, false
	}
	return len(data) - heldBack(data), d, false
}

// indexDashes finds the first "\n--" from at on, -1 for none. Base64 has a line end in every line, and no "-".
func indexDashes(data []byte, at int) int {
	for {
		i := bytes.Index(data[at:], []byte("--"))
		if i < 0 {
			return -1
		}
		if at += i; at > 0 && data[at-1] == '\n' {
			return at - 1
		}
		at++
	}
}

// heldBack counts the octets at the end of data that may be the start of a delimiter.
func heldBack(data []byte) int {
	n := len(data)
	switch {
	case n > 0 && data[n-1] == '\r':
		return 1
	case n > 0 && data[n-1] == '\n':
		return n - beforeLF(data, n-1)
	case n > 1 && data[n-1] == '-' && data[n-2] == '\n':
		return n - beforeLF(data, n-2)
	}
	return 0
}

// beforeLF gives the length of data up to the LF at i, and the CR before it.
func beforeLF(data []byte, i int) int {
	if i > 0 && data[i-1] == '\r' {
		return i - 1
	}
	return i
}

// skip passes over what is left of the current body.
func (s *scanner) skip() error {
	for {
		if _, err := s.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// takeDelimiter consumes the delimiter line that ended the body.
func (s *scanner) takeDelimiter() {
	s.lineEnd = lineEndLen(s.buf[s.pos : s.pos+s.found.length])
	s.pos += s.found.length
	s.lineStart, s.ended = true, false
}

// lineEndLen gives the length of the line end that line has.
func lineEndLen(line []byte) int64 {
	return int64(len(line) - len(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))))
}
