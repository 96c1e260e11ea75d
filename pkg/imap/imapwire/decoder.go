package imapwire

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Source is where a Decoder reads: one connection. ReadLine returns a line
// without its line end, valid until the next read, and fails for lines longer
// than max. Literal returns a reader of exactly the next n octets, which are
// read to the end before the next ReadLine.
type Source interface {
	ReadLine(max int) ([]byte, error)
	Literal(n int64) io.Reader
}

// Limits caps what a peer may send. A zero field means the default.
type Limits struct {
	Line    int   // octets of one line, default 1 MiB
	Literal int64 // octets of a literal held in memory, default 1 MiB
	Total   int64 // octets of all such literals and lines of one response, default 16 MiB
	Body    int64 // octets of a literal that is streamed, default 2 GiB
	Depth   int   // nested parentheses, default 100
	Count   int   // items of one list or of one structure, default 200,000
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Line, 1<<20)
	setDefault(&l.Literal, 1<<20)
	setDefault(&l.Total, 16<<20)
	setDefault(&l.Body, 2<<30)
	setDefault(&l.Depth, 100)
	setDefault(&l.Count, 200_000)
	return l
}

func setDefault[T int | int64](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// SyntaxError says where a peer left the grammar, or which cap it broke. The
// stream cannot be trusted after it.
type SyntaxError struct {
	Msg      string // what was wrong
	Near     string // the octets at the place, shortened
	TooLarge bool   // it was a literal over Limits.Body
}

// Error tells what was wrong and quotes the octets at the place.
func (e *SyntaxError) Error() string {
	if e.Near == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s near %q", e.Msg, e.Near)
}

// Decoder reads IMAP responses or commands element by element. Create one with
// [NewDecoder] for each connection and call [Decoder.Next] for each response.
type Decoder struct {
	// UTF8 makes mailbox names plain UTF-8 (after ENABLE UTF8=ACCEPT or
	// IMAP4rev2) instead of modified UTF-7.
	UTF8 bool
	// NonSync allows {n+} literals (RFC 7888): only clients may send them.
	NonSync bool
	// OnLiteral, when set, runs before the octets of a literal are read; a
	// server sends its continuation request here. sync is false for {n+}.
	OnLiteral func(n int64, sync bool) error

	src    Source
	lim    Limits
	buf    []byte // the current line
	pos    int
	err    error
	lines  int // lines read so far
	depth  int
	total  int64
	body   *bodyReader // a literal handed out and not yet read to its end
	quirks Quirks
	zones  map[int]*time.Location
	flags  map[string]Flag // keywords met, to spare an allocation for each
	stack  []Value         // items of the lists being read
	slab   []Value         // items of the lists of one value
	cut    lineText        // what the texts of values are cut from
	own    int             // the line limit that the decoder was made with
}

// NewDecoder returns a decoder reading from src; nil limits are the defaults.
func NewDecoder(src Source, limits *Limits) *Decoder {
	d := &Decoder{src: src}
	if limits != nil {
		d.lim = *limits
	}
	d.lim = d.lim.withDefaults()
	d.own = d.lim.Line
	return d
}

// NewTextDecoder returns a decoder of one line that is already in memory, such
// as the arguments of a response code. It knows no literals. The text must not
// change while the decoder is used.
func NewTextDecoder(text []byte) *Decoder {
	d := NewDecoder(nil, nil)
	d.buf = text
	return d
}

// Err returns the first error, or nil.
func (d *Decoder) Err() error { return d.err }

// Quirks returns the defects that were met and accepted since the start.
func (d *Decoder) Quirks() Quirks { return d.quirks }

func (d *Decoder) quirk(q Quirk) { d.quirks |= 1 << q }

// SetLineLimit changes the cap on the length of one line; 0 sets it back.
func (d *Decoder) SetLineLimit(n int) {
	if n <= 0 {
		n = d.own
	}
	d.lim.Line = n
}

// Next reads the first line of the next response. What is left of the one
// before is not skipped: call [Decoder.SkipRest] or [Decoder.End] first.
func (d *Decoder) Next() error {
	if d.err != nil {
		return d.err
	}
	d.depth, d.total = 0, 0
	d.readLine()
	return d.err
}

func (d *Decoder) readLine() {
	if !d.closeBody() {
		return
	}
	if d.src == nil {
		d.Fail("literal not allowed here")
		return
	}
	line, err := d.src.ReadLine(d.lim.Line)
	if err != nil {
		d.setErr(err)
		return
	}
	d.buf, d.pos = line, 0
	d.lines++
	d.charge(int64(len(line)))
}

// charge counts octets against the cap for one response.
func (d *Decoder) charge(n int64) {
	first := d.total == 0
	d.total += n
	if !first && d.total > d.lim.Total {
		d.Fail("response is too long")
	}
}

func (d *Decoder) setErr(err error) {
	if d.err == nil {
		d.err = err
	}
	d.buf, d.pos = nil, 0
}

// Fail records a syntax error at the present place; the first one stays.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err != nil {
		return
	}
	near := d.buf[min(d.pos, len(d.buf)):]
	if len(near) > 40 {
		near = near[:40]
	}
	d.setErr(&SyntaxError{Msg: fmt.Sprintf(format, args...), Near: string(near)})
}

