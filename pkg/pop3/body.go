package pop3

import (
	"fmt"
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// A server that sends a few octets now and then never runs into the idle time-out. After paceGrace spent waiting, a
// message must have come at paceRate on average.
const (
	paceGrace = 5 * time.Minute
	paceRate  = 1000.0 / 60 // octets a second
)

// body is the reader that a callback gets. It stops at the size limit, at a crawl, and when the callback is over.
type body struct {
	dot   *wire.DotReader
	conn  *wire.Conn
	limit int64 // negative: none
	n     int64 // octets so far
	over  bool  // the callback returned
	err   error // io.EOF after the dot line; anything else is final

	now    func() time.Time
	since  time.Time // when the wait for the server began
	waited time.Duration
}

// deliver gives the message at the current position to fn and skips what fn leaves.
func (c *Client) deliver(n int, size int64, fn BodyFunc) error {
	b := &body{dot: c.conn.DotReader(), conn: c.conn, limit: c.opts.MaxMessage, now: time.Now}
	err := fn(n, size, b)
	if b.err == nil {
		err = c.skip(b, err)
	}
	b.over = true
	if b.err != nil && b.err != io.EOF { // also when fn dropped it
		return fmt.Errorf("message %d: %w", n, b.err)
	}
	return err
}

// skip reads the rest of a message after fn returned err. When that was a failure, a rest longer than the window and
// as much again is not waited for.
func (c *Client) skip(b *body, err error) error {
	if err == nil {
		_, err = b.WriteTo(io.Discard)
		return err
	}
	if _, e := b.dot.WriteTo(&limitedDiscard{left: 2 * c.opts.WindowBytes}); e != nil {
		c.kill(e)
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.usable(); err != nil || len(p) == 0 {
		return 0, err
	}
	b.since = b.now()
	n, err := b.dot.Read(p)
	return n, b.account(n, err)
}

// WriteTo implements io.WriterTo without copying.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	switch err := b.usable(); err {
	case nil:
	case io.EOF:
		return 0, nil
	default:
		return 0, err
	}
	b.since = b.now()
	m := &meter{b: b, w: w}
	_, err := b.dot.WriteTo(m)
	switch {
	case m.err != nil: // the writer's; the rest of the message is still to come
		return m.n, m.err
	case b.err == nil && err == nil:
		b.err = io.EOF
	case b.err == nil:
		b.err = err
	}
	return m.n, err
}

func (b *body) usable() error {
	if b.over {
		return ErrBodyClosed
	}
	return b.err
}

// account counts n octets that were waited for since b.since, and remembers what ended the message.
func (b *body) account(n int, err error) error {
	b.n += int64(n)
	b.waited += b.now().Sub(b.since)
	switch {
	case err != nil:
		b.err = err
	case b.limit >= 0 && b.n > b.limit:
		b.err = b.conn.Fail(ErrTooLarge)
	case b.waited > paceGrace && float64(b.n) < paceRate*b.waited.Seconds():
		b.err = b.conn.Fail(&wire.TimeoutError{After: b.waited.Round(time.Second)})
	}
	return b.err
}

// meter stands between the connection and a caller's writer.
type meter struct {
	b   *body
	w   io.Writer
	n   int64
	err error // of w
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.b.account(len(p), nil); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	m.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	m.err = err
	m.b.since = m.b.now()
	return n, err
}
