package store

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// ReadMbox reads the messages of an mbox, of which the first line begins with
// "From ". A later line that does begins a message only if it holds a date, as
// such lines do; so an mbox without stuffing comes apart where it should in most
// cases. Messages are valid as with ReadStream.
func ReadMbox(r io.Reader) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) { readMbox(r, yield) }
}

func readMbox(r io.Reader, yield func(*Message, error) bool) {
	newMboxReader(r).each(yield)
}

// each yields the messages until an error or the end.
func (m *mboxReader) each(yield func(*Message, error) bool) {
	for {
		msg, err := m.next()
		if err == io.EOF {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		more := yield(msg, nil)
		if err := msg.Close(); err != nil && more {
			yield(nil, err)
			return
		}
		if !more {
			return
		}
	}
}

// mboxKind is how the lines of messages that begin with "From " were made harmless.
type mboxKind int

const (
	mboxRD  mboxKind = iota // a ">" more in front of "^>*From "
	mboxO                   // a ">" in front of "^From ", which cannot be undone for sure
	mboxCL2                 // not at all: Content-Length says where a message ends
)

// mboxReader cuts an mbox into messages.
type mboxReader struct {
	r       *bufio.Reader
	count   *countingReader // below r
	kind    mboxKind
	at      io.ReaderAt // for mboxCL2: the whole file
	size    int64       // of at
	started bool
	from    fromLine // of the next message
	start   int64    // where that line begins
	done    bool
}

func newMboxReader(r io.Reader) *mboxReader {
	count := &countingReader{r: r}
	return &mboxReader{r: bufio.NewReaderSize(count, 64<<10), count: count}
}

// countingReader counts what was read.
type countingReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// offset is where the next octet is read.
func (m *mboxReader) offset() int64 { return m.count.n - int64(m.r.Buffered()) }

// next returns the next message, or io.EOF.
func (m *mboxReader) next() (*Message, error) {
	if !m.started {
		m.started = true
		if err := m.first(); err != nil {
			return nil, err
		}
	}
	if m.done {
		return nil, io.EOF
	}
	from, start := m.from, m.start
	w := newSpoolWriter()
	err := m.copyLength(w)
	if errors.Is(err, errNoLength) {
		err = m.copyMessage(w)
	}
	if err != nil {
		w.discard()
		return nil, err
	}
	if from.noEOL {
		if err := w.dropLF(); err != nil {
			w.discard()
			return nil, err
		}
	}
	sp, err := w.spool(from.wire)
	if err != nil {
		return nil, err
	}
	return &Message{Spool: sp, Meta: Meta{Date: from.date, From: from.sender, Flags: from.flags}, offset: start}, nil
}

// first reads the first "From " line, of which the looks do not matter. Blank
// lines may stand in front of it.
func (m *mboxReader) first() error {
	for {
		m.start = m.offset()
		line, err := m.r.ReadSlice('\n')
		if len(line) == 0 || err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		if !bytes.HasPrefix(line, fromWord) || errors.Is(err, bufio.ErrBufferFull) {
			return &Error{Path: "mbox", Msg: `does not begin with "From "`}
		}
		m.from, _ = parseFromLine(line)
		return nil
	}
}

// copyMessage copies lines to w up to the next "From " line, unstuffed and without
// the blank line before that.
func (m *mboxReader) copyMessage(w io.Writer) error {
	u := unstuffer{w: w, kind: m.kind}
	blank := []byte(nil) // a blank line that may be the separator
	start := true
	for {
		if start && len(blank) == 0 {
			if err := m.copyPlain(w); err != nil {
				return err
			}
		}
		piece, err := m.r.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(piece) == 0 { // end of input
			m.done = true
			return u.close()
		}
		if start && piece[0] == 'F' {
			if from, ok := parseFromLine(bytes.TrimRight(piece, "\r\n")); ok {
				m.from, m.start = from, m.offset()-int64(len(piece))
				return u.close()
			}
		}
		if len(blank) > 0 {
			if _, err := w.Write(blank); err != nil {
				return err
			}
			blank = nil
		}
		if start && isBlank(piece) {
			blank = blankLine(piece)
			continue
		}
		if err := u.piece(piece, start, m.r); err != nil {
			return err
		}
		start = piece[len(piece)-1] == '\n'
	}
}

// errNoLength says that no Content-Length can be relied on.
var errNoLength = errors.New("no length")

// copyLength copies a message that ends where its Content-Length says, if the next
// one, or the end of the file, is there.
func (m *mboxReader) copyLength(w io.Writer) error {
	if m.kind != mboxCL2 || m.at == nil {
		return errNoLength
	}
	start := m.offset()
	h, err := message.ReadHeader(bufio.NewReader(bytes.NewReader(m.peekHeader())))
	if err != nil {
		return errNoLength
	}
	text, _ := h.Get("Content-Length")
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	head := int64(len(h.Bytes()))
	if err != nil || n < 0 || n > m.size-start-head || !m.boundary(start+head+n) {
		return errNoLength
	}
	if _, err := io.CopyN(w, m.r, head+n); err != nil {
		return err
	}
	err = m.first()
	if err == io.EOF {
		m.done, err = true, nil
	}
	return err
}

// peekHeader returns the header that is next, with the blank line behind it. It is
// empty when there is none before the next "From " line, or it is long: no more is
// looked at than what the message can be.
func (m *mboxReader) peekHeader() []byte {
	for _, n := range []int{m.r.Buffered(), m.r.Size()} {
		p, _ := m.r.Peek(n) // fewer at the end of the file
		for at := 0; at < len(p); {
			i := bytes.IndexByte(p[at:], '\n')
			line := p[at : at+i+1]
			switch {
			case i < 0:
				at = len(p)
				continue
			case isBlank(line):
				return p[:at+len(line)]
			case bytes.HasPrefix(line, fromWord):
				return nil
			}
			at += len(line)
		}
	}
	return nil
}

// boundary reports whether a message can end at an offset: there is the end of the
// file or the next "From " line, after blank lines or none.
func (m *mboxReader) boundary(at int64) bool {
	var buf [16]byte
	n, _ := m.at.ReadAt(buf[:min(int64(len(buf)), m.size-at)], at) // what it gives is looked at
	rest := bytes.TrimLeft(buf[:n], "\r\n")
	return bytes.HasPrefix(rest, fromWord) || len(rest) == 0 && at+int64(n) == m.size
}

// copyPlain copies the lines in the buffer up to the first that needs a look, all
// in one.
func (m *mboxReader) copyPlain(w io.Writer) error {
	p, _ := m.r.Peek(m.r.Buffered()) // cannot fail for what is there
	n := 0
	for n < len(p) {
		if c := p[n]; c == 'F' || c == '>' || c == '\n' || c == '\r' {
			break
		}
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			break
		}
		n += i + 1
	}
	if n == 0 {
		return nil
	}
	if _, err := w.Write(p[:n]); err != nil {
		return err
	}
	_, err := m.r.Discard(n)
	return err
}

