package message

import (
	"strconv"
	"strings"
	"time"
)

// maxDateBytes caps the text ParseDate looks at.
const maxDateBytes = 64 << 10

// FormatDate writes t as a date-time of RFC 5322 §3.3, in t's own zone.
func FormatDate(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// ParseDate reads a date-time of RFC 5322 §3.3 and the obsolete forms of §4.3:
// comments, years of two and three digits, named and military zones, no seconds,
// no weekday. It also takes what is seen in use: the order of asctime, hyphens
// between day, month and year, full month names, ISO 8601, no zone (UTC). The
// weekday is not checked. It fails with an *Error.
func ParseDate(s string) (time.Time, error) {
	if len(s) > maxDateBytes {
		return time.Time{}, bad("date is too long", s)
	}
	plain, err := withoutComments(s)
	if err != nil {
		return time.Time{}, err
	}
	if trimmed := strings.TrimSpace(plain); len(trimmed) > 4 && trimmed[4] == '-' {
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "2006-01-02"} {
			if t, err := time.Parse(layout, trimmed); err == nil {
				return t, nil
			}
		}
	}
	d := dateParts{day: -1, year: -1, hour: -1}
	for word := range strings.FieldsFuncSeq(plain, betweenWords) {
		if !d.take(word) {
			return time.Time{}, bad("bad date", s)
		}
	}
	t, ok := d.time()
	if !ok {
		return time.Time{}, bad("bad date", s)
	}
	return t, nil
}

func betweenWords(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\r' || r == '\n' }

// withoutComments replaces comments by blanks.
func withoutComments(s string) (string, error) {
	if strings.IndexByte(s, '(') < 0 {
		return s, nil
	}
	var b strings.Builder
	l := lexer{s: s}
	for l.at < len(s) {
		if s[l.at] != '(' {
			b.WriteByte(s[l.at])
			l.at++
			continue
		}
		if err := l.skipComment(); err != nil {
			return "", err
		}
		b.WriteByte(' ')
	}
	return b.String(), nil
}

// dateParts collects the parts of a date in any order that is clear.
type dateParts struct {
	day, year, hour, min, sec int
	month                     time.Month
	zone                      *time.Location
}

// take puts one word in its place.
func (d *dateParts) take(word string) bool {
	switch {
	case d.hour >= 0 && d.zone == nil && (word[0] == '+' || word[0] == '-'):
		return d.takeOffset(word)
	case strings.IndexByte(word, ':') >= 0:
		return d.takeClock(word)
	case isDigits(word):
		return d.takeNumber(word)
	case strings.Count(word, "-") == 2 && d.day < 0:
		for part := range strings.SplitSeq(word, "-") {
			if part == "" || !d.take(part) {
				return false
			}
		}
		return true
	}
	return d.takeName(word)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// takeNumber reads a day or a year.
func (d *dateParts) takeNumber(word string) bool {
	if len(word) > 4 {
		return false
	}
	n, _ := strconv.Atoi(word) // at most four digits
	if d.day < 0 && len(word) <= 2 {
		d.day = n
		return n >= 1 && n <= 31
	}
	if d.year >= 0 {
		return false
	}
	switch { // RFC 5322 §4.3
	case len(word) <= 2 && n < 50:
		n += 2000
	case len(word) <= 3:
		n += 1900
	}
	d.year = n
	return n > 0
}

// takeClock reads 15:04 or 15:04:05, possibly with a fraction or a zone behind it.
func (d *dateParts) takeClock(word string) bool {
	if d.hour >= 0 {
		return false
	}
	if i := strings.IndexAny(word, "+-"); i > 0 {
		return d.takeClock(word[:i]) && d.takeOffset(word[i:])
	}
	limits := [...]int{23, 59, 60}
	to := [...]*int{&d.hour, &d.min, &d.sec}
	for i, more := 0, true; more; i++ {
		var part string
		if part, word, more = strings.Cut(word, ":"); i == 2 {
			part, _, _ = strings.Cut(part, ".")
		}
		if i > 2 || len(part) > 2 || !isDigits(part) {
			return false
		}
		if *to[i], _ = strconv.Atoi(part); *to[i] > limits[i] {
			return false
		}
	}
	return true
}

// takeOffset reads +hhmm or +hh:mm.
func (d *dateParts) takeOffset(word string) bool {
	digits := strings.Replace(word[1:], ":", "", 1)
	if len(digits) == 2 {
		digits += "00"
	}
	if len(digits) != 4 || !isDigits(digits) {
		return false
	}
	n, _ := strconv.Atoi(digits) // four digits
	offset := (n/100*60 + n%100) * 60
	if n%100 > 59 || n/100 > 23 {
		offset = 0 // no zone on earth: the time is taken as UTC
	}
	if word[0] == '-' {
		offset = -offset
	}
	d.zone = time.FixedZone("", offset)
	return true
}

// takeName reads a weekday, a month or a zone.
func (d *dateParts) takeName(word string) bool {
	word = strings.TrimRight(word, ".")
	if len(word) >= 3 {
		key := string([]byte{word[0] | 0x20, word[1] | 0x20, word[2] | 0x20, ' '}) // in lower case, if these are letters
		if i := strings.Index("jan feb mar apr may jun jul aug sep oct nov dec ", key); i >= 0 && d.month == 0 {
			d.month = time.Month(i/4 + 1)
			return true
		}
		if d.hour < 0 && strings.Contains("mon tue wed thu fri sat sun ", key) {
			return true
		}
	}
	if d.hour < 0 {
		return false
	}
	if i := strings.IndexAny(word, "+-"); i > 0 { // GMT+0200
		return d.zone == nil && d.takeOffset(word[i:])
	}
	if d.zone == nil {
		d.zone = namedZone(word)
	}
	return true
}

// namedZone knows the zones of RFC 5322 §4.3; all others, the military letters
// included, mean that the offset is not known.
func namedZone(name string) *time.Location {
	hours := map[string]int{"EDT": -4, "EST": -5, "CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8}
	if h, ok := hours[strings.ToUpper(name)]; ok {
		return time.FixedZone(strings.ToUpper(name), h*3600)
	}
	return time.UTC
}

// time puts the parts together; day, month, year must be there and exist.
func (d *dateParts) time() (time.Time, bool) {
	if d.day < 0 || d.month == 0 || d.year < 0 {
		return time.Time{}, false
	}
	zone := d.zone
	if zone == nil {
		zone = time.UTC
	}
	if time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC).Day() != d.day {
		return time.Time{}, false
	}
	return time.Date(d.year, d.month, d.day, max(d.hour, 0), d.min, d.sec, 0, zone), true
}
