package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// Selection says which messages are meant; the zero value means all that there are
// now.
type Selection struct {
	At       string   // snapshot, as [Repo.Mailboxes] takes it
	Patterns []string // mailboxes, as [RunOptions] takes them
	// Since and Before compare with the INTERNALDATE: not before Since, before
	// Before. With one of them, messages of which no date is known are left out.
	Since, Before time.Time
	// Match, when it is not nil, is asked about each message that the others let
	// through. The second argument is valid during the call.
	Match func(*Message, *store.Message) bool
}

// RestoreOptions say what to restore, and where to.
type RestoreOptions struct {
	Selection
	// Dial connects to the server and logs in. It is called again when the
	// connection was lost.
	Dial   func(context.Context) (*imap.Client, error)
	Prefix string // mailbox, in the words of the server, to put all below
	DryRun bool   // nothing is changed: the report tells what would be done
	Event  func(RestoreEvent)
}

// RestoreReport is what became of a restore.
type RestoreReport struct {
	Mailboxes []RestoredMailbox // in the order in which they were restored
	Took      time.Duration

	ended bool // all of them were restored, as far as that was possible
}

// Complete reports whether all that was wanted is on the server.
func (r *RestoreReport) Complete() bool {
	return r.ended && !slices.ContainsFunc(r.Mailboxes, func(m RestoredMailbox) bool { return m.Err != nil || len(m.Refused) > 0 || m.Missing() > 0 })
}

// RestoredMailbox is what became of one mailbox.
type RestoredMailbox struct {
	Name     string // in the backup
	Dest     string // on the server
	Created  bool   // it was not there
	Wanted   int    // messages
	Present  int    // were there already
	Appended int
	Merged   int       // are in another mailbox, and have this one as label where the server has labels
	Size     int64     // octets appended
	Refused  []Refused // at most 10,000
	Flags    []string  // flags that the mailbox cannot keep, and messages were appended without
	Warnings []string  // what else is not as it was
	Err      error     // why nothing more was appended
}

// Missing is the number of messages wanted that are not on the server.
func (m *RestoredMailbox) Missing() int { return m.Wanted - m.Present - m.Appended - m.Merged }

// Refused is a message that is not restored.
type Refused struct {
	UID  uint32
	UIDL string // POP3, in place of UID
	File string
	Err  error // *imap.Error: of the server
}

// RestoreEvent tells how a restore goes on.
type RestoreEvent struct {
	Kind     EventKind // EventPlan, EventMessage, EventMailbox, EventWait, EventDone
	Mailbox  string    // in the backup
	Dest     string    // on the server
	UID      uint32
	UIDL     string
	Bytes    int64 // octets of the message
	Messages int   // appended so far
	Total    int   // messages in the mailboxes that are to be restored, as far as known
	Wait     time.Duration
	Result   *RestoredMailbox // of EventMailbox; valid during the call
	Err      error            // why there is a pause; of EventMessage: the message is refused
}

// Restore puts messages back on a server: into the mailboxes that they come from,
// which are made where they are missing, with their special use and subscription, and
// with flags, keywords and INTERNALDATE. Levels are separated as on the server. A
// mailbox with a special use goes to the one that the server has for it, unless there
// is one of its own name.
//
// What is there already is not appended again, as often as it is in the backup: so a
// restore that was interrupted is finished by another one. A message is there when
// one of the same Message-ID, or of the same size and date, has the same octets; where
// size, date and Message-ID tell it from all others the header is enough.
//
// A message that came from Gmail goes to Gmail once, with its labels. Elsewhere
// mailboxes that show messages of others, as All Mail, get those only that are in no
// other mailbox.
//
// A message that the server refuses, or whose file is damaged, is reported and does
// not stop the others, nor does a mailbox that fails. Where the server wants a pause,
// it is made; a connection that is lost is made again. The error is that of Dial, of
// the context or of the repository, or the connection's when it is lost again and
// again; there is a report besides.
func (r *Repo) Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	began := time.Now()
	rs := &restorer{r: r, o: o, report: &RestoreReport{}, merged: map[uint64]bool{}}
	err := rs.run(ctx)
	rs.report.ended = err == nil
	if rs.c != nil {
		_ = rs.c.Close() // everything that counts was answered
	}
	rs.report.Took = time.Since(began)
	rs.tell(RestoreEvent{Kind: EventDone})
	return rs.report, err
}

// restorer is one Restore.
type restorer struct {
	r      *Repo
	o      RestoreOptions
	c      *imap.Client
	x      *index
	to     *target
	report *RestoreReport
	merged map[uint64]bool // messages of Gmail that have a place
	views  bool            // some mailboxes show messages of others
	done   int             // messages appended
	total  int
}

