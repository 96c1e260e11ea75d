package pop3

import (
	"context"
	"errors"
	"time"
)

// goodbye bounds how long Close may take to say QUIT.
const goodbye = time.Second

// Quit ends the session and lets the server delete the marked messages (RFC 1939 §6). The connection is closed in any
// case. nil means that the server said it deleted all of them, or that none was marked: then the reply to QUIT tells
// nothing and its loss is no error. Otherwise the error is a *CommitError.
func (c *Client) Quit(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if c.state == closed {
		return errClosed
	}
	err := c.quit(ctx)
	c.state = closed
	_ = c.conn.Close()
	if len(c.marked) == 0 {
		return nil
	}
	c.marked = nil
	return err
}

func (c *Client) quit(ctx context.Context) error {
	failed := &CommitError{Outcome: NotCommitted, Marked: c.Marked()}
	if failed.Err = ctx.Err(); failed.Err != nil {
		return failed
	}
	if failed.Err = c.conn.WriteLine("QUIT"); failed.Err != nil {
		return failed // the connection had ended before
	}
	_, err := c.readReply("QUIT")
	var refused *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		failed.Outcome = Partial
	default:
		failed.Outcome = Unknown
	}
	failed.Err = err
	return failed
}

// Close ends the session at once. With messages marked it drops the connection, so that none is deleted (RFC 1939 §6);
// otherwise it says QUIT and does not wait for the answer. Closing twice is harmless; defer it after Dial.
func (c *Client) Close() error {
	if c.state == closed {
		return nil
	}
	c.state = closed
	if len(c.marked) == 0 && c.conn.Err() == nil && c.conn.WriteLine("QUIT") == nil {
		c.conn.SetTimeout(goodbye)
		_ = c.conn.Flush()
	}
	return c.conn.Close()
}
