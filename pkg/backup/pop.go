package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
)

// POPOptions say how a run over POP3 works.
type POPOptions struct {
	// Dial gives a connection that is logged in.
	Dial   func(context.Context) (*pop3.Client, error)
	Budget int64 // octets of messages a day; 0: any
	DryRun bool  // only look: nothing is stored or recorded
	Event  func(Event)

	openTree func(string, store.Kind) (*store.Tree, error) // for tests
	sleep    func(context.Context, time.Duration) error    // for tests
}

// popInbox is the one mailbox of a maildrop.
const popInbox = "INBOX"

// RunPOP stores what is new in a maildrop, as [Repo.Run] does, in the one mailbox
// INBOX. Nothing is deleted on the server. Messages without a unique id that can be
// used are fetched each time, and known by their octets.
func (r *Repo) RunPOP(ctx context.Context, o POPOptions) (*Receipt, error) {
	f, err := r.newRun(RunOptions{Patterns: []string{popInbox}, Budget: o.Budget, DryRun: o.DryRun, Event: o.Event, openTree: o.openTree, sleep: o.sleep})
	if err != nil {
		return nil, err
	}
	p := &popRun{fetching: f, dial: o.Dial, seen: idSet{}, missing: map[string]Missing{}}
	p.box = &boxRun{m: &Mailbox{Name: popInbox}, selectable: true, receipt: MailboxReceipt{Name: popInbox}}
	p.boxes = []*boxRun{p.box}
	dir, _ := EncodeName(popInbox, "")
	p.box.id, _ = p.index.box(dir)
	return p.run(ctx)
}

// popRun is one run over POP3. Of the listing it keeps little of what is stored, and
// lets go of the rest as that is fetched: half a million messages take megabytes.
type popRun struct {
	*fetching
	dial     func(context.Context) (*pop3.Client, error)
	box      *boxRun
	seen     idSet              // that have come, as far as the index does not have them yet
	progress bool               // something has come in this session
	missing  map[string]Missing // by number and unique id

	// Of the present session:
	wanted   popPages
	listed   []popRow             // those with a unique id that can be used, by that; nil when it is not needed any more
	nameless map[store.Digest]int // messages that have come without a unique id
	named    idSet                // what stands for their unique ids
}

// idSet is a set of unique ids, by what the index knows them by.
type idSet map[uint64]struct{}

func (s idSet) add(uidl string) {
	oid, _ := uidlKey(uidl)
	s[oid] = struct{}{}
}

// add takes in an id that has come. Those that are in the index by now go.
func (p *popRun) add(uidl string) {
	if len(p.seen) >= 2*maxMessages {
		maps.DeleteFunc(p.seen, func(oid uint64, _ struct{}) bool { return p.stored(oid) })
	}
	p.seen.add(uidl)
	p.progress = true
}

