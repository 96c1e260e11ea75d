package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// manifestLog is the file of the manifest with what is to be appended to it.
type manifestLog struct {
	f       *os.File
	size    int64  // of what is written; the rest is pending
	pending []byte // lines
}

// line returns a copy of the line that begins at off, without its line end.
func (l *manifestLog) line(off int64) ([]byte, error) {
	if at := off - l.size; at >= 0 {
		if at >= int64(len(l.pending)) {
			return nil, errNoMessage
		}
		line, _, _ := bytes.Cut(l.pending[at:], []byte{'\n'})
		return bytes.Clone(line), nil
	}
	for room := 1 << 10; ; room *= 4 {
		buf := make([]byte, room)
		n, err := l.f.ReadAt(buf, off)
		if end := bytes.IndexByte(buf[:n], '\n'); end >= 0 {
			return buf[:end], nil
		}
		if err == nil && room > maxLine {
			err = errNoMessage
		}
		if err != nil {
			return nil, fmt.Errorf("manifest at %d: %w", off, err)
		}
	}
}

// lineScanner reads the lines of a manifest one after another.
type lineScanner struct {
	r      io.ReaderAt
	read   int64 // place of what is to be read next
	end    int64 // where to stop
	buf    []byte
	lo, hi int
}

const scanBuffer = 256 << 10

func newLineScanner(r io.ReaderAt, from, to int64) *lineScanner {
	return &lineScanner{r: r, read: from, end: to, buf: make([]byte, scanBuffer)}
}

// rawLine is a line as it stands in the file.
type rawLine struct {
	off  int64
	text []byte // without line end; nil: too long. Valid until the next one
	size int64  // octets in the file
	torn bool   // there is no line end
}

// next returns the next line, or io.EOF.
func (s *lineScanner) next() (rawLine, error) {
	from := 0
	for {
		if i := bytes.IndexByte(s.buf[s.lo+from:s.hi], '\n'); i >= 0 {
			return s.take(from+i, false), nil
		}
		from = s.hi - s.lo
		if from > maxLine {
			return s.skipLong()
		}
		more, err := s.fill()
		if err != nil {
			return rawLine{}, err
		}
		if !more {
			if s.lo == s.hi {
				return rawLine{}, io.EOF
			}
			return s.take(s.hi-s.lo, true), nil
		}
	}
}

// take takes n octets and, unless the line is torn, its end.
func (s *lineScanner) take(n int, torn bool) rawLine {
	l := rawLine{off: s.read - int64(s.hi-s.lo), text: s.buf[s.lo : s.lo+n], size: int64(n), torn: torn}
	s.lo += n
	if !torn {
		s.lo++
		l.size++
	}
	return l
}

// skipLong passes over a line that is too long.
func (s *lineScanner) skipLong() (rawLine, error) {
	l := rawLine{off: s.read - int64(s.hi-s.lo)}
	for {
		if i := bytes.IndexByte(s.buf[s.lo:s.hi], '\n'); i >= 0 {
			s.lo += i + 1
			break
		}
		s.lo = s.hi
		more, err := s.fill()
		if err != nil {
			return l, err
		}
		if !more {
			break
		}
	}
	l.size = s.read - int64(s.hi-s.lo) - l.off
	return l, nil
}

// fill reads more. more is false at the end.
func (s *lineScanner) fill() (more bool, err error) {
	s.hi = copy(s.buf, s.buf[s.lo:s.hi])
	s.lo = 0
	if s.hi == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	room := min(int64(len(s.buf)-s.hi), s.end-s.read)
	if room <= 0 {
		return false, nil
	}
	n, err := s.r.ReadAt(s.buf[s.hi:s.hi+int(room)], s.read)
	s.hi += n
	s.read += int64(n)
	if n > 0 || errors.Is(err, io.EOF) {
		return n > 0, nil
	}
	return false, err
}
