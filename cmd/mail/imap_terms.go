package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

// imapQuery is a search. Where the server cannot do all of it, it is asked for more, and what it finds is looked at here.
type imapQuery struct {
	keys  []imap.SearchKey // as the server is asked first
	wide  []imap.SearchKey // the same without what it may lack: these find no less
	tests []imapTest       // what wide leaves out
}

// imapTest tells if a message fulfils a term, by its arrival or by texts in it.
type imapTest struct {
	not   bool
	age   func(arrived time.Time) bool // nil for a text
	field string                       // header field to look at; "" with body or any
	body  bool                         // look at the body
	any   bool                         // look at header and body
	text  string                       // in lower case
}

// moreTerms are search terms beside those of package imap: of extensions, and told by the clock.
var moreTerms = []string{"younger", "older", "label", "gmail"}

// isTerm tells if an operand is a search term rather than a set.
func isTerm(arg string) bool {
	name, _, valued := strings.Cut(strings.ToLower(arg), ":")
	return imap.IsTerm(arg) || valued && slices.Contains(moreTerms, name)
}

// parseTerms reads search terms, and raw search keys if there are some.
func (c *call) parseTerms(args []string, raw string) (*imapQuery, error) {
	q := &imapQuery{}
	for _, arg := range args {
		if err := q.add(arg, c.now()); err != nil {
			return nil, err
		}
	}
	if raw != "" {
		q.both(imap.SearchRaw(raw))
	}
	return q, nil
}

func (q *imapQuery) both(k imap.SearchKey) { q.keys, q.wide = append(q.keys, k), append(q.wide, k) }

// add reads one term.
func (q *imapQuery) add(arg string, now time.Time) error {
	bare, not := arg, false
	for n := 0; len(bare) > 4 && strings.EqualFold(bare[:4], "not:") && n < 10; n++ {
		bare, not = bare[4:], !not
	}
	name, value, _ := strings.Cut(bare, ":")
	name, value = strings.ToLower(name), strings.Trim(value, `"`)
	if slices.Contains(moreTerms, name) && strings.Contains(bare, ":") {
		return q.addExtension(imapExtensionTerm{name, value, not, now})
	}
	keys, err := imap.ParseTerms([]string{arg}, now)
	if err != nil {
		return err
	}
	test, isText := textTest(name, value)
	if !isText || message.IsASCII(value) {
		q.both(keys[0])
		return nil
	}
	test.not = not
	q.keys, q.tests = append(q.keys, keys[0]), append(q.tests, test)
	return nil
}

// textTest is the test that stands for a term that looks for a text.
func textTest(name, value string) (imapTest, bool) {
	t := imapTest{field: name, text: strings.ToLower(value)}
	switch name {
	case "from", "to", "cc", "bcc", "subject":
	case "body":
		t.body = true
	case "text":
		t.any = true
	case "header":
		field, text, _ := strings.Cut(value, ":")
		t.field, t.text = field, strings.ToLower(strings.Trim(text, `"`))
	default:
		return t, false
	}
	return t, true
}

type imapExtensionTerm struct {
	name, value string
	not         bool
	now         time.Time
}

func (q *imapQuery) addExtension(t imapExtensionTerm) error {
	turned := func(k imap.SearchKey) imap.SearchKey {
		if t.not {
			return imap.SearchNot(k)
		}
		return k
	}
	if t.value == "" {
		return usagef("search term %q: nothing to look for", t.name+":")
	}
	switch t.name {
	case "label":
		q.both(turned(imap.SearchLabel(t.value)))
		return nil
	case "gmail":
		q.both(turned(imap.SearchGmail(t.value)))
		return nil
	}
	age, err := parseAge(t.value)
	if err != nil {
		return err
	}
	limit, key := t.now.Add(-age), imap.SearchOlder
	younger := t.name == "younger"
	if younger {
		key = imap.SearchYounger
	}
	q.keys = append(q.keys, turned(key(age)))
	if younger != t.not { // days begin at different times: one more on either side
		q.wide = append(q.wide, imap.SearchSince(limit.AddDate(0, 0, -1)))
	} else {
		q.wide = append(q.wide, imap.SearchBefore(limit.AddDate(0, 0, 2)))
	}
	q.tests = append(q.tests, imapTest{not: t.not, age: func(at time.Time) bool { return at.After(limit) == younger }})
	return nil
}

