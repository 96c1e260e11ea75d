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

// Value reads one value of any form, with the caps on depth and count.
func (d *Decoder) Value() Value {
	left := d.lim.Count
	return d.value(&left)
}

func (d *Decoder) value(left *int) Value {
	if *left--; *left < 0 {
		d.Fail("structure of more than %d items", d.lim.Count)
		return Value{}
	}
	switch {
	case d.err != nil, d.Nil():
		return Value{}
	case d.Is('('):
		v := Value{Kind: ListValue}
		d.List(func() { v.List = append(v.List, d.value(left)) })
		return v
	case d.isString():
		return Value{Kind: StringValue, Text: d.String()}
	}
	return Value{Kind: AtomValue, Text: string(d.atom(valueChar))}
}

func valueChar(c byte) bool { return atomChar(c) || c == '\\' || c == '*' || c == '%' }
