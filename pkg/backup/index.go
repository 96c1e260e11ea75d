package backup

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// index is what the lines of the manifest up to some place say. It keeps in memory
// what is needed to find a message, some 50 octets each; the rest is read from the
// manifest again. It is safe for use by several goroutines, of which one, that of
// the recorder, changes it.
type index struct {
	mu    sync.RWMutex
	log   *manifestLog
	boxes map[uint32]*boxEntry
	byDir map[string]uint32
	next  uint32 // number for a new mailbox

	entries  entryList
	byUID    table
	byDigest table // the first of each hint
	byOID    table // the first of each
	aliases  []alias
	byAlias  table // of aliases
	seed     uint64

	marks   []marks
	markIDs map[string]uint32
	key     []byte // scratch
	parser  lineReader
}

// boxEntry is a mailbox in an index.
type boxEntry struct {
	mailbox *Mailbox
	present bool // on the server
	boxState
	known imap.UIDSet
	count int   // messages present
	size  int64 // of these
}

// boxState is what is kept of a mailbox from one run to the next.
type boxState struct {
	UIDValidity uint32 // 0: no message was seen yet
	ModSeq      uint64
	UIDNext     uint32
	Messages    uint32
	Stored      bool // all that the server had then is stored: there is a state line of this generation
}

// entry is a message in an index: one msg line.
type entry struct {
	digest uint64 // how the digest begins
	off    int64  // of the line
	uid    uint32 // of POP3: a part of the oid
	box    uint32
	state  uint32 // number of the marks, and goneBit
	size   uint32 // octets on the wire, or the most there is
}

// goneBit in the state of an entry says that the message is off the server.
const goneBit = 1 << 31

func (e *entry) gone() bool         { return e.state&goneBit != 0 }
func (e *entry) marks() uint32      { return e.state &^ goneBit }
func (e *entry) setMarks(id uint32) { e.state = e.state&goneBit | id }

// marks are a set of flags and labels that messages share. Nobody changes them.
type marks struct {
	flags  []string
	imap   []imap.Flag
	labels []string
	hash   uint64
}

// ref names an entry: it counts the msg lines.
type ref uint32

// alias is a message of which the file has the name of another UID: that was the
// message's before the mailbox got another UIDVALIDITY.
type alias struct {
	box, uid uint32 // in the name
	at       ref
}

// entryList is a list that grows without moving.
type entryList struct {
	chunks [][]entry
	oids   [][]uint64 // nil where no entry of a chunk has one
	n      int
}

const entryChunk = 4096

func (l *entryList) at(i ref) *entry { return &l.chunks[i/entryChunk][i%entryChunk] }

// oid returns the hash of EMAILID, X-GM-MSGID or the UIDL, 0 for none.
func (l *entryList) oid(i ref) uint64 {
	if oids := l.oids[i/entryChunk]; oids != nil {
		return oids[i%entryChunk]
	}
	return 0
}

func (l *entryList) add(e entry, oid uint64) ref {
	if l.n%entryChunk == 0 {
		l.chunks, l.oids = append(l.chunks, make([]entry, entryChunk)), append(l.oids, nil)
	}
	i := ref(l.n)
	l.n++
	*l.at(i) = e
	if oid != 0 {
		oids := &l.oids[i/entryChunk]
		if *oids == nil {
			*oids = make([]uint64, entryChunk)
		}
		(*oids)[i%entryChunk] = oid
	}
	return i
}

// table is a hash table of entries with open addressing. Nothing is removed from it.
type table struct {
	slots []uint32 // ref + 1; 0 is free
	n     int
}

// reserve makes room for so many entries in an empty table.
func (t *table) reserve(n int) { t.slots = make([]uint32, 64+n+n/3) }

// add puts e in. hash tells the hash of one that is in already. It grows by little: at
// half a million messages each table takes megabytes.
func (t *table) add(e ref, hash func(ref) uint64) {
	if 4*t.n >= 3*len(t.slots) {
		old := t.slots
		t.slots = make([]uint32, 64+len(old)+len(old)/4)
		for _, s := range old {
			if s != 0 {
				t.place(s, hash(ref(s-1)))
			}
		}
	}
	t.place(uint32(e)+1, hash(e))
	t.n++
}

