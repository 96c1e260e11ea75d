package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// StoreOp says what Store does with the flags.
type StoreOp uint8

// What Store can do.
const (
	AddFlags    StoreOp = iota // the messages get these flags
	RemoveFlags                // the messages lose these flags
	SetFlags                   // the messages have these flags and no others
)

// Store changes the flags of messages (RFC 9051 §6.4.6). UIDs that do not exist
// are no error. \Recent cannot be changed.
func (c *Client) Store(ctx context.Context, set UIDSet, op StoreOp, flags []Flag) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return err
	}
	return c.store(set, op.prefix()+"FLAGS.SILENT", flags)
}

// prefix is the sign before the item's name.
func (op StoreOp) prefix() string {
	switch op {
	case AddFlags:
		return "+"
	case RemoveFlags:
		return "-"
	}
	return ""
}

func (c *Client) store(set UIDSet, name string, flags []Flag) error {
	return c.storeItems(set, name, func(e *imapwire.Encoder) { e.Flags(flags) })
}

func (c *Client) storeItems(set UIDSet, name string, values func(e *imapwire.Encoder)) error {
	return c.eachWindow(set, func(part UIDSet) error {
		return c.run(&command{label: "store"}, "UID STORE", func(e *imapwire.Encoder) {
			values(e.SP().UIDSet(part).SP().Raw(name).SP())
		})
	})
}
