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
	d.slab = nil // shared with the value before, it would keep that alive, and so on back to the first one
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
		base := len(d.stack)
		d.List(func() {
			v := d.value(left)
			d.stack = append(d.stack, v)
		})
		v := Value{Kind: ListValue, List: d.settled(d.stack[base:])}
		clear(d.stack[base:])
		d.stack = d.stack[:base]
		return v
	case d.isString():
		return Value{Kind: StringValue, Text: d.String()}
	}
	return Value{Kind: AtomValue, Text: string(d.atom(valueChar))}
}

// slabValues is how many values are allocated together: about those of an
// envelope.
const slabValues = 48

// settled copies the items of a list, once it is known how many there are. Short
// lists share memory.
func (d *Decoder) settled(items []Value) []Value {
	n := len(items)
	if n == 0 {
		return nil
	}
	if n > slabValues/2 {
		return append(make([]Value, 0, n), items...)
	}
	if cap(d.slab)-len(d.slab) < n {
		d.slab = make([]Value, 0, slabValues)
	}
	start := len(d.slab)
	d.slab = append(d.slab, items...)
	return d.slab[start : start+n : start+n]
}

func valueChar(c byte) bool { return atomChar(c) || c == '\\' || c == '*' || c == '%' }
