package message

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
)

const chunkSize = 64 << 10

// chunks keeps the buffers of finished readers: most messages are far smaller
// than one.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// ToWire returns a reader of r in wire form: a lone LF becomes CRLF, CRLF stays,
// a bare CR passes, nothing is added at the end. It reads r in large chunks; an
// error of r is returned after the octets before it.
func ToWire(r io.Reader) io.Reader { return &lineReader{src: r, step: (*lineReader).wireStep} }

// ToLF returns a reader of r in LF form: CRLF becomes LF, any other CR stays. It
// reads r in large chunks; an error of r is returned after the octets before it.
func ToLF(r io.Reader) io.Reader { return &lineReader{src: r, step: (*lineReader).lfStep} }

// lineReader converts line ends; step moves octets from in to p.
type lineReader struct {
	src  io.Reader
	step func(l *lineReader, p []byte) int
	buf  []byte
	in   []byte // unread part of buf
	last byte   // last octet given out (ToWire)
	err  error
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n := l.step(l, p); n > 0 {
			return n, nil
		}
		if l.err != nil {
			l.release()
			return 0, l.err
		}
		l.fill()
	}
}

// fill reads the next chunk behind what is still unread (at most one octet).
func (l *lineReader) fill() {
	if l.buf == nil {
		l.buf = chunks.Get().(*[chunkSize]byte)[:]
	}
	kept := copy(l.buf, l.in)
	for tries := 0; tries < 100; tries++ {
		n, err := l.src.Read(l.buf[kept:])
		l.in, l.err = l.buf[:kept+n], err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

// release gives the buffer back at the end of the stream.
func (l *lineReader) release() {
	if l.buf != nil {
		chunks.Put((*[chunkSize]byte)(l.buf))
		l.buf, l.in = nil, nil
	}
}

// wireStep puts a CR before every LF that has none.
func (l *lineReader) wireStep(p []byte) int {
	out := 0
	for len(l.in) > 0 && out < len(p) {
		// Find the longest run that can be copied as it is.
		run := min(len(l.in), len(p)-out)
		lone := false
		for at := 0; at < run; {
			i := bytes.IndexByte(l.in[at:run], '\n')
			if i < 0 {
				break
			}
			at += i
			if before := l.before(at); before != '\r' {
				run, lone = at, true
				break
			}
			at++
		}
		if run > 0 {
			copy(p[out:], l.in[:run])
			l.last = l.in[run-1]
			l.in = l.in[run:]
			out += run
		}
		if lone && out < len(p) {
			p[out] = '\r'
			out++
			l.last = '\r'
		}
	}
	return out
}

// before returns the octet in front of in[at].
func (l *lineReader) before(at int) byte {
	if at == 0 {
		return l.last
	}
	return l.in[at-1]
}

// lfStep drops every CR that stands before an LF. A CR at the end of the chunk
// waits for the next one.
func (l *lineReader) lfStep(p []byte) int {
	out := 0
	for len(l.in) > 0 && out < len(p) {
		run := min(len(l.in), len(p)-out)
		i := bytes.IndexByte(l.in[:run], '\r')
		if i < 0 {
			out += copy(p[out:], l.in[:run])
			l.in = l.in[run:]
			continue
		}
		out += copy(p[out:], l.in[:i])
		l.in = l.in[i:]
		switch {
		case len(l.in) == 1 && l.err == nil:
			return out // not known yet what follows
		case len(l.in) > 1 && l.in[1] == '\n':
			l.in = l.in[1:]
		case out < len(p):
			p[out] = '\r'
			out++
			l.in = l.in[1:]
		}
	}
	return out
}

// Facts is what must be known about a message before it is sent or stored.
type Facts struct {
	Size        int64 // octets in wire form
	EightBit    bool  // an octet above 127
	NUL         bool  // an octet 0
	BareCR      bool  // CR not followed by LF
	BareLF      bool  // LF not preceded by CR
	LongestLine int   // octets of the longest line, without its line end
	EndsCRLF    bool  // the last octets are CRLF
}

// Reversible reports whether the message survives [ToLF] and back unchanged.
func (f Facts) Reversible() bool { return !f.BareCR && !f.BareLF }

// Scanner computes [Facts] over the wire form of a message that is written to
// it. To scan LF form, write what [ToWire] gives. The zero value is ready.
type Scanner struct {
	f        Facts
	cr, crlf int64
	line     int // octets of the unfinished line
	last     byte
}

// Write implements io.Writer. It never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.f.Size += int64(len(p))
	if !s.f.EightBit {
		s.f.EightBit = hasHighBit(p)
	}
	if !s.f.NUL {
		s.f.NUL = bytes.IndexByte(p, 0) >= 0
	}
	s.cr += int64(bytes.Count(p, []byte{'\r'}))
	s.lines(p)
	return len(p), nil
}

// lines follows the line ends of p.
func (s *Scanner) lines(p []byte) {
	before, line, longest := s.last, s.line, s.f.LongestLine
	for at := 0; at < len(p); {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			line += len(p) - at
			break
		}
		if i > 0 {
			before = p[at+i-1]
		}
		line += i
		if before == '\r' {
			s.crlf++
			line--
		} else {
			s.f.BareLF = true
		}
		longest = max(longest, line)
		line = 0
		at += i + 1
		before = '\n'
	}
	s.line, s.f.LongestLine = line, longest
	s.f.EndsCRLF = p[len(p)-1] == '\n' && (len(p) > 1 && p[len(p)-2] == '\r' || len(p) == 1 && s.last == '\r')
	s.last = p[len(p)-1]
}

// Facts returns what is known so far, as if the message ended here.
func (s *Scanner) Facts() Facts {
	f := s.f
	f.BareCR = s.cr != s.crlf
	f.LongestLine = max(f.LongestLine, s.line)
	return f
}

// Scan reads wire form from r to its end and returns its Facts.
func Scan(r io.Reader) (Facts, error) {
	var s Scanner
	buf := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{&s}, struct{ io.Reader }{r}, buf[:])
	return s.Facts(), err
}

// hasHighBit reports an octet above 127, eight octets at a time.
func hasHighBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		q := p[:32]
		if (binary.LittleEndian.Uint64(q)|binary.LittleEndian.Uint64(q[8:])|
			binary.LittleEndian.Uint64(q[16:])|binary.LittleEndian.Uint64(q[24:]))&high != 0 {
			return true
		}
		p = p[32:]
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
