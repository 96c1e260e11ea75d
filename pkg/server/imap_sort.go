package server

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
)

// sortKey is one criterion of SORT.
type sortKey struct {
	word    string // ARRIVAL CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO
	reverse bool
}

// maxSortKeys bounds the criteria of one SORT.
const maxSortKeys = 50

// imapParseSort reads the criteria of SORT in their parentheses (RFC 5256 §3, RFC 5957). It fails with a *searchError
// or with the decoder's error, as imapParseSearch does.
func imapParseSort(d *imapwire.Decoder) ([]sortKey, error) {
	var keys []sortKey
	var bad *searchError
	reverse := false
	d.List(func() {
		word := d.Keyword()
		switch word {
		case "REVERSE":
			if reverse {
				bad = &searchError{Msg: "REVERSE twice"}
			}
			reverse = true
			return
		case "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO":
		default:
			bad = &searchError{Msg: "sort criterion is not known"}
		}
		if len(keys) < maxSortKeys {
			keys = append(keys, sortKey{word: word, reverse: reverse})
		}
		reverse = false
	})
	switch {
	case d.Err() != nil:
		return nil, d.Err()
	case bad != nil:
		return nil, bad
	case reverse || len(keys) == 0:
		return nil, &searchError{Msg: "sort criterion is missing"}
	}
	return keys, nil
}

// imapSort gives the order of list by the criteria: indices into it. list is in the order of sequence numbers, which
// decides between equals. open gives the body of a message and is called for each of them when a criterion needs the
// header; a message that is gone (ErrNoMessage) has an empty one. Other errors of open and those of reading end the
// sort.
func imapSort(keys []sortKey, list []MessageInfo, open func(uid uint32) (Body, error)) ([]int, error) {
	facts := make([]sortFacts, len(list))
	needHeader := slices.ContainsFunc(keys, func(k sortKey) bool { return k.word != "ARRIVAL" && k.word != "SIZE" })
	for i, m := range list {
		facts[i] = sortFacts{m: m}
		if !needHeader {
			continue
		}
		h, err := openHeader(m.UID, open)
		if err != nil {
			return nil, err
		}
		facts[i].read(h, keys)
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareFacts(keys, &facts[a], &facts[b]) })
	return order, nil
}

// openHeader reads the header of a message; it is empty when the message is gone.
func openHeader(uid uint32, open func(uint32) (Body, error)) (h *message.Header, err error) {
	b, err := open(uid)
	if errors.Is(err, ErrNoMessage) {
		return new(message.Header), nil
	}
	if err != nil {
		return nil, err
	}
	h, err = quickHeader(b)
	return h, errors.Join(err, b.Close())
}

// sortFacts is what a message is sorted by.
type sortFacts struct {
	m     MessageInfo
	date  time.Time
	texts []string // for each criterion, where it is a text
}

// read takes from the header what the criteria need.
func (f *sortFacts) read(h *message.Header, keys []sortKey) {
	f.date = sentDate(h, f.m.Date)
	f.texts = make([]string, len(keys))
	for i, k := range keys {
		switch k.word {
		case "SUBJECT":
			base, _ := baseSubject(subjectOf(h))
			f.texts[i] = collated(base)
		case "FROM", "TO", "CC":
			f.texts[i] = collated(firstMailbox(h, k.word).mailbox)
		case "DISPLAYFROM", "DISPLAYTO":
			f.texts[i] = collated(displayName(firstMailbox(h, k.word[len("DISPLAY"):])))
		}
	}
}

// collated is a text as it is compared: in capitals, as the collations of RFC 4790 §9.2 and RFC 5051 have it, so that
// "_" comes behind the letters.
func collated(s string) string { return strings.ToUpper(foldText(s)) }

func compareFacts(keys []sortKey, a, b *sortFacts) int {
	for i, k := range keys {
		var c int
		switch k.word {
		case "ARRIVAL":
			c = a.m.Date.Compare(b.m.Date)
		case "SIZE":
			c = cmp.Compare(a.m.Size, b.m.Size)
		case "DATE":
			c = a.date.Compare(b.date)
		default:
			c = cmp.Compare(a.texts[i], b.texts[i])
		}
		if c != 0 && k.reverse {
			return -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// sentDate is the Date field in UTC, or the internal date where there is none that can be read (RFC 5256 §2.2).
func sentDate(h *message.Header, arrived time.Time) time.Time {
	if v, ok := h.Get("Date"); ok {
		if t, err := message.ParseDate(v); err == nil {
			return t.UTC()
		}
	}
	return arrived.UTC()
}

func subjectOf(h *message.Header) string {
	v, _ := h.Get("Subject")
	return v
}

// firstMailbox gives the first address of a field, or the group it begins with; it is empty when there is none.
func firstMailbox(h *message.Header, name string) mailboxEntry {
	v, ok := h.Get(name)
	if !ok {
		return mailboxEntry{}
	}
	var p mailboxParser
	p.parse(v)
	if len(p.list) == 0 {
		return mailboxEntry{}
	}
	return p.list[0]
}

// displayName is what DISPLAYFROM and DISPLAYTO compare (RFC 5957 §3): the name, the name of a group, or else the
// address.
func displayName(m mailboxEntry) string {
	switch {
	case m.kind == groupStart:
		return message.DecodeWords(m.mailbox)
	case m.name != "":
		return message.DecodeWords(m.name)
	case m.mailbox == "" && m.host == "":
		return ""
	}
	return m.mailbox + "@" + m.host
}

// baseSubject extracts the base subject (RFC 5256 §2.1), in one case of letters, and tells if the subject is that of a
// reply or a forwarded message. It takes linear time.
func baseSubject(subject string) (base string, reply bool) {
	s := foldText(strings.TrimSpace(oneBlank(strings.Map(controlToBlank, message.DecodeWords(subject)))))
	for {
		for { // step 2: trailers
			s = strings.TrimRight(s, " ")
			cut, ok := strings.CutSuffix(s, "(fwd)")
			if !ok {
				break
			}
			s, reply = cut, true
		}
		var replied bool
		s, replied = cutLeaders(s)
		reply = reply || replied
		inner, ok := strings.CutPrefix(s, "[fwd:") // step 6
		if !ok || !strings.HasSuffix(inner, "]") {
			return s, reply
		}
		s, reply = strings.TrimLeft(inner[:len(inner)-1], " "), true
	}
}

func controlToBlank(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// cutLeaders does steps 3 to 5: it removes what stands before the base: "re:", "fw:", "fwd:" and words in square
// brackets.
func cutLeaders(s string) (rest string, reply bool) {
	for {
		s = strings.TrimLeft(s, " ")
		last, behind := s, s // last: before the last word in brackets
		for {
			next, ok := cutBlob(behind)
			if !ok {
				break
			}
			last, behind = behind, next
		}
		next, ok := cutReply(behind)
		switch {
		case ok:
			s, reply = next, true
		case behind != "":
			return behind, reply
		default: // nothing but words in brackets: the last one is the base
			return last, reply
		}
	}
}

// cutBlob removes one word in square brackets (subj-blob) from the begin of s.
func cutBlob(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// cutReply removes "re:", "fw:" or "fwd:" (subj-refwd) from the begin of s, which is folded.
func cutReply(s string) (rest string, ok bool) {
	for _, word := range []string{"re", "fwd", "fw"} {
		if rest, ok = strings.CutPrefix(s, word); ok {
			break
		}
	}
	if !ok {
		return s, false
	}
	rest, _ = cutBlob(strings.TrimLeft(rest, " "))
	if !strings.HasPrefix(rest, ":") {
		return s, false
	}
	return rest[1:], true
}
