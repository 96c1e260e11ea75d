package server

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapItem is one data item of FETCH (RFC 9051 §6.4.5).
type imapItem struct {
	name    string // UID, FLAGS, BODY[], BINARY.SIZE[], …
	section imapwire.Section
	peek    bool
	label   string // how a section is named in the response: BODY[1.MIME]<0>
}

// imapFetch is a FETCH command.
type imapFetch struct {
	set      imapSet
	items    []imapItem
	since    uint64
	changed  bool // CHANGEDSINCE was given
	vanished bool
	missing  bool // a message was gone when its octets were to be sent
	unknown  bool // a part had a transfer encoding that is not known
}

// wants tells if an item without a section is asked for.
func (o *imapFetch) wants(name string) bool {
	return slices.ContainsFunc(o.items, func(it imapItem) bool { return it.name == name })
}

// imapMacros are the short forms of RFC 9051 §6.4.5.
var imapMacros = map[string][]string{
	"ALL":  {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"},
	"FAST": {"FLAGS", "INTERNALDATE", "RFC822.SIZE"},
	"FULL": {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"},
}

// imapItemNeeds are the items without a section, with the extension that brings each.
var imapItemNeeds = map[string]string{
	"UID": "", "FLAGS": "", "INTERNALDATE": "", "RFC822.SIZE": "", "ENVELOPE": "", "BODYSTRUCTURE": "", "BODY": "",
	"RFC822": "", "RFC822.HEADER": "", "RFC822.TEXT": "",
	"MODSEQ": "CONDSTORE", "EMAILID": "OBJECTID", "THREADID": "OBJECTID", "PREVIEW": "PREVIEW",
	"X-GM-MSGID": gmailExtension, "X-GM-THRID": gmailExtension, "X-GM-LABELS": gmailExtension,
}

// maxItems bounds the items of one FETCH.
const maxItems = 500

// fetch answers FETCH and UID FETCH.
func (s *imapSession) fetch(d *imapwire.Decoder) error {
	var o imapFetch
	d.SP()
	o.set = s.setArg(d)
	d.SP()
	if err := s.fetchItems(d, &o); err != nil {
		return err
	}
	if d.Accept(' ') {
		if err := s.fetchModifiers(d, &o); err != nil {
			return err
		}
	}
	if err := s.finish(d); err != nil {
		return err
	}
	if o.wants("MODSEQ") {
		if err := s.condstore(); err != nil {
			return err
		}
	}
	if o.set.uid {
		o.items = slices.DeleteFunc(o.items, func(it imapItem) bool { return it.name == "UID" })
		o.items = slices.Insert(o.items, 0, imapItem{name: "UID"})
	}
	list, err := s.resolve(o.set)
	if err != nil {
		return err
	}
	if err := s.fetchAll(&o, list); err != nil {
		return err
	}
	switch {
	case o.unknown:
		return imapNo("UNKNOWN-CTE", "the encoding of a part is not known")
	case o.missing && !o.set.uid:
		return errIMAPGone
	}
	return nil
}

func (s *imapSession) fetchItems(d *imapwire.Decoder, o *imapFetch) error {
	if !d.Is('(') {
		word := d.Keyword()
		for _, name := range imapMacros[word] {
			o.items = append(o.items, imapItem{name: name})
		}
		if o.items != nil {
			return nil
		}
		return s.fetchItem(d, word, o)
	}
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		if n >= maxItems {
			return imapBad("", "too many items")
		}
		if d.Is('(') && o.previews() { // PREVIEW (LAZY), RFC 8970 §4
			d.List(func() { lazyArg(d) })
			continue
		}
		if err := s.fetchItem(d, d.Keyword(), o); err != nil {
			return err
		}
	}
	if len(o.items) == 0 && d.Err() == nil {
		return imapBad("", "no items")
	}
	return d.Err()
}

// previews tells if the last item is PREVIEW, which may have a modifier.
func (o *imapFetch) previews() bool {
	return len(o.items) > 0 && o.items[len(o.items)-1].name == "PREVIEW"
}

// lazyArg reads the modifier of PREVIEW. Previews are made on demand here, whatever the client can do without.
func lazyArg(d *imapwire.Decoder) {
	if d.Keyword() != "LAZY" {
		d.Fail("unknown modifier")
	}
}

// fetchItem reads the item that begins with word.
func (s *imapSession) fetchItem(d *imapwire.Decoder, word string, o *imapFetch) error {
	if err := d.Err(); err != nil {
		return err
	}
	it := imapItem{name: word}
	switch base := strings.TrimSuffix(word, ".PEEK"); {
	case d.Is('[') && (base == "BODY" || base == "BINARY" && s.has("BINARY") || word == "BINARY.SIZE" && s.has("BINARY")):
		if err := it.sectionOf(d, base, word != base); err != nil {
			return err
		}
	default:
		needs, known := imapItemNeeds[word]
		if !known || !s.offers(needs) {
			return imapBad("", "unknown item")
		}
		it.legacy()
	}
	o.items = append(o.items, it)
	return d.Err()
}

// sectionOf reads the section behind BODY, BINARY or BINARY.SIZE.
func (it *imapItem) sectionOf(d *imapwire.Decoder, base string, peek bool) error {
	it.section = d.Section()
	it.peek = peek || base == "BINARY.SIZE"
	it.name = base + "[]"
	sec := it.section
	listed := strings.HasPrefix(sec.Spec, "HEADER.FIELDS")
	switch {
	case d.Err() != nil:
		return d.Err()
	case base != "BODY" && sec.Spec != "", base == "BINARY.SIZE" && sec.Piece, sec.Piece && sec.Length == 0, listed && len(sec.Fields) == 0:
		return imapBad("", "bad section")
	}
	label := base + "[" + sec.String()
	if listed {
		var fields []byte
		for i, f := range sec.Fields {
			if i > 0 {
				fields = append(fields, ' ')
			}
			fields = appendAString(fields, f)
		}
		label += " (" + string(fields) + ")"
	}
	it.label = label + "]"
	if sec.Piece {
		it.label += "<" + strconv.FormatUint(uint64(sec.Offset), 10) + ">"
	}
	return nil
}

// appendAString writes a header field name as the client could have.
func appendAString(b []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return imapQuote(b, text, false)
		}
	}
	if text == "" {
		return append(b, `""`...)
	}
	return append(b, text...)
}

