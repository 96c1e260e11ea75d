package imap

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// TermError is a search term that cannot be understood.
type TermError struct{ Term, Msg string }

// Error quotes the term.
func (e *TermError) Error() string { return fmt.Sprintf("search term %q: %s", clip(e.Term), e.Msg) }

// Hint names the terms.
func (e *TermError) Hint() string {
	return "terms: " + strings.Join(TermNames(), " ") + "; each is an argument of its own"
}

// termFlags are the terms that stand alone.
var termFlags = map[string]SearchKey{
	"all":        {},
	"seen":       SearchFlag(imapwire.FlagSeen),
	"unseen":     SearchNoFlag(imapwire.FlagSeen),
	"answered":   SearchFlag(imapwire.FlagAnswered),
	"unanswered": SearchNoFlag(imapwire.FlagAnswered),
	"flagged":    SearchFlag(imapwire.FlagFlagged),
	"unflagged":  SearchNoFlag(imapwire.FlagFlagged),
	"deleted":    SearchFlag(imapwire.FlagDeleted),
	"undeleted":  SearchNoFlag(imapwire.FlagDeleted),
	"draft":      SearchFlag(imapwire.FlagDraft),
	"undraft":    SearchNoFlag(imapwire.FlagDraft),
	"recent":     SearchFlag(imapwire.FlagRecent),
	"old":        SearchNoFlag(imapwire.FlagRecent),
	"new":        {word: "NEW"},
}

var termText = map[string]func(string) SearchKey{
	"from": SearchFrom, "to": SearchTo, "cc": SearchCc, "bcc": SearchBcc,
	"subject": SearchSubject, "body": SearchBody, "text": SearchText,
}

var termDates = map[string]func(time.Time) SearchKey{
	"since": SearchSince, "before": SearchBefore, "on": SearchOn,
	"sentsince": SearchSentSince, "sentbefore": SearchSentBefore, "senton": SearchSentOn,
}

var termSizes = map[string]func(int64) SearchKey{"larger": SearchLarger, "smaller": SearchSmaller}

var termOthers = map[string]func(string) (SearchKey, error){
	"header": termHeader, "keyword": termKeyword, "unkeyword": termUnkeyword, "uid": termUID,
}

// TermNames lists the terms that ParseTerms knows, those with a value with
// their colon, in alphabetical order.
func TermNames() []string {
	names := []string{"not:"}
	for n := range termFlags {
		names = append(names, n)
	}
	for n := range termText {
		names = append(names, n+":")
	}
	for n := range termDates {
		names = append(names, n+":")
	}
	for n := range termSizes {
		names = append(names, n+":")
	}
	for n := range termOthers {
		names = append(names, n+":")
	}
	sort.Strings(names)
	return names
}

// IsTerm tells if an argument reads as a search term rather than as a message
// set: it begins with the name of one.
func IsTerm(arg string) bool {
	name, _, hasValue := strings.Cut(strings.ToLower(arg), ":")
	if !hasValue {
		_, ok := termFlags[name]
		return ok
	}
	_, text := termText[name]
	_, date := termDates[name]
	_, size := termSizes[name]
	_, other := termOthers[name]
	return text || date || size || other || name == "not"
}

// ParseTerms reads search terms, one an argument, all to be fulfilled:
//
//	unseen from:bot subject:"nightly build" since:2026-11-01 before:7d
//	larger:1M header:List-Id:foo keyword:todo uid:1:9 not:flagged
//
// A value goes to the end of its argument; quotes around it are dropped. Dates
// are 2026-11-01, today, yesterday, or so long ago: 7d, 2w. Sizes take k, M, G
// for powers of 1024. now says which day it is. Errors are *[TermError].
func ParseTerms(args []string, now time.Time) ([]SearchKey, error) {
	keys := make([]SearchKey, 0, len(args))
	for _, arg := range args {
		k, err := parseTerm(arg, now, 0)
		if err != nil {
			return nil, &TermError{Term: arg, Msg: err.Error()}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// maxNots bounds not:not:not:…
const maxNots = 10

func parseTerm(arg string, now time.Time, depth int) (SearchKey, error) {
	name, value, hasValue := strings.Cut(arg, ":")
	name = strings.ToLower(name)
	if k, ok := termFlags[name]; ok && !hasValue {
		return k, nil
	}
	if !hasValue {
		if first, _, ok := strings.Cut(name, " "); ok && IsTerm(first) {
			return SearchKey{}, fmt.Errorf("several terms in one argument")
		}
		return SearchKey{}, fmt.Errorf("unknown term")
	}
	if name == "not" {
		if depth == maxNots {
			return SearchKey{}, fmt.Errorf("more than %d negations", maxNots)
		}
		k, err := parseTerm(value, now, depth+1)
		return SearchNot(k), err
	}
	if _, ok := termFlags[name]; ok {
		return SearchKey{}, fmt.Errorf("%s takes no value", name)
	}
	return termWithValue(name, unquote(value), now)
}

func termWithValue(name, value string, now time.Time) (SearchKey, error) {
	if f, ok := termText[name]; ok {
		if value == "" {
			return SearchKey{}, fmt.Errorf("nothing to look for")
		}
		return f(value), nil
	}
	if f, ok := termDates[name]; ok {
		t, err := ParseDay(value, now)
		return f(t), err
	}
	if f, ok := termSizes[name]; ok {
		n, err := parseOctets(value)
		return f(n), err
	}
	if f, ok := termOthers[name]; ok {
		return f(value)
	}
	return SearchKey{}, fmt.Errorf("unknown term")
}

// unquote drops the quotes of subject:"nightly build" where no shell did.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func termHeader(value string) (SearchKey, error) {
	name, text, _ := strings.Cut(value, ":")
	if name == "" || strings.ContainsAny(name, " \t\r\n") || !isASCII(name) {
		return SearchKey{}, fmt.Errorf("header:NAME:TEXT expected")
	}
	return SearchHeader(name, unquote(text)), nil
}

func termKeyword(value string) (SearchKey, error) {
	f, err := imapwire.ParseFlag(value)
	return SearchFlag(f), err
}

func termUnkeyword(value string) (SearchKey, error) {
	f, err := imapwire.ParseFlag(value)
	return SearchNoFlag(f), err
}

func termUID(value string) (SearchKey, error) {
	set, err := imapwire.ParseUIDSet(value)
	return SearchUIDs(set), err
}

// ParseDay reads a day as search terms name it; only its date counts.
func ParseDay(s string, now time.Time) (time.Time, error) {
	switch strings.ToLower(s) {
	case "today":
		return now, nil
	case "yesterday":
		return now.AddDate(0, 0, -1), nil
	}
	if t, err := time.Parse("2006-01-02", s); err == nil {
		return t, nil
	}
	if len(s) > 1 {
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
		switch unit := s[len(s)-1]; {
		case err != nil:
		case unit == 'd':
			return now.AddDate(0, 0, -int(n)), nil
		case unit == 'w':
			return now.AddDate(0, 0, -7*int(n)), nil
		}
	}
	return time.Time{}, fmt.Errorf("bad date: 2026-11-01, today, yesterday, 7d or 2w expected")
}

// parseOctets reads a size.
func parseOctets(s string) (int64, error) {
	shift := 0
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			shift = 10
		case 'm', 'M':
			shift = 20
		case 'g', 'G':
			shift = 30
		}
	}
	digits := s
	if shift > 0 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxUint32>>shift {
		return 0, fmt.Errorf("bad size: 4096, 500k or 10M expected, below 4G")
	}
	return int64(n << shift), nil
}
