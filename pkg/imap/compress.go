package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Compress compresses the connection in both directions from here on (RFC 4978). It cannot be undone. It pays where
// octets are dear: text shrinks to a fifth, base64 by a quarter; on a fast link it costs more time than it saves. See
// [wire.Conn.StartDeflate] for what bounds the server.
//
// Errors: *[CapabilityError] when the server does not offer it, *[Error] with
// code COMPRESSIONACTIVE when it is on already; the session goes on as it was.
func (c *Client) Compress(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated); err != nil {
		return err
	}
	if !c.has("COMPRESS=DEFLATE") {
		return &CapabilityError{Command: "compress", Capability: "COMPRESS=DEFLATE"}
	}
	err := c.run(&command{}, "COMPRESS", func(e *imapwire.Encoder) { e.SP().Atom("DEFLATE") })
	if err != nil {
		return err
	}
	if err := c.conn.StartDeflate(); err != nil {
		return c.conn.Fail(err)
	}
	return nil
}
