package server

import (
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// maxMailboxes bounds the addresses of one field that are shown.
const maxMailboxes = 10_000

// entryKind tells addresses and the ends of a group apart.
type entryKind uint8

const (
	oneMailbox entryKind = iota
	groupStart           // mailbox is the name of the group
	groupEnd
)

// mailboxEntry is one address of a header field, taken apart and not decoded.
type mailboxEntry struct {
	kind                       entryKind
	name, route, mailbox, host string
}

// headerMailboxes takes the address fields of that name apart.
func headerMailboxes(h *message.Header, name string) []mailboxEntry {
	var p mailboxParser
	for _, v := range h.Values(name) {
		p.parse(v)
	}
	return p.list
}

// mailboxParser reads an address field (RFC 5322 §3.4) and gives up on nothing: what does not fit the grammar becomes
// part of the address or the name it stands in. Every octet is looked at once.
type mailboxParser struct {
	list  []mailboxEntry
	s     string
	at    int
	group bool

	words   []byte // the phrase, or an address without brackets
	spec    []byte // local part and domain as far as there are no brackets: words without blanks
	sign    int    // of the last "@" in spec outside quotes, -1 for none
	comment string // the last one
	angle   bool   // an address in brackets was read
	route   string
	mailbox string
	host    string
}

// parse adds the addresses of one field body.
func (p *mailboxParser) parse(s string) {
	p.s, p.at = s, 0
	p.reset()
	for p.at < len(p.s) && len(p.list) < maxMailboxes {
		p.step()
	}
	p.finish()
	p.endGroup()
}

func (p *mailboxParser) reset() {
	p.words, p.spec, p.sign = p.words[:0], p.spec[:0], -1
	p.comment, p.angle, p.route, p.mailbox, p.host = "", false, "", "", ""
}

// step reads the next token.
func (p *mailboxParser) step() {
	switch c := p.s[p.at]; c {
	case ',':
		p.at++
		p.finish()
	case ';':
		p.at++
		p.finish()
		p.endGroup()
	case ':':
		p.at++
		p.colon()
	case '<':
		p.at++
		p.brackets()
	case '(':
		p.comment = p.skipComment()
	case '"':
		p.word(p.quoted())
	case ' ', '\t', '\r', '\n':
		p.at++
		if n := len(p.words); n > 0 && p.words[n-1] != ' ' {
			p.words = append(p.words, ' ')
		}
	default:
		start := p.at
		for p.at < len(p.s) && strings.IndexByte(",;:<(\" \t\r\n", p.s[p.at]) < 0 {
			if p.s[p.at] == '@' {
				p.sign = len(p.spec) + p.at - start
			}
			p.at++
		}
		p.word(p.s[start:p.at])
	}
}

func (p *mailboxParser) word(s string) {
	p.words = append(p.words, s...)
	p.spec = append(p.spec, s...)
}

// colon begins a group, unless it stands inside one or in an address.
func (p *mailboxParser) colon() {
	if p.group || p.angle || p.sign >= 0 || len(p.words) == 0 {
		p.word(":")
		return
	}
	p.list = append(p.list, mailboxEntry{kind: groupStart, mailbox: strings.TrimSpace(string(p.words))})
	p.group = true
	p.reset()
}

func (p *mailboxParser) endGroup() {
	if p.group {
		p.list = append(p.list, mailboxEntry{kind: groupEnd})
		p.group = false
	}
}

// finish ends an element of the list.
func (p *mailboxParser) finish() {
	m := mailboxEntry{route: p.route, mailbox: p.mailbox, host: p.host, name: strings.TrimSpace(string(p.words))}
	if !p.angle {
		m.name = ""
		m.mailbox, m.host = p.split()
	}
	if m.name == "" {
		m.name = strings.TrimSpace(p.comment)
	}
	if p.angle || len(p.spec) > 0 {
		p.list = append(p.list, m)
	}
	p.reset()
}

// split cuts what was read as an address at its "@".
func (p *mailboxParser) split() (mailbox, host string) {
	if p.sign < 0 {
		return string(p.spec), ""
	}
	return string(p.spec[:p.sign]), string(p.spec[p.sign+1:])
}

// brackets reads an address in angle brackets, with its route.
func (p *mailboxParser) brackets() {
	if p.angle { // a second pair: the first was a part of the name
		p.route = ""
	}
	p.spec, p.sign, p.angle = p.spec[:0], -1, true
	for p.at < len(p.s) {
		switch c := p.s[p.at]; c {
		case '>':
			p.at++
			p.mailbox, p.host = p.split()
			return
		case '"':
			p.spec = append(p.spec, p.quoted()...)
			continue
		case '(':
			p.comment = p.skipComment()
			continue
		case ' ', '\t', '\r', '\n':
		case ':':
			if len(p.spec) > 0 && p.spec[0] == '@' && p.route == "" {
				p.route = string(p.spec)
				p.spec, p.sign = p.spec[:0], -1
			} else {
				p.spec = append(p.spec, c)
			}
		case '@':
			p.sign = len(p.spec)
			p.spec = append(p.spec, c)
		default:
			p.spec = append(p.spec, c)
		}
		p.at++
	}
	p.mailbox, p.host = p.split()
}

// quoted reads a quoted string and gives its content.
func (p *mailboxParser) quoted() string {
	var out []byte
	for p.at++; p.at < len(p.s); p.at++ {
		switch c := p.s[p.at]; c {
		case '"':
			p.at++
			return string(out)
		case '\\':
			if p.at+1 < len(p.s) {
				p.at++
			}
			out = append(out, p.s[p.at])
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// skipComment reads a comment with those nested in it and gives its content. One that does not end takes the rest.
func (p *mailboxParser) skipComment() string {
	start, depth := p.at+1, 0
	for ; p.at < len(p.s); p.at++ {
		switch p.s[p.at] {
		case '\\':
			p.at++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.at++
				return p.s[start : p.at-1]
			}
		}
	}
	p.at = len(p.s)
	return p.s[min(start, len(p.s)):]
}
