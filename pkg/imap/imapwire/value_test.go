package imapwire

import (
	"runtime"
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
