package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Caps on what a client may send, beside those on its messages.
const (
	imapLineLimit     = 64 << 10 // octets of one line; long UID sets need them
	imapLiteralLimit  = 100_000  // octets of a literal that is no message
	imapArgumentLimit = 1 << 20  // octets of all lines and literals of one command
	imapLiteralCount  = 1000     // literals of one command
	imapSkipLimit     = 64 << 20 // octets read and thrown away to stay in step with a client
)

var (
	errIMAPLineEnd = errors.New("lines end in CRLF, and neither octet stands alone")
	errIMAPLine    = errors.New("line is too long")
	errIMAPLiteral = errors.New("literal is too big")
)

// imapStream is the octets of one session, in both directions: lines that end strictly in CRLF, and literals. It
// is the Source of the command decoder. What was written goes out before a read that has to wait.
type imapStream struct {
	conn   *wire.Conn
	in     *bufio.Reader
	long   []byte
	now    []byte // the line at hand, valid until the next read
	left   int64  // octets of the literal at hand that were not read
	inside bool   // a literal was begun, and the line behind it not read
	tail   []byte // what may be the announcement of a literal at the end of the last line
}

func newIMAPStream(conn *wire.Conn) *imapStream {
	return &imapStream{conn: conn, in: bufio.NewReaderSize(conn, 4<<10)}
}

// ReadLine returns the next line without its CRLF, valid until the next read.
func (c *imapStream) ReadLine(limit int) ([]byte, error) {
	if err := c.drain(imapSkipLimit); err != nil {
		return nil, err
	}
	if head, _ := c.in.Peek(c.in.Buffered()); bytes.IndexByte(head, '\n') < 0 {
		if err := c.Flush(); err != nil {
			return nil, err
		}
	}
	c.long = c.long[:0]
	for {
		piece, err := c.in.ReadSlice('\n')
		if err == nil && len(c.long) == 0 {
			return c.line(piece, limit)
		}
		c.long = append(c.long, piece...)
		switch {
		case err == nil:
			return c.line(c.long, limit)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(c.long) > limit+2:
			return nil, errIMAPLine
		}
	}
}

// line checks the end of a line that ends in LF.
func (c *imapStream) line(line []byte, limit int) ([]byte, error) {
	n := len(line) - 2
	switch {
	case n < 0 || line[n] != '\r' || bytes.IndexByte(line[:n], '\r') >= 0:
		return nil, errIMAPLineEnd
	case n > limit:
		return nil, errIMAPLine
	}
	c.inside, c.now, c.tail = false, line[:n], c.tail[:0]
	if at := bytes.LastIndexByte(c.now, '{'); at >= 0 && c.now[n-1] == '}' {
		c.tail = append(c.tail, c.now[at:]...)
	}
	return c.now, nil
}

// Literal returns a reader of the next n octets.
func (c *imapStream) Literal(n int64) io.Reader {
	c.left, c.inside, c.tail = n, true, c.tail[:0]
	return imapLiteral{c}
}

type imapLiteral struct{ c *imapStream }

func (l imapLiteral) Read(p []byte) (int, error) {
	if l.c.left <= 0 {
		return 0, io.EOF
	}
	if l.c.in.Buffered() == 0 {
		if err := l.c.Flush(); err != nil {
			return 0, err
		}
	}
	n, err := l.c.in.Read(p[:min(int64(len(p)), l.c.left)])
	l.c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// drain skips what is left of the literal at hand, if that is no more than limit.
func (c *imapStream) drain(limit int64) error {
	if c.left > limit {
		return errIMAPLiteral
	}
	if c.left == 0 {
		return nil
	}
	_, err := io.Copy(io.Discard, imapLiteral{c})
	return err
}

// skip gets past the rest of a command that was refused half-way: literals that the client sends without waiting
// (RFC 7888) come whatever the server says. One that waits for "+" sends none.
func (c *imapStream) skip() error {
	budget := int64(imapSkipLimit)
	for {
		n, waits, found := imapAnnounced(c.tail)
		switch {
		case c.inside: // the command goes on behind the literal
		case !found || waits:
			return nil
		default:
			c.Literal(n)
		}
		if c.left >= budget {
			return errIMAPLiteral
		}
		budget -= c.left + 1
		if _, err := c.ReadLine(imapLineLimit); err != nil {
			return err
		}
	}
}

// imapAnnounced reads the announcement of a literal: {5} or {5+}. A number beyond all limits is the largest there is.
func imapAnnounced(line []byte) (n int64, waits, found bool) {
	if len(line) < 3 {
		return 0, false, false
	}
	digits := line[1 : len(line)-1]
	plain := bytes.TrimSuffix(digits, []byte("+"))
	v, err := strconv.ParseUint(string(plain), 10, 63)
	return int64(v), len(plain) == len(digits), err == nil || errors.Is(err, strconv.ErrRange)
}

// Write puts octets on their way.
func (c *imapStream) Write(p []byte) (int, error) {
	return c.conn.Write(p)
}

// WriteData is Write for the octets of a message.
func (c *imapStream) WriteData(p []byte) (int, error) {
	return c.conn.WriteData(p)
}

// Flush sends what was written.
func (c *imapStream) Flush() error {
	return c.conn.Flush()
}
