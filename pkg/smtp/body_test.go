package smtp

import (
	"errors"
	"strings"
	"testing"
)

// A NUL goes out only in a binary message: servers cut lines at it (RFC 6152 §3).
func TestNULIsNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		keyword string
		script  string
	}{
		"DATA": {"8BITMIME", "C: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\nS: 250 ok\nC: DATA\nS: 354 go\nEOF"},
		"BDAT": {"CHUNKING", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustOpen(t, hello(test.keyword)+test.script, nil)
			_, err := c.Send(bg(t), envelope("bob@example.org"), strings.NewReader("Subject: x\r\n\r\na\x00b\r\n"))
			var body *BodyError
			if !errors.As(err, &body) || c.Conn().Err() == nil {
				t.Errorf("got %v, connection's error %v; want a *BodyError and a dead connection", err, c.Conn().Err())
			}
		})
	}
}
