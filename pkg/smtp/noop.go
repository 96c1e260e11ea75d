package smtp

import "context"

// Noop asks the server for a sign of life (RFC 5321 §4.1.1.9).
func (c *Client) Noop(ctx context.Context) error {
	return c.simple(ctx, "NOOP")
}

// simple sends a command without arguments that has to be answered with 2yz.
func (c *Client) simple(ctx context.Context, verb string) error {
	defer c.conn.Bind(ctx)()
	r, err := c.command(verb)
	if err != nil {
		return err
	}
	if r.class() != 2 {
		return c.refusal(verb, r)
	}
	return nil
}
