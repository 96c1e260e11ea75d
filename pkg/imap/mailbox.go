package imap

import (
	"context"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// onMailbox runs a command whose one argument is a mailbox.
func (c *Client) onMailbox(ctx context.Context, verb, mailbox string) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return err
	}
	cmd := &command{label: label(strings.ToLower(verb), mailbox)}
	return c.run(cmd, verb, func(e *imapwire.Encoder) { c.putMailbox(e.SP(), mailbox) })
}
