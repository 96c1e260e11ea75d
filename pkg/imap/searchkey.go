package imap

import (
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// SearchKey is one condition of a search (RFC 9051 §6.4.4). The zero value is
// fulfilled by every message.
type SearchKey struct {
	word  string      // the key, ALL when empty
	text  []string    // its string arguments
	atom  string      // its argument that is an atom: a keyword
	date  time.Time   // its date
	size  int64       // its size, with sized
	sized bool        //
	num   uint64      // its number
	uids  UIDSet      // for UID
	seqs  SeqSet      // a sequence set stands alone
	sub   []SearchKey // of NOT, OR
	raw   string      // keys as a person wrote them
}

// SearchFlag is fulfilled by messages with the flag.
func SearchFlag(f Flag) SearchKey {
	switch f {
	case imapwire.FlagSeen:
		return SearchKey{word: "SEEN"}
	case imapwire.FlagAnswered:
		return SearchKey{word: "ANSWERED"}
	case imapwire.FlagFlagged:
		return SearchKey{word: "FLAGGED"}
	case imapwire.FlagDeleted:
		return SearchKey{word: "DELETED"}
	case imapwire.FlagDraft:
		return SearchKey{word: "DRAFT"}
	case imapwire.FlagRecent:
		return SearchKey{word: "RECENT"}
	}
	return SearchKey{word: "KEYWORD", atom: string(f)}
}

// SearchNoFlag is fulfilled by messages without the flag.
func SearchNoFlag(f Flag) SearchKey {
	k := SearchFlag(f)
	switch k.word {
	case "RECENT":
		k.word = "OLD"
	default:
		k.word = "UN" + k.word
	}
	return k
}

// The searches for a substring, in any case of letters.

// SearchFrom looks at From.
func SearchFrom(s string) SearchKey { return SearchKey{word: "FROM", text: []string{s}} }

// SearchTo looks at To.
func SearchTo(s string) SearchKey { return SearchKey{word: "TO", text: []string{s}} }

// SearchCc looks at Cc.
func SearchCc(s string) SearchKey { return SearchKey{word: "CC", text: []string{s}} }

// SearchBcc looks at Bcc.
func SearchBcc(s string) SearchKey { return SearchKey{word: "BCC", text: []string{s}} }

// SearchSubject looks at Subject.
func SearchSubject(s string) SearchKey { return SearchKey{word: "SUBJECT", text: []string{s}} }

// SearchBody looks at the body.
func SearchBody(s string) SearchKey { return SearchKey{word: "BODY", text: []string{s}} }

// SearchText looks at header and body.
func SearchText(s string) SearchKey { return SearchKey{word: "TEXT", text: []string{s}} }

// SearchHeader looks at any header field; an empty value asks for its presence.
func SearchHeader(name, value string) SearchKey {
	return SearchKey{word: "HEADER", text: []string{name, value}}
}

// The searches by date compare whole days as the server sees them.

// SearchSince is fulfilled by messages that arrived on that day or later.
func SearchSince(t time.Time) SearchKey { return SearchKey{word: "SINCE", date: t} }

// SearchBefore is fulfilled by messages that arrived before that day.
func SearchBefore(t time.Time) SearchKey { return SearchKey{word: "BEFORE", date: t} }

// SearchOn is fulfilled by messages that arrived on that day.
func SearchOn(t time.Time) SearchKey { return SearchKey{word: "ON", date: t} }

// SearchSentSince compares the Date field.
func SearchSentSince(t time.Time) SearchKey { return SearchKey{word: "SENTSINCE", date: t} }

// SearchSentBefore compares the Date field.
func SearchSentBefore(t time.Time) SearchKey { return SearchKey{word: "SENTBEFORE", date: t} }

// SearchSentOn compares the Date field.
func SearchSentOn(t time.Time) SearchKey { return SearchKey{word: "SENTON", date: t} }

// SearchLarger is fulfilled by messages of more than n octets.
func SearchLarger(n int64) SearchKey { return SearchKey{word: "LARGER", size: n, sized: true} }

// SearchSmaller is fulfilled by messages of fewer than n octets.
func SearchSmaller(n int64) SearchKey { return SearchKey{word: "SMALLER", size: n, sized: true} }

// SearchUIDs is fulfilled by the messages of a set.
func SearchUIDs(s UIDSet) SearchKey { return SearchKey{word: "UID", uids: s} }

// SearchSeq is fulfilled by the messages with these sequence numbers: the one
// way to get from those to UIDs.
func SearchSeq(s SeqSet) SearchKey { return SearchKey{seqs: s} }

// SearchNot is fulfilled by messages that do not fulfil k.
func SearchNot(k SearchKey) SearchKey { return SearchKey{word: "NOT", sub: []SearchKey{k}} }

// SearchOr is fulfilled by messages that fulfil a or b.
func SearchOr(a, b SearchKey) SearchKey { return SearchKey{word: "OR", sub: []SearchKey{a, b}} }

// SearchSaved is fulfilled by the messages that a search with [SearchReturn.Save]
// has kept on the server (RFC 5182).
func SearchSaved() SearchKey { return SearchKey{word: "$"} }

// SearchModSeq is fulfilled by messages whose mod-sequence is at least n (RFC 7162
// §3.1.5).
func SearchModSeq(n uint64) SearchKey { return SearchKey{word: "MODSEQ", num: n} }

// SearchYounger is fulfilled by messages that arrived less than d ago, to the
// second (WITHIN, RFC 5032).
func SearchYounger(d time.Duration) SearchKey {
	return SearchKey{word: "YOUNGER", num: uint64(max(d/time.Second, 1))}
}

// SearchOlder is fulfilled by messages that arrived at least d ago (RFC 5032).
func SearchOlder(d time.Duration) SearchKey {
	return SearchKey{word: "OLDER", num: uint64(max(d/time.Second, 1))}
}

// SearchRaw is search keys as they go over the wire: printable, on one line,
// without literals.
func SearchRaw(keys string) SearchKey { return SearchKey{raw: keys} }

func (k SearchKey) ascii() bool {
	for _, s := range k.text {
		if !isASCII(s) {
			return false
		}
	}
	return isASCII(k.raw) && asciiKeys(k.sub)
}

// encodeKeys writes keys that are all to be fulfilled.
func encodeKeys(e *imapwire.Encoder, keys []SearchKey) {
	if len(keys) == 0 {
		e.Atom("ALL")
	}
	for i, k := range keys {
		if i > 0 {
			e.SP()
		}
		k.encode(e)
	}
}

func (k SearchKey) encode(e *imapwire.Encoder) {
	switch {
	case k.raw != "":
		e.Raw(k.raw)
		return
	case !k.seqs.Empty():
		e.SeqSet(k.seqs)
		return
	case k.word == "":
		e.Atom("ALL")
		return
	}
	if k.word == "$" {
		e.Raw("$")
	} else {
		e.Atom(k.word)
	}
	for _, s := range k.text {
		e.SP().String(s)
	}
	switch {
	case k.word == "UID":
		e.SP().UIDSet(k.uids)
	case k.atom != "":
		e.SP().Atom(k.atom)
	case !k.date.IsZero():
		e.SP().Date(k.date)
	case k.num > 0:
		e.SP().Number(k.num)
	case k.sized:
		e.SP().Number(uint64(k.size))
	}
	for _, s := range k.sub {
		e.SP()
		if s.raw != "" {
			e.Raw("(" + s.raw + ")")
		} else {
			s.encode(e)
		}
	}
}

// needs is the capability without which a key cannot be sent, "" for none.
func (k SearchKey) needs() string {
	switch k.word {
	case "X-GM-RAW", "X-GM-LABELS":
		return gmailExt
	case "$":
		return "SEARCHRES"
	case "MODSEQ":
		return "CONDSTORE"
	case "YOUNGER", "OLDER":
		return "WITHIN"
	}
	return needsOf(k.sub)
}

func needsOf(keys []SearchKey) string {
	for _, k := range keys {
		if name := k.needs(); name != "" {
			return name
		}
	}
	return ""
}
