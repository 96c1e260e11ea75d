package imap

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// State is what a caller keeps of a mailbox from one session to the next.
type State struct {
	UIDValidity uint32 // generation of the UIDs; 0: nothing is known
	ModSeq      uint64 // of the last Resync, 0 when the server told none
	Known       UIDSet // the messages that the caller has
}

// ResyncOptions say how to resynchronise; nil means the defaults.
type ResyncOptions struct {
	// Write opens the mailbox by SELECT instead of EXAMINE.
	Write bool
	// Flags returns the flags that the caller has for a known message, ok false
	// when it has none. With it Changed is called only where they differ,
	// whatever the server offers. Without it a server that has no mod-sequences
	// leads to Changed for every known message.
	Flags func(UID) (flags []Flag, ok bool)
	// Labels returns the Gmail labels that the caller has for a known message,
	// ok false when it has none. With it, and a server that has labels, Changed is
	// called where they differ too. nil: they are not asked for.
	Labels func(UID) (labels []string, ok bool)
	// Changed is called for each known message whose flags have changed, in no
	// certain order, while the answer is read: it must not use the Client. Its
	// error ends the connection. nil: flags are of no interest and not asked for.
	Changed func(FlagChange) error
	// Full asks for all flags and all UIDs whatever the server says has changed:
	// a check of its mod-sequences.
	Full bool
}

// FlagChange tells of the flags that a message has now, and of its Gmail labels.
type FlagChange struct {
	UID       UID
	Flags     []Flag   // without \Recent; valid during the call
	Labels    []string // in no certain order; valid during the call
	HasLabels bool     // the server told of Labels
	ModSeq    uint64   // 0 when not told
}

// Changes are what has happened in a mailbox since a State was kept.
type Changes struct {
	// State is to be kept for the next time, once the caller has acted on the
	// rest: its Known are all messages there are, new ones too.
	State State
	// Reset is true when UIDVALIDITY is not the one known, or not told: the
	// UIDs known mean nothing any more, and every message is in New. What was
	// stored of the old generation is not gone for that (RFC 9051 §2.3.1.1).
	Reset    bool
	New      UIDSet // messages that the caller does not have
	Vanished UIDSet // messages known that are gone; empty after a Reset
	Select   *SelectData
}

// Resync opens a mailbox and tells what has changed in it since known was kept:
// what is new, what is gone and, by o.Changed, whose flags are others. The
// result is the same whatever the server offers; only the way there differs.
// With QRESYNC (RFC 7162) everything comes with SELECT, in one round trip. With
// CONDSTORE the changed flags are asked for by mod-sequence and the UIDs by
// search; else all flags are fetched and compared. The mailbox stays selected.
//
// What the server says by QRESYNC is checked against the number of messages it
// counts, and asked for again by a search where it does not fit.
func (c *Client) Resync(ctx context.Context, mailbox string, known State, o *ResyncOptions) (*Changes, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return nil, err
	}
	r := &resyncer{c: c, known: known}
	if o != nil {
		r.o = *o
	}
	if r.known.UIDValidity == 0 {
		r.known = State{}
	}
	ch, err := r.run(mailbox)
	if r.err != nil {
		return nil, r.err
	}
	return ch, err
}

// resyncer is one Resync.
type resyncer struct {
	c     *Client
	o     ResyncOptions
	known State
	sel   *SelectData
	err   error // of Changed
	msg   Message
	told  seen // whose flags have been told
}

// qresync are the arguments of SELECT that bring the changes, and the changes.
type qresync struct {
	r     *resyncer
	gone  UIDSet
	extra seen // told of by FETCH, and not known
}

func (q *qresync) args(e *imapwire.Encoder) {
	k := q.r.known
	e.SP().Raw("(QRESYNC (").Number(uint64(k.UIDValidity)).SP().Number(k.ModSeq)
	if text := k.Known.String(); text != "" && len(text) <= maxSetText {
		e.SP().UIDSet(k.Known)
	}
	e.Raw("))")
}

