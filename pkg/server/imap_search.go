package server

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

const (
	maxSearchDepth = 100  // keys inside keys
	maxSearchKeys  = 2000 // keys in all
	maxSearchText  = 4096 // octets of a text that is looked for
	maxSearchTexts = 200  // different texts that are looked for in bodies
)

// searchContext is what a search needs to know of the session and the mailbox. The zero value is an empty mailbox.
type searchContext struct {
	MaxSeq    uint32                      // number of messages: what "*" stands for in a sequence set
	MaxUID    uint32                      // UID of the last message: what "*" stands for in a UID set
	Saved     imapwire.UIDSet             // what "$" stands for (SEARCHRES, RFC 5182)
	Now       time.Time                   // for OLDER and YOUNGER; zero means the present time
	NoCharset bool                        // CHARSET must not be given: UTF8=ACCEPT was enabled (RFC 6855 §3), or it was read before (SORT, THREAD)
	Recent    func(uid uint32) bool       // messages that are \Recent in this session; nil for none
	Without   func(extension string) bool // extensions whose keys are not known; nil for none
	Labels    func(id string) []string    // the mailboxes that a message is in, where they are labels; nil for none
}

// searchError is a search that is refused. The decoder is sound, and what is left of the command is still to be
// skipped.
type searchError struct {
	Code string // "BADCHARSET" for a NO with this code, "" for a BAD
	Msg  string
}

// Error implements error.
func (e *searchError) Error() string { return e.Msg }

// imapQuery is a search, ready to be matched. The zero value matches every message. It may be used by one goroutine at
// a time.
type imapQuery struct {
	root   searchNode
	modSeq bool
	texts  []textNeed
	o      searchContext
}

// UsesModSeq tells if the search had the key MODSEQ, so that the answer is to tell the highest mod-sequence found (RFC
// 7162 §3.1.5).
func (q imapQuery) UsesModSeq() bool { return q.modSeq }

// NeedsBody tells if Match opens messages; how many of them depends on the other keys.
func (q imapQuery) NeedsBody() bool { return q.root.cost > costInfo }

// searchOp is what a node does.
type searchOp uint8

const (
	opAnd         searchOp = iota // all of sub; every message when there are none
	opOr                          // one of sub
	opNot                         // not sub[0]
	opFlag                        // text is a flag
	opRecent                      //
	opSeq                         // seqs
	opUID                         // uids
	opSize                        // larger than number, with less: smaller
	opArrived                     // the internal date compared with date
	opAge                         // the internal date compared with a moment
	opModSeq                      // number or higher
	opEmailID                     // text
	opSent                        // the Date field compared with date
	opHeader                      // field name holds text
	opText                        // body, or header and body, hold text
	opGmailID                     // number
	opGmailThread                 // number
	opLabel                       // text is the name of a mailbox that the message is in
	opLabelLike                   // the same, as foldLabel writes it
	opAttachment                  //
)

// The costs of finding out, in the order in which keys are looked at.
const (
	costInfo   = iota // what the mailbox knows
	costHeader        // the header must be read
	costBody          // the whole message must be read
)

// compare is how a date is compared.
type compare uint8

const (
	before compare = iota
	on
	since
)

// searchNode is one key.
type searchNode struct {
	op     searchOp
	cost   int
	sub    []searchNode
	text   string
	name   string // of the field
	number uint64
	less   bool
	cmp    compare
	date   time.Time // a day, at midnight UTC; for opAge the moment
	seqs   imapwire.SeqSet
	uids   imapwire.UIDSet
	index  int // of the text in texts
}

// textNeed is a text that is looked for in a body.
type textNeed struct {
	text   string // folded
	header bool   // in the header too
}

// imapParseSearch reads search keys up to the end of the command, with CHARSET before them (RFC 9051 §6.4.4 and RFC
// 3501 §6.4.4; CONDSTORE, WITHIN, OBJECTID, SEARCHRES). The decoder stands at the first octet behind the space: RETURN
// was read before. It fails with a *searchError, after which [imapwire.Decoder.SkipRest] goes to the end of the
// command, or with the decoder's own error.
func imapParseSearch(d *imapwire.Decoder, o searchContext) (imapQuery, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	p := &searchParser{d: d, o: o}
	p.charset = !o.NoCharset
	sub := []searchNode{p.key()}
	for p.ok() && !d.AtEnd() {
		if d.SP(); d.AtEnd() { // a space at the end of the line
			break
		}
		sub = append(sub, p.key())
	}
	if d.Err() != nil {
		return imapQuery{}, d.Err()
	}
	if p.err != nil {
		return imapQuery{}, p.err
	}
	return imapQuery{root: group(opAnd, sub), modSeq: p.modSeq, texts: p.texts, o: o}, nil
}

