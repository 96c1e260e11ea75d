package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// How often something is tried that brings nothing, and the pause before each time.
const maxTries = 5

var pauses = [maxTries + 1]time.Duration{0, 0, 100 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second}

// startWorkers begins to work with the first connection. Others are added when
// there is enough to do.
func (f *fetching) startWorkers(ctx context.Context, client *imap.Client) {
	f.mu.Lock()
	f.workers, f.alive = 1, 1
	f.mu.Unlock()
	f.jobs.onPush = func() { f.grow(ctx) }
	f.group.Go(func() { f.worker(ctx, client) })
	f.grow(ctx)
}

// grow adds connections as far as they are worth it.
func (f *fetching) grow(ctx context.Context) {
	size := f.jobs.waiting()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.alive > 0 && f.workers < f.o.Connections && size > int64(f.workers)*dialOctets {
		f.workers++
		f.alive++
		f.group.Go(func() { f.worker(ctx, nil) })
	}
}

// worker does jobs until there are none, over one connection at a time.
func (f *fetching) worker(ctx context.Context, c *imap.Client) {
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	var failure error // of the last connection
	for failed := 0; f.jobs.wait() && ctx.Err() == nil; {
		if err := f.pause(ctx, pauses[min(failed, maxTries)], failure); err != nil {
			f.give(err)
			return
		}
		if c == nil {
			var err error
			if c, err = f.o.Dial(ctx); err != nil {
				failed++
				failure = err
				if f.hopeless(err, failed) {
					f.give(err)
					return
				}
				f.slowDown(err, failed)
				continue
			}
		}
		h := &visitHandler{f: f, ctx: ctx, c: c}
		err := h.visit()
		if err == nil && c.Err() == nil {
			failed, failure = 0, nil
			continue
		}
		if h.progress {
			failed = 0
		}
		failed++
		_ = c.Close()
		c, failure = nil, cmpErr(err, errors.New("the connection ended"))
		if ctx.Err() != nil {
			break
		}
		var budget *BudgetError
		if errors.As(failure, &budget) || failed > maxTries {
			f.give(failure)
			return
		}
		f.slowDown(failure, 0)
	}
	f.give(ctx.Err())
}

// hopeless tells if there is no use in dialling again. Another connection than the
// first is not needed that much.
func (f *fetching) hopeless(err error, failed int) bool {
	f.mu.Lock()
	others := f.alive > 1
	f.mu.Unlock()
	var refused *imap.Error
	if errors.As(err, &refused) && !refused.Temporary() {
		return true
	}
	return failed > maxTries || others
}

// give ends a worker. With the last one all that is left ends.
func (f *fetching) give(err error) {
	f.mu.Lock()
	f.alive--
	last := f.alive == 0
	if last && f.unstored == nil {
		f.unstored = err
	}
	f.mu.Unlock()
	var budget *BudgetError
	if last || errors.As(err, &budget) {
		f.jobs.end()
	}
}

// pause waits until the server may be asked again.
func (f *fetching) pause(ctx context.Context, d time.Duration, why error) error {
	f.mu.Lock()
	wait := max(time.Until(f.until), d)
	f.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	f.event(Event{Kind: EventWait, Wait: wait, Err: why})
	return f.o.sleep(ctx, wait)
}

// slowDown makes all connections pause as a refusal asks for. It reports false when
// the run may not wait so long: nothing more is fetched then.
func (f *fetching) slowDown(err error, tries int) bool {
	var refused *imap.Error
	if !errors.As(err, &refused) || !refused.Temporary() {
		return true
	}
	wait := max(refused.RetryAfter(), pauses[min(tries+2, maxTries)])
	f.mu.Lock()
	defer f.mu.Unlock()
	until := time.Now().Add(wait)
	if !until.After(f.until) {
		return true
	}
	more := wait - max(time.Until(f.until), 0)
	if f.o.MaxWait < 0 || f.waited+more > f.o.MaxWait {
		f.unstored = err
		f.jobs.end()
		return false
	}
	f.waited += more
	f.until = until
	return true
}

