package server

import (
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// systemFlags are the keys that ask for a flag; with UN before them they ask for its absence.
var systemFlags = map[string]string{"ANSWERED": `\Answered`, "DELETED": `\Deleted`, "DRAFT": `\Draft`, "FLAGGED": `\Flagged`, "SEEN": `\Seen`}

// named reads the arguments of a key that has a name.
func (p *searchParser) named(word string) searchNode {
	if flag, ok := systemFlags[word]; ok {
		return searchNode{op: opFlag, text: flag}
	}
	if flag, ok := systemFlags[strings.TrimPrefix(word, "UN")]; ok {
		return not(searchNode{op: opFlag, text: flag})
	}
	switch word {
	case "ALL":
		return searchNode{op: opAnd}
	case "KEYWORD", "UNKEYWORD":
		p.d.SP()
		n := searchNode{op: opFlag, text: p.d.Atom()}
		if word == "UNKEYWORD" {
			return not(n)
		}
		return n
	case "NEW":
		return group(opAnd, []searchNode{{op: opRecent}, not(searchNode{op: opFlag, text: `\Seen`})})
	case "OLD":
		return not(searchNode{op: opRecent})
	case "RECENT":
		return searchNode{op: opRecent}
	case "UID":
		return p.uid()
	case "NOT":
		p.d.SP()
		return not(p.key())
	case "OR":
		p.d.SP()
		a := p.key()
		if p.err == nil {
			p.d.SP()
		}
		return group(opOr, []searchNode{a, p.key()})
	}
	return p.compared(word)
}

func not(n searchNode) searchNode {
	return searchNode{op: opNot, cost: n.cost, sub: []searchNode{n}}
}

func (p *searchParser) uid() searchNode {
	if p.d.SP(); !p.without("SEARCHRES") && p.d.Accept('$') {
		return searchNode{op: opUID, uids: p.o.Saved}
	}
	return searchNode{op: opUID, uids: p.d.UIDSet()}
}

// compared reads the keys that compare dates and numbers.
func (p *searchParser) compared(word string) searchNode {
	switch word {
	case "BEFORE", "ON", "SINCE":
		return searchNode{op: opArrived, cmp: comparison(word), date: p.day()}
	case "SENTBEFORE", "SENTON", "SENTSINCE":
		return searchNode{op: opSent, cost: costHeader, cmp: comparison(word[4:]), date: p.day()}
	case "LARGER", "SMALLER":
		p.d.SP()
		return searchNode{op: opSize, number: uint64(p.d.Number64()), less: word == "SMALLER"}
	case "OLDER", "YOUNGER": // RFC 5032
		p.d.SP()
		moment := p.o.Now.Add(-time.Duration(p.d.NZNumber()) * time.Second)
		return searchNode{op: opAge, date: moment, less: word == "OLDER"}
	case "MODSEQ":
		return p.modSequence()
	case "EMAILID": // RFC 8474 §6
		return searchNode{op: opEmailID, text: p.argument()}
	case "X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS", "X-GM-RAW":
		return p.gmailKey(word)
	case "THREADID": // no message has one
		_ = p.argument()
		return not(searchNode{op: opAnd})
	}
	return p.textual(word)
}

func comparison(word string) compare {
	switch word {
	case "BEFORE":
		return before
	case "ON":
		return on
	}
	return since
}

// modSequence reads a mod-sequence, before which the name and the type of a metadata entry may stand (RFC 7162 §3.1.5).
// They change nothing: there is one mod-sequence for all.
func (p *searchParser) modSequence() searchNode {
	p.modSeq = true
	if p.d.SP(); p.d.Is('"') {
		_ = p.d.String()
		p.d.SP()
		switch p.d.Keyword() {
		case "ALL", "PRIV", "SHARED":
		default:
			p.fail("bad entry type in search")
			return searchNode{}
		}
		p.d.SP()
	}
	return searchNode{op: opModSeq, number: uint64(p.d.Number64())}
}

// textual reads the keys that look for text.
func (p *searchParser) textual(word string) searchNode {
	switch word {
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		return searchNode{op: opHeader, cost: costHeader, name: word, text: foldText(p.argument())}
	case "HEADER":
		name := p.argument()
		if p.err != nil {
			return searchNode{}
		}
		return searchNode{op: opHeader, cost: costHeader, name: name, text: foldText(p.argument())}
	case "BODY", "TEXT":
		return p.bodyText(textNeed{text: foldText(p.argument()), header: word == "TEXT"})
	}
	if p.d.Err() == nil {
		p.fail("search key is not known")
	}
	return searchNode{}
}

// bodyText notes a text, once. Every message holds the empty one.
func (p *searchParser) bodyText(need textNeed) searchNode {
	if need.text == "" {
		return searchNode{op: opAnd}
	}
	index := len(p.texts)
	for i, t := range p.texts {
		if t == need {
			index = i
		}
	}
	if index == len(p.texts) {
		p.texts = append(p.texts, need)
	}
	if len(p.texts) > maxSearchTexts {
		p.fail("too many texts to search for")
	}
	return searchNode{op: opText, cost: costBody, index: index}
}

// inSeq tells if a set holds a sequence number; last is what "*" stands for.
func inSeq(s imapwire.SeqSet, n, last uint32) bool {
	return s.Contains(imapwire.SeqNum(n)) || n == last && s.Dynamic()
}

// inUID tells if a set holds a UID; last is what "*" stands for.
func inUID(s imapwire.UIDSet, n, last uint32) bool {
	return s.Contains(imapwire.UID(n)) || n == last && s.Dynamic()
}