// imapSearchCharset fails with a *searchError for a charset that is neither US-ASCII nor UTF-8.
func imapSearchCharset(name string) error {
	if strings.EqualFold(name, "US-ASCII") || strings.EqualFold(name, "UTF-8") {
		return nil
	}
	return &searchError{Code: "BADCHARSET", Msg: "charset " + strconv.Quote(name[:min(len(name), 40)]) + " is not known"}
}

// group makes a node of several, the cheap ones first.
func group(op searchOp, sub []searchNode) searchNode {
	if len(sub) == 1 && op != opNot {
		return sub[0]
	}
	n := searchNode{op: op, sub: sub}
	for _, s := range sub {
		n.cost = max(n.cost, s.cost)
	}
	sort.SliceStable(sub, func(i, j int) bool { return sub[i].cost < sub[j].cost })
	return n
}

// searchParser reads keys. Its own error leaves the decoder sound.
type searchParser struct {
	d       *imapwire.Decoder
	o       searchContext
	err     *searchError
	depth   int
	keys    int
	charset bool // CHARSET may come
	modSeq  bool
	texts   []textNeed
}

func (p *searchParser) ok() bool { return p.err == nil && p.d.Err() == nil }

func (p *searchParser) fail(msg string) {
	if p.err == nil {
		p.err = &searchError{Msg: msg}
	}
}

// key reads one key with its arguments.
func (p *searchParser) key() searchNode {
	if p.depth++; p.depth >= maxSearchDepth {
		p.fail("search keys are nested too deep")
	}
	if p.keys++; p.keys > maxSearchKeys {
		p.fail("too many search keys")
	}
	defer func() { p.depth-- }()
	switch d := p.d; {
	case !p.ok():
		return searchNode{}
	case d.Is('('):
		return p.list()
	case !p.without("SEARCHRES") && d.Accept('$'):
		return searchNode{op: opUID, uids: p.o.Saved}
	case d.Is('*') || p.atDigit():
		return searchNode{op: opSeq, seqs: d.SeqSet()}
	}
	word := p.d.Keyword()
	if word == "CHARSET" && p.charset {
		return p.withCharset()
	}
	p.charset = false
	if needs := searchNeeds[word]; needs != "" && p.without(needs) {
		p.fail("search key is not known")
		return searchNode{}
	}
	return p.named(word)
}

// searchNeeds are the keys that not every server knows, with what brings each.
var searchNeeds = map[string]string{
	"OLDER": "WITHIN", "YOUNGER": "WITHIN", "MODSEQ": "CONDSTORE", "EMAILID": "OBJECTID", "THREADID": "OBJECTID",
	"X-GM-MSGID": gmailExtension, "X-GM-THRID": gmailExtension, "X-GM-LABELS": gmailExtension, "X-GM-RAW": gmailExtension,
	"NEW": "IMAP4REV1", "OLD": "IMAP4REV1", "RECENT": "IMAP4REV1",
}

func (p *searchParser) without(extension string) bool {
	return p.o.Without != nil && p.o.Without(extension)
}

func (p *searchParser) atDigit() bool {
	for c := byte('0'); c <= '9'; c++ {
		if p.d.Is(c) {
			return true
		}
	}
	return false
}

// withCharset reads the charset, which does not change anything, and the first key.
func (p *searchParser) withCharset() searchNode {
	p.charset = false
	p.d.SP()
	name := p.d.AString()
	if p.d.Err() == nil {
		if err, bad := imapSearchCharset(name).(*searchError); bad && p.err == nil {
			p.err = err
		}
	}
	p.d.SP()
	return p.key()
}

// list reads keys in parentheses, all of which must match.
func (p *searchParser) list() searchNode {
	p.charset = false
	var sub []searchNode
	for n, ok := 0, p.d.OpenList(); ok && p.d.More(n) && p.err == nil; n++ {
		sub = append(sub, p.key())
	}
	if len(sub) == 0 {
		p.fail("empty list of search keys")
	}
	return group(opAnd, sub)
}

// argument reads the space before an argument that is a string.
func (p *searchParser) argument() string {
	p.d.SP()
	s := p.d.AString()
	if len(s) > maxSearchText {
		p.fail("text to search for is too long")
	}
	return s
}

// day reads a date (RFC 9051 §9, date): 1-Feb-1994, also quoted.
func (p *searchParser) day() time.Time {
	s := p.argument()
	if p.d.Err() != nil {
		return time.Time{}
	}
	if len(s) < 12 { // the month in any case of letters
		if a, rest, ok := strings.Cut(s, "-"); ok && len(rest) > 2 {
			s = a + "-" + strings.ToUpper(rest[:1]) + strings.ToLower(rest[1:3]) + rest[3:]
		}
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		p.fail("bad date in search")
	}
	return t
}