// first is the slot where the search for a hash begins.
func (t *table) first(hash uint64) int {
	i, _ := bits.Mul64(hash, uint64(len(t.slots)))
	return int(i)
}

func (t *table) next(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

func (t *table) place(slot uint32, hash uint64) {
	i := t.first(hash)
	for t.slots[i] != 0 {
		i = t.next(i)
	}
	t.slots[i] = slot
}

// candidates yields what may have that hash.
func (t *table) candidates(hash uint64) iter.Seq[ref] {
	return func(yield func(ref) bool) {
		for i := t.first(hash); len(t.slots) > 0 && t.slots[i] != 0 && yield(ref(t.slots[i]-1)); {
			i = t.next(i)
		}
	}
}

func newIndex(log *manifestLog) *index {
	x := &index{log: log, boxes: map[uint32]*boxEntry{}, byDir: map[string]uint32{}, next: 1, markIDs: map[string]uint32{}, seed: rand.Uint64() | 1}
	x.internMarks(nil, nil) // number 0
	return x
}

// typicalLine is about how long the line of a message is, or a little longer.
const typicalLine = 300

// reserve makes room for the messages of a manifest of so many octets.
func (x *index) reserve(size int64) {
	n := int(min(size/typicalLine, 1<<20))
	x.byUID.reserve(n)
	x.byDigest.reserve(n)
}

// mix spreads a key that a server may have chosen.
func (x *index) mix(key uint64) uint64 {
	key *= x.seed
	key ^= key >> 32
	key *= x.seed
	return key ^ key>>29
}

func uidKey(box, uid uint32) uint64 { return uint64(box)<<32 | uint64(uid) }

func (x *index) hashUID(e ref) uint64 {
	at := x.entries.at(e)
	return x.mix(uidKey(at.box, at.uid))
}
func (x *index) hashDigest(e ref) uint64 { return x.mix(x.entries.at(e).digest) }
func (x *index) hashOID(e ref) uint64    { return x.mix(x.entries.oid(e)) }
func (x *index) hashAlias(i ref) uint64  { return x.mix(uidKey(x.aliases[i].box, x.aliases[i].uid)) }

// uidlKey returns what an entry has as oid for a UIDL, and the lower part of it as
// uid.
func uidlKey(uidl string) (oid uint64, uid uint32) {
	if hash, ok := lostUIDL(uidl); ok {
		return hashKey(hash)
	}
	return hashKey(hashUIDL(uidl))
}

func hashKey(hash [digestPart]byte) (oid uint64, uid uint32) {
	oid = binary.BigEndian.Uint64(hash[:]) | 1
	return oid, uint32(oid)
}

// emailKey and gmailKey return what an entry has as oid.
func emailKey(id string) uint64 {
	oid, _ := uidlKey("EMAILID " + id)
	return oid
}

func gmailKey(id uint64) uint64 { return id*0x9E3779B97F4A7C15 ^ id>>29 | 1 }

// find returns the message that the server has under a UID, or of POP3 a UIDL, of
// which oid is the key.
func (x *index) find(box, uid uint32, oid uint64) (ref, bool) {
	for i := range x.byUID.candidates(x.mix(uidKey(box, uid))) {
		if e := x.entries.at(i); e.uid == uid && e.box == box && !e.gone() && (oid == 0 || x.entries.oid(i) == oid) {
			return i, true
		}
	}
	return 0, false
}

// findRecord is find for what a line tells of, in the present generation.
func (x *index) findRecord(b *boxEntry, r *record) (ref, bool) {
	if r.u == 0 {
		oid, uid := uidlKey(string(r.uidl))
		return x.find(r.box, uid, oid)
	}
	if r.v != b.UIDValidity {
		return 0, false
	}
	return x.find(r.box, r.u, 0)
}

// apply takes in the line at off. errLine says that it does not fit to those before.
func (x *index) apply(r *record, off int64) error {
	switch r.kind {
	case kindSnap, kindForget, kindPrune, kindPruned:
		return nil
	case kindBox:
		x.applyBox(r)
		return nil
	}
	b := x.boxes[r.box]
	if b == nil {
		return errLine
	}
	switch r.kind {
	case kindNoBox:
		b.present = false
	case kindMsg:
		x.applyMsg(b, r, off)
	case kindFlags:
		if i, ok := x.findRecord(b, r); ok {
			x.entries.at(i).setMarks(x.internMarks(r.list, r.labels))
		}
	case kindGone:
		return x.applyGone(b, r)
	case kindReset:
		x.drop(b, r.box, b.known)
		b.known, b.boxState = imap.UIDSet{}, boxState{UIDValidity: r.v}
	case kindState:
		if r.v == b.UIDValidity || b.UIDValidity == 0 {
			b.boxState = boxState{UIDValidity: r.v, ModSeq: r.modSeq, UIDNext: r.uidNext, Messages: uint32(min(r.messages, 1<<32-1)), Stored: true}
		}
	}
	return nil
}

func (x *index) applyBox(r *record) {
	b := x.boxes[r.box]
	if b == nil {
		b = &boxEntry{}
		x.boxes[r.box] = b
		if r.box >= x.next {
			x.next = r.box + 1
		}
	} else if x.byDir[b.mailbox.Dir] == r.box {
		delete(x.byDir, b.mailbox.Dir)
	}
	b.mailbox, b.present = r.mailbox(), true
	x.byDir[b.mailbox.Dir] = r.box
}

func (x *index) applyMsg(b *boxEntry, r *record, off int64) {
	e := entry{digest: digestHint(r.digest), off: off, uid: r.u, box: r.box, state: x.internMarks(r.list, r.labels),
		size: uint32(min(r.size, math.MaxUint32))}
	oid, gone := uint64(0), false
	if r.u == 0 {
		oid, e.uid = uidlKey(string(r.uidl))
	} else {
		switch {
		case r.gmailID != 0:
			oid = gmailKey(r.gmailID)
		case len(r.emailID) > 0:
			oid = emailKey(string(r.emailID))
		}
		if b.UIDValidity == 0 {
			b.UIDValidity = r.v
		}
		gone = r.v != b.UIDValidity
	}
	if before, ok := x.findRecord(b, r); ok {
		x.takeOff(b, before)
	}
	if gone {
		e.state |= goneBit
	} else {
		b.count++
		b.size += int64(e.size)
		if r.u != 0 {
			b.known.Add(imap.UID(r.u))
		}
	}
	i := x.entries.add(e, oid)
	x.byUID.add(i, x.hashUID)
	if uid := nameUID(r.file); uid != 0 && uid != r.u {
		x.aliases = append(x.aliases, alias{r.box, uid, i})
		x.byAlias.add(ref(len(x.aliases)-1), x.hashAlias)
	}
	if _, ok := x.firstDigest(e.digest); !ok {
		x.byDigest.add(i, x.hashDigest)
	}
	if r.u != 0 && oid != 0 {
		if _, ok := x.firstOID(oid); !ok {
			x.byOID.add(i, x.hashOID)
		}
	}
}

func digestHint(d store.Digest) uint64 { return binary.BigEndian.Uint64(d[:8]) }

func (x *index) firstDigest(hint uint64) (ref, bool) {
	for i := range x.byDigest.candidates(x.mix(hint)) {
		if x.entries.at(i).digest == hint {
			return i, true
		}
	}
	return 0, false
}

func (x *index) firstOID(oid uint64) (ref, bool) {
	for i := range x.byOID.candidates(x.mix(oid)) {
		if x.entries.oid(i) == oid {
			return i, true
		}
	}
	return 0, false
}

// applyGone takes messages off.
func (x *index) applyGone(b *boxEntry, r *record) error {
	for _, uidl := range r.list {
		oid, uid := uidlKey(string(uidl))
		if i, ok := x.find(r.box, uid, oid); ok {
			x.takeOff(b, i)
		}
	}
	if len(r.uids) == 0 || r.v != b.UIDValidity {
		return nil
	}
	set, ok := parseUIDs(r.uids)
	if !ok {
		return errLine
	}
	x.drop(b, r.box, set)
	return nil
}

func (x *index) takeOff(b *boxEntry, i ref) {
	e := x.entries.at(i)
	e.state |= goneBit
	b.count--
	b.size -= int64(e.size)
}

// drop takes the messages of set off that are known.
func (x *index) drop(b *boxEntry, box uint32, set imap.UIDSet) {
	left := b.known.Minus(set)
	for uid := range b.known.Minus(left).All() {
		if i, ok := x.find(box, uint32(uid), 0); ok {
			x.takeOff(b, i)
		}
	}
	b.known = left
}

// parseUIDs reads a set as a gone line has it, without "*".
func parseUIDs(text []byte) (set imap.UIDSet, ok bool) {
	p := lineReader{s: text}
	for !p.bad {
		start := p.number32()
		stop := start
		if p.peek() == ':' {
			p.i++
			stop = p.number32()
		}
		if start == 0 || stop < start {
			return set, false
		}
		set.AddRange(imap.UID(start), imap.UID(stop))
		if p.peek() != ',' {
			break
		}
		p.i++
	}
	return set, !p.bad && p.i == len(text)
}

// internMarks returns the number of a set of flags and labels.
func (x *index) internMarks(flags, labels [][]byte) uint32 {
	key := binary.AppendUvarint(x.key[:0], uint64(len(flags)))
	for _, list := range [...][][]byte{flags, labels} {
		for _, s := range list {
			key = append(binary.AppendUvarint(key, uint64(len(s))), s...)
		}
	}
	x.key = key
	if id, ok := x.markIDs[string(key)]; ok {
		return id
	}
	h := fnv.New64a()
	h.Write(key)
	m := marks{flags: textsOf(flags), labels: textsOf(labels), hash: h.Sum64()}
	for _, f := range m.flags {
		m.imap = append(m.imap, imap.Flag(f))
	}
	id := uint32(len(x.marks))
	x.marks = append(x.marks, m)
	x.markIDs[string(key)] = id
	return id
}

// errNoMessage says that there is no such message.
var errNoMessage = errors.New("no such message in the manifest")

// box returns the number of the mailbox that has a folder.
func (x *index) box(dir string) (box uint32, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	box, ok = x.byDir[dir]
	return box, ok
}

// boxNumbers returns the mailboxes by their names. Those that the server has no
// more are among them only if all is set.
func (x *index) boxNumbers(all bool) []uint32 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var list []uint32
	for n, b := range x.boxes {
		if all || b.present {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(i, j uint32) int {
		a, b := x.boxes[i].mailbox, x.boxes[j].mailbox
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Dir, b.Dir)
	})
	return list
}

