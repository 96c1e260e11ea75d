package imap

import "context"

// Unsubscribe takes a mailbox off the list of subscribed ones (RFC 9051 §6.3.8).
func (c *Client) Unsubscribe(ctx context.Context, mailbox string) error {
	return c.onMailbox(ctx, "UNSUBSCRIBE", mailbox)
}
