package imapwire

import (
	"fmt"
	"strconv"
	"strings"
)

// Section names a part of a message in FETCH (RFC 9051 §6.4.5): the zero value
// is the whole message.
type Section struct {
	Part   []int    // part numbers, 1.2.3
	Spec   string   // "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME
	Fields []string // of HEADER.FIELDS and HEADER.FIELDS.NOT
	// Offset and Length ask for a piece; Length 0 is all of it.
	Offset, Length uint32
	// Piece is set by [Decoder.Section] when there was an offset, be it 0.
	Piece bool
	// Binary asks for the part with its transfer encoding undone (RFC 3516).
	Binary bool
}

// maxSectionDepth bounds the numbers of a part.
const maxSectionDepth = 100

// ParseSection reads what stands between the brackets: "", "1.2", "1.2.MIME",
// "HEADER".
func ParseSection(text string) (Section, error) {
	var s Section
	rest := text
	for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		word, tail, _ := strings.Cut(rest, ".")
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil || n == 0 || len(s.Part) == maxSectionDepth {
			return Section{}, fmt.Errorf("bad part %q", clip(text))
		}
		s.Part, rest = append(s.Part, int(n)), tail
	}
	switch s.Spec = strings.ToUpper(rest); s.Spec {
	case "", "HEADER", "TEXT":
	case "MIME":
		if len(s.Part) == 0 {
			return Section{}, fmt.Errorf("part %q: MIME needs a part number", clip(text))
		}
	default:
		return Section{}, fmt.Errorf("bad part %q", clip(text))
	}
	if strings.HasSuffix(text, ".") {
		return Section{}, fmt.Errorf("bad part %q", clip(text))
	}
	return s, nil
}

// String gives the section as it stands between the brackets, without fields.
func (s Section) String() string {
	var b strings.Builder
	for i, n := range s.Part {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	if s.Spec != "" {
		if len(s.Part) > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.Spec)
	}
	return b.String()
}

// Same tells if two sections name the same octets; the length of a piece is
// not compared, because responses do not tell it.
func (s Section) Same(o Section) bool {
	if s.String() != o.String() || s.Offset != o.Offset || s.Binary != o.Binary || len(s.Fields) != len(o.Fields) {
		return false
	}
	for i := range s.Fields {
		if !strings.EqualFold(s.Fields[i], o.Fields[i]) {
			return false
		}
	}
	return true
}

// Section reads "[1.2.HEADER.FIELDS (FROM TO)]<0>" behind BODY or BINARY. In
// a command the piece is "<0.100>".
func (d *Decoder) Section() Section {
	var s Section
	if !d.Expect('[') {
		return s
	}
	if !d.Is(']') {
		word := string(d.atom(sectionOctets))
		s = d.sectionWord(word)
	}
	d.Expect(']')
	if d.Accept('<') {
		s.Offset, s.Piece = d.Number(), true
		if d.Accept('.') {
			s.Length = d.NZNumber()
		}
		d.Expect('>')
	}
	return s
}

func (d *Decoder) sectionWord(word string) Section {
	base, fields := strings.ToUpper(word), ""
	for _, spec := range []string{"HEADER.FIELDS.NOT", "HEADER.FIELDS"} {
		if base == spec || strings.HasSuffix(base, "."+spec) {
			fields = spec
			base = strings.TrimSuffix(strings.TrimSuffix(base, spec), ".")
			break
		}
	}
	s, err := ParseSection(base)
	if err != nil || (fields != "" && s.Spec != "") {
		d.Fail("bad section %q", clip(word))
		return Section{}
	}
	if fields != "" {
		s.Spec = fields
		d.SP()
		d.List(func() { s.Fields = append(s.Fields, d.AString()) })
	}
	return s
}
