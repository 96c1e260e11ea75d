package imap

import "github.com/mail-toolkit/mail/pkg/imap/imapwire"

// EventKind says what an [Event] tells.
type EventKind uint8

// The events.
const (
	EventNew     EventKind = iota + 1 // messages have come: UIDs
	EventGone                         // messages were expunged: UIDs
	EventFlags                        // the flags of one message have changed: UIDs, Flags, ModSeq
	EventMailbox                      // another mailbox has changed, as NOTIFY tells: Mailbox, Status
	EventList                         // a mailbox was made, renamed, deleted, subscribed: Mailbox, Listed
)

var eventNames = [...]string{"", "new", "gone", "flags", "mailbox", "list"}

// String is a word for the kind: new, gone, flags, mailbox, list.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return ""
}

// Event is something that has happened in a mailbox.
type Event struct {
	Kind    EventKind
	Mailbox string // the mailbox it is about
	UIDs    UIDSet // of EventNew, EventGone and, with one member, EventFlags
	Flags   []Flag // all flags that the message has now
	ModSeq  uint64 // RFC 7162; 0 when not told
	// Status is what the server told of another mailbox, nil for other events.
	Status *StatusData
	// Listed is a mailbox as it is listed now, nil for other events. One that
	// is gone has the attribute \NonExistent.
	Listed *Mailbox
}

const (
	// maxWatched bounds the messages of a mailbox that can be watched.
	maxWatched = 4 << 20
	// maxQueued bounds the events kept until somebody takes them. Those beyond
	// are found again by comparing, as after a gap.
	maxQueued = 10_000
)

// tracker follows the changes of the selected mailbox. It knows the UID behind
// each sequence number, because EXPUNGE names only those.
type tracker struct {
	mailbox string
	uids    []UID // by sequence number less one; 0: not known yet
	events  []Event
	heard   bool // something has changed, whatever it was
	lost    bool // what the server said does not fit: look again
	msg     Message
}

// set makes uids, in ascending order, what is known.
func (t *tracker) set(found UIDSet) {
	t.uids, t.lost = t.uids[:0], false
	for uid := range found.All() {
		t.uids = append(t.uids, uid)
	}
}

// known are the UIDs that have been told of.
func (t *tracker) known() UIDSet {
	var s UIDSet
	for _, uid := range t.uids {
		s.Add(uid)
	}
	return s
}

// unknown tells if messages are there whose UIDs were not told.
func (t *tracker) unknown() bool {
	n := len(t.uids)
	return n > 0 && t.uids[n-1] == 0
}

// last is the highest UID known.
func (t *tracker) last() UID {
	for i := len(t.uids) - 1; i >= 0; i-- {
		if t.uids[i] != 0 {
			return t.uids[i]
		}
	}
	return 0
}

// add queues an event.
func (t *tracker) add(e Event) {
	if len(t.events) >= maxQueued {
		t.lost = true
		return
	}
	e.Mailbox = t.mailbox
	if n := len(t.events); n > 0 && e.Kind != EventFlags && t.events[n-1].Kind == e.Kind {
		t.events[n-1].UIDs.AddSet(e.UIDs)
		return
	}
	t.events = append(t.events, e)
}

// count follows EXISTS and EXPUNGE, which have no data behind them.
func (t *tracker) count(r imapwire.Response) {
	n := int(r.Num)
	t.heard = t.heard || r.Name == "EXPUNGE"
	switch {
	case r.Name == "EXISTS" && (n < len(t.uids) || n > maxWatched):
		t.lost = true
	case r.Name == "EXISTS":
		for len(t.uids) < n {
			t.uids = append(t.uids, 0)
		}
	case r.Name != "EXPUNGE":
	case n < 1 || n > len(t.uids):
		t.lost = true
	default:
		if uid := t.uids[n-1]; uid != 0 {
			t.add(Event{Kind: EventGone, UIDs: imapwire.SetOf(uid)})
		}
		t.uids = append(t.uids[:n-1], t.uids[n:]...)
	}
}

// vanished takes the UIDs of messages that are gone.
func (t *tracker) vanished(set UIDSet) {
	t.heard = true
	var gone UIDSet
	left := t.uids[:0]
	for _, uid := range t.uids {
		if uid != 0 && set.Contains(uid) {
			gone.Add(uid)
		} else {
			left = append(left, uid)
		}
	}
	t.uids = left
	if !gone.Empty() {
		t.add(Event{Kind: EventGone, UIDs: gone})
	}
}

// data takes the responses that a server sends by itself.
func (t *tracker) data(r imapwire.Response, d *imapwire.Decoder) bool {
	heard := t.heard
	t.heard = true
	switch r.Name {
	case "FETCH", "UIDFETCH":
		t.msg.readAll(r, d)
		if d.Err() == nil {
			t.fetched(r, &t.msg)
		}
	case "STATUS":
		s := decodeStatus(d)
		if d.Err() == nil && len(t.events) < maxQueued {
			t.events = append(t.events, Event{Kind: EventMailbox, Mailbox: s.Mailbox, Status: s})
		}
	case "LIST":
		m := decodeList(d)
		if d.Err() == nil && len(t.events) < maxQueued {
			t.events = append(t.events, Event{Kind: EventList, Mailbox: m.Name, Listed: &m})
		}
	default:
		t.heard = heard
		return false
	}
	return true
}

// fetched takes the UID and the flags of a message that has a FETCH response.
func (t *tracker) fetched(r imapwire.Response, m *Message) {
	uid, n := m.UID, int(r.Num)
	if r.Name == "FETCH" {
		if n < 1 || n > len(t.uids) {
			return // it will be found when EXISTS tells of it
		}
		switch known := t.uids[n-1]; {
		case uid == 0 && known == 0:
			return
		case uid == 0:
			uid = known
		case known == 0 && uid <= t.last(), known != 0 && known != uid: // UIDs ascend
			t.lost = true
			return
		case known == 0:
			t.uids[n-1] = uid
			t.add(Event{Kind: EventNew, UIDs: imapwire.SetOf(uid)})
			return
		}
	}
	if t.unknown() && uid > t.last() {
		for i, known := range t.uids {
			if known == 0 {
				t.uids[i] = uid
				break
			}
		}
		t.add(Event{Kind: EventNew, UIDs: imapwire.SetOf(uid)})
		return
	}
	if m.got.has(itemFlags) {
		flags := append([]Flag(nil), m.Flags...)
		t.add(Event{Kind: EventFlags, UIDs: imapwire.SetOf(uid), Flags: flags, ModSeq: m.ModSeq})
	}
}
