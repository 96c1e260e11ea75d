package imapwire

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// UID is a unique identifier of a message in a mailbox (RFC 9051 §2.3.1.1).
// Zero is not a UID.
type UID uint32

// SeqNum is a message sequence number (RFC 9051 §2.3.1.2). Zero is not one.
type SeqNum uint32

// UIDSet is a set of UIDs. It cannot be mixed with a [SeqSet].
type UIDSet = Set[UID]

// SeqSet is a set of message sequence numbers.
type SeqSet = Set[SeqNum]

// Star stands for "*", the largest number in use, in a [Range]. Neither UIDs
// nor sequence numbers can be zero, so the value is free.
const Star = 0

// maxSetRanges bounds the ranges of one parsed set; 1:4294967295 is one range.
const maxSetRanges = 1 << 20

// Range is a run of numbers, both ends included. In a range inside a Set,
// Start <= Stop, or Stop is [Star]. Start is Star only for "*" itself.
type Range[N ~uint32] struct{ Start, Stop N }

// String gives the range as it stands on the wire: "7", "3:9", "5:*".
func (r Range[N]) String() string { return string(r.append(nil)) }

func (r Range[N]) append(b []byte) []byte {
	b = appendSetNum(b, r.Start)
	if r.Stop != r.Start {
		b = append(b, ':')
		b = appendSetNum(b, r.Stop)
	}
	return b
}

