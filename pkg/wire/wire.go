// Package wire is one connection to a mail server: dialling (TCP, unix socket, proxy, tunnel command), TLS, lines,
// dot-stuffed texts, literals, deadlines and the trace. It knows framing and nothing about any protocol's verbs.
//
// Rules:
//
//   - A Conn belongs to one goroutine. Nothing here starts a goroutine that outlives a call; the caller's goroutine
//     reads the socket.
//   - Every blocking call runs under the context given to the last Bind. When that context ends, the deadline is set
//     into the past and the call returns the context's error.
//   - The first I/O or framing error is final: the Conn is dead and returns that error on every later call.
//   - Lines given to WriteLine and WriteSecret must not hold CR, LF or NUL; such a line is refused before any octet of
//     it is sent.
package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	bufferSize     = 64 << 10
	defaultTimeout = 5 * time.Minute // RFC 5321 §4.5.3.2 asks for five minutes at most steps
)

// Conn is a buffered connection to one server. The zero value is not usable: see Dial and NewConn.
type Conn struct {
	nc       net.Conn // what is read and written: the socket, TLS over it, or compression over either
	endpoint Endpoint
	config   Config
	timeout  time.Duration
	err      error // sticky

	rbuf       []byte
	rpos, rend int
	long       []byte // a line longer than rbuf is gathered here
	body       *Literal
	heard      bool // the peer has sent at least one octet
	secure     bool // TLS is up, by us
	hideIn     bool
	hideOut    bool

	wbuf    []byte
	sent    int64  // octets that the network has taken
	deaf    bool   // a write failed, reading may still work
	scratch []byte // WriteDot reads into it
	tline   []byte // the part of an outgoing line that the trace has not shown yet

	mu       sync.Mutex // guards the fields below and every SetDeadline
	ctx      context.Context
	binding  int // the Bind in force
	bindings int // how many there have been
	ended    bool
}

// NewConn wraps an established connection. cfg may be nil. The Conn owns nc: Close closes it.
func NewConn(nc net.Conn, cfg *Config) *Conn {
	c := &Conn{nc: nc, rbuf: make([]byte, bufferSize), wbuf: make([]byte, 0, bufferSize), ctx: context.Background()}
	if cfg != nil {
		c.config = *cfg
	}
	c.SetTimeout(c.config.Timeout)
	return c
}

// Bind makes ctx govern all I/O until unbind is called; unbind restores the context before it. Public engine methods
// begin with `defer c.Bind(ctx)()`.
func (c *Conn) Bind(ctx context.Context) (unbind func()) {
	c.mu.Lock()
	before, outer := c.ctx, c.binding
	c.bindings++
	mine := c.bindings
	c.ctx, c.binding, c.ended = ctx, mine, ctx.Err() != nil
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.binding == mine {
			c.ended = true
			_ = c.nc.SetDeadline(time.Unix(1, 0))
		}
	})
	return func() {
		stop()
		c.mu.Lock()
		c.ctx, c.binding, c.ended = before, outer, before.Err() != nil
		c.mu.Unlock()
	}
}

// SetTimeout sets the longest time that one read or write may wait for the peer; zero or less means the default of
// five minutes.
func (c *Conn) SetTimeout(d time.Duration) {
	if d <= 0 {
		d = defaultTimeout
	}
	c.timeout = d
}

// Timeout is the idle time in force; see SetTimeout.
func (c *Conn) Timeout() time.Duration { return c.timeout }

// Endpoint is what was dialled; the zero value for a Conn made by NewConn.
func (c *Conn) Endpoint() Endpoint { return c.endpoint }

// Err is the error that ended the connection, or nil while it lives.
func (c *Conn) Err() error { return c.err }

