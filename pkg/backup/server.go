package backup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// Difference is how a mailbox of the server differs from what is stored of it. Where
// nothing is said, they are the same.
type Difference struct {
	Mailbox     string
	Server      int         // messages on the server
	Stored      int         // messages stored of those that it had at the last run
	NotStored   imap.UIDSet // on the server and not stored
	NotOnServer imap.UIDSet // stored and not on the server any more
	Flags       int         // messages that have other flags
	Reset       bool        // the UIDs are others (UIDVALIDITY): what is the same cannot be told by them
	NoMailbox   bool        // the server has no such mailbox
	Err         error       // why it was not compared
}

// Same reports whether the mailbox is stored as it is on the server.
func (d *Difference) Same() bool {
	return d.Err == nil && !d.Reset && !d.NoMailbox && d.Flags == 0 && d.NotStored.Empty() && d.NotOnServer.Empty()
}

// CompareServer compares the mailboxes of a server that match the patterns (see
// [RunOptions]) with those stored, by the UIDs and flags of their messages, and tells
// of each, by their names. Nothing is changed and no message is fetched. What was
// taken from a POP3 server cannot be compared so.
func (r *Repo) CompareServer(ctx context.Context, dial func(context.Context) (*imap.Client, error), mailboxes []string) ([]Difference, error) {
	x, damage, err := r.index("")
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.List(ctx, nil)
	if err != nil {
		return nil, err
	}
	v := newServerView(x, list, mailboxes)
	for tries := 1; len(v.visits) > 0; tries++ {
		if err := c.VisitAll(ctx, slices.Values(v.visits), v); err != nil {
			return nil, err
		}
		if err := sleep(ctx, v.again(tries)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(v.found, func(a, b Difference) int { return strings.Compare(a.Mailbox, b.Mailbox) })
	return v.found, damage
}

// serverView is one CompareServer.
type serverView struct {
	visits []imap.Visit
	at     []int // where the differences of the visits are in found
	found  []Difference
}

var _ imap.VisitHandler = (*serverView)(nil)

func newServerView(x *index, list []imap.Mailbox, mailboxes []string) *serverView {
	v := &serverView{}
	there := map[string]bool{}
	stored := map[string]uint32{}
	for _, n := range x.boxNumbers(false) {
		info, _ := x.info(n)
		stored[info.Mailbox.Name] = n
	}
	for i := range list {
		m := &list[i]
		if !patterns(mailboxes).match(m.Name, m.Delim) || !m.Selectable() {
			continue
		}
		there[m.Name] = true
		visit := imap.Visit{Mailbox: m.Name, Full: true}
		d := Difference{Mailbox: m.Name}
		if n, ok := stored[m.Name]; ok {
			info, _ := x.info(n)
			visit.Known = imap.State{UIDValidity: info.State.UIDValidity, Known: info.Known}
			visit.Flags = func(uid imap.UID) ([]imap.Flag, bool) { return x.flags(n, uint32(uid)) }
			d.Stored = info.Count
		}
		v.visits, v.at, v.found = append(v.visits, visit), append(v.at, len(v.found)), append(v.found, d)
	}
	for name, n := range stored {
		info, _ := x.info(n)
		if !there[name] && patterns(mailboxes).match(name, info.Mailbox.Delim) && (holds(info.Mailbox) || info.Count > 0) {
			v.found = append(v.found, Difference{Mailbox: name, Stored: info.Count, NotOnServer: info.Known.Clone(), NoMailbox: true})
		}
	}
	return v
}

// again leaves the visits that the server had no time for, and returns how long to
// wait before they are made again.
func (v *serverView) again(tries int) (wait time.Duration) {
	visits, at := v.visits, v.at
	v.visits, v.at = nil, nil
	for i, n := range at {
		d := &v.found[n]
		var refused *imap.Error
		if !errors.As(d.Err, &refused) || !refused.Temporary() || refused.RetryAfter() > defaultMaxWait || tries >= maxTries {
			continue
		}
		wait = max(wait, refused.RetryAfter(), pauses[tries+1])
		d.Err, d.Flags = nil, 0
		v.visits, v.at = append(v.visits, visits[i]), append(v.at, n)
	}
	return wait
}

// Opened implements imap.VisitHandler.
func (v *serverView) Opened(i int, s *imap.SelectData) error {
	v.found[v.at[i]].Server = int(s.Exists)
	return nil
}

// Message implements imap.VisitHandler.
func (v *serverView) Message(int, *imap.Message) error { return nil }

// Changed implements imap.VisitHandler.
func (v *serverView) Changed(i int, _ imap.FlagChange) error {
	v.found[v.at[i]].Flags++
	return nil
}

// Done implements imap.VisitHandler.
func (v *serverView) Done(i int, ch *imap.Changes, err error) error {
	d := &v.found[v.at[i]]
	d.Err = err
	if ch == nil {
		return nil
	}
	d.Server = int(ch.State.Known.Count())
	d.Reset, d.NotStored, d.NotOnServer = ch.Reset && d.Stored > 0, ch.New, ch.Vanished
	return nil
}
