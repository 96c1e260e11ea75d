package smtp

import "context"

// Reset ends a transaction that a refusal left open (RFC 5321 §4.1.1.5). Send does it by itself where it is needed; use
// this to leave a connection clean for a long pause.
func (c *Client) Reset(ctx context.Context) error {
	if err := c.simple(ctx, "RSET"); err != nil {
		return err
	}
	c.needsRset = false
	return nil
}