// boxInfo is what an index knows of a mailbox.
type boxInfo struct {
	Mailbox *Mailbox // not to be changed
	Present bool     // false: the server had it no more
	State   boxState
	Known   imap.UIDSet // the caller's; empty for POP3
	Count   int         // messages present
}

// info returns what is known of a mailbox.
func (x *index) info(box uint32) (boxInfo, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	b := x.boxes[box]
	if b == nil {
		return boxInfo{}, false
	}
	return boxInfo{Mailbox: b.mailbox, Present: b.present, State: b.boxState, Known: b.known.Clone(), Count: b.count}, true
}

// totals counts what is present.
func (x *index) totals() (mailboxes, messages int, size int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, b := range x.boxes {
		if b.present {
			mailboxes++
			messages += b.count
			size += b.size
		}
	}
	return mailboxes, messages, size
}

// uid returns the message with a UID of the present generation.
func (x *index) uid(box, uid uint32) (ref, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.find(box, uid, 0)
}

// uidl returns the message of POP3 with a unique id.
func (x *index) uidl(box uint32, uidl string) (ref, bool) {
	oid, uid := uidlKey(uidl)
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.find(box, uid, oid)
}

// oidOf returns what a message of POP3 is known by: see uidlKey.
func (x *index) oidOf(i ref) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries.oid(i)
}

