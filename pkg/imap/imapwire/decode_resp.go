package imapwire

import (
	"bytes"
	"time"
)

// ResponseKind tells the three kinds of server lines apart.
type ResponseKind uint8

// The kinds of server lines (RFC 9051 §2.2.2).
const (
	Untagged ResponseKind = iota // "* ..."
	Tagged                       // "tag OK ..."
	Continue                     // "+ ..."
)

// Response is the beginning of a server line: everything before its data.
type Response struct {
	Kind ResponseKind
	Tag  string // of a tagged one
	Num  uint32 // the number of "* 12 FETCH"
	// Name is the word that names the response, in upper case: OK, LIST, FETCH.
	// It is empty for a continuation request and for a line without any word.
	Name string
}

// Status tells if the response is OK, NO, BAD, BYE or PREAUTH.
func (r Response) Status() bool {
	switch r.Name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return true
	}
	return false
}

// Response reads the next line and the beginning of its response. Data stands
// behind a space that is consumed here.
func (d *Decoder) Response() Response {
	if d.Next() != nil {
		return Response{}
	}
	switch {
	case d.Accept('*'):
		return d.untagged()
	case d.Accept('+'):
		d.Accept(' ')
		return Response{Kind: Continue}
	case d.Is('['):
		d.quirk(NakedCode)
		return Response{Kind: Untagged, Name: "OK"}
	}
	r := Response{Kind: Tagged, Tag: string(d.atom(tagOctets))}
	d.SP()
	r.Name = d.Keyword()
	d.Accept(' ')
	return r
}

func (d *Decoder) untagged() Response {
	r := Response{Kind: Untagged}
	if !d.SP() {
		return r
	}
	if c := d.peek(); c >= '0' && c <= '9' {
		r.Num = d.Number()
		if !d.SP() {
			return r
		}
	}
	if c := d.peek(); isKeyword(c) {
		r.Name = d.Keyword()
		d.Accept(' ')
	}
	return r
}

// Text is the end of a status response (RFC 9051 §7.1).
type Text struct {
	Code string // response code in upper case, "" when there is none
	Arg  string // what stands behind the code inside the brackets
	Text string // words for a human
}

// RespText reads a response code, if there is one, and the text. It reads the
// line to its end: a status response has no literals.
func (d *Decoder) RespText() Text {
	var t Text
	if d.err != nil {
		return t
	}
	rest := d.Rest()
	if len(rest) > 0 && rest[0] == '[' {
		if end := codeEnd(rest); end > 0 {
			t.Code, t.Arg = splitCode(rest[1:end])
			rest = bytes.TrimLeft(rest[end+1:], " ")
		}
	}
	if len(rest) == 0 {
		d.quirk(MissingText)
	}
	t.Text = string(rest)
	return t
}

// codeEnd finds the bracket that closes a response code. Quoted strings and
// lists may hold brackets of their own: "[PERMANENTFLAGS ($[a])]".
func codeEnd(line []byte) int {
	depth, inQuotes := 0, false
	for i, c := range line {
		switch {
		case inQuotes:
			inQuotes = c != '"' || line[i-1] == '\\'
		case c == '"':
			inQuotes = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ']' && depth <= 0:
			return i
		}
	}
	return bytes.IndexByte(line, ']')
}

func splitCode(code []byte) (name, arg string) {
	word, rest, _ := bytes.Cut(code, []byte(" "))
	return upper(word), string(rest)
}

// Flag reads a flag or keyword (RFC 9051 §2.3.2). System flags come in their
// usual spelling whatever the server's.
func (d *Decoder) Flag() Flag {
	if d.err != nil {
		return ""
	}
	start := d.pos
	if d.Accept('\\') && d.Accept('*') {
		return FlagWildcard
	}
	for d.pos < len(d.buf) && wildOctets[d.buf[d.pos]] {
		d.pos++
	}
	word := d.buf[start:d.pos]
	if len(word) == 0 || (len(word) == 1 && word[0] == '\\') {
		d.Fail("expected a flag")
		return ""
	}
	if f, ok := d.flags[string(word)]; ok {
		return f
	}
	f := canonicalFlag(word)
	if len(d.flags) < maxKnownFlags && len(word) < 64 {
		if d.flags == nil {
			d.flags = make(map[string]Flag)
		}
		d.flags[string(f)] = f
	}
	return f
}

// maxKnownFlags bounds the keywords kept for reuse.
const maxKnownFlags = 1000

// Flags reads a list of flags.
func (d *Decoder) Flags() []Flag {
	var flags []Flag
	d.List(func() { flags = append(flags, d.Flag()) })
	return flags
}

// UIDSet reads a set of UIDs; "*" is allowed.
func (d *Decoder) UIDSet() UIDSet { return decodeSet[UID](d) }

// SeqSet reads a set of sequence numbers; "*" is allowed.
func (d *Decoder) SeqSet() SeqSet { return decodeSet[SeqNum](d) }

func decodeSet[N ~uint32](d *Decoder) Set[N] {
	return SetOfRanges(decodeRanges[N](d, true))
}

// UIDRanges reads a set of UIDs in the order it is written, without "*": the
// order carries meaning in COPYUID (RFC 4315 §3).
func (d *Decoder) UIDRanges() []Range[UID] { return decodeRanges[UID](d, false) }

func decodeRanges[N ~uint32](d *Decoder, stars bool) []Range[N] {
	start := d.pos
	word := d.atom(setOctets)
	if d.err != nil {
		return nil
	}
	list, err := parseRanges[N](string(word), stars)
	if err != nil {
		d.pos = start
		d.Fail("%v", err)
	}
	return list
}

// DateTime reads an INTERNALDATE (RFC 9051 §9, date-time). One that cannot be
// read, and NIL, give the zero time.
func (d *Decoder) DateTime() time.Time {
	if d.Nil() {
		d.quirk(BadDate)
		return time.Time{}
	}
	s := d.stringBytes()
	if d.err != nil {
		return time.Time{}
	}
	t, ok := parseDateTime(s, d.zone)
	if !ok {
		d.quirk(BadDate)
	}
	return t
}

// zone keeps the time zones of a connection: there are few.
func (d *Decoder) zone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	if loc := d.zones[offset]; loc != nil {
		return loc
	}
	loc := time.FixedZone("", offset)
	if d.zones == nil {
		d.zones = make(map[int]*time.Location)
	}
	if len(d.zones) < 100 {
		d.zones[offset] = loc
	}
	return loc
}
