package imap

import "context"

// Delete removes a mailbox and its messages for good (RFC 9051 §6.3.5).
func (c *Client) Delete(ctx context.Context, mailbox string) error {
	return c.onMailbox(ctx, "DELETE", mailbox)
}
