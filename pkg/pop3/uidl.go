package pop3

import (
	"bytes"
	"context"
	"strconv"
)

// Flaw says why an id cannot stand for its message.
type Flaw int

// The flaws.
const (
	NoFlaw      Flaw = iota
	BadID            // not 1 to 70 characters of 0x21 to 0x7E (RFC 1939 §7)
	DuplicateID      // another message of the maildrop has the same id
)

const maxKeptBadID = 128 // octets of a malformed id that are kept

func (f Flaw) String() string {
	return [...]string{"", "malformed id", "duplicate id"}[f]
}

// UID is one line of a unique-id listing.
type UID struct {
	Number int
	ID     string // as it came; at most 128 octets of a malformed one
	Flaw   Flaw   // not NoFlaw: the id does not tell this message from others, and its content must
}

// Uidl returns the unique ids of the messages in ns, or of all that are not marked for deletion when ns is empty
// (RFC 1939 §7). Every message is returned; the ones whose id is malformed or not unique carry a Flaw. With ns given,
// uniqueness is known among these only. Errors are those of List.
func (c *Client) Uidl(ctx context.Context, ns ...int) ([]UID, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready("UIDL", transaction); err != nil {
		return nil, err
	}
	if len(ns) > 0 {
		return c.uidlSome(ns)
	}
	var uids []UID
	err := c.uidlAll(func(n int, id []byte, flaw Flaw) error {
		uids = append(uids, newUID(n, id, flaw))
		return nil
	})
	if err != nil {
		return nil, err
	}
	flagDuplicates(uids)
	return uids, nil
}

// UidlEach is Uidl for a maildrop of any size: it gives the ids of all messages to fn, in the server's order, and keeps
// none. id is valid during the call, and a malformed one is cut as in UID. The flaw is NoFlaw or BadID: whether an id
// comes twice is for fn to find out. An error of fn is returned when the rest of the listing has been read.
func (c *Client) UidlEach(ctx context.Context, fn func(number int, id []byte, flaw Flaw) error) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready("UIDL", transaction); err != nil {
		return err
	}
	return c.uidlAll(fn)
}

func (c *Client) uidlAll(fn func(number int, id []byte, flaw Flaw) error) error {
	if _, err := c.roundTrip("UIDL", "UIDL"); err != nil {
		return err
	}
	var seen NumberSet
	return c.readListing("UIDL", maxEntries, func(line []byte) error {
		n, id, flaw, err := parseUID(line)
		if err != nil {
			return err
		}
		if !seen.Add(n) {
			return listedTwice("UIDL", n)
		}
		return fn(n, id, flaw)
	})
}

func (c *Client) uidlSome(ns []int) ([]UID, error) {
	uids := make([]UID, 0, len(ns))
	err := c.run(batch{
		verb:    "UIDL",
		numbers: ns,
		command: func(n int) string { return "UIDL " + strconv.Itoa(n) },
		accept: func(n int, text []byte) error {
			number, id, flaw, err := parseUID(text)
			if err != nil {
				return err
			}
			if number != n {
				return badReply("UIDL", text)
			}
			uids = append(uids, newUID(n, id, flaw))
			return nil
		},
	})
	flagDuplicates(uids)
	return uids, err
}

// parseUID reads a line; id is a part of it.
func parseUID(line []byte) (number int, id []byte, flaw Flaw, err error) {
	number, id, ok := numbered(line)
	if !ok {
		return 0, nil, NoFlaw, badReply("UIDL", line)
	}
	id = bytes.TrimRight(id, " \t")
	if !validID(id) {
		return number, clip(id, maxKeptBadID), BadID, nil
	}
	return number, id, NoFlaw, nil
}

func newUID(number int, id []byte, flaw Flaw) UID {
	return UID{Number: number, ID: string(id), Flaw: flaw}
}

func validID(id []byte) bool {
	if len(id) < 1 || len(id) > 70 {
		return false
	}
	for _, b := range id {
		if b < 0x21 || b > 0x7e {
			return false
		}
	}
	return true
}

func flagDuplicates(uids []UID) {
	first := make(map[string]int, len(uids))
	for i := range uids {
		if uids[i].Flaw != NoFlaw {
			continue
		}
		j, twice := first[uids[i].ID]
		if !twice {
			first[uids[i].ID] = i
			continue
		}
		if uids[i].Number != uids[j].Number {
			uids[i].Flaw, uids[j].Flaw = DuplicateID, DuplicateID
		}
	}
}
