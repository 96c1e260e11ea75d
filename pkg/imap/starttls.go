package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// startTLS upgrades the connection (RFC 9051 §6.2.1). Whatever keeps it from
// happening ends the connection, and everything learnt before is forgotten.
func (c *Client) startTLS(ctx context.Context) error {
	if err := c.needCaps(); err != nil {
		return c.noTLS(err)
	}
	if !c.caps.Has("STARTTLS") {
		return c.noTLS(&wire.ProtocolError{Msg: "the server does not offer STARTTLS; TLS is required"})
	}
	if err := c.run(&command{}, "STARTTLS", nil); err != nil {
		return c.noTLS(err)
	}
	if err := c.conn.StartTLS(ctx); err != nil {
		return err
	}
	if c.conn.TLS() == nil {
		return c.protocolError("the connection is not encrypted after STARTTLS")
	}
	c.forgetCaps()
	return nil
}

// noTLS ends the connection with err.
func (c *Client) noTLS(err error) error {
	c.conn.Fail(err)
	return err
}
