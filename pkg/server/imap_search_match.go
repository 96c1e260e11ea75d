package server

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

// Match tells if a message is found. seq is its sequence number. open is called once at most, only when what the
// mailbox knows of the message does not decide, and its body is closed here. Errors are those of open and of reading
// the body.
func (q imapQuery) Match(m MessageInfo, seq uint32, open func() (Body, error)) (bool, error) {
	k := &matcher{q: &q, m: m, seq: seq, open: open}
	found := k.match(&q.root)
	if k.body != nil {
		k.err = errors.Join(k.err, k.body.Close())
	}
	return found && k.err == nil, k.err
}

// matcher matches one message.
type matcher struct {
	q      *imapQuery
	m      MessageInfo
	seq    uint32
	open   func() (Body, error)
	err    error // ends the search
	body   Body
	header *message.Header
	values []string  // of its fields, folded, once they were looked at
	sent   time.Time // the day of the Date field
	dated  bool      // sent is known, or there is none
	found  []bool    // of the texts, once the body was read

	walked, attached bool // the parts were looked at; one is an attachment
}

// match tells if a key is fulfilled.
func (k *matcher) match(n *searchNode) bool {
	if k.err != nil {
		return false
	}
	switch n.op {
	case opAnd:
		for i := range n.sub {
			if !k.match(&n.sub[i]) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.sub {
			if k.match(&n.sub[i]) {
				return true
			}
		}
		return false
	case opNot:
		return !k.match(&n.sub[0])
	case opHeader:
		return k.matchHeader(n)
	case opSent:
		return k.matchSent(n)
	case opText:
		return k.matchText(n)
	case opGmailID, opGmailThread, opLabel, opLabelLike, opAttachment:
		return k.matchGmail(n)
	}
	return k.matchInfo(n)
}

// matchInfo looks at what the mailbox knows.
func (k *matcher) matchInfo(n *searchNode) bool {
	o := &k.q.o
	switch n.op {
	case opFlag:
		return slices.ContainsFunc(k.m.Flags, func(f string) bool { return strings.EqualFold(f, n.text) })
	case opRecent:
		return o.Recent != nil && o.Recent(k.m.UID)
	case opSeq:
		return inSeq(n.seqs, k.seq, o.MaxSeq)
	case opUID:
		return inUID(n.uids, k.m.UID, o.MaxUID)
	case opSize:
		if n.less {
			return uint64(k.m.Size) < n.number
		}
		return uint64(k.m.Size) > n.number
	case opArrived:
		return compareDay(dayOf(k.m.Date), n)
	case opAge:
		if n.less {
			return !k.m.Date.After(n.date)
		}
		return !k.m.Date.Before(n.date)
	case opModSeq:
		return k.m.ModSeq >= n.number
	case opEmailID:
		return k.m.ID == n.text
	}
	return false
}

// dayOf is the day a clock shows, whatever its zone: searches by date disregard time and zone.
func dayOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

func compareDay(day time.Time, n *searchNode) bool {
	switch n.cmp {
	case before:
		return day.Before(n.date)
	case on:
		return day.Equal(n.date)
	}
	return !day.Before(n.date)
}

// needBody opens the message.
func (k *matcher) needBody() bool {
	if k.body == nil && k.err == nil {
		k.body, k.err = k.open()
	}
	return k.err == nil
}

// needHeader reads the header.
func (k *matcher) needHeader() bool {
	if k.header != nil {
		return true
	}
	if !k.needBody() {
		return false
	}
	k.header, k.err = quickHeader(k.body)
	return k.err == nil
}

func (k *matcher) matchHeader(n *searchNode) bool {
	if !k.needHeader() {
		return false
	}
	want := oneBlank(n.text)
	for i, f := range k.header.Fields {
		if f.Name != "" && strings.EqualFold(f.Name, n.name) && (want == "" || strings.Contains(k.value(i), want)) {
			return true
		}
	}
	return false
}

// value is the folded value of a field.
func (k *matcher) value(i int) string {
	if k.values == nil {
		k.values = make([]string, len(k.header.Fields))
	}
	if k.values[i] == "" {
		k.values[i] = foldField(k.header.Fields[i])
	}
	return k.values[i]
}

// matchSent compares the Date field. A message without one that can be read is not found.
func (k *matcher) matchSent(n *searchNode) bool {
	if !k.needHeader() {
		return false
	}
	if !k.dated {
		k.dated = true
		if v, ok := k.header.Get("Date"); ok {
			if t, err := message.ParseDate(v); err == nil {
				k.sent = dayOf(t)
			}
		}
	}
	return !k.sent.IsZero() && compareDay(k.sent, n)
}

// matchText looks for all texts of the search at the first one.
func (k *matcher) matchText(n *searchNode) bool {
	if k.found == nil {
		if !k.needBody() {
			return false
		}
		s := newTextScan(k.q.texts)
		k.err = s.message(k.body)
		k.found = s.found
	}
	return k.err == nil && k.found[n.index]
}

// foldText makes texts that differ in the case of letters only the same.
func foldText(s string) string { return string(appendFolded(make([]byte, 0, len(s)), s)) }

func appendFolded[T string | []byte](dst []byte, s T) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToUpper(r)))
		i += n
	}
	return dst
}

