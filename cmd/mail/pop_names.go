package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/pop3"
)

// popLast stands for `*` in a name until the maildrop is known.
const popLast = math.MaxInt32

// maxNames caps the names read from standard input.
const maxNames = 1_000_000

// popName is one name of messages as it was typed.
type popName struct {
	text     string
	from, to int    // a range of numbers, in order
	id       string // instead of a range
	empty    bool   // may name nothing: all, N:*
}

// popNames reads the operands of a command.
func (c *call) popNames(args []string) ([]popName, error) {
	var names []popName
	for _, arg := range args {
		if arg == "-" {
			in, err := c.input("names of messages")
			if err != nil {
				return nil, err
			}
			if names, err = readPopNames(in, names); err != nil {
				return nil, err
			}
			continue
		}
		var err error
		if names, err = appendPopNames(names, arg); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// readPopNames reads names, one a line; further words on a line do not count, so that a listing can be piped in.
func readPopNames(r io.Reader, names []popName) ([]popName, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		var err error
		if names, err = appendPopNames(names, words[0]); err != nil {
			return nil, err
		}
		if len(names) > maxNames {
			return nil, codef(exitData, "more than %d names on standard input", maxNames)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, codef(exitIO, "standard input: %w", err)
	}
	return names, nil
}

// appendPopNames parses one operand: a name, or several numbers and ranges with commas between.
func appendPopNames(names []popName, arg string) ([]popName, error) {
	if id, ok := strings.CutPrefix(arg, "uidl:"); ok {
		if id == "" {
			return nil, usagef("uidl: needs an id behind it")
		}
		return append(names, popName{text: arg, id: id}), nil
	}
	for _, part := range strings.Split(arg, ",") {
		n, err := parsePopRange(part)
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

func parsePopRange(s string) (popName, error) {
	if s == "all" {
		return popName{text: s, from: 1, to: popLast, empty: true}, nil
	}
	first, second, isRange := strings.Cut(s, ":")
	if !isRange {
		second = first
	}
	from, ok1 := parsePopNumber(first)
	to, ok2 := parsePopNumber(second)
	if !ok1 || !ok2 {
		return popName{}, usagef("%q names no message: a number, N:M, *, all or uidl:ID is expected", s)
	}
	if from > to {
		from, to = to, from
	}
	return popName{text: s, from: from, to: to, empty: isRange && to == popLast}, nil
}

func parsePopNumber(s string) (int, bool) {
	if s == "*" {
		return popLast, true
	}
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && n > 0 && n < popLast
}

// popMessage is one message of a maildrop.
type popMessage struct {
	number int
	size   int64
	uid    pop3.UID // the zero value when ids were not asked for
}

// maildrop is what LIST and UIDL say.
type maildrop struct {
	messages []popMessage // in the server's order
	index    map[int]int  // by number
	ids      map[string][]int
	last     int // the largest number
}

// openMaildrop lists the messages, with ids when a name or the caller needs them.
func openMaildrop(ctx context.Context, client *pop3.Client, names []popName, ids bool) (*maildrop, error) {
	entries, err := client.List(ctx)
	if err != nil {
		return nil, err
	}
	m := &maildrop{index: make(map[int]int, len(entries)), ids: map[string][]int{}}
	for i, e := range entries {
		m.messages = append(m.messages, popMessage{number: e.Number, size: e.Size})
		m.index[e.Number] = i
		m.last = max(m.last, e.Number)
	}
	for _, n := range names {
		ids = ids || n.id != ""
	}
	if !ids {
		return m, nil
	}
	return m, m.readIDs(ctx, client)
}

func (m *maildrop) readIDs(ctx context.Context, client *pop3.Client) error {
	uids, err := client.Uidl(ctx)
	if err != nil {
		return lacks(ctx, client, err, "UIDL")
	}
	for _, u := range uids {
		if i, ok := m.index[u.Number]; ok {
			m.messages[i].uid = u
			m.ids[u.ID] = append(m.ids[u.ID], u.Number)
		}
	}
	return nil
}

// choose gives the messages that the names name, each once, in the order of the names; all of them without names.
func (m *maildrop) choose(names []popName) ([]popMessage, error) {
	if len(names) == 0 {
		return m.messages, nil
	}
	var chosen []popMessage
	taken := make(map[int]bool)
	for _, name := range names {
		numbers, err := m.resolve(name)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			if !taken[n] {
				taken[n] = true
				chosen = append(chosen, m.messages[m.index[n]])
			}
		}
	}
	return chosen, nil
}

func (m *maildrop) resolve(name popName) ([]int, error) {
	if name.id != "" {
		numbers := m.ids[name.id]
		if len(numbers) > 1 {
			return nil, notFoundf("%d messages have the id %q; name them by number", len(numbers), name.id)
		}
		if len(numbers) == 0 {
			return nil, m.missing(name)
		}
		return numbers, nil
	}
	from, to := name.from, name.to
	if from == popLast {
		from = m.last
	}
	if to == popLast {
		to = max(m.last, from)
	}
	if from == to {
		if _, ok := m.index[from]; ok {
			return []int{from}, nil
		}
		if name.empty {
			return nil, nil
		}
		return nil, m.missing(name)
	}
	var numbers []int
	for _, msg := range m.messages {
		if from <= msg.number && msg.number <= to {
			numbers = append(numbers, msg.number)
		}
	}
	if len(numbers) == 0 && !name.empty {
		return nil, m.missing(name)
	}
	return numbers, nil
}

func (m *maildrop) missing(name popName) error {
	what := "no message " + name.text
	if name.id != "" {
		what = fmt.Sprintf("no message with the id %q", name.id)
	}
	switch len(m.messages) {
	case 0:
		return notFoundf("%s: the maildrop is empty", what)
	case 1:
		return notFoundf("%s: the maildrop has one message, number %d", what, m.last)
	}
	return notFoundf("%s: the maildrop has %d messages, the last is number %d", what, len(m.messages), m.last)
}

func popNumbers(messages []popMessage) []int {
	numbers := make([]int, len(messages))
	for i, m := range messages {
		numbers[i] = m.number
	}
	return numbers
}
