package pop3

import (
	"context"
	"io"
	"math"
	"strconv"
)

// BodyFunc receives one message. number is the message's; size is what the server says it has, in octets, or -1: a
// hint, never more. r gives the message with CRLF line ends and without dot-stuffing up to io.EOF and is valid during
// the call. What is not read is skipped. r implements io.WriterTo, which io.Copy uses to save a copy.
//
// An error from r must be returned (wrapped or not): the message is not whole. Any error ends the batch.
type BodyFunc func(number int, size int64, r io.Reader) error

// Retr fetches messages in the order of ns and gives each to fn (RFC 1939 §5), pipelined within the window.
//
// Errors: *PartialError when some were refused, after all were tried; the error of fn as it is, after which the session
// goes on if Conn().Err() is nil; everything else is final.
func (c *Client) Retr(ctx context.Context, ns []int, fn BodyFunc) error {
	return c.bodies(ctx, ns, fn, batch{
		verb:    "RETR",
		command: func(n int) string { return "RETR " + strconv.Itoa(n) },
		cost:    c.expectedSize,
	})
}

func (c *Client) bodies(ctx context.Context, ns []int, fn BodyFunc, b batch) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(b.verb, transaction); err != nil {
		return err
	}
	b.numbers = ns
	b.lines = true
	b.accept = func(n int, text []byte) error {
		return c.deliver(n, c.sizeOf(&b, n, text), fn)
	}
	return c.run(b)
}

// sizeOf is the announced size of message n: from List, or from a reply like RFC 1939's "+OK 120 octets".
func (c *Client) sizeOf(b *batch, n int, text []byte) int64 {
	if size, ok := c.listed.size(n); ok {
		return size
	}
	if size, _, ok := number(text, math.MaxInt64); ok && b.verb == "RETR" {
		return size
	}
	return -1
}

// expectedSize is the window's estimate of message n.
func (c *Client) expectedSize(n int) int64 {
	if size, ok := c.listed.size(n); ok {
		return size
	}
	return estimate
}
