package pop3

import "context"

// Rset takes the deletion marks off all messages (RFC 1939 §5).
func (c *Client) Rset(ctx context.Context) error {
	_, err := c.simple(ctx, "RSET", "RSET")
	if err == nil {
		c.marked = nil
	}
	return err
}
