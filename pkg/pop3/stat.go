package pop3

import (
	"context"
	"math"
)

// Stat is the state of a maildrop without the messages marked for deletion.
type Stat struct {
	Count int   // messages
	Size  int64 // octets, as the server counts them: a hint
}

// Stat asks for the number of messages and their size (RFC 1939 §5).
func (c *Client) Stat(ctx context.Context) (Stat, error) {
	text, err := c.simple(ctx, "STAT", "STAT")
	if err != nil {
		return Stat{}, err
	}
	count, rest, ok := number(text, maxNumber)
	if !ok {
		return Stat{}, badReply("STAT", text)
	}
	size, _, ok := number(rest, math.MaxInt64)
	if !ok {
		return Stat{}, badReply("STAT", text)
	}
	return Stat{Count: int(count), Size: size}, nil
}
