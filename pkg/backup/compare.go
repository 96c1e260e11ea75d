package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
)

// proof is the beginning of a digest.
type proof [16]byte

// key is a number that says the same.
func (p proof) key() uint64 { return binary.LittleEndian.Uint64(p[:]) }

// local is what a message of the backup is recognised by.
type local struct {
	at            uint32 // its place in the list of those to restore
	size, date    int64
	id            uint64 // hash of the Message-ID, 0 for none
	header, whole proof
}

func (local) octets() int { return 4 + 3*8 + 2*len(proof{}) }

func (l local) append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, l.at)
	to = binary.LittleEndian.AppendUint64(to, uint64(l.size))
	to = binary.LittleEndian.AppendUint64(to, uint64(l.date))
	to = binary.LittleEndian.AppendUint64(to, l.id)
	return append(append(to, l.header[:]...), l.whole[:]...)
}

func (local) parse(p []byte) local {
	le := binary.LittleEndian
	return local{at: le.Uint32(p), size: int64(le.Uint64(p[4:])), date: int64(le.Uint64(p[12:])), id: le.Uint64(p[20:]),
		header: proof(p[28:44]), whole: proof(p[44:60])}
}

// listed is what the listing of a mailbox tells of a message on the server.
type listed struct {
	uid        imap.UID
	size, date int64
	id         uint64
}

func (listed) octets() int { return 4 + 3*8 }

func (l listed) append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(l.uid))
	to = binary.LittleEndian.AppendUint64(to, uint64(l.size))
	to = binary.LittleEndian.AppendUint64(to, uint64(l.date))
	return binary.LittleEndian.AppendUint64(to, l.id)
}

func (listed) parse(p []byte) listed {
	le := binary.LittleEndian
	return listed{uid: imap.UID(le.Uint32(p)), size: int64(le.Uint64(p[4:])), date: int64(le.Uint64(p[12:])), id: le.Uint64(p[20:])}
}

// remote is what a message on the server is recognised by.
type remote struct {
	listed
	proof proof
	by    proofKind
	taken bool
}

// proofKind says what a proof is of.
type proofKind uint8

const (
	byNothing proofKind = iota
	byHeader
	byWhole
)

// noDate stands for the date of a message that has none.
const noDate = -1 << 62

