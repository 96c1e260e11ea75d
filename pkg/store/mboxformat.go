package store

import (
	"bytes"
	"io"
	"time"
)

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

// stuffChunk writes buf[:cut]. It looks at line starts alone: the word's letters are
// in every line of base64.
func stuffChunk(w io.Writer, buf []byte, cut int, start bool) error {
	pos := 0
	for at := 0; ; start = true {
		from := at
		for start && from < len(buf) && buf[from] == '>' {
			from++
		}
		if start && bytes.HasPrefix(buf[from:], fromWord) {
			if _, err := w.Write(buf[pos:from]); err != nil {
				return err
			}
			if _, err := w.Write([]byte{'>'}); err != nil {
				return err
			}
			pos = from
		}
		end := bytes.IndexByte(buf[at:], '\n')
		if end < 0 {
			_, err := w.Write(buf[pos:cut])
			return err
		}
		at += end + 1
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
	f := fromLine{sender: m.From, date: m.Date, flags: m.Flags, wire: crlf || !s.Facts().Reversible()}
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

// QuoteMbox copies r to w as the message of an mboxrd: with ">" in front of every
// line that matches "^>*From ".
func QuoteMbox(w io.Writer, r io.Reader) error { return stuff(w, r) }

// UnquoteMbox returns a reader of what [QuoteMbox] made r of. It reads ahead.
func UnquoteMbox(r io.Reader) io.Reader { return &unquoter{r: r, start: true} }

// unquoter takes one ">" out of every line that matches "^>+From ".
type unquoter struct {
	r     io.Reader
	err   error // of r
	buf   [32 << 10]byte
	lo    int  // what is before was given out
	ready int  // up to here it may be
	hi    int  // end of what was read
	skip  bool // the ">" at ready is to go
	start bool // only ">" stand between the line start and buf[lo]
}

var quotedFrom = append([]byte{'>'}, fromWord...)

// Read implements io.Reader.
func (u *unquoter) Read(p []byte) (int, error) {
	for empty := 0; u.lo == u.ready; {
		switch {
		case u.skip:
			u.lo++
			u.skip = false
		case u.err != nil:
			return 0, u.err
		default:
			u.hi = copy(u.buf[:], u.buf[u.lo:u.hi])
			u.lo = 0
			var n int
			n, u.err = u.r.Read(u.buf[u.hi:])
			u.hi += n
			if empty++; n == 0 && empty > 100 && u.err == nil {
				u.err = io.ErrNoProgress
			}
		}
		u.plan()
	}
	n := copy(p, u.buf[u.lo:u.ready])
	u.start = onlyQuotes(u.buf[u.lo:u.lo+n], u.start)
	u.lo += n
	return n, nil
}

// plan finds out how much may be given out: up to a ">" that is to go, and not what
// may grow to ">From ".
func (u *unquoter) plan() {
	for at := u.lo; ; {
		i := bytes.Index(u.buf[at:u.hi], quotedFrom)
		if i < 0 {
			break
		}
		at += i
		if onlyQuotes(u.buf[u.lo:at], u.start) {
			u.ready, u.skip = at, true
			return
		}
		at++
	}
	if u.ready = u.hi; u.err == nil {
		u.ready = max(u.lo, u.hi-len(fromWord))
	}
}
