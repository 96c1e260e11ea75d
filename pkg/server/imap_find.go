package server

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapResult says what a SEARCH is to return (RFC 4731, RFC 5182).
type imapResult struct {
	extended                   bool
	min, max, all, count, save bool
}

// search answers SEARCH and UID SEARCH (RFC 9051 §6.4.4).
func (s *imapSession) search(d *imapwire.Decoder) error {
	d.SP()
	o, err := s.resultArgs(d)
	if err != nil {
		return err
	}
	q, found, err := s.find(d, s.enabled["UTF8=ACCEPT"])
	if err != nil {
		if err = s.refusal(err); o.save && imapDone(err) { // RFC 5182 §2.1: after a NO the result is empty
			s.saved = nil
		}
		return err
	}
	if o.save {
		s.saved = s.view.uidsOf(o.saved(found))
	}
	switch only := (imapResult{extended: true, save: true}); {
	case o == only: // RFC 5182 §2.1
		return nil
	case o.extended || s.rev2():
		return s.esearch(o, q, found)
	}
	return s.searchLine("* SEARCH", q, found)
}

// resultArgs reads RETURN (…) and the space behind it, if that is what comes.
func (s *imapSession) resultArgs(d *imapwire.Decoder) (imapResult, error) {
	var o imapResult
	if !s.has("ESEARCH") || !startsFold(s.c.arguments(2+strings.Count(s.name, " ")), "RETURN (") {
		return imapResult{all: true}, nil
	}
	o.extended = true
	d.Keyword()
	d.SP()
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		switch word := d.Keyword(); {
		case word == "MIN":
			o.min = true
		case word == "MAX":
			o.max = true
		case word == "ALL":
			o.all = true
		case word == "COUNT":
			o.count = true
		case word == "SAVE" && s.has("SEARCHRES"):
			o.save = true
		default:
			return o, imapBad("", "unknown return option")
		}
	}
	o.all = o.all || !o.min && !o.max && !o.count && !o.save
	d.SP()
	return o, d.Err()
}

// saved is what "$" stands for afterwards (RFC 5182 §2.4): with MIN or MAX and neither ALL nor COUNT only those.
func (o *imapResult) saved(found []int) []int {
	if len(found) < 2 || o.all || o.count || !o.min && !o.max {
		return found
	}
	first, last := found[0], found[len(found)-1]
	switch {
	case o.min && o.max:
		return []int{first, last}
	case o.min:
		return []int{first}
	}
	return []int{last}
}

func (s *imapSession) searchContext(noCharset bool) searchContext {
	msgs := s.view.msgs
	o := searchContext{MaxSeq: uint32(len(msgs)), Saved: imapUIDSet(s.saved), Now: s.srv.options.Now(), NoCharset: noCharset,
		Recent: s.view.isRecent, Without: s.withoutKeys, Labels: s.labelsOf}
	if len(msgs) > 0 {
		o.MaxUID = msgs[len(msgs)-1].UID
	}
	return o
}

// withoutKeys tells if the search keys of an extension are not known. IMAP4rev2 has dropped some of IMAP4rev1.
func (s *imapSession) withoutKeys(extension string) bool {
	return !s.has(extension) || extension == "IMAP4REV1" && s.rev2()
}

// find reads search keys and the end of the command, and searches.
func (s *imapSession) find(d *imapwire.Decoder, noCharset bool) (q imapQuery, found []int, err error) {
	if q, err = imapParseSearch(d, s.searchContext(noCharset)); err != nil {
		return q, nil, err
	}
	if err = s.finish(d); err != nil {
		return q, nil, err
	}
	if q.UsesModSeq() {
		if err = s.condstore(); err != nil {
			return q, nil, err
		}
	}
	found, err = s.matches(q)
	return q, found, err
}

// matches runs a search over the view; a message that is gone does not match.
func (s *imapSession) matches(q imapQuery) ([]int, error) {
	v := s.view
	var found []int
	for i := range v.msgs {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		m := &v.msgs[i]
		ok, err := q.Match(*m, uint32(i+1), func() (Body, error) { return v.box.Open(m.UID) })
		if err != nil && !errors.Is(err, ErrNoMessage) {
			return nil, err
		}
		if ok {
			found = append(found, i)
		}
	}
	return found, nil
}

// number is what names message index i in an answer to this command.
func (s *imapSession) number(i int) uint32 {
	if s.byUID() {
		return s.view.msgs[i].UID
	}
	return uint32(i + 1)
}