// flags returns the flags of a message, sorted. The slice is shared.
func (x *index) flags(box, uid uint32) ([]imap.Flag, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i, ok := x.find(box, uid, 0)
	if !ok {
		return nil, false
	}
	return x.marks[x.entries.at(i).marks()].imap, true
}

// labels returns the Gmail labels of a message by its UID. The slice is shared.
func (x *index) labels(box, uid uint32) ([]string, bool) {
	i, ok := x.uid(box, uid)
	if !ok {
		return nil, false
	}
	_, labels := x.marksOf(i)
	return labels, true
}

// marksOf returns the flags and labels of a message. The slices are shared.
func (x *index) marksOf(i ref) (flags, labels []string) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := x.marks[x.entries.at(i).marks()]
	return m.flags, m.labels
}

// message returns all that is known of a message.
func (x *index) message(i ref) (*Message, error) {
	x.mu.RLock()
	id := x.entries.at(i).marks()
	x.mu.RUnlock()
	return x.messageWith(i, id)
}

// messageWith returns a message with those marks.
func (x *index) messageWith(i ref, id uint32) (*Message, error) {
	x.mu.RLock()
	e := *x.entries.at(i)
	box, m := x.boxes[e.box].mailbox, x.marks[id]
	line, err := x.log.line(e.off)
	x.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	var p lineReader
	r, err := p.parse(line)
	if err != nil || r.kind != kindMsg {
		return nil, errNoMessage // the file has changed under us
	}
	r.list, r.labels = nil, nil
	msg := r.message(box)
	msg.Flags, msg.Labels = m.flags, m.labels
	return msg, nil
}

