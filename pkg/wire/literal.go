package wire

import "io"

// Literal reads exactly the announced number of octets from the connection. It is valid until the next call on the
// Conn that reads a line; what was not read by then is skipped.
type Literal struct {
	c    *Conn
	left int64
}

// Literal returns a reader of the next n octets (RFC 9051 §4.3). No memory is set aside for n. A connection that ends
// before is io.ErrUnexpectedEOF.
func (c *Conn) Literal(n int64) *Literal {
	c.body = &Literal{c: c, left: n}
	return c.body
}

// Len is the number of octets not read yet.
func (l *Literal) Len() int64 { return l.left }

// Read gives at most len(p) octets of the literal.
func (l *Literal) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.c.Read(p)
	l.left -= int64(n)
	l.c.traceData(p[:n])
	return n, err
}

// WriteTo passes the octets to w without copying them.
func (l *Literal) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for l.left > 0 {
		if l.c.Buffered() == 0 {
			if err := l.c.fill(); err != nil {
				return total, err
			}
		}
		chunk := l.c.rbuf[l.c.rpos:l.c.rend]
		if int64(len(chunk)) > l.left {
			chunk = chunk[:l.left]
		}
		l.c.rpos += len(chunk)
		l.left -= int64(len(chunk))
		l.c.traceData(chunk)
		n, err := w.Write(chunk)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// DrainBody skips what is left of the last literal.
func (c *Conn) DrainBody() error {
	l := c.body
	if l == nil {
		return nil
	}
	c.body = nil
	_, err := l.WriteTo(io.Discard)
	return err
}
