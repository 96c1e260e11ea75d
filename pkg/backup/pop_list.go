package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
)

// digestID begins what stands for the unique id of a message that has none: its
// digest.
const digestID = "sha256:"

// popPage is some messages that are to be fetched.
type popPage struct {
	numbers []int
	ids     []byte   // the unique ids, one behind the other
	ends    []uint32 // where each ends; one that begins there too cannot be used
}

// popPages are messages that are to be fetched.
type popPages []*popPage

const (
	popPageMessages = 4096
	popPageIDs      = popPageMessages * 24 // octets; a unique id has at most 70
)

// add takes in a message; without an id that can be used, uidl is empty.
func (l *popPages) add(number int, uidl []byte) {
	var page *popPage
	if n := len(*l); n > 0 {
		page = (*l)[n-1]
	}
	if page == nil || len(page.numbers) == popPageMessages || len(page.ids)+len(uidl) > popPageIDs {
		page = &popPage{ids: make([]byte, 0, popPageIDs), numbers: make([]int, 0, popPageMessages), ends: make([]uint32, 0, popPageMessages)}
		*l = append(*l, page)
	}
	page.numbers = append(page.numbers, number)
	page.ids = append(page.ids, uidl...)
	page.ends = append(page.ends, uint32(len(page.ids)))
}

// uidl returns the unique id of a message of the page, "" for none that can be used.
func (g *popPage) uidl(i int) string {
	start := uint32(0)
	if i > 0 {
		start = g.ends[i-1]
	}
	return string(g.ids[start:g.ends[i]])
}

// all yields the numbers with the unique ids.
func (l popPages) all() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for _, page := range l {
			for i, n := range page.numbers {
				if !yield(n, page.uidl(i)) {
					return
				}
			}
		}
	}
}

// total counts the messages and their octets, as c has listed them.
func (l popPages) total(c *pop3.Client) (count int, octets int64) {
	for _, page := range l {
		count += len(page.numbers)
		for _, n := range page.numbers {
			size, _ := c.Size(n)
			octets += size
		}
	}
	return count, octets
}

// without leaves out messages with ids that are known by the keys given, which are
// sorted.
func (l popPages) without(oids []uint64) (rest popPages) {
	for n, uidl := range l.all() {
		oid, _ := uidlKey(uidl)
		if _, found := slices.BinarySearch(oids, oid); !found {
			rest.add(n, []byte(uidl))
		}
	}
	return rest
}

// popRow is a message that has a unique id.
type popRow struct {
	oid    uint64 // what the index knows the id by
	number uint32
}

func compareRows(a, b popRow) int { return cmp.Compare(a.oid, b.oid) }

// unique sorts rows by their ids, and takes out the messages that share theirs. What
// these are known by is returned beside the others.
func unique(rows []popRow) (rest []popRow, shared []uint64) {
	slices.SortFunc(rows, compareRows)
	rest = rows[:0]
	for i := 0; i < len(rows); {
		oid, n := rows[i].oid, 1
		for i+n < len(rows) && rows[i+n].oid == oid {
			n++
		}
		if n > 1 {
			shared = append(shared, oid)
		} else {
			rest = append(rest, rows[i])
		}
		i += n
	}
	return rest, shared
}

// list asks what is there, and finds what has to be fetched.
func (p *popRun) list(ctx context.Context, c *pop3.Client) error {
	p.wanted, p.listed, p.nameless, p.named = nil, nil, map[store.Digest]int{}, idSet{}
	count, err := c.Scan(ctx)
	if err != nil {
		return err
	}
	p.box.receipt.Server = count
	rows := make([]popRow, 0, count)
	err = c.UidlEach(ctx, func(n int, uidl []byte, flaw pop3.Flaw) error {
		if flaw != pop3.NoFlaw || bytes.HasPrefix(uidl, []byte(digestID)) {
			return nil
		}
		oid, _ := uidlKey(string(uidl))
		rows = append(rows, popRow{oid, uint32(n)})
		if _, there := c.Size(n); there && !p.has(oid) {
			p.wanted.add(n, uidl)
		}
		return nil
	})
	var refused *pop3.Error
	if err != nil && !errors.As(err, &refused) { // without UIDL all are known by their octets
		return err
	}
	listed, shared := unique(rows)
	if p.listed = listed; len(shared) > 0 {
		p.wanted = p.wanted.without(shared)
	}
	var withID pop3.NumberSet
	for _, row := range listed {
		withID.Add(int(row.number))
	}
	for e := range c.Listed() {
		if !withID.Has(e.Number) {
			p.wanted.add(e.Number, nil)
		}
	}
	return nil
}

// gone yields the unique ids that the server has no more. Those made of digests are
// known once all is fetched only. It looks messages up as the index does, which may
// have no more than a hash of the id (see [Repo.Repair]).
func (p *popRun) gone() iter.Seq2[string, error] {
	return p.absent(func(oid uint64) bool {
		_, there := slices.BinarySearchFunc(p.listed, popRow{oid: oid}, compareRows)
		return there
	}, false)
}

// anyGone reports whether gone yields any.
func (p *popRun) anyGone() (bool, error) {
	for _, err := range p.gone() {
		return true, err
	}
	return false, nil
}

// goneNameless yields what stands for the unique ids of messages without one that did
// not come again.
func (p *popRun) goneNameless() iter.Seq2[string, error] {
	return p.absent(func(oid uint64) bool { _, there := p.named[oid]; return there }, true)
}

// absent yields the unique ids of messages that are not there any more, either those
// made of digests or the others.
func (p *popRun) absent(there func(oid uint64) bool, digests bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for at := range p.index.present(p.box.id) {
			if there(p.index.oidOf(at)) {
				continue
			}
			m, err := p.index.message(at)
			if err != nil {
				yield("", err)
				return
			}
			if strings.HasPrefix(m.UIDL, digestID) == digests && !yield(m.UIDL, nil) {
				return
			}
		}
	}
}

// has reports whether a message with a unique id, by what that is known by, is stored
// or has come.
func (p *popRun) has(oid uint64) bool {
	_, seen := p.seen[oid]
	return seen || p.stored(oid)
}

// stored reports whether the index has a message of the maildrop.
func (p *popRun) stored(oid uint64) bool {
	p.index.mu.RLock()
	defer p.index.mu.RUnlock()
	_, ok := p.index.find(p.box.id, uint32(oid), oid)
	return ok
}
