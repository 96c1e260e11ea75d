package imap

import "context"

// Noop does nothing (RFC 9051 §6.1.2); it keeps the connection alive.
func (c *Client) Noop(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(notAuthenticated); err != nil {
		return err
	}
	return c.run(&command{}, "NOOP", nil)
}
