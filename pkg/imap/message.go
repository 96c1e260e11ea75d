package imap

import (
	"errors"
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Message is what came for one message of a Fetch.
type Message struct {
	UID          UID
	Flags        []Flag
	InternalDate time.Time // zero when the server had none that can be read
	Size         int64     // as the server says; the octets that come count
	ModSeq       uint64    // 0 when not told
	EmailID      string
	ThreadID     string
	Preview      string
	NoPreview    bool           // the server has none, or with LazyPreview none at hand
	BinarySizes  []BinarySize   // in the order in which they came
	GmailID      uint64         // Gmail's id of the message, the same in all mailboxes; 0 when not told
	GmailThread  uint64         // Gmail's id of the conversation
	Labels       []string       // Gmail's labels, in UTF-8; system ones as \Inbox
	Envelope     *Envelope      // nil when not asked for or not understood
	Structure    *BodyStructure // nil when not asked for or not understood

	f       *fetcher
	d       *imapwire.Decoder
	got     item
	items   int     // read so far
	refused bool    // another's, or one that came before
	over    bool    // the callback has returned
	ended   bool    // the response has been read to its end
	next    *Body   // to be given by Next
	late    []*Body // sections that came before what was to come before them
}

// BinarySize is the size of a part with its transfer encoding undone.
type BinarySize struct {
	Part string // "1.2", "" for the whole message
	Size int64  // octets
}

// partPath names the part of a section.
func partPath(s Section) string { return Section{Part: s.Part}.String() }

// Body is one section of a message. It reads the section's octets; what is not
// read is skipped. It is valid until the next call of [Message.Next] and until
// the callback returns.
type Body struct {
	Section Section
	Size    int64 // octets

	r io.Reader
	m *Message
}

// ErrBodyClosed is what a Body gives after its time.
var ErrBodyClosed = errors.New("section read after its callback returned")

// Read reads octets of the section.
func (b *Body) Read(p []byte) (int, error) {
	if b.m.over || b.m.next != b {
		return 0, ErrBodyClosed
	}
	return b.r.Read(p)
}

// WriteTo passes the octets to w, without copying them where it can.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if b.m.over || b.m.next != b {
		return 0, ErrBodyClosed
	}
	return io.Copy(w, b.r)
}

// Next gives the next section that the server had, in the order in which they
// come, and io.EOF behind the last.
func (m *Message) Next() (*Body, error) {
	if m.over {
		return nil, ErrBodyClosed
	}
	if b := m.next; b != nil && !m.got.has(bodyGiven) {
		m.got |= bodyGiven
		return b, nil
	}
	m.advance()
	if err := m.f.c.decodeError(); err != nil {
		return nil, err
	}
	if m.next == nil {
		return nil, io.EOF
	}
	m.got |= bodyGiven
	return m.next, nil
}

// bodyGiven is a bit beside the items: next has been handed out.
const bodyGiven item = 1 << 31

func (i item) has(bits item) bool { return i&bits == bits }

// readAll reads a response that answers nothing of ours: UID, flags and
// mod-sequence are kept.
func (m *Message) readAll(r imapwire.Response, d *imapwire.Decoder) {
	*m = Message{f: &fetcher{o: &FetchOptions{}, any: true}, d: d, Flags: m.Flags[:0]}
	if r.Name == "UIDFETCH" {
		m.setUID(UID(r.Num))
	}
	for ok := d.OpenList(); ok && !m.ended; {
		m.read()
	}
}

// begin reads the response up to its first section and delivers the message.
func (m *Message) begin() {
	for !m.ended {
		b := m.read()
		if b == nil {
			continue
		}
		if m.got.has(m.f.want) { // the usual order: everything else came before
			m.next = b
			m.f.deliver(m)
			m.finish()
			return
		}
		if err := m.keep(b); err != nil {
			m.f.err = err
			m.f.c.conn.Fail(err)
			return
		}
	}
	if m.d.Err() == nil && m.answer() {
		m.f.deliver(m)
	}
}

// answer tells if the response, read to its end, answers our command: servers
// also send FETCH by themselves when flags change.
func (m *Message) answer() bool {
	if m.refused || !m.got.has(itemUID) {
		return false
	}
	if len(m.f.o.Sections) > 0 {
		return len(m.late) > 0
	}
	if m.f.want&^unsolicited == 0 {
		return m.got.has(m.f.want &^ itemModSeq)
	}
	return m.got&m.f.want&^unsolicited != 0
}

// keep puts a section aside until the rest of the response has been read.
func (m *Message) keep(b *Body) error {
	if m.refused {
		return nil
	}
	r, err := m.f.spools.keep(b.r)
	if err != nil {
		return err
	}
	b.r = r
	m.late = append(m.late, b)
	return nil
}

// advance goes to the next section.
func (m *Message) advance() {
	m.got &^= bodyGiven
	if len(m.late) > 0 {
		m.next, m.late = m.late[0], m.late[1:]
		return
	}
	m.next = nil
	for !m.ended {
		if b := m.read(); b != nil {
			m.next = b
			return
		}
	}
}