// oneBlank makes every run of blanks one space: where a header field was folded means nothing.
func oneBlank(s string) string {
	if !strings.Contains(s, "  ") && !strings.Contains(s, "\t") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != ' ' && s[i] != '\t' {
			out = append(out, s[i])
		} else if len(out) == 0 || out[len(out)-1] != ' ' {
			out = append(out, ' ')
		}
	}
	return string(out)
}

// foldField is the value of a field as it is searched: decoded, and in one case of letters.
func foldField(f message.Field) string { return oneBlank(foldText(message.DecodeWords(f.Value()))) }

// scanChunk is how many octets of a text are looked at together.
const scanChunk = 32 << 10

// textScan looks for several texts in one pass over a message.
type textScan struct {
	needs   []textNeed
	found   []bool
	left    int // not found yet
	longest int
	chunk   []byte
	window  []byte // folded
}

func newTextScan(needs []textNeed) *textScan {
	s := &textScan{needs: needs, found: make([]bool, len(needs)), left: len(needs)}
	for _, n := range needs {
		s.longest = max(s.longest, len(n.text))
	}
	return s
}

// message looks at the header, the texts, and the headers of embedded messages. Parts that are no text are passed over.
func (s *textScan) message(b Body) error {
	return walkBody(b, wholeBody(b), nil, func(p *mimetree.Part, body *mimetree.Body) error {
		s.header(p)
		switch {
		case s.left == 0:
			return mimetree.ErrStop
		case body == nil:
			r, _ := mimetree.NewCharsetReader("", io.NewSectionReader(b, p.BodyOffset, p.Size))
			return s.text(r)
		case p.Container || !p.Text():
			return nil
		}
		if err := s.text(body.Text()); err != nil || s.left > 0 {
			return err
		}
		return mimetree.ErrStop
	})
}

// header looks at a header. That of an embedded message is a part of the body; of the headers of other parts only TEXT
// knows.
func (s *textScan) header(p *mimetree.Part) {
	for _, f := range p.Header.Fields {
		if s.left == 0 {
			return
		}
		line := foldField(f)
		if f.Name != "" {
			line = foldText(f.Name) + ": " + line
		}
		for i, n := range s.needs {
			if !s.found[i] && (n.header || p.Embedded) && strings.Contains(line, oneBlank(n.text)) {
				s.found[i] = true
				s.left--
			}
		}
	}
}

// text looks at a text in UTF-8.
func (s *textScan) text(r io.Reader) error {
	if s.chunk == nil {
		s.chunk = make([]byte, scanChunk)
	}
	s.window = s.window[:0]
	held := 0 // octets of a character that is not complete
	for s.left > 0 {
		n, err := io.ReadFull(r, s.chunk[held:])
		data := s.chunk[:held+n]
		whole := len(data)
		if err == nil {
			whole = completeRunes(data)
		}
		s.window = appendFolded(s.window, data[:whole])
		s.look()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		held = copy(s.chunk, data[whole:])
		if keep := s.longest - 1; len(s.window) > keep {
			s.window = s.window[:copy(s.window, s.window[len(s.window)-keep:])]
		}
	}
	return nil
}

// look looks for what was not found yet in the window.
func (s *textScan) look() {
	for i, n := range s.needs {
		if !s.found[i] && bytes.Contains(s.window, []byte(n.text)) {
			s.found[i] = true
			s.left--
		}
	}
}

// completeRunes gives the length of data without a character at its end that is cut.
func completeRunes(data []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		at := len(data) - back
		if utf8.RuneStart(data[at]) {
			if !utf8.FullRune(data[at:]) {
				return at
			}
			break
		}
	}
	return len(data)
}
