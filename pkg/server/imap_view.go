package server

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapView is a selected mailbox as the client knows it: sequence number n is msgs[n-1]. It differs from the mailbox
// by what has not been told yet; messages that are gone stay until their EXPUNGE may be sent.
type imapView struct {
	box      Mailbox
	readOnly bool
	msgs     []MessageInfo // own copy
	seen     []MessageInfo // the snapshot that msgs was brought up to
	state    MailboxState  // all of it that has a mod-sequence was told, and perhaps more
	pending  bool          // some of msgs are gone and the client was not told
	recent   imapwire.UIDSet
	changed  <-chan struct{}
	stop     func()
}

// newIMAPView watches box before it is read, so that no change is missed. The state is read before the messages: a
// client must not learn a mod-sequence whose changes it was not told.
func newIMAPView(box Mailbox, readOnly bool) *imapView {
	v := &imapView{box: box, readOnly: readOnly}
	v.changed, v.stop = box.Watch()
	v.state, v.seen = box.State(), box.Messages()
	v.msgs = slices.Clone(v.seen)
	if n := len(v.msgs); n > 0 {
		v.state.UIDNext = max(v.state.UIDNext, v.msgs[n-1].UID+1)
	}
	return v
}

// deselect leaves the mailbox, if one is selected.
func (s *imapSession) deselect() {
	if s.view == nil {
		return
	}
	s.view.stop()
	s.view, s.saved = nil, nil
	if s.state == imapSelected {
		s.state = imapKnown
	}
}

// sameSnapshot tells if two snapshots are one: stores never change one in place.
func sameSnapshot(a, b []MessageInfo) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sync tells the client what has changed in the selected mailbox: expunged messages where that is allowed, then flags,
// then new messages (RFC 9051 §7.4.1, §7.5.1).
func (s *imapSession) sync(expunge bool) error {
	v := s.view
	if v == nil {
		return nil
	}
	state := v.box.State() // also looks for what other programs did
	fresh := v.box.Messages()
	same := sameSnapshot(fresh, v.seen)
	if same && !(expunge && v.pending) {
		return nil
	}
	v.seen = fresh
	gone, changed := v.compare(fresh)
	v.pending = len(gone) > 0
	for _, i := range changed {
		// RFC 9051 §7.5.2: what was not asked for comes with its UID
		if err := s.flagsLine(i, imapFlagsLine{uid: true, flags: true}); err != nil {
			return err
		}
	}
	if expunge && len(gone) > 0 {
		if err := s.expunged(gone); err != nil {
			return err
		}
	}
	if !v.pending {
		v.state = state
	}
	return s.arrived(fresh)
}

// compare finds the messages that are gone and takes over new flags; both results are ascending indexes of msgs.
func (v *imapView) compare(fresh []MessageInfo) (gone, changed []int) {
	j := 0
	for i := range v.msgs {
		m := &v.msgs[i]
		for j < len(fresh) && fresh[j].UID < m.UID {
			j++
		}
		switch {
		case j == len(fresh) || fresh[j].UID != m.UID:
			gone = append(gone, i)
		case fresh[j].ModSeq != m.ModSeq:
			*m = fresh[j]
			changed = append(changed, i)
		}
	}
	return gone, changed
}

// expunged tells that messages are gone and forgets them.
func (s *imapSession) expunged(gone []int) error {
	v := s.view
	var uids imapwire.UIDSet
	for k, i := range gone {
		uids.Add(imapwire.UID(v.msgs[i].UID))
		if s.enabled["QRESYNC"] {
			continue
		}
		if err := s.untagged("%d EXPUNGE", i+1-k); err != nil {
			return err
		}
	}
	k := 0
	keep := v.msgs[:0]
	for i, m := range v.msgs {
		if k < len(gone) && gone[k] == i {
			k++
			continue
		}
		keep = append(keep, m)
	}
	v.msgs, v.pending = keep, false
	s.saved = slices.DeleteFunc(s.saved, func(uid uint32) bool { return uids.Contains(imapwire.UID(uid)) })
	if s.enabled["QRESYNC"] {
		return s.untagged("VANISHED %s", uids.String())
	}
	return nil
}

// arrived tells about new messages.
func (s *imapSession) arrived(fresh []MessageInfo) error {
	v := s.view
	last := uint32(0)
	if n := len(v.msgs); n > 0 {
		last = v.msgs[n-1].UID
	}
	at := sort.Search(len(fresh), func(i int) bool { return fresh[i].UID > last })
	if at == len(fresh) {
		return nil
	}
	v.msgs = append(v.msgs, fresh[at:]...)
	s.claim(len(v.msgs) - len(fresh[at:]))
	if err := s.untagged("%d EXISTS", len(v.msgs)); err != nil || s.rev2() {
		return err
	}
	return s.untagged("%d RECENT", v.recentCount())
}

// imapFlagsLine says what a FETCH response about a change holds. A mod-sequence comes for clients that know them.
type imapFlagsLine struct{ uid, flags bool }

// flagsLine sends the FETCH response for a change of message index i.
func (s *imapSession) flagsLine(i int, o imapFlagsLine) error {
	m := &s.view.msgs[i]
	b := strconv.AppendInt(append(s.buf[:0], "* "...), int64(i+1), 10)
	b = append(b, " FETCH ("...)
	start := len(b)
	if o.uid {
		b = strconv.AppendUint(append(b, "UID "...), uint64(m.UID), 10)
	}
	if o.flags {
		b = s.view.appendFlags(append(imapSpace(b, start), "FLAGS "...), m)
	}
	if s.enabled["CONDSTORE"] {
		b = strconv.AppendUint(append(imapSpace(b, start), "MODSEQ ("...), m.ModSeq, 10)
		b = append(b, ')')
	}
	s.buf = append(b, ")\r\n"...)
	_, err := s.c.Write(s.buf)
	return err
}

