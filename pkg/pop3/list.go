package pop3

import (
	"context"
	"fmt"
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
	if _, err := c.roundTrip("LIST", "LIST"); err != nil {
		return nil, err
	}
	var entries []Entry
	sizes := make(map[int]int64)
	err := c.readListing("LIST", maxEntries, func(line []byte) error {
		e, err := parseEntry(line)
		if err != nil {
			return err
		}
		if _, twice := sizes[e.Number]; twice {
			return fmt.Errorf("LIST: %w", &wire.ProtocolError{Msg: fmt.Sprintf("message %d is listed twice", e.Number)})
		}
		sizes[e.Number] = e.Size
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.sizes = sizes
	return entries, nil
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