// parseAge reads 90s, 30m, 2h, 7d or 2w.
func parseAge(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if unit, ok := units[s[len(s)-1]]; ok {
		if n, err := strconv.ParseUint(s[:len(s)-1], 10, 32); err == nil && n > 0 && n <= uint64(100*365*24*time.Hour/unit) {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, usagef("%q is not an age like 90s, 30m, 2h, 7d or 2w", s)
}

// run gives the UIDs of the messages that fulfil all of it.
func (q *imapQuery) run(ctx context.Context, client *imap.Client) (imap.UIDSet, error) {
	found, err := client.Search(ctx, q.keys...)
	if err == nil || len(q.tests) == 0 || !searchLacks(err) {
		return found, err
	}
	if found, err = client.Search(ctx, q.wide...); err != nil {
		return found, err
	}
	return q.filter(ctx, client, found)
}

// searchLacks tells if the server cannot search so at all: it lacks WITHIN, or knows no UTF-8 (Exchange says BADCHARSET).
func searchLacks(err error) bool {
	var (
		lacks   *imap.CapabilityError
		refused *imap.Error
	)
	if errors.As(err, &lacks) {
		return lacks.Capability == "WITHIN"
	}
	return errors.As(err, &refused) && (refused.Code == "BADCHARSET" || strings.Contains(strings.ToLower(refused.Text), "charset"))
}

// filter keeps the messages that pass the tests.
func (q *imapQuery) filter(ctx context.Context, client *imap.Client, found imap.UIDSet) (kept imap.UIDSet, err error) {
	items := &imap.FetchOptions{InternalDate: true}
	for _, t := range q.tests {
		switch {
		case t.age != nil:
		case t.body || t.any:
			items.Sections = []imap.Section{{}}
		case items.Sections == nil:
			items.Sections = []imap.Section{{Spec: "HEADER"}}
		}
	}
	_, err = client.Fetch(ctx, found, items, func(m *imap.Message) error {
		ok, err := q.passes(m, items.Sections != nil)
		if ok {
			kept.Add(m.UID)
		}
		return err
	})
	return kept, err
}

// passes tells if a message fulfils all tests. What cannot be read as a message fulfils none that look for a text.
func (q *imapQuery) passes(m *imap.Message, text bool) (bool, error) {
	got := make([]bool, len(q.tests))
	for i, t := range q.tests {
		got[i] = t.age != nil && !m.InternalDate.IsZero() && t.age(m.InternalDate)
	}
	if text {
		body, err := m.Next()
		if err != nil {
			return false, err
		}
		if err := q.look(body, got); err != nil {
			return false, err
		}
	}
	for i, t := range q.tests {
		if got[i] == t.not {
			return false, nil
		}
	}
	return true, nil
}

// look notes which texts stand in a message, decoded. What is no message has none.
func (q *imapQuery) look(r io.Reader, got []bool) error {
	if !slices.ContainsFunc(q.tests, func(t imapTest) bool { return t.body || t.any }) {
		if header, err := message.ReadHeader(bufio.NewReader(r)); err == nil {
			q.lookInHeader(header, got)
		}
		return nil
	}
	return mimetree.Walk(r, nil, func(p *mimetree.Part, body *mimetree.Body) error {
		if p.Root() {
			q.lookInHeader(p.Header, got)
		}
		if p.Container || !p.Text() {
			return nil
		}
		return q.scan(body.Text(), got)
	})
}

func (q *imapQuery) lookInHeader(header *message.Header, got []bool) {
	for _, f := range header.Fields {
		text := ""
		for i, t := range q.tests {
			if t.age != nil || !t.any && !strings.EqualFold(f.Name, t.field) {
				continue
			}
			if text == "" {
				text = strings.ToLower(message.DecodeWords(f.Value()))
			}
			got[i] = got[i] || strings.Contains(text, t.text)
		}
	}
}

// scan looks for the texts in r, window by window.
func (q *imapQuery) scan(r io.Reader, got []bool) error {
	const size = 32 << 10
	buf, kept := make([]byte, size), ""
	for {
		n, err := io.ReadFull(r, buf)
		window := kept + strings.ToLower(string(buf[:n]))
		for i, t := range q.tests {
			got[i] = got[i] || (t.body || t.any) && strings.Contains(window, t.text)
		}
		kept = window[max(0, len(window)-size/2):]
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
