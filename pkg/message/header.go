package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBadLines is how many lines that are no fields a header block may hold. The
// next one is taken for the first line of a body that no blank line announces.
const maxBadLines = 100

// Field is one header field.
type Field struct {
	// Name is the field name as written, without blanks before the colon. It is
	// empty for a line that is not a field: an mbox "From " line, a line without
	// colon, a continuation of nothing.
	Name string
	// Raw is the whole field with name, folding and line ends.
	Raw []byte
}

// Value returns the field body unfolded and without outer blanks. Apart from
// that its octets are as written. For a line that is not a field it is the line.
func (f Field) Value() string {
	raw := f.Raw
	if f.Name != "" {
		raw = raw[bytes.IndexByte(raw, ':')+1:]
	}
	return strings.Trim(unfold(raw), " \t")
}

// unfold removes every line end (RFC 5322 §2.2.3); the blanks after it stay.
func unfold(raw []byte) string {
	if i := bytes.IndexByte(raw, '\n'); i == len(raw)-1 || i < 0 {
		return string(trimEOL(raw))
	}
	var b strings.Builder
	b.Grow(len(raw))
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line = raw[:i+1]
		}
		raw = raw[len(line):]
		b.Write(trimEOL(line))
	}
	return b.String()
}

// trimEOL cuts one CRLF or LF from the end of line.
func trimEOL(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			line = line[:n-2]
		}
	}
	return line
}

// Header is a header block in the order of its fields. The zero value is an
// empty header. A Header belongs to one goroutine.
type Header struct {
	// Fields holds the fields, and between them the lines that are none.
	Fields []Field
	// End is the blank line that closed the block as it was read ("\r\n" or
	// "\n"), or empty when there was none.
	End []byte
}

// ReadHeader reads a header block up to and including the blank line, and leaves
// r at the first octet of the body. It is tolerant: lines that are no fields are
// kept as fields without name, LF may stand for CRLF, and a text that does not
// begin with a field at all is a message with an empty header, of which nothing
// is consumed. It fails with an *Error beyond [MaxHeaderBytes] and
// [MaxHeaderFields], and with the error of r.
func ReadHeader(r *bufio.Reader) (*Header, error) {
	h := &Header{}
	var buf []byte
	var starts []int
	badLines := 0
	for {
		kind, err := peekLine(r, len(starts) == 0)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return nil, err
			}
			break
		}
		if kind == lineBad {
			if badLines++; badLines > maxBadLines {
				break
			}
		}
		if kind == lineBody {
			break
		}
		at := len(buf)
		if buf, err = appendLine(buf, r); err != nil {
			return nil, err
		}
		if kind == lineBlank {
			h.End = bytes.Clone(buf[at:])
			buf = buf[:at]
			break
		}
		if kind != lineFolded {
			starts = append(starts, at)
		}
		if len(starts) > MaxHeaderFields {
			return nil, &Error{Msg: "header has more than 10000 fields"}
		}
	}
	h.Fields = cutFields(buf, starts)
	return h, nil
}

// cutFields makes the fields of buf, which begin at starts.
func cutFields(buf []byte, starts []int) []Field {
	fields := make([]Field, len(starts))
	for i, at := range starts {
		end := len(buf)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		raw := buf[at:end:end]
		fields[i] = Field{Name: fieldName(raw), Raw: raw}
	}
	return fields
}

// appendLine appends the next line of r, at end of input possibly without LF.
func appendLine(buf []byte, r *bufio.Reader) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(buf)+len(part) > MaxHeaderBytes {
			return nil, &Error{Msg: "header is larger than 1 MiB"}
		}
		buf = append(buf, part...)
		if err == nil || errors.Is(err, io.EOF) {
			return buf, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

type lineKind int

const (
	lineField  lineKind = iota
	lineFolded          // continues the field before
	lineBlank           // ends the header
	lineBad             // no field, but part of the header
	lineBody            // the body begins without a blank line
)

// peekLine says what the next line of r is, looking no further than r's buffer.
// first is set at the start of the message.
func peekLine(r *bufio.Reader, first bool) (lineKind, error) {
	line, err := peekUntil(r, 1)
	if len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if kind := kindOf(line, first); kind != lineBad || !first {
		return kind, nil
	}
	if bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")) {
		return lineBad, nil
	}
	// A first line that is no field: part of a header only when a field follows.
	two, _ := peekUntil(r, 2)
	next := two[min(len(line), len(two)):]
	if len(next) > 0 && kindOf(next, false) == lineField {
		return lineBad, nil
	}
	return lineBody, nil
}

