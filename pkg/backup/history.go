package backup

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// ChangeKind is what has become of a message from one snapshot to another.
type ChangeKind string

// The kinds of changes.
const (
	ChangeAdded   ChangeKind = "added"
	ChangeRemoved ChangeKind = "removed"
	ChangeFlags   ChangeKind = "flags" // other flags or labels
)

// Change is a difference between two snapshots.
type Change struct {
	Kind    ChangeKind
	Message *Message // as it was in the second; of ChangeRemoved, in the first
	Before  *Message // ChangeFlags: as it was in the first; else nil
}

// Diff yields what differs between two snapshots, see [Repo.Mailboxes] for a and b,
// by mailbox. A message that has another UID in the second, because the server
// numbered the mailbox anew, is the same message.
func (r *Repo) Diff(a, b string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d, err := r.compare(a, b)
		if err != nil {
			yield(Change{}, err)
			return
		}
		for _, p := range d.pairs() {
			c, err := d.change(p)
			if !yield(c, err) || err != nil {
				return
			}
		}
		if d.damage != nil {
			yield(Change{}, d.damage)
		}
	}
}

// differ compares two places in the manifest.
type differ struct {
	x      *index
	early  []uint32 // the states of the entries at the earlier one; goneBit also where the mailbox was gone
	back   bool     // the first place asked for is the later one
	damage error
}

// pair is a message at the earlier and at the later place, noRef where it is missing.
type pair struct{ early, late ref }

const noRef = ^ref(0)

// at is the first of the two.
func (p pair) at() ref { return min(p.early, p.late) }

func (d *differ) entry(p pair) *entry { return d.x.entries.at(p.at()) }

// compare reads the manifest up to the later of two places, with a stop at the other.
func (r *Repo) compare(a, b string) (*differ, error) {
	from, err := r.endOf(a)
	if err != nil {
		return nil, err
	}
	to, err := r.endOf(b)
	if err != nil {
		return nil, err
	}
	d := &differ{x: newIndex(r.log), back: from > to}
	if d.back {
		from, to = to, from
	}
	if !r.write {
		r.tip = nil // not two at once
	}
	d.x.reserve(to)
	if err := d.x.replay(r.log.f, 0, from); err != nil {
		return nil, err
	}
	d.early = make([]uint32, d.x.entries.n)
	for i := range d.early {
		d.early[i] = d.x.stateOf(ref(i))
	}
	if bad := r.seen.damage; bad != nil && bad.First <= to {
		d.damage = bad
	}
	return d, d.x.replay(r.log.f, from, to)
}

// stateOf returns the state of an entry, with goneBit also if its mailbox is gone.
func (x *index) stateOf(i ref) uint32 {
	e := x.entries.at(i)
	if !x.boxes[e.box].present {
		return e.state | goneBit
	}
	return e.state
}

// pairs returns what differs, by mailbox and place in the manifest.
func (d *differ) pairs() []pair {
	n := 0
	for i := range ref(d.x.entries.n) {
		if _, ok := d.changed(i); ok {
			n++
		}
	}
	list := make([]pair, 0, n)
	for i := range ref(d.x.entries.n) {
		if p, ok := d.changed(i); ok {
			list = append(list, p)
		}
	}
	d.join(list)
	list = slices.DeleteFunc(list, func(p pair) bool {
		return p.late == noRef && p.early == noRef || p.late != noRef && p.early != noRef && d.early[p.early] == d.x.stateOf(p.late)
	})
	rank := map[uint32]int{}
	for n, box := range d.x.boxNumbers(true) {
		rank[box] = n
	}
	slices.SortFunc(list, func(p, q pair) int {
		return cmp.Or(cmp.Compare(rank[d.entry(p).box], rank[d.entry(q).box]), cmp.Compare(p.at(), q.at()))
	})
	return list
}

// changed says at which of the places an entry is present. ok reports whether it is not
// the same at both.
func (d *differ) changed(i ref) (p pair, ok bool) {
	before, after := uint32(goneBit), d.x.stateOf(i)
	if int(i) < len(d.early) {
		before = d.early[i]
	}
	p = pair{noRef, noRef}
	if before&goneBit == 0 {
		p.early = i
	}
	if after&goneBit == 0 {
		p.late = i
	}
	return p, p.early != p.late || p.early != noRef && before != after
}

// join makes one pair of each message that went and of the next of its mailbox with
// its digest that came, and leaves the pair of that one empty. It sorts the list.
func (d *differ) join(list []pair) {
	same := func(p, q pair) int {
		a, b := d.entry(p), d.entry(q)
		return cmp.Or(cmp.Compare(a.box, b.box), cmp.Compare(a.digest, b.digest))
	}
	slices.SortFunc(list, func(p, q pair) int { return cmp.Or(same(p, q), cmp.Compare(p.at(), q.at())) })
	for len(list) > 0 {
		n := 1
		for n < len(list) && same(list[0], list[n]) == 0 {
			n++
		}
		joinAlike(list[:n])
		list = list[n:]
	}
}

// joinAlike is join for messages of one mailbox and digest, in the order of the
// manifest.
func joinAlike(list []pair) {
	went := 0 // the first that may be joined
	for i, p := range list {
		if p.early != noRef {
			continue
		}
		for went < i && (list[went].early == noRef || list[went].late != noRef) {
			went++
		}
		if went < i {
			list[went].late, list[i].late = p.late, noRef
		}
	}
}

