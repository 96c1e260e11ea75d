package imap

import (
	"context"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// FetchOptions say what to fetch of each message. The UID always comes. Items
// that the server does not offer are left out.
type FetchOptions struct {
	Flags, InternalDate, Size, Envelope, Structure bool
	ModSeq                                         bool // RFC 7162
	ObjectID                                       bool // RFC 8474: email and thread ids
	Preview                                        bool // RFC 8970
	LazyPreview                                    bool // with Preview: only what the server has at hand
	Gmail                                          bool // X-GM-EXT-1: Gmail's ids and labels
	// Sections are pieces of the message, the zero Section all of it.
	Sections []Section
	// BinarySizes are parts of which the size is wanted that they have with their
	// transfer encoding undone (BINARY.SIZE, RFC 3516 §4.3): only Section.Part
	// counts. A server may have to decode them for it, and refuses what it cannot.
	BinarySizes []Section
	// MarkSeen lets the server set \Seen, which it never does otherwise.
	MarkSeen bool
	// ChangedSince leaves out messages without a change since that
	// mod-sequence (RFC 7162 §3.1.4.1); 0 leaves out none.
	ChangedSince uint64
	// Partial fetches only a window of the set (PARTIAL, RFC 9394).
	Partial Partial
	// Saved fetches what a search kept on the server (SEARCHRES, RFC 5182), in
	// place of the set, which must be empty. Nothing is missing then.
	Saved bool
}

// item is a bit for each thing that can come with a message.
type item uint32

const (
	itemUID item = 1 << iota
	itemFlags
	itemDate
	itemSize
	itemEnvelope
	itemStructure
	itemModSeq
	itemEmailID
	itemThreadID
	itemPreview
	itemGmailID
	itemGmailThread
	itemLabels
	itemBinarySize

	// unsolicited are the items that a server sends by itself.
	unsolicited = itemUID | itemFlags | itemModSeq
)

const (
	// maxSetText is how long the text of a message set in one command may be.
	maxSetText = 7000
	// fetchDepth is how many FETCH commands are in flight: they are long, and a
	// server that is busy with answers may not read them all.
	fetchDepth = 2
)

// Fetch calls fn for each message of set, in the order in which they come
// (RFC 9051 §6.4.5). When fn runs, everything but the sections is in the
// message; the sections stream from the connection, see [Message.Next]. The
// message is valid during the call. An error of fn ends the connection, because
// what is on its way could not be skipped cheaply.
//
// missing are the UIDs of set that did not come: they do not exist (any more),
// or the server had no octets for them. In sets with ranges that is usual. An
// *[Error] besides means that the server refused some or all.
func (c *Client) Fetch(ctx context.Context, set UIDSet, o *FetchOptions, fn func(*Message) error) (missing UIDSet, err error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return set, err
	}
	if o == nil {
		o = &FetchOptions{}
	}
	if set.Empty() && !o.Saved {
		return set, nil
	}
	if err := c.checkFetch(o); err != nil {
		return set, err
	}
	f := &fetcher{c: c, set: set, o: o, fn: fn, any: o.Saved}
	f.choose()
	parts := []UIDSet{{}} // of a saved result
	if !o.Saved {
		if parts, err = c.fetchWindows(set, o); err != nil {
			return set, err
		}
	}
	err = f.run(parts)
	if !o.Partial.zero() { // what is outside of the window was not asked for
		return UIDSet{}, err
	}
	return set.Minus(f.seen.set()), err
}

// run fetches the parts of a set.
func (f *fetcher) run(parts []UIDSet) error {
	send := func(i int) (*command, error) {
		cmd := &command{label: "fetch", data: f.data}
		return cmd, f.c.send(cmd, "UID FETCH", func(e *imapwire.Encoder) { f.args(e, parts[i]) })
	}
	err := f.c.pipeline(len(parts), min(f.c.depth, fetchDepth), send, func(_ int, err error) error { return err })
	if f.err != nil {
		return f.err
	}
	return err
}

// fetchWindows is windows, but a window of the caller's own is one command.
func (c *Client) fetchWindows(set UIDSet, o *FetchOptions) ([]UIDSet, error) {
	if !o.Partial.zero() {
		return []UIDSet{set}, nil
	}
	return c.windows(set)
}

// checkFetch refuses what cannot be left out where the server does not offer it.
func (c *Client) checkFetch(o *FetchOptions) error {
	decoded := len(o.BinarySizes) > 0
	for _, s := range o.Sections {
		decoded = decoded || s.Binary
	}
	if decoded && !c.has("BINARY") {
		return &CapabilityError{Command: "fetch of a decoded part", Capability: "BINARY"}
	}
	if o.Saved && !c.has("SEARCHRES") {
		return &CapabilityError{Command: "fetch of a saved result", Capability: "SEARCHRES"}
	}
	if !o.Partial.zero() && !c.has("PARTIAL") {
		return &CapabilityError{Command: "fetch of a window", Capability: "PARTIAL"}
	}
	return o.Partial.check()
}