// digest returns a message, gone or not, of which the file has that digest.
func (x *index) digest(d store.Digest) (m *Message, ok bool, err error) {
	x.mu.RLock()
	i, ok := x.firstDigest(digestHint(d))
	x.mu.RUnlock()
	return x.checked(i, ok, func(m *Message) bool { return m.Digest == d })
}

// emailID returns a message, gone or not, with that EMAILID.
func (x *index) emailID(id string) (m *Message, ok bool, err error) {
	return x.oid(emailKey(id), func(m *Message) bool { return m.EmailID == id })
}

// gmailID returns a message, gone or not, with that X-GM-MSGID.
func (x *index) gmailID(id uint64) (m *Message, ok bool, err error) {
	return x.oid(gmailKey(id), func(m *Message) bool { return m.GmailID == id })
}

func (x *index) oid(key uint64, is func(*Message) bool) (m *Message, ok bool, err error) {
	x.mu.RLock()
	i, ok := x.firstOID(key)
	x.mu.RUnlock()
	return x.checked(i, ok, is)
}

// checked reads a message that was found by a hint only.
func (x *index) checked(i ref, ok bool, is func(*Message) bool) (*Message, bool, error) {
	if !ok {
		return nil, false, nil
	}
	m, err := x.message(i)
	if err != nil || !is(m) {
		return nil, false, err
	}
	return m, true, nil
}

// present yields the messages of a mailbox that the server has: of IMAP by UID, of
// POP3 in the order in which they were stored.
func (x *index) present(box uint32) iter.Seq[ref] {
	info, _ := x.info(box)
	return func(yield func(ref) bool) {
		if info.Known.Empty() && info.Count > 0 {
			for i := range x.all(box) {
				x.mu.RLock()
				gone := x.entries.at(i).gone()
				x.mu.RUnlock()
				if !gone && !yield(i) {
					return
				}
			}
			return
		}
		for uid := range info.Known.All() {
			if i, ok := x.uid(box, uint32(uid)); ok && !yield(i) {
				return
			}
		}
	}
}

// all yields every message that was ever stored in a mailbox and not pruned, gone
// or not, in the order of the manifest.
func (x *index) all(box uint32) iter.Seq[ref] {
	x.mu.RLock()
	n := x.entries.n
	x.mu.RUnlock()
	return func(yield func(ref) bool) {
		for i := range ref(n) {
			x.mu.RLock()
			in := x.entries.at(i).box == box
			x.mu.RUnlock()
			if in && !yield(i) {
				return
			}
		}
	}
}