// imapSpace puts a space between items of a list that begins at start.
func imapSpace(b []byte, start int) []byte {
	if len(b) > start {
		return append(b, ' ')
	}
	return b
}

// appendFlags writes the flags of a message as they are in this session.
func (v *imapView) appendFlags(b []byte, m *MessageInfo) []byte {
	b = append(b, '(')
	start := len(b)
	for _, f := range m.Flags {
		b = append(imapSpace(b, start), f...)
	}
	if v.isRecent(m.UID) {
		b = append(imapSpace(b, start), flagRecent...)
	}
	return append(b, ')')
}

// imapSet is the message set of a command: sequence numbers, UIDs, or "$" (RFC 5182).
type imapSet struct {
	uid, saved bool
	seqs       imapwire.SeqSet
	uids       imapwire.UIDSet
}

// byUID tells if the command at hand names messages by their UIDs.
func (s *imapSession) byUID() bool { return strings.HasPrefix(s.name, "UID ") }

func (s *imapSession) setArg(d *imapwire.Decoder) imapSet {
	set := imapSet{uid: s.byUID()}
	switch {
	case s.has("SEARCHRES") && d.Accept('$'):
		set.saved = true
	case set.uid:
		set.uids = d.UIDSet()
	default:
		set.seqs = d.SeqSet()
	}
	return set
}

// resolve returns the indexes of the messages of a set in ascending order. A sequence number that does not exist is
// an error (RFC 9051 §2.3.1.2), a UID that does not is none.
func (s *imapSession) resolve(set imapSet) ([]int, error) {
	v := s.view
	switch {
	case set.saved:
		return v.indexes(s.saved), nil
	case set.uid:
		return v.byUID(set.uids), nil
	}
	n := len(v.msgs)
	var list []int
	for _, r := range set.seqs.Ranges() {
		first, last := int64(r.Start), int64(r.Stop)
		if r.Stop == imapwire.Star {
			last = int64(n)
			if r.Start == imapwire.Star {
				first = last
			}
			first, last = min(first, last), max(first, last)
		}
		if first < 1 || last > int64(n) {
			return nil, imapBad("", "no such message number")
		}
		list = appendIndexes(list, int(first)-1, int(last)-1)
	}
	return list, nil
}

// appendIndexes adds first to last, without what is in the list already; ranges come in ascending order.
func appendIndexes(list []int, first, last int) []int {
	if n := len(list); n > 0 {
		first = max(first, list[n-1]+1)
	}
	for i := first; i <= last; i++ {
		list = append(list, i)
	}
	return list
}

func (v *imapView) byUID(set imapwire.UIDSet) []int {
	if len(v.msgs) == 0 {
		return nil
	}
	top := v.msgs[len(v.msgs)-1].UID
	var list []int
	for _, r := range set.Ranges() {
		first, last := uint32(r.Start), uint32(r.Stop)
		if r.Stop == imapwire.Star {
			last = top
			if r.Start == imapwire.Star {
				first = top
			}
			first, last = min(first, last), max(first, last)
		}
		from := v.search(first)
		to := from
		for to < len(v.msgs) && v.msgs[to].UID <= last {
			to++
		}
		list = appendIndexes(list, from, to-1)
	}
	return list
}

// search finds the first message whose UID is not below uid.
func (v *imapView) search(uid uint32) int {
	return sort.Search(len(v.msgs), func(i int) bool { return v.msgs[i].UID >= uid })
}

// find gives the index of a message, if it is in the view.
func (v *imapView) find(uid uint32) (i int, ok bool) {
	i = v.search(uid)
	return i, i < len(v.msgs) && v.msgs[i].UID == uid
}

// indexes finds messages by ascending UIDs; those that are not in the view are left out.
func (v *imapView) indexes(uids []uint32) []int {
	var list []int
	for _, uid := range uids {
		if i, ok := v.find(uid); ok {
			list = append(list, i)
		}
	}
	return list
}

// take puts messages that this session has changed into the view, so that they are not told as someone else's.
func (v *imapView) take(stored []MessageInfo) {
	for _, m := range stored {
		if i, ok := v.find(m.UID); ok {
			v.msgs[i] = m
		}
	}
}

// complete tells if none of the messages is gone.
func (v *imapView) complete(indexes []int) bool {
	fresh := v.box.Messages()
	at := 0
	for _, i := range indexes {
		for at < len(fresh) && fresh[at].UID < v.msgs[i].UID {
			at++
		}
		if at == len(fresh) || fresh[at].UID != v.msgs[i].UID {
			return false
		}
	}
	return true
}

func (v *imapView) uidsOf(indexes []int) []uint32 {
	list := make([]uint32, len(indexes))
	for k, i := range indexes {
		list[k] = v.msgs[i].UID
	}
	return list
}

// imapUIDSet makes a set of ascending UIDs.
func imapUIDSet(uids []uint32) imapwire.UIDSet {
	var set imapwire.UIDSet
	for _, uid := range uids {
		set.Add(imapwire.UID(uid))
	}
	return set
}