func (rs *restorer) tell(e RestoreEvent) {
	if rs.o.Event != nil {
		e.Messages, e.Total = rs.done, rs.total
		rs.o.Event(e)
	}
}

func (rs *restorer) run(ctx context.Context) error {
	x, damage, err := rs.r.index(rs.o.At)
	if err != nil {
		return err
	}
	rs.x = x
	if err := rs.connect(ctx); err != nil {
		return err
	}
	if err := rs.look(ctx); err != nil {
		return err
	}
	places := rs.plan()
	rs.tell(RestoreEvent{Kind: EventPlan})
	for _, p := range places {
		b := &restoring{rs: rs, place: p, result: RestoredMailbox{Name: p.from.Name, Dest: p.name}}
		err := b.run(ctx)
		b.finish()
		rs.report.Mailboxes = append(rs.report.Mailboxes, b.result)
		rs.tell(RestoreEvent{Kind: EventMailbox, Mailbox: p.from.Name, Dest: p.name, Result: &b.result})
		if err != nil {
			return err
		}
	}
	return damage
}

// connect dials, in place of a connection that is dead.
func (rs *restorer) connect(ctx context.Context) (err error) {
	if rs.c != nil {
		_ = rs.c.Close() // dead
	}
	rs.c, err = rs.o.Dial(ctx)
	return err
}

// look asks for the mailboxes of the server.
func (rs *restorer) look(ctx context.Context) error {
	ns, err := rs.c.Namespace(ctx)
	if err != nil {
		return err
	}
	list, err := rs.c.List(ctx, nil)
	if err != nil {
		return err
	}
	caps, err := rs.c.Capability(ctx)
	if err != nil {
		return err
	}
	rs.to = newTarget(list, ns, rs.o.Prefix)
	rs.to.gmail = caps.Has("X-GM-EXT-1") && rs.o.Prefix == ""
	return nil
}

// plan returns the mailboxes to restore with their places: those that show messages
// of others at last.
func (rs *restorer) plan() []*place {
	var all, list []*place
	for _, n := range rs.x.boxNumbers(false) {
		info, _ := rs.x.info(n)
		if holds(info.Mailbox) || info.Count > 0 {
			all = append(all, &place{box: n, from: info.Mailbox})
		}
	}
	rs.to.places(all)
	for _, p := range all {
		if patterns(rs.o.Patterns).match(p.from.Name, p.from.Delim) {
			info, _ := rs.x.info(p.box)
			rs.total += info.Count
			rs.views = rs.views || p.view
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b *place) int { return cmp.Compare(a.order(), b.order()) })
	return list
}

// fate is what became of a message.
type fate uint8

const (
	todo fate = iota
	present
	appended
	merged
	refused
)

// restoring is one mailbox under way.
type restoring struct {
	*place
	rs       *restorer
	result   RestoredMailbox
	refs     []ref
	fates    []fate
	made     bool // the mailbox is there
	compared bool // with what is there, on this connection or before it was lost in good order
	sel      *imap.SelectData
	labels   map[string]*labelled
	left     map[string]bool // flags that the mailbox cannot keep
	put      int             // appended, to see progress
	later    error           // the server wants a pause, or failed for a while
	held     map[int]error   // messages it refused for that
}

// labelled are the messages that are to have the same labels.
type labelled struct {
	labels []string
	uids   imap.UIDSet
}

// restoreTries is how often in a row a mailbox is tried without progress.
const restoreTries = 5

// run restores the mailbox. The error ends the restore.
func (b *restoring) run(ctx context.Context) error {
	if err := b.choose(ctx); err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		before := b.put
		err := b.fill(ctx)
		if b.put > before {
			tries = 0
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case b.rs.c.Err() != nil: // the connection is lost
			b.compared = false
			if tries >= restoreTries {
				b.result.Err = err
				return err
			}
			if err := b.rs.pause(ctx, b, waitFor(err, tries), err); err != nil {
				return err
			}
			if err := b.rs.connect(ctx); err != nil {
				b.result.Err = err
				return err
			}
		case tries >= restoreTries || !temporary(err):
			b.giveUp(err)
			return nil
		default:
			if err := b.rs.pause(ctx, b, waitFor(err, tries), err); err != nil {
				return err
			}
		}
	}
}

// temporary reports whether the same may succeed later.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// waitFor is how long to wait before the next try: as the server says, or first not
// at all and then longer and longer.
func waitFor(err error, tries int) time.Duration {
	var refused *imap.Error
	if errors.As(err, &refused) && refused.RetryAfter() > 0 {
		return refused.RetryAfter()
	}
	if tries == 0 {
		return 0
	}
	return time.Second << (tries - 1)
}