// legacy makes RFC822, RFC822.HEADER and RFC822.TEXT sections (RFC 3501 §6.4.5).
func (it *imapItem) legacy() {
	switch it.name {
	case "RFC822":
	case "RFC822.HEADER":
		it.section.Spec, it.peek = "HEADER", true
	case "RFC822.TEXT":
		it.section.Spec = "TEXT"
	default:
		return
	}
	it.label, it.name = it.name, "BODY[]"
}

// fetchModifiers reads (CHANGEDSINCE n [VANISHED]) (RFC 7162 §3.1.4.1, §3.2.6).
func (s *imapSession) fetchModifiers(d *imapwire.Decoder, o *imapFetch) error {
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		switch word := d.Keyword(); {
		case word == "CHANGEDSINCE" && s.has("CONDSTORE"):
			d.SP()
			o.since, o.changed = uint64(d.Number64()), true
		case word == "VANISHED" && o.set.uid && s.enabled["QRESYNC"]:
			o.vanished = true
		case word == "LAZY" && n == 0 && o.previews():
		default:
			return imapBad("", "unknown modifier")
		}
	}
	if d.Err() != nil || !o.changed {
		if o.vanished {
			return imapBad("", "VANISHED needs CHANGEDSINCE")
		}
		return d.Err()
	}
	if !o.wants("MODSEQ") {
		o.items = append(o.items, imapItem{name: "MODSEQ"})
	}
	return nil
}

