package imapwire

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A value that is kept does not keep those read before it, whatever their sizes are.
func TestValuesAreReleased(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const n = 1000
	for size := 1; size < 40; size++ {
		line := "(a " + strings.Repeat("((b c d)) ", size) + "d)\r\n"
		d := NewDecoder(newTextSource(strings.Repeat(line, n)), nil)
		var last Value
		before := heap()
		for range n {
			if d.Next() != nil {
				t.Fatal(d.Err())
			}
			last = d.Value()
		}
		if grown := heap() - before; grown > int64(n*size*48) {
			t.Errorf("size %d: got %d octets kept behind %d values, want those of one", size, grown, n)
		}
		if got := len(last.List); got != size+2 {
			t.Errorf("got %d items, want %d", got, size+2)
		}
		runtime.KeepAlive(d)
	}
}

// Texts of values may be kept, however they were written and however long they are: what is read later does not change
// them.
func TestValueTextsStay(t *testing.T) {
	var wire strings.Builder
	var want []string
	for line := range 20 {
		wire.WriteString("(")
		for n := range 60 {
			text := strings.Repeat(string(rune('a'+n%26)), (n*n+line)%700)
			switch n % 4 {
			case 0:
				fmt.Fprintf(&wire, "\"%s\" ", text)
			case 1:
				text = "x" + text
				fmt.Fprintf(&wire, "%s ", text)
			case 2:
				fmt.Fprintf(&wire, "\"%s\\\"\\\\\" ", text)
				text += `"\`
			case 3:
				fmt.Fprintf(&wire, "({%d}\r\n%s) ", len(text), text)
			}
			want = append(want, text)
		}
		wire.WriteString("NIL)\r\n")
	}
	d := NewDecoder(newTextSource(wire.String()), nil)
	var got []string
	for d.Next() == nil {
		for _, v := range d.Value().List {
			switch v.Kind {
			case ListValue:
				got = append(got, v.List[0].Text)
			case AtomValue, StringValue:
				got = append(got, v.Text)
			}
		}
	}
	if !errors.Is(d.Err(), io.EOF) || !slices.Equal(got, want) {
		t.Errorf("%v, got %d texts %.200q\nwant %d %.200q", d.Err(), len(got), got, len(want), want)
	}
}
