package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Labeller makes the mailboxes of a server the labels of messages when Labels is true, as Gmail's are (see Persona),
// and brings X-GM-EXT-1. It is asked of Options.Faults when the server starts; the store must be one of this package.
type Labeller interface {
	Labels() bool
}

var errLabelStore = errors.New("labels need a store of this package")

// labelTop stands before the names of the system's mailboxes, of which these have ways of their own.
const (
	labelTop     = "[Gmail]"
	labelAll     = labelTop + "/All Mail"
	labelSpam    = labelTop + "/Spam"
	labelStarred = labelTop + "/Starred"
	labelTrash   = labelTop + "/Trash"
)

// labelFurniture are the mailboxes of the system: INBOX and those below labelTop. label is what X-GM-LABELS calls
// each.
var labelFurniture = []struct{ name, use, label string }{
	{inbox, "", `\Inbox`},
	{labelAll, `\All`, ""},
	{labelTop + "/Drafts", `\Drafts`, `\Draft`},
	{labelTop + "/Important", `\Important`, `\Important`},
	{labelTop + "/Sent Mail", `\Sent`, `\Sent`},
	{labelSpam, `\Junk`, `\Spam`},
	{labelStarred, `\Flagged`, `\Starred`},
	{labelTrash, `\Trash`, `\Trash`},
}

// labelStore shows the mailboxes of a store as labels. It keeps nothing itself: a message is copied to every mailbox
// whose label it has, and the copies, which have one ID, are kept alike. The rules are those of labelAccount.settle,
// which makes up for what a process that was killed has left undone.
type labelStore struct {
	base *localStore

	mu       sync.Mutex
	accounts map[string]*labelAccount
}

func newLabelStore(base *localStore) *labelStore {
	base.mu.Lock()
	defer base.mu.Unlock()
	base.furniture = nil
	for _, f := range labelFurniture {
		base.furniture = append(base.furniture, furnishing{f.name, f.use})
	}
	return &labelStore{base: base, accounts: map[string]*labelAccount{}}
}