// fetchAll sends the responses.
func (s *imapSession) fetchAll(o *imapFetch, list []int) error {
	v := s.view
	if o.vanished {
		err := s.vanishedEarlier(o.since, func(uid uint32) bool { return o.set.uids.Contains(imapwire.UID(uid)) })
		if err != nil {
			return err
		}
	}
	if o.changed {
		list = slices.DeleteFunc(list, func(i int) bool { return v.msgs[i].ModSeq <= o.since })
	}
	if s.fault.lie == lieVanished && len(list) > 0 {
		list = list[1:]
	}
	marked, err := s.markSeen(o, list)
	if err != nil {
		return err
	}
	for _, i := range list {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.fetchOne(o, i, marked[v.msgs[i].UID]); err != nil {
			return err
		}
	}
	return nil
}

// markSeen sets \Seen on the messages whose text is about to be read, unless only a look was asked for. The new flags
// are told with the text.
func (s *imapSession) markSeen(o *imapFetch, list []int) (map[uint32]bool, error) {
	v := s.view
	if v.readOnly || !slices.ContainsFunc(o.items, func(it imapItem) bool { return strings.HasSuffix(it.name, "[]") && !it.peek }) {
		return nil, nil
	}
	var uids []uint32
	for _, i := range list {
		if !hasFlag(v.msgs[i].Flags, `\Seen`) {
			uids = append(uids, v.msgs[i].UID)
		}
	}
	if len(uids) == 0 {
		return nil, nil
	}
	stored, err := v.box.SetFlags(uids, func(m MessageInfo) ([]string, bool) {
		return append(slices.Clone(m.Flags), `\Seen`), !hasFlag(m.Flags, `\Seen`)
	})
	marked := make(map[uint32]bool, len(stored))
	for _, m := range stored {
		marked[m.UID] = true
	}
	v.take(stored)
	return marked, err
}

// fetchOne sends the response for one message. Its body is opened when an item needs it, before anything is sent, so
// that a message that is gone leaves no half of a response.
func (s *imapSession) fetchOne(o *imapFetch, i int, marked bool) error {
	f := &imapFetching{s: s, o: o, m: s.view.msgs[i]}
	defer f.close()
	if slices.ContainsFunc(o.items, imapItem.needsBody) {
		body, err := s.view.box.Open(f.m.UID)
		if errors.Is(err, ErrNoMessage) {
			o.missing = true
			return nil
		}
		if err != nil {
			return err
		}
		f.body = body
	}
	f.b = append(strconv.AppendInt(append(s.buf[:0], "* "...), int64(i+1), 10), " FETCH ("...)
	for k := range o.items {
		if k > 0 {
			f.b = append(f.b, ' ')
		}
		if err := f.item(&o.items[k]); err != nil {
			return f.broken(err)
		}
	}
	if marked {
		f.change()
	}
	f.b = append(f.b, ")\r\n"...)
	s.buf = f.b
	_, err := s.c.Write(f.b)
	return err
}

func (it imapItem) needsBody() bool {
	switch it.name {
	case "ENVELOPE", "BODYSTRUCTURE", "BODY", "PREVIEW", "X-GM-THRID":
		return true
	}
	return strings.HasSuffix(it.name, "[]")
}

// imapFetching is one FETCH response in the making.
type imapFetching struct {
	s    *imapSession
	o    *imapFetch
	m    MessageInfo
	body Body
	b    []byte // what was not written yet
	sent bool   // a part of the response has been written
}

// change tells what reading the text has changed, unless it was asked for.
func (f *imapFetching) change() {
	for _, name := range []string{"FLAGS", "MODSEQ"} {
		if !f.o.wants(name) && (name == "FLAGS" || f.s.enabled["CONDSTORE"]) {
			f.b = append(f.b, ' ')
			_ = f.item(&imapItem{name: name}) // these cannot fail
		}
	}
}

// broken ends the session when the client has got half a response.
func (f *imapFetching) broken(err error) error {
	if f.sent {
		return f.s.conn.Fail(err)
	}
	return err
}

func (f *imapFetching) close() {
	if f.body != nil {
		_ = f.body.Close()
	}
}