// peekUntil returns the next n lines of r without consuming them, or as much of
// them as fits r's buffer or comes before an error, which is returned beside it.
func peekUntil(r *bufio.Reader, n int) ([]byte, error) {
	for want := max(r.Buffered(), 1); ; {
		p, err := r.Peek(want)
		if end := nthLine(p, n); end > 0 {
			return p[:end], nil
		}
		if errors.Is(err, bufio.ErrBufferFull) || err == nil && want >= r.Size() {
			return p, nil
		}
		if err != nil {
			return p, err
		}
		want = min(max(r.Buffered(), want+1), r.Size())
	}
}

// nthLine returns the end of the n-th line of p, or 0 when p has fewer.
func nthLine(p []byte, n int) int {
	end := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(p[end:], '\n')
		if i < 0 {
			return 0
		}
		end += i + 1
	}
	return end
}

// kindOf classifies a line by itself.
func kindOf(line []byte, first bool) lineKind {
	switch {
	case line[0] == '\n', line[0] == '\r' && len(line) > 1 && line[1] == '\n':
		return lineBlank
	case (line[0] == ' ' || line[0] == '\t') && !first:
		return lineFolded
	case fieldName(line) != "":
		return lineField
	}
	return lineBad
}

// fieldName returns the name of the field at the start of line, blanks before
// the colon allowed (RFC 5322 §4.5), or "".
func fieldName(line []byte) string {
	n := 0
	for n < len(line) && isNameByte(line[n]) {
		n++
	}
	rest := bytes.TrimLeft(line[n:], " \t")
	if n == 0 || len(rest) == 0 || rest[0] != ':' {
		return ""
	}
	return string(line[:n])
}

// isNameByte reports ftext of RFC 5322 §3.6.8.
func isNameByte(c byte) bool { return c > ' ' && c < 0x7f && c != ':' }

// Get returns the value of the first field with that name, in any case.
func (h *Header) Get(name string) (string, bool) {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value(), true
		}
	}
	return "", false
}

// Has reports whether there is a field with that name, in any case.
func (h *Header) Has(name string) bool {
	_, ok := h.Get(name)
	return ok
}

// Values returns the values of all fields with that name, in order.
func (h *Header) Values(name string) []string {
	var out []string
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			out = append(out, f.Value())
		}
	}
	return out
}

// Bad counts the lines that are no fields, an mbox "From " line not included.
func (h *Header) Bad() int {
	n := 0
	for i, f := range h.Fields {
		if f.Name == "" && !(i == 0 && isFromLine(f)) {
			n++
		}
	}
	return n
}

