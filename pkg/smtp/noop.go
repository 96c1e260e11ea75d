package smtp

import (
	"context"
	"time"
)

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

// probeAfter is how long a connection may have been silent before a message is trusted to it.
const probeAfter = 10 * time.Second

// probe asks for a sign of life when the server had time to hang up meanwhile. With CHUNKING the whole message goes out
// before the first reply: on a connection that is gone it would have to be called uncertain, and is not.
func (c *Client) probe() error {
	if len(c.owed) > 0 || time.Since(c.heard) < c.probeAfter {
		return nil
	}
	r, err := c.command("NOOP")
	if err == nil && r.Code == 421 {
		err = c.refusal("NOOP", r)
	}
	return err
}
