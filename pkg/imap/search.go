package imap

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// maxSearchLine is the longest answer to a search without ESEARCH, which comes
// as one line: about a million UIDs.
const maxSearchLine = 8 << 20

// Search returns the UIDs of the messages that fulfil all keys (RFC 9051
// §6.4.4); none at all means every message. Strings that are not ASCII are
// sent as UTF-8. With ESEARCH the answer comes as ranges. A server that looks at
// so many messages at a time only (MESSAGELIMIT, RFC 9738) is asked again for
// the rest.
func (c *Client) Search(ctx context.Context, keys ...SearchKey) (UIDSet, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return UIDSet{}, err
	}
	return c.searchUIDs(keys)
}

// searchUIDs asks in the form that the server can answer best.
func (c *Client) searchUIDs(keys []SearchKey) (UIDSet, error) {
	if c.has("ESEARCH") {
		found, err := c.search("RETURN (ALL) ", keys)
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != "BAD" {
			return found, err
		}
	}
	return c.search("", keys) // some servers offer what they do not understand
}

// maxSearches bounds the commands of one search under MESSAGELIMIT.
const maxSearches = 10_000

func (c *Client) search(options string, keys []SearchKey) (UIDSet, error) {
	var found UIDSet
	ask := keys
	for range maxSearches {
		var some SearchData
		rest, err := c.runSearch(options, ask, &some)
		found.AddSet(some.UIDs)
		if err == nil && c.exists > 0 && found.Count() > uint64(c.exists) {
			err = c.protocolError("the search found %d messages in a mailbox of %d", found.Count(), c.exists)
		}
		if err != nil || rest.Empty() {
			return found, err
		}
		ask = append(keys[:len(keys):len(keys)], SearchUIDs(rest))
	}
	return found, c.protocolError("the search did not end after %d commands", maxSearches)
}

// runSearch runs one command. rest are the UIDs that the server did not look at.
func (c *Client) runSearch(options string, keys []SearchKey, found *SearchData) (rest UIDSet, err error) {
	c.dec.SetLineLimit(maxSearchLine)
	defer c.dec.SetLineLimit(0)
	cmd, err := c.sendSearch(options, keys, found)
	if err != nil {
		return rest, err
	}
	if err := c.wait(cmd); err != nil {
		return rest, err
	}
	if last := messageLimit(cmd.text); last > 0 && cmd.err == nil {
		rest = notLookedAt(found.UIDs, last, keys)
	}
	return rest, cmd.result()
}

// sendSearch sends UID SEARCH. Who waits for it sets the line limit.
func (c *Client) sendSearch(options string, keys []SearchKey, found *SearchData) (*command, error) {
	if err := c.checkKeys(keys); err != nil {
		return nil, err
	}
	cmd := &command{label: "search"}
	cmd.data = func(r imapwire.Response, d *imapwire.Decoder) bool {
		switch r.Name {
		case "SEARCH":
			decodeSearch(d, &found.UIDs)
		case "ESEARCH":
			var got SearchData
			if tag := got.decode(d); tag == "" || tag == cmd.tag {
				found.merge(got)
			}
		default:
			return false
		}
		return true
	}
	return cmd, c.send(cmd, "UID SEARCH", func(e *imapwire.Encoder) {
		e.SP().Raw(options)
		if !c.enc.UTF8 && !asciiKeys(keys) {
			e.Raw("CHARSET UTF-8 ")
		}
		encodeKeys(e, keys)
	})
}

// checkKeys refuses keys that the server does not offer.
func (c *Client) checkKeys(keys []SearchKey) error {
	name := needsOf(keys)
	if name == "" || c.has(name) {
		return nil
	}
	return &CapabilityError{Command: "search", Capability: name}
}

// messageLimit reads "[MESSAGELIMIT 1000 23221]" (RFC 9738 §3.1): the UID of the
// last message that was looked at, 0 when there is none.
func messageLimit(t imapwire.Text) UID {
	if t.Code != "MESSAGELIMIT" {
		return 0
	}
	_, text, _ := strings.Cut(t.Arg, " ")
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0
	}
	return UID(n)
}

// notLookedAt are the UIDs beyond the last one that a server looked at: those
// below, as servers begin with the newest, unless it found some there.
func notLookedAt(found UIDSet, last UID, keys []SearchKey) UIDSet {
	var rest, below UIDSet
	if last > 1 {
		below.AddRange(1, last-1)
	}
	if found.Minus(below).Count() == found.Count() {
		rest = below
	} else if last < 1<<32-1 {
		rest.AddRange(last+1, 1<<32-1)
	}
	if n := len(keys); n > 0 && keys[n-1].word == "UID" && !keys[n-1].uids.Dynamic() {
		rest = rest.Minus(rest.Minus(keys[n-1].uids))
	}
	return rest
}

// decodeSearch reads the numbers of a SEARCH response (RFC 3501 §7.2.5), and
// skips the "(MODSEQ n)" of RFC 7162.
func decodeSearch(d *imapwire.Decoder, found *UIDSet) {
	var list []imapwire.Range[UID]
	for d.Err() == nil && !d.AtEnd() {
		switch {
		case d.Accept(' '):
		case d.Is('('):
			d.Skip()
		default:
			uid := UID(d.NZNumber())
			if n := len(list); n > 0 && list[n-1].Stop+1 == uid && uid > 1 {
				list[n-1].Stop = uid
			} else {
				list = append(list, imapwire.Range[UID]{Start: uid, Stop: uid})
			}
		}
	}
	if d.Err() == nil {
		found.AddSet(imapwire.SetOfRanges(list))
	}
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