// peek returns the octet at hand, 0 at the end of the line and after an error.
func (d *Decoder) peek() byte {
	if d.pos < len(d.buf) {
		return d.buf[d.pos]
	}
	return 0
}

// AtEnd tells if the line has been read to its end.
func (d *Decoder) AtEnd() bool { return d.pos >= len(d.buf) }

// Is tells if the octet at hand is c, without consuming it.
func (d *Decoder) Is(c byte) bool { return d.pos < len(d.buf) && d.buf[d.pos] == c }

// Accept consumes c if it is at hand and tells if it was.
func (d *Decoder) Accept(c byte) bool {
	if !d.Is(c) {
		return false
	}
	d.pos++
	return true
}

// Expect consumes c; anything else is an error.
func (d *Decoder) Expect(c byte) bool {
	if d.err != nil {
		return false
	}
	if !d.Accept(c) {
		d.Fail("expected %q", string(c))
		return false
	}
	return true
}

// SP consumes the space between two elements.
func (d *Decoder) SP() bool {
	if !d.Expect(' ') {
		return false
	}
	for d.Is(' ') {
		d.pos++
		d.quirk(ListSpace)
	}
	return true
}

// End consumes the end of the response.
func (d *Decoder) End() bool {
	if d.err != nil {
		return false
	}
	if d.skipSpaces() {
		d.quirk(TrailingSpace)
	}
	if !d.AtEnd() {
		d.Fail("expected the end of the line")
		return false
	}
	return true
}

func (d *Decoder) skipSpaces() bool {
	start := d.pos
	for d.Is(' ') {
		d.pos++
	}
	return d.pos > start
}

// Rest consumes the line to its end and returns it, valid until the next read.
func (d *Decoder) Rest() []byte {
	rest := d.buf[min(d.pos, len(d.buf)):]
	d.pos = len(d.buf)
	return rest
}

// SkipRest discards the rest of the response with all its literals.
func (d *Decoder) SkipRest() {
	for d.err == nil {
		n, sync, at, ok := literalTail(d.buf[d.pos:], d.NonSync)
		if !ok {
			d.pos = len(d.buf)
			return
		}
		d.pos += at
		d.discardLiteral(n, sync)
	}
}

func (d *Decoder) discardLiteral(n int64, sync bool) {
	if r := d.openLiteral(n, sync, d.lim.Body); r != nil {
		d.closeBody()
		d.readLine()
	}
}

// literalTail finds the literal announcement that ends a line: "{n}", with
// nonSync also "{n+}". at is where its brace stands.
func literalTail(line []byte, nonSync bool) (n int64, sync bool, at int, ok bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return 0, false, 0, false
	}
	at = bytes.LastIndexByte(line, '{')
	if at < 0 {
		return 0, false, 0, false
	}
	digits, sync := line[at+1:len(line)-1], true
	if nonSync && len(digits) > 0 && digits[len(digits)-1] == '+' {
		digits, sync = digits[:len(digits)-1], false
	}
	n, ok = parseInt63(digits)
	return n, sync, at, ok
}

