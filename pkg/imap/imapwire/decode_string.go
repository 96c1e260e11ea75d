package imapwire

import (
	"bytes"
	"io"
	"strings"
)

// atomChar tells which octets may stand in an atom of a peer. Octets above 127
// are let through (EightBit), so are "]" and, inside astrings, resp-specials.
func atomChar(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', 0x7f:
		return false
	}
	return c > 0x20
}

// octets is a set of octets, for the loops that look at each one.
type octets [256]bool

func octetsOf(allowed func(byte) bool) *octets {
	var set octets
	for c := range set {
		set[c] = allowed(byte(c))
	}
	return &set
}

// What may stand in words of several kinds.
var (
	atomOctets    = octetsOf(atomChar)
	keywordOctets = octetsOf(isKeyword)
	tagOctets     = octetsOf(func(c byte) bool { return atomChar(c) && c != '+' && c < 0x80 })
	wildOctets    = octetsOf(func(c byte) bool { return atomChar(c) || c == '*' || c == '%' }) // of flags and patterns
	sectionOctets = octetsOf(func(c byte) bool { return atomChar(c) && c != ']' && c != '[' })
	valueOctets   = octetsOf(func(c byte) bool { return wildOctets[c] || c == '\\' })
	setOctets     = octetsOf(func(c byte) bool { return c >= '0' && c <= '9' || c == ':' || c == ',' || c == '*' })
	mailboxOctets = octetsOf(func(c byte) bool { return atomChar(c) || c == '\\' }) // careless servers do not quote a backslash
)

// Atom reads an atom (RFC 9051 §9).
func (d *Decoder) Atom() string { return string(d.atom(atomOctets)) }

func (d *Decoder) atom(allowed *octets) []byte {
	if d.err != nil {
		return nil
	}
	start, end := d.pos, d.pos
	for end < len(d.buf) && allowed[d.buf[end]] {
		if d.buf[end] >= 0x80 {
			d.quirk(EightBit)
		}
		end++
	}
	if end == start {
		d.Fail("expected an atom")
		return nil
	}
	d.pos = end
	return d.buf[start:end]
}

// keywords spares an allocation for the words that come with every response.
var keywords = func() map[string]string {
	m := make(map[string]string)
	for _, w := range strings.Fields(`OK NO BAD BYE PREAUTH CAPABILITY LIST LSUB STATUS FLAGS SEARCH ESEARCH
		FETCH EXISTS RECENT EXPUNGE VANISHED ENABLED NAMESPACE ID UID INTERNALDATE RFC822.SIZE MODSEQ ENVELOPE
		BODYSTRUCTURE BODY MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE DELETED ALL COUNT MIN MAX TAG
		EMAILID THREADID PREVIEW SAVEDATE RFC822 RFC822.HEADER RFC822.TEXT BINARY BINARY.SIZE NIL`) {
		m[w] = w
	}
	return m
}()

func isKeyword(c byte) bool { return atomChar(c) && c != '[' && c != ']' && c != '<' }

// Keyword reads an atom that names something in the protocol and returns it in
// upper case: servers may write such words as they like.
func (d *Decoder) Keyword() string { return upper(d.atom(keywordOctets)) }

func upper(word []byte) string {
	var scratch [32]byte
	if len(word) > len(scratch) {
		return strings.ToUpper(string(word))
	}
	up := scratch[:len(word)]
	for i, c := range word {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up[i] = c
	}
	if w, ok := keywords[string(up)]; ok {
		return w
	}
	return string(up)
}

// quoted reads a quoted string. The result may share the line's memory.
func (d *Decoder) quoted() []byte {
	if !d.Expect('"') {
		return nil
	}
	for end, all := d.pos, byte(0); end < len(d.buf) && d.buf[end] != '\\'; end++ {
		c := d.buf[end]
		if c == '"' {
			s := d.buf[d.pos:end]
			d.pos = end + 1
			d.noteEightBit(all)
			return s
		}
		all |= c
	}
	return d.quotedEscapes()
}