// visitHandler is one VisitAll.
type visitHandler struct {
	f        *fetching
	ctx      context.Context
	c        *imap.Client
	jobs     []*job // nil: done
	doubts   []*job // jobExist: not all of it was told of
	last     *boxRun
	room     int64
	progress bool
}

// visit takes some work and does it. What is not done is handed back.
func (h *visitHandler) visit() error {
	f := h.f
	f.mu.Lock()
	workers := f.workers
	f.mu.Unlock()
	h.room = f.jobs.share(workers)
	err := h.c.VisitAll(h.ctx, h.visits, h)
	for _, j := range h.doubts {
		h.settle(j, err)
	}
	first := true
	for i, j := range h.jobs {
		if j == nil {
			continue
		}
		h.jobs[i] = nil
		f.handBack(j, first && !h.progress, err)
		first = false
	}
	return err
}

// visits takes work as there is room for it.
func (h *visitHandler) visits(yield func(imap.Visit) bool) {
	for len(h.jobs) < maxPipelined {
		room := h.room
		if len(h.jobs) == 0 {
			room = 1 << 62
		}
		j := h.f.jobs.take(h.last, room)
		if j == nil {
			return
		}
		h.room -= j.weight()
		h.last = j.box
		h.jobs = append(h.jobs, j)
		if !yield(h.f.visitOf(j)) {
			return
		}
	}
}

// visitOf is what is asked for a job.
func (f *fetching) visitOf(j *job) imap.Visit {
	b := j.box
	f.mu.Lock()
	defer f.mu.Unlock()
	v := imap.Visit{Mailbox: b.m.Name, Known: imap.State{UIDValidity: b.v}}
	facts := imap.FetchOptions{Flags: true, InternalDate: true, Size: true, ObjectID: true, Gmail: true}
	switch j.kind {
	case jobLook:
		v.Items = imap.FetchOptions{Size: true}
		if f.byIDs || b.recog != nil || !f.taken.none(b) {
			v.Items = facts
		}
	case jobHeaders:
		v.Items = facts
		v.Items.Sections = []imap.Section{{Spec: "HEADER"}}
	case jobExist:
	default:
		v.Items = facts
		v.Items.Sections = []imap.Section{{}}
	}
	if j.kind != jobWhole && j.kind != jobLook {
		v.Set = j.set
		return v
	}
	v.Known.ModSeq, v.Known.Known = b.modSeq, b.known.Clone()
	if !b.got.Empty() {
		v.Known.Known.AddSet(b.got)
	}
	v.Full = f.full
	v.Flags = func(uid imap.UID) ([]imap.Flag, bool) { return f.index.flags(b.id, uint32(uid)) }
	v.Labels = func(uid imap.UID) ([]string, bool) { return f.index.labels(b.id, uint32(uid)) }
	return v
}

// Opened implements imap.VisitHandler.
func (h *visitHandler) Opened(i int, s *imap.SelectData) error {
	j := h.jobs[i]
	if j.kind != jobWhole && j.kind != jobLook {
		return nil
	}
	b := j.box
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if b.void(s) {
		return imap.ErrSkipVisit
	}
	b.v = s.UIDValidity
	return nil
}

// void tells if the UIDs that are known mean nothing any more.
func (b *boxRun) void(s *imap.SelectData) bool {
	return b.hadAny && (s.UIDValidity != b.v || s.UIDValidity == 0) || !b.got.Empty() && s.UIDValidity != b.v
}

// Message implements imap.VisitHandler.
func (h *visitHandler) Message(i int, m *imap.Message) error {
	j := h.jobs[i]
	switch j.kind {
	case jobLook:
		h.progress = true
		return h.f.look(j, m)
	case jobHeaders:
		return h.f.header(j, m)
	case jobExist:
		j.given.Add(m.UID)
		return nil
	}
	return h.body(j, m)
}

