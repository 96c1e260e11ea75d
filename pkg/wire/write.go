package wire

import (
	"strings"
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
		if _, err := c.nc.Write(p[:n]); err != nil {
			return c.Fail(c.explain(err))
		}
		p = p[n:]
	}
	return nil
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