func (p *popRun) run(ctx context.Context) (receipt *Receipt, err error) {
	defer func() {
		if p.tree != nil {
			err = errors.Join(err, p.tree.Close())
		}
	}()
	if err := p.recover(); err != nil {
		return nil, err
	}
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.list(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := p.record(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	less, err := p.anyGone()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	count, octets := p.wanted.total(c)
	switch {
	case p.o.DryRun:
		p.box.receipt.New, p.box.receipt.Size = count, octets
		err = c.Quit(ctx)
	case p.news || count > 0 || less || !p.taken.none(p.box):
		p.plan(count, octets)
		err = p.work(ctx, c)
	default:
		err = c.Quit(ctx)
	}
	for _, m := range p.missing {
		p.box.receipt.Missing = append(p.box.receipt.Missing, m)
	}
	if e := p.finish(ctx); err == nil {
		err = e
	}
	return &p.receipt, err
}

// record tells the manifest of the mailbox.
func (p *popRun) record() error {
	server := p.box.receipt.Server
	if err := p.recordBoxes(); err != nil {
		return err
	}
	if len(p.boxes) != 1 {
		return fmt.Errorf("%s: %w", popInbox, errName)
	}
	p.box.receipt.Server = server
	return nil
}

// plan tells what is to come.
func (p *popRun) plan(count int, octets int64) {
	p.mu.Lock()
	p.total, p.octets = count, octets
	p.mu.Unlock()
	p.tellPlan()
}

// work fetches and records.
func (p *popRun) work(ctx context.Context, c *pop3.Client) error {
	if err := p.openTree(); err != nil {
		return errors.Join(err, c.Close())
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.cancel = cancel
	committed := make(chan error, 1)
	go func() { committed <- p.com.run(context.WithoutCancel(ctx)) }()
	err := p.takeOff(p.gone())
	if err != nil {
		p.fail(err)
	}
	if err := p.sessions(work, c); err != nil {
		p.boxFails(p.box, err)
	}
	p.com.end()
	err = <-committed
	if err == nil {
		err = p.fatal
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// sessions fetches, over one connection after another while they break.
func (p *popRun) sessions(ctx context.Context, c *pop3.Client) error {
	var err error
	for failed := 0; ; {
		if c != nil {
			p.progress = false
			err = p.session(ctx, c)
			broken := c.Conn().Err() != nil
			if err == nil && !broken {
				_ = c.Quit(ctx) // nothing was marked
				if len(p.missing) > 0 {
					return nil
				}
				return p.takeOff(p.goneNameless())
			}
			_ = c.Close()
			c = nil
			if p.progress {
				failed = 0
			}
		}
		var budget *BudgetError
		failed++
		if failed > maxTries || ctx.Err() != nil || errors.As(err, &budget) || p.fatal != nil {
			return cmpErr(err, ctx.Err())
		}
		if perr := p.pause(ctx, pauses[failed], err); perr != nil {
			return perr
		}
		if c, err = p.dial(ctx); err != nil {
			c = nil
			continue
		}
		if err = p.list(ctx, c); err != nil {
			_ = c.Close()
			c = nil
		}
	}
}

// session fetches over one connection what is wanted, page by page. Refusals are in
// missing.
func (p *popRun) session(ctx context.Context, c *pop3.Client) error {
	p.listed = nil
	for len(p.wanted) > 0 {
		page := p.wanted[0]
		p.wanted[0], p.wanted = nil, p.wanted[1:]
		if err := p.page(ctx, c, page); err != nil {
			return err
		}
	}
	return nil
}

// page fetches some messages.
func (p *popRun) page(ctx context.Context, c *pop3.Client, page *popPage) error {
	numbers := make([]int, 0, len(page.numbers))
	for i, n := range page.numbers {
		uidl := page.uidl(i)
		msg := &Message{Mailbox: p.box.m, UIDL: uidl}
		if uidl == "" || !p.taken.find(p.fetching, p.box, msg) {
			numbers = append(numbers, n)
			continue
		}
		p.add(uidl)
		if err := p.push(item{kind: itemMsg, box: p.box, msg: msg}); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	next := 0 // of the page: they come in this order
	err := c.Retr(ctx, numbers, func(n int, size int64, body io.Reader) error {
		next += slices.Index(page.numbers[next:], n)
		return p.receive(ctx, c, popMessage{page.uidl(next), max(size, 0)}, body)
	})
	var partial *pop3.PartialError
	if !errors.As(err, &partial) {
		return err
	}
	for _, r := range partial.Refused {
		p.refused(r.Number, page.uidl(slices.Index(page.numbers, r.Number)), r.Err)
	}
	return nil
}

// refused notes a message that the server does not give.
func (p *popRun) refused(number int, uidl string, why error) {
	if len(p.missing) >= maxMissing {
		p.boxFails(p.box, fmt.Errorf("more than %d messages are missing: %w", maxMissing, why))
		return
	}
	p.missing[fmt.Sprint(number, uidl)] = Missing{UIDL: uidl, Why: why.Error()}
}

// popMessage is one message of a maildrop.
type popMessage struct {
	uidl string // "": none that can be used
	size int64  // as the server says
}

// receive stores a message.
func (p *popRun) receive(ctx context.Context, c *pop3.Client, m popMessage, body io.Reader) error {
	if err := p.spend(m.size); err != nil {
		return err
	}
	staged, err := p.tree.Stage(ctx, body, time.Time{})
	if err != nil {
		if c.Conn().Err() == nil && ctx.Err() == nil {
			p.fail(err)
		}
		return err
	}
	msg := &Message{Mailbox: p.box.m, UIDL: m.uidl, Size: staged.WireSize, Digest: staged.Digest}
	if m.uidl == "" {
		n := p.nameless[msg.Digest]
		p.nameless[msg.Digest]++
		msg.UIDL = fmt.Sprintf("%s%s.%d", digestID, hex.EncodeToString(msg.Digest[:]), n)
		p.named.add(msg.UIDL)
	}
	if oid, _ := uidlKey(msg.UIDL); p.has(oid) {
		return p.tree.Discard(staged)
	}
	p.add(msg.UIDL)
	msg.File = p.r.fileName(msg, staged.Size, staged.Marked)
	p.mu.Lock()
	p.box.receipt.Size += staged.WireSize
	p.fetching.receipt.Bytes += staged.WireSize
	p.mu.Unlock()
	return p.push(item{kind: itemMsg, box: p.box, msg: msg, staged: staged})
}

// takeOff tells of messages that the server has no more.
func (p *popRun) takeOff(uidls iter.Seq2[string, error]) error {
	var some []string
	for uidl, err := range uidls {
		if err != nil {
			return err
		}
		if some = append(some, uidl); len(some) == maxUIDLs {
			if err := p.push(item{kind: itemGone, box: p.box, uidls: some}); err != nil {
				return err
			}
			some = nil
		}
	}
	if len(some) == 0 {
		return nil
	}
	return p.push(item{kind: itemGone, box: p.box, uidls: some})
}