// TLS describes the TLS session, or is nil when the connection is in cleartext.
func (c *Conn) TLS() *tls.ConnectionState {
	nc := c.nc
	if d, ok := nc.(*deflated); ok {
		nc = d.Conn
	}
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// Buffered is the number of octets received and not yet consumed.
func (c *Conn) Buffered() int { return c.rend - c.rpos }

// Fail declares the connection dead with err, for replies that an engine cannot frame, and returns the error that
// every later call will give: err, or the one that came before it.
func (c *Conn) Fail(err error) error {
	if c.err == nil {
		c.err = err
	}
	return c.err
}

// Close closes the connection and, for a tunnel, ends its command. What is still buffered for sending is not sent.
// Closing twice is harmless.
func (c *Conn) Close() error {
	if errors.Is(c.err, net.ErrClosed) {
		return nil
	}
	c.mu.Lock()
	_ = c.nc.SetDeadline(time.Now().Add(2 * time.Second)) // bounds the TLS close_notify
	c.mu.Unlock()
	err := c.nc.Close()
	if c.err == nil {
		c.err = net.ErrClosed
		return err
	}
	return nil
}

// Read reads raw octets, what is buffered first. It satisfies io.Reader for decoders that frame by themselves.
func (c *Conn) Read(p []byte) (int, error) {
	if c.rpos < c.rend {
		n := copy(p, c.rbuf[c.rpos:c.rend])
		c.rpos += n
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	if len(p) < len(c.rbuf)/2 {
		if err := c.fill(); err != nil {
			return 0, err
		}
		return c.Read(p)
	}
	n, err := c.readSocket(p)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// ReadFull fills p. A connection that ends before is io.ErrUnexpectedEOF.
func (c *Conn) ReadFull(p []byte) error {
	_, err := io.ReadFull(c, p)
	return err
}

// ReadLine returns the next line without its CRLF; a lone LF ends a line too, because some servers send one. The
// slice is valid until the next read. A line of more than max octets is ErrLineTooLong and ends the connection, as its
// rest cannot be told from the next line. A literal that was not read to its end is skipped first.
func (c *Conn) ReadLine(max int) ([]byte, error) {
	if err := c.DrainBody(); err != nil {
		return nil, err
	}
	c.long = c.long[:0]
	for {
		chunk := c.rbuf[c.rpos:c.rend]
		if i := bytes.IndexByte(chunk, '\n'); i >= 0 {
			c.rpos += i + 1
			return c.line(chunk[:i], max)
		}
		if len(c.long)+len(chunk) > max+1 { // one more for the CR
			return nil, c.Fail(ErrLineTooLong)
		}
		if c.rend == len(c.rbuf) && c.rpos > 0 || len(chunk) == len(c.rbuf) {
			c.long = append(c.long, chunk...)
			c.rpos = c.rend
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *Conn) line(tail []byte, max int) ([]byte, error) {
	line := tail
	if len(c.long) > 0 {
		c.long = append(c.long, tail...)
		line = c.long
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > max {
		return nil, c.Fail(ErrLineTooLong)
	}
	c.traceIn(line)
	return line, nil
}

// fill reads at least one more octet into the buffer, which must have room or be empty.
func (c *Conn) fill() error {
	if c.err != nil {
		return c.err
	}
	if c.rpos == c.rend {
		c.rpos, c.rend = 0, 0
	}
	if c.rend == len(c.rbuf) {
		c.rend = copy(c.rbuf, c.rbuf[c.rpos:])
		c.rpos = 0
	}
	n, err := c.readSocket(c.rbuf[c.rend:])
	c.rend += n
	if n > 0 {
		return nil
	}
	return err
}

// readSocket returns n > 0, or an error that has been made sticky.
func (c *Conn) readSocket(p []byte) (int, error) {
	if len(c.wbuf) > 0 {
		if err := c.Flush(); err != nil {
			return 0, err
		}
	}
	if !c.armed() {
		return 0, c.Fail(c.ctx.Err())
	}
	n, err := c.nc.Read(p)
	if n > 0 {
		if err := c.checkFirst(p[:n]); err != nil {
			return 0, err
		}
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, c.Fail(c.explain(err))
}

// checkFirst recognises a TLS record where a greeting should be.
func (c *Conn) checkFirst(p []byte) error {
	if !c.heard && !c.secure && p[0] < 0x20 && (p[0] == 0x15 || p[0] == 0x16) {
		return c.Fail(&ProtocolError{Msg: "the server speaks TLS on this port; use smtps, imaps or pop3s"})
	}
	c.heard = true
	return nil
}

// armed sets the deadline for the next I/O; it is false when the context has ended.
func (c *Conn) armed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.ctx.Err() != nil {
		return false
	}
	_ = c.nc.SetDeadline(time.Now().Add(c.timeout))
	return true
}

// explain turns an I/O error into what the user can act on; the cause stays reachable by errors.Is.
func (c *Conn) explain(err error) error {
	if e := c.ctx.Err(); e != nil {
		return e
	}
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF):
		return &ClosedError{}
	case errors.As(err, &ne) && ne.Timeout():
		return &TimeoutError{After: c.timeout, Silent: !c.heard}
	}
	return err
}