func (rs *restorer) pause(ctx context.Context, b *restoring, wait time.Duration, why error) error {
	rs.tell(RestoreEvent{Kind: EventWait, Mailbox: b.from.Name, Dest: b.name, Wait: wait, Err: why})
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// giveUp refuses what the server would not take for a while.
func (b *restoring) giveUp(err error) {
	for i, f := range b.fates {
		if why, held := b.held[i]; held && f == todo {
			b.refuse(i, why)
		}
	}
	if len(b.held) == 0 || slices.Contains(b.fates, todo) {
		b.result.Err = err
	}
}

// choose finds the messages to restore.
func (b *restoring) choose(ctx context.Context) error {
	rs := b.rs
	for i := range rs.x.present(b.box) {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := rs.x.message(i)
		if err != nil {
			return err
		}
		if !rs.o.within(m) {
			continue
		}
		ok, err := rs.r.matches(m, rs.o.Match)
		if !ok && err == nil {
			continue
		}
		b.refs, b.fates = append(b.refs, i), append(b.fates, todo)
		n := len(b.refs) - 1
		switch {
		case err != nil:
			b.refuse(n, err)
		case m.GmailID != 0 && (rs.to.gmail || b.view) && rs.merged[m.GmailID]:
			b.fates[n] = merged
		case m.GmailID != 0 && (rs.to.gmail || rs.views):
			rs.merged[m.GmailID] = true
		}
	}
	b.result.Wanted = len(b.refs)
	return nil
}

// within reports whether the date of a message is one that is meant.
func (s *Selection) within(m *Message) bool {
	switch {
	case s.Since.IsZero() && s.Before.IsZero():
		return true
	case m.Date.IsZero():
		return false
	}
	return !m.Date.Before(s.Since) && (s.Before.IsZero() || m.Date.Before(s.Before))
}

// matches asks match about a message.
func (r *Repo) matches(m *Message, match func(*Message, *store.Message) bool) (bool, error) {
	if match == nil {
		return true, nil
	}
	sm, err := r.Read(m)
	if err != nil {
		return false, err
	}
	defer sm.Close()
	return match(m, sm), nil
}

// sound opens a message that has the octets that were stored.
func (r *Repo) sound(m *Message) (*store.Message, error) {
	sm, err := r.Read(m)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err = io.Copy(h, sm.Open()); err == nil && (store.Digest(h.Sum(nil)) != m.Digest || sm.WireSize() != m.Size) {
		err = &store.Error{Path: sm.Path, Msg: "not as it was stored"}
	}
	if err != nil {
		return nil, errors.Join(err, sm.Close())
	}
	return sm, nil
}

// fill appends what is not there. An error besides one of the connection is a
// refusal that concerns the mailbox.
func (b *restoring) fill(ctx context.Context) error {
	if err := b.make(ctx); err != nil {
		return err
	}
	if !b.exists && b.rs.o.DryRun {
		b.would()
		return nil
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	if !b.compared {
		if err := b.compare(ctx); err != nil {
			return err
		}
		b.compared = true
	}
	if b.rs.o.DryRun {
		b.would()
		return nil
	}
	b.later, b.held = nil, map[int]error{}
	if err := b.append(ctx); err != nil {
		return err
	}
	if err := b.label(ctx); err != nil {
		return err
	}
	return b.later
}

// would reports what a restore would append.
func (b *restoring) would() {
	for i, f := range b.fates {
		if f == todo {
			b.fates[i] = appended
		}
	}
}

// make makes the mailbox where it is missing, and subscribes to it.
func (b *restoring) make(ctx context.Context) error {
	rs := b.rs
	if rs.o.DryRun {
		b.result.Created = !b.exists
	}
	if b.made || rs.o.DryRun {
		return nil
	}
	if !b.exists || !rs.to.names[b.name] {
		if err := b.create(ctx); err != nil && (rs.c.Err() != nil || b.open(ctx) != nil) {
			return err
		}
	}
	b.made = true
	if b.from.Subscribed && !rs.to.subs[b.name] {
		if err := rs.c.Subscribe(ctx, b.name); err != nil {
			return b.warn("not subscribed", err)
		}
	}
	return nil
}

// create makes the mailbox, with its special use if that is possible.
func (b *restoring) create(ctx context.Context) error {
	c := b.rs.c
	var use error
	if len(b.use) > 0 {
		var refused *imap.Error
		use = c.CreateFor(ctx, b.name, b.use...)
		if use == nil || errors.As(use, &refused) && refused.Code == "ALREADYEXISTS" {
			b.result.Created = b.result.Created || use == nil
			return nil
		}
		if c.Err() != nil {
			return use
		}
	}
	var refused *imap.Error
	switch err := c.Create(ctx, b.name); {
	case errors.As(err, &refused) && refused.Code == "ALREADYEXISTS":
	case err != nil:
		return err
	default:
		b.result.Created = true
	}
	if use != nil {
		return b.warn("no special use", use)
	}
	return nil
}

// warn notes what was refused and does not matter much. An error that ends the
// connection does.
func (b *restoring) warn(what string, err error) error {
	if b.rs.c.Err() != nil {
		return err
	}
	if len(b.result.Warnings) < maxWarnings {
		b.result.Warnings = append(b.result.Warnings, what+": "+err.Error())
	}
	return nil
}

// open opens the mailbox, for writing because only so the server tells which flags
// it can keep.
func (b *restoring) open(ctx context.Context) (err error) {
	c := b.rs.c
	if b.rs.o.DryRun {
		b.sel, err = c.Examine(ctx, b.name, nil)
	} else if b.sel == nil || c.Mailbox() != b.name {
		b.sel, err = c.Select(ctx, b.name, nil)
	}
	return err
}

// compare finds out what is there already.
func (b *restoring) compare(ctx context.Context) error {
	if b.sel.Exists == 0 || len(b.refs) == 0 {
		return nil
	}
	l := &census{c: b.rs.c}
	if err := l.list(ctx); err != nil {
		return err
	}
	locals := make([]local, len(b.refs))
	for i := range b.refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := b.rs.x.message(b.refs[i])
		if err != nil {
			return err
		}
		if b.fates[i] == merged || b.fates[i] == refused {
			locals[i].damaged = errNoMessage
			continue
		}
		locals[i] = b.rs.r.recognise(m)
	}
	if err := l.prove(ctx, newSuspects(locals)); err != nil {
		return err
	}
	b.pair(newMatcher(l), locals)
	return nil
}

// pair pairs messages with those there: first those that are known to be there, and
// those with the same date.
func (b *restoring) pair(m *matcher, locals []local) {
	paired := make([]bool, len(locals))
	for _, known := range [...]bool{true, false} {
		for _, dated := range [...]bool{true, false} {
			for i := range locals {
				if paired[i] || (b.fates[i] == todo) == known {
					continue
				}
				r := m.match(&locals[i], dated)
				if paired[i] = r != nil; r != nil && b.fates[i] == todo {
					b.fates[i] = present
					b.wantLabels(i, r.uid)
				}
			}
		}
	}
}

// append appends what is not there.
func (b *restoring) append(ctx context.Context) error {
	var sent []*outgoing
	defer func() {
		for _, out := range sent {
			if out != nil {
				out.close()
			}
		}
	}()
	items := func(yield func(imap.AppendItem, error) bool) {
		for i := range b.refs {
			if b.fates[i] != todo || b.later != nil {
				continue
			}
			out, err := b.take(i)
			if err != nil {
				b.refuse(i, err)
				continue
			}
			sent = append(sent, out)
			if !yield(out.item(b.keep(out.m.Flags)), nil) {
				return
			}
		}
	}
	return b.rs.c.AppendAll(ctx, b.name, items, func(n int, res imap.AppendResult) error {
		out := sent[n]
		sent[n] = nil
		out.close()
		b.outcome(out, res)
		return nil
	})
}

// take opens a message that is to be appended.
func (b *restoring) take(i int) (*outgoing, error) {
	m, err := b.rs.x.message(b.refs[i])
	if err != nil {
		return nil, err
	}
	sm, err := b.rs.r.sound(m)
	if err != nil {
		return nil, err
	}
	return &outgoing{r: b.rs.r, i: i, m: m, sm: sm}, nil
}

// outcome takes what became of a message that was sent.
func (b *restoring) outcome(out *outgoing, res imap.AppendResult) {
	var refused *imap.Error
	switch {
	case res.Err == nil:
		b.fates[out.i] = appended
		b.put++
		b.rs.done++
		b.result.Size += out.m.Size
		b.wantLabels(out.i, res.UID)
		b.rs.tell(RestoreEvent{Kind: EventMessage, Mailbox: b.from.Name, Dest: b.name, UID: out.m.UID, UIDL: out.m.UIDL, Bytes: out.m.Size})
	case errors.As(res.Err, &refused) && refused.Status != "BYE" && refused.Temporary():
		b.later, b.held[out.i] = res.Err, res.Err
	case b.rs.c.Err() == nil, out.err != nil:
		b.refuse(out.i, res.Err)
	} // else the connection is lost, and it is not known or not there
}

// refuse reports a message that is not restored.
func (b *restoring) refuse(i int, err error) {
	b.fates[i] = refused
	m, merr := b.rs.x.message(b.refs[i])
	if merr != nil || len(b.result.Refused) >= maxMissing {
		return
	}
	b.result.Refused = append(b.result.Refused, Refused{UID: m.UID, UIDL: m.UIDL, File: m.File, Err: err})
	b.rs.tell(RestoreEvent{Kind: EventMessage, Mailbox: b.from.Name, Dest: b.name, UID: m.UID, UIDL: m.UIDL, Bytes: m.Size, Err: err})
}

// keep leaves out the flags that the mailbox cannot keep (PERMANENTFLAGS).
func (b *restoring) keep(flags []string) []imap.Flag {
	var list []imap.Flag
	for _, text := range flags {
		f := imap.Flag(text)
		if f.Equal(`\Recent`) {
			continue
		}
		if !isFlag(text) || !b.keeps(f) {
			if b.left == nil {
				b.left = map[string]bool{}
			}
			b.left[text] = true
			continue
		}
		list = append(list, f)
	}
	return list
}

// isFlag reports whether text can be sent as a flag: an atom, with a backslash before
// it or not (RFC 9051 §9).
func isFlag(text string) bool {
	name := strings.TrimPrefix(text, `\`)
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }
	return name != "" && strings.IndexFunc(name, bad) < 0
}

// keeps reports whether the mailbox can keep a flag. A server that does not tell can.
func (b *restoring) keeps(f imap.Flag) bool {
	if !b.sel.CanChange {
		return true
	}
	for _, p := range b.sel.PermanentFlags {
		if p.Equal(f) || p == `\*` && !strings.HasPrefix(string(f), `\`) {
			return true
		}
	}
	return false
}

// wantLabels notes which labels a message is to have.
func (b *restoring) wantLabels(i int, uid imap.UID) {
	if !b.rs.to.gmail || uid == 0 {
		return
	}
	m, err := b.rs.x.message(b.refs[i])
	if err != nil || len(m.Labels) == 0 {
		return
	}
	key := strings.Join(m.Labels, "\x00")
	if b.labels == nil {
		b.labels = map[string]*labelled{}
	}
	if b.labels[key] == nil {
		b.labels[key] = &labelled{labels: m.Labels}
	}
	b.labels[key].uids.Add(uid)
}

// label gives messages their labels. It can be done again.
func (b *restoring) label(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(b.labels)) {
		l := b.labels[key]
		if err := b.rs.c.StoreLabels(ctx, l.uids, imap.AddFlags, l.labels); err != nil {
			if temporary(err) || b.rs.c.Err() != nil {
				return err
			}
			if err := b.warn(fmt.Sprintf("%d messages without their labels", l.uids.Count()), err); err != nil {
				return err
			}
		}
		delete(b.labels, key)
	}
	return nil
}

// finish sums up.
func (b *restoring) finish() {
	for _, f := range b.fates {
		switch f {
		case present:
			b.result.Present++
		case appended:
			b.result.Appended++
		case merged:
			b.result.Merged++
		}
	}
	b.result.Flags = slices.Sorted(maps.Keys(b.left))
}

// outgoing is a message that is being appended. It is open from when it was looked
// at until it was read, and opened again if it has to be sent again.
type outgoing struct {
	r    *Repo
	i    int
	m    *Message
	sm   *store.Message
	from io.Reader
	over bool
	err  error // of the file
}

// item is the message for AppendAll.
func (o *outgoing) item(flags []imap.Flag) imap.AppendItem {
	return imap.AppendItem{Size: o.m.Size, Body: o, Flags: flags, Date: o.m.Date}
}

// Read gives the message in wire form.
func (o *outgoing) Read(p []byte) (int, error) {
	if o.over {
		return 0, io.EOF
	}
	if o.from == nil {
		if o.sm == nil {
			if o.sm, o.err = o.r.sound(o.m); o.err != nil {
				return 0, o.err
			}
		}
		o.from = o.sm.Wire()
	}
	n, err := o.from.Read(p)
	if err != nil {
		o.over = err == io.EOF
		if !o.over {
			o.err = err
		}
		o.close()
	}
	return n, err
}

// Seek goes back to the beginning, and nowhere else.
func (o *outgoing) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	o.from, o.over = nil, false
	return 0, nil
}

// close releases the file.
func (o *outgoing) close() {
	if o.sm != nil {
		_ = o.sm.Close() // it was only read
	}
	o.sm, o.from = nil, nil
}
