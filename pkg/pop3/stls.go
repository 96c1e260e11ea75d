package pop3

import (
	"context"
	"fmt"
)

// stls upgrades the connection (RFC 2595 §4). STLS is sent without asking for capabilities first: what a server says
// in cleartext proves nothing, and its refusal ends the connection either way. No capability from before is kept. The
// timestamp of the greeting is, for who asks for APOP: a forged one makes the login fail, and the digest that could
// give the password away travels under TLS.
func (c *Client) stls(ctx context.Context) error {
	if err := c.nothingUnasked("STLS"); err != nil {
		return err
	}
	if _, err := c.roundTrip("STLS", "STLS"); err != nil {
		return err
	}
	if err := c.conn.StartTLS(ctx); err != nil {
		return fmt.Errorf("STLS: %w", err)
	}
	c.forgetCaps()
	return nil
}

// nothingUnasked ends the connection when the server has said more than it was asked: that could be an answer put
// there by somebody else for a question to come.
func (c *Client) nothingUnasked(verb string) error {
	if c.conn.Buffered() > 0 {
		return c.fail(verb, "the server answers before it was asked")
	}
	return nil
}
