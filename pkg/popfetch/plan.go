package popfetch

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/mail-toolkit/mail/pkg/pop3"
)

// list asks what there is.
func (r *run) list(ctx context.Context) error {
	entries, err := r.client.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		it := &item{number: e.Number, size: e.Size, uid: pop3.UID{Number: e.Number, Flaw: pop3.BadID}}
		r.items[e.Number] = it
		r.order = append(r.order, it)
	}
	if len(entries) == 0 {
		return nil
	}
	uids, err := r.client.Uidl(ctx)
	var refused *pop3.Error
	switch {
	case errors.As(err, &refused) && !refused.Temporary(): // there are none
	case err != nil:
		return err
	}
	for _, u := range uids {
		if it := r.items[u.Number]; it != nil {
			it.uid = u
		}
	}
	return nil
}

// plan finds out what is to be fetched: what is not known, and what must be looked at to know it.
func (r *run) plan(ctx context.Context) error {
	if err := r.tops(ctx); err != nil {
		return err
	}
	unlisted := map[topKey][]*entry{}
	for _, e := range r.st.byText {
		if e.top != (digest{}) && !e.deleted {
			k := topKey{e.top, e.size}
			unlisted[k] = append(unlisted[k], e)
		}
	}
	var fetch []*item
	ids := 0 // that are known
	for _, it := range r.order {
		if id := it.id(); id != "" {
			if it.entry = r.st.byID[id]; it.entry != nil {
				ids++
			}
		} else {
			r.flawed = true
			if k := (topKey{it.top, it.size}); len(unlisted[k]) > 0 {
				it.entry, unlisted[k] = unlisted[k][0], unlisted[k][1:]
			}
		}
		if e := it.entry; e != nil {
			e.listed = true
			it.known = it.id() == "" && !r.due(e) || it.id() != "" && !e.deleted && e.size == it.size
		}
		if !it.known {
			fetch = append(fetch, it)
		}
	}
	if err := r.choose(fetch); err != nil {
		return err
	}
	if r.o.DryRun {
		return nil
	}
	if ids == 0 {
		r.suspectIDs()
	}
	return r.inventory()
}

// suspectIDs is for a listing without any id that is known: the server may have given new ones to old messages.
func (r *run) suspectIDs() {
	r.vanished = map[int64]bool{}
	for _, e := range r.st.all() {
		if !e.listed && !e.deleted {
			r.vanished[e.size] = true
		}
	}
}

// topKey knows a message without id again. It is trusted for leaving a message alone, not for deleting it.
type topKey struct {
	top  digest
	size int64
}

// tops gets the digest of the header for the messages without id, when the server has TOP.
func (r *run) tops(ctx context.Context) error {
	var numbers []int
	for _, it := range r.order {
		if it.id() == "" {
			numbers = append(numbers, it.number)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	caps, err := r.client.Caps(ctx)
	if err != nil || caps.Supported && !caps.Has("TOP") {
		return err
	}
	err = r.client.Top(ctx, numbers, 0, func(n int, _ int64, body io.Reader) (err error) {
		r.items[n].top, err = digestOf(body)
		return err
	})
	var partial *pop3.PartialError
	if errors.As(err, &partial) {
		return nil // it costs a look at the whole message
	}
	return err
}

// choose leaves out what is too large, or more than the limit allows in a dry run.
func (r *run) choose(fetch []*item) error {
	for _, it := range fetch {
		switch {
		case r.o.MaxSize <= 0 || it.size <= r.o.MaxSize:
			r.wanted = append(r.wanted, it)
		case it.entry == nil:
			if err := r.o.Event(it.event(Skipped)); err != nil {
				return err
			}
		}
	}
	if r.o.DryRun && r.o.Limit > 0 && len(r.wanted) > r.o.Limit {
		r.wanted = r.wanted[:r.o.Limit]
	}
	return nil
}

// forget drops what has left the server. Where ids cannot be trusted that is known once all messages were looked at.
func (r *run) forget() error {
	whole := !r.limited && r.refused == 0
	var gone []*entry
	for _, e := range r.st.all() {
		if !e.listed && (whole || e.id != "" && !r.flawed) {
			gone = append(gone, e)
		}
	}
	return r.st.drop(gone)
}

// inventory reads what the destination holds when the state is no witness of that.
func (r *run) inventory() error {
	if len(r.wanted) == 0 || !r.st.doubt && !r.st.fresh {
		return nil
	}
	why := r.st.why()
	if r.o.Existing == nil {
		if r.st.doubt {
			r.o.Note("%s; messages that are not known are fetched again", why)
		}
		return nil
	}
	held, err := r.holdings()
	switch {
	case err != nil:
		r.o.Note("%s, and what is stored cannot be read back: messages may be fetched again: %v", why, err)
	case len(held) > 0:
		r.o.Note("%s; new messages are compared with those that are stored", why)
	}
	if len(held) > 0 {
		r.held = held
		r.st.doubt = true // until all messages have been looked at
	}
	return nil
}

// holdings counts the messages of the destination by digest, without those that are recorded.
func (r *run) holdings() (map[digest]int, error) {
	held := map[digest]int{}
	for m, err := range r.o.Existing() {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return held, err
		}
		d, err := digestOf(m.Wire())
		if err != nil {
			return held, err
		}
		held[d]++
	}
	for _, e := range r.st.all() {
		switch held[e.digest] {
		case 0:
		case 1:
			delete(held, e.digest)
		default:
			held[e.digest]--
		}
	}
	return held, nil
}
