package mimetree

import (
	"bytes"
	"io"
	"strings"
)

const (
	// uuWindow is how much is held to find out if a "begin" line begins a file.
	uuWindow = 16 << 10
	// uuBeginMax and uuRowMax are the longest "begin" line and the longest line after it that are taken for such; the format's own limit
	// is 61 characters, 85 with the greatest length that a line can say.
	uuBeginMax = 512
	uuRowMax   = 128
)

var (
	uuBegin     = []byte("begin ")
	uuLineBegin = []byte("\nbegin ")
)

// uuText gives a text piece by piece without the uuencoded files in it. Those it gives to open as they come. What is one: a line "begin",
// a mode of three or four octal digits and a name, which may be missing, and then nothing but lines of uuencode up to a line "end", or up to the end of the
// text. A file longer than uuWindow is told before its end is seen; the first line that cannot be in it ends it.
type uuText struct {
	src   chunker
	open  func(name string, f *uuFile) (taken bool, err error) // a file that is not taken stays text
	rest  []byte                                               // read and not given yet, a part of src's chunk or of held
	held  []byte
	own   bool  // rest is a part of held
	at    int64 // octets given
	inner bool  // rest does not begin at the start of a line
	err   error // of src or open
}

func (t *uuText) next() ([]byte, error) {
	for {
		if len(t.rest) == 0 && !t.more() {
			return nil, t.err
		}
		if n := t.plain(); n > 0 {
			return t.take(n), nil
		}
		name, begin, is := t.judge()
		if is {
			f := &uuFile{t: t, begin: begin}
			taken, err := t.open(name, f)
			if err != nil {
				t.err, t.rest = err, nil
				return nil, err
			}
			if taken {
				continue
			}
		}
		return t.take(begin), nil
	}
}

// more reads one more chunk behind what is left.
func (t *uuText) more() bool {
	if t.err != nil {
		return false
	}
	if len(t.rest) > 0 && !t.own {
		t.held = append(t.held[:0], t.rest...)
		t.rest, t.own = t.held, true
	}
	chunk, err := t.src.next()
	switch {
	case err != nil:
		t.err = err
		return false
	case len(t.rest) == 0:
		t.rest, t.own = chunk, false
	case cap(t.rest)-len(t.rest) >= len(chunk):
		t.rest = append(t.rest, chunk...)
	default:
		t.held = append(append(t.held[:0], t.rest...), chunk...)
		t.rest = t.held
	}
	return true
}

// take gives the next n octets.
func (t *uuText) take(n int) []byte {
	piece := t.rest[:n]
	t.rest = t.rest[n:]
	t.at += int64(n)
	t.inner = piece[n-1] != '\n'
	return piece
}

// plain counts the octets before the next line that begins like a file, or that may when there is more.
func (t *uuText) plain() int {
	if !t.inner && (bytes.HasPrefix(t.rest, uuBegin) || bytes.HasPrefix(uuBegin, t.rest)) {
		return 0
	}
	if i := bytes.Index(t.rest, uuLineBegin); i >= 0 {
		return i + 1
	}
	tail := t.rest[max(0, len(t.rest)-len(uuBegin)):]
	if i := bytes.LastIndexByte(tail, '\n'); i >= 0 && bytes.HasPrefix(uuBegin, tail[i+1:]) {
		return len(t.rest) - len(tail[i+1:])
	}
	return len(t.rest)
}

// judge tells if rest begins a file. begin is the length of the first line, or of all of rest when it has no end.
func (t *uuText) judge() (name string, begin int, is bool) {
	line, ok := t.line(0, uuBeginMax)
	if begin = len(line); !ok {
		return "", begin, false
	}
	if name, ok = uuName(line); !ok {
		return "", begin, false
	}
	var rows uuRows
	for at := begin; at < uuWindow; {
		line, ok := t.line(at, uuRowMax)
		if ok && len(line) == 0 {
			break
		}
		if !ok || !rows.take(line) {
			return "", begin, false
		}
		if rows.over {
			return name, begin, true
		}
		at += len(line)
	}
	return name, begin, rows.exact && (t.err == nil || t.err == io.EOF)
}

// line gives the line at an index of rest with its line end, read when it is not there; the last line of the text has none, and behind it
// is an empty one. ok is false for a line longer than limit.
func (t *uuText) line(at, limit int) (line []byte, ok bool) {
	for {
		line = t.rest[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			return line[:i+1], i < limit
		}
		if len(line) > limit {
			return line, false
		}
		if !t.more() {
			return line, true
		}
	}
}

// uuName reads a "begin" line.
func uuName(line []byte) (name string, ok bool) {
	line, ok = bytes.CutPrefix(line, uuBegin)
	digits := len(line) - len(bytes.TrimLeft(line, "01234567"))
	if !ok || digits < 3 || digits > 4 || len(line) == digits || line[digits] != ' ' {
		return "", false
	}
	return string(bytes.TrimSpace(line[digits:])), true
}

// uuRows follows the lines of a file after its "begin" line.
type uuRows struct {
	some  bool // a line with data came
	exact bool // one of those is as long as it says
	zero  bool // the line came that says 0 octets
	over  bool // the "end" line came
}

// take tells if line may come next. Blanks at the end may have been lost in transit, and some programs add a character as a checksum.
func (u *uuRows) take(line []byte) bool {
	for len(line) > 0 && strings.IndexByte(" \t\r\n", line[len(line)-1]) >= 0 {
		line = line[:len(line)-1]
	}
	switch {
	case string(line) == "end":
		u.over = u.some || u.zero
		return u.over
	case len(line) == 0, string(line) == "`":
		u.zero = true
		return true
	case u.zero:
		return false
	}
	for _, c := range line {
		if c < ' ' || c > '`' {
			return false
		}
	}
	want := 1 + (int(line[0]-' ')+2)/3*4
	if line[0] == ' ' || line[0] == '`' || len(line) > want+1 {
		return false
	}
	u.some = true
	u.exact = u.exact || len(line) >= want
	return true
}

// uuFile gives the octets of a file in a text as they stand, "begin" and "end" line included.
type uuFile struct {
	t     *uuText
	begin int // octets of the "begin" line, 0 once it was given
	rows  uuRows
	over  bool
}

func (f *uuFile) next() ([]byte, error) {
	if n := f.begin; n > 0 {
		f.begin = 0
		return f.t.take(n), nil
	}
	n := 0
	for !f.over {
		i := bytes.IndexByte(f.t.rest[n:], '\n')
		if i < 0 && n > 0 {
			break
		}
		line := f.t.rest[n : n+i+1]
		if i < 0 {
			line, _ = f.t.line(0, uuRowMax)
		}
		if len(line) == 0 || len(line) > uuRowMax || !f.rows.take(line) {
			f.over = true
			break
		}
		n, f.over = n+len(line), f.rows.over
	}
	if n == 0 {
		if f.t.err != nil && f.t.err != io.EOF {
			return nil, f.t.err
		}
		return nil, io.EOF
	}
	return f.t.take(n), nil
}
