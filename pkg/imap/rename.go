package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Rename gives a mailbox, and those below it, another name (RFC 9051 §6.3.6).
// Renaming INBOX moves its messages and leaves it empty.
func (c *Client) Rename(ctx context.Context, from, to string) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, from, to); err != nil {
		return err
	}
	return c.run(&command{label: label("rename", from)}, "RENAME", func(e *imapwire.Encoder) {
		c.putMailbox(e.SP(), from)
		c.putMailbox(e.SP(), to)
	})
}
