package pop3

import (
	"context"
	"strconv"
)

// topEstimate is what the window expects of a header.
const topEstimate = 8 << 10

// Top fetches the header and the first lines of the body of the messages in ns and gives each to fn, like Retr
// (RFC 1939 §7). The size given to fn is that of the whole message when List was called before. The server may not
// have TOP and refuse.
func (c *Client) Top(ctx context.Context, ns []int, lines int, fn BodyFunc) error {
	suffix := " " + strconv.Itoa(max(lines, 0))
	return c.bodies(ctx, ns, fn, batch{
		verb:    "TOP",
		command: func(n int) string { return "TOP " + strconv.Itoa(n) + suffix },
		cost:    func(int) int64 { return topEstimate + int64(max(lines, 0))*80 },
	})
}