// Del removes all fields with one of the names, in any case.
func (h *Header) Del(names ...string) {
	kept := h.Fields[:0]
	for _, f := range h.Fields {
		if f.Name == "" || !containsFold(names, f.Name) {
			kept = append(kept, f)
		}
	}
	clear(h.Fields[len(kept):])
	h.Fields = kept
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// WriteTo writes the header and its closing blank line as they were read.
func (h *Header) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for i := range h.Fields {
		n, err := w.Write(h.Fields[i].Raw)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if len(h.End) == 0 {
		return total, nil
	}
	n, err := w.Write(h.End)
	return total + int64(n), err
}

// Bytes returns what WriteTo writes.
func (h *Header) Bytes() []byte {
	var b bytes.Buffer
	_, _ = h.WriteTo(&b) // a bytes.Buffer does not fail
	return b.Bytes()
}

// Add appends a field. The value must be one line of printable text (UTF-8 and
// tabs allowed): CR, LF and other control characters are refused, so that a
// value can never begin another field. Long lines are folded at blanks. For free
// text use [Header.AddText].
func (h *Header) Add(name, value string) error {
	f, err := h.newField(name, value)
	if err != nil {
		return err
	}
	h.completeLines()
	h.Fields = append(h.Fields, f)
	return nil
}

// Prepend is Add at the top of the header, below an mbox "From " line.
func (h *Header) Prepend(name, value string) error {
	f, err := h.newField(name, value)
	if err != nil {
		return err
	}
	h.completeLines()
	at := 0
	if len(h.Fields) > 0 && isFromLine(h.Fields[0]) {
		at = 1
	}
	h.Fields = append(h.Fields[:at:at], append([]Field{f}, h.Fields[at:]...)...)
	return nil
}

// AddText appends an unstructured field (Subject, Comments), whose text is
// encoded by RFC 2047 where needed.
func (h *Header) AddText(name, text string) error {
	return h.Add(name, encodeText(text, len(name)))
}

// eol is the line end in use.
func (h *Header) eol() string {
	for _, f := range h.Fields {
		if bytes.HasSuffix(f.Raw, []byte("\r\n")) {
			return "\r\n"
		} else if bytes.HasSuffix(f.Raw, []byte("\n")) {
			return "\n"
		}
	}
	if string(h.End) == "\n" {
		return "\n"
	}
	return "\r\n"
}

// completeLines ends the last line and the header before a field is added to a
// header that lacks one of them.
func (h *Header) completeLines() {
	eol := h.eol()
	if n := len(h.Fields); n > 0 && !bytes.HasSuffix(h.Fields[n-1].Raw, []byte("\n")) {
		last := bytes.Clone(h.Fields[n-1].Raw)
		if bytes.HasSuffix(last, []byte("\r")) {
			last = append(last, '\r') // a lone CR must not become a blank line
		}
		h.Fields[n-1].Raw = append(last, eol...)
	}
	if len(h.End) == 0 {
		h.End = []byte(eol)
	}
}

// newField checks and folds a field (class I2: no value starts a second line
// that is not a continuation).
func (h *Header) newField(name, value string) (Field, error) {
	if err := CheckFieldName(name); err != nil {
		return Field{}, err
	}
	if err := checkText(value); err != nil {
		err.Field = name
		return Field{}, err
	}
	eol := h.eol()
	raw := name + ":" + fold(" "+value, len(name)+1, eol) + eol
	for line := range strings.SplitSeq(raw, eol) {
		if len(line) > MaxLineLength {
			return Field{}, &Error{Field: name, Msg: "line is longer than 998 octets and cannot be folded"}
		}
	}
	return Field{Name: name, Raw: []byte(raw)}, nil
}

// CheckFieldName fails when name cannot be the name of a header field
// (RFC 5322 §3.6.8), or is longer than 76 octets.
func CheckFieldName(name string) error {
	if name == "" || len(name) > 76 {
		return bad("bad field name", name)
	}
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return bad("bad character in field name", name)
		}
	}
	return nil
}

// checkText refuses what must not stand in a header line.
func checkText(s string) *Error {
	if !utf8.ValidString(s) {
		return bad("invalid UTF-8", s)
	}
	for _, r := range s {
		if r != '\t' && isBreaking(r) {
			return bad("control character", s)
		}
	}
	return nil
}

// isBreaking reports control characters and the Unicode line breaks.
func isBreaking(r rune) bool {
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029
}

// fold breaks s before blanks so that lines stay within 76 octets where they can;
// used is what already stands on the first line. Every line holds more than
// blanks, and unfolding gives s back.
func fold(s string, used int, eol string) string {
	const limit = 76
	if used+len(s) <= limit {
		return s
	}
	var b strings.Builder
	col, ink := used, used > 0
	for len(s) > 0 {
		// The next piece: a run of blanks and the run of ink after it.
		n := len(s) - len(strings.TrimLeft(s, " \t"))
		end := strings.IndexAny(s[n:], " \t")
		if end < 0 {
			end = len(s)
		} else {
			end += n
		}
		if ink && n > 0 && end > n && col+end > limit {
			b.WriteString(eol)
			col = 0
		}
		ink = ink || end > n
		b.WriteString(s[:end])
		col += end
		s = s[end:]
	}
	return b.String()
}

func isFromLine(f Field) bool {
	return f.Name == "" && (bytes.HasPrefix(f.Raw, []byte("From ")) || bytes.HasPrefix(f.Raw, []byte(">From ")))
}

// DropFromLine removes an mbox "From " line from the top of the header and
// returns it without its line end, or "".
func (h *Header) DropFromLine() string {
	if len(h.Fields) == 0 || !isFromLine(h.Fields[0]) {
		return ""
	}
	line := string(trimEOL(h.Fields[0].Raw))
	h.Fields = h.Fields[1:]
	return line
}

// StripBcc removes the fields that must not leave with the message: Bcc and
// Resent-Bcc (RFC 5322 §3.6.3).
func StripBcc(h *Header) { h.Del("Bcc", "Resent-Bcc") }