// item appends one item; octets of the message go straight to the connection.
func (f *imapFetching) item(it *imapItem) error {
	if strings.HasSuffix(it.name, "[]") {
		return f.sectionItem(it)
	}
	f.b = append(append(f.b, it.name...), ' ')
	var raw []byte
	var err error
	switch it.name {
	case "UID":
		f.b = strconv.AppendUint(f.b, uint64(f.m.UID), 10)
	case "FLAGS":
		f.b = f.s.view.appendFlags(f.b, &f.m)
	case "INTERNALDATE":
		f.b = append(append(append(f.b, '"'), imapwire.FormatDateTime(f.m.Date)...), '"')
	case "RFC822.SIZE":
		f.b = strconv.AppendInt(f.b, f.size(), 10)
	case "MODSEQ":
		f.b = append(strconv.AppendUint(append(f.b, '('), f.m.ModSeq, 10), ')')
	case "EMAILID":
		f.b = append(append(append(f.b, '('), f.m.ID...), ')')
	case "THREADID": // RFC 8474 §5.2: NIL where a server knows no threads; they are worked out by THREAD alone here
		f.b = append(f.b, "NIL"...)
	case "X-GM-MSGID":
		f.b = strconv.AppendUint(f.b, gmailNumber(f.m.ID), 10)
	case "X-GM-LABELS":
		f.b = f.s.appendLabels(f.b, f.m.ID)
	case "X-GM-THRID":
		raw, err = imapThreadID(f.m.ID, f.body)
	case "ENVELOPE":
		raw, err = imapEnvelope(f.body)
	case "BODYSTRUCTURE", "BODY":
		raw, err = imapBodyStructure(f.body, it.name == "BODYSTRUCTURE")
	case "PREVIEW":
		f.b = imapQuote(f.b, imapPreview(f.body), f.s.plainNames())
	}
	f.b = append(f.b, raw...)
	return err
}

// size is the size told, which a fault can make wrong.
func (f *imapFetching) size() int64 {
	if f.s.fault.lie == lieWrongSize {
		return f.m.Size + 7
	}
	return f.m.Size
}

func (f *imapFetching) sectionItem(it *imapItem) error {
	var r io.Reader
	var size int64
	var err error
	binary := strings.HasPrefix(it.name, "BINARY")
	if binary {
		r, size, err = imapBinary(f.body, it.section.Part)
	} else {
		r, size, err = imapSection(f.body, it.section)
	}
	if errors.Is(err, errUnknownEncoding) { // RFC 3516 §4.3; the rest of the command is answered
		f.o.unknown = true
	} else if err != nil && !errors.Is(err, errNoPart) {
		return err
	}
	f.b = append(append(f.b, it.label...), ' ')
	switch {
	case it.name == "BINARY.SIZE[]":
		f.b = strconv.AppendInt(f.b, size, 10)
		return nil
	case err != nil:
		f.b = append(f.b, "NIL"...)
		return nil
	}
	mark := ""
	if binary {
		r, size, err = imapPiece(r, size, it.section)
		if err != nil {
			return err
		}
		mark = "~"
	}
	return f.literal(mark, r, size)
}

// imapPiece cuts a decoded part.
func imapPiece(r io.Reader, size int64, sec imapwire.Section) (io.Reader, int64, error) {
	if sec.Length == 0 {
		return r, size, nil
	}
	skip := min(int64(sec.Offset), size)
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return nil, 0, err
	}
	size = min(size-skip, int64(sec.Length))
	return io.LimitReader(r, size), size, nil
}

// imapBuffers are for copying bodies to connections.
var imapBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// literal sends octets of a message behind what is there already. Fewer octets than announced end the session.
func (f *imapFetching) literal(mark string, r io.Reader, size int64) error {
	announced := size
	if f.s.fault.lie == lieShort {
		announced++
	}
	f.b = append(strconv.AppendInt(append(append(f.b, mark...), '{'), announced, 10), "}\r\n"...)
	if _, err := f.s.c.Write(f.b); err != nil {
		return err
	}
	f.b, f.sent = f.b[:0], true
	w := f.s.cutWriter(imapData{f.s.c}, f.s.fault.cutAt)
	buf := imapBuffers.Get().(*[]byte)
	defer imapBuffers.Put(buf)
	n, err := io.CopyBuffer(w, r, *buf)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// imapData writes octets of a message.
type imapData struct{ c *imapStream }

func (w imapData) Write(p []byte) (int, error) { return w.c.WriteData(p) }
