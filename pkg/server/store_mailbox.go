package server

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// payload is what a folder holds of a message: its octets, or where they are.
type payload any

// incoming is a message about to be added to a mailbox.
type incoming struct {
	info MessageInfo
	body payload

	source    string // ID of the mailbox from which it is moved, "" for none
	sourceUID uint32
}

// folder makes the changes of one mailbox last. Its methods are called under the
// lock of the mailbox, before the change is made in memory; after an error nothing
// has changed. Those of the memory store have nothing to do.
type folder interface {
	append(modSeq uint64, messages []incoming) error
	setFlags(modSeq uint64, changed []incoming) error
	expunge(modSeq uint64, uids []uint32, bodies []payload) error
	// takeBack is expunge of messages that were added a moment ago and not acknowledged.
	// What fails of it now is done before the next change.
	takeBack(modSeq uint64, uids []uint32, bodies []payload)
	open(body payload) (Body, error)
	// rescan looks for changes by other programs, cheaply if there are none. With
	// force it looks in any case.
	rescan(m *mailbox, force bool) (outside, error)
	close() error
}

// outside is what other programs did to a mailbox.
type outside struct {
	added   []incoming
	changed []incoming // with their new flags
	missing []uint32   // ascending
}

// expunged is a message that is gone.
type expunged struct {
	uid    uint32
	modSeq uint64
}

// mailbox is a Mailbox of either store.
type mailbox struct {
	acct   *account
	serial uint64 // order in which mailboxes are locked
	use    string // special use; guarded by the account's lock

	queueMu sync.Mutex  // guards queue
	queue   []*arriving // waiting to be added together

	mu       sync.Mutex // guards the rest
	keep     folder
	name     string
	id       string
	gone     bool
	validity uint32
	uidNext  uint32
	modSeq   uint64
	list     []MessageInfo // ascending by UID
	shared   bool          // list is in the hands of a caller: only appending is safe
	bodies   map[uint32]payload
	vanished []expunged // ascending by modSeq
	watchers map[chan struct{}]struct{}
	unseen   int
	deleted  int
	size     int64
}

// Name implements Mailbox.
func (m *mailbox) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.name
}

// State implements Mailbox.
func (m *mailbox) State() MailboxState {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.refresh(false) // what is known stays true if the look fails
	return MailboxState{UIDValidity: m.validity, UIDNext: m.uidNext, HighestModSeq: m.modSeq, ID: m.id,
		Messages: len(m.list), Unseen: m.unseen, Deleted: m.deleted, Size: m.size}
}

// Messages implements Mailbox.
func (m *mailbox) Messages() []MessageInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shared = true
	return m.list[:len(m.list):len(m.list)]
}

// Open implements Mailbox.
func (m *mailbox) Open(uid uint32) (Body, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for try := 0; ; try++ {
		body, ok := m.bodies[uid]
		if !ok {
			return nil, fmt.Errorf("uid %d: %w", uid, ErrNoMessage)
		}
		b, err := m.keep.open(body)
		if err == nil || try == 1 {
			return b, err
		}
		// Another program may have renamed or removed the file.
		if rerr := m.refresh(true); rerr != nil {
			return nil, err
		}
	}
}

// usable says why the mailbox cannot be changed. The lock is held.
func (m *mailbox) usable() error {
	if m.gone {
		return fmt.Errorf("%q: %w", m.name, ErrNoMailbox)
	}
	if m.acct.store.closed.Load() {
		return ErrStoreClosed
	}
	return nil
}

// Append implements Mailbox.
func (m *mailbox) Append(ctx context.Context, messages []NewMessage) ([]MessageInfo, error) {
	in, err := m.acct.takeAll(ctx, messages)
	if err != nil {
		return nil, err
	}
	return m.publish(ctx, in)
}

// arriving is messages that were taken and are about to be added.
type arriving struct {
	ctx   context.Context
	in    []incoming
	infos []MessageInfo
	err   error
	done  bool
}

// publish adds what takeAll has taken. After an error it is dropped. Whoever gets the
// lock of the mailbox first adds what all others who wait have brought, so that the disk
// is waited for once.
func (m *mailbox) publish(ctx context.Context, in []incoming) ([]MessageInfo, error) {
	own := &arriving{ctx: ctx, in: in}
	m.queueMu.Lock()
	m.queue = append(m.queue, own)
	m.queueMu.Unlock()
	m.mu.Lock()
	if !own.done {
		m.addQueue()
	}
	m.mu.Unlock()
	if own.err != nil {
		m.acct.drop(in)
	}
	return own.infos, own.err
}

