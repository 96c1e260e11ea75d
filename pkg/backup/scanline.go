package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// errLine says that a line is not one of ours, though its checksum fits.
var errLine = errors.New("not a line of a manifest")

// kindError says that the kind of a line is not known.
type kindError struct{ name string }

// Error implements error.
func (e *kindError) Error() string { return fmt.Sprintf("unknown kind of line %q", shorten(e.name)) }

// field numbers the fields of lines.
type field uint8

const (
	fieldOther field = iota
	fieldKind
	fieldBox
	fieldV
	fieldU
	fieldUIDL
	fieldName
	fieldDelim
	fieldDir
	fieldAttrs
	fieldSubscribed
	fieldID
	fieldFile
	fieldSize
	fieldDigest
	fieldDate
	fieldFlags
	fieldEmailID
	fieldThreadID
	fieldGmailID
	fieldGmailThread
	fieldLabels
	fieldModSeq
	fieldUIDNext
	fieldMessages
	fieldTime
	fieldComplete
	fieldMailboxes
	fieldFiles
)

func bitsOf(fields ...field) (b uint32) {
	for _, f := range fields {
		b |= 1 << f
	}
	return b
}

// lineReader reads lines. The record that parse fills in is valid until the next
// call, and as long as the line is.
type lineReader struct {
	s       []byte
	i       int
	bad     bool
	scratch []byte // of unescaped texts
	rec     record
}

// parse reads a line without its line end, of which the checksum has been looked at.
// Its errors are errLine and a *kindError.
func (p *lineReader) parse(line []byte) (*record, error) {
	p.s, p.i, p.bad, p.scratch = line, 0, false, p.scratch[:0]
	p.rec = record{list: p.rec.list[:0], labels: p.rec.labels[:0]}
	var kindName []byte
	p.expect('{')
	for !p.bad {
		f := fieldNamed(p.key())
		if p.rec.has&(1<<f) != 0 && f != fieldOther {
			return nil, errLine
		}
		p.rec.has |= 1 << f
		if f == fieldKind {
			kindName = p.text()
		} else {
			p.value(f)
		}
		if p.peek() != ',' {
			break
		}
		p.i++
	}
	p.expect('}')
	if p.bad || p.i != len(line) || kindName == nil {
		return nil, errLine
	}
	if p.rec.kind = kindNamed(kindName); p.rec.kind == 0 {
		return nil, &kindError{string(kindName)}
	}
	if !p.rec.valid() {
		return nil, errLine
	}
	return &p.rec, nil
}

func kindNamed(name []byte) kind {
	switch string(name) {
	case "msg":
		return kindMsg
	case "flags":
		return kindFlags
	}
	for k, s := range kindNames {
		if k > 0 && string(name) == s {
			return kind(k)
		}
	}
	return 0
}

func fieldNamed(key []byte) field {
	switch string(key) {
	case "k":
		return fieldKind
	case "box":
		return fieldBox
	case "v":
		return fieldV
	case "u":
		return fieldU
	case "uidl":
		return fieldUIDL
	case "name":
		return fieldName
	case "delim":
		return fieldDelim
	case "dir":
		return fieldDir
	case "attrs":
		return fieldAttrs
	case "subscribed":
		return fieldSubscribed
	case "id":
		return fieldID
	case "file":
		return fieldFile
	case "size":
		return fieldSize
	case "sha256":
		return fieldDigest
	case "date":
		return fieldDate
	case "flags":
		return fieldFlags
	case "emailId":
		return fieldEmailID
	case "threadId":
		return fieldThreadID
	case "gmailId":
		return fieldGmailID
	case "gmailThread":
		return fieldGmailThread
	case "labels":
		return fieldLabels
	case "modseq":
		return fieldModSeq
	case "uidnext":
		return fieldUIDNext
	case "messages":
		return fieldMessages
	case "time":
		return fieldTime
	case "complete":
		return fieldComplete
	case "mailboxes":
		return fieldMailboxes
	case "files":
		return fieldFiles
	}
	return fieldOther
}