func (d *Decoder) quotedEscapes() []byte {
	var out []byte
	all := byte(0)
	for d.pos < len(d.buf) {
		c := d.buf[d.pos]
		d.pos++
		switch {
		case c == '"':
			d.noteEightBit(all)
			return out
		case c != '\\':
		case d.pos == len(d.buf):
		case d.buf[d.pos] == '"' || d.buf[d.pos] == '\\':
			c = d.buf[d.pos]
			d.pos++
		default: // keep the backslash: the server did not mean to escape
			d.quirk(BadEscape)
		}
		out = append(out, c)
		all |= c
	}
	d.Fail("quoted string without an end")
	return nil
}

// noteEightBit takes the octets of a string, ORed together.
func (d *Decoder) noteEightBit(all byte) {
	if all >= 0x80 && !d.UTF8 {
		d.quirk(EightBit)
	}
}

// stringBytes reads a quoted string or a literal; it may share the line's memory.
func (d *Decoder) stringBytes() []byte {
	if d.isLiteral() {
		return d.readLiteral()
	}
	return d.quoted()
}

// String reads a quoted string or a literal.
func (d *Decoder) String() string { return string(d.stringBytes()) }

func (d *Decoder) isString() bool { return d.Is('"') || d.isLiteral() }

// Nil consumes NIL if it is at hand.
func (d *Decoder) Nil() bool {
	rest := d.buf[min(d.pos, len(d.buf)):]
	if len(rest) < 3 || !bytes.EqualFold(rest[:3], []byte("NIL")) {
		return false
	}
	if len(rest) > 3 && atomChar(rest[3]) && rest[3] != ']' {
		return false
	}
	d.pos += 3
	return true
}

// NString reads a string or NIL, for which ok is false.
func (d *Decoder) NString() (s string, ok bool) {
	if d.Nil() {
		return "", false
	}
	s = d.String()
	return s, d.err == nil
}

// AString reads an atom, a quoted string or a literal.
func (d *Decoder) AString() string {
	if d.isString() {
		return d.String()
	}
	return d.Atom()
}

// ListMailbox reads the pattern of a LIST command (RFC 9051 §9, list-mailbox),
// which may hold wildcards unquoted.
func (d *Decoder) ListMailbox() string {
	if d.isString() {
		return d.String()
	}
	return string(d.atom(wildOctets))
}

// Mailbox reads a mailbox name and returns it as UTF-8, INBOX always in upper
// case. raw is the name as the server wrote it.
func (d *Decoder) Mailbox() (name, raw string) {
	if d.isString() {
		raw = d.String()
	} else {
		raw = string(d.atom(mailboxOctets))
	}
	return d.mailboxName(raw), raw
}

func (d *Decoder) mailboxName(raw string) string {
	if strings.EqualFold(raw, "INBOX") {
		return "INBOX"
	}
	if d.UTF8 {
		return raw
	}
	name, ok := DecodeUTF7(raw)
	if !ok {
		d.quirk(RawMailboxName)
	}
	return name
}

// NStringReader reads a string or NIL as a stream: ok is false for NIL. size
// is the number of octets that r will give. r is valid until the next call on
// the decoder, and the octets that were not read are discarded then. Call
// [Decoder.EndBody] when done with it.
func (d *Decoder) NStringReader() (r io.Reader, size int64, ok bool) {
	if d.Nil() {
		return nil, 0, false
	}
	if d.isLiteral() {
		body, n := d.literal(d.lim.Body)
		return body, n, body != nil
	}
	s := d.quoted()
	return bytes.NewReader(s), int64(len(s)), d.err == nil
}

// EndBody discards what was not read of a streamed literal and goes on with
// the line behind it. Without an open literal it does nothing.
func (d *Decoder) EndBody() {
	if d.body != nil && d.closeBody() {
		d.readLine()
	}
}