// Changed implements imap.VisitHandler.
func (h *visitHandler) Changed(i int, c imap.FlagChange) error {
	f, b := h.f, h.jobs[i].box
	at, ok := f.index.uid(b.id, uint32(c.UID))
	if !ok || f.o.DryRun {
		return nil
	}
	flags := canonicalFlags(flagNames(c.Flags))
	old, before := f.index.marksOf(at)
	labels := before
	if c.HasLabels {
		labels = sortedLabels(c.Labels)
	}
	if slices.Equal(old, flags) && slices.Equal(before, labels) {
		return nil
	}
	m, err := f.index.message(at)
	if err != nil {
		f.fail(err)
		return err
	}
	m.Flags, m.Labels = flags, labels
	return f.push(item{kind: itemFlags, box: b, msg: m, old: old})
}

// sortedLabels returns labels of its own, nil for none.
func sortedLabels(labels []string) []string { return slices.Sorted(slices.Values(labels)) }

func flagNames(flags []imap.Flag) []string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = string(f)
	}
	return names
}

// Done implements imap.VisitHandler.
func (h *visitHandler) Done(i int, ch *imap.Changes, err error) error {
	j := h.jobs[i]
	h.jobs[i] = nil
	f := h.f
	switch {
	case ch == nil:
		f.refused(j, err)
	case ch.Select != nil && (j.kind == jobWhole || j.kind == jobLook):
		h.progress = true
		f.resynced(j, ch, err)
	case ch.Reset:
		f.boxFails(j.box, &UIDValidityError{j.box.m.Name})
	case j.kind == jobExist && err == nil && !j.set.Minus(j.given).Empty():
		h.progress = true
		h.doubts = append(h.doubts, j)
		return h.ctx.Err()
	default:
		h.progress = true
		f.fetched(j, err)
	}
	f.jobDone(j)
	return h.ctx.Err()
}

// settle ends a jobExist. Of the messages that FETCH does not tell of, those that
// SEARCH finds are there and cannot be had (Exchange has such); the others were
// expunged. A server that cannot tell has them.
func (h *visitHandler) settle(j *job, err error) {
	rest := j.set.Minus(j.given)
	there := rest
	if h.c.Err() == nil {
		_, err = h.c.Examine(h.ctx, j.box.m.Name, nil)
	}
	if err == nil {
		var found imap.UIDSet
		if found, err = h.c.Search(h.ctx, imap.SearchUIDs(rest)); err == nil {
			there = rest.Minus(rest.Minus(found))
		}
	}
	if h.c.Err() != nil {
		h.f.handBack(j, true, err)
		return
	}
	j.given.AddSet(there)
	h.f.fetched(j, nil)
	h.f.jobDone(j)
}

// refused deals with a mailbox that cannot be opened, or not now.
func (f *fetching) refused(j *job, err error) {
	var refused *imap.Error
	if errors.As(err, &refused) && refused.Temporary() && j.tries < maxTries {
		j.tries++
		if f.slowDown(err, j.tries) {
			f.queue(j)
			return
		}
	}
	f.boxFails(j.box, err)
}

// resynced takes what is known of a mailbox after jobWhole or jobLook.
func (f *fetching) resynced(j *job, ch *imap.Changes, err error) {
	b := j.box
	f.mu.Lock()
	b.receipt.Server = int(ch.Select.Exists)
	void := b.void(ch.Select)
	f.mu.Unlock()
	if void {
		f.reset(b, ch.Select.UIDValidity)
		return
	}
	f.mu.Lock()
	b.changes = ch
	rest := ch.New.Minus(b.got).Minus(b.listed)
	vanished := ch.Vanished
	b.known = b.known.Minus(ch.Vanished)
	f.mu.Unlock()
	if !vanished.Empty() {
		_ = f.push(item{kind: itemGone, box: b, uids: vanished, state: boxState{UIDValidity: ch.State.UIDValidity}})
	}
	if f.o.DryRun {
		return
	}
	f.moreBodies(j, true)
	if !rest.Empty() {
		f.queue(&job{kind: jobBodies, box: b, set: rest, again: j.kind == jobWhole, why: whyOf(err)})
	}
	if err != nil {
		f.slowDown(err, 0)
	}
}

