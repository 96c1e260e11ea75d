package main

import (
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/store"
)

// backupQuery is a search in a backup: the terms of `mail imap search`, looked up here.
type backupQuery struct {
	facts []backupFact
	texts imapQuery // its tests alone
}

// backupFact tells if a message fulfils a term that looks for no text.
type backupFact func(m *backup.Message, s *store.Message) bool

// backupTerms reads search terms. It is nil without any.
func backupTerms(terms []string, now time.Time) (*backupQuery, error) {
	if len(terms) == 0 {
		return nil, nil
	}
	q := &backupQuery{}
	for _, arg := range terms {
		if err := q.add(arg, now); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (q *backupQuery) add(arg string, now time.Time) error {
	bare, not := arg, false
	for n := 0; len(bare) > 4 && strings.EqualFold(bare[:4], "not:") && n < 10; n++ {
		bare, not = bare[4:], !not
	}
	name, value, _ := strings.Cut(bare, ":")
	name, value = strings.ToLower(name), strings.Trim(value, `"`)
	if !slices.Contains(moreTerms, name) {
		if _, err := imap.ParseTerms([]string{arg}, now); err != nil {
			return err
		}
	} else if value == "" {
		return usagef("search term %q: nothing to look for", arg)
	}
	if test, ok := textTest(name, value); ok {
		test.not = not
		q.texts.tests = append(q.texts.tests, test)
		return nil
	}
	fact, err := newBackupFact(name, value, now)
	if err != nil {
		return err
	}
	q.facts = append(q.facts, func(m *backup.Message, s *store.Message) bool { return fact(m, s) != not })
	return nil
}

// matches tells if a message fulfils all terms. What cannot be read as a message fulfils none that look for a text.
func (q *backupQuery) matches(m *backup.Message, s *store.Message) bool {
	for _, fact := range q.facts {
		if !fact(m, s) {
			return false
		}
	}
	if len(q.texts.tests) == 0 {
		return true
	}
	got := make([]bool, len(q.texts.tests))
	if q.texts.look(s.Wire(), got) != nil {
		return false
	}
	for i, t := range q.texts.tests {
		if got[i] == t.not {
			return false
		}
	}
	return true
}

// newBackupFact makes the fact for a term that imap.ParseTerms takes, or one of moreTerms.
func newBackupFact(name, value string, now time.Time) (backupFact, error) {
	for _, fact := range []func(name, value string, now time.Time) (backupFact, error){flagFact, dateFact, valueFact} {
		if f, err := fact(name, value, now); f != nil || err != nil {
			return f, err
		}
	}
	return nil, usagef("search term %q: a backup does not know", name)
}

// flagFacts are the terms about system flags; those with "un" in front turn them around.
var flagFacts = map[string]imap.Flag{
	"seen": imapwire.FlagSeen, "answered": imapwire.FlagAnswered, "flagged": imapwire.FlagFlagged,
	"deleted": imapwire.FlagDeleted, "draft": imapwire.FlagDraft,
}

func flagFact(name, value string, _ time.Time) (backupFact, error) {
	base, un := strings.CutPrefix(name, "un")
	flag, ok := flagFacts[base]
	switch {
	case name == "all":
		return func(*backup.Message, *store.Message) bool { return true }, nil
	case base == "keyword":
		parsed, err := imapwire.ParseFlag(value)
		if err != nil {
			return nil, err
		}
		flag = parsed
	case !ok:
		return nil, nil
	}
	has := func(f string) bool { return strings.EqualFold(f, string(flag)) }
	return func(m *backup.Message, _ *store.Message) bool { return slices.ContainsFunc(m.Flags, has) != un }, nil
}

// dateFact goes by the day of arrival, or by that of the Date field, each in its own time zone (RFC 9051 §6.4.4).
func dateFact(name, value string, now time.Time) (backupFact, error) {
	kind, sent := strings.CutPrefix(name, "sent")
	if kind != "since" && kind != "before" && kind != "on" {
		return nil, nil
	}
	day, err := imap.ParseDay(value, now)
	if err != nil {
		return nil, err
	}
	want := day.Format(time.DateOnly)
	return func(m *backup.Message, s *store.Message) bool {
		date := m.Date
		if sent {
			date = sentDate(s)
		}
		if date.IsZero() {
			return false
		}
		switch got := date.Format(time.DateOnly); kind {
		case "since":
			return got >= want
		case "before":
			return got < want
		default:
			return got == want
		}
	}, nil
}

// sentDate is the Date field; zero if there is none that can be read.
func sentDate(s *store.Message) time.Time {
	h, err := s.Header()
	if err != nil {
		return time.Time{}
	}
	text, _ := h.Get("Date")
	date, _ := message.ParseDate(text)
	return date
}

func valueFact(name, value string, now time.Time) (backupFact, error) {
	switch name {
	case "larger", "smaller":
		size, err := parseSize(value)
		return func(m *backup.Message, _ *store.Message) bool {
			return name == "larger" && m.Size > size || name == "smaller" && m.Size < size
		}, err
	case "younger", "older":
		age, err := parseAge(value)
		limit := now.Add(-age)
		return func(m *backup.Message, _ *store.Message) bool {
			return !m.Date.IsZero() && m.Date.After(limit) == (name == "younger")
		}, err
	case "uid":
		set, err := imapwire.ParseUIDSet(value)
		return func(m *backup.Message, _ *store.Message) bool { return m.UID != 0 && set.Contains(imap.UID(m.UID)) }, err
	case "label":
		return func(m *backup.Message, _ *store.Message) bool { return slices.Contains(m.Labels, value) }, nil
	}
	return nil, nil
}
