package imap

import (
	"context"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Partial is a window of results, counted from 1: 1:500 are the first 500 in
// ascending order of UIDs; with negative numbers it counts from the end, -1:-500
// are the newest 500 (RFC 9394 §3). The zero value is no window.
type Partial struct{ From, To int32 }

func (p Partial) zero() bool { return p == Partial{} }

// check refuses windows that cannot be sent.
func (p Partial) check() error {
	if p.zero() || (p.From > 0 && p.To > 0) || (p.From < 0 && p.To < 0) {
		return nil
	}
	return fmt.Errorf("bad window %d:%d: both ends count from the same side, from 1", p.From, p.To)
}

func (p Partial) String() string { return fmt.Sprintf("%d:%d", p.From, p.To) }

// SearchReturn says what a search is to return (RFC 4731 §3.1).
type SearchReturn struct {
	All, Count, Min, Max bool
	// Save keeps the result on the server for [SearchSaved] and
	// [FetchOptions.Saved] (SEARCHRES, RFC 5182).
	Save bool
	// Partial returns a window of the result (PARTIAL, RFC 9394).
	Partial Partial
}

// SearchData is the result of an ESearch: what was asked for.
type SearchData struct {
	UIDs     UIDSet // all of the result, or its window
	Count    uint32 // how many messages were found; of a window, in the whole result
	Min, Max UID    // the lowest and the highest UID, 0 when nothing was found
	ModSeq   uint64 // the highest mod-sequence of the result, where the server tells it (RFC 7162 §3.1.5)

	counted, lowest, highest bool // told by the server
}

// ESearch searches as [Client.Search] does and returns what ret asks for. A
// server without ESEARCH is asked for all UIDs, from which All, Count, Min and
// Max are taken.
//
// Errors: *[CapabilityError] for Save without SEARCHRES and Partial without
// PARTIAL (or CONTEXT=SEARCH, RFC 5267, for windows from the front).
func (c *Client) ESearch(ctx context.Context, ret SearchReturn, keys ...SearchKey) (*SearchData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return nil, err
	}
	words, err := c.returnWords(ret)
	if err != nil {
		return nil, err
	}
	data := &SearchData{}
	if c.has("ESEARCH") {
		_, err := c.runSearch("RETURN ("+strings.Join(words, " ")+") ", keys, data)
		return data, err
	}
	if data.UIDs, err = c.search("", keys); err != nil {
		return nil, err
	}
	data.fill()
	if !ret.All {
		data.UIDs = UIDSet{}
	}
	return data, nil
}

func (c *Client) returnWords(ret SearchReturn) ([]string, error) {
	var words []string
	add := func(on bool, word string) {
		if on {
			words = append(words, word)
		}
	}
	add(ret.Min, "MIN")
	add(ret.Max, "MAX")
	add(ret.All, "ALL")
	add(ret.Count, "COUNT")
	if ret.Save {
		if !c.has("SEARCHRES") {
			return nil, &CapabilityError{Command: "search that keeps its result", Capability: "SEARCHRES"}
		}
		words = append(words, "SAVE")
	}
	if !ret.Partial.zero() {
		if err := ret.Partial.check(); err != nil {
			return nil, err
		}
		if !c.has("PARTIAL") && (!c.has("CONTEXT=SEARCH") || ret.Partial.From < 0) {
			return nil, &CapabilityError{Command: "search for a window", Capability: "PARTIAL"}
		}
		words = append(words, "PARTIAL "+ret.Partial.String())
	}
	return words, nil
}

// fill takes count and ends from the UIDs.
func (s *SearchData) fill() {
	s.Count = uint32(min(s.UIDs.Count(), 1<<32-1))
	if list := s.UIDs.Ranges(); len(list) > 0 {
		s.Min, s.Max = list[0].Start, list[len(list)-1].Stop
	}
}

// merge adds what another response told.
func (s *SearchData) merge(o SearchData) {
	s.UIDs.AddSet(o.UIDs)
	if o.counted {
		s.Count = o.Count
	}
	if o.lowest {
		s.Min = o.Min
	}
	if o.highest {
		s.Max = o.Max
	}
	s.ModSeq = max(s.ModSeq, o.ModSeq)
}

// decode reads an ESEARCH response (RFC 4731 §3.1, RFC 9394 §3.1).
func (s *SearchData) decode(d *imapwire.Decoder) (tag string) {
	if d.Is('(') {
		for i, ok := 0, d.OpenList(); ok && d.More(i); i++ {
			word := d.Keyword()
			d.SP()
			if word == "TAG" {
				tag = d.String()
			} else {
				d.Skip()
			}
		}
		d.Accept(' ')
	}
	for d.Err() == nil && !d.AtEnd() {
		if d.Accept(' ') {
			continue
		}
		word := d.Keyword()
		if word == "UID" {
			continue
		}
		d.SP()
		s.decodeItem(word, d)
	}
	return tag
}

func (s *SearchData) decodeItem(word string, d *imapwire.Decoder) {
	switch word {
	case "ALL":
		s.UIDs.AddSet(d.UIDSet())
	case "COUNT":
		s.Count, s.counted = d.Number(), true
	case "MIN":
		s.Min, s.lowest = UID(d.NZNumber()), true
	case "MAX":
		s.Max, s.highest = UID(d.NZNumber()), true
	case "MODSEQ":
		s.ModSeq = d.ModSeq()
	case "PARTIAL":
		if !d.OpenList() || !d.More(0) {
			return
		}
		d.Skip() // the window, as asked for
		if d.More(1) {
			if !d.Nil() {
				s.UIDs.AddSet(d.UIDSet())
			}
			d.More(2)
		}
	default:
		d.Skip()
	}
}
