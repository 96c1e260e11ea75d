package server

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

// gmailKey reads the argument of one of Gmail's search keys.
func (p *searchParser) gmailKey(word string) searchNode {
	switch p.d.SP(); word {
	case "X-GM-MSGID":
		return searchNode{op: opGmailID, number: p.d.NumberU64()}
	case "X-GM-THRID":
		return searchNode{op: opGmailThread, cost: costHeader, number: p.d.NumberU64()}
	case "X-GM-LABELS":
		return searchNode{op: opLabel, text: p.gmailLabel()}
	}
	query := p.d.AString()
	if len(query) > maxSearchText {
		p.fail("text to search for is too long")
		return searchNode{}
	}
	return p.gmailQuery(query)
}

// gmailLabel reads a label and returns the name of its mailbox. Clients write it as a mailbox name or in the charset of
// the search.
func (p *searchParser) gmailLabel() string {
	if p.d.Is('\\') {
		name, _ := labelMailbox(string(p.d.Flag()))
		return name
	}
	text := p.d.AString()
	if name, ok := labelMailbox(text); ok {
		return name
	}
	if name, ok := imapwire.DecodeUTF7(text); ok {
		return name
	}
	return text
}

// gmailQuery understands a query of Gmail's web page, about: words, phrases in quotes, the operators of gmailOperators,
// "-" for not, AND, and OR, which binds closer than what stands side by side. All terms in parentheses must match, or
// one of those in braces; an operator before them is that of all their words. What is not understood is text to look
// for: only too much is an error. Words are found within others.
func (p *searchParser) gmailQuery(query string) searchNode {
	q := gmailReader{searchParser: p, rest: query}
	n, _ := q.group("", opAnd)
	return n
}

// gmailReader reads a query.
type gmailReader struct {
	*searchParser
	rest string
	open int // groups
}

// gmailWord is one term of a query, or what stands before a group.
type gmailWord struct {
	not      bool
	op, text string
	quoted   bool
}

// gmailOperators are those that gmailTerm knows.
const gmailOperators = " from to cc bcc subject label in is has rfc822msgid larger size smaller after newer before older newer_than older_than "

// group reads up to the end of a group, behind the operator op. Without a term it says nothing, and matches.
func (q *gmailReader) group(op string, join searchOp) (n searchNode, ok bool) {
	if q.open++; q.open > maxSearchDepth {
		q.fail("search keys are nested too deep")
	}
	var sub []searchNode
	for or := false; q.err == nil; {
		w, more := q.next()
		if !more {
			break
		}
		if w == (gmailWord{text: "OR"}) || w == (gmailWord{text: "AND"}) {
			or = w.text == "OR" && len(sub) > 0
			continue
		}
		n, ok := q.term(w, op)
		switch last := len(sub) - 1; {
		case !ok:
		case or:
			sub[last], or = group(opOr, []searchNode{sub[last], n}), false
		default:
			sub = append(sub, n)
		}
	}
	q.open--
	if len(sub) == 0 {
		return searchNode{op: opAnd}, false
	}
	return group(join, sub), true
}

// next takes a term off the query. There is none at the end of a group. What closes no group is a blank.
func (q *gmailReader) next() (w gmailWord, ok bool) {
	blanks := " \t\r\n"
	if q.open == 1 {
		blanks += ")}"
	}
	q.rest = strings.TrimLeft(q.rest, blanks)
	switch {
	case q.rest == "":
		return w, false
	case q.rest[0] == ')' || q.rest[0] == '}':
		q.rest = q.rest[1:]
		return w, false
	}
	w, q.rest = nextGmailWord(q.rest)
	return w, true
}

// nextGmailWord takes a term off a query that does not begin with a blank.
func nextGmailWord(query string) (w gmailWord, rest string) {
	query, w.not = strings.CutPrefix(query, "-")
	if op, value, ok := strings.Cut(query, ":"); ok && !strings.ContainsAny(op, " \t\"") && strings.Contains(gmailOperators, " "+strings.ToLower(op)+" ") {
		w.op, query = strings.ToLower(op), value
	}
	if phrase, ok := strings.CutPrefix(query, `"`); ok {
		w.quoted = true
		w.text, rest, _ = strings.Cut(phrase, `"`)
		return w, rest
	}
	end := strings.IndexAny(query, " \t\r\n\"(){}")
	if end < 0 {
		end = len(query)
	}
	w.text = query[:end]
	return w, query[end:]
}

// term makes a search key of a term, with the group behind it. One that says nothing is not ok.
func (q *gmailReader) term(w gmailWord, op string) (n searchNode, ok bool) {
	if q.keys++; q.keys > maxSearchKeys {
		q.fail("too many search keys")
	}
	said := w.op != "" || w.text != ""
	w.op = cmp.Or(w.op, op)
	switch bare := w.text == "" && !w.quoted; {
	case bare && strings.HasPrefix(q.rest, "("):
		q.rest = q.rest[1:]
		n, ok = q.group(w.op, opAnd)
	case bare && strings.HasPrefix(q.rest, "{"):
		q.rest = q.rest[1:]
		n, ok = q.group(w.op, opOr)
	case said:
		n, ok = q.gmailTerm(w), true
	}
	if ok && w.not {
		n = not(n)
	}
	return n, ok
}