// addQueue adds what is waiting. The lock is held.
func (m *mailbox) addQueue() {
	m.queueMu.Lock()
	queue := m.queue
	m.queue = nil
	m.queueMu.Unlock()
	var fit []*arriving
	for _, one := range queue {
		one.done = true
		if one.err = m.usable(); one.err == nil {
			one.err = one.ctx.Err()
		}
		if one.err == nil {
			fit = append(fit, one)
		}
	}
	err := m.addTogether(fit)
	for _, one := range fit {
		one.err = err
	}
}

// addTogether adds all or, after an error, none.
func (m *mailbox) addTogether(fit []*arriving) error {
	var all []incoming
	for _, one := range fit {
		all = append(all, one.in...)
	}
	if err := m.add(all); err != nil {
		return err
	}
	for _, one := range fit {
		one.infos = make([]MessageInfo, len(one.in))
		for i := range one.infos {
			one.infos[i] = all[i].info
		}
		all = all[len(one.in):]
	}
	return nil
}

// takeAll reads the bodies of new messages.
func (a *account) takeAll(ctx context.Context, messages []NewMessage) ([]incoming, error) {
	in := make([]incoming, 0, len(messages))
	for _, n := range messages {
		one, err := a.take(ctx, n)
		if err != nil {
			a.drop(in)
			return nil, err
		}
		in = append(in, one)
	}
	return in, nil
}

func (a *account) take(ctx context.Context, n NewMessage) (incoming, error) {
	flags, err := canonicalFlags(n.Flags)
	if err != nil {
		return incoming{}, err
	}
	if n.Date.IsZero() {
		n.Date = time.Now()
	}
	n.Date = n.Date.Truncate(time.Second) // what INTERNALDATE can say
	r := n.Body
	if ctx.Done() != nil {
		r = contextBody{ctx, n.Body}
	}
	body, size, err := a.keep.take(r, n.Date)
	if err != nil {
		return incoming{}, err
	}
	return incoming{info: MessageInfo{Flags: flags, Date: n.Date, Size: size, ID: newID('M')}, body: body}, nil
}

func (a *account) drop(in []incoming) {
	for _, one := range in {
		a.keep.drop(one.body)
	}
}

// contextBody fails when its context ends.
type contextBody struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextBody) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// add gives UIDs to messages and adds them. The lock is held.
func (m *mailbox) add(in []incoming) error {
	if len(in) == 0 {
		return nil
	}
	if uint64(m.uidNext)+uint64(len(in)) > math.MaxUint32 {
		return fmt.Errorf("%q: %w", m.name, ErrMailboxFull)
	}
	modSeq := m.modSeq + 1
	for i := range in {
		in[i].info.UID, in[i].info.ModSeq = m.uidNext+uint32(i), modSeq
	}
	if err := m.keep.append(modSeq, in); err != nil {
		return err
	}
	m.modSeq = modSeq
	m.insert(in)
	m.notify()
	return nil
}

// insert takes messages with ascending UIDs up in memory.
func (m *mailbox) insert(in []incoming) {
	for _, one := range in {
		m.list = append(m.list, one.info) // callers never see behind their end of it
		m.bodies[one.info.UID] = one.body
		m.uidNext = one.info.UID + 1
		m.count(one.info, 1)
	}
}

// count keeps the sums of State.
func (m *mailbox) count(info MessageInfo, n int) {
	if !slices.Contains(info.Flags, flagSeen) {
		m.unseen += n
	}
	if slices.Contains(info.Flags, flagDeleted) {
		m.deleted += n
	}
	m.size += int64(n) * info.Size
}

// index finds a message by UID.
func (m *mailbox) index(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(m.list, uid, func(i MessageInfo, uid uint32) int { return cmp.Compare(i.UID, uid) })
}

// existing returns those of uids that exist, in ascending order and each once, and
// where they are.
func (m *mailbox) existing(uids []uint32) (found []uint32, at []int) {
	uids = slices.Clone(uids)
	slices.Sort(uids)
	for _, uid := range slices.Compact(uids) {
		if i, ok := m.index(uid); ok {
			found, at = append(found, uid), append(at, i)
		}
	}
	return found, at
}

