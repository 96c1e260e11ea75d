package backup

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// partMessages is how many messages of the backup are compared with those of a server at
// once.
const partMessages = 10_000

// compare finds out what is there already. It goes through the backup in parts, divided
// so that messages of the same octets are in the same part: what pairs with one of them
// is left for no other part.
func (b *restoring) compare(ctx context.Context) (err error) {
	if b.sel.Exists == 0 || len(b.refs) == 0 {
		return nil
	}
	c := &comparison{b: b}
	defer func() { err = errors.Join(err, c.locals.close(), c.there.close()) }()
	if err := c.recognise(ctx); err != nil {
		return err
	}
	if err := listMailbox(ctx, b.link.c, &c.there); err != nil {
		return err
	}
	c.parts = uint64(1 + c.locals.n/b.rs.part())
	if err := c.dispute(); err != nil {
		return err
	}
	for part := range c.parts {
		if err := c.compare(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// part is how many messages are compared at once.
func (rs *restorer) part() int { return cmp.Or(rs.o.part, partMessages) }

// comparison compares the messages of a mailbox with those of its place on the server.
type comparison struct {
	b        *restoring
	parts    uint64
	locals   spool[local] // that can be restored
	there    spool[listed]
	disputed keys
	wholes   []wholeProof // of messages there that some part had to fetch, by UID

	list []local  // of a part
	here []remote // the same
}

// wholeProof is the proof of all of a message on the server.
type wholeProof struct {
	uid imap.UID
	proof
}

func compareUIDs(a, b wholeProof) int { return cmp.Compare(a.uid, b.uid) }

// recognise reads the messages of the backup.
func (c *comparison) recognise(ctx context.Context) error {
	for i, at := range c.b.refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.b.fates[i] == merged || c.b.fates[i] == refused {
			continue
		}
		m, err := c.b.rs.x.message(at)
		if err != nil {
			return err
		}
		l, err := c.b.rs.r.recognise(m)
		if err != nil {
			continue // it is refused when it is to be appended
		}
		l.at = uint32(i)
		if err := c.locals.add(l); err != nil {
			return err
		}
	}
	return nil
}

// some returns the messages of the backup that are in a part by a key. They are valid
// until the next call.
func (c *comparison) some(part uint64, key func(*local) uint64) (list []local, err error) {
	list = c.list[:0]
	for l, err := range c.locals.all() {
		if err != nil {
			return nil, err
		}
		if key(&l)%c.parts == part {
			list = append(list, l)
		}
	}
	c.list = list
	return list, nil
}

// dispute finds the claims that different messages make, in whatever parts.
func (c *comparison) dispute() error {
	for part := range c.parts {
		list, err := c.some(part, (*local).claim)
		if err != nil {
			return err
		}
		c.disputed = append(c.disputed, disputes(list)...)
	}
	slices.Sort(c.disputed)
	return nil
}

// compare compares one part.
func (c *comparison) compare(ctx context.Context, part uint64) error {
	locals, err := c.some(part, func(l *local) uint64 { return l.whole.key() })
	if err != nil || len(locals) == 0 {
		return err
	}
	s, l := newSuspects(locals, c.disputed), &census{c: c.b.link.c, here: c.here[:0]}
	for r, err := range c.there.all() {
		if err != nil {
			return err
		}
		one := remote{listed: r}
		if i, ok := slices.BinarySearchFunc(c.wholes, wholeProof{uid: r.uid}, compareUIDs); ok {
			one.proof, one.by = c.wholes[i].proof, byWhole
			if one.proof.key()%c.parts != part {
				continue
			}
		} else if s.needs(&r) == byNothing {
			continue
		}
		l.here = append(l.here, one)
	}
	c.here = l.here
	slices.SortFunc(l.here, func(a, b remote) int { return cmp.Compare(a.uid, b.uid) })
	if err := l.prove(ctx, s); err != nil {
		return err
	}
	for i := range l.here {
		if r := &l.here[i]; r.by == byWhole {
			c.wholes = append(c.wholes, wholeProof{r.uid, r.proof})
		}
	}
	slices.SortFunc(c.wholes, compareUIDs)
	c.wholes = slices.CompactFunc(c.wholes, func(a, b wholeProof) bool { return a.uid == b.uid })
	c.b.pair(newMatcher(l), locals)
	return nil
}

// pair pairs messages with those there: first those that are known to be there, and
// those with the same date.
func (b *restoring) pair(m *matcher, locals []local) {
	paired := make([]bool, len(locals))
	for _, known := range [...]bool{true, false} {
		for _, dated := range [...]bool{true, false} {
			for n := range locals {
				i := int(locals[n].at)
				if paired[n] || (b.fates[i] == todo) == known {
					continue
				}
				r := m.match(&locals[n], dated)
				if paired[n] = r != nil; r != nil && b.fates[i] == todo {
					b.fates[i] = present
					b.wantLabels(i, r.uid)
				}
			}
		}
	}
}
