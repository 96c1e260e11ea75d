package imapwire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Output is where an Encoder writes. WriteLine adds the line end, and a line
// never holds CR, LF or NUL. Write sends the octets of a literal.
type Output interface {
	WriteLine(line string) error
	Write(p []byte) (int, error)
}

// LiteralMode is what the peer understands of RFC 7888.
type LiteralMode uint8

// The ways to announce a literal.
const (
	LiteralSync  LiteralMode = iota // wait for the continuation request
	LiteralMinus                    // LITERAL-: up to 4096 octets without waiting
	LiteralPlus                     // LITERAL+: any size without waiting
)

// maxLiteralMinus is the size up to which LITERAL- needs no waiting.
const maxLiteralMinus = 4096

// Encoder writes one command at a time, element by element, with a sticky
// error. Elements are separated by [Encoder.SP]; [Encoder.End] ends the line.
type Encoder struct {
	// Literals is what the peer offers; the zero value waits for each literal.
	Literals LiteralMode
	// UTF8 allows UTF-8 in quoted strings and plain mailbox names (RFC 9755).
	UTF8 bool
	// Wait runs behind the announcement of a synchronising literal: it flushes
	// and returns nil when the peer asks to continue. Its error ends the command.
	Wait func() error

	out  Output
	buf  []byte
	err  error
	sent bool
}

// NewEncoder returns an encoder writing to out.
func NewEncoder(out Output) *Encoder { return &Encoder{out: out} }

// Begin starts a command or response with its first words, which must be atoms
// or "*" or "+", and forgets the error of the command before.
func (e *Encoder) Begin(words ...string) *Encoder {
	e.buf, e.err, e.sent = e.buf[:0], nil, false
	for i, w := range words {
		if i > 0 {
			e.SP()
		}
		e.word(w)
	}
	return e
}

func (e *Encoder) word(w string) {
	if w == "*" || w == "+" {
		e.buf = append(e.buf, w...)
		return
	}
	for _, part := range strings.Split(w, " ") {
		if !validAtom(part) {
			e.fail("bad word %q", clip(w))
			return
		}
	}
	e.buf = append(e.buf, w...)
}

// Err returns the first error, or nil.
func (e *Encoder) Err() error { return e.err }

// Sent tells if a part of the present command has left for the peer. After an
// error the peer then still waits for the rest.
func (e *Encoder) Sent() bool { return e.sent }

func (e *Encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// End sends the line.
func (e *Encoder) End() error {
	e.line()
	return e.err
}

func (e *Encoder) line() {
	if e.err != nil {
		return
	}
	e.sent = true
	e.err = e.out.WriteLine(string(e.buf))
	e.buf = e.buf[:0]
}

// SP writes the space between two elements.
func (e *Encoder) SP() *Encoder {
	e.buf = append(e.buf, ' ')
	return e
}

// validAtom tells if s can be sent as an atom by a strict sender.
func validAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || !atomChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// Atom writes s as an atom; what is not one is an error.
func (e *Encoder) Atom(s string) *Encoder {
	if !validAtom(s) {
		e.fail("%q is not an atom", clip(s))
		return e
	}
	e.buf = append(e.buf, s...)
	return e
}

// Number writes a number.
func (e *Encoder) Number(n uint64) *Encoder {
	e.buf = strconv.AppendUint(e.buf, n, 10)
	return e
}

// AString writes s as an atom, a quoted string or a literal, whichever can
// hold it. NUL is an error.
func (e *Encoder) AString(s string) *Encoder {
	if validAtom(s) && !strings.EqualFold(s, "NIL") && len(s) <= maxQuoted {
		e.buf = append(e.buf, s...)
		return e
	}
	return e.String(s)
}

// maxQuoted is the longest quoted string: longer ones go as literals, so that
// lines stay short.
const maxQuoted = 1024

// String writes s as a quoted string or a literal. NUL is an error.
func (e *Encoder) String(s string) *Encoder {
	switch {
	case e.err != nil:
	case strings.IndexByte(s, 0) >= 0:
		e.fail("%q holds NUL", clip(s))
	case e.quotable(s):
		e.quote(s)
	default:
		e.literalString(s)
	}
	return e
}

func (e *Encoder) quotable(s string) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f || (s[i] >= 0x80 && !e.UTF8) {
			return false
		}
	}
	return !e.UTF8 || utf8.ValidString(s)
}

func (e *Encoder) quote(s string) {
	e.buf = append(e.buf, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			e.buf = append(e.buf, '\\')
		}
		e.buf = append(e.buf, s[i])
	}
	e.buf = append(e.buf, '"')
}

func (e *Encoder) literalString(s string) {
	if e.announce(int64(len(s))) {
		_, e.err = io.WriteString(e.out, s)
	}
}

// ErrLiteralSize tells that a reader gave more or fewer octets than announced.
// The command was not completed: the peer still waits for the rest.
var ErrLiteralSize = errors.New("message is not as long as announced")

// Literal writes size octets from r as a literal. A reader that fails, ends
// early or has more to give is an error, and the command stays incomplete.
func (e *Encoder) Literal(size int64, r io.Reader) *Encoder {
	if size < 0 {
		e.fail("negative literal size")
	}
	if !e.announce(size) {
		return e
	}
	n, err := io.Copy(e.out, io.LimitReader(r, size))
	if err == nil && n < size {
		err = ErrLiteralSize
	}
	if err == nil {
		err = expectEOF(r)
	}
	e.err = err
	return e
}

