package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// CopyData tells where the messages of a Copy or Move went, as far as the
// server tells (UIDPLUS, RFC 4315 §3).
type CopyData struct {
	UIDValidity uint32 // of the mailbox they went to; 0 when the server told nothing
	// Source and Dest are UIDs in the same order: the n-th of the one became
	// the n-th of the other.
	Source, Dest []imapwire.Range[UID]
}

// UIDs returns the source UIDs as a set.
func (d *CopyData) UIDs() UIDSet {
	var s UIDSet
	for _, r := range d.Source {
		s.AddRange(r.Start, r.Stop)
	}
	return s
}

// Each calls f for each pair of source and destination UID.
func (d *CopyData) Each(f func(src, dst UID)) {
	next, left := 0, uint64(0)
	var dst UID
	for _, r := range d.Source {
		for n := uint64(r.Start); n <= uint64(r.Stop); n++ {
			if left == 0 {
				if next == len(d.Dest) {
					return
				}
				dst, left = d.Dest[next].Start, length(d.Dest[next])
				next++
			}
			f(UID(n), dst)
			dst++
			left--
		}
	}
}

func length(r imapwire.Range[UID]) uint64 { return uint64(r.Stop) - uint64(r.Start) + 1 }

func total(list []imapwire.Range[UID]) (n uint64) {
	for _, r := range list {
		n += length(r)
	}
	return n
}

// add takes COPYUID for a command on asked. One whose sets do not match, or that
// tells of more messages than were asked for, is as good as none.
func (d *CopyData) add(t imapwire.Text, asked UIDSet) {
	if t.Code != "COPYUID" {
		return
	}
	in := imapwire.NewTextDecoder([]byte(t.Arg))
	validity := in.NZNumber()
	in.SP()
	source := in.UIDRanges()
	in.SP()
	dest := in.UIDRanges()
	if in.End(); in.Err() != nil || total(source) != total(dest) {
		return
	}
	if d.UIDValidity != 0 && d.UIDValidity != validity {
		return
	}
	if !asked.Dynamic() && total(source) > asked.Count() {
		return
	}
	d.UIDValidity = validity
	d.Source = append(d.Source, source...)
	d.Dest = append(d.Dest, dest...)
}

// Copy copies messages into another mailbox (RFC 9051 §6.4.7): all of them, or,
// when it is an error, none of those in the same command. UIDs that do not
// exist are no error. With a long set it takes several commands; the data then
// tells what was copied before the error.
func (c *Client) Copy(ctx context.Context, set UIDSet, mailbox string) (*CopyData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState, mailbox); err != nil {
		return nil, err
	}
	return c.transfer("COPY", set, mailbox)
}

// transfer runs UID COPY or UID MOVE.
func (c *Client) transfer(verb string, set UIDSet, mailbox string) (*CopyData, error) {
	data := &CopyData{}
	err := c.eachWindow(set, func(part UIDSet) error {
		cmd := &command{label: label(map[string]string{"COPY": "copy to", "MOVE": "move to"}[verb], mailbox)}
		cmd.code = func(t imapwire.Text, tagged bool) {
			if tagged || verb == "MOVE" { // RFC 6851 §4.3 puts it into an untagged OK
				data.add(t, part)
			}
		}
		return c.run(cmd, "UID "+verb, func(e *imapwire.Encoder) {
			c.putMailbox(e.SP().UIDSet(part).SP(), mailbox)
		})
	})
	return data, err
}