func (q *qresync) vanish(set UIDSet, earlier bool) {
	if earlier {
		q.gone.AddSet(set)
	}
}

// dataWith takes the responses of SELECT with QRESYNC.
func (q *qresync) dataWith(s *SelectData) func(imapwire.Response, *imapwire.Decoder) bool {
	return func(r imapwire.Response, d *imapwire.Decoder) bool {
		if !isFetch(r) {
			return s.data(r, d)
		}
		if s.UIDValidity != q.r.known.UIDValidity {
			d.SkipRest()
			return true
		}
		if uid := q.r.flags(r, d); uid != 0 && !q.r.known.Known.Contains(uid) {
			q.extra.add(uid)
		}
		return true
	}
}

func (r *resyncer) run(mailbox string) (*Changes, error) {
	verb := "EXAMINE"
	if r.o.Write {
		verb = "SELECT"
	}
	if r.quickly() {
		ch, err := r.quick(verb, mailbox)
		var refused *Error
		if ch != nil || err != nil && (!errors.As(err, &refused) || refused.Status != "BAD") {
			return ch, err
		}
	}
	return r.slow(verb, mailbox)
}

// modseqs reports whether what has changed can be asked for by mod-sequence.
func (r *resyncer) modseqs() bool { return r.known.ModSeq > 0 && !r.o.Full && r.c.has("CONDSTORE") }

// quickly reports whether QRESYNC brings the changes. Of labels it tells nothing.
func (r *resyncer) quickly() bool {
	return r.known.ModSeq > 0 && !r.o.Full && r.c.has("QRESYNC") && r.c.has("ENABLE") && !r.labels()
}

// labels reports whether labels are asked for.
func (r *resyncer) labels() bool { return r.o.Labels != nil && r.c.has(gmailExt) }

// quick uses QRESYNC. Without an error and without changes, what the server said
// does not add up.
func (r *resyncer) quick(verb, mailbox string) (*Changes, error) {
	c := r.c
	enable, err := c.sendEnable([]string{"QRESYNC"})
	if err != nil {
		return nil, err
	}
	if enable != nil {
		enable.later = true
	}
	q := &qresync{r: r}
	sel, cmd, err := c.sendOpen(verb, mailbox, &SelectOptions{qresync: q})
	if err == nil {
		err = c.opened(sel, cmd)
	}
	if err != nil {
		return nil, err
	}
	r.sel = sel
	if sel.UIDValidity != r.known.UIDValidity || sel.HighestModSeq == 0 {
		return nil, nil
	}
	left := r.known.Known.Minus(q.gone)
	if left.Count()+q.extra.set().Count() != uint64(sel.Exists) {
		return nil, nil
	}
	present := left.Clone()
	present.AddSet(q.extra.set())
	return r.changes(present), nil
}

// slow asks for all UIDs, and for flags as far as that is needed. Where the
// mailbox is open already, it is not opened again.
func (r *resyncer) slow(verb, mailbox string) (*Changes, error) {
	c := r.c
	if r.sel == nil {
		sel, cmd, err := c.sendOpen(verb, mailbox, &SelectOptions{CondStore: true})
		if err != nil {
			return nil, err
		}
		if err := c.opened(sel, cmd); err != nil {
			return nil, err
		}
		r.sel = sel
	}
	var present UIDSet
	if r.sel.Exists > 0 {
		var err error
		if present, err = c.searchUIDs(nil); err != nil {
			return nil, err
		}
	}
	ch := r.changes(present)
	if ch.Reset || r.o.Changed == nil {
		return ch, nil
	}
	kept := r.known.Known.Minus(ch.Vanished)
	since := r.known.ModSeq
	switch {
	case kept.Empty():
	case since == 0 || r.sel.HighestModSeq == 0 || r.o.Full:
		return ch, r.fetchFlags(kept, 0)
	case r.sel.HighestModSeq != since:
		return ch, r.fetchFlags(kept, since)
	}
	return ch, nil
}