// hashID is what a Message-ID is compared by.
func hashID(id string) uint64 {
	id = strings.Join(strings.Fields(id), "")
	if id == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// proofOf is the beginning of what h has.
func proofOf(h hash.Hash) (p proof) {
	copy(p[:], h.Sum(nil))
	return p
}

// maxIDField bounds the field that tells the Message-ID, in octets.
const maxIDField = 64 << 10

// messageID reads a header of one field.
func messageID(r io.Reader) uint64 {
	h, err := message.ReadHeader(bufio.NewReader(io.LimitReader(r, maxIDField)))
	if err != nil {
		return 0
	}
	id, _ := h.Get("Message-ID")
	return hashID(id)
}

// headerWriter passes on what it gets up to the empty line behind a header.
type headerWriter struct {
	w    io.Writer
	last []byte // the four octets before
	done bool
}

// Write implements io.Writer.
func (h *headerWriter) Write(p []byte) (int, error) {
	if h.done {
		return len(p), nil
	}
	if h.last == nil {
		h.last = []byte("\r\n") // a message may begin with the empty line
	}
	end := len(p)
	joined := append(bytes.Clone(h.last), p...)
	if i := bytes.Index(joined, []byte("\r\n\r\n")); i >= 0 {
		end, h.done = i+4-len(h.last), true
	}
	h.last = joined[max(len(joined)-3, 0):]
	_, err := h.w.Write(p[:end])
	return len(p), err
}

// recognise reads the file of a message. The error is that it cannot be read, or is not
// as it was.
func (r *Repo) recognise(m *Message) (local, error) {
	l := local{size: m.Size, date: noDate}
	if !m.Date.IsZero() {
		l.date = m.Date.Unix()
	}
	sp, err := r.sound(m)
	if err != nil {
		return l, err
	}
	defer sp.Close()
	if h, err := sp.Header(); err == nil {
		id, _ := h.Get("Message-ID")
		l.id = hashID(id)
	}
	header, whole := sha256.New(), sha256.New()
	_, err = copyAll(io.MultiWriter(&headerWriter{w: header}, whole), sp.Wire())
	l.header, l.whole = proofOf(header), proofOf(whole)
	return l, err
}

// copyBuffers are for copyAll: a buffer for each message would be most of the garbage.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyAll is io.Copy.
func copyAll(w io.Writer, r io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(w, r, buf[:])
}

// census is some of what is in a mailbox on the server, by UID, and what of it the
// backup has.
type census struct {
	c    *imap.Client
	here []remote
}

// everything is all UIDs.
func everything() imap.UIDSet {
	var all imap.UIDSet
	all.AddRange(1, 1<<32-1)
	return all
}

// listMailbox asks what is in the mailbox that is open.
func listMailbox(ctx context.Context, c *imap.Client, to *spool[listed]) error {
	id := imap.Section{Spec: "HEADER.FIELDS", Fields: []string{"MESSAGE-ID"}}
	o := &imap.FetchOptions{InternalDate: true, Size: true, Sections: []imap.Section{id}}
	_, err := c.Fetch(ctx, everything(), o, func(m *imap.Message) error {
		one := listed{uid: m.UID, size: m.Size, date: noDate}
		if !m.InternalDate.IsZero() {
			one.date = m.InternalDate.Unix()
		}
		b, err := m.Next()
		if err == nil {
			one.id = messageID(b)
		} else if err != io.EOF {
			return err
		}
		return to.add(one)
	})
	return err
}

// at returns what is known of a message.
func (l *census) at(uid imap.UID) *remote {
	i, ok := slices.BinarySearchFunc(l.here, uid, func(one remote, uid imap.UID) int { return cmp.Compare(one.uid, uid) })
	if !ok {
		return nil
	}
	return &l.here[i]
}

// keys are numbers to look for, sorted.
type keys []uint64

func (k keys) has(key uint64) bool { _, ok := slices.BinarySearch(k, key); return ok }

// mix makes one number of several.
func mix(words ...uint64) uint64 {
	var h uint64 = 0xCBF29CE484222325
	for _, w := range words {
		h = (h ^ w) * 0x9E3779B97F4A7C15
		h ^= h >> 32
	}
	return h
}

func sizeKey(size int64) uint64 { return mix(1, uint64(size)) }
func dateKey(date int64) uint64 { return mix(2, uint64(date)) }

// suspects says which messages of the server may be some of the backup.
type suspects struct {
	ids      keys // Message-IDs
	dated    keys // size and date
	nameless keys // sizes and dates of those without Message-ID
	clear    keys // size, date and Message-ID that tell one message of the backup from all others
	headers  []proof
}

// newSuspects takes messages of the backup, and the claims that different ones make.
func newSuspects(locals []local, disputed keys) *suspects {
	s := &suspects{ids: make(keys, 0, len(locals)), dated: make(keys, 0, len(locals)), clear: make(keys, 0, len(locals)), headers: make([]proof, 0, len(locals))}
	for i := range locals {
		l := &locals[i]
		s.dated = append(s.dated, mix(uint64(l.size), uint64(l.date)))
		s.headers = append(s.headers, l.header)
		if l.id == 0 {
			s.nameless = append(s.nameless, sizeKey(l.size), dateKey(l.date))
			continue
		}
		s.ids = append(s.ids, l.id)
		if !disputed.has(l.claim()) {
			s.clear = append(s.clear, mix(uint64(l.size), uint64(l.date), l.id))
		}
	}
	for _, k := range []keys{s.ids, s.dated, s.nameless, s.clear} {
		slices.Sort(k)
	}
	slices.SortFunc(s.headers, compareProofs)
	return s
}

// claim is a key of the size and the Message-ID of a message.
func (l *local) claim() uint64 { return mix(uint64(l.size), l.id) }

// disputes returns the claims that different messages make, sorted.
func disputes(locals []local) (disputed keys) {
	slices.SortFunc(locals, func(a, b local) int {
		return cmp.Or(cmp.Compare(a.claim(), b.claim()), compareProofs(a.whole, b.whole))
	})
	for i := 1; i < len(locals); i++ {
		if c := locals[i].claim(); locals[i].id != 0 && c == locals[i-1].claim() && locals[i].whole != locals[i-1].whole {
			disputed = append(disputed, c)
		}
	}
	return disputed
}

func compareProofs(a, b proof) int { return bytes.Compare(a[:], b[:]) }

// needs says what tells whether a message is one of the backup. The header does
// where size, date and Message-ID are those of one message of the backup, else all
// of it.
func (s *suspects) needs(r *listed) proofKind {
	switch {
	case r.id != 0 && r.date != noDate && s.clear.has(mix(uint64(r.size), uint64(r.date), r.id)):
		return byHeader
	case r.id != 0 && s.ids.has(r.id), s.dated.has(mix(uint64(r.size), uint64(r.date))):
		return byWhole
	case r.id == 0 && (s.nameless.has(sizeKey(r.size)) || s.nameless.has(dateKey(r.date))): // not all servers tell the size as it is
		return byWhole
	}
	return byNothing
}

// prove fetches what is needed to compare with the messages of the backup, and was not
// fetched before.
func (l *census) prove(ctx context.Context, s *suspects) error {
	var headers, wholes imap.UIDSet
	for i := range l.here {
		if l.here[i].by == byWhole {
			continue
		}
		switch s.needs(&l.here[i].listed) {
		case byHeader:
			headers.Add(l.here[i].uid)
		case byWhole:
			wholes.Add(l.here[i].uid)
		}
	}
	if err := l.digest(ctx, headers, byHeader); err != nil {
		return err
	}
	for uid := range headers.All() {
		one := l.at(uid)
		if _, ok := slices.BinarySearchFunc(s.headers, one.proof, compareProofs); !ok {
			wholes.Add(uid)
		}
	}
	return l.digest(ctx, wholes, byWhole)
}

// digest fetches the headers, or all, of messages and keeps their digests.
func (l *census) digest(ctx context.Context, set imap.UIDSet, by proofKind) error {
	if set.Empty() {
		return nil
	}
	section := imap.Section{}
	if by == byHeader {
		section.Spec = "HEADER"
	}
	_, err := l.c.Fetch(ctx, set, &imap.FetchOptions{Sections: []imap.Section{section}}, func(m *imap.Message) error {
		b, err := m.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		h := sha256.New()
		if _, err := copyAll(h, b); err != nil {
			return err
		}
		if one := l.at(m.UID); one != nil {
			one.proof, one.by = proofOf(h), by
		}
		return nil
	})
	return err
}

// matcher pairs messages of the backup with those of the server.
type matcher struct{ byProof []*remote }

func newMatcher(l *census) *matcher {
	m := &matcher{}
	for i := range l.here {
		if l.here[i].by != byNothing {
			m.byProof = append(m.byProof, &l.here[i])
		}
	}
	slices.SortStableFunc(m.byProof, func(a, b *remote) int { return compareProofs(a.proof, b.proof) })
	return m
}

// match finds a message on the server that is l and that no other one was paired
// with. With dated the dates must be the same.
func (m *matcher) match(l *local, dated bool) *remote {
	for _, want := range [...]struct {
		proof
		by proofKind
	}{{l.header, byHeader}, {l.whole, byWhole}} {
		i, _ := slices.BinarySearchFunc(m.byProof, want.proof, func(r *remote, p proof) int { return compareProofs(r.proof, p) })
		for ; i < len(m.byProof) && m.byProof[i].proof == want.proof; i++ {
			r := m.byProof[i]
			if r.taken || r.by != want.by || dated && r.date != l.date || want.by == byHeader && (r.size != l.size || r.id != l.id || r.date != l.date) {
				continue
			}
			r.taken = true
			return r
		}
	}
	return nil
}
