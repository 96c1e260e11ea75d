package imap

import (
	"context"
	"io"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Replace stores a message as [Client.Append] does and expunges the message uid
// of the selected mailbox, both or neither (RFC 8508). The new one may go to
// another mailbox.
//
// Errors: those of Append, and *[CapabilityError] for a server without REPLACE.
func (c *Client) Replace(ctx context.Context, uid UID, mailbox string, size int64, r io.Reader, o *AppendOptions) (*AppendData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState, mailbox); err != nil {
		return nil, err
	}
	if !c.has("REPLACE") {
		return nil, &CapabilityError{Command: "replace", Capability: "REPLACE"}
	}
	b := &appendBatch{label: label("replace into", mailbox), items: []AppendItem{o.item(size, r)}, untagged: true}
	return c.appendOne(b, mailbox, "UID REPLACE", func(e *imapwire.Encoder) { e.SP().Number(uint64(uid)) })
}
