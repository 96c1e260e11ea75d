package store

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The words of dates, and zones that have one meaning only, with their hours.
var (
	dayNames   = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	monthNames = []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}
	zoneNames  = []string{"UT", "UTC", "GMT", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "CET", "CEST"}
	zoneHours  = []int{0, 0, 0, 0, -5, -4, -6, -5, -7, -6, -8, -7, 1, 2}
)

// fromLine is the line that begins a message in an mbox.
type fromLine struct {
	sender string
	date   time.Time
	flags  []string
	wire   bool // the message stands in wire form
	noEOL  bool // its last line end is not part of it
}

const (
	asctime   = "Mon Jan _2 15:04:05 2006"
	wordFlags = "flags="
	wordWire  = "wire"
	wordNoEOL = "noeol"
	noSender  = "MAILER-DAEMON"
	maxSender = 320  // octets
	maxFlags  = 2000 // octets of all flags
	maxLine   = 2*maxSender + maxFlags + 100
)

// String returns the line with its LF. A sender that could be taken for something
// else is made harmless, a flag that could be is left out.
func (f fromLine) String() string {
	sender := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '-'
		}
		return r
	}, f.sender)
	if sender == "" {
		sender = noSender
	}
	line := "From " + sender[:min(len(sender), maxSender)] + " " + f.date.UTC().Format(asctime)
	if words := flagWords(f.flags); words != "" {
		line += " " + wordFlags + words
	}
	if f.noEOL {
		line += " " + wordNoEOL
	}
	if f.wire {
		line += " " + wordWire
	}
	return line + "\n"
}

// flagWords joins those flags that can stand in one word.
func flagWords(flags []string) string {
	var b strings.Builder
	for _, f := range flags {
		bad := strings.IndexFunc(f, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' })
		if f == "" || bad >= 0 || b.Len()+1+len(f) > maxFlags {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f)
	}
	return b.String()
}

// parseFromLine reads a "From " line without its line end. ok is false when it
// does not have the looks of one: a time of day and a year must be in it.
func parseFromLine(line []byte) (f fromLine, ok bool) {
	rest, ok := bytes.CutPrefix(line, fromWord)
	if !ok || len(rest) > maxLine {
		return f, false
	}
	words := f.cutOwnWords(strings.Fields(string(rest)))
	clock := slices.IndexFunc(words, isClock)
	if clock < 0 {
		return f, false
	}
	d := readFromDate(words, clock)
	if d.first > 0 && words[0] != noSender {
		f.sender = words[0]
	}
	f.date = d.time()
	return f, d.year >= 0
}

// cutOwnWords takes the words that this package writes from the end of the line.
func (f *fromLine) cutOwnWords(words []string) []string {
	cut := func(match func(last string) bool) {
		if n := len(words); n > 0 && match(words[n-1]) {
			words = words[:n-1]
		}
	}
	cut(func(w string) bool { f.wire = w == wordWire; return f.wire })
	cut(func(w string) bool { f.noEOL = w == wordNoEOL; return f.noEOL })
	cut(func(w string) bool {
		list, ok := strings.CutPrefix(w, wordFlags)
		if ok && list != "" {
			f.flags = strings.Split(list, ",")
		}
		return ok
	})
	return words
}

// isClock reports hh:mm or hh:mm:ss.
func isClock(w string) bool {
	return (len(w) == 5 || len(w) == 8) && w[2] == ':' && strings.Trim(w, "0123456789:") == ""
}

// fromDate is the date of a "From " line, in whatever order it was written.
type fromDate struct {
	year, month, day int // -1: not found
	clock            string
	zone             *time.Location
	first            int // the first word that belongs to it
}

// readFromDate looks for a date around the time of day, which is words[clock]:
// asctime's, with a zone before or behind the year or without one, that of header
// fields ("Mon, 1 Jan 2024 00:00:00 +0100"), and that of ISO 8601.
func readFromDate(words []string, clock int) fromDate {
	d := fromDate{year: -1, month: -1, day: -1, clock: words[clock], zone: time.UTC, first: clock}
	for i := clock - 1; i >= max(clock-4, 0); i-- {
		if !d.take(words[i], true) {
			break
		}
		d.first = i
	}
	for _, w := range words[clock+1 : min(clock+4, len(words))] {
		d.take(w, false)
	}
	return d
}

// take reads one word, and reports whether it can be part of a date.
func (d *fromDate) take(w string, before bool) bool {
	w = strings.TrimSuffix(w, ",")
	if t, err := time.Parse(time.DateOnly, w); err == nil && d.year < 0 {
		d.year, d.month, d.day = t.Year(), int(t.Month()), t.Day()
		return true
	}
	if n, err := strconv.ParseUint(w, 10, 16); err == nil {
		return d.number(int(n), len(w))
	}
	if m := slices.Index(monthNames, w); m >= 0 && d.month < 0 {
		d.month = m + 1
		return true
	}
	if z := fromZone(w); z != nil && !before {
		d.zone = z
		return true
	}
	return slices.Contains(dayNames, w)
}

// number is a day or a year, of two digits in the last century.
func (d *fromDate) number(n, digits int) bool {
	switch {
	case digits == 4 && d.year < 0:
		d.year = n
	case digits <= 2 && d.day < 0:
		d.day = n
	case digits == 2 && d.year < 0 && n >= 70:
		d.year = 1900 + n
	default:
		return false
	}
	return true
}

// time is the zero time unless all of the date was found.
func (d *fromDate) time() time.Time {
	clock := d.clock
	if len(clock) == 5 {
		clock += ":00"
	}
	t, err := time.Parse(time.TimeOnly, clock)
	if err != nil || d.year <= 0 || d.month < 0 || d.day < 1 || d.day > 31 {
		return time.Time{}
	}
	return time.Date(d.year, time.Month(d.month), d.day, t.Hour(), t.Minute(), t.Second(), 0, d.zone).UTC()
}

// fromZone reads "+0100" or one of the few names that are clear; nil: neither.
func fromZone(w string) *time.Location {
	if t, err := time.Parse("-0700", w); err == nil {
		return t.Location()
	}
	if i := slices.Index(zoneNames, w); i >= 0 {
		return time.FixedZone(w, zoneHours[i]*3600)
	}
	return nil
}
