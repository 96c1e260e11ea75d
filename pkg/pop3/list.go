package pop3

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Entry is one line of a scan listing.
type Entry struct {
	Number int   // valid in this session only
	Size   int64 // octets, as the server counts them: a hint
}

// List returns the scan listing of the messages in ns, or of all that are not marked for deletion when ns is empty
// (RFC 1939 §5), in the server's order or in that of ns. Numbers may have gaps. A number that comes twice is a
// *wire.ProtocolError; refused ones are a *PartialError beside the entries that came.
func (c *Client) List(ctx context.Context, ns ...int) ([]Entry, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready("LIST", transaction); err != nil {
		return nil, err
	}
	if len(ns) > 0 {
		return c.listSome(ns)
	}
	var entries []Entry
	if err := c.scan(func(e Entry) { entries = append(entries, e) }); err != nil {
		return nil, err
	}
	return entries, nil
}

// Scan is List of all messages for a maildrop of any size: it returns how many there are, and the client keeps the
// listing, eight octets a message, for Size and Listed.
func (c *Client) Scan(ctx context.Context) (int, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready("LIST", transaction); err != nil {
		return 0, err
	}
	if err := c.scan(func(Entry) {}); err != nil {
		return 0, err
	}
	return c.listed.count, nil
}

// Size is what the last listing of all messages says of message n, in octets; false when n was not in it.
func (c *Client) Size(n int) (int64, bool) { return c.listed.size(n) }

// Listed yields the last listing of all messages, by number.
func (c *Client) Listed() iter.Seq[Entry] { return c.listed.all() }

// scan reads the listing of all messages. The one before is kept if it fails.
func (c *Client) scan(each func(Entry)) error {
	if _, err := c.roundTrip("LIST", "LIST"); err != nil {
		return err
	}
	var listed listing
	err := c.readListing("LIST", maxEntries, func(line []byte) error {
		e, err := parseEntry(line)
		if err != nil {
			return err
		}
		if !listed.add(e) {
			return listedTwice("LIST", e.Number)
		}
		each(e)
		return nil
	})
	if err == nil {
		c.listed = listed
	}
	return err
}

func listedTwice(verb string, n int) error {
	return fmt.Errorf("%s: %w", verb, &wire.ProtocolError{Msg: fmt.Sprintf("message %d is listed twice", n)})
}

func (c *Client) listSome(ns []int) ([]Entry, error) {
	entries := make([]Entry, 0, len(ns))
	err := c.run(batch{
		verb:    "LIST",
		numbers: ns,
		command: func(n int) string { return "LIST " + strconv.Itoa(n) },
		accept: func(n int, text []byte) error {
			e, err := parseEntry(text)
			if err != nil {
				return err
			}
			if e.Number != n {
				return badReply("LIST", text)
			}
			entries = append(entries, e)
			return nil
		},
	})
	return entries, err
}

func parseEntry(line []byte) (Entry, error) {
	n, rest, ok := numbered(line)
	if !ok {
		return Entry{}, badReply("LIST", line)
	}
	size, _, ok := number(rest, math.MaxInt64)
	if !ok {
		return Entry{}, badReply("LIST", line)
	}
	return Entry{Number: n, Size: size}, nil
}