// whyOf is what a receipt says of messages that were refused.
func whyOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fetched looks at what came of a set of messages, and what did not.
func (f *fetching) fetched(j *job, err error) {
	b := j.box
	if err != nil {
		f.slowDown(err, 0)
		j.why = whyOf(err)
	}
	if j.kind == jobExist {
		f.missing(b, j.given, j.why)
		f.forget(b, j.set.Minus(j.given))
		return
	}
	f.mu.Lock()
	rest := j.set.Minus(b.got)
	f.mu.Unlock()
	switch {
	case rest.Empty():
	case j.kind == jobHeaders || !j.again:
		f.queue(&job{kind: jobBodies, box: b, set: rest, again: j.kind == jobBodies, why: j.why, size: int64(rest.Count()) * guessOctets})
	default:
		f.queue(&job{kind: jobExist, box: b, set: rest, why: j.why})
	}
}

// missing notes messages that are there and do not come.
func (f *fetching) missing(b *boxRun, set imap.UIDSet, why string) {
	if why == "" {
		why = "the server has no octets for it"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for uid := range set.All() {
		if len(b.receipt.Missing) == maxMissing {
			b.receipt.Err = cmpErr(b.receipt.Err, fmt.Errorf("more than %d messages are missing: %s", maxMissing, why))
			break
		}
		b.receipt.Missing = append(b.receipt.Missing, Missing{UID: uint32(uid), Why: why})
	}
}

// forget drops messages that are gone since they were told of.
func (f *fetching) forget(b *boxRun, set imap.UIDSet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.changes != nil {
		b.changes.State.Known = b.changes.State.Known.Minus(set)
	}
}

// boxFails notes why a mailbox is not complete.
func (f *fetching) boxFails(b *boxRun, err error) {
	f.mu.Lock()
	b.receipt.Err = cmpErr(b.receipt.Err, err)
	f.mu.Unlock()
}

// handBack takes a job that was not done because the connection broke. inVain: it is
// the one that was under way, and nothing has come of it.
func (f *fetching) handBack(j *job, inVain bool, err error) {
	defer f.jobDone(j)
	b := j.box
	f.mu.Lock()
	rest := j.set.Minus(b.got)
	f.mu.Unlock()
	f.moreBodies(j, true) // what was listed
	j.given = imap.UIDSet{}
	if inVain {
		j.tries++
	} else {
		j.tries = 0
	}
	if j.kind == jobWhole || j.kind == jobLook {
		if j.tries >= maxTries {
			f.boxFails(b, err)
			return
		}
		if j.tries > 1 {
			j.kind, j.size = jobLook, 0
		}
		f.queue(j)
		return
	}
	if j.kind != jobBodies {
		rest = j.set
	}
	switch {
	case rest.Empty():
		return
	case j.tries > 2 && rest.Count() == 1:
		f.missing(b, rest, whyOf(err))
		return
	case j.tries > 1 && rest.Count() > 1: // the first may be what the connection breaks at
		parts := rest.SplitCount(1)
		others := rest.Minus(parts[0])
		f.queue(&job{kind: j.kind, box: b, set: others, size: j.size, again: j.again, why: j.why})
		rest = parts[0]
	}
	f.queue(&job{kind: j.kind, box: b, set: rest, size: j.size, tries: j.tries, again: j.again, why: j.why})
}

// jobDone ends a job, and with the last one of a mailbox that mailbox.
func (f *fetching) jobDone(j *job) {
	b := j.box
	f.mu.Lock()
	b.jobs--
	over := b.jobs == 0
	f.mu.Unlock()
	if over {
		f.boxDone(b)
	}
	f.jobs.done()
}

// boxDone ends a mailbox: with nothing missing, its state is recorded.
func (f *fetching) boxDone(b *boxRun) {
	f.mu.Lock()
	ch, rec := b.changes, b.receipt
	f.mu.Unlock()
	if ch != nil && rec.Err == nil && len(rec.Missing) == 0 && f.unstoredErr() == nil {
		f.leftovers(b)
		s := boxState{UIDValidity: ch.State.UIDValidity, ModSeq: ch.State.ModSeq, UIDNext: uint32(ch.Select.UIDNext), Messages: ch.Select.Exists}
		_ = f.push(item{kind: itemState, box: b, state: s}) // an error ends the run
	}
	f.event(Event{Kind: EventMailbox, Mailbox: b.m.Name, Receipt: &rec})
	f.mu.Lock()
	later := f.later
	for _, b := range f.boxes {
		if b.all && b.jobs > 0 {
			later = nil
		}
	}
	if later != nil {
		f.later = nil
	}
	f.mu.Unlock()
	if later != nil {
		f.synced()
		f.visit(later)
	}
}

func (f *fetching) unstoredErr() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unstored
}

