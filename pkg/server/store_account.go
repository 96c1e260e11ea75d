package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// furnishing is a mailbox that is made with an account.
type furnishing struct{ name, use string }

// defaultMailboxes are made with an account, beside INBOX, if the store does not want others.
var defaultMailboxes = []furnishing{
	{"Sent", `\Sent`}, {"Drafts", `\Drafts`}, {"Trash", `\Trash`}, {"Junk", `\Junk`}, {"Archive", `\Archive`},
}

// errForeign says that a Mailbox is not of the account it was given to.
var errForeign = errors.New("mailbox of another account")

// localStore is a Store; keep makes the difference between memory and disk.
type localStore struct {
	keep   storeKeeper
	closed atomic.Bool
	serial atomic.Uint64

	mu        sync.Mutex
	accounts  map[string]*account
	furniture []furnishing // mailboxes of a new account; nil: the default ones
}

// storeKeeper opens accounts.
type storeKeeper interface {
	// account fills in a: boxes, subscriptions and keep. fresh says that there was
	// nothing of it yet.
	account(a *account) (fresh bool, err error)
	close() error
}

// accountKeeper makes the changes of an account last. Its methods are called under
// the lock of the account, but for take, link and drop.
type accountKeeper interface {
	create(m *mailbox) (folder, error)
	// remove removes a mailbox with all in it; its lock is held.
	remove(m *mailbox) error
	// rename gives mailboxes, whose locks are held, new names, which are in the same
	// order. After an error some of them may be renamed: done tells how many.
	rename(boxes []*mailbox, names []string) (done int, err error)
	// settle makes special uses and subscriptions last.
	settle(a *account) error
	// settleRenamed is settle after rename, which made sure of them: if it fails now it is
	// done before the next change.
	settleRenamed(a *account)
	// take reads a body to its end and keeps it until it is appended or dropped.
	take(r io.Reader, date time.Time) (payload, int64, error)
	// link makes a second payload of the same octets; the mailbox that holds body is
	// locked.
	link(from folder, body payload) (payload, error)
	drop(body payload)
	close() error
}

// account is an Account of either store.
type account struct {
	store *localStore
	user  string
	keep  accountKeeper

	mu       sync.RWMutex // taken before the locks of mailboxes
	boxes    map[string]*mailbox
	subs     map[string]bool
	validity uint32 // highest UIDVALIDITY given out
}

// newID makes an OBJECTID (RFC 8474 §4), which is of one kind by its first letter.
func newID(kind byte) string { return string(kind) + rand.Text() }

// Account implements Store.
func (s *localStore) Account(user string) (Account, error) {
	if user == "" || len(user) > maxUserName {
		return nil, fmt.Errorf("invalid user name %.100q", user)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return nil, ErrStoreClosed
	}
	if a := s.accounts[user]; a != nil {
		return a, nil
	}
	a := &account{store: s, user: user, boxes: map[string]*mailbox{}, subs: map[string]bool{}}
	fresh, err := s.keep.account(a)
	if err == nil && fresh {
		err = a.furnish()
	}
	if err != nil {
		if a.keep != nil {
			err = errors.Join(err, a.closeAll())
		}
		return nil, err
	}
	s.accounts[user] = a
	return a, nil
}

// Close implements Store.
func (s *localStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	for _, a := range s.accounts {
		errs = append(errs, a.closeAll())
	}
	return errors.Join(append(errs, s.keep.close())...)
}

func (a *account) closeAll() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, m := range a.boxes {
		m.mu.Lock()
		errs = append(errs, m.keep.close())
		m.mu.Unlock()
	}
	return errors.Join(append(errs, a.keep.close())...)
}

// furnish makes the mailboxes of a new account, or what is missing of them.
func (a *account) furnish() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.make(inbox, ""); err != nil {
		return err
	}
	a.subs[inbox] = true
	furniture := a.store.furniture
	if furniture == nil {
		furniture = defaultMailboxes
	}
	for _, d := range furniture {
		if err := a.make(d.name, d.use); err != nil {
			return err
		}
		a.boxes[d.name].use = d.use // also if a process that was killed had made it
		a.subs[d.name] = true
	}
	return a.keep.settle(a)
}