// fetcher is one Fetch.
type fetcher struct {
	c      *Client
	set    UIDSet
	o      *FetchOptions
	fn     func(*Message) error
	words  []string
	want   item
	seen   seen
	any    bool               // of no command: every message is wanted
	route  func(UID) *fetcher // whose message it is, when several have asked
	star   bool               // the message that "*" stands for has come
	msg    Message
	spools spools
	err    error // of fn
}

// choose picks the items that the server offers, in a fixed order.
func (f *fetcher) choose() {
	f.want = itemUID
	add := func(on bool, bits item, words ...string) {
		if on {
			f.want |= bits
			f.words = append(f.words, words...)
		}
	}
	o, c := f.o, f.c
	add(true, itemUID, "UID")
	add(o.Flags, itemFlags, "FLAGS")
	add(o.InternalDate, itemDate, "INTERNALDATE")
	add(o.Size, itemSize, "RFC822.SIZE")
	add(o.ModSeq && c.has("CONDSTORE"), itemModSeq, "MODSEQ")
	add(o.ObjectID && c.has("OBJECTID"), itemEmailID|itemThreadID, "EMAILID", "THREADID")
	switch {
	case !o.Preview || !c.has("PREVIEW"):
	case o.LazyPreview:
		add(true, itemPreview, "PREVIEW (LAZY)")
	default:
		add(true, itemPreview, "PREVIEW")
	}
	add(o.Gmail && c.has(gmailExt), itemGmailID|itemGmailThread|itemLabels, "X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS")
	add(o.Envelope, itemEnvelope, "ENVELOPE")
	add(o.Structure, itemStructure, "BODYSTRUCTURE")
	for _, s := range o.BinarySizes {
		add(true, itemBinarySize, "BINARY.SIZE["+partPath(s)+"]")
	}
}

func (f *fetcher) args(e *imapwire.Encoder, part UIDSet) {
	words, sections := f.words, f.o.Sections
	if f.o.Saved {
		e.SP().Raw("$")
	} else {
		e.SP().UIDSet(part)
	}
	e.SP().List(len(words)+len(sections), func(i int) {
		if i < len(words) {
			e.Raw(words[i])
			return
		}
		e.Section(sections[i-len(words)], !f.o.MarkSeen)
	})
	var modifiers []string
	if !f.o.Partial.zero() {
		modifiers = append(modifiers, "PARTIAL "+f.o.Partial.String())
	}
	if since := f.o.ChangedSince; since > 0 && f.c.has("CONDSTORE") {
		modifiers = append(modifiers, "CHANGEDSINCE "+strconv.FormatUint(since, 10))
	}
	if len(modifiers) > 0 {
		e.SP().Raw("(" + strings.Join(modifiers, " ") + ")")
	}
}

// isFetch tells if a response has data of a message, with UIDONLY (RFC 9586) too.
func isFetch(r imapwire.Response) bool { return r.Name == "FETCH" || r.Name == "UIDFETCH" }

// data takes a FETCH response.
func (f *fetcher) data(r imapwire.Response, d *imapwire.Decoder) bool {
	if !isFetch(r) {
		return false
	}
	m := &f.msg
	*m = Message{f: f, d: d, Flags: m.Flags[:0]}
	if d.OpenList() {
		if r.Name == "UIDFETCH" { // RFC 9586 §3.3: its number is the UID
			m.setUID(UID(r.Num))
		}
		m.begin()
	}
	f.spools.close()
	m.f.spools.close()
	if t := f.c.watched; t != nil && !m.over && d.Err() == nil {
		t.fetched(r, m)
	}
	return true
}

// wanted tells if a UID is to be delivered, and has not been yet.
func (f *fetcher) wanted(uid UID) bool {
	if f.seen.contains(uid) {
		return false
	}
	if f.any {
		return true
	}
	if f.set.Contains(uid) {
		return true
	}
	return f.set.Dynamic() && !f.star // "*" stands for one message that we cannot know
}

// deliver calls fn.
func (f *fetcher) deliver(m *Message) {
	if f.err != nil {
		return
	}
	f.seen.add(m.UID)
	f.star = f.star || !f.set.Contains(m.UID)
	f.c.busy = true
	err := f.fn(m)
	f.c.busy = false
	m.over = true
	if err != nil {
		f.err = err
		f.c.conn.Fail(err)
	}
}