// synced waits until all that was handed to the committer is recorded.
func (f *fetching) synced() {
	if f.com == nil {
		return
	}
	done := make(chan struct{})
	if f.com.push(item{kind: itemSync, synced: done}) == nil {
		<-done
	}
}

// body stores a message.
func (h *visitHandler) body(j *job, m *imap.Message) error {
	f, b := h.f, j.box
	if f.has(b, m.UID) {
		return nil
	}
	body, err := m.Next()
	if err == io.EOF {
		return nil // it is asked for again
	}
	if err != nil {
		return err
	}
	if err := f.spend(body.Size); err != nil {
		return err
	}
	staged, err := f.tree.Stage(h.ctx, body, m.InternalDate)
	if err != nil {
		if h.c.Err() == nil && h.ctx.Err() == nil {
			f.fail(err)
		}
		return err
	}
	h.progress = true
	msg := f.message(b, m)
	msg.Size, msg.Digest = staged.WireSize, staged.Digest
	msg.File = f.r.fileName(msg, staged.Size, staged.Marked)
	f.mu.Lock()
	lied := m.Size > 0 && m.Size != staged.WireSize && !b.lied
	b.lied = b.lied || lied
	b.receipt.Size += staged.WireSize
	f.receipt.Bytes += staged.WireSize
	if j.kind == jobWhole {
		f.octets += staged.WireSize - guessOctets
	}
	f.mu.Unlock()
	if lied {
		f.warn("%s: UID %d has %d octets, and the server says %d; there may be more like that", b.m.Name, m.UID, staged.WireSize, m.Size)
	}
	return f.store(item{kind: itemMsg, box: b, msg: msg, staged: staged})
}

// has tells if a message was dealt with.
func (f *fetching) has(b *boxRun, uid imap.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return b.got.Contains(uid)
}

// store hands a message over. From then on it need not be fetched.
func (f *fetching) store(it item) error {
	if err := f.push(it); err != nil {
		return err
	}
	f.mu.Lock()
	it.box.got.Add(imap.UID(it.msg.UID))
	f.mu.Unlock()
	return nil
}

// message is what is recorded of m, as far as the server told it.
func (f *fetching) message(b *boxRun, m *imap.Message) *Message {
	f.mu.Lock()
	v := b.v
	f.mu.Unlock()
	return &Message{Mailbox: b.m, UIDValidity: v, UID: uint32(m.UID), Date: m.InternalDate, Flags: canonicalFlags(flagNames(m.Flags)),
		EmailID: m.EmailID, ThreadID: m.ThreadID, GmailID: m.GmailID, GmailThread: m.GmailThread, Labels: sortedLabels(m.Labels), Size: m.Size}
}

// fileName is the File of a message.
func (r *Repo) fileName(m *Message, size int64, wire bool) string {
	name := factsOf(m, size, wire).name()
	if r.settings.Format == FormatEML {
		name += emlSuffix
	}
	return name
}

// spend takes octets from the budget of the day.
func (f *fetching) spend(octets int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.o.Budget > 0 && f.runs.Octets+octets > f.o.Budget {
		err := &BudgetError{f.o.Budget}
		if f.unstored == nil {
			f.unstored = err
		}
		return err
	}
	f.runs.Octets += octets
	return nil
}

// lost notes a message that cannot be recorded.
func (f *fetching) lost(it *item, err error) {
	if it.kind == itemMsg && it.msg.UID != 0 {
		var set imap.UIDSet
		set.Add(imap.UID(it.msg.UID))
		f.missing(it.box, set, err.Error())
	}
}