func parseInt63(digits []byte) (int64, bool) {
	if len(digits) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' || n > (1<<63-1-int64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// literal consumes a literal announcement at hand (RFC 9051 §4.3), which must
// end the line, and returns a reader of its octets.
func (d *Decoder) literal(limit int64) (*bodyReader, int64) {
	if d.Is('~') { // literal8, RFC 9051 §4.3.1
		d.pos++
	}
	n, sync, at, ok := literalTail(d.buf[d.pos:], d.NonSync)
	if !ok || at != 0 {
		d.Fail("bad literal")
		return nil, 0
	}
	return d.openLiteral(n, sync, limit), n
}

func (d *Decoder) openLiteral(n int64, sync bool, limit int64) *bodyReader {
	if n > limit {
		d.Fail("literal of %d octets is over the limit of %d", n, limit)
		if e, ok := d.err.(*SyntaxError); ok {
			e.TooLarge = limit == d.lim.Body
		}
		return nil
	}
	if d.src == nil {
		d.Fail("literal not allowed here")
		return nil
	}
	if d.OnLiteral != nil {
		if err := d.OnLiteral(n, sync); err != nil {
			d.setErr(err)
			return nil
		}
	}
	d.buf, d.pos = nil, 0
	d.body = &bodyReader{d: d, r: d.src.Literal(n), left: n}
	return d.body
}

// bodyReader hands out the octets of a literal; a failure is the decoder's too.
type bodyReader struct {
	d    *Decoder
	r    io.Reader
	left int64
}

// Read reads from the literal; io.EOF comes only after its last octet.
func (b *bodyReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.d.err != nil {
		return 0, b.d.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if err == nil || (err == io.EOF && b.left == 0) {
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.d.setErr(err)
	return n, err
}

// WriteTo passes the octets to w, without copying where the source can do that.
func (b *bodyReader) WriteTo(w io.Writer) (int64, error) {
	if b.d.err != nil {
		return 0, b.d.err
	}
	out := &bodyWriter{w: w, b: b}
	for b.left > 0 {
		n, err := io.Copy(out, b.r)
		if out.err != nil {
			return out.n, out.err
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			b.d.setErr(err)
			return out.n, err
		}
	}
	return out.n, nil
}

// bodyWriter counts what leaves a literal and tells a failure of the caller's
// writer from one of the source.
type bodyWriter struct {
	w   io.Writer
	b   *bodyReader
	n   int64
	err error
}

func (o *bodyWriter) Write(p []byte) (int, error) {
	o.b.left -= int64(len(p))
	n, err := o.w.Write(p)
	o.n += int64(n)
	o.err = err
	return n, err
}

// closeBody reads an open literal to its end.
func (d *Decoder) closeBody() bool {
	if d.body == nil {
		return d.err == nil
	}
	body := d.body
	d.body = nil
	if body.left > 0 && d.err == nil {
		io.Copy(io.Discard, body) // a failure is kept in d.err
	}
	return d.err == nil
}

// readLiteral reads a literal into memory, growing with what arrives and never
// by what was announced, and goes on with the line behind it.
func (d *Decoder) readLiteral() []byte {
	r, n := d.literal(d.lim.Literal)
	if r == nil {
		return nil
	}
	var b bytes.Buffer
	b.Grow(int(min(n, 4096)))
	b.ReadFrom(r) // a failure is kept in d.err
	if d.err != nil {
		return nil
	}
	d.charge(n)
	d.readLine()
	return b.Bytes()
}

// Number reads an unsigned 32-bit number.
func (d *Decoder) Number() uint32 {
	start := d.pos
	n := d.Number64()
	if n > 1<<32-1 {
		d.pos = start
		d.Fail("number is over 4294967295")
		return 0
	}
	return uint32(n)
}

// NZNumber reads a 32-bit number that is not zero, such as a UID.
func (d *Decoder) NZNumber() uint32 {
	start := d.pos
	n := d.Number()
	if n == 0 && d.err == nil {
		d.pos = start
		d.Fail("number is zero")
	}
	return n
}

// Number64 reads an unsigned 63-bit number (RFC 9051 §9, number64).
func (d *Decoder) Number64() int64 {
	if d.err != nil {
		return 0
	}
	end := d.pos
	for end < len(d.buf) && d.buf[end] >= '0' && d.buf[end] <= '9' {
		end++
	}
	n, ok := parseInt63(d.buf[d.pos:end])
	if !ok {
		d.Fail("bad number")
		return 0
	}
	d.pos = end
	return n
}

// NumberU64 reads an unsigned 64-bit number: Gmail's ids use all 64 bits.
func (d *Decoder) NumberU64() uint64 {
	if d.err != nil {
		return 0
	}
	end := d.pos
	for end < len(d.buf) && end-d.pos < 21 && d.buf[end] >= '0' && d.buf[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(d.buf[d.pos:end]), 10, 64)
	if err != nil {
		d.Fail("bad number")
		return 0
	}
	d.pos = end
	return n
}

// SignedNumber reads a number where some servers send a negative one; those
// are read as zero and noted as q.
func (d *Decoder) SignedNumber(q Quirk) int64 {
	if d.Accept('-') {
		d.Number64()
		d.quirk(q)
		return 0
	}
	return d.Number64()
}

// ModSeq reads a mod-sequence value (RFC 7162 §7). Values that servers must
// not send, 0 and below, are read as 0, which means "none".
func (d *Decoder) ModSeq() uint64 {
	n := d.SignedNumber(BadModSeq)
	if n == 0 && d.err == nil {
		d.quirk(BadModSeq)
	}
	return uint64(n)
}

// List reads "(item item ...)", calling item for each one.
func (d *Decoder) List(item func()) bool {
	return d.OpenList() && d.items(item)
}

// items reads the rest of a list behind its opening parenthesis.
func (d *Decoder) items(item func()) bool {
	for n := 0; d.More(n); n++ {
		before, line := d.pos, d.lines
		item()
		if d.err == nil && d.pos == before && d.lines == line {
			d.Fail("bad list item")
		}
	}
	return d.err == nil
}

// OpenList consumes the parenthesis that opens a list. Together with
// [Decoder.More] it reads a list where a function per item does not fit:
//
//	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ { ... }
func (d *Decoder) OpenList() bool {
	if !d.Expect('(') {
		return false
	}
	if d.depth++; d.depth > d.lim.Depth {
		d.Fail("more than %d nested parentheses", d.lim.Depth)
	}
	return d.err == nil
}

// More tells if a list has an item behind the n read so far, and consumes the
// space before it, or the parenthesis that closes the list.
func (d *Decoder) More(n int) bool {
	if d.err != nil {
		return false
	}
	if d.listSpaces(n) {
		d.depth--
		return false
	}
	if n >= d.lim.Count {
		d.Fail("list of more than %d items", d.lim.Count)
	}
	return d.err == nil
}

// listSpaces consumes the space before item n of a list, or its end.
func (d *Decoder) listSpaces(n int) (end bool) {
	start := d.pos
	d.skipSpaces()
	spaces := d.pos - start
	if d.Accept(')') {
		if spaces > 0 {
			d.quirk(ListSpace)
		}
		return true
	}
	switch {
	case n == 0 && spaces > 0, n > 0 && spaces > 1:
		d.quirk(ListSpace)
	case n > 0 && spaces == 0 && !d.Is('('):
		d.Fail("expected a space or a closing parenthesis")
	}
	return false
}

// Skip discards one value of any form: an atom, a number, a string, a literal
// or a list with everything in it. It counts depth and does not recurse.
func (d *Decoder) Skip() {
	depth := 0
	for d.err == nil {
		switch {
		case d.AtEnd():
			d.Fail("unexpected end of the line")
		case d.Accept('('):
			if depth++; depth > d.lim.Depth {
				d.Fail("more than %d nested parentheses", d.lim.Depth)
			}
		case depth > 0 && d.Accept(')'):
			depth--
		case depth > 0 && d.Accept(' '):
		default:
			d.skipScalar()
		}
		if depth == 0 {
			return
		}
	}
}

func (d *Decoder) skipScalar() {
	switch {
	case d.Is('"'):
		d.quoted()
	case d.isLiteral():
		if d.Is('~') {
			d.pos++
		}
		n, sync, at, ok := literalTail(d.buf[d.pos:], d.NonSync)
		if !ok || at != 0 {
			d.Fail("bad literal")
			return
		}
		d.discardLiteral(n, sync)
	default:
		start := d.pos
		for d.pos < len(d.buf) && !bytes.ContainsRune([]byte(` ()"{`), rune(d.buf[d.pos])) {
			d.pos++
		}
		if d.pos == start {
			d.Fail("expected a value")
		}
	}
}

func (d *Decoder) isLiteral() bool {
	return d.Is('{') || (d.Is('~') && d.pos+1 < len(d.buf) && d.buf[d.pos+1] == '{')
}

// MaybeZero reads a number that must not be zero and is, with some servers; 0
// means that the server did not tell.
func (d *Decoder) MaybeZero() uint32 {
	n := d.Number()
	if n == 0 && d.err == nil {
		d.quirk(ZeroNumber)
	}
	return n
}

// ExtraParen consumes a parenthesis that should not be there.
func (d *Decoder) ExtraParen() bool {
	if !d.Accept('(') {
		return false
	}
	d.quirk(ExtraParens)
	return true
}

// EmptyItem notes an empty string that stands before the value proper and
// consumes the space behind it; it is false when no value follows.
func (d *Decoder) EmptyItem() bool {
	if d.err != nil || !d.Is(' ') || d.pos+1 >= len(d.buf) || d.buf[d.pos+1] != '(' {
		return false
	}
	d.pos++
	d.quirk(EmptyItem)
	return true
}

// Odd notes, when odd is true, a structure that did not fit the grammar.
func (d *Decoder) Odd(odd bool) {
	if odd && d.err == nil {
		d.quirk(BadStructure)
	}
}
