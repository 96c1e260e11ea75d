package server

import (
	"context"
	"errors"
	"slices"
)

// labelBox is the mailbox of a label. What it inherits only reads.
type labelBox struct {
	*mailbox
	acct  *labelAccount
	label string // the name of the mailbox; this and the rest are guarded by the lock of acct

	settled uint64            // the mod-sequence up to which the others have followed
	ids     map[string]uint32 // UIDs by message ID, some of which may be gone
	indexed uint32            // the first UID that is not in ids yet
}

// State implements Mailbox.
func (b *labelBox) State() MailboxState {
	b.acct.mu.Lock()
	defer b.acct.mu.Unlock()
	state := b.mailbox.State()
	if b.acct.settle() {
		return b.mailbox.State()
	}
	return state
}

// Append implements Mailbox. The messages are in the mailbox of all mail too when it returns, or as soon as the disk
// allows.
func (b *labelBox) Append(ctx context.Context, messages []NewMessage) ([]MessageInfo, error) {
	a := b.acct
	if b == a.starred {
		messages = slices.Clone(messages)
		for i := range messages {
			messages[i].Flags = append(slices.Clone(messages[i].Flags), flagFlagged)
		}
	}
	in, err := a.base.takeAll(ctx, messages)
	if err != nil {
		return nil, err
	}
	defer a.begin()()
	infos, err := b.mailbox.publish(ctx, in)
	if err == nil {
		a.settle()
	}
	return infos, err
}

// SetFlags implements Mailbox. But for \Deleted, flags are those of the message in all its mailboxes.
func (b *labelBox) SetFlags(uids []uint32, change func(MessageInfo) (flags []string, ok bool)) ([]MessageInfo, error) {
	defer b.acct.begin()()
	changed, err := b.setFlags(uids, change)
	b.acct.settle()
	return changed, err
}

// setFlags is SetFlags under the lock, before settle. The mailbox of all mail comes first, as what is there counts
// after a crash.
func (b *labelBox) setFlags(uids []uint32, change func(MessageInfo) (flags []string, ok bool)) ([]MessageInfo, error) {
	a := b.acct
	want, before := map[string][]string{}, map[string][]string{}
	var chosen []uint32
	var ids []string
	for _, m := range b.messages(uids) {
		flags, ok := change(m)
		if !ok {
			continue
		}
		flags, err := canonicalFlags(flags)
		if err != nil {
			return nil, err
		}
		want[m.ID], before[m.ID] = flags, m.Flags
		chosen, ids = append(chosen, m.UID), append(ids, m.ID)
	}
	if b != a.all {
		if _, err := a.all.mailbox.SetFlags(a.all.findAll(ids), sharedFlags(want)); err != nil {
			return nil, err
		}
	}
	changed, err := b.mailbox.SetFlags(chosen, func(m MessageInfo) ([]string, bool) { return want[m.ID], true })
	if err != nil && b != a.all {
		_, undone := a.all.mailbox.SetFlags(a.all.findAll(ids), sharedFlags(before))
		err = errors.Join(err, undone)
	}
	return changed, err
}

// sharedFlags is for SetFlags: it gives messages the flags of their IDs, but for \Deleted, which stays.
func sharedFlags(flags map[string][]string) func(MessageInfo) ([]string, bool) {
	return func(m MessageInfo) ([]string, bool) {
		want := slices.DeleteFunc(slices.Clone(flags[m.ID]), func(f string) bool { return f == flagDeleted })
		if slices.Contains(m.Flags, flagDeleted) {
			want = append(want, flagDeleted)
		}
		return want, true
	}
}

// Expunge implements Mailbox. It removes the label; in the mailbox of all mail it moves messages to Trash, in Trash and
// Spam it deletes them.
func (b *labelBox) Expunge(uids []uint32) ([]uint32, error) {
	defer b.acct.begin()()
	return b.remove(uids)
}

// remove is Expunge under the lock.
func (b *labelBox) remove(uids []uint32) ([]uint32, error) {
	a := b.acct
	found := b.messages(uids)
	if len(found) == 0 {
		return nil, nil
	}
	gone := make([]uint32, len(found))
	for i, m := range found {
		gone[i] = m.UID
	}
	var err error
	switch b {
	case a.all:
		_, _, err = a.place(context.Background(), b, gone, a.trash)
	case a.starred:
		_, err = b.setFlags(gone, withoutFlag(flagFlagged)) // by which they are gone
		a.settle()
	default:
		_, err = b.mailbox.Expunge(gone)
		a.touch(idsOf(found))
	}
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// index brings ids up to date. The lock of the mailbox is held.
func (b *labelBox) index() {
	m := b.mailbox
	if len(b.ids) > 2*len(m.list)+100 {
		clear(b.ids)
		b.indexed = 0
	}
	at, _ := m.index(b.indexed)
	for _, one := range m.list[at:] {
		b.ids[one.ID] = one.UID
	}
	b.indexed = m.uidNext
}

// find gives the UID of the message with an ID, if it is here.
func (b *labelBox) find(id string) (uid uint32, ok bool) {
	b.mailbox.mu.Lock()
	defer b.mailbox.mu.Unlock()
	b.index()
	if uid, ok = b.ids[id]; ok {
		_, ok = b.mailbox.index(uid)
	}
	return uid, ok
}

// findAll gives the UIDs of those messages that are here, in ascending order.
func (b *labelBox) findAll(ids []string) []uint32 {
	var uids []uint32
	for _, id := range ids {
		if uid, ok := b.find(id); ok {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// messages gives those of the messages that exist, in ascending order.
func (b *labelBox) messages(uids []uint32) []MessageInfo {
	m := b.mailbox
	m.mu.Lock()
	defer m.mu.Unlock()
	_, at := m.existing(uids)
	list := make([]MessageInfo, len(at))
	for k, i := range at {
		list[k] = m.list[i]
	}
	return list
}

// news gives the messages that are new or changed since the last settle, and the mod-sequence of the last one.
func (b *labelBox) news() ([]MessageInfo, uint64) {
	m := b.mailbox
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.modSeq == b.settled {
		return nil, m.modSeq
	}
	var list []MessageInfo
	for _, one := range m.list {
		if one.ModSeq > b.settled {
			list = append(list, one)
		}
	}
	return list, m.modSeq
}

// touch gives messages a new mod-sequence.
func (m *mailbox) touch(uids []uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	var list []incoming
	_, at := m.existing(uids)
	for _, i := range at {
		list = append(list, incoming{info: m.list[i], body: m.bodies[m.list[i].UID]})
	}
	_, err := m.change(list)
	return err
}
