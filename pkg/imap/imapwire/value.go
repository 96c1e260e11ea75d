package imapwire

// Value is any piece of data between two spaces, read without knowing what it
// means: so that a structure that is wrong inside does not break the stream.
type Value struct {
	Kind ValueKind
	Text string  // of an atom, a number or a string
	List []Value // of a list
}

// ValueKind tells the forms of a Value apart.
type ValueKind uint8

// The forms of a value.
const (
	NilValue ValueKind = iota
	AtomValue
	StringValue
	ListValue
)

// Value reads one value of any form, with the caps on depth and count. Its lists
// are valid until the next call; its texts may be kept.
func (d *Decoder) Value() Value {
	left := d.lim.Count
	if cap(d.slab) > maxSlab {
		d.slab, d.stack = nil, nil
	}
	clear(d.slab)
	d.slab = d.slab[:0]
	return d.value(&left)
}

// maxSlab is how many items a value may have for its memory to be used again.
const maxSlab = 4096

func (d *Decoder) value(left *int) Value {
	if *left--; *left < 0 {
		d.Fail("structure of more than %d items", d.lim.Count)
		return Value{}
	}
	switch {
	case d.err != nil, d.Nil():
		return Value{}
	case d.Is('('):
		return Value{Kind: ListValue, List: d.listValue(left)}
	case d.Is('"'):
		return Value{Kind: StringValue, Text: d.quotedText()}
	case d.isLiteral():
		return Value{Kind: StringValue, Text: string(d.readLiteral())}
	}
	start := d.pos
	return Value{Kind: AtomValue, Text: d.lineText(start, len(d.atom(valueOctets)))}
}

// listValue reads a list. Its items are put together when all of them are known.
func (d *Decoder) listValue(left *int) []Value {
	base := len(d.stack)
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		v := d.value(left)
		d.stack = append(d.stack, v)
	}
	start := len(d.slab)
	d.slab = append(d.slab, d.stack[base:]...)
	clear(d.stack[base:])
	d.stack = d.stack[:base]
	return d.slab[start:len(d.slab):len(d.slab)]
}

// quotedText reads a quoted string.
func (d *Decoder) quotedText() string {
	start := d.pos + 1
	s := d.quoted()
	if d.pos-start-1 != len(s) { // there were escapes
		return string(s)
	}
	return d.lineText(start, len(s))
}

// lineText is a piece of a line as a string, from which the texts of values are
// cut: there are many in a line, most are short, and an allocation for each would
// take longer than all else.
type lineText struct {
	text     string
	at, line int // where it begins
}

// pieceLength is how long a piece is at most: a text that is kept keeps it.
const pieceLength = 1 << 10

// lineText gives n octets of the line, from start on.
func (d *Decoder) lineText(start, n int) string {
	t := &d.cut
	switch {
	case n == 0:
		return ""
	case n > pieceLength/4:
		return string(d.buf[start : start+n])
	case t.line != d.lines || start < t.at || start+n > t.at+len(t.text):
		*t = lineText{string(d.buf[start:min(len(d.buf), start+pieceLength)]), start, d.lines}
	}
	return t.text[start-t.at:][:n]
}
