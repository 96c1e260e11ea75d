package imap

import (
	"context"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// gmailExt is the capability of Gmail's own items and search key
// (https://developers.google.com/workspace/gmail/imap/imap-extensions).
const gmailExt = "X-GM-EXT-1"

// SearchGmail searches as Gmail's web page does: "has:attachment in:unread".
// Only servers with X-GM-EXT-1 know it; others are a *[CapabilityError] when
// the search is made.
func SearchGmail(query string) SearchKey { return SearchKey{word: "X-GM-RAW", text: []string{query}} }

// SearchLabel is fulfilled by messages that have the Gmail label.
func SearchLabel(label string) SearchKey {
	return SearchKey{word: "X-GM-LABELS", text: []string{label}}
}

// StoreLabels changes the Gmail labels of messages, as Store changes flags. A
// label is a mailbox name in UTF-8, or one of the system's: \Inbox, \Starred.
//
// Errors: *[CapabilityError] for any other server.
func (c *Client) StoreLabels(ctx context.Context, set UIDSet, op StoreOp, labels []string) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState, labels...); err != nil {
		return err
	}
	if !c.has(gmailExt) {
		return &CapabilityError{Command: "labels", Capability: gmailExt}
	}
	return c.storeItems(set, op.prefix()+"X-GM-LABELS.SILENT", func(e *imapwire.Encoder) {
		e.List(len(labels), func(i int) { putLabel(e, labels[i]) })
	})
}

// putLabel writes a label: system ones begin with a backslash and are atoms.
func putLabel(e *imapwire.Encoder, label string) {
	if strings.HasPrefix(label, `\`) {
		e.Flag(Flag(label))
		return
	}
	e.Mailbox(label)
}

// decodeLabel reads a label.
func decodeLabel(d *imapwire.Decoder) string {
	if d.Is('\\') {
		return string(d.Flag())
	}
	name, _ := d.Mailbox()
	return name
}

// maxLabels bounds the labels of one message.
const maxLabels = 10_000
