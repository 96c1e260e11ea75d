package imap

import "context"

// Create makes a mailbox (RFC 9051 §6.3.4). One that exists is an *[Error], with code ALREADYEXISTS where the server says so.
func (c *Client) Create(ctx context.Context, mailbox string) error {
	return c.onMailbox(ctx, "CREATE", mailbox)
}
