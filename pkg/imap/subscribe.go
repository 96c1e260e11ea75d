package imap

import "context"

// Subscribe puts a mailbox on the list of subscribed ones (RFC 9051 §6.3.7).
func (c *Client) Subscribe(ctx context.Context, mailbox string) error {
	return c.onMailbox(ctx, "SUBSCRIBE", mailbox)
}
