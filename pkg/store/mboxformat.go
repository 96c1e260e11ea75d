package store

import (
	"bytes"
	"io"
	"strings"
	"time"
)

// fromLine is the line that begins a message in an mbox.
type fromLine struct {
	sender string
	date   time.Time
	wire   bool // the message stands in wire form
	noEOL  bool // its last line end is not part of it
}

const (
	asctime   = "Mon Jan _2 15:04:05 2006"
	wordWire  = "wire"
	wordNoEOL = "noeol"
	noSender  = "MAILER-DAEMON"
	maxSender = 320
)

// String returns the line with its LF. A sender that could be taken for something
// else is made harmless.
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
	if f.noEOL {
		line += " " + wordNoEOL
	}
	if f.wire {
		line += " " + wordWire
	}
	return line + "\n"
}

// parseFromLine reads a "From " line without its line end. ok is false when it
// does not have the looks of one: a date of asctime's kind must be in it.
func parseFromLine(line []byte) (f fromLine, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	if !ok || len(rest) > 2*maxSender+100 {
		return f, false
	}
	words := strings.Fields(string(rest))
	if n := len(words); n > 0 && words[n-1] == wordWire {
		f.wire = true
		words = words[:n-1]
	}
	if n := len(words); n > 0 && words[n-1] == wordNoEOL {
		f.noEOL = true
		words = words[:n-1]
	}
	for i, w := range words {
		if !isClock(w) || i < 2 {
			continue
		}
		if i > 3 && words[0] != noSender {
			f.sender = words[0]
		}
		if f.date, ok = fromDate(words[i-2], words[i-1], w, words[i+1:]); ok {
			return f, true
		}
		return f, hasYear(words) // some other order: no date, but a separator
	}
	return f, false
}

// hasYear reports a word of four digits.
func hasYear(words []string) bool {
	for _, w := range words {
		if len(w) == 4 && strings.Trim(w, "0123456789") == "" {
			return true
		}
	}
	return false
}

// isClock reports hh:mm or hh:mm:ss.
func isClock(w string) bool {
	return (len(w) == 5 || len(w) == 8) && w[2] == ':' && strings.Trim(w, "0123456789:") == ""
}

// fromDate reads "Jan 2 15:04:05 2006", where words in use (a zone) may stand
// before or after the year.
func fromDate(month, day, clock string, rest []string) (time.Time, bool) {
	if len(clock) == 5 {
		clock += ":00"
	}
	for _, w := range rest[:min(len(rest), 3)] {
		t, err := time.Parse("Jan 2 15:04:05 2006", month+" "+day+" "+clock+" "+w)
		if err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

var fromWord = []byte("From ")

// stuff copies r to w and puts ">" in front of every line that matches
// "^>*From ". (Between the ">" there already and "From " is the same place.)
func stuff(w io.Writer, r io.Reader) error {
	p := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(p)
	buf := p[:]
	start := true // only ">" stand between the line start and buf[0]
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if err != nil && err != io.EOF {
			return err
		}
		cut := n // how much can be written: what may grow to "From " waits
		if err == nil {
			cut = max(n-len(fromWord)+1, 0)
		}
		if werr := stuffChunk(w, buf[:n], cut, start); werr != nil || err == io.EOF {
			return werr
		}
		start = onlyQuotes(buf[:cut], start)
		n = copy(buf, buf[cut:n])
	}
}

// stuffChunk writes buf[:cut].
func stuffChunk(w io.Writer, buf []byte, cut int, start bool) error {
	pos := 0
	for at := 0; ; {
		i := bytes.Index(buf[at:], fromWord)
		if i < 0 {
			_, err := w.Write(buf[pos:cut])
			return err
		}
		i += at
		at = i + len(fromWord)
		if !onlyQuotes(buf[:i], start) {
			continue
		}
		if _, err := w.Write(buf[pos:i]); err != nil {
			return err
		}
		if _, err := w.Write([]byte{'>'}); err != nil {
			return err
		}
		pos = i
	}
}

// onlyQuotes reports whether only ">" stand between the line start and the end of
// p; start says it for the beginning of p.
func onlyQuotes(p []byte, start bool) bool {
	i := len(p)
	for i > 0 && p[i-1] == '>' {
		i--
	}
	if i == 0 {
		return start
	}
	return p[i-1] == '\n'
}

// writeMbox writes s as one message of an mbox.
func writeMbox(w io.Writer, s *Spool, m Meta, crlf bool) error {
	f := fromLine{sender: m.From, date: m.Date, wire: crlf || !s.Facts().Reversible()}
	if f.date.IsZero() {
		f.date = time.Now()
	}
	body := s.Wire()
	if !f.wire {
		body = s.LF()
	}
	end := "\n"
	if !endsLF(s) {
		f.noEOL = true
		end = "\n\n"
	}
	if _, err := io.WriteString(w, f.String()); err != nil {
		return err
	}
	if err := stuff(w, body); err != nil {
		return err
	}
	_, err := io.WriteString(w, end)
	return err
}

// endsLF reports whether the last octet of the message is LF.
func endsLF(s *Spool) bool {
	var last [1]byte
	if s.size == 0 {
		return false
	}
	n, _ := s.at.ReadAt(last[:], s.size-1)
	return n == 1 && last[0] == '\n'
}