// change tells of a pair.
func (d *differ) change(p pair) (c Change, err error) {
	var early, late *Message
	if p.early != noRef {
		early, err = d.x.messageWith(p.early, d.early[p.early]&^goneBit)
	}
	if p.late != noRef && err == nil {
		late, err = d.x.message(p.late)
	}
	if d.back {
		early, late = late, early
	}
	switch {
	case err != nil:
		return Change{}, err
	case late == nil:
		return Change{Kind: ChangeRemoved, Message: early}, nil
	case early == nil:
		return Change{Kind: ChangeAdded, Message: late}, nil
	}
	return Change{Kind: ChangeFlags, Message: late, Before: early}, nil
}

// ForgetPolicy says which snapshots to keep, as restic's options of these names do:
// a snapshot that any of them keeps is kept. Of each hour, day and so on the last
// snapshot counts, and hours without any do not count; -1 keeps all of them. When
// there are fewer than asked for, the oldest snapshot is kept too. With all zero
// every snapshot is kept.
type ForgetPolicy struct {
	KeepLast    int
	KeepHourly  int
	KeepDaily   int
	KeepWeekly  int // ISO weeks
	KeepMonthly int
	KeepYearly  int
	KeepWithin  time.Duration // keeps what is at most so much older than the newest one
	IDs         []string      // are forgotten in any case
}

// rules returns the counts with what tells the hour, day and so on of a snapshot.
func (p *ForgetPolicy) rules() []forgetRule {
	layout := func(l string) func(time.Time, int) string {
		return func(t time.Time, _ int) string { return t.Format(l) }
	}
	return []forgetRule{
		{p.KeepLast, func(_ time.Time, n int) string { return fmt.Sprint(n) }, ""},
		{p.KeepHourly, layout("2006-01-02T15"), ""},
		{p.KeepDaily, layout("2006-01-02"), ""},
		{p.KeepWeekly, func(t time.Time, _ int) string { y, w := t.ISOWeek(); return fmt.Sprint(y, w) }, ""},
		{p.KeepMonthly, layout("2006-01"), ""},
		{p.KeepYearly, layout("2006"), ""},
	}
}

// forgetRule keeps one snapshot of each of the newest so many periods.
type forgetRule struct {
	left   int
	period func(t time.Time, n int) string
	last   string
}

// keeps reports whether the rule keeps the snapshot number n, of which t is the time;
// they come newest first.
func (f *forgetRule) keeps(t time.Time, n int, oldest bool) bool {
	if f.left == 0 {
		return false
	}
	period := f.period(t, n)
	if period == f.last && !oldest {
		return false
	}
	f.last = period
	if f.left > 0 {
		f.left--
	}
	return true
}

// apply divides snapshots, oldest first, into those to keep and the others.
func (p *ForgetPolicy) apply(list []Snapshot) (keep, remove []Snapshot) {
	rules := p.rules()
	if p.KeepWithin <= 0 && !slices.ContainsFunc(rules, func(f forgetRule) bool { return f.left != 0 }) {
		return list, nil
	}
	byTime := slices.Clone(list)
	slices.Reverse(byTime) // of the same second, the newest comes first too
	slices.SortStableFunc(byTime, func(a, b Snapshot) int { return b.Time.Compare(a.Time) })
	for n, s := range byTime {
		kept := p.KeepWithin > 0 && s.Time.After(byTime[0].Time.Add(-p.KeepWithin))
		for i := range rules {
			if rules[i].keeps(s.Time, n, n == len(byTime)-1) {
				kept = true
			}
		}
		if kept {
			keep = append(keep, s)
		} else {
			remove = append(remove, s)
		}
	}
	slices.Reverse(keep)
	slices.Reverse(remove)
	return keep, remove
}

// Forget forgets snapshots, and returns those that are left and those that were
// forgotten, oldest first; with dryRun it only tells. Files go with [Repo.Prune].
// What IDs names and is not there is an fs.ErrNotExist; then nothing is forgotten.
func (r *Repo) Forget(p ForgetPolicy, dryRun bool) (kept, removed []Snapshot, err error) {
	named := map[string]bool{}
	for _, id := range p.IDs {
		s, err := r.snapshot(id)
		if err != nil {
			return nil, nil, err
		}
		named[s.ID] = true
	}
	var rest []Snapshot
	for _, s := range r.Snapshots() {
		if named[s.ID] {
			removed = append(removed, s)
		} else {
			rest = append(rest, s)
		}
	}
	kept, more := p.apply(rest)
	removed = append(removed, more...)
	slices.SortStableFunc(removed, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	if dryRun || len(removed) == 0 {
		return kept, removed, nil
	}
	c, err := r.record()
	if err != nil {
		return nil, nil, err
	}
	for _, s := range removed {
		if err := c.forget(s.ID); err != nil {
			return nil, nil, err
		}
	}
	return kept, removed, c.commit()
}

// forget tells that a snapshot is of no interest any more.
func (c *recorder) forget(id string) error {
	err := c.append(func(w *lineWriter) {
		start := w.begin(kindForget)
		w.text("id", id)
		w.end(start)
	})
	if err == nil {
		c.r.seen.snaps = slices.DeleteFunc(c.r.seen.snaps, func(m snapMark) bool { return m.ID == id })
	}
	return err
}
