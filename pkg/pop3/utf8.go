package pop3

import "context"

// UTF8 asks for messages as they are, with UTF-8 in their headers, instead of a downgraded form (RFC 6856 §2). It is
// sent between Dial and Auth, and only when the caller wants it; the server must have the UTF8 capability.
func (c *Client) UTF8(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready("UTF8", authorization); err != nil {
		return err
	}
	_, err := c.roundTrip("UTF8", "UTF8")
	return err
}
