package imap

import "context"

// Logout ends the session (RFC 9051 §6.1.3), waits for the server to say
// goodbye, and closes the connection. [Client.Close] does not wait.
func (c *Client) Logout(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(notAuthenticated); err != nil {
		c.conn.Close()
		return err
	}
	c.leaving = true
	err := c.run(&command{}, "LOGOUT", nil)
	c.conn.Close()
	return err
}