func expectEOF(r io.Reader) error {
	var one [1]byte
	n, err := io.ReadFull(r, one[:])
	if n > 0 {
		return ErrLiteralSize
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// announce writes "{n}" and ends the line; it tells if the octets may follow.
func (e *Encoder) announce(n int64) bool {
	if e.err != nil {
		return false
	}
	e.buf = append(e.buf, '{')
	e.buf = strconv.AppendInt(e.buf, n, 10)
	sync := e.Literals == LiteralSync || (e.Literals == LiteralMinus && n > maxLiteralMinus)
	if !sync {
		e.buf = append(e.buf, '+')
	}
	e.buf = append(e.buf, '}')
	e.line()
	if e.err == nil && sync && e.Wait != nil {
		e.err = e.Wait()
	}
	return e.err == nil
}

// Mailbox writes a mailbox name given in UTF-8.
func (e *Encoder) Mailbox(name string) *Encoder {
	if strings.EqualFold(name, "INBOX") {
		return e.Atom("INBOX")
	}
	if e.UTF8 {
		return e.AString(name)
	}
	raw, err := EncodeUTF7(name)
	if err != nil {
		e.fail("%v", err)
		return e
	}
	return e.AString(raw)
}

// ListPattern writes the pattern of a LIST command: a mailbox name in UTF-8 in
// which "*" and "%" are wildcards.
func (e *Encoder) ListPattern(pattern string) *Encoder {
	if !e.UTF8 {
		raw, err := EncodeUTF7(pattern)
		if err != nil {
			e.fail("%v", err)
			return e
		}
		pattern = raw
	}
	return e.String(pattern)
}

// List writes "(item item ...)", calling item for each of n items.
func (e *Encoder) List(n int, item func(i int)) *Encoder {
	e.buf = append(e.buf, '(')
	for i := 0; i < n; i++ {
		if i > 0 {
			e.SP()
		}
		item(i)
	}
	e.buf = append(e.buf, ')')
	return e
}

// Flag writes a flag; what is not one is an error.
func (e *Encoder) Flag(f Flag) *Encoder {
	name := strings.TrimPrefix(string(f), `\`)
	if !validAtom(name) && f != FlagWildcard {
		e.fail("bad flag %q", clip(string(f)))
		return e
	}
	e.buf = append(e.buf, f...)
	return e
}

// Flags writes a list of flags.
func (e *Encoder) Flags(flags []Flag) *Encoder {
	return e.List(len(flags), func(i int) { e.Flag(flags[i]) })
}

// UIDSet writes a set of UIDs; an empty one is an error.
func (e *Encoder) UIDSet(s UIDSet) *Encoder { return e.setText(s.String()) }

// SeqSet writes a set of sequence numbers; an empty one is an error.
func (e *Encoder) SeqSet(s SeqSet) *Encoder { return e.setText(s.String()) }

func (e *Encoder) setText(text string) *Encoder {
	if text == "" {
		e.fail("empty message set")
	}
	e.buf = append(e.buf, text...)
	return e
}

// DateTime writes an INTERNALDATE.
func (e *Encoder) DateTime(t time.Time) *Encoder {
	if y := t.Year(); y < 1 || y > 9999 {
		e.fail("year %d cannot be sent", y)
		return e
	}
	e.quote(FormatDateTime(t))
	return e
}

// Date writes a search date; the time of day and the zone do not count.
func (e *Encoder) Date(t time.Time) *Encoder {
	if y := t.Year(); y < 1 || y > 9999 {
		e.fail("year %d cannot be sent", y)
		return e
	}
	e.buf = append(e.buf, FormatDate(t)...)
	return e
}

// Section writes a fetch section: BODY.PEEK[...] or BINARY.PEEK[...], or, when
// it may set \Seen, BODY[...] or BINARY[...].
func (e *Encoder) Section(s Section, peek bool) *Encoder {
	word := "BODY"
	if s.Binary {
		word = "BINARY"
	}
	if peek {
		word += ".PEEK"
	}
	e.buf = append(e.buf, word...)
	e.buf = append(e.buf, '[')
	e.buf = append(e.buf, s.String()...)
	if len(s.Fields) > 0 {
		e.SP().List(len(s.Fields), func(i int) { e.AString(s.Fields[i]) })
	}
	e.buf = append(e.buf, ']')
	if s.Offset > 0 || s.Length > 0 {
		e.buf = append(e.buf, fmt.Sprintf("<%d.%d>", s.Offset, s.Length)...)
	}
	return e
}

// Raw writes text as it is: search keys a person typed. It must be printable,
// on one line, and may not end in a literal announcement, which would swallow
// the command behind it.
func (e *Encoder) Raw(text string) *Encoder {
	for i := 0; i < len(text); i++ {
		if text[i] < 0x20 || text[i] == 0x7f {
			e.fail("control character in %q", clip(text))
			return e
		}
	}
	if _, _, _, ok := literalTail([]byte(strings.TrimRight(text, " ")), true); ok {
		e.fail("%q ends in a literal", clip(text))
		return e
	}
	e.buf = append(e.buf, text...)
	return e
}
