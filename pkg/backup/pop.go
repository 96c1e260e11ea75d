package backup

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
	return p.run(ctx)
}

// popRun is one run over POP3.
type popRun struct {
	*fetching
	dial     func(context.Context) (*pop3.Client, error)
	box      *boxRun
	listed   idSet                // that the server has
	seen     idSet                // that are stored, or have come
	missing  map[string]Missing   // by number and unique id
	nameless map[store.Digest]int // messages without a unique id in this session
}

// idSet is a set of unique ids, by what the index knows them by.
type idSet map[uint64]struct{}

func (s idSet) add(uidl string) {
	oid, _ := uidlKey(uidl)
	s[oid] = struct{}{}
}

func (s idSet) has(uidl string) bool {
	oid, _ := uidlKey(uidl)
	_, ok := s[oid]
	return ok
}

// popMessage is one message of a maildrop.
type popMessage struct {
	number int
	size   int64
	uidl   string // "": none that can be used
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
	wanted, err := p.list(ctx, c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := p.record(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	gone, err := p.gone()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	switch {
	case p.o.DryRun:
		for _, m := range wanted {
			p.box.receipt.New++
			p.box.receipt.Size += m.size
		}
		err = c.Quit(ctx)
	case p.news || len(wanted)+len(gone) > 0 || !p.taken.none(p.box):
		p.plan(wanted)
		err = p.work(ctx, c, wanted, gone)
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

// list asks what is there, and returns what has to be fetched.
func (p *popRun) list(ctx context.Context, c *pop3.Client) ([]popMessage, error) {
	if p.box == nil {
		p.box = &boxRun{m: &Mailbox{Name: popInbox}, selectable: true, receipt: MailboxReceipt{Name: popInbox}}
		p.boxes = []*boxRun{p.box}
	}
	p.listed, p.nameless = idSet{}, map[store.Digest]int{}
	entries, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	uids, err := c.Uidl(ctx)
	var refused *pop3.Error
	if err != nil && !errors.As(err, &refused) { // without UIDL all are known by their octets
		return nil, err
	}
	slices.SortFunc(entries, func(a, b pop3.Entry) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(uids, func(a, b pop3.UID) int { return cmp.Compare(a.Number, b.Number) })
	p.box.receipt.Server = len(entries)
	dir, _ := EncodeName(popInbox, "")
	id, known := p.index.box(dir)
	var wanted []popMessage
	uids = slices.DeleteFunc(uids, func(u pop3.UID) bool { return u.Flaw != pop3.NoFlaw || strings.HasPrefix(u.ID, digestID) })
	for _, u := range uids {
		p.listed.add(u.ID)
	}
	for _, e := range entries {
		m := popMessage{number: e.Number, size: e.Size}
		for len(uids) > 0 && uids[0].Number < e.Number {
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0].Number == e.Number {
			m.uidl = uids[0].ID
			if _, ok := p.index.uidl(id, m.uidl); ok && known || p.seen.has(m.uidl) {
				continue
			}
		}
		wanted = append(wanted, m)
	}
	return wanted, nil
}

// digestID begins what stands for the unique id of a message that has none: its
// digest.
const digestID = "sha256:"

// gone returns the unique ids that the server has no more. Those made of digests are
// known once all is fetched only. It looks messages up as the index does, which may
// have no more than a hash of the id (see [Repo.Repair]).
func (p *popRun) gone() (list []string, err error) {
	for at := range p.index.present(p.box.id) {
		if _, there := p.listed[p.index.oidOf(at)]; there {
			continue
		}
		m, err := p.index.message(at)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(m.UIDL, digestID) {
			list = append(list, m.UIDL)
		}
	}
	return list, nil
}

// plan tells what is to come.
func (p *popRun) plan(wanted []popMessage) {
	p.mu.Lock()
	p.total = len(wanted)
	for _, m := range wanted {
		p.octets += m.size
	}
	p.mu.Unlock()
	p.tellPlan()
}

// work fetches and records.
func (p *popRun) work(ctx context.Context, c *pop3.Client, wanted []popMessage, gone []string) error {
	if err := p.openTree(); err != nil {
		return errors.Join(err, c.Close())
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.cancel = cancel
	committed := make(chan error, 1)
	go func() { committed <- p.com.run(context.WithoutCancel(ctx)) }()
	if len(gone) > 0 {
		_ = p.push(item{kind: itemGone, box: p.box, uidls: gone}) // an error ends the run
	}
	if err := p.sessions(work, c, wanted); err != nil {
		p.boxFails(p.box, err)
	}
	p.com.end()
	err := <-committed
	if err == nil {
		err = p.fatal
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// sessions fetches, over one connection after another while they break.
func (p *popRun) sessions(ctx context.Context, c *pop3.Client, wanted []popMessage) error {
	var err error
	for failed := 0; ; {
		if c != nil {
			before := len(p.seen)
			err = p.session(ctx, c, wanted)
			broken := c.Conn().Err() != nil
			if err == nil && !broken {
				_ = c.Quit(ctx) // nothing was marked
				return p.goneNameless()
			}
			_ = c.Close()
			c = nil
			if len(p.seen) > before {
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
		if wanted, err = p.list(ctx, c); err != nil {
			_ = c.Close()
			c = nil
		}
	}
}

// session fetches over one connection. Refusals are in missing.
func (p *popRun) session(ctx context.Context, c *pop3.Client, wanted []popMessage) error {
	numbers := make([]int, 0, len(wanted))
	for _, m := range wanted {
		msg := &Message{Mailbox: p.box.m, UIDL: m.uidl}
		if m.uidl == "" || !p.taken.find(p.fetching, p.box, msg) {
			numbers = append(numbers, m.number)
			continue
		}
		p.seen.add(m.uidl)
		if err := p.push(item{kind: itemMsg, box: p.box, msg: msg}); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	byNumber := func(n int) popMessage {
		i, _ := slices.BinarySearchFunc(wanted, n, func(m popMessage, n int) int { return cmp.Compare(m.number, n) })
		return wanted[i]
	}
	err := c.Retr(ctx, numbers, func(n int, _ int64, body io.Reader) error { return p.receive(ctx, c, byNumber(n), body) })
	var partial *pop3.PartialError
	if !errors.As(err, &partial) {
		return err
	}
	for _, r := range partial.Refused {
		m := byNumber(r.Number)
		p.missing[fmt.Sprint(r.Number, m.uidl)] = Missing{UIDL: m.uidl, Why: r.Err.Error()}
	}
	return nil
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
		p.listed.add(msg.UIDL)
	}
	_, known := p.index.uidl(p.box.id, msg.UIDL)
	if known || p.seen.has(msg.UIDL) {
		return p.tree.Discard(staged)
	}
	p.seen.add(msg.UIDL)
	msg.File = p.r.fileName(msg, staged.Size, staged.Marked)
	p.mu.Lock()
	p.box.receipt.Size += staged.WireSize
	p.fetching.receipt.Bytes += staged.WireSize
	p.mu.Unlock()
	return p.push(item{kind: itemMsg, box: p.box, msg: msg, staged: staged})
}

// goneNameless tells of messages without a unique id that did not come again.
func (p *popRun) goneNameless() error {
	var gone []string
	for at := range p.index.present(p.box.id) {
		m, err := p.index.message(at)
		if err != nil {
			return err
		}
		if strings.HasPrefix(m.UIDL, digestID) && !p.listed.has(m.UIDL) {
			gone = append(gone, m.UIDL)
		}
	}
	if len(gone) == 0 || len(p.missing) > 0 {
		return nil
	}
	slices.Sort(gone)
	return p.push(item{kind: itemGone, box: p.box, uidls: gone})
}
