package server

import (
	"strings"
	"sync"
)

// Rule is one fault and when it strikes. Of the fields that choose, the zero value fits everything.
type Rule struct {
	Protocol string // "SMTP"; LMTP is another
	Command  string // "RCPT", "UID FETCH", or one of the moments of Event; "*" stands for any run of octets
	Arg      string // pattern for the argument, with "*", in any case of letters

	After int // events that fit and are let pass first
	Hit   int // then the first Hit of every Of events are struck; 0: every one
	Of    int

	Hide   string // an extension that is taken away; the rule then strikes no command
	Strike Strike
}

// Rules is a list of faults. All rules that fit count an event, and the first one that strikes decides. Its methods may
// be called from any goroutine; the rules must not be changed any more.
type Rules struct {
	List []Rule

	mu   sync.Mutex
	seen map[int]int // by index in List
}

var (
	_ Faults = (*Rules)(nil)
	_ Hider  = (*Rules)(nil)
)

// Strike implements Faults.
func (r *Rules) Strike(e Event) Strike {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[int]int{}
	}
	var result Strike
	struck := false
	for i := range r.List {
		rule := &r.List[i]
		if rule.Hide != "" || !rule.fits(e) {
			continue
		}
		r.seen[i]++
		if n := r.seen[i] - rule.After; n > 0 && !struck && rule.due(n) {
			result, struck = rule.Strike, true
		}
	}
	return result
}

// Hidden implements Hider.
func (r *Rules) Hidden(protocol, extension string) bool {
	for _, rule := range r.List {
		if rule.Hide != "" && strings.EqualFold(rule.Hide, extension) && (rule.Protocol == "" || strings.EqualFold(rule.Protocol, protocol)) {
			return true
		}
	}
	return false
}

func (rule *Rule) fits(e Event) bool {
	return (rule.Protocol == "" || strings.EqualFold(rule.Protocol, e.Protocol)) &&
		(rule.Command == "" || glob(strings.ToUpper(rule.Command), e.Command)) &&
		(rule.Arg == "" || glob(strings.ToLower(rule.Arg), strings.ToLower(e.Arg)))
}

// due reports whether the nth event, from 1, is struck.
func (rule *Rule) due(n int) bool {
	switch {
	case rule.Hit <= 0:
		return true
	case rule.Of <= 0:
		return n <= rule.Hit
	}
	return (n-1)%rule.Of < rule.Hit
}

// glob reports whether s has the form of pattern, in which "*" stands for any run of octets. It takes linear time for
// each star, and never goes back further than to the last one.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
