package imap

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// Visit is one mailbox of a VisitAll: what is known of it, and what to fetch of
// the messages that are not.
type Visit struct {
	Mailbox string
	Known   State // zero: nothing is known
	// Flags, Labels and Full are those of [ResyncOptions].
	Flags  func(UID) (flags []Flag, ok bool)
	Labels func(UID) (labels []string, ok bool)
	Full   bool
	// Set, when it is not empty, are the only messages to fetch; nothing is
	// resynchronised then. Known.UIDValidity must be that of the mailbox, or 0.
	Set UIDSet
	// Items are what to fetch. Saved, Partial and ChangedSince have no meaning.
	Items FetchOptions
}

// VisitHandler is told what comes of a VisitAll; i is the number of the visit,
// from 0, in the order in which they were taken. No method may use the Client;
// an error ends the connection.
type VisitHandler interface {
	// Opened tells the state of the mailbox, before any of its messages comes.
	// It is called once, and again when the mailbox had to be opened again and
	// has another UIDVALIDITY than before: what came until then is void. With
	// [ErrSkipVisit] nothing more of the mailbox is passed on but Done.
	Opened(i int, s *SelectData) error
	// Message passes a message on that is not in Known, or is in Set, once. See
	// [Client.Fetch].
	Message(i int, m *Message) error
	// Changed is called as [ResyncOptions] says. It may come before Opened; the
	// UIDVALIDITY is the one known.
	Changed(i int, f FlagChange) error
	// Done ends each visit, not always in their order. ch is nil when the mailbox
	// could not be opened, or the server wants a pause ([Error.RetryAfter]): err
	// tells. With an error and ch the server refused some messages. What is in ch.New and did not come to Message
	// is there, and the server has not given it. What came and is not in ch.New has
	// gone meanwhile.
	//
	// After a visit of a Set, ch.New are the messages that came, and nothing but
	// UIDVALIDITY and mod-sequence is in ch.State.
	Done(i int, ch *Changes, err error) error
}

// ErrSkipVisit is what [VisitHandler].Opened returns to have no messages of this
// mailbox. Done gets Changes with Select and Reset alone.
var ErrSkipVisit = errors.New("mailbox skipped")

// highest is the highest UID. "n:*" would have the last message whatever n is.
const highest = 1<<32 - 1

// VisitAll resynchronises mailboxes and fetches what is new in them, as
// [Client.Resync] and [Client.Fetch] do one after the other, but without waiting
// for one mailbox before the next is asked for: many small ones take a few round
// trips together. They are opened by EXAMINE. The last one stays selected.
//
// What is sent depends on nothing that is not known yet: EXAMINE, what has
// changed since Known, and all UIDs above the highest one known. Where the
// answers do not add up to what the server counts, that mailbox is asked again.
// After a change of UIDVALIDITY nothing is passed on of what was asked for in the
// old one, and the mailbox is visited again as one of which nothing is known.
// Messages below the highest UID known that are not known are fetched at last.
// Visits of a Set that follow one another in the same mailbox open it once. With
// MESSAGELIMIT, or a Depth of 1, the mailboxes are visited one by one.
//
// Visits are taken as there is room for them on the way. What the server refuses
// of a mailbox is told to Done and is no error here: that is the handler's, or
// what ended the connection.
func (c *Client) VisitAll(ctx context.Context, visits iter.Seq[Visit], h VisitHandler) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated); err != nil {
		return err
	}
	c.dec.SetLineLimit(maxSearchLine)
	defer c.dec.SetLineLimit(0)
	next, stop := iter.Pull(visits)
	defer stop()
	v := &visitor{c: c, h: h, next: next}
	err := v.run()
	if v.err != nil {
		return v.err
	}
	return err
}

// visitor is one VisitAll.
type visitor struct {
	c     *Client
	h     VisitHandler
	next  func() (Visit, bool)
	taken int
	again []*visiting // to be sent once more
	odd   []*visiting // to be looked at one by one, in the end
	last  *opening    // the last one sent

	enabled bool  // QRESYNC, as far as we can
	refuses bool  // the server does not understand QRESYNC
	err     error // of the handler
}

// opening is an EXAMINE.
type opening struct {
	sel    *SelectData
	cmd    *command
	err    error       // it could not be sent
	exists uint32      // messages that are there now
	gone   UIDSet      // expunged since
	sets   []*visiting // that fetch sets and are not done
}

// route finds the visit that asked for a message. A server may hold the reply of one
// command back until it has sent what the next ones ask for (Dovecot does).
func (o *opening) route(uid UID) *visiting {
	for _, u := range o.sets {
		if u.open() && u.f.wanted(uid) {
			return u
		}
	}
	return nil
}