// Account implements Store.
func (s *labelStore) Account(user string) (Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[user]; a != nil && !s.base.closed.Load() {
		return a, nil
	}
	one, err := s.base.Account(user)
	if err != nil {
		return nil, err
	}
	a := &labelAccount{base: one.(*account)}
	if slices.ContainsFunc(labelFurniture, func(f struct{ name, use, label string }) bool { return !a.base.exists(f.name) }) {
		if err := a.base.furnish(); err != nil { // the account is older than its labels
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.relist()
	a.all, a.spam, a.trash, a.starred = a.box(labelAll), a.box(labelSpam), a.box(labelTrash), a.box(labelStarred)
	a.settle()
	s.accounts[user] = a
	return a, nil
}

// Close implements Store.
func (s *labelStore) Close() error { return s.base.Close() }

// labelAccount is an Account whose mailboxes are labels. A message is in the mailbox of all mail and in those of its
// labels, or in Spam alone, or in Trash alone.
type labelAccount struct {
	base *account

	all, spam, trash, starred *labelBox // they stay

	mu    sync.Mutex  // one change at a time; taken before the locks of base
	boxes []*labelBox // all first, then by name
}

// relist takes the mailboxes up after one was made, renamed or deleted. The lock is held.
func (a *labelAccount) relist() {
	a.base.mu.RLock()
	defer a.base.mu.RUnlock()
	known := map[*mailbox]*labelBox{}
	for _, b := range a.boxes {
		known[b.mailbox] = b
	}
	a.boxes = a.boxes[:0]
	for name, m := range a.base.boxes {
		b := known[m]
		if b == nil {
			b = &labelBox{mailbox: m, acct: a, ids: map[string]uint32{}}
		}
		b.label = name
		a.boxes = append(a.boxes, b)
	}
	slices.SortFunc(a.boxes, func(x, y *labelBox) int {
		switch {
		case x.label == labelAll:
			return -1
		case y.label == labelAll:
			return 1
		}
		return compareNames(x.label, y.label)
	})
}

// box finds a mailbox by its canonical name, nil if there is none. The lock is held.
func (a *labelAccount) box(name string) *labelBox {
	if i := slices.IndexFunc(a.boxes, func(b *labelBox) bool { return b.label == name }); i >= 0 {
		return a.boxes[i]
	}
	return nil
}

// begin takes the lock for a change, and takes up first what others have done.
func (a *labelAccount) begin() (end func()) {
	a.mu.Lock()
	a.settle()
	return a.mu.Unlock
}

// List implements Account. Special uses are those of the system's mailboxes alone.
func (a *labelAccount) List() []MailboxInfo {
	list := a.base.List()
	for i := range list {
		if !isSystem(list[i].Name) {
			list[i].SpecialUse = ""
		}
	}
	return list
}

// Mailbox implements Account.
func (a *labelAccount) Mailbox(name string) (Mailbox, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, err := a.base.Mailbox(name) // it looks for what other programs did
	if err != nil {
		return nil, err
	}
	a.settle()
	if i := slices.IndexFunc(a.boxes, func(b *labelBox) bool { return b.mailbox == m }); i >= 0 {
		return a.boxes[i], nil
	}
	return nil, fmt.Errorf("%.100q: %w", name, ErrNoMailbox)
}

// isSystem tells if a name is kept for the system. INBOX is protected anyway.
func isSystem(name string) bool { return name == labelTop || isBelow(name, labelTop) }

// foreign refuses names of the system.
func foreign(name string) error {
	if name, err := canonicalName(name); err == nil && isSystem(name) {
		return fmt.Errorf("%q belongs to the system: %w", name, ErrMailboxName)
	}
	return nil
}

// Create implements Account. There are no special uses but those of the system.
func (a *labelAccount) Create(name, specialUse string) error {
	if specialUse != "" {
		return fmt.Errorf("%.100q: %w", specialUse, ErrSpecialUse)
	}
	defer a.begin()()
	return a.create(name)
}

func (a *labelAccount) create(name string) error {
	if err := foreign(name); err != nil {
		return err
	}
	err := a.base.Create(name, "")
	a.relist()
	return err
}

// Delete implements Account. Messages lose the label and are not deleted.
func (a *labelAccount) Delete(name string) error {
	if err := foreign(name); err != nil {
		return err
	}
	defer a.begin()()
	var ids []string
	if m, err := a.base.find(name); err == nil {
		ids = idsOf(m.Messages())
	}
	err := a.base.Delete(name)
	a.relist()
	if err == nil {
		a.touch(ids)
	}
	return err
}

// Rename implements Account.
func (a *labelAccount) Rename(from, to string) error {
	if err := errors.Join(foreign(from), foreign(to)); err != nil {
		return err
	}
	defer a.begin()()
	if err := a.base.Rename(from, to); err != nil {
		a.relist()
		return err
	}
	a.relist()
	to, _ = canonicalName(to) // or it had failed
	for _, b := range a.boxes {
		if b.label == to || isBelow(b.label, to) {
			a.touch(idsOf(b.Messages()))
		}
	}
	return nil
}

// Subscribe implements Account.
func (a *labelAccount) Subscribe(name string, on bool) error { return a.base.Subscribe(name, on) }

// Subscribed implements Account.
func (a *labelAccount) Subscribed() []string { return a.base.Subscribed() }

// Usage implements Account. A message counts once.
func (a *labelAccount) Usage() (octets int64, messages int) {
	for _, b := range []*labelBox{a.all, a.spam, a.trash} {
		state := b.mailbox.State()
		octets += state.Size
		messages += state.Messages
	}
	return octets, messages
}

// Copy implements Account: it adds a label. What comes to Spam or Trash loses all others, what comes from there is in
// the mailbox of all mail again.
func (a *labelAccount) Copy(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error) {
	f, t, err := a.pair(from, to)
	if err != nil {
		return nil, err
	}
	defer a.begin()()
	copied, _, err := a.place(ctx, f, uids, t)
	return copied, err
}

// Move implements Account: it adds a label and removes another one. A message cannot be moved out of the mailbox of
// all mail but to Spam and Trash.
func (a *labelAccount) Move(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error) {
	f, t, err := a.pair(from, to)
	if err != nil {
		return nil, err
	}
	defer a.begin()()
	copied, fresh, err := a.place(ctx, f, uids, t)
	if err != nil || f == t || f == a.all || a.junk(f) || a.junk(t) {
		return copied, err
	}
	moved := make([]uint32, len(copied))
	for i, c := range copied {
		moved[i] = c.From
	}
	if _, err := f.remove(moved); err != nil {
		_, undone := t.remove(fresh)
		return nil, errors.Join(err, undone)
	}
	return copied, nil
}

func (a *labelAccount) pair(from, to Mailbox) (f, t *labelBox, err error) {
	f, ok := from.(*labelBox)
	t, also := to.(*labelBox)
	if !ok || !also || f.acct != a || t.acct != a {
		return nil, nil, errForeign
	}
	return f, t, nil
}

// junk tells if what is in a mailbox is in no other one.
func (a *labelAccount) junk(b *labelBox) bool { return b == a.spam || b == a.trash }

// place puts messages of f into t: all or, after an error, none. A message that is in t already stays as it is; fresh
// are the UIDs of the others. The lock is held.
func (a *labelAccount) place(ctx context.Context, f *labelBox, uids []uint32, t *labelBox) (copied []CopiedUID, fresh []uint32, err error) {
	var missing []uint32
	var ids []string
	for _, m := range f.messages(uids) {
		if uid, ok := t.find(m.ID); ok {
			copied = append(copied, CopiedUID{m.UID, uid})
		} else {
			missing, ids = append(missing, m.UID), append(ids, m.ID)
		}
	}
	if len(missing) == 0 {
		return copied, nil, nil
	}
	added, err := a.copyTo(ctx, f, missing, t)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range added {
		fresh = append(fresh, c.To)
	}
	if t == a.starred {
		_, err = t.setFlags(fresh, withFlag(flagFlagged))
	}
	if err == nil && a.junk(f) { // before settle, which would take it back there
		_, err = f.mailbox.Expunge(missing)
	}
	if err != nil {
		_, undone := t.mailbox.Expunge(fresh)
		return nil, nil, errors.Join(err, undone)
	}
	a.settle()
	a.touch(ids)
	copied = append(copied, added...)
	slices.SortFunc(copied, func(x, y CopiedUID) int { return cmp.Compare(x.From, y.From) })
	return copied, fresh, nil
}

// copyTo copies messages. That one is marked \Deleted in a mailbox says nothing of the others.
func (a *labelAccount) copyTo(ctx context.Context, f *labelBox, uids []uint32, t *labelBox) ([]CopiedUID, error) {
	copied, err := a.base.Copy(ctx, f.mailbox, uids, t.mailbox)
	if err != nil {
		return nil, err
	}
	fresh := make([]uint32, len(copied))
	for i, c := range copied {
		fresh[i] = c.To
	}
	if _, err := t.mailbox.SetFlags(fresh, withoutFlag(flagDeleted)); err != nil {
		_, undone := t.mailbox.Expunge(fresh)
		return nil, errors.Join(err, undone)
	}
	return copied, nil
}

// withFlag and withoutFlag are for SetFlags.
func withFlag(flag string) func(MessageInfo) ([]string, bool) {
	return func(m MessageInfo) ([]string, bool) { return append(slices.Clone(m.Flags), flag), true }
}

func withoutFlag(flag string) func(MessageInfo) ([]string, bool) {
	return func(m MessageInfo) ([]string, bool) {
		return slices.DeleteFunc(slices.Clone(m.Flags), func(f string) bool { return f == flag }), true
	}
}

// touch gives messages a new mod-sequence wherever they are: their labels have changed. The lock is held. What cannot
// be noted is lost, and the labels are as they are.
func (a *labelAccount) touch(ids []string) {
	if len(ids) == 0 {
		return
	}
	for _, b := range a.boxes {
		_ = b.mailbox.touch(b.findAll(ids))
	}
	a.settle()
}

func idsOf(list []MessageInfo) []string {
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.ID
	}
	return ids
}

// Labels names the mailboxes that a message is in, but for that of all mail. The slice belongs to the caller.
func (a *labelAccount) Labels(id string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.labels(id)
}

func (a *labelAccount) labels(id string) []string {
	var names []string
	for _, b := range a.boxes {
		if b == a.all {
			continue
		}
		if _, ok := b.find(id); ok {
			names = append(names, b.label)
		}
	}
	return names
}

// labelChange is a change of labels: op is '+', '-', or '=' for replacing, names are those of mailboxes. Messages that
// unless is true of stay as they are.
type labelChange struct {
	op     byte
	names  []string
	unless func(MessageInfo) bool
}

// SetLabels changes the labels of messages and returns those that it was done to. The label of the mailbox from itself
// stays, as it does at Gmail. Mailboxes that are missing are made; Spam and Trash come last. After an error some of the
// labels may have been changed: it can be done again.
func (a *labelAccount) SetLabels(ctx context.Context, from *labelBox, uids []uint32, c labelChange) ([]MessageInfo, error) {
	names := make([]string, len(c.names))
	for i, name := range c.names {
		var err error
		if names[i], err = canonicalName(name); err != nil {
			return nil, err
		}
		if isSystem(names[i]) && labelOf(names[i]) == "" {
			return nil, foreign(names[i])
		}
	}
	defer a.begin()()
	chosen := from.messages(uids)
	if c.unless != nil {
		chosen = slices.DeleteFunc(chosen, c.unless)
	}
	ids := idsOf(chosen)
	if c.op != '+' {
		if err := a.unlabel(from, ids, func(b *labelBox) bool { return slices.Contains(names, b.label) == (c.op == '-') }); err != nil {
			return nil, err
		}
	}
	if c.op == '-' {
		return chosen, nil
	}
	slices.SortStableFunc(names, func(x, y string) int { return labelRank(x) - labelRank(y) })
	for _, name := range names {
		if err := a.addLabel(ctx, ids, name); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

// labelRank sorts what takes a message out of other mailboxes behind them.
func labelRank(name string) int { return slices.Index([]string{labelSpam, labelTrash}, name) }

// unlabel removes messages from the mailboxes that fit, but for own, that of all mail, and Spam and Trash, from which
// they come by a label.
func (a *labelAccount) unlabel(own *labelBox, ids []string, fits func(*labelBox) bool) error {
	for _, b := range a.boxes {
		if b == own || b == a.all || a.junk(b) || !fits(b) {
			continue
		}
		if _, err := b.remove(b.findAll(ids)); err != nil {
			return err
		}
	}
	return nil
}

// addLabel puts messages, wherever they are, into the mailbox called name.
func (a *labelAccount) addLabel(ctx context.Context, ids []string, name string) error {
	if a.box(name) == nil {
		if err := a.create(name); err != nil {
			return err
		}
	}
	t := a.box(name)
	for _, f := range []*labelBox{a.all, a.spam, a.trash} {
		if uids := f.findAll(ids); len(uids) > 0 && f != t {
			if _, _, err := a.place(ctx, f, uids, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// labelOf is what X-GM-LABELS calls a mailbox of the system, "" for others and for that of all mail.
func labelOf(name string) string {
	for _, f := range labelFurniture {
		if f.name == name {
			return f.label
		}
	}
	return ""
}

// labelMailbox is the mailbox of a label of the system in any case of letters.
func labelMailbox(label string) (name string, ok bool) {
	for _, f := range labelFurniture {
		if f.label != "" && strings.EqualFold(f.label, label) {
			return f.name, true
		}
	}
	return "", false
}
