package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Expunge removes every message of the selected mailbox that is marked \Deleted
// (RFC 9051 §6.4.3), whoever marked it. It returns how many the server says it
// removed.
func (c *Client) Expunge(ctx context.Context) (int, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return 0, err
	}
	return c.expunge("EXPUNGE", nil)
}

// UIDExpunge removes those messages of set that are marked \Deleted (UIDPLUS,
// RFC 4315 §2.1). A server without UIDPLUS is a *[CapabilityError].
func (c *Client) UIDExpunge(ctx context.Context, set UIDSet) (int, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return 0, err
	}
	if !c.has("UIDPLUS") {
		return 0, &CapabilityError{Command: "expunge of single messages", Capability: "UIDPLUS"}
	}
	return c.uidExpunge(set)
}

func (c *Client) uidExpunge(set UIDSet) (int, error) {
	n := 0
	err := c.eachWindow(set, func(part UIDSet) error {
		removed, err := c.expunge("UID EXPUNGE", func(e *imapwire.Encoder) { e.SP().UIDSet(part) })
		n += removed
		return err
	})
	return n, err
}

func (c *Client) expunge(verb string, args func(e *imapwire.Encoder)) (int, error) {
	n := 0
	cmd := &command{label: "expunge", data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "EXPUNGE" {
			return false
		}
		n++
		return true
	}, vanished: func(set UIDSet, _ bool) { n += int(min(set.Count(), 1<<31-1)) }}
	err := c.run(cmd, verb, args)
	return n, err
}
