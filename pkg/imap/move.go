package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Move moves messages into another mailbox: by MOVE where it is offered (RFC
// 9051 §6.4.8), else by copying, marking and expunging. Then nothing is marked
// before the server has said OK to the copy, nothing expunged before it has
// said OK to the marks, and only messages that were there when it began are
// touched. Without UIDPLUS the last step is left out and *[NotExpungedError]
// returned: a plain EXPUNGE would remove other messages too.
//
// After any other error the messages are in their old place, in both, or moved;
// never in neither.
func (c *Client) Move(ctx context.Context, set UIDSet, mailbox string) (*CopyData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState, mailbox); err != nil {
		return nil, err
	}
	if c.has("MOVE") {
		return c.transfer("MOVE", set, mailbox)
	}
	return c.moveByCopy(set, mailbox)
}

func (c *Client) moveByCopy(set UIDSet, mailbox string) (*CopyData, error) {
	// A set such as 1:* would take in what arrives between the steps.
	there, err := c.search("", []SearchKey{SearchUIDs(set)})
	if err != nil || there.Empty() {
		return &CopyData{}, err
	}
	data, err := c.transfer("COPY", there, mailbox)
	if err != nil {
		return data, err
	}
	if data.UIDValidity != 0 { // the server tells what it has copied
		there = there.Minus(there.Minus(data.UIDs()))
		if there.Empty() {
			return data, nil
		}
	}
	if err := c.store(there, "+FLAGS.SILENT", []Flag{imapwire.FlagDeleted}); err != nil {
		return data, err
	}
	if !c.has("UIDPLUS") {
		return data, &NotExpungedError{UIDs: there}
	}
	_, err = c.uidExpunge(there)
	return data, err
}
