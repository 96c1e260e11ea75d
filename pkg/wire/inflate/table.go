package inflate

import (
	"bytes"
	"math/bits"
	"slices"
	"sync"
)

// entry is what a code stands for: from the lowest bit, four bits each of the code's length, of the number of extra
// bits behind it and of the kind, and from bit 16 a value. The zero entry is a code that does not exist.
type entry uint32

func makeEntry(kind entry, value, extra int) entry {
	return entry(value)<<16 | kind<<8 | entry(extra)<<4
}

func (e entry) length() uint { return uint(e & 15) }
func (e entry) extra() uint  { return uint(e >> 4 & 15) }
func (e entry) kind() entry  { return e >> 8 & 15 }
func (e entry) value() int   { return int(e >> 16) }

// The kinds.
const (
	kindBad      entry = iota
	kindLiteral        // the value
	kindLength         // the value and the extra bits are the length of a match
	kindDistance       // and its distance
	kindEnd            // of the block
	kindTable          // the rest of the code is looked up at the value, by as many bits as extra says
	kindRepeat         // the length before, value and extra bits times
	kindZeros          // the length 0
)

// What the codes stand for, without their lengths (RFC 1951 §3.2.5, §3.2.7). Codes that must not occur are kindBad.
var (
	litSymbols  = makeLitSymbols()
	distSymbols = makeDistSymbols()
	codeSymbols = makeCodeSymbols()
)

func makeLitSymbols() (s [288]entry) {
	for i := range 256 {
		s[i] = makeEntry(kindLiteral, i, 0)
	}
	s[256] = makeEntry(kindEnd, 0, 0)
	length := 3
	for i := 257; i < 285; i++ {
		extra := max(0, (i-261)/4)
		s[i] = makeEntry(kindLength, length, extra)
		length += 1 << extra
	}
	s[285] = makeEntry(kindLength, maxMatch, 0)
	return s
}

func makeDistSymbols() (s [32]entry) {
	distance := 1
	for i := range maxDist {
		extra := max(0, i/2-1)
		s[i] = makeEntry(kindDistance, distance, extra)
		distance += 1 << extra
	}
	return s
}

func makeCodeSymbols() (s [19]entry) {
	for i := range 16 {
		s[i] = makeEntry(kindLiteral, i, 0)
	}
	s[16] = makeEntry(kindRepeat, 3, 2)
	s[17] = makeEntry(kindZeros, 3, 3)
	s[18] = makeEntry(kindZeros, 11, 7)
	return s
}

const (
	maxCode   = 15 // bits of the longest code
	firstBits = 10 // bits of the first look-up
)

// table finds what the next code stands for, in one look-up or two.
type table struct {
	bits    uint // of the first look-up
	entries []entry
}

// find returns the entry of the code in the lowest bits of b.
func (t *table) find(b uint64) entry {
	e := t.entries[b&(1<<t.bits-1)]
	if e.kind() == kindTable {
		e = t.entries[e.value()+int(b>>t.bits&(1<<e.extra()-1))]
	}
	return e
}

// build makes the table of the canonical code with these lengths (RFC 1951 §3.2.2). It is false when the code is not
// complete, as compress/flate sees it: no code at all is right as long as it is not used, and so is a single code of
// one bit.
func (t *table) build(lens []uint8, symbols []entry) bool {
	var count, next [maxCode + 1]int // codes of a length; the next one of that length
	longest := 0
	for _, n := range lens {
		count[n]++
		longest = max(longest, int(n))
	}
	count[0] = 0
	for n := 1; n <= longest; n++ {
		next[n] = (next[n-1] + count[n-1]) << 1
	}
	t.bits = uint(min(longest, firstBits))
	t.entries = t.entries[:0]
	t.grow(1 << t.bits)
	if total := next[longest] + count[longest]; longest > 0 && total != 1<<longest && (longest > 1 || total > 1) {
		return false
	}
	for symbol, n := range lens {
		if n > 0 {
			t.add(symbols[symbol]|entry(n), bits.Reverse16(uint16(next[n])<<(16-n)), longest)
			next[n]++
		}
	}
	return true
}

// grow adds n entries of codes that do not exist.
func (t *table) grow(n int) {
	have := len(t.entries)
	t.entries = slices.Grow(t.entries, n)[:have+n]
	clear(t.entries[have:])
}

// add enters a code, whose bits come the first one lowest, wherever a look-up meets it.
func (t *table) add(e entry, code uint16, longest int) {
	part, at, n := t.entries[:1<<t.bits], int(code), e.length()
	if n > t.bits {
		link := t.entries[at&(1<<t.bits-1)]
		if link == 0 {
			link = makeEntry(kindTable, len(t.entries), longest-int(t.bits))
			t.entries[at&(1<<t.bits-1)] = link
			t.grow(1 << link.extra())
		}
		part = t.entries[link.value():][:1<<link.extra()]
		at, n = at>>t.bits, n-t.bits
	}
	for ; at < len(part); at += 1 << n {
		part[at] = e
	}
}

// fixedCodes are the codes of blocks that bring none (RFC 1951 §3.2.6).
type fixedCodes struct{ lit, dist table }

var fixed = sync.OnceValue(func() *fixedCodes {
	f := &fixedCodes{}
	lens := bytes.Repeat([]byte{8}, 288)
	copy(lens[144:], bytes.Repeat([]byte{9}, 256-144))
	copy(lens[256:], bytes.Repeat([]byte{7}, 280-256))
	f.lit.build(lens, litSymbols[:])
	f.dist.build(bytes.Repeat([]byte{5}, 32), distSymbols[:])
	return f
})
