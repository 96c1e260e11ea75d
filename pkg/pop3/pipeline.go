package pop3

import (
	"errors"
	"fmt"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// estimate is the window's guess for a message whose size is not known.
const estimate = 64 << 10

// batch is one verb for many messages.
type batch struct {
	verb    string
	numbers []int
	command func(n int) string
	cost    func(n int) int64 // octets that the reply is expected to have; nil: next to nothing
	lines   bool              // +OK is followed by a dot-terminated text
	// accept takes the positive reply for message n; the text is valid until the next read. With lines it must have
	// read the whole dot-terminated text when it returns nil.
	accept func(n int, text []byte) error
}

func (b *batch) expect(i int) int64 {
	if b.cost == nil {
		return 0
	}
	return b.cost(b.numbers[i])
}

// run sends the batch, pipelined when the server takes it, and handles the replies in order. A refused message does
// not stop the others. An error of accept does: no more is sent, and the replies under way are drained, or the
// connection ends when they are too long for that.
func (c *Client) run(b batch) error {
	window := wire.Window{MaxCommands: 1, MaxBytes: c.opts.WindowBytes}
	if len(b.numbers) > 1 && c.opts.Depth > 1 {
		if err := c.needCaps(); err != nil {
			return err
		}
		if c.pipeline {
			window.MaxCommands = c.opts.Depth
		}
	}
	partial := &PartialError{Verb: b.verb}
	sent := 0
	for got := range b.numbers {
		if sent == got || window.Pending() <= window.MaxCommands/2 {
			var err error
			if sent, err = c.fillWindow(&b, &window, sent); err != nil {
				return err
			}
		}
		n := b.numbers[got]
		refused, err := c.one(&b, n)
		window.Got(b.expect(got))
		switch {
		case err != nil:
			return c.abandon(&b, sent-got-1, err)
		case refused != nil:
			partial.Refused = append(partial.Refused, Refusal{Number: n, Err: refused})
		default:
			partial.Done = append(partial.Done, n)
		}
	}
	if len(partial.Refused) > 0 {
		return partial
	}
	return nil
}

// fillWindow writes commands while the window has room, and sends them.
func (c *Client) fillWindow(b *batch, w *wire.Window, sent int) (int, error) {
	for sent < len(b.numbers) && !w.Full() {
		if err := c.conn.WriteLine(b.command(b.numbers[sent])); err != nil {
			return sent, fmt.Errorf("%s: %w", b.verb, err)
		}
		w.Sent(b.expect(sent))
		sent++
	}
	if err := c.conn.Flush(); err != nil {
		return sent, fmt.Errorf("%s: %w", b.verb, err)
	}
	return sent, nil
}

// one reads and handles the reply for message n.
func (c *Client) one(b *batch, n int) (refused *Error, err error) {
	text, err := c.readReply(b.verb)
	if errors.As(err, &refused) {
		return refused, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, b.accept(n, text)
}

// abandon reads away the replies that are still owed after cause stopped a batch, so that the session can go on; when
// they are longer than the window and as much again, it closes the connection instead. It returns cause.
func (c *Client) abandon(b *batch, owed int, cause error) error {
	rest := &limitedDiscard{left: 2 * c.opts.WindowBytes}
	for ; owed > 0 && c.conn.Err() == nil; owed-- {
		_, err := c.readReply(b.verb)
		if err != nil || !b.lines {
			continue
		}
		if _, err := c.conn.DotReader().WriteTo(rest); err != nil {
			c.kill(err)
		}
	}
	return cause
}

// kill ends the connection in the middle of a reply.
func (c *Client) kill(cause error) {
	_ = c.conn.Fail(cause)
	_ = c.conn.Close()
}

var errRestTooLong = errors.New("pop3: connection closed instead of reading unwanted messages")

// limitedDiscard throws away a bounded number of octets.
type limitedDiscard struct{ left int64 }

func (d *limitedDiscard) Write(p []byte) (int, error) {
	if d.left -= int64(len(p)); d.left < 0 {
		return 0, errRestTooLong
	}
	return len(p), nil
}