func appendSetNum[N ~uint32](b []byte, n N) []byte {
	if n == Star {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// Set is a set of message numbers, kept as sorted ranges that neither overlap
// nor touch; it is never expanded, so 1:4294967295 costs eight bytes. The zero
// value is the empty set. A Set is not safe for concurrent changes; copies
// share storage until one is changed, use [Set.Clone] to part them.
type Set[N ~uint32] struct {
	ranges []Range[N] // sorted, disjoint; without star
	open   N          // n of "n:*", 0 when there is none
	star   bool       // "*" alone is a member
}

// SetOf returns the set of the given numbers; zeros are left out.
func SetOf[N ~uint32](nums ...N) Set[N] {
	var s Set[N]
	for _, n := range nums {
		s.Add(n)
	}
	return s
}

// ParseUIDSet reads a UID set as it is written on the wire and on the command
// line: "7", "1:100,205", "900:*", "*".
func ParseUIDSet(text string) (UIDSet, error) { return parseSet[UID](text) }

// ParseSeqSet reads a set of sequence numbers.
func ParseSeqSet(text string) (SeqSet, error) { return parseSet[SeqNum](text) }

func parseSet[N ~uint32](text string) (Set[N], error) {
	list, err := parseRanges[N](text, true)
	if err != nil {
		return Set[N]{}, err
	}
	return SetOfRanges(list), nil
}

// SetOfRanges returns the set of the numbers in list, which may be in any order,
// in O(n log n): adding them one by one takes longer when they descend. The
// ranges must be as [Range] says; list is sorted by it.
func SetOfRanges[N ~uint32](list []Range[N]) Set[N] {
	slices.SortFunc(list, func(a, b Range[N]) int { return cmp.Compare(a.Start, b.Start) })
	var s Set[N]
	for _, r := range list {
		s.AddRange(r.Start, r.Stop)
	}
	return s
}

// parseRanges reads a sequence-set (RFC 9051 §9) in the order it is written.
// The ends of a range are put in order; they may come either way round.
func parseRanges[N ~uint32](text string, stars bool) ([]Range[N], error) {
	if text == "" {
		return nil, fmt.Errorf("empty message set")
	}
	var list []Range[N]
	for text != "" {
		var part string
		var more bool
		part, text, more = strings.Cut(text, ",")
		if more && text == "" {
			return nil, fmt.Errorf("message set ends with a comma")
		}
		r, err := parseRange[N](part, stars)
		if err != nil {
			return nil, err
		}
		if len(list) == maxSetRanges {
			return nil, fmt.Errorf("message set has more than %d ranges", maxSetRanges)
		}
		list = append(list, r)
	}
	return list, nil
}

func parseRange[N ~uint32](part string, stars bool) (Range[N], error) {
	first, second, isRange := strings.Cut(part, ":")
	start, err := parseSetNum[N](first, stars)
	if err != nil {
		return Range[N]{}, err
	}
	if !isRange {
		return Range[N]{start, start}, nil
	}
	stop, err := parseSetNum[N](second, stars)
	if err != nil {
		return Range[N]{}, err
	}
	return ordered(start, stop), nil
}

func ordered[N ~uint32](start, stop N) Range[N] {
	switch {
	case start == Star:
		return Range[N]{stop, start}
	case stop != Star && stop < start:
		return Range[N]{stop, start}
	}
	return Range[N]{start, stop}
}

func parseSetNum[N ~uint32](s string, stars bool) (N, error) {
	if s == "*" && stars {
		return Star, nil
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, fmt.Errorf("bad message number %q", clip(s))
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("bad message number %q", clip(s))
	}
	return N(n), nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Add puts one number into the set; zero is ignored.
func (s *Set[N]) Add(n N) {
	if n != 0 {
		s.AddRange(n, n)
	}
}

// AddRange puts the numbers from start to stop into the set, in either order;
// [Star] stands for "*".
func (s *Set[N]) AddRange(start, stop N) {
	r := ordered(start, stop)
	switch {
	case r.Start == Star:
		s.star = true
	case r.Stop == Star:
		s.addOpen(r.Start)
	default:
		s.addClosed(r)
	}
}

// AddSet puts every member of other into s.
func (s *Set[N]) AddSet(other Set[N]) {
	if len(other.ranges) > fewRanges && len(s.ranges) > 0 && other.ranges[0].Start < s.ranges[len(s.ranges)-1].Start {
		all := append(s.Ranges(), other.Ranges()...)
		*s = SetOfRanges(all)
		return
	}
	for _, r := range other.Ranges() {
		s.AddRange(r.Start, r.Stop)
	}
}

// fewRanges can be inserted one by one.
const fewRanges = 16

func (s *Set[N]) addOpen(start N) {
	if s.open == 0 || start < s.open {
		s.open = start
	}
	s.absorb()
}

// absorb drops the closed ranges that the open one covers.
func (s *Set[N]) absorb() {
	for s.open != 0 && len(s.ranges) > 0 {
		last := s.ranges[len(s.ranges)-1]
		if last.Stop < s.open && last.Stop+1 < s.open {
			return
		}
		s.open = min(s.open, last.Start)
		s.ranges = s.ranges[:len(s.ranges)-1]
	}
}

// addClosed inserts r. Numbers that arrive in ascending order cost O(1).
func (s *Set[N]) addClosed(r Range[N]) {
	if n := len(s.ranges); n > 0 {
		last := &s.ranges[n-1]
		if r.Start >= last.Start && touches(*last, r) {
			last.Stop = max(last.Stop, r.Stop)
			s.absorb()
			return
		}
		if r.Start < last.Start {
			s.insert(r)
			s.absorb()
			return
		}
	}
	s.ranges = append(s.ranges, r)
	s.absorb()
}

// touches tells if b begins inside a or right behind it; a.Start <= b.Start.
func touches[N ~uint32](a, b Range[N]) bool {
	return b.Start <= a.Stop || b.Start == a.Stop+1
}

func (s *Set[N]) insert(r Range[N]) {
	i := sort.Search(len(s.ranges), func(i int) bool {
		return s.ranges[i].Stop >= r.Start || s.ranges[i].Stop+1 == r.Start
	})
	j := i
	for j < len(s.ranges) && (s.ranges[j].Start <= r.Stop || s.ranges[j].Start == r.Stop+1) {
		r.Start = min(r.Start, s.ranges[j].Start)
		r.Stop = max(r.Stop, s.ranges[j].Stop)
		j++
	}
	if j > i {
		s.ranges[i] = r
		s.ranges = append(s.ranges[:i+1], s.ranges[j:]...)
		return
	}
	s.ranges = append(s.ranges, r)
	copy(s.ranges[i+1:], s.ranges[i:])
	s.ranges[i] = r
}

// Contains tells if n is a member. What "*" alone stands for is known to the
// server only: it adds nothing here. "n:*" holds every number from n on.
func (s Set[N]) Contains(n N) bool {
	if n == 0 {
		return false
	}
	if s.open != 0 && n >= s.open {
		return true
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Stop >= n })
	return i < len(s.ranges) && s.ranges[i].Start <= n
}

// Empty tells if the set has no member at all.
func (s Set[N]) Empty() bool { return len(s.ranges) == 0 && s.open == 0 && !s.star }

// Dynamic tells if the set holds "*", so that only the server knows its
// members: "900:*" has the last message even where that is below 900.
func (s Set[N]) Dynamic() bool { return s.open != 0 || s.star }

// Count returns how many numbers the set holds, leaving out what "*" adds.
func (s Set[N]) Count() uint64 {
	var n uint64
	for _, r := range s.ranges {
		n += uint64(r.Stop) - uint64(r.Start) + 1
	}
	return n
}

// Ranges returns the ranges in ascending order, one with a [Star] last.
func (s Set[N]) Ranges() []Range[N] {
	list := s.ranges[:len(s.ranges):len(s.ranges)]
	if s.open != 0 {
		return append(list, Range[N]{s.open, Star})
	}
	if s.star {
		return append(list, Range[N]{Star, Star})
	}
	return list
}

// All yields the numbers in ascending order, leaving out what "*" adds. It
// takes no memory, but 1:4294967295 takes its time: look at [Set.Count] first
// when the set comes from a server.
func (s Set[N]) All() iter.Seq[N] {
	return func(yield func(N) bool) {
		for _, r := range s.ranges {
			for n := uint64(r.Start); n <= uint64(r.Stop); n++ {
				if !yield(N(n)) {
					return
				}
			}
		}
	}
}

// Clone returns a copy that shares nothing with s.
func (s Set[N]) Clone() Set[N] {
	s.ranges = append([]Range[N](nil), s.ranges...)
	return s
}

// Minus returns the members of s that are not in other. Parts with "*" are
// left out: nobody but the server can tell their members.
func (s Set[N]) Minus(other Set[N]) Set[N] {
	var out Set[N]
	cut := other.ranges
	if other.open != 0 {
		cut = append(cut[:len(cut):len(cut)], Range[N]{other.open, math.MaxUint32})
	}
	i := 0
	for _, r := range s.ranges {
		start := uint64(r.Start)
		for i < len(cut) && uint64(cut[i].Stop) < start {
			i++
		}
		for j := i; j < len(cut) && cut[j].Start <= r.Stop; j++ {
			if uint64(cut[j].Start) > start {
				out.AddRange(N(start), cut[j].Start-1)
			}
			start = uint64(cut[j].Stop) + 1
		}
		if start <= uint64(r.Stop) {
			out.AddRange(N(start), r.Stop)
		}
	}
	return out
}

// String gives the set as it stands on the wire, "" for the empty set.
func (s Set[N]) String() string {
	var b []byte
	for i, r := range s.Ranges() {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.append(b)
	}
	return string(b)
}

// Split cuts the set into sets whose text is at most size octets each, so that
// commands stay within the line length that servers accept (RFC 7162 §4).
func (s Set[N]) Split(size int) []Set[N] {
	var list []Set[N]
	var cur Set[N]
	used := 0
	var scratch [24]byte
	for _, r := range s.Ranges() {
		n := len(r.append(scratch[:0])) + 1
		if used > 0 && used+n > size {
			list = append(list, cur)
			cur, used = Set[N]{}, 0
		}
		cur.AddRange(r.Start, r.Stop)
		used += n
	}
	if used > 0 {
		list = append(list, cur)
	}
	return list
}

// SplitCount cuts the set into sets of at most n numbers each, in ascending
// order, with 0 into sets of one. What "*" adds is left out.
func (s Set[N]) SplitCount(n uint64) []Set[N] {
	n = max(n, 1)
	var list []Set[N]
	var cur Set[N]
	room := n
	for _, r := range s.ranges {
		for start, left := uint64(r.Start), uint64(r.Stop)-uint64(r.Start)+1; left > 0; {
			take := min(left, room)
			cur.AddRange(N(start), N(start+take-1))
			start, left, room = start+take, left-take, room-take
			if room == 0 {
				list = append(list, cur)
				cur, room = Set[N]{}, n
			}
		}
	}
	if !cur.Empty() {
		list = append(list, cur)
	}
	return list
}
