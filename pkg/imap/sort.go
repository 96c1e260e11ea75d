package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// SortKey is what messages are sorted by (RFC 5256 §3, RFC 5957).
type SortKey string

// The sort keys. The last two need SORT=DISPLAY.
const (
	SortArrival     SortKey = "ARRIVAL"
	SortCc          SortKey = "CC"
	SortDate        SortKey = "DATE"
	SortFrom        SortKey = "FROM"
	SortSize        SortKey = "SIZE"
	SortSubject     SortKey = "SUBJECT"
	SortTo          SortKey = "TO"
	SortDisplayFrom SortKey = "DISPLAYFROM"
	SortDisplayTo   SortKey = "DISPLAYTO"
)

// SortBy is a sort key and its direction.
type SortBy struct {
	Key     SortKey
	Reverse bool
}

// Sort returns the UIDs of the messages that fulfil all keys, in the order
// wanted, the first of by first (RFC 5256 §3). At least one is needed.
//
// Errors: *[CapabilityError] for a server without SORT or SORT=DISPLAY.
func (c *Client) Sort(ctx context.Context, by []SortBy, keys ...SearchKey) ([]UID, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return nil, err
	}
	needs := "SORT"
	for _, b := range by {
		if b.Key == SortDisplayFrom || b.Key == SortDisplayTo {
			needs = "SORT=DISPLAY"
		}
	}
	if !c.has(needs) {
		return nil, &CapabilityError{Command: "sort", Capability: needs}
	}
	var found []UID
	cmd := &command{label: "sort", data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "SORT" {
			return false
		}
		found = c.decodeSort(d, found)
		return true
	}}
	if err := c.checkKeys(keys); err != nil {
		return nil, err
	}
	c.dec.SetLineLimit(maxSearchLine)
	defer c.dec.SetLineLimit(0)
	err := c.run(cmd, "UID SORT", func(e *imapwire.Encoder) {
		e.SP().List(len(by), func(i int) { encodeSortBy(e, by[i]) }).SP().Atom(charset(keys)).SP()
		encodeKeys(e, keys)
	})
	return found, err
}

func encodeSortBy(e *imapwire.Encoder, b SortBy) {
	if b.Reverse {
		e.Atom("REVERSE").SP()
	}
	e.Atom(string(b.Key))
}

// charset is that of the strings in keys. SORT and THREAD always name one.
func charset(keys []SearchKey) string {
	if asciiKeys(keys) {
		return "US-ASCII"
	}
	return "UTF-8"
}

// decodeSort reads UIDs in their order. More than there are messages is an
// error.
func (c *Client) decodeSort(d *imapwire.Decoder, found []UID) []UID {
	for d.Err() == nil && !d.AtEnd() {
		switch {
		case d.Accept(' '):
		case d.Is('('): // (MODSEQ n), RFC 7162 §3.1.6
			d.Skip()
		case uint32(len(found)) >= c.exists:
			d.Fail("more messages than the mailbox has")
		default:
			found = append(found, UID(d.NZNumber()))
		}
	}
	return found
}
