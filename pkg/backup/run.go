package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// RunOptions say how a run works.
type RunOptions struct {
	// Dial gives a connection that is logged in. It is called by several
	// goroutines.
	Dial        func(context.Context) (*imap.Client, error)
	Connections int      // at most so many at once; 0: 4
	Patterns    []string // mailboxes: "*" and "%" as in LIST, "!" in front excludes; none: all
	Budget      int64    // octets of messages a day; 0: any
	Full        bool     // compare all flags and UIDs, whatever the server says has changed
	DryRun      bool     // only look: nothing is stored or recorded
	// MaxWait is how long the server may make the run wait in all, when it is busy or
	// throttles; 0: 15 minutes, negative: not at all.
	MaxWait time.Duration
	Event   func(Event)

	openTree func(string, store.Kind) (*store.Tree, error) // for tests
	now      func() time.Time                              // for tests
	sleep    func(context.Context, time.Duration) error    // for tests
}

const (
	defaultConnections = 4
	defaultMaxWait     = 15 * time.Minute
)

// Run stores what is new on the server and records what has changed. A mailbox or a
// message that fails is in the receipt, and the others go on.
//
// Errors: those of Dial and of the listing; those of the disk, after which nothing
// more is stored; that of ctx. In all cases what was fetched is recorded as far as
// that can be, and the receipt, unless it is nil, tells of it. An incomplete receipt
// is no error.
func (r *Repo) Run(ctx context.Context, o RunOptions) (*Receipt, error) {
	f, err := r.newRun(o)
	if err != nil {
		return nil, err
	}
	return f.run(ctx)
}

// fetching is one run.
type fetching struct {
	r     *Repo
	o     RunOptions
	index *index
	rec   *recorder
	tree  *store.Tree // nil: not needed yet
	com   *committer
	jobs  *jobQueue
	began time.Time
	runs  runsState
	full  bool

	boxes  []*boxRun
	news   bool // there are mailboxes that are not durable yet
	byIDs  bool // the server has ids of messages that are the same in all mailboxes
	taken  *takenOver
	cancel context.CancelCauseFunc

	mu       sync.Mutex // guards what follows, and what is said to be guarded in boxRun
	receipt  Receipt
	workers  int
	alive    int
	until    time.Time // nothing is asked of the server before
	waited   time.Duration
	fatal    error // of the disk
	unstored error // why no more can be fetched
	stored   int
	total    int
	octets   int64 // that are to come
	later    []*boxRun
	group    sync.WaitGroup

	events sync.Mutex
}

// boxRun is one mailbox of a run.
type boxRun struct {
	id     uint32 // in the manifest
	m      *Mailbox
	status *imap.StatusData // nil: not told
	all    bool             // it has the messages of all others (Gmail)

	selectable bool // there can be messages in it
	visited    bool // it has to be looked into
	fresh      bool // the manifest did not have it so

	// Guarded by fetching.mu.
	v       uint32      // UIDVALIDITY
	known   imap.UIDSet // of that generation, when the run began
	modSeq  uint64
	hadAny  bool          // there is something known, if only UIDVALIDITY
	jobs    int           // that are not done
	listed  imap.UIDSet   // told of by a jobLook
	got     imap.UIDSet   // dealt with
	changes *imap.Changes // what the server has
	recog   *recogniser   // after a change of UIDVALIDITY
	resets  int
	lied    bool // a size was not what came
	receipt MailboxReceipt
}

