package smtp

import "context"

// startTLS upgrades the connection (RFC 3207). What the server said so far counts no more: the caller says EHLO again.
func (c *Client) startTLS(ctx context.Context) error {
	if _, ok := c.Extension("STARTTLS"); !ok {
		return &CapabilityError{Extension: "STARTTLS", Msg: "the server does not offer STARTTLS, and sending without TLS is not allowed"}
	}
	r, err := c.command("STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return c.refusal("STARTTLS", r)
	}
	return c.conn.StartTLS(ctx)
}
