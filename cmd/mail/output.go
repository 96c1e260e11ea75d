package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// outWriter is standard output: it wraps every failure in an *outputError, keeps the first, and counts.
type outWriter struct {
	w       io.Writer
	written int64
	err     error
}

func (o *outWriter) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.written += int64(n)
	if err != nil {
		o.err = &outputError{err}
	}
	return n, o.err
}

// unsafeRune tells whether a terminal could take r as a command: C0, DEL, C1, the bidirectional controls and the line
// and paragraph separators.
func unsafeRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// appendEscaped appends the escape of a rune, or of one byte that is not UTF-8 (size 1, r utf8.RuneError).
func appendEscaped(dst []byte, r rune, raw byte) []byte {
	switch {
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == utf8.RuneError:
		return fmt.Appendf(dst, `\x%02x`, raw)
	case r < 0x80:
		return fmt.Appendf(dst, `\x%02x`, r)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// escapeText makes s safe for one line on a terminal or in a log: control characters, line ends and tabs among them,
// and bytes that are not UTF-8 become visible escapes.
func escapeText(s string) string {
	unclean := func(r rune) bool { return r == utf8.RuneError || unsafeRune(r) }
	if printableASCII(s) || strings.IndexFunc(s, unclean) < 0 {
		return s
	}
	dst := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if unsafeRune(r) || r == utf8.RuneError && size == 1 {
			dst = appendEscaped(dst, r, s[i])
		} else {
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return string(dst)
}

// printableASCII tells if s is ASCII without control characters, as most text is.
func printableASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// escapeColumn makes s one column of a tab-separated line. A backslash is doubled, so that the escapes can be undone.
func escapeColumn(s string) string {
	return escapeText(strings.ReplaceAll(s, `\`, `\\`))
}

// escapeWriter passes text to a terminal: LF and TAB as they are, CR LF as LF, all other control characters and bytes
// that are not UTF-8 as visible escapes. A sequence may be cut anywhere between two writes.
type escapeWriter struct {
	w    io.Writer
	held []byte // the beginning of a UTF-8 sequence, or a CR, that the next write may complete
}

func (e *escapeWriter) Write(p []byte) (int, error) {
	in := p
	if len(e.held) > 0 {
		in = append(e.held, p...)
	}
	dst := make([]byte, 0, len(in)+64)
	i := 0
	for i < len(in) {
		if in[i] == '\r' && i+1 == len(in) || !utf8.FullRune(in[i:]) {
			break
		}
		var n int
		dst, n = appendSafe(dst, in[i:])
		i += n
	}
	e.held = append([]byte(nil), in[i:]...)
	if _, err := e.w.Write(dst); err != nil {
		return 0, err
	}
	return len(p), nil
}

// appendSafe appends the first rune of in, escaped where needed, and says how many bytes it was.
func appendSafe(dst, in []byte) ([]byte, int) {
	r, size := utf8.DecodeRune(in)
	switch {
	case r == '\n' || r == '\t':
		return append(dst, byte(r)), 1
	case r == '\r' && len(in) > 1 && in[1] == '\n':
		return append(dst, '\n'), 2
	case unsafeRune(r), r == utf8.RuneError && size == 1:
		return appendEscaped(dst, r, in[0]), size
	}
	return append(dst, in[:size]...), size
}

// finish writes what is still held.
func (e *escapeWriter) finish() error {
	if len(e.held) == 0 {
		return nil
	}
	var dst []byte
	for _, b := range e.held {
		r := utf8.RuneError
		if b == '\r' {
			r = '\r'
		}
		dst = appendEscaped(dst, r, b)
	}
	e.held = nil
	_, err := e.w.Write(dst)
	return err
}

// maxAligned is how many rows are held back to align their columns on a terminal.
const maxAligned = 500

// lines is the line-wise part of standard output: rows and JSON objects, buffered until flush.
type lines struct {
	w     *bufio.Writer
	align bool // standard output is a terminal
	rows  [][]string
	texts jsonTexts
}

func newLines(w io.Writer, align bool) *lines {
	return &lines{w: bufio.NewWriterSize(w, 32<<10), align: align}
}

// row writes one line of columns, separated by tabs; on a terminal they are aligned instead.
func (l *lines) row(columns ...string) error {
	if !l.align {
		for i, c := range columns {
			if i > 0 {
				_ = l.w.WriteByte('\t') // the error of a bufio.Writer stays
			}
			_, _ = l.w.WriteString(escapeColumn(c))
		}
		return l.w.WriteByte('\n')
	}
	safe := make([]string, len(columns))
	for i, c := range columns {
		safe[i] = escapeText(c)
	}
	if l.rows = append(l.rows, safe); len(l.rows) < maxAligned {
		return nil
	}
	return l.flushRows()
}

func (l *lines) put(line string) error {
	_, _ = l.w.WriteString(line)
	return l.w.WriteByte('\n') // the error of a bufio.Writer stays
}

// flushRows aligns the rows held back and writes them.
func (l *lines) flushRows() error {
	var widths []int
	for _, row := range l.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	for _, row := range l.rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)+2))
			}
		}
		if err := l.put(strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	l.rows = nil
	return nil
}

// json writes v as one line.
func (l *lines) json(v any) error {
	text, err := l.texts.line(v)
	if err != nil {
		return err
	}
	_, err = l.w.Write(text)
	return err
}

// jsonText is v as JSON on one line, without its end.
func jsonText(v any) (string, error) {
	var t jsonTexts
	text, err := t.line(v)
	return strings.TrimSuffix(string(text), "\n"), err
}

// jsonTexts makes JSON of one value after the other.
type jsonTexts struct {
	text bytes.Buffer
	enc  *json.Encoder
}

// line is v as JSON on one line, with its end, valid until the next call. Characters that a terminal could take as a
// command are escaped: the value stays the same.
func (t *jsonTexts) line(v any) ([]byte, error) {
	if t.enc == nil {
		t.enc = json.NewEncoder(&t.text)
		t.enc.SetEscapeHTML(false)
	}
	t.text.Reset()
	if err := t.enc.Encode(v); err != nil {
		return nil, err
	}
	line := t.text.Bytes()
	end := len(line) - 1
	if printableASCII(line[:end]) || bytes.IndexFunc(line[:end], unsafeRune) < 0 {
		return line, nil
	}
	var out []byte
	for _, r := range string(line[:end]) {
		if unsafeRune(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '\n'), nil
}

// flush writes everything out; a stream of events calls it after each.
func (l *lines) flush() error {
	if err := l.flushRows(); err != nil {
		return err
	}
	return l.w.Flush()
}

// closeOutput closes standard output when it is a file of the process, so that a write which the system delayed and
// then could not do is not missed.
func closeOutput(w io.Writer) error {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if err := f.Close(); err != nil {
		return &outputError{err}
	}
	return nil
}
