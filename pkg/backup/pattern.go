package backup

import "strings"

// patterns says which mailboxes are meant. "*" stands for anything, "%" for anything
// but the separator. Those that begin with "!" exclude. Without one that includes,
// all are meant.
type patterns []string

func (p patterns) match(name, delim string) bool {
	included, in := false, false
	for _, pattern := range p {
		if out, ok := strings.CutPrefix(pattern, "!"); ok {
			if matchPattern(out, name, delim) {
				return false
			}
			continue
		}
		included = true
		in = in || matchPattern(pattern, name, delim)
	}
	return in || !included
}

// only is the one mailbox that is meant, if that can be told without a list.
func (p patterns) only() (name string, ok bool) {
	if len(p) != 1 || p[0] == "" || strings.HasPrefix(p[0], "!") {
		return "", false
	}
	return p[0], true
}

// matchPattern compares in linear space and at most quadratic time: one star to go
// back to is enough for "*"; "%" may need the star before it as well.
func matchPattern(pattern, name, delim string) bool {
	if strings.EqualFold(pattern, "INBOX") {
		pattern = "INBOX"
	}
	reach := make([]bool, len(name)+1) // reach[i]: the pattern so far matches name[:i]
	reach[0] = true
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := range len(name) {
				if reach[j] && (c == '*' || delim == "" || !strings.HasPrefix(name[j:], delim)) {
					reach[j+1] = true
				}
			}
		default:
			for j := len(name) - 1; j >= 0; j-- {
				reach[j+1] = reach[j] && name[j] == c
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}

// MatchMailbox reports whether patterns mean a mailbox. "*" stands for anything, "%"
// for anything but the separator; those that begin with "!" exclude. Without one that
// includes, all are meant.
func MatchMailbox(list []string, m *Mailbox) bool { return patterns(list).match(m.Name, m.Delim) }
