package wire

import (
	"errors"
	"net"
	"time"
)

// Wait waits until the peer has sent something that is not read yet, for at most d, and tells if it has. What is
// queued for sending is sent first. Unlike that of a read, its time-out does not end the connection: it is for
// protocols in which the peer speaks when it likes (RFC 2177).
func (c *Conn) Wait(d time.Duration) (bool, error) {
	if c.Buffered() > 0 {
		return true, nil
	}
	if err := c.Flush(); err != nil {
		return false, err
	}
	if c.err != nil {
		return false, c.err
	}
	if !c.armed() {
		return false, c.Fail(c.ctx.Err())
	}
	c.mu.Lock()
	if !c.ended {
		_ = c.nc.SetReadDeadline(time.Now().Add(d))
	}
	c.mu.Unlock()
	c.rpos, c.rend = 0, 0
	n, err := c.nc.Read(c.rbuf)
	c.rend = n
	var ne net.Error
	switch {
	case n > 0:
		return true, c.checkFirst(c.rbuf[:n])
	case errors.As(err, &ne) && ne.Timeout() && c.ctx.Err() == nil:
		return false, nil
	case err == nil:
		return false, nil
	}
	return false, c.Fail(c.explain(err))
}
