package pop3

import (
	"context"
	"fmt"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Lang asks for the server's words in the language tag, a language tag or "*" for the server's preference
// (RFC 6856 §3).
func (c *Client) Lang(ctx context.Context, tag string) error {
	defer c.conn.Bind(ctx)()
	if c.state == closed {
		return errClosed
	}
	if !oneWord(tag) {
		return fmt.Errorf("LANG: %w", &wire.ArgumentError{Msg: fmt.Sprintf("%q is not a language tag", tag)})
	}
	_, err := c.roundTrip("LANG", "LANG "+tag)
	return err
}

// oneWord tells whether s can be an argument: at least one printable ASCII character, no blank.
func oneWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
