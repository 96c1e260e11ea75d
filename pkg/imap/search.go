package imap

import (
	"context"
	"errors"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// maxSearchLine is the longest answer to a search without ESEARCH, which comes
// as one line: about a million UIDs.
const maxSearchLine = 8 << 20

// Search returns the UIDs of the messages that fulfil all keys (RFC 9051
// §6.4.4); none at all means every message. Strings that are not ASCII are
// sent as UTF-8. With ESEARCH the answer comes as ranges.
func (c *Client) Search(ctx context.Context, keys ...SearchKey) (UIDSet, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return UIDSet{}, err
	}
	if c.has("ESEARCH") {
		found, err := c.search("RETURN (ALL) ", keys)
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != "BAD" {
			return found, err
		}
	}
	return c.search("", keys) // some servers offer what they do not understand
}

func (c *Client) search(options string, keys []SearchKey) (UIDSet, error) {
	var found UIDSet
	cmd := &command{label: "search"}
	cmd.data = func(r imapwire.Response, d *imapwire.Decoder) bool {
		switch r.Name {
		case "SEARCH":
			decodeSearch(d, &found)
		case "ESEARCH":
			if set, tag := decodeESearch(d); tag == "" || tag == cmd.tag {
				found.AddSet(set)
			}
		default:
			return false
		}
		return true
	}
	c.dec.SetLineLimit(maxSearchLine)
	defer c.dec.SetLineLimit(0)
	err := c.run(cmd, "UID SEARCH", func(e *imapwire.Encoder) {
		e.SP().Raw(options)
		if !c.enc.UTF8 && !asciiKeys(keys) {
			e.Raw("CHARSET UTF-8 ")
		}
		encodeKeys(e, keys)
	})
	if err == nil && c.exists > 0 && found.Count() > uint64(c.exists) {
		err = c.protocolError("the search found %d messages in a mailbox of %d", found.Count(), c.exists)
	}
	return found, err
}

// decodeSearch reads the numbers of a SEARCH response (RFC 3501 §7.2.5), and
// skips the "(MODSEQ n)" of RFC 7162.
func decodeSearch(d *imapwire.Decoder, found *UIDSet) {
	for d.Err() == nil && !d.AtEnd() {
		switch {
		case d.Accept(' '):
		case d.Is('('):
			d.Skip()
		default:
			found.Add(UID(d.NZNumber()))
		}
	}
}

// decodeESearch reads an ESEARCH response (RFC 4731 §3.1).
func decodeESearch(d *imapwire.Decoder) (set UIDSet, tag string) {
	if d.Is('(') {
		for i, ok := 0, d.OpenList(); ok && d.More(i); i++ {
			if d.Keyword() == "TAG" {
				d.SP()
				tag = d.String()
			}
		}
		d.Accept(' ')
	}
	for d.Err() == nil && !d.AtEnd() {
		if d.Accept(' ') {
			continue
		}
		switch d.Keyword() {
		case "UID":
		case "ALL":
			d.SP()
			set.AddSet(d.UIDSet())
		default:
			d.SP()
			d.Skip()
		}
	}
	return set, tag
}

func asciiKeys(keys []SearchKey) bool {
	for _, k := range keys {
		if !k.ascii() {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
