package server

import (
	"strconv"
	"strings"
)

const (
	// maxQuotedText is the longest string sent between quotes.
	maxQuotedText = 1000
	// maxDataLine is how long a line of a response may grow before a string in it is sent as a literal, which starts
	// another line: clients have a limit on lines, and a hostile message must not make its mailbox unreadable.
	maxDataLine = 64 << 10
)

// dataWriter writes values as they stand in a response.
type dataWriter struct {
	out  []byte
	line int // where the present line starts in out
}

func (w *dataWriter) raw(s string) { w.out = append(w.out, s...) }

func (w *dataWriter) number(n int64) { w.out = strconv.AppendInt(w.out, max(n, 0), 10) }

// text writes a string, quoted where it can be. A literal can hold everything but NUL, which becomes a blank.
func (w *dataWriter) text(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", " ")
	}
	if len(s) > maxQuotedText || len(w.out)-w.line > maxDataLine || !isQuotable(s) {
		w.raw("{" + strconv.Itoa(len(s)) + "}\r\n")
		w.line = len(w.out)
		w.raw(s)
		return
	}
	w.out = append(w.out, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			w.out = append(w.out, '\\')
		}
		w.out = append(w.out, s[i])
	}
	w.out = append(w.out, '"')
}

// isQuotable tells if s is printable ASCII.
func isQuotable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// optional writes a string, or NIL when there is none.
func (w *dataWriter) optional(s string, ok bool) {
	if !ok {
		w.raw("NIL")
		return
	}
	w.text(s)
}

// separator writes what stands before item i of a list: the parenthesis that opens it, or a space.
func (w *dataWriter) separator(i int) {
	if i == 0 {
		w.raw("(")
		return
	}
	w.raw(" ")
}