// value reads the value of a field.
func (p *lineReader) value(f field) {
	r := &p.rec
	switch f {
	case fieldBox:
		r.box = p.number32()
	case fieldV:
		r.v = p.number32()
	case fieldU:
		if p.peek() == '"' {
			r.uids = p.text()
		} else {
			r.u = p.number32()
		}
	case fieldUIDL:
		if p.peek() == '[' {
			r.list = p.texts(r.list)
		} else {
			r.uidl = p.text()
		}
	case fieldName:
		r.name = p.text()
	case fieldDelim:
		r.delim = p.text()
	case fieldDir:
		r.dir = p.text()
	case fieldAttrs, fieldFlags, fieldFiles:
		r.list = p.texts(r.list)
	case fieldSubscribed, fieldComplete:
		r.bool = p.boolean()
	case fieldID:
		r.id = p.text()
	case fieldFile:
		r.file = p.text()
	case fieldSize:
		r.size = int64(p.number(math.MaxInt64))
	case fieldDigest:
		p.digest()
	case fieldDate:
		r.date = p.text()
	case fieldEmailID:
		r.emailID = p.text()
	case fieldThreadID:
		r.threadID = p.text()
	case fieldGmailID:
		r.gmailID = p.decimal()
	case fieldGmailThread:
		r.gmailThr = p.decimal()
	case fieldLabels:
		r.labels = p.texts(r.labels)
	case fieldModSeq:
		r.modSeq = p.number(math.MaxUint64)
	case fieldUIDNext:
		r.uidNext = p.number32()
	case fieldMessages:
		r.messages = p.number(math.MaxUint64)
	case fieldTime:
		r.time = p.text()
	case fieldMailboxes:
		r.boxes = p.number(math.MaxUint64)
	default:
		p.skip(0)
	}
}

// valid reports whether a record has what its kind needs.
func (r *record) valid() bool {
	all := func(fields ...field) bool { return r.has&bitsOf(fields...) == bitsOf(fields...) }
	oneMessage := all(fieldBox) && (r.u != 0 && all(fieldV) && !all(fieldUIDL) || len(r.uidl) > 0 && !all(fieldU))
	switch r.kind {
	case kindBox:
		_, err := DecodeName(string(r.dir))
		return r.box != 0 && len(r.name) > 0 && err == nil
	case kindMsg:
		return oneMessage && all(fieldFile, fieldSize, fieldDigest) && isFileName(r.file)
	case kindFlags:
		return oneMessage && all(fieldFlags)
	case kindGone:
		return all(fieldBox) && (len(r.uids) > 0 && all(fieldV) || len(r.list) > 0 && all(fieldUIDL))
	case kindNoBox:
		return all(fieldBox)
	case kindReset, kindState:
		return all(fieldBox, fieldV)
	case kindSnap:
		return len(r.id) > 0
	case kindForget:
		return len(r.id) > 0
	case kindPrune:
		return all(fieldFiles)
	}
	return true
}

func (p *lineReader) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *lineReader) expect(c byte) {
	if p.peek() != c {
		p.bad = true
	}
	p.i++
}

// number reads a number without sign, fraction or leading zeros.
func (p *lineReader) number(most uint64) uint64 {
	start, n := p.i, uint64(0)
	for ; p.i < len(p.s); p.i++ {
		d := p.s[p.i] - '0'
		if d > 9 {
			break
		}
		if n > math.MaxUint64/10 || n == math.MaxUint64/10 && d > 5 {
			p.bad = true
			return 0
		}
		n = 10*n + uint64(d)
	}
	if p.i == start || p.s[start] == '0' && p.i > start+1 || n > most {
		p.bad = true
		return 0
	}
	return n
}

func (p *lineReader) number32() uint32 { return uint32(p.number(math.MaxUint32)) }

// decimal reads a number that stands in a text.
func (p *lineReader) decimal() uint64 {
	p.expect('"')
	n := p.number(math.MaxUint64)
	p.expect('"')
	return n
}

func (p *lineReader) boolean() bool {
	for _, word := range [...]string{"true", "false"} {
		if end := p.i + len(word); end <= len(p.s) && string(p.s[p.i:end]) == word {
			p.i = end
			return word == "true"
		}
	}
	p.bad = true
	return false
}

func (p *lineReader) digest() {
	text := p.text()
	if len(text) != hex.EncodedLen(len(p.rec.digest)) {
		p.bad = true
		return
	}
	if _, err := hex.Decode(p.rec.digest[:], text); err != nil {
		p.bad = true
	}
}

