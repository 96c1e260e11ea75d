package server

import (
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

// gmailQuery understands a query of Gmail's web page, about: words, phrases in quotes, "-" for not, OR between two
// terms, and the operators of gmailOperator. All terms must match. Parentheses join words behind an operator and mean
// nothing else. Nothing is an error: what is not understood is text to look for. Words are found within others.
func (p *searchParser) gmailQuery(query string) searchNode {
	var sub []searchNode
	or := false
	for _, w := range gmailWords(query) {
		if p.keys++; p.keys > maxSearchKeys {
			p.fail("too many search keys")
			return searchNode{}
		}
		if w == (gmailWord{text: "OR"}) {
			or = len(sub) > 0
			continue
		}
		n := p.gmailTerm(w)
		if w.not {
			n = not(n)
		}
		if or {
			n = group(opOr, []searchNode{sub[len(sub)-1], n})
			sub = sub[:len(sub)-1]
		}
		sub, or = append(sub, n), false
	}
	return group(opAnd, sub)
}

// gmailWord is one term of a query.
type gmailWord struct {
	not      bool
	op, text string
}

// gmailOperators are those that gmailTerm knows.
const gmailOperators = " from to cc bcc subject label in is has rfc822msgid larger size smaller after newer before older newer_than older_than "

func gmailWords(query string) []gmailWord {
	var list []gmailWord
	var around gmailWord // what stands before the parentheses
	for query != "" {
		switch query[0] {
		case ' ', '\t', '\r', '\n', '(', '{':
			query = query[1:]
		case ')', '}':
			query, around = query[1:], gmailWord{}
		default:
			var w gmailWord
			w, query = nextGmailWord(query)
			switch {
			case w.op != "" && w.text == "" && strings.HasPrefix(query, "("):
				around = w
				continue
			case w == gmailWord{text: "OR"}:
			case w.op == "":
				w.op, w.not = around.op, w.not != around.not
			}
			if w.op != "" || w.text != "" {
				list = append(list, w)
			}
		}
	}
	return list
}

// nextGmailWord takes a term off a query that does not begin with a blank.
func nextGmailWord(query string) (w gmailWord, rest string) {
	if len(query) > 1 && query[0] == '-' {
		w.not, query = true, query[1:]
	}
	if op, value, ok := strings.Cut(query, ":"); ok && !strings.ContainsAny(op, " \t\"") && strings.Contains(gmailOperators, " "+strings.ToLower(op)+" ") {
		w.op, query = strings.ToLower(op), value
	}
	if phrase, ok := strings.CutPrefix(query, `"`); ok {
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
		return searchNode{op: opLabelLike, text: foldLabel(w.text)}
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
	case "drafts":
		w.text = "draft"
	}
	if name, ok := labelMailbox(`\` + w.text); ok {
		return searchNode{op: opLabel, text: name}
	}
	if w.op == "in" {
		return searchNode{op: opLabelLike, text: foldLabel(w.text)}
	}
	return p.gmailText(w)
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

// gmailDate reads a day, 2026/11/22, or an age, 3d, 2m, 1y.
func (p *searchParser) gmailDate(w gmailWord) (searchNode, bool) {
	if !strings.HasSuffix(w.op, "_than") {
		day, err := time.Parse("2006/1/2", strings.ReplaceAll(w.text, "-", "/"))
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
	if !k.needBody() {
		return false
	}
	found := false
	k.err = walkBody(k.body, wholeBody(k.body), nil, func(part *mimetree.Part, _ *mimetree.Body) error {
		if found = part.Disposition == "attachment" || part.Filename != ""; found {
			return mimetree.ErrStop
		}
		return nil
	})
	return found
}
