package pop3

import (
	"iter"
	"maps"
	"slices"
)

// NumberSet is a set of message numbers that takes a bit or two for each where they lie close, as in a maildrop. The
// zero value is empty.
type NumberSet struct{ words map[int]uint64 } // 64 numbers each

// Add puts n in, and reports whether it was not there.
func (s *NumberSet) Add(n int) bool {
	if s.Has(n) {
		return false
	}
	if s.words == nil {
		s.words = map[int]uint64{}
	}
	s.words[n>>6] |= 1 << (n & 63)
	return true
}

// Has reports whether n is in the set.
func (s *NumberSet) Has(n int) bool { return s.words[n>>6]&(1<<(n&63)) != 0 }

// listing is a scan listing. Honest numbers begin at 1 and have few gaps, so that they need not be kept.
type listing struct {
	pages [][]uint64    // by number: sizes + 1, 0 for no message
	far   map[int]int64 // of numbers above maxEntries
	count int
}

const listingPage = 4096 // numbers

func (l *listing) size(n int) (int64, bool) {
	if n > maxEntries {
		size, ok := l.far[n]
		return size, ok
	}
	if page := n / listingPage; n > 0 && page < len(l.pages) && l.pages[page] != nil {
		v := l.pages[page][n%listingPage]
		return int64(v - 1), v != 0
	}
	return 0, false
}

// add puts a message in, and reports whether it was not there.
func (l *listing) add(e Entry) bool {
	if _, ok := l.size(e.Number); ok {
		return false
	}
	l.count++
	if e.Number > maxEntries {
		if l.far == nil {
			l.far = map[int]int64{}
		}
		l.far[e.Number] = e.Size
		return true
	}
	page := e.Number / listingPage
	for page >= len(l.pages) {
		l.pages = append(l.pages, nil)
	}
	if l.pages[page] == nil {
		l.pages[page] = make([]uint64, listingPage)
	}
	l.pages[page][e.Number%listingPage] = uint64(e.Size) + 1
	return true
}

// all yields the messages by their numbers.
func (l *listing) all() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i, page := range l.pages {
			for k, v := range page {
				if v != 0 && !yield(Entry{Number: i*listingPage + k, Size: int64(v - 1)}) {
					return
				}
			}
		}
		for _, n := range slices.Sorted(maps.Keys(l.far)) {
			if !yield(Entry{Number: n, Size: l.far[n]}) {
				return
			}
		}
	}
}