// texts reads a list of texts.
func (p *lineReader) texts(list [][]byte) [][]byte {
	p.expect('[')
	if p.peek() == ']' {
		p.i++
		return list
	}
	for !p.bad {
		if len(list) == maxStrings {
			p.bad = true
			break
		}
		list = append(list, p.text())
		if p.peek() != ',' {
			break
		}
		p.i++
	}
	p.expect(']')
	return list
}

// key reads the name of a field, which is short, and the colon behind it.
func (p *lineReader) key() []byte {
	for i := p.i + 1; i < len(p.s) && p.s[p.i] == '"'; i++ {
		if p.s[i] == '\\' {
			break
		}
		if p.s[i] == '"' {
			name := p.s[p.i+1 : i]
			p.i = i + 1
			p.expect(':')
			return name
		}
	}
	name := p.text() // as others may write it, or wrong
	p.expect(':')
	return name
}

// text reads a text. The result is part of the line if that has no escapes.
func (p *lineReader) text() []byte {
	p.expect('"')
	if p.bad {
		return nil
	}
	rest := p.s[p.i:]
	n := bytes.IndexByte(rest, '"')
	if n < 0 {
		p.bad = true
		return nil
	}
	if bytes.IndexByte(rest[:n], '\\') >= 0 {
		return p.escaped()
	}
	p.i += n + 1
	return rest[:n:n]
}

// escaped reads a text with escapes.
func (p *lineReader) escaped() []byte {
	start := len(p.scratch)
	for p.i < len(p.s) && !p.bad {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return p.scratch[start:len(p.scratch):len(p.scratch)]
		case c == '\\':
			p.escape()
		default:
			p.scratch = append(p.scratch, c)
		}
	}
	p.bad = true
	return nil
}

// escape reads what follows a backslash. A lone low surrogate is an octet.
func (p *lineReader) escape() {
	c := p.peek()
	p.i++
	switch c {
	case '"', '\\', '/':
		p.scratch = append(p.scratch, c)
	case 'u':
		r := p.hex4()
		switch {
		case r >= 0xdc80 && r <= 0xdcff:
			p.scratch = append(p.scratch, byte(r))
		case r >= 0xd800 && r < 0xdc00 && p.i+1 < len(p.s) && p.s[p.i] == '\\' && p.s[p.i+1] == 'u':
			p.i += 2
			low := p.hex4()
			p.bad = p.bad || low < 0xdc00 || low > 0xdfff
			p.scratch = utf8.AppendRune(p.scratch, 0x10000+(r-0xd800)<<10+(low-0xdc00))
		case r >= 0xd800 && r <= 0xdfff:
			p.bad = true
		default:
			p.scratch = utf8.AppendRune(p.scratch, r)
		}
	default:
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			p.scratch = append(p.scratch, "\b\f\n\r\t"[i])
		} else {
			p.bad = true
		}
	}
}

func (p *lineReader) hex4() (r rune) {
	if p.i+4 > len(p.s) {
		p.bad = true
		return 0
	}
	for _, c := range p.s[p.i : p.i+4] {
		d := strings.IndexByte(lowerHex, c)
		if isCapital(c) {
			d = strings.IndexByte(upperHex, c)
		}
		if d < 0 {
			p.bad = true
		}
		r = r<<4 | rune(d)
	}
	p.i += 4
	return r
}

// skip passes over the value of a field that is not known.
func (p *lineReader) skip(depth int) {
	if depth > maxNesting {
		p.bad = true
	}
	switch c := p.peek(); {
	case p.bad:
	case c == '"':
		p.text()
	case c == '[' || c == '{':
		p.i++
		if closing := c + 2; p.peek() == closing {
			p.i++
			return
		}
		for !p.bad {
			if c == '{' {
				p.text()
				p.expect(':')
			}
			p.skip(depth + 1)
			if p.peek() != ',' {
				break
			}
			p.i++
		}
		p.expect(c + 2)
	default:
		start := p.i
		for p.i < len(p.s) && (isLetter(p.s[p.i]) || p.s[p.i] >= '0' && p.s[p.i] <= '9' || strings.IndexByte("+-.", p.s[p.i]) >= 0) {
			p.i++
		}
		p.bad = p.bad || p.i == start
	}
}
