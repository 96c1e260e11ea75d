package wire

import (
	"context"
	"strings"
	"time"
)

// Write buffers p and sends when the buffer is full; Flush, or the next read that has to wait, sends the rest.
func (c *Conn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.traceOut(p)
	return c.write(p)
}

// WriteString is Write for a string.
func (c *Conn) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

// WriteData is Write for the octets of a message: the trace shows them as data, not as commands.
func (c *Conn) WriteData(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.traceData(p)
	return c.write(p)
}

// WriteLine buffers s and CRLF.
func (c *Conn) WriteLine(s string) error {
	if err := checkLine(s); err != nil {
		return err
	}
	_, err := c.WriteString(s + "\r\n")
	return err
}

// WriteSecret buffers line and CRLF; the trace shows only shown and a mark that a secret followed.
func (c *Conn) WriteSecret(shown, line string) error {
	if err := checkLine(line); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	if c.config.Trace != nil {
		c.config.Trace(TraceCommand, []byte(strings.TrimLeft(shown+" "+secretText, " ")))
	}
	_, err := c.write([]byte(line + "\r\n"))
	return err
}

// Flush sends what is buffered.
func (c *Conn) Flush() error {
	if c.err != nil {
		return c.err
	}
	if len(c.wbuf) == 0 {
		return nil
	}
	p := c.wbuf
	c.wbuf = c.wbuf[:0]
	return c.send(p)
}

func (c *Conn) write(p []byte) (int, error) {
	if len(c.wbuf)+len(p) > cap(c.wbuf) {
		if err := c.Flush(); err != nil {
			return 0, err
		}
		if len(p) >= cap(c.wbuf) {
			if err := c.send(p); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	c.wbuf = append(c.wbuf, p...)
	return len(p), nil
}

// send writes in pieces, so that each piece has the idle time for itself.
func (c *Conn) send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 256<<10)
		if !c.armed() {
			return c.Fail(c.ctx.Err())
		}
		taken, err := c.nc.Write(p[:n])
		c.sent += int64(taken)
		if err != nil {
			c.deaf = c.err == nil
			return c.Fail(c.explain(err))
		}
		p = p[n:]
	}
	return nil
}

// Sent is the number of octets that the network has taken from us; without an error before, Queued is that and what is
// still buffered. What was written up to position p, as Queued said then, can have reached the peer only when Sent is
// at least p.
func (c *Conn) Sent() int64 { return c.sent }

// Queued is the position in the outgoing stream; see Sent.
func (c *Conn) Queued() int64 { return c.sent + int64(len(c.wbuf)) }

// LastWords lets read have what the peer sent before it stopped to listen, which often tells why, for wait at the most.
// It is for a connection that died by a failed write, and does nothing on another. The connection stays dead: with the
// error of read, or with its own when that is nil. LastWords returns that error.
func (c *Conn) LastWords(wait time.Duration, read func() error) error {
	if !c.deaf || c.ctx.Err() != nil {
		return c.err
	}
	died := c.err
	c.err, c.deaf, c.wbuf = nil, false, c.wbuf[:0]
	ctx, cancel := context.WithTimeout(c.ctx, wait)
	defer cancel()
	defer c.Bind(ctx)()
	if c.err = read(); c.err == nil {
		c.err = died
	}
	return c.err
}

// checkLine refuses what would end the line early (RFC 5321 §2.3.8; the injection classes of every line protocol).
func checkLine(s string) error {
	if strings.ContainsAny(s, "\r\n\x00") {
		return &ArgumentError{Msg: "a command must not hold CR, LF or NUL"}
	}
	return nil
}

// ArgumentError is something that the caller asked to send and that must not be sent. Nothing of it was, and the
// connection is as before.
type ArgumentError struct{ Msg string }

func (e *ArgumentError) Error() string { return e.Msg }