// changes compares what is there with what is known.
func (r *resyncer) changes(present UIDSet) *Changes {
	s := r.sel
	ch := &Changes{Select: s, State: State{UIDValidity: s.UIDValidity, ModSeq: s.HighestModSeq, Known: present}}
	if s.UIDValidity == 0 || s.UIDValidity != r.known.UIDValidity {
		ch.Reset, ch.New = r.known.UIDValidity != 0 || s.UIDValidity == 0, present.Clone()
		return ch
	}
	ch.New = present.Minus(r.known.Known)
	ch.Vanished = r.known.Known.Minus(present)
	return ch
}

// fetchFlags asks for the flags of messages, of those changed since a
// mod-sequence only unless that is 0.
func (r *resyncer) fetchFlags(set UIDSet, since uint64) error {
	c := r.c
	parts, err := c.windows(set)
	if err != nil {
		return err
	}
	send := func(i int) (*command, error) {
		cmd := &command{label: "fetch", data: func(resp imapwire.Response, d *imapwire.Decoder) bool {
			if !isFetch(resp) {
				return false
			}
			r.flags(resp, d)
			return true
		}}
		return cmd, c.send(cmd, "UID FETCH", r.flagsArgs(parts[i], since))
	}
	return c.pipeline(len(parts), min(c.depth, fetchDepth), send, func(_ int, err error) error { return err })
}

// flagsArgs writes what fetchFlags asks for of one part.
func (r *resyncer) flagsArgs(part UIDSet, since uint64) func(*imapwire.Encoder) {
	return func(e *imapwire.Encoder) {
		e.SP().UIDSet(part).SP().Raw("(UID FLAGS")
		if r.labels() {
			e.Raw(" X-GM-LABELS")
		}
		e.Raw(")")
		if since > 0 {
			e.SP().Raw("(CHANGEDSINCE ").Number(since).Raw(")")
		}
	}
}

// flags reads a FETCH response and passes a change on. It returns whose it is, 0
// when that was not told.
func (r *resyncer) flags(resp imapwire.Response, d *imapwire.Decoder) UID {
	m := &r.msg
	m.readAll(resp, d)
	if d.Err() != nil || !m.got.has(itemUID) {
		return 0
	}
	return r.note(m)
}

// note passes a change of flags or labels on, and returns whose it is.
func (r *resyncer) note(m *Message) UID {
	if r.o.Changed == nil || !m.got.has(itemFlags) || !r.known.Known.Contains(m.UID) || r.told.contains(m.UID) || r.err != nil {
		return m.UID
	}
	now := FlagChange{UID: m.UID, Flags: withoutRecent(m.Flags), Labels: m.Labels, HasLabels: m.got.has(itemLabels), ModSeq: m.ModSeq}
	if r.o.Flags != nil && r.same(&now) {
		return m.UID
	}
	r.told.add(m.UID)
	r.c.busy = true
	r.err = r.o.Changed(now)
	r.c.busy = false
	if r.err != nil {
		r.c.conn.Fail(r.err)
	}
	return m.UID
}

// same reports whether the caller knows it all.
func (r *resyncer) same(now *FlagChange) bool {
	before, ok := r.o.Flags(now.UID)
	if !ok || !sameFlags(before, now.Flags) {
		return false
	}
	if !now.HasLabels || r.o.Labels == nil {
		return true
	}
	labels, ok := r.o.Labels(now.UID)
	return ok && (slices.Equal(labels, now.Labels) || slices.Equal(slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(now.Labels))))
}

// withoutRecent drops \Recent, in place.
func withoutRecent(flags []Flag) []Flag {
	out := flags[:0]
	for _, f := range flags {
		if f != imapwire.FlagRecent {
			out = append(out, f)
		}
	}
	return out
}

// sameFlags compares two sets of flags, without \Recent.
func sameFlags(a, b []Flag) bool {
	if slices.Equal(a, b) {
		return true
	}
	return slices.Equal(sortedFlags(a), sortedFlags(b))
}

func sortedFlags(flags []Flag) []string {
	var names []string
	for _, f := range flags {
		if !f.Equal(imapwire.FlagRecent) {
			names = append(names, strings.ToLower(string(f)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