// finish reads what the callback left.
func (m *Message) finish() {
	for !m.ended && m.f.err == nil {
		m.read()
	}
}

// read reads the next item. It returns a body for a section that has octets,
// and sets ended at the end of the response.
func (m *Message) read() *Body {
	d := m.d
	d.EndBody() // of the section before
	if !d.More(m.items) {
		m.ended = true
		return nil
	}
	m.items++
	extra := d.ExtraParen()
	b := m.item(d.Keyword(), d)
	if extra && b != nil {
		d.Fail("section in parentheses")
	}
	if extra {
		d.Expect(')')
	}
	return b
}

func (m *Message) item(name string, d *imapwire.Decoder) *Body {
	switch name {
	case "BODY", "BINARY":
		if !d.Is('[') {
			return m.structure(name, d)
		}
		s := d.Section()
		s.Binary = name == "BINARY"
		d.SP()
		return m.section(s, d)
	case "BODYSTRUCTURE":
		return m.structure(name, d)
	case "BINARY.SIZE":
		m.binarySize(d)
		return nil
	}
	d.SP()
	m.plainItem(name, d)
	return nil
}

// plainItem reads an item that is no section.
func (m *Message) plainItem(name string, d *imapwire.Decoder) {
	bit := item(0)
	switch name {
	case "UID":
		m.setUID(UID(d.NZNumber()))
	case "FLAGS":
		bit = itemFlags
		m.Flags = m.Flags[:0]
		d.List(func() { m.Flags = append(m.Flags, d.Flag()) })
	case "INTERNALDATE":
		bit = itemDate
		m.InternalDate = d.DateTime()
	case "RFC822.SIZE":
		bit = itemSize
		m.Size = d.SignedNumber(imapwire.NegativeNumber)
	case "MODSEQ":
		bit = itemModSeq
		d.List(func() { m.ModSeq = d.ModSeq() })
	case "EMAILID":
		bit = itemEmailID
		m.EmailID = objectID(d)
	case "THREADID":
		bit = itemThreadID
		m.ThreadID = objectID(d)
	case "PREVIEW":
		bit = itemPreview
		text, ok := d.NString()
		m.Preview, m.NoPreview = text, !ok
	case "X-GM-MSGID":
		bit = itemGmailID
		m.GmailID = d.NumberU64()
	case "X-GM-THRID":
		bit = itemGmailThread
		m.GmailThread = d.NumberU64()
	case "X-GM-LABELS":
		bit = itemLabels
		d.List(func() {
			if label := decodeLabel(d); len(m.Labels) < maxLabels {
				m.Labels = append(m.Labels, label)
			}
		})
	case "ENVELOPE":
		bit = itemEnvelope
		env, ok := newEnvelope(d.Value())
		m.Envelope = env
		d.Odd(!ok)
	default:
		d.Skip()
	}
	m.got |= bit
}

// setUID notes whose message it is.
func (m *Message) setUID(uid UID) {
	m.UID = uid
	if m.d.Err() != nil {
		return
	}
	m.got |= itemUID
	if uid == 0 {
		m.d.Fail("UID is zero")
	}
	if m.f.route != nil {
		m.f = m.f.route(uid)
	}
	m.refused = m.refused || !m.f.wanted(uid)
}

// structure reads a BODYSTRUCTURE. DavMail puts an empty string before it.
func (m *Message) structure(name string, d *imapwire.Decoder) *Body {
	d.SP()
	v := d.Value()
	if v.Kind == imapwire.StringValue && v.Text == "" && d.EmptyItem() {
		v = d.Value()
	}
	if d.Err() != nil || name != "BODYSTRUCTURE" {
		return nil
	}
	s, ok := newStructure(v)
	m.Structure = s
	d.Odd(!ok)
	m.got |= itemStructure
	return nil
}

// binarySize reads the size of a part that was asked for (RFC 3516 §7).
func (m *Message) binarySize(d *imapwire.Decoder) {
	part := partPath(d.Section())
	d.SP()
	size := d.Number64()
	for _, want := range m.f.o.BinarySizes {
		if partPath(want) == part && d.Err() == nil {
			m.BinarySizes = append(m.BinarySizes, BinarySize{part, size})
			m.got |= itemBinarySize
			return
		}
	}
}

// section begins a section. One that was not asked for, or that the server has
// no octets for, is skipped: NIL, or nothing for a message that has a size.
func (m *Message) section(s Section, d *imapwire.Decoder) *Body {
	r, size, ok := d.NStringReader()
	if !ok || m.refused || !m.asked(s) {
		return nil
	}
	if size == 0 && m.Size > 0 && s.String() == "" && s.Offset == 0 {
		return nil
	}
	return &Body{Section: s, Size: size, r: r, m: m}
}

func (m *Message) asked(s Section) bool {
	for _, want := range m.f.o.Sections {
		if want.Same(s) {
			return true
		}
	}
	return false
}
