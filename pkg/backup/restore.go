package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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
	// connection was lost, and by several goroutines.
	Dial        func(context.Context) (*imap.Client, error)
	Connections int    // at most so many at once; 0: 4. One, where messages may be in several mailboxes (Gmail)
	Prefix      string // mailbox, in the words of the server, to put all below
	DryRun      bool   // nothing is changed: the report tells what would be done
	// Settle is how long the mailboxes must not change before a restore goes on after
	// one that was interrupted, or after a lost connection: the server may still carry
	// out what it was sent. 0: a second.
	Settle time.Duration
	Event  func(RestoreEvent)

	part int // messages that are compared at once, for tests; 0: partMessages
}

// RestoreReport is what became of a restore.
type RestoreReport struct {
	Mailboxes []RestoredMailbox // by their names, those that show messages of others at last
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

// RestoreEvent tells how a restore goes on. A function that takes them is called by
// one goroutine at a time.
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
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	rs := &restorer{r: r, o: o, report: &RestoreReport{}, merged: map[uint64]bool{}}
	err := rs.run(ctx)
	rs.report.ended = err == nil
	rs.report.Took = time.Since(began)
	rs.tell(RestoreEvent{Kind: EventDone})
	return rs.report, err
}

// restorer is one Restore.
type restorer struct {
	r      *Repo
	o      RestoreOptions
	x      *index
	to     *target
	report *RestoreReport
	views  bool // some mailboxes show messages of others

	choosing sync.Mutex      // held while messages are chosen
	merged   map[uint64]bool // messages of Gmail that have a place

	mu    sync.Mutex // guards what follows, and Event
	done  int        // messages appended
	total int
}

// restoreLink is a connection of a restore. It belongs to one goroutine.
type restoreLink struct {
	rs *restorer
	c  *imap.Client
}

// connect dials, in place of a connection that is dead.
func (l *restoreLink) connect(ctx context.Context) (err error) {
	l.close()
	l.c, err = l.rs.o.Dial(ctx)
	return err
}

func (l *restoreLink) close() {
	if l.c != nil {
		_ = l.c.Close() // everything that counts was answered
		l.c = nil
	}
}

// tell calls Event; put are the messages that were appended just now.
func (rs *restorer) tell(e RestoreEvent, put ...*Message) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.done += len(put)
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
	l := &restoreLink{rs: rs}
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return err
	}
	if err := rs.look(ctx, l.c); err != nil {
		return err
	}
	if !rs.o.DryRun && rs.begin() {
		if err := rs.settleAll(ctx, l.c); err != nil {
			return err
		}
	}
	places := rs.plan()
	rs.tell(RestoreEvent{Kind: EventPlan})
	if err := rs.work(ctx, l, places); err != nil {
		return err
	}
	if !rs.o.DryRun {
		rs.end()
	}
	return damage
}

// work restores mailboxes over several connections, of which l is the first.
func (rs *restorer) work(ctx context.Context, l *restoreLink, places []*place) error {
	lanes := rs.lanes(places)
	jobs := make(chan []*place, len(lanes))
	for _, lane := range lanes {
		jobs <- lane
	}
	close(jobs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var left []*place // by connections that failed
	for range min(rs.o.Connections, (len(lanes)+mailboxesEach-1)/mailboxesEach) - 1 {
		group.Go(func() {
			more := &restoreLink{rs: rs}
			defer more.close()
			if more.connect(ctx) == nil { // else the others do it
				rest, _ := rs.drain(ctx, more, jobs) // the first one tries again
				rs.mu.Lock()
				left = append(left, rest...)
				rs.mu.Unlock()
			}
		})
	}
	_, err := rs.drain(ctx, l, jobs)
	if err != nil {
		cancel()
	}
	group.Wait()
	if err == nil {
		again := make(chan []*place, 1)
		again <- left
		close(again)
		_, err = rs.drain(ctx, l, again)
	}
	for _, p := range places {
		if p.result != nil {
			rs.report.Mailboxes = append(rs.report.Mailboxes, *p.result)
		}
	}
	return err
}

// drain restores mailboxes until there are none, and returns what is left of a lane after
// an error.
func (rs *restorer) drain(ctx context.Context, l *restoreLink, lanes <-chan []*place) (left []*place, err error) {
	for lane := range lanes {
		for i, p := range lane {
			if err := rs.mailbox(ctx, l, p); err != nil {
				return lane[i:], err
			}
		}
	}
	return nil, nil
}

// mailboxesEach is how many mailboxes make another connection worth while.
const mailboxesEach = 4

// lanes divides the work into parts of which each is done in its order. Where a message
// may be in several mailboxes there is one: it depends on the others where it goes. A
// mailbox that is made for a special use comes before those below it: servers make
// missing ones above, without it.
func (rs *restorer) lanes(places []*place) [][]*place {
	if rs.to.gmail || rs.views {
		return [][]*place{places}
	}
	var lanes [][]*place
	lane := map[string]int{} // of mailboxes for special uses
	for _, p := range places {
		n := len(lanes)
		for above, at := range lane {
			if rs.to.delim != "" && strings.HasPrefix(p.name, above+rs.to.delim) {
				n = at
			}
		}
		if n == len(lanes) {
			lanes = append(lanes, nil)
		}
		lanes[n] = append(lanes[n], p)
		if len(p.use) > 0 && !p.exists {
			lane[p.name] = n
		}
	}
	return lanes
}

// mailbox restores one mailbox.
func (rs *restorer) mailbox(ctx context.Context, l *restoreLink, p *place) error {
	b := &restoring{rs: rs, link: l, place: p, result: RestoredMailbox{Name: p.from.Name, Dest: p.name}}
	err := b.run(ctx)
	b.finish()
	p.result = &b.result
	rs.tell(RestoreEvent{Kind: EventMailbox, Mailbox: p.from.Name, Dest: p.name, Result: &b.result})
	return err
}

// look asks for the mailboxes of the server.
func (rs *restorer) look(ctx context.Context, c *imap.Client) error {
	ns, err := c.Namespace(ctx)
	if err != nil {
		return err
	}
	list, err := c.List(ctx, nil)
	if err != nil {
		return err
	}
	caps, err := c.Capability(ctx)
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
	if _, err = copyAll(h, sm.Open()); err == nil && (store.Digest(h.Sum(nil)) != m.Digest || sm.WireSize() != m.Size) {
		err = &store.Error{Path: sm.Path, Msg: "not as it was stored"}
	}
	if err != nil {
		return nil, errors.Join(err, sm.Close())
	}
	return sm, nil
}

// labelled are the messages that are to have the same labels.
type labelled struct {
	labels []string
	uids   imap.UIDSet
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
		if err := b.link.c.StoreLabels(ctx, l.uids, imap.AddFlags, l.labels); err != nil {
			if temporary(err) || b.link.c.Err() != nil {
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