func (r *Repo) newRun(o RunOptions) (*fetching, error) {
	rec, err := r.record()
	if err != nil {
		return nil, err
	}
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.MaxWait == 0 {
		o.MaxWait = defaultMaxWait
	}
	if o.openTree == nil {
		o.openTree = store.OpenTree
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
	f := &fetching{r: r, o: o, rec: rec, index: rec.x, jobs: newJobQueue(), began: o.now()}
	f.runs = r.readRuns()
	f.runs.today(f.began)
	f.full = o.Full || f.runs.Runs+1 >= fullEvery
	return f, nil
}

// run does it all.
func (f *fetching) run(ctx context.Context) (receipt *Receipt, err error) {
	defer func() {
		if f.tree != nil {
			err = errors.Join(err, f.tree.Close())
		}
	}()
	if err := f.recover(); err != nil {
		return nil, err
	}
	c, err := f.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	if err := f.list(ctx, c); err != nil {
		return nil, err
	}
	if err := f.recordBoxes(); err != nil {
		return nil, err
	}
	if f.plan() {
		client := c
		c = nil // a worker's
		err = f.work(ctx, client)
	}
	if e := f.finish(ctx); err == nil {
		err = e
	}
	return &f.receipt, err
}

// list asks for the mailboxes and their states.
func (f *fetching) list(ctx context.Context, c *imap.Client) error {
	caps, err := c.Capability(ctx)
	if err != nil {
		return err
	}
	gmail := caps.Has("X-GM-EXT-1")
	f.byIDs = gmail || caps.Has("OBJECTID")
	o := imap.ListOptions{Status: imap.StatusMessages | imap.StatusUIDNext | imap.StatusUIDValidity | imap.StatusHighestModSeq | imap.StatusMailboxID}
	want := patterns(f.o.Patterns)
	if one, ok := want.only(); ok {
		o.Pattern = one
	}
	found, err := c.List(ctx, &o)
	if err != nil {
		return err
	}
	subscribed := map[string]bool{}
	if !caps.Has("LIST-EXTENDED") && !(caps.Has("IMAP4REV2") && !caps.Has("IMAP4REV1")) {
		o := imap.ListOptions{Subscribed: true, Pattern: o.Pattern}
		list, err := c.List(ctx, &o)
		if err != nil && c.Err() != nil {
			return err
		}
		for _, m := range list { // a server that refuses has no subscriptions
			subscribed[m.Name] = true
		}
	}
	for i := range found {
		m := &found[i]
		if !want.match(m.Name, m.Delim) {
			continue
		}
		f.add(m, subscribed[m.Name] || m.Has(`\Subscribed`), gmail && m.Has(`\All`))
	}
	if len(f.boxes) == 0 && len(f.receipt.Mailboxes) == 0 { // there is INBOX at least: the server is out of order, or the patterns are
		return fmt.Errorf("no mailbox matches %q: %w", f.o.Patterns, fs.ErrNotExist)
	}
	slices.SortFunc(f.boxes, func(a, b *boxRun) int { return strings.Compare(a.m.Name, b.m.Name) })
	return nil
}

// passing are attributes that tell of a moment.
var passing = []imap.Flag{`\Subscribed`, `\HasChildren`, `\HasNoChildren`, `\Marked`, `\Unmarked`, `\NonExistent`}

// add takes a listed mailbox in.
func (f *fetching) add(m *imap.Mailbox, subscribed, all bool) {
	box := &Mailbox{Name: m.Name, Delim: m.Delim, Subscribed: subscribed}
	for _, a := range m.Attrs {
		if !slices.ContainsFunc(passing, a.Equal) {
			box.Attrs = append(box.Attrs, string(a))
		}
	}
	slices.Sort(box.Attrs)
	if m.Status.Has(imap.StatusMailboxID) {
		box.ID = m.Status.MailboxID
	}
	f.boxes = append(f.boxes, &boxRun{m: box, status: m.Status, all: all, selectable: m.Selectable(), receipt: MailboxReceipt{Name: m.Name}})
}

// recordBoxes tells the manifest of the mailboxes that there are, and of those that
// are there no more. A name that cannot be stored fails that mailbox.
func (f *fetching) recordBoxes() error {
	before := f.written()
	if !f.o.DryRun {
		for _, id := range f.vanished() {
			if err := f.rec.noBox(id); err != nil {
				return err
			}
		}
	}
	kept := f.boxes[:0]
	for _, b := range f.boxes {
		var err error
		if f.o.DryRun {
			if b.m.Dir, err = EncodeName(b.m.Name, b.m.Delim); err == nil {
				b.id, _ = f.index.box(b.m.Dir)
			}
		} else {
			before := f.written()
			b.id, err = f.rec.box(b.m)
			b.fresh = f.written() != before
		}
		if f.rec.err != nil {
			return f.rec.err
		}
		if err != nil {
			f.receipt.Mailboxes = append(f.receipt.Mailboxes, MailboxReceipt{Name: b.m.Name, Err: err})
			continue
		}
		kept = append(kept, b)
		if info, ok := f.index.info(b.id); ok {
			b.v, b.known, b.modSeq, b.hadAny = info.State.UIDValidity, info.Known, info.State.ModSeq, info.Count > 0 || info.State.UIDValidity != 0
		}
	}
	f.boxes = kept
	f.news = f.written() != before
	if !f.news {
		return nil
	}
	if err := f.r.setDirty(true); err != nil {
		return err
	}
	return f.rec.commit()
}

// written is where the manifest ends, with what is not in the file yet.
func (f *fetching) written() int64 { return f.index.log.size + int64(len(f.index.log.pending)) }

// plan finds out which mailboxes to visit, and reports whether there is anything to
// do.
func (f *fetching) plan() bool {
	for _, b := range f.boxes {
		if b.selectable && !f.unchanged(b) {
			b.visited = true
			f.later = append(f.later, b)
		}
	}
	return f.news || len(f.later) > 0
}

// unchanged reports whether the server told enough to know that all is stored.
func (f *fetching) unchanged(b *boxRun) bool {
	s := b.status
	if !s.Has(imap.StatusMessages) {
		return false
	}
	b.receipt.Server = int(s.Messages)
	info, _ := f.index.info(b.id)
	if s.Messages == 0 && info.Count == 0 {
		return true
	}
	return !f.full && f.taken.none(b) && info.State.Stored && s.Has(imap.StatusUIDNext|imap.StatusUIDValidity|imap.StatusHighestModSeq) &&
		s.HighestModSeq != 0 && s.HighestModSeq == info.State.ModSeq && s.UIDValidity == info.State.UIDValidity &&
		uint32(s.UIDNext) == info.State.UIDNext && s.Messages == info.State.Messages && int(s.Messages) == info.Count
}

// vanished returns the mailboxes that the server has no more.
func (f *fetching) vanished() []uint32 {
	there := map[string]bool{}
	for _, b := range f.boxes {
		there[b.m.Name] = true
	}
	var gone []uint32
	want := patterns(f.o.Patterns)
	for _, id := range f.index.boxNumbers(false) {
		info, _ := f.index.info(id)
		if !there[info.Mailbox.Name] && want.match(info.Mailbox.Name, info.Mailbox.Delim) {
			gone = append(gone, id)
		}
	}
	return gone
}

// work fetches, with client as the first connection.
func (f *fetching) work(ctx context.Context, client *imap.Client) error {
	if f.o.DryRun {
		f.com = nil
	} else if err := f.openTree(); err != nil {
		_ = client.Close()
		return err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.cancel = cancel
	committed := make(chan error, 1)
	if f.com != nil {
		go func() { committed <- f.com.run(context.WithoutCancel(ctx)) }()
	} else {
		committed <- nil
	}
	f.begin()
	f.startWorkers(work, client)
	f.group.Wait()
	if f.com != nil {
		f.com.end()
	}
	err := <-committed
	if err == nil {
		err = f.fatal
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (f *fetching) openTree() (err error) {
	if f.tree == nil {
		if f.tree, err = f.o.openTree(f.r.dir, store.Kind(f.r.settings.Format)); err != nil {
			return err
		}
		if err := f.tree.Clean(); err != nil {
			return err
		}
	}
	f.com = newCommitter(f.r, f.rec, f.index, f.tree)
	f.com.done, f.com.lost, f.com.warn, f.com.failed = f.recorded, f.lost, f.warn, f.fail
	for _, b := range f.boxes {
		if b.selectable && (b.fresh || f.taken != nil) {
			f.com.dirs = append(f.com.dirs, b.m.Dir)
		}
	}
	return f.r.setDirty(true)
}

// begin hands out the first work.
func (f *fetching) begin() {
	visits := f.later
	f.later = nil
	all := slices.ContainsFunc(visits, func(b *boxRun) bool { return b.all })
	if all { // the others have the same messages
		var first []*boxRun
		for _, b := range visits {
			if b.all {
				first = append(first, b)
			} else {
				f.later = append(f.later, b)
			}
		}
		visits = first
	}
	f.visit(visits)
}

// visit queues the first jobs of mailboxes.
func (f *fetching) visit(boxes []*boxRun) {
	total := 0
	for _, b := range boxes {
		total += b.expected()
	}
	few := len(boxes) <= 2*f.o.Connections
	ids := f.byIDs && (f.index.size() > 0 || slices.ContainsFunc(f.boxes, func(b *boxRun) bool { return b.all }))
	var jobs []*job
	guessed := int64(0)
	for _, b := range boxes {
		n := b.expected()
		j := &job{kind: jobWhole, box: b, size: int64(n) * guessOctets}
		if f.o.DryRun || ids && n > 0 || !f.taken.none(b) || few && n >= 8 || n > max(64, total/(4*f.o.Connections)) {
			j.kind, j.size = jobLook, int64(n)*64
		} else {
			guessed += j.size
		}
		jobs = append(jobs, j)
	}
	f.mu.Lock()
	f.total += total
	f.octets += guessed
	f.mu.Unlock()
	f.tellPlan()
	f.queue(jobs...)
}

// tellPlan tells how much there is to come, as far as known.
func (f *fetching) tellPlan() {
	f.mu.Lock()
	e := Event{Kind: EventPlan, Messages: f.stored, Total: f.total, TotalBytes: f.octets}
	f.mu.Unlock()
	f.event(e)
}

// expected is how many messages are new in a mailbox, as far as known.
func (b *boxRun) expected() int {
	if !b.status.Has(imap.StatusMessages) {
		return 1000
	}
	n := int(b.status.Messages)
	if b.status.UIDValidity == b.v {
		n -= int(min(b.known.Count(), 1<<31))
	}
	return max(n, 0)
}

// queue hands out work.
func (f *fetching) queue(jobs ...*job) {
	f.mu.Lock()
	for _, j := range jobs {
		j.box.jobs++
	}
	f.mu.Unlock()
	f.jobs.push(jobs...)
}

// finish writes the snapshot and the receipt.
func (f *fetching) finish(ctx context.Context) error {
	err := f.account()
	if !f.o.DryRun && f.fatal == nil && err == nil {
		err = f.snapshot()
	}
	f.receipt.Took = f.o.now().Sub(f.began)
	f.event(Event{Kind: EventDone, Messages: f.stored, Err: ctx.Err()})
	return err
}

// account completes the receipts.
func (f *fetching) account() error {
	for _, b := range f.boxes {
		if !b.selectable {
			continue
		}
		rec := &b.receipt
		info, _ := f.index.info(b.id)
		rec.Stored = info.Count
		if b.changes != nil {
			rec.Server = int(b.changes.Select.Exists)
			rec.Stored = int(b.changes.State.Known.Count() - b.changes.State.Known.Minus(info.Known).Count())
			rec.Server = int(b.changes.State.Known.Count())
		} else if b.status.Has(imap.StatusMessages) {
			rec.Server = int(b.status.Messages)
		}
		if rec.Err == nil && (b.jobs > 0 || b.visited && b.changes == nil) {
			rec.Err = cmpErr(f.unstored, f.fatal, errStopped)
		}
		f.receipt.Mailboxes = append(f.receipt.Mailboxes, *rec)
	}
	slices.SortFunc(f.receipt.Mailboxes, func(a, b MailboxReceipt) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

var errStopped = errors.New("the run ended before")

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshot ends a run that could record.
func (f *fetching) snapshot() error {
	s := Snapshot{Time: f.began, Complete: f.receipt.Complete()}
	if err := f.rec.snap(&s); err != nil {
		return err
	}
	if err := f.rec.commit(); err != nil {
		return err
	}
	f.receipt.Snapshot = s.ID
	f.runs.Runs++
	if f.full && s.Complete {
		f.runs.Runs = 0
	}
	if err := f.r.writeRuns(f.runs); err != nil {
		return err
	}
	return f.r.setDirty(false)
}

// push hands an item to the committer.
func (f *fetching) push(it item) error {
	if f.com == nil {
		return nil
	}
	return f.com.push(it)
}

// fail ends the run: the disk failed.
func (f *fetching) fail(err error) {
	f.mu.Lock()
	if f.fatal == nil {
		f.fatal = err
	}
	f.mu.Unlock()
	f.jobs.end()
	f.cancel(err)
}

// warn tells the user something that is no failure.
func (f *fetching) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.mu.Lock()
	if len(f.receipt.Warnings) < maxWarnings {
		f.receipt.Warnings = append(f.receipt.Warnings, text)
	}
	f.mu.Unlock()
	f.event(Event{Kind: EventWarning, Text: text})
}

func (f *fetching) event(e Event) {
	if f.o.Event == nil {
		return
	}
	f.events.Lock()
	defer f.events.Unlock()
	f.o.Event(e)
}

// recorded is called by the committer for what is recorded.
func (f *fetching) recorded(it *item) {
	b := it.box
	if it.kind == itemSync {
		return
	}
	f.mu.Lock()
	rec := &b.receipt
	e := Event{}
	switch it.kind {
	case itemMsg:
		f.stored++
		e = Event{Kind: EventMessage, Mailbox: b.m.Name, UID: it.msg.UID, UIDL: it.msg.UIDL, Bytes: it.msg.Size,
			Linked: it.staged == nil, Messages: f.stored, Total: f.total, TotalBytes: f.octets}
		switch {
		case it.staged != nil:
			rec.New++
		case it.link != "":
			rec.Linked++
		default:
			rec.Recognised++
		}
	case itemFlags:
		rec.Changed++
	case itemGone:
		rec.Gone += int(it.uids.Count()) + len(it.uidls)
	}
	f.mu.Unlock()
	if e.Kind != "" {
		f.event(e)
	}
}
