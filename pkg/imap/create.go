package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Create makes a mailbox (RFC 9051 §6.3.4). One that exists is an *[Error], with code ALREADYEXISTS where the server
// says so.
func (c *Client) Create(ctx context.Context, mailbox string) error {
	return c.onMailbox(ctx, "CREATE", mailbox)
}

// CreateFor makes a mailbox for special uses (RFC 6154 §3), such as \Sent. What
// the server cannot give is an *[Error] with code USEATTR, and nothing is made.
//
// Errors: *[CapabilityError] without CREATE-SPECIAL-USE.
func (c *Client) CreateFor(ctx context.Context, mailbox string, uses ...Flag) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return err
	}
	if !c.has("CREATE-SPECIAL-USE") {
		return &CapabilityError{Command: label("create", mailbox), Capability: "CREATE-SPECIAL-USE"}
	}
	return c.run(&command{label: label("create", mailbox)}, "CREATE", func(e *imapwire.Encoder) {
		c.putMailbox(e.SP(), mailbox).SP().Raw("(USE ").Flags(uses).Raw(")")
	})
}