// make makes one mailbox unless it is there. The lock is held.
func (a *account) make(name, use string) error {
	if a.boxes[name] != nil {
		return nil
	}
	m := a.newMailbox(name, use)
	var err error
	if m.keep, err = a.keep.create(m); err != nil {
		return err
	}
	a.boxes[name] = m
	return nil
}

// newMailbox makes an empty mailbox.
func (a *account) newMailbox(name, use string) *mailbox {
	m := a.blankMailbox(name, use)
	m.validity, m.id = a.nextValidity(), newID('F')
	return m
}

func (a *account) blankMailbox(name, use string) *mailbox {
	return &mailbox{acct: a, serial: a.store.serial.Add(1), name: name, use: use, uidNext: 1, modSeq: 1,
		bodies: map[uint32]payload{}, watchers: map[chan struct{}]struct{}{}}
}

// nextValidity returns a UIDVALIDITY above all others of the account, whatever the
// clock says.
func (a *account) nextValidity() uint32 {
	a.validity = max(a.validity+1, uint32(min(time.Now().Unix(), 1<<32-2)))
	return a.validity
}

// List implements Account.
func (a *account) List() []MailboxInfo {
	a.mu.RLock()
	defer a.mu.RUnlock()
	infos := make(map[string]MailboxInfo, len(a.boxes))
	for name, m := range a.boxes {
		info := infos[name]
		info.Name, info.SpecialUse, info.Subscribed, info.NoSelect = name, m.use, a.subs[name], false
		infos[name] = info
		for _, above := range parents(name) {
			p, ok := infos[above]
			infos[above] = MailboxInfo{Name: above, SpecialUse: p.SpecialUse, Subscribed: a.subs[above],
				HasChildren: true, NoSelect: !ok || p.NoSelect}
		}
	}
	return slices.SortedFunc(maps.Values(infos), func(x, y MailboxInfo) int { return compareNames(x.Name, y.Name) })
}

