package wire

import (
	"bytes"
	"io"
)

var crlfDot = []byte("\r\n.")

// DotReader reads a text that ends with a line of one dot (RFC 1939 §3, RFC 5321 §4.5.2) and gives it without the
// dot-stuffing, with its CRLFs, up to io.EOF. Only CRLF.CRLF ends the text. A connection that ends before is
// io.ErrUnexpectedEOF. It is valid until its io.EOF; Drain skips the rest.
type DotReader struct {
	c     *Conn
	start bool // the next octet begins a line
	cr    bool // the last octet given out was a CR
	done  bool
}

// DotReader starts reading a dot-terminated text at the current position.
func (c *Conn) DotReader() *DotReader {
	return &DotReader{c: c, start: true}
}

// Read gives at most len(p) octets of the text.
func (d *DotReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	chunk, err := d.next(len(p))
	return copy(p, chunk), err
}

// WriteTo passes the text to w without copying it.
func (d *DotReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		chunk, err := d.next(bufferSize)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(chunk)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Drain skips the rest of the text, so that the next reply can be read.
func (d *DotReader) Drain() error {
	_, err := d.WriteTo(io.Discard)
	return err
}

// next consumes and returns at most max octets of text, straight from the connection's buffer.
func (d *DotReader) next(max int) ([]byte, error) {
	for !d.done {
		chunk := d.c.rbuf[d.c.rpos:d.c.rend]
		if d.start {
			ok, err := d.lineStart(chunk)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			chunk = d.c.rbuf[d.c.rpos:d.c.rend]
		}
		n := min(d.textLen(chunk), max)
		if n == 0 {
			if err := d.c.fill(); err != nil {
				return nil, err
			}
			continue
		}
		d.c.rpos += n
		chunk = chunk[:n]
		d.start = bytes.HasSuffix(chunk, crlfDot[:2]) || d.cr && n == 1 && chunk[0] == '\n'
		d.cr = chunk[n-1] == '\r'
		d.c.traceData(chunk)
		return chunk, nil
	}
	return nil, io.EOF
}

// lineStart looks at the first octets of a line and takes the stuffed dot off; it is false when the text has ended or
// more octets were needed and read.
func (d *DotReader) lineStart(chunk []byte) (bool, error) {
	switch {
	case len(chunk) == 0 || chunk[0] == '.' && len(chunk) < 3 && !(len(chunk) == 2 && chunk[1] != '\r'):
		return false, d.c.fill()
	case chunk[0] != '.':
	case chunk[1] == '\r' && chunk[2] == '\n':
		d.c.rpos += 3
		d.done = true
		return false, nil
	default:
		d.c.rpos++
	}
	d.start = false
	return true, nil
}

// textLen is how much of p is text for sure: up to the next CRLF that a dot follows, and without what may be one.
func (d *DotReader) textLen(p []byte) int {
	if d.cr && len(p) > 0 && p[0] == '\n' {
		return 1
	}
	if i := indexStuffed(p); i >= 0 {
		return i
	}
	return len(p) - pendingCRLF(p)
}

// indexStuffed finds the first dot that follows a CRLF, -1 for none. Base64 has a line end every 78 octets and no dots;
// where there are many, it looks for all three.
func indexStuffed(p []byte) int {
	for at, others := 0, 0; ; at++ {
		i := bytes.IndexByte(p[at:], '.')
		if i < 0 {
			return -1
		}
		at += i
		if at >= 2 && p[at-1] == '\n' && p[at-2] == '\r' {
			return at
		}
		if others++; others > 8+at/64 {
			from := max(0, at-1)
			if i = bytes.Index(p[from:], crlfDot); i >= 0 {
				i += from + 2
			}
			return i
		}
	}
}

// pendingCRLF is the number of octets at the end of p that may be the beginning of CRLF and a dot.
func pendingCRLF(p []byte) int {
	switch {
	case bytes.HasSuffix(p, crlfDot[:2]):
		return 2
	case bytes.HasSuffix(p, crlfDot[:1]):
		return 1
	}
	return 0
}

// WriteDot sends the text in r, dot-stuffed, and the CRLF.CRLF that ends it (RFC 5321 §4.5.2), and returns the number
// of octets taken from r. The text must have CRLF line ends; a missing last one is added. A CR or LF that stands alone
// is ErrBareLineEnd. After that error, or one of r, the end was not sent and the connection is dead: the peer commits
// nothing. The end is buffered, not flushed.
func (c *Conn) WriteDot(r io.Reader) (int64, error) {
	s := &stuffer{c: c, start: true}
	if c.scratch == nil {
		c.scratch = make([]byte, bufferSize)
	}
	buf := c.scratch
	var total int64
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if e := s.write(buf[:n]); e != nil {
			return total, c.Fail(e)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return total, c.abort(err)
		}
	}
	if s.cr {
		return total, c.abort(ErrBareLineEnd)
	}
	end := ".\r\n"
	if !s.start {
		end = "\r\n.\r\n"
	}
	_, err := c.WriteData([]byte(end))
	return total, err
}

// abort ends the connection in the middle of a text.
func (c *Conn) abort(err error) error {
	err = c.Fail(err)
	_ = c.nc.Close()
	return err
}

// stuffer holds where in a line the writer stands between two chunks.
type stuffer struct {
	c     *Conn
	start bool // the next octet begins a line
	cr    bool // the last octet was a CR
}

func (s *stuffer) write(p []byte) error {
	run := 0 // p[run:i] is checked and not yet written
	for i := 0; i < len(p); {
		if s.cr {
			if p[i] != '\n' {
				return s.c.abort(ErrBareLineEnd)
			}
			s.cr, s.start = false, true
			i++
			continue
		}
		if s.start && p[i] == '.' {
			if err := s.stuff(p[run:i]); err != nil {
				return err
			}
			run = i
		}
		s.start = false
		n, err := s.lineEnd(p[i:])
		if err != nil {
			return err
		}
		i += n
	}
	_, err := s.c.WriteData(p[run:])
	return err
}

// lineEnd returns the length of p up to and including the CR of the next CRLF, or all of p.
func (s *stuffer) lineEnd(p []byte) (int, error) {
	n := bytes.IndexByte(p, '\n')
	if n < 0 {
		n = len(p)
	} else if n == 0 || p[n-1] != '\r' {
		return 0, s.c.abort(ErrBareLineEnd)
	}
	cr := bytes.IndexByte(p[:n], '\r')
	switch {
	case cr < 0:
		return n, nil
	case cr != n-1:
		return 0, s.c.abort(ErrBareLineEnd)
	}
	s.cr = true
	return n, nil
}

func (s *stuffer) stuff(before []byte) error {
	if _, err := s.c.WriteData(before); err != nil {
		return err
	}
	_, err := s.c.WriteData(crlfDot[2:])
	return err
}
