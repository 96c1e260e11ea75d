package pop3

import "context"

// Noop asks for nothing and keeps the session from timing out (RFC 1939 §5).
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.simple(ctx, "NOOP", "NOOP")
	return err
}