func (s *imapSession) highestOf(found []int) uint64 {
	top := uint64(0)
	for _, i := range found {
		top = max(top, s.view.msgs[i].ModSeq)
	}
	return top
}

// searchLine sends numbers in the order given, as SEARCH and SORT do.
func (s *imapSession) searchLine(word string, q imapQuery, found []int) error {
	b := append(s.buf[:0], word...)
	for _, i := range found {
		b = strconv.AppendUint(append(b, ' '), uint64(s.number(i)), 10)
	}
	if q.UsesModSeq() && len(found) > 0 {
		b = append(strconv.AppendUint(append(b, " (MODSEQ "...), s.highestOf(found), 10), ')')
	}
	s.buf = append(b, "\r\n"...)
	_, err := s.c.Write(s.buf)
	return err
}

// esearch sends an ESEARCH response (RFC 4731 §3.1).
func (s *imapSession) esearch(o imapResult, q imapQuery, found []int) error {
	b := append(append(append(s.buf[:0], `* ESEARCH (TAG "`...), s.tag...), `")`...)
	if s.byUID() {
		b = append(b, " UID"...)
	}
	if n := len(found); n > 0 {
		if o.min {
			b = strconv.AppendUint(append(b, " MIN "...), uint64(s.number(found[0])), 10)
		}
		if o.max {
			b = strconv.AppendUint(append(b, " MAX "...), uint64(s.number(found[n-1])), 10)
		}
		if o.all {
			var runs imapRuns
			for _, i := range found {
				runs.add(s.number(i))
			}
			b = append(append(b, " ALL "...), runs.text()...)
		}
	}
	if o.count {
		b = strconv.AppendInt(append(b, " COUNT "...), int64(len(found)), 10)
	}
	if told := o.told(found); q.UsesModSeq() && len(told) > 0 {
		b = strconv.AppendUint(append(b, " MODSEQ "...), s.highestOf(told), 10)
	}
	s.buf = append(b, "\r\n"...)
	_, err := s.c.Write(s.buf)
	return err
}

// told are the messages whose highest mod-sequence is told (RFC 7162 §3.1.10): with MIN or MAX alone, those.
func (o *imapResult) told(found []int) []int {
	if len(found) < 2 || o.all || o.count || o.save && !o.min && !o.max {
		return found
	}
	return o.saved(found)
}

// sort answers SORT and UID SORT (RFC 5256).
func (s *imapSession) sort(d *imapwire.Decoder) error {
	d.SP()
	keys, err := imapParseSort(d)
	if err != nil {
		return err
	}
	display := func(k sortKey) bool { return strings.HasPrefix(k.word, "DISPLAY") }
	if slices.ContainsFunc(keys, display) && !s.has("SORT=DISPLAY") {
		return imapBad("", "unknown sort criterion")
	}
	q, found, err := s.charsetSearch(d)
	if err != nil {
		return err
	}
	order, err := imapSort(keys, s.infos(found), s.view.box.Open)
	if err != nil {
		return err
	}
	sorted := make([]int, len(order))
	for k, i := range order {
		sorted[k] = found[i]
	}
	return s.searchLine("* SORT", q, sorted)
}

// charsetSearch reads " charset keys" and the end of the command, and searches.
func (s *imapSession) charsetSearch(d *imapwire.Decoder) (imapQuery, []int, error) {
	d.SP()
	charset := d.AString()
	d.SP()
	if err := d.Err(); err != nil {
		return imapQuery{}, nil, err
	}
	if err := imapSearchCharset(charset); err != nil {
		return imapQuery{}, nil, err
	}
	return s.find(d, true)
}

func (s *imapSession) infos(found []int) []MessageInfo {
	list := make([]MessageInfo, len(found))
	for k, i := range found {
		list[k] = s.view.msgs[i]
	}
	return list
}

// thread answers THREAD and UID THREAD (RFC 5256).
func (s *imapSession) thread(d *imapwire.Decoder) error {
	d.SP()
	algorithm := d.Keyword()
	if d.Err() == nil && !s.has("THREAD="+algorithm) {
		return imapBad("", "unknown algorithm")
	}
	_, found, err := s.charsetSearch(d)
	if err != nil {
		return err
	}
	text, err := imapThread(algorithm, s.infos(found), s.view.box.Open, func(k int) uint32 { return s.number(found[k]) })
	if err != nil {
		return err
	}
	line := "* THREAD"
	if len(text) > 0 {
		line += " " + string(text)
	}
	return s.line(line)
}

func startsFold(text []byte, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(string(text[:len(word)]), word)
}
