package pop3

import (
	"context"
	"strconv"
)

// Dele marks the messages in ns for deletion (RFC 1939 §5), pipelined within the window. Only Quit deletes them; Rset
// takes the marks off. A *PartialError names the refused ones: the others are marked. After any other error the
// connection is dead and nothing will be deleted.
func (c *Client) Dele(ctx context.Context, ns []int) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready("DELE", transaction); err != nil {
		return err
	}
	return c.run(batch{
		verb:    "DELE",
		numbers: ns,
		command: func(n int) string { return "DELE " + strconv.Itoa(n) },
		accept: func(n int, _ []byte) error {
			c.marked = append(c.marked, n)
			return nil
		},
	})
}