// SetFlags implements Mailbox.
func (m *mailbox) SetFlags(uids []uint32, change func(MessageInfo) (flags []string, ok bool)) ([]MessageInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	var changed []incoming
	_, at := m.existing(uids)
	for _, i := range at {
		info := m.list[i]
		flags, ok := change(info)
		if !ok {
			continue
		}
		flags, err := canonicalFlags(flags)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(flags, info.Flags) {
			info.Flags = flags
			changed = append(changed, incoming{info: info, body: m.bodies[info.UID]})
		}
	}
	return m.change(changed)
}

// change gives messages new flags.
func (m *mailbox) change(changed []incoming) ([]MessageInfo, error) {
	if len(changed) == 0 {
		return nil, nil
	}
	modSeq := m.modSeq + 1
	for i := range changed {
		changed[i].info.ModSeq = modSeq
	}
	if err := m.keep.setFlags(modSeq, changed); err != nil {
		return nil, err
	}
	m.modSeq = modSeq
	m.unshare()
	out := make([]MessageInfo, len(changed))
	for n, c := range changed {
		i, _ := m.index(c.info.UID)
		m.count(m.list[i], -1)
		m.count(c.info, 1)
		m.list[i], out[n] = c.info, c.info
	}
	m.notify()
	return out, nil
}

// unshare makes list safe to be written to.
func (m *mailbox) unshare() {
	if m.shared {
		m.list, m.shared = slices.Clone(m.list), false
	}
}

// Expunge implements Mailbox.
func (m *mailbox) Expunge(uids []uint32) ([]uint32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	return m.expunge(uids)
}

// expunge removes the messages that exist among uids. The lock is held.
func (m *mailbox) expunge(uids []uint32) ([]uint32, error) {
	found, at := m.existing(uids)
	if len(found) == 0 {
		return nil, nil
	}
	if err := m.keep.expunge(m.modSeq+1, found, m.bodiesOf(found)); err != nil {
		return nil, err
	}
	m.forget(found, at)
	return found, nil
}

// takeBack removes messages that were added and will not be acknowledged. The lock is
// held.
func (m *mailbox) takeBack(uids []uint32) {
	if found, at := m.existing(uids); len(found) > 0 && m.usable() == nil {
		m.keep.takeBack(m.modSeq+1, found, m.bodiesOf(found))
		m.forget(found, at)
	}
}

func (m *mailbox) bodiesOf(uids []uint32) []payload {
	bodies := make([]payload, len(uids))
	for i, uid := range uids {
		bodies[i] = m.bodies[uid]
	}
	return bodies
}

// forget takes messages out of memory; at is where they are.
func (m *mailbox) forget(found []uint32, at []int) {
	m.modSeq++
	rest := make([]MessageInfo, 0, len(m.list)-len(found)+8)
	last := 0
	for _, i := range at {
		m.count(m.list[i], -1)
		rest = append(rest, m.list[last:i]...)
		last = i + 1
	}
	m.list, m.shared = append(rest, m.list[last:]...), false
	for _, uid := range found {
		delete(m.bodies, uid)
		m.vanished = append(m.vanished, expunged{uid, m.modSeq})
	}
	m.notify()
}

// Vanished implements Mailbox.
func (m *mailbox) Vanished(since uint64) []uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, _ := slices.BinarySearchFunc(m.vanished, since, func(e expunged, since uint64) int {
		if e.modSeq <= since {
			return -1
		}
		return 1
	})
	var uids []uint32
	for _, e := range m.vanished[i:] {
		uids = append(uids, e.uid)
	}
	slices.Sort(uids)
	return uids
}

// Watch implements Mailbox.
func (m *mailbox) Watch() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[c] = struct{}{}
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, c)
	}
}

func (m *mailbox) notify() {
	for c := range m.watchers {
		select {
		case c <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// refresh takes up what other programs did. The lock is held.
func (m *mailbox) refresh(force bool) error {
	if m.usable() != nil {
		return nil
	}
	out, err := m.keep.rescan(m, force)
	if err != nil {
		return err
	}
	if _, err := m.expunge(out.missing); err != nil {
		return err
	}
	if _, err := m.change(out.changed); err != nil {
		return err
	}
	return m.add(out.added)
}

// retire makes a mailbox one that was deleted. The lock is held.
func (m *mailbox) retire() {
	m.gone = true
	m.list, m.shared, m.vanished = nil, false, nil
	m.unseen, m.deleted, m.size = 0, 0, 0
	clear(m.bodies)
	m.notify()
}
