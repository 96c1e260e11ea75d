package popfetch

import (
	"context"
	"errors"
	"io"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
)

// fetch gets and stores what is wanted. Whatever ends it, what has come is stored and recorded.
func (r *run) fetch(ctx context.Context) (err error) {
	if len(r.wanted) == 0 {
		return local(r.forget())
	}
	if r.dst, err = r.o.Open(); err != nil {
		return local(err)
	}
	r.begin()
	err = r.retrieve(ctx)
	var ours *LocalError
	if e := r.commit(ctx); err == nil || !errors.As(err, &ours) {
		err = errors.Join(err, e)
	}
	if e := r.dst.Close(); e != nil && err == nil {
		err = local(e)
	}
	if err == nil {
		err = local(r.forget())
	}
	return err
}

func (r *run) begin() {
	if r.o.Begin == nil {
		return
	}
	n, total := len(r.wanted), int64(0)
	if r.o.Limit > 0 {
		n = min(n, r.o.Limit)
	}
	for _, it := range r.wanted[:n] {
		total += it.size
	}
	r.o.Begin(n, total)
}

// retrieve gets the messages, never more than may still be stored.
func (r *run) retrieve(ctx context.Context) error {
	for rest := r.wanted; len(rest) > 0; {
		n := len(rest)
		if r.o.Limit > 0 {
			n = min(n, r.o.Limit-r.done)
		}
		if n == 0 {
			r.limited = true
			return nil
		}
		numbers := make([]int, n)
		for i, it := range rest[:n] {
			numbers[i] = it.number
		}
		rest = rest[n:]
		err := r.client.Retr(ctx, numbers, func(n int, _ int64, body io.Reader) error {
			return r.receive(ctx, r.items[n], body)
		})
		var partial *pop3.PartialError
		if err != nil && !errors.As(err, &partial) {
			return err
		}
		if partial == nil {
			continue
		}
		for _, refusal := range partial.Refused {
			if err := r.refuse(r.items[refusal.Number], refusal.Err); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive takes one message.
func (r *run) receive(ctx context.Context, it *item, body io.Reader) error {
	d := newDigester(body, r.o.Read)
	if it.id() != "" && it.entry == nil && r.held == nil && !r.vanished[it.size] {
		return r.store(ctx, it, d, d)
	}
	sp, err := store.NewWireSpool(d)
	if err != nil {
		return r.blame(ctx, err)
	}
	defer sp.Close()
	if err := r.join(); err != nil {
		return err
	}
	if r.recognise(it, d.sum()) {
		it.octets = d.n
		r.found = append(r.found, it)
		return nil
	}
	if it.id() != "" && it.entry != nil {
		r.o.Note("message %d is another one than that which had its id %q before", it.number, it.uid.ID)
	}
	return r.store(ctx, it, sp.Wire(), d)
}

// blame tells whether our side failed.
func (r *run) blame(ctx context.Context, err error) error {
	if r.client.Conn().Err() != nil || ctx.Err() != nil {
		return err
	}
	return local(err)
}

// recognise looks for the content of a message among what is recorded, then among what is stored. When it is there, the
// item has the entry to be recorded for it.
func (r *run) recognise(it *item, sum digest) bool {
	old := it.entry
	if old == nil || old.digest != sum {
		if old = r.recorded(sum); old == nil && r.held[sum] == 0 {
			return false
		}
	}
	e := &entry{id: it.id(), at: r.o.Now(), size: it.size, digest: sum, top: it.top, listed: true}
	if old == nil {
		r.held[sum]--
	} else {
		old.listed = true
		e.at = old.at
	}
	it.old, it.entry = old, e
	return true
}

// recorded finds an entry by its content that no message of this session has, and that is not known to be deleted.
func (r *run) recorded(sum digest) *entry {
	if r.byDigest == nil {
		r.byDigest = map[digest][]*entry{}
		for _, e := range r.st.all() {
			if !e.listed && !e.deleted {
				r.byDigest[e.digest] = append(r.byDigest[e.digest], e)
			}
		}
	}
	same := r.byDigest[sum]
	if len(same) == 0 {
		return nil
	}
	r.byDigest[sum] = same[1:]
	return same[0]
}

// store puts a message, read from wire, into the batch; d has its digest then.
func (r *run) store(ctx context.Context, it *item, wire io.Reader, d *digester) error {
	err := r.dst.Add(ctx, wire, store.Meta{})
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		it.entry = nil
		return r.refuse(it, refused)
	case err != nil:
		return r.blame(ctx, err)
	}
	it.octets = d.n
	it.entry = &entry{id: it.id(), at: r.o.Now(), size: it.size, digest: d.sum(), top: it.top, listed: true}
	r.staged = append(r.staged, it)
	r.done++
	if _, octets := r.dst.Staged(); len(r.staged) >= r.o.Batch || octets >= batchOctets {
		return r.commitStaged(ctx, false)
	}
	return nil
}

// commit makes the last batch durable and records it, and what was found to be stored.
func (r *run) commit(ctx context.Context) error {
	if err := r.commitStaged(ctx, true); err != nil {
		return err
	}
	return r.commitFound()
}

// committing is a batch that becomes durable while the next one is filled.
type committing struct {
	items []*item
	names []string
	err   error
	done  chan struct{}
}

// commitStaged begins to commit what is staged, or does it where the destination cannot do so beside taking more. One
// commit is under way at a time: the state names them in their order.
func (r *run) commitStaged(ctx context.Context, last bool) error {
	if err := r.join(); err != nil {
		return err
	}
	c := &committing{items: r.staged, done: make(chan struct{})}
	if r.staged = nil; len(c.items) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // what has come is kept
	r.under = c
	d, ok := r.dst.(store.Detacher)
	if !ok || last {
		c.run(ctx, r.st, r.dst)
		return r.join()
	}
	batch := d.Detach()
	go c.run(ctx, r.st, batch)
	return nil
}

// run makes the batch durable, and records it. The state is its own until done is closed.
func (c *committing) run(ctx context.Context, st *State, batch store.Batch) {
	defer close(c.done)
	entries := entriesOf(c.items)
	if c.err = st.announce(entries); c.err != nil {
		c.err = errors.Join(c.err, batch.Close())
		return
	}
	if c.names, c.err = batch.Commit(ctx); c.err != nil {
		c.err = errors.Join(c.err, st.abort(entries))
		return
	}
	c.err = st.stored(entries)
}

// join waits for the commit under way, and tells what was stored.
func (r *run) join() error {
	c := r.under
	if c == nil {
		return nil
	}
	<-c.done
	r.under = nil
	if c.err != nil {
		return local(c.err)
	}
	for i, it := range c.items {
		it.known = true
		e := it.event(Stored)
		e.Name, e.Size = c.names[i], it.octets
		if err := r.o.Event(e); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) commitFound() error {
	items := r.found
	if r.found = nil; len(items) == 0 {
		return nil
	}
	var old []*entry
	for _, it := range items {
		if it.old != nil {
			old = append(old, it.old)
		}
	}
	if err := r.st.replace(old, entriesOf(items)); err != nil {
		return local(err)
	}
	for _, it := range items {
		it.known = true
		e := it.event(Present)
		e.Size = it.octets
		if err := r.o.Event(e); err != nil {
			return err
		}
	}
	return nil
}

func entriesOf(items []*item) []*entry {
	entries := make([]*entry, len(items))
	for i, it := range items {
		entries[i] = it.entry
	}
	return entries
}
