package server

import "testing"

func TestRulesCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		want string
	}{
		{"every", Rule{}, "XXXXXXXXXX"},
		{"after", Rule{After: 3}, "...XXXXXXX"},
		{"of", Rule{Hit: 2, Of: 5}, "XX...XX..."},
		{"after and of", Rule{After: 2, Hit: 1, Of: 3}, "..X..X..X."},
		{"times", Rule{Hit: 2}, "XX........"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rule.Protocol, c.rule.Command, c.rule.Strike = "smtp", "NOOP", Strike{Drop: true}
			r := &Rules{List: []Rule{c.rule}}
			got := ""
			for range 10 {
				r.Strike(Event{Protocol: "smtp", Command: "RSET"}) // does not count
				if r.Strike(Event{Protocol: "smtp", Command: "NOOP"}).Drop {
					got += "X"
				} else {
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*c", "abbc", true}, {"a*c", "abcd", false},
		{"*@x", "a@x@x", true}, {"a**b", "ab", true}, {"*a*a*b", "aaaa", false}, {"ab", "a", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("glob(%q, %q): got %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}