// gmailTerm makes a search key of a term.
func (p *searchParser) gmailTerm(w gmailWord) searchNode {
	field := func(name string) searchNode {
		return searchNode{op: opHeader, cost: costHeader, name: name, text: foldText(w.text)}
	}
	switch w.op {
	case "from", "cc", "bcc", "subject":
		return field(w.op)
	case "to":
		return group(opOr, []searchNode{field("to"), field("cc"), field("bcc")})
	case "rfc822msgid":
		return field("Message-ID")
	case "label":
		return p.gmailPlace(w)
	case "in", "is":
		return p.gmailState(w)
	case "has":
		if strings.EqualFold(w.text, "attachment") {
			return searchNode{op: opAttachment, cost: costBody}
		}
	case "larger", "size", "smaller":
		if n, ok := gmailSize(w.text); ok {
			return searchNode{op: opSize, number: n, less: w.op == "smaller"}
		}
	case "after", "newer", "before", "older", "newer_than", "older_than":
		if n, ok := p.gmailDate(w); ok {
			return n
		}
	}
	return p.gmailText(w)
}

// gmailText looks for a term as it stands.
func (p *searchParser) gmailText(w gmailWord) searchNode {
	text := w.text
	if w.op != "" {
		text = w.op + ":" + text
	}
	return p.bodyText(textNeed{text: foldText(text), header: true})
}

// gmailState is where a message is, or what has been done with it.
func (p *searchParser) gmailState(w gmailWord) searchNode {
	seen, flagged := searchNode{op: opFlag, text: flagSeen}, searchNode{op: opFlag, text: flagFlagged}
	switch strings.ToLower(w.text) {
	case "read":
		return seen
	case "unread":
		return not(seen)
	case "starred":
		return flagged
	case "unstarred":
		return not(flagged)
	case "anywhere":
		return searchNode{op: opAnd}
	}
	return p.gmailPlace(w)
}

// gmailPlace looks for a label: of the system, by the name that X-GM-LABELS has for it, or of the user.
func (p *searchParser) gmailPlace(w gmailWord) searchNode {
	word := w.text
	if strings.EqualFold(word, "drafts") {
		word = "draft"
	}
	name, ok := labelMailbox(`\` + word)
	if !ok && w.op == "is" {
		return p.gmailText(w)
	}
	like := searchNode{op: opLabelLike, text: foldLabel(w.text)}
	if !ok {
		return like
	}
	return group(opOr, []searchNode{{op: opLabel, text: name}, like})
}

// foldLabel writes a label as queries do: small letters, and "-" for blanks and slashes.
func foldLabel(name string) string {
	return strings.NewReplacer(" ", "-", "/", "-").Replace(foldText(name))
}

// gmailSize reads a number of octets: 1000, 10K, 5M.
func gmailSize(text string) (n uint64, ok bool) {
	digits := strings.TrimRight(text, "kKmM")
	n, err := strconv.ParseUint(digits, 10, 40)
	switch unit := strings.ToLower(text[len(digits):]); {
	case err != nil:
		return 0, false
	case unit == "":
		return n, true
	case unit == "k":
		return n << 10, true
	case unit == "m":
		return n << 20, true
	}
	return 0, false
}

// gmailDate reads a day, 2026/11/22 or 11/22/2026, or an age, 3d, 2m, 1y.
func (p *searchParser) gmailDate(w gmailWord) (searchNode, bool) {
	if !strings.HasSuffix(w.op, "_than") {
		text := strings.ReplaceAll(w.text, "-", "/")
		day, err := time.Parse("2006/1/2", text)
		if err != nil {
			day, err = time.Parse("1/2/2006", text)
		}
		n := searchNode{op: opArrived, cmp: since, date: day}
		if w.op == "before" || w.op == "older" {
			n.cmp = before
		}
		return n, err == nil
	}
	if w.text == "" {
		return searchNode{}, false
	}
	last := len(w.text) - 1
	days, ok := map[byte]int{'d': 1, 'm': 30, 'y': 365}[w.text[last]|0x20]
	count, err := strconv.ParseUint(w.text[:last], 10, 16)
	return searchNode{op: opAge, date: p.o.Now.AddDate(0, 0, -int(count)*days), less: w.op == "older_than"}, ok && err == nil
}

// matchGmail looks at what Gmail knows of a message.
func (k *matcher) matchGmail(n *searchNode) bool {
	switch n.op {
	case opGmailID:
		return gmailNumber(k.m.ID) == n.number
	case opGmailThread:
		return k.needHeader() && gmailThread(k.m.ID, k.header) == n.number
	case opAttachment:
		return k.hasAttachment()
	}
	if k.q.o.Labels == nil {
		return false
	}
	for _, name := range k.q.o.Labels(k.m.ID) {
		if n.op == opLabel && strings.EqualFold(name, n.text) || n.op == opLabelLike && foldLabel(name) == n.text {
			return true
		}
	}
	return false
}

// hasAttachment tells if a part is an attachment or has the name of a file.
func (k *matcher) hasAttachment() bool {
	if k.walked || !k.needBody() {
		return k.attached
	}
	k.walked = true
	k.err = walkBody(k.body, wholeBody(k.body), nil, func(part *mimetree.Part, _ *mimetree.Body) error {
		if k.attached = part.Disposition == "attachment" || part.Filename != ""; k.attached {
			return mimetree.ErrStop
		}
		return nil
	})
	return k.attached
}