func isBlank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

func blankLine(line []byte) []byte {
	if len(line) == 1 {
		return []byte{'\n'}
	}
	return []byte{'\r', '\n'}
}

// unstuffer takes one ">" out of every line that matches "^>+From ", or in an mboxo
// "^>From ", or in an mboxcl2 none. Lines come
// in pieces when they are long; one ">" waits until it is known what follows.
type unstuffer struct {
	w    io.Writer
	kind mboxKind
	run  bool // nothing but ">" since the line start
	held bool // one ">" was kept back
}

// piece takes a line or a part of it, r holds what follows. piece is not valid
// any more when r is looked at, hence the order here.
func (u *unstuffer) piece(piece []byte, start bool, r *bufio.Reader) error {
	if start {
		u.run = u.kind != mboxCL2
	}
	if !u.run {
		_, err := u.w.Write(piece)
		return err
	}
	quotes := len(piece) - len(bytes.TrimLeft(piece, ">"))
	if quotes == len(piece) { // the run goes on behind this piece
		if u.held {
			if _, err := u.w.Write(piece[:1]); err != nil {
				return err
			}
		}
		u.held = true
		_, err := u.w.Write(piece[1:])
		return err
	}
	u.run = false
	rest := piece[quotes:]
	stuffed := bytes.HasPrefix(rest, fromWord)
	if !stuffed && len(rest) < len(fromWord) && bytes.HasPrefix(fromWord, rest) {
		// "From " is cut by the end of the piece.
		saved := append([]byte(nil), piece...)
		next, _ := r.Peek(len(fromWord) - len(rest))
		stuffed = string(saved[quotes:])+string(next) == string(fromWord)
		piece = saved
	}
	if u.kind == mboxO && (u.held || quotes > 1) {
		stuffed = false
	}
	if stuffed && !u.held && quotes > 0 {
		piece = piece[1:]
	} else if u.held && !stuffed {
		if _, err := u.w.Write([]byte{'>'}); err != nil {
			return err
		}
	}
	u.held = false
	_, err := u.w.Write(piece)
	return err
}

// close writes what was kept back at the end of input.
func (u *unstuffer) close() error {
	if !u.held {
		return nil
	}
	u.held = false
	_, err := u.w.Write([]byte{'>'})
	return err
}
