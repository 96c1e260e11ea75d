package backup

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

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
	rs         *restorer
	link       *restoreLink
	result     RestoredMailbox
	refs       []ref
	fates      []fate
	made       bool // the mailbox is there
	subscribed bool // or the server refuses it
	compared   bool // with what is there, on this connection or before it was lost in good order
	sel        *imap.SelectData
	labels     map[string]*labelled
	left       map[string]bool // flags that the mailbox cannot keep
	put        int             // appended, to see progress
	sent       bool            // something was sent that is to be appended
	later      error           // the server wants a pause, or failed for a while
	held       map[int]error   // messages it refused for that
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
		case b.link.c.Err() != nil: // the connection is lost
			b.compared = false
			if tries >= restoreTries {
				b.result.Err = err
				return err
			}
			if err := b.rs.pause(ctx, b, waitFor(err, tries), err); err != nil {
				return err
			}
			err := b.link.connect(ctx)
			if err == nil && b.sent {
				err = b.settleBox(ctx)
			}
			if err != nil {
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
	rs.choosing.Lock()
	defer rs.choosing.Unlock()
	info, _ := rs.x.info(b.box)
	b.refs, b.fates = make([]ref, 0, info.Count), make([]fate, 0, info.Count)
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
		return nil
	}
	if !b.made && (!b.exists || !rs.to.names[b.name]) {
		if err := b.create(ctx); err != nil && (b.link.c.Err() != nil || b.open(ctx) != nil) {
			return err
		}
	}
	b.made = true
	if b.from.Subscribed && !b.subscribed && !rs.to.subs[b.name] {
		if err := b.link.c.Subscribe(ctx, b.name); err != nil {
			if err := b.warn("not subscribed", err); err != nil {
				return err
			}
		}
		b.subscribed = true
	}
	return nil
}

// create makes the mailbox, with its special use if that is possible.
func (b *restoring) create(ctx context.Context) error {
	c := b.link.c
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
	if b.link.c.Err() != nil {
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
	c := b.link.c
	if b.rs.o.DryRun {
		b.sel, err = c.Examine(ctx, b.name, nil)
	} else if b.sel == nil || c.Mailbox() != b.name {
		b.sel, err = c.Select(ctx, b.name, nil)
	}
	return err
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