// result is nil when the mailbox is open.
func (o *opening) result() error {
	if o.err != nil {
		return o.err
	}
	return o.cmd.result()
}

// visiting is one visit under way. It is sent once; when it is sent again, this
// state is kept as far as it is still true.
type visiting struct {
	Visit
	v     *visitor
	i     int
	o     *opening
	steps []func() (*command, error) // not sent yet
	r     resyncer                   // of flags
	q     *qresync                   // how the mailbox was opened
	f     fetcher                    // of messages
	found *SearchData                // all UIDs, where they were asked for
	met   seen                       // messages that were told of
	holes *Changes                   // only what is missing in these is fetched

	isOpen   bool
	stale    bool    // another UIDVALIDITY than the one known
	skip     bool    // the handler does not want it
	reset    bool    // it was stale before
	told     *uint32 // UIDVALIDITY of the last Opened
	refused  *Error  // of the messages
	unlooked bool    // the server refused to tell what has changed
}

// flight is a command under way.
type flight struct {
	cmd  *command
	size int64
	u    *visiting
	ends bool // it is the visit's last
}

func (v *visitor) run() error {
	if v.c.depth == 1 || v.c.messageLimit() > 0 {
		for u := v.take(); u != nil; u = v.take() {
			if err := u.alone(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := v.pipeline(); err != nil {
		return err
	}
	if v.last != nil && v.last.result() == nil {
		if err := v.c.opened(v.last.sel, v.last.cmd); err != nil {
			return err
		}
	}
	for _, u := range v.odd {
		if err := u.alone(); err != nil {
			return err
		}
	}
	return nil
}

// take begins the next visit, nil when there is none.
func (v *visitor) take() *visiting {
	visit, ok := v.next()
	if !ok {
		return nil
	}
	u := &visiting{Visit: visit, v: v, i: v.taken}
	v.taken++
	if u.Known.UIDValidity == 0 {
		u.Known = State{}
	}
	u.Items.Saved, u.Items.Partial, u.Items.ChangedSince = false, Partial{}, 0
	u.prepare()
	return u
}

// prepare sets up for what is known now.
func (u *visiting) prepare() {
	v := u.v
	changed := func(f FlagChange) error { return v.noted(v.h.Changed(u.i, f)) }
	u.r = resyncer{c: v.c, known: u.Known, o: ResyncOptions{Flags: u.Flags, Labels: u.Labels, Full: u.Full, Changed: changed}}
	u.f = fetcher{c: v.c, o: &u.Items, set: u.wanted(), fn: func(m *Message) error { return v.noted(v.h.Message(u.i, m)) }}
	u.f.choose()
	if !u.Set.Empty() {
		u.f.route = u.route
	}
	u.met, u.reset = seen{}, u.reset || u.stale
}

// route gives a message to the visit that asked for it, if that may have it.
func (u *visiting) route(uid UID) *fetcher {
	if u.o != nil { // not alone
		if other := u.o.route(uid); other != nil {
			return &other.f
		}
	}
	return &u.f
}

// wanted are the messages to pass on.
func (u *visiting) wanted() UIDSet {
	if !u.Set.Empty() {
		return u.Set
	}
	var all UIDSet
	all.AddRange(1, highest)
	return all.Minus(u.Known.Known)
}

// pipeline sends commands and takes their replies, with no more in flight than
// depth and windowOctets: see [Client.pipeline].
func (v *visitor) pipeline() error {
	var sent []flight
	var u *visiting
	window := wire.Window{MaxCommands: v.c.depth, MaxBytes: windowOctets}
	for {
		for !window.Full() {
			if u == nil {
				if u = v.begin(); u == nil {
					break
				}
			}
			f, err := v.send(u)
			if err != nil {
				return err
			}
			if f.ends {
				u = nil
			}
			if f.cmd != nil {
				window.Sent(f.size)
				sent = append(sent, f)
			}
		}
		if len(sent) == 0 {
			return nil
		}
		f := sent[0]
		sent = sent[1:]
		if err := v.c.wait(f.cmd); err != nil {
			return err
		}
		window.Got(f.size)
		if err := f.u.answered(f); err != nil {
			return err
		}
	}
}

// begin plans the next visit to be sent, nil when there is none.
func (v *visitor) begin() *visiting {
	var u *visiting
	if len(v.again) > 0 {
		u, v.again = v.again[0], v.again[1:]
	} else {
		u = v.take()
	}
	if u != nil {
		u.plan()
	}
	return u
}

// send sends the next command of a visit. An error is one of the connection.
func (v *visitor) send(u *visiting) (flight, error) {
	before := v.c.written()
	step := u.steps[0]
	u.steps = u.steps[1:]
	cmd, err := step()
	if err != nil {
		if v.c.dead() != nil || u.o.err == nil {
			return flight{}, err
		}
		return flight{ends: true}, v.done(u, nil, err) // a name that cannot be sent
	}
	return flight{cmd: cmd, size: v.c.written() - before, u: u, ends: len(u.steps) == 0}, nil
}

// answered takes the outcome of a command.
func (u *visiting) answered(f flight) error {
	if f.cmd != u.o.cmd && f.cmd.err != nil {
		u.refuse(f.cmd)
	}
	if f.ends {
		return u.finish()
	}
	return nil
}

// refuse notes what was refused beside EXAMINE.
func (u *visiting) refuse(cmd *command) {
	if cmd.label != fetchMessages {
		u.unlooked = true
	}
	if u.refused == nil || u.refused.RetryAfter() == 0 {
		u.refused = cmd.err
	}
}

// Labels of commands, for errors.
const (
	fetchMessages = "fetch"
	fetchFlags    = "fetch of flags"
)

// plan sets the commands of a visit.
func (u *visiting) plan() {
	u.isOpen, u.stale, u.refused, u.unlooked, u.q, u.found = false, false, nil, false, nil, nil
	last := u.v.last
	if last != nil && last.err == nil && !u.Set.Empty() && sameMailbox(last.sel.Mailbox, u.Mailbox) {
		u.o = last
		u.o.sets = append(u.o.sets, u)
	} else {
		u.steps = append(u.steps, u.sendExamine)
	}
	known := u.Known.Known.Ranges()
	switch {
	case u.holes != nil:
		u.fetch(u.missing())
		return
	case !u.Set.Empty():
		u.fetch(u.Set)
		return
	case len(known) > 0:
		u.planChanges(known[0].Start, known[len(known)-1].Stop)
	}
	above := UID(1)
	if len(known) > 0 {
		above = known[len(known)-1].Stop
		if above == highest {
			return
		}
		above++
	}
	var news UIDSet
	news.AddRange(above, highest)
	u.fetch(news)
}

// planChanges asks for what has changed in a mailbox of which the messages from
// first to last are known. With QRESYNC that comes with EXAMINE.
func (u *visiting) planChanges(first, last UID) {
	c, modseqs := u.v.c, u.r.modseqs()
	if modseqs && u.r.quickly() && !u.v.refuses {
		u.q = &qresync{r: &u.r}
		return
	}
	var span UIDSet
	span.AddRange(first, last)
	since := uint64(0)
	if modseqs {
		since, u.found = u.r.known.ModSeq, &SearchData{}
	}
	u.steps = append(u.steps, func() (*command, error) {
		cmd := u.command(fetchFlags)
		return cmd, c.send(cmd, "UID FETCH", u.r.flagsArgs(span, since))
	})
	if modseqs {
		options := ""
		if c.has("ESEARCH") {
			options = "RETURN (ALL) "
		}
		u.steps = append(u.steps, func() (*command, error) { return c.sendSearch(options, nil, u.found) })
	}
}

// fetch plans to fetch messages.
func (u *visiting) fetch(set UIDSet) {
	for _, part := range set.Split(maxSetText) {
		u.steps = append(u.steps, func() (*command, error) {
			cmd := u.command(fetchMessages)
			return cmd, u.v.c.send(cmd, "UID FETCH", func(e *imapwire.Encoder) { u.f.args(e, part) })
		})
	}
}

// check refuses items that cannot be asked for, before anything is sent.
func (u *visiting) check() error {
	if err := u.v.c.checkFetch(&u.Items); err != nil {
		return err
	}
	e := imapwire.NewEncoder(nil).Begin("FETCH")
	u.f.args(e, imapwire.SetOf[UID](1))
	if err := e.Err(); err != nil {
		return &wire.ArgumentError{Msg: err.Error()}
	}
	return nil
}

// sendExamine opens the mailbox.
func (u *visiting) sendExamine() (*command, error) {
	c := u.v.c
	o := &opening{sel: &SelectData{}}
	u.o, u.v.last = o, o
	if o.err = c.settleNames([]string{u.Mailbox}); o.err != nil {
		return nil, o.err
	}
	if o.err = u.check(); o.err != nil {
		return nil, o.err
	}
	if u.q != nil && !u.v.enabled {
		u.v.enabled = true
		enable, err := c.sendEnable([]string{"QRESYNC"})
		if err != nil {
			return nil, err
		}
		if enable != nil {
			enable.later = true
		}
	}
	o.sel, o.cmd, o.err = c.sendOpen("EXAMINE", u.Mailbox, &SelectOptions{CondStore: true, qresync: u.q})
	if o.err == nil && !u.Set.Empty() {
		o.sets = append(o.sets, u)
	}
	return o.cmd, o.err
}

// command is one that takes what comes of the open mailbox.
func (u *visiting) command(label string) *command {
	return &command{label: label, data: u.data, code: func(imapwire.Text, bool) {}, vanished: func(set UIDSet, _ bool) {
		if u.open() {
			u.o.gone.AddSet(set)
			u.o.exists -= uint32(min(set.Count(), uint64(u.o.exists)))
		}
	}}
}

// data takes the responses of the mailbox once it is open. What comes before is of
// the one that was open then, and dropped.
func (u *visiting) data(r imapwire.Response, d *imapwire.Decoder) bool {
	open := u.open()
	switch {
	case r.Name == "EXISTS" && open:
		u.o.exists = r.Num
		return true
	case r.Name == "EXPUNGE" && open:
		u.o.exists -= min(u.o.exists, 1)
		return true
	case !isFetch(r):
		return false
	case !open, u.Set.Empty() && (u.stale || u.skip):
		d.SkipRest()
		return true
	}
	u.f.data(r, d)
	m := &u.f.msg
	if d.Err() != nil || !m.got.has(itemUID) {
		return true
	}
	u.met.add(m.UID)
	if !m.over {
		u.r.note(m)
	}
	return true
}

// open tells if the mailbox is open; the handler hears of it first.
func (u *visiting) open() bool {
	o := u.o
	if o.cmd == nil || !o.cmd.done || o.cmd.err != nil {
		return false
	}
	if !u.isOpen {
		u.isOpen = true
		if o.exists == 0 {
			o.exists = o.sel.Exists
		}
		if u.opened(o.sel); !u.Set.Empty() && (u.stale || u.skip) {
			u.f.set = UIDSet{}
		}
	}
	return true
}

// opened looks at a mailbox that was opened.
func (u *visiting) opened(s *SelectData) {
	u.r.sel = s
	assumed := !u.Known.Known.Empty() || !u.Set.Empty() && u.Known.UIDValidity != 0
	u.stale = assumed && s.UIDValidity != u.Known.UIDValidity
	if u.told != nil && *u.told == s.UIDValidity {
		return
	}
	u.told = &s.UIDValidity
	_ = u.v.call(func() error { // its error has ended the connection
		err := u.v.h.Opened(u.i, s)
		if u.skip = err == ErrSkipVisit; u.skip {
			return nil
		}
		return err
	})
}

// call calls the handler. Its error ends the connection.
func (v *visitor) call(fn func() error) error {
	v.c.busy = true
	err := v.noted(fn())
	v.c.busy = false
	if err != nil {
		v.c.conn.Fail(err)
	}
	return err
}

// noted remembers the handler's error.
func (v *visitor) noted(err error) error {
	if v.err == nil {
		v.err = err
	}
	return err
}

// done ends a visit. The error is one of the connection.
func (v *visitor) done(u *visiting, ch *Changes, err error) error {
	if ch != nil && u.Set.Empty() {
		ch.Reset = ch.Reset || u.reset
	}
	return v.call(func() error { return v.h.Done(u.i, ch, err) })
}

// finish looks at what came of a visit that was sent.
func (u *visiting) finish() error {
	v := u.v
	u.o.sets = slices.DeleteFunc(u.o.sets, func(other *visiting) bool { return other == u })
	if !u.open() {
		err := u.o.result()
		var refused *Error
		if u.q != nil && errors.As(err, &refused) && refused.Status == "BAD" {
			v.refuses = true
			v.again = append(v.again, u)
			return nil
		}
		return v.done(u, u.holes, err)
	}
	s := u.o.sel
	switch {
	case u.skip, u.stale && !u.Set.Empty():
		return v.done(u, &Changes{Select: s, Reset: u.stale}, nil)
	case u.stale:
		u.Known, u.holes = State{}, nil
		u.prepare()
		v.again = append(v.again, u)
		return nil
	case !u.Set.Empty():
		return v.done(u, u.ofSet(s), u.refusal())
	case u.holes != nil:
		return v.done(u, u.holes, u.refusal())
	}
	ch := u.r.changes(u.present())
	fits := u.fits(ch)
	complete := u.refused == nil || ch.New.Minus(u.f.seen.set()).Empty()
	switch {
	case fits && complete:
	case u.refused == nil || u.refused.RetryAfter() == 0:
		v.odd = append(v.odd, u)
		return nil
	case fits:
		return v.done(u, ch, u.refused)
	default:
		return v.done(u, nil, u.refused)
	}
	u.holes = ch
	if u.missing().Empty() {
		return v.done(u, ch, nil)
	}
	v.again = append(v.again, u)
	return nil
}

// refusal is the error to pass on.
func (u *visiting) refusal() error {
	if u.refused == nil {
		return nil
	}
	return u.refused
}

// ofSet is what there is to say of a visit that fetched a set.
func (u *visiting) ofSet(s *SelectData) *Changes {
	return &Changes{Select: s, State: State{UIDValidity: s.UIDValidity, ModSeq: s.HighestModSeq}, New: u.f.seen.set()}
}

// present are the messages that are in the mailbox, as far as was told.
func (u *visiting) present() UIDSet {
	present := u.met.set()
	switch {
	case u.q != nil:
		present.AddSet(u.Known.Known.Minus(u.q.gone))
		present.AddSet(u.q.extra.set())
	case u.found != nil:
		present.AddSet(u.found.UIDs)
	}
	return present.Minus(u.o.gone)
}

// fits tells if the changes are all that the server counts.
func (u *visiting) fits(ch *Changes) bool {
	if u.unlooked || (u.q != nil || u.found != nil) && u.o.sel.HighestModSeq == 0 {
		return false
	}
	return ch.State.Known.Count() == uint64(u.o.exists)
}

// missing are the new messages that were not asked for yet: those below the
// highest known.
func (u *visiting) missing() UIDSet {
	var above UIDSet
	if known := u.Known.Known.Ranges(); len(known) > 0 {
		above.AddRange(known[len(known)-1].Stop, highest)
	} else {
		above.AddRange(1, highest)
	}
	return u.holes.New.Minus(above).Minus(u.f.seen.set())
}

// alone makes a visit with nothing else under way. The error is one of the
// connection.
func (u *visiting) alone() error {
	var ch *Changes
	var err error
	if u.Set.Empty() {
		ch, err = u.resync()
	} else {
		ch, err = u.visitSet()
	}
	if dead := u.v.c.dead(); dead != nil {
		return dead
	}
	return u.v.done(u, ch, err)
}

// resync resynchronises and fetches what is new and has not come yet.
func (u *visiting) resync() (*Changes, error) {
	c := u.v.c
	if err := c.ready(authenticated, u.Mailbox); err != nil {
		return nil, err
	}
	if err := u.check(); err != nil {
		return nil, err
	}
	run := u.r.run
	if u.r.sel != nil { // what came in a first attempt did not fit
		u.r.sel, u.isOpen = nil, false
		run = func(mailbox string) (*Changes, error) { return u.r.slow("EXAMINE", mailbox) }
	}
	before := u.told
	ch, err := run(u.Mailbox)
	u.v.last = nil
	if err != nil || c.dead() != nil {
		return nil, err
	}
	if u.opened(ch.Select); u.stale || before != nil && u.told != before {
		u.Known = State{}
		u.prepare()
	}
	if u.skip {
		return &Changes{Select: ch.Select, Reset: ch.Reset}, nil
	}
	return ch, u.get(ch.New.Minus(u.f.seen.set()))
}

// visitSet fetches a set.
func (u *visiting) visitSet() (*Changes, error) {
	c := u.v.c
	o := u.v.last
	if o == nil || c.selected == "" || !sameMailbox(c.selected, u.Mailbox) {
		u.v.last = nil
		if err := c.ready(authenticated, u.Mailbox); err != nil {
			return nil, err
		}
		sel, cmd, err := c.sendOpen("EXAMINE", u.Mailbox, &SelectOptions{CondStore: true})
		if err != nil {
			return nil, err
		}
		if err := c.opened(sel, cmd); err != nil {
			return nil, err
		}
		o = &opening{sel: sel, cmd: cmd}
		u.v.last = o
	}
	if err := u.check(); err != nil {
		return nil, err
	}
	if u.opened(o.sel); u.skip || u.stale || c.dead() != nil {
		return &Changes{Select: o.sel, Reset: u.stale}, nil
	}
	err := u.get(u.Set)
	return u.ofSet(o.sel), err
}

// get fetches messages of the open mailbox.
func (u *visiting) get(set UIDSet) error {
	if set.Empty() || u.v.c.dead() != nil {
		return nil
	}
	parts, err := u.v.c.windows(set)
	if err != nil {
		return err
	}
	return u.f.run(parts)
}