// Mailbox implements Account.
func (a *account) Mailbox(name string) (Mailbox, error) {
	m, err := a.find(name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(false); err != nil {
		return nil, err
	}
	return m, nil
}

// exists tells if there is a mailbox of that canonical name.
func (a *account) exists(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.boxes[name] != nil
}

func (a *account) find(name string) (*mailbox, error) {
	canonical, err := canonicalName(name)
	if err != nil {
		return nil, fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	m := a.boxes[canonical]
	if m == nil {
		return nil, fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
	}
	return m, nil
}

// lock takes the lock for a change.
func (a *account) lock() error {
	a.mu.Lock()
	if a.store.closed.Load() {
		a.mu.Unlock()
		return ErrStoreClosed
	}
	return nil
}

// Create implements Account.
func (a *account) Create(name, specialUse string) error {
	name, err := canonicalName(name)
	if err != nil {
		return err
	}
	use, err := canonicalUse(specialUse)
	if err != nil {
		return err
	}
	if err := a.lock(); err != nil {
		return err
	}
	defer a.mu.Unlock()
	if a.boxes[name] != nil {
		return fmt.Errorf("%q: %w", name, ErrMailboxExists)
	}
	made, err := a.makeAll(append(parents(name), name))
	if err != nil {
		return err
	}
	a.boxes[name].use = use
	if err := a.keep.settle(a); err != nil {
		return errors.Join(err, a.unmakeAll(made))
	}
	return nil
}

// makeAll makes those of the mailboxes that are missing: all or, after an error, none.
func (a *account) makeAll(names []string) (made []string, err error) {
	for _, name := range names {
		if a.boxes[name] != nil {
			continue
		}
		if err := a.make(name, ""); err != nil {
			return nil, errors.Join(err, a.unmakeAll(made))
		}
		made = append(made, name)
	}
	return made, nil
}

func (a *account) unmakeAll(names []string) error {
	var errs []error
	for _, name := range slices.Backward(names) {
		errs = append(errs, a.unmake(name))
	}
	return errors.Join(errs...)
}

// Delete implements Account.
func (a *account) Delete(name string) error {
	name, err := canonicalName(name)
	if err != nil {
		return fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
	}
	if name == inbox {
		return ErrInbox
	}
	if err := a.lock(); err != nil {
		return err
	}
	defer a.mu.Unlock()
	if a.boxes[name] == nil {
		if len(a.family(name)) > 0 {
			return fmt.Errorf("%q: %w", name, ErrHasChildren)
		}
		return fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
	}
	return a.unmake(name)
}

// unmake removes a mailbox that exists. The lock is held.
func (a *account) unmake(name string) error {
	m := a.boxes[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := a.keep.remove(m); err != nil {
		return err
	}
	delete(a.boxes, name)
	m.retire()
	return nil
}

// family returns the names of a mailbox, if it exists, and those below it, sorted.
func (a *account) family(name string) []string {
	var names []string
	for other := range a.boxes {
		if other == name || isBelow(other, name) {
			names = append(names, other)
		}
	}
	slices.Sort(names)
	return names
}

// Rename implements Account.
func (a *account) Rename(from, to string) error {
	from, err := canonicalName(from)
	if err != nil {
		return fmt.Errorf("%.100q: %w", from, ErrNoMailbox)
	}
	if to, err = canonicalName(to); err != nil {
		return err
	}
	if err := a.lock(); err != nil {
		return err
	}
	defer a.mu.Unlock()
	names := a.family(from)
	switch {
	case len(names) == 0:
		return fmt.Errorf("%q: %w", from, ErrNoMailbox)
	case len(a.family(to)) > 0:
		return fmt.Errorf("%q: %w", to, ErrMailboxExists)
	case from == inbox:
		return a.renameInbox(to)
	case isBelow(to, from):
		return fmt.Errorf("%q is below %q: %w", to, from, ErrMailboxName)
	}
	fresh := make([]string, len(names))
	for i, name := range names {
		if fresh[i], err = canonicalName(to + name[len(from):]); err != nil {
			return err // too long
		}
	}
	made, err := a.makeAll(parents(to))
	if err != nil {
		return err
	}
	if err := a.renameAll(names, fresh); err != nil {
		return errors.Join(err, a.unmakeAll(made))
	}
	return nil
}

// renameInbox moves what is in INBOX to a new mailbox.
func (a *account) renameInbox(to string) error {
	made, err := a.makeAll(append(parents(to), to))
	if err != nil {
		return err
	}
	_, err = a.transfer(context.Background(), transfer{from: a.boxes[inbox], to: a.boxes[to], all: true, move: true})
	if err != nil && !errors.Is(err, errUnsure) {
		err = errors.Join(err, a.unmakeAll(made))
	}
	return err
}

// renameAll renames mailboxes; names and fresh are in the same order.
func (a *account) renameAll(names, fresh []string) error {
	boxes := make([]*mailbox, len(names))
	for i, name := range names {
		boxes[i] = a.boxes[name]
	}
	unlock := lockAll(boxes)
	defer unlock()
	done, err := a.keep.rename(boxes, fresh)
	for i, m := range boxes[:done] {
		delete(a.boxes, names[i])
		m.name = fresh[i]
		a.boxes[fresh[i]] = m
		if a.subs[names[i]] {
			delete(a.subs, names[i])
			a.subs[fresh[i]] = true
		}
		m.notify()
	}
	a.keep.settleRenamed(a)
	return err
}

// lockAll locks mailboxes in the one order that cannot dead-lock.
func lockAll(boxes []*mailbox) (unlock func()) {
	sorted := slices.Clone(boxes)
	slices.SortFunc(sorted, func(x, y *mailbox) int { return cmp.Compare(x.serial, y.serial) })
	sorted = slices.Compact(sorted)
	for _, m := range sorted {
		m.mu.Lock()
	}
	return func() {
		for _, m := range sorted {
			m.mu.Unlock()
		}
	}
}

// Subscribe implements Account.
func (a *account) Subscribe(name string, on bool) error {
	name, err := canonicalName(name)
	if err != nil {
		return fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
	}
	if err := a.lock(); err != nil {
		return err
	}
	defer a.mu.Unlock()
	if on && len(a.family(name)) == 0 {
		return fmt.Errorf("%q: %w", name, ErrNoMailbox)
	}
	if a.subs[name] == on {
		return nil
	}
	set := func(on bool) {
		if a.subs[name] = on; !on {
			delete(a.subs, name)
		}
	}
	set(on)
	if err := a.keep.settle(a); err != nil {
		set(!on)
		return err
	}
	return nil
}

// Subscribed implements Account.
func (a *account) Subscribed() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(a.subs), compareNames)
}

// transfer is a copy or a move.
type transfer struct {
	from, to *mailbox
	uids     []uint32
	all      bool // all messages rather than uids
	move     bool
}

// Copy implements Account.
func (a *account) Copy(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error) {
	return a.between(ctx, from, to, transfer{uids: uids})
}

// Move implements Account.
func (a *account) Move(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error) {
	return a.between(ctx, from, to, transfer{uids: uids, move: true})
}

func (a *account) between(ctx context.Context, from, to Mailbox, t transfer) ([]CopiedUID, error) {
	var ok, also bool
	t.from, ok = from.(*mailbox)
	t.to, also = to.(*mailbox)
	if !ok || !also || t.from.acct != a || t.to.acct != a {
		return nil, errForeign
	}
	return a.transfer(ctx, t)
}

// transfer copies or moves messages.
func (a *account) transfer(ctx context.Context, t transfer) ([]CopiedUID, error) {
	unlock := lockAll([]*mailbox{t.from, t.to})
	defer unlock()
	if err := errors.Join(t.from.usable(), t.to.usable()); err != nil {
		return nil, err
	}
	in, uids, err := a.links(ctx, t)
	if err == nil {
		err = t.to.add(in)
	}
	if err != nil {
		a.drop(in)
		return nil, err
	}
	copied := make([]CopiedUID, len(in))
	for i, uid := range uids {
		copied[i] = CopiedUID{uid, in[i].info.UID}
	}
	if !t.move {
		return copied, nil
	}
	if _, err := t.from.expunge(uids); errors.Is(err, errUnsure) {
		return nil, err // the copies may be all that is left after the next start
	} else if err != nil { // nothing moved, then: take the copies back
		fresh := make([]uint32, len(in))
		for i := range in {
			fresh[i] = in[i].info.UID
		}
		t.to.takeBack(fresh)
		return nil, err
	}
	return copied, nil
}

// links makes second payloads of the messages of t. Both mailboxes are locked.
func (a *account) links(ctx context.Context, t transfer) (in []incoming, uids []uint32, err error) {
	if err := t.from.refresh(false); err != nil {
		return nil, nil, err
	}
	found, _ := t.from.existing(t.uids)
	if t.all {
		for _, info := range t.from.list {
			found = append(found, info.UID)
		}
	}
	for _, uid := range found {
		if err := ctx.Err(); err != nil {
			return in, nil, err
		}
		one, err := t.from.link(uid)
		if errors.Is(err, ErrNoMessage) {
			continue // another program was quicker
		}
		if err != nil {
			return in, nil, err
		}
		if t.move {
			one.source, one.sourceUID = t.from.id, uid
		}
		uids = append(uids, uid)
		in = append(in, one)
	}
	return in, uids, nil
}

// link makes a second payload of a message. The lock is held.
func (m *mailbox) link(uid uint32) (incoming, error) {
	for try := 0; ; try++ {
		i, ok := m.index(uid)
		if !ok {
			return incoming{}, ErrNoMessage
		}
		info := m.list[i]
		body, err := m.acct.keep.link(m.keep, m.bodies[uid])
		if err == nil || try == 1 || !errors.Is(err, ErrNoMessage) {
			return incoming{info: info, body: body}, err
		}
		if err := m.refresh(true); err != nil { // another program may have renamed it
			return incoming{}, err
		}
	}
}

// Usage implements Account.
func (a *account) Usage() (octets int64, messages int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, m := range a.boxes {
		m.mu.Lock()
		octets += m.size
		messages += len(m.list)
		m.mu.Unlock()
	}
	return octets, messages
}
