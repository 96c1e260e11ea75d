package mimetree

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
)

// textFacts is what decides how a text is encoded.
type textFacts struct {
	size     int64
	lines    int64 // line ends, LF or CRLF
	crlf     int64 // those of them that are CRLF
	lastCR   bool  // the last octet is CR
	open     bool  // the last line has no line end
	longest  int   // octets of the longest line
	eightBit int64 // octets above 127
	control  bool  // control characters other than tab, form feed and line ends, or a lone CR
	nul      bool
	from     bool     // a line that starts with "From "
	dashes   bool     // a line that starts like one of our boundaries
	invalid  bool     // not UTF-8
	label    Encoding // the most that a part of it claims to be, when it is a message
	digest   []byte
}

// scanText reads a text to its end.
func scanText(r io.Reader) (textFacts, error) {
	s := newTextScanner()
	buf := make([]byte, chunkSize)
	for {
		n, err := r.Read(buf)
		s.write(buf[:n])
		if err == io.EOF {
			return s.facts(), nil
		}
		if err != nil {
			return s.f, err
		}
	}
}

type textScanner struct {
	f    textFacts
	hash hash.Hash
	head []byte // first octets of the current line
	line int    // octets of the current line
	cr   bool   // the last octet was CR
	lf   bool   // the last octet was LF
	tail []byte // an unfinished UTF-8 sequence
}

const lineHead = 5

func newTextScanner() *textScanner { return &textScanner{hash: sha256.New()} }

// facts ends the text.
func (s *textScanner) facts() textFacts {
	s.f.open = s.f.size > 0 && !s.lf
	s.f.lastCR = s.cr
	s.endLine()
	s.f.invalid = s.f.invalid || len(s.tail) > 0
	s.f.digest = s.hash.Sum(nil)
	return s.f
}

// Write implements io.Writer. It never fails.
func (s *textScanner) Write(p []byte) (int, error) {
	s.write(p)
	return len(p), nil
}

func (s *textScanner) write(p []byte) {
	s.hash.Write(p)
	s.f.size += int64(len(p))
	s.utf8(p)
	for _, c := range p {
		if s.cr && c != '\n' {
			s.f.control = true
		}
		if s.lf = c == '\n'; s.lf {
			s.f.lines++
			if s.cr {
				s.f.crlf++
			}
			s.cr = false
			s.endLine()
			continue
		}
		if s.cr = c == '\r'; !s.cr {
			s.line++
		}
		if len(s.head) < lineHead {
			s.head = append(s.head, c)
		}
		switch {
		case c >= 0x80:
			s.f.eightBit++
		case c == 0:
			s.f.nul, s.f.control = true, true
		case c < ' ' && c != '\t' && c != '\r' && c != '\f', c == 0x7f:
			s.f.control = true
		}
	}
}

func (s *textScanner) endLine() {
	s.f.longest = max(s.f.longest, s.line)
	s.f.from = s.f.from || bytes.Equal(s.head, []byte("From "))
	s.f.dashes = s.f.dashes || bytes.HasPrefix(s.head, []byte("--=_"))
	s.f.control = s.f.control || s.cr // only at the end of the text
	s.head, s.line = s.head[:0], 0
}

// utf8 checks p, which may start and end inside a character.
func (s *textScanner) utf8(p []byte) {
	if s.f.invalid {
		return
	}
	for len(s.tail) > 0 && len(p) > 0 {
		s.tail = append(s.tail, p[0])
		p = p[1:]
		if utf8.FullRune(s.tail) {
			s.f.invalid = !utf8.Valid(s.tail)
			s.tail = s.tail[:0]
		}
	}
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if rest := p[len(p)-n:]; utf8.RuneStart(rest[0]) {
			if !utf8.FullRune(rest) {
				s.tail = append(s.tail, rest...)
				p = p[:len(p)-n]
			}
			break
		}
	}
	if !utf8.Valid(p) {
		s.f.invalid = true
	}
}

// asItIs tells the least class of data the text is, if it is lines at all.
func (f textFacts) asItIs() (class Encoding, ok bool) {
	if f.eightBit > 0 {
		class = EightBit
	}
	return max(class, f.label), !f.control && f.longest <= message.MaxLineLength
}

// encoding chooses how the text travels.
func (f textFacts) encoding(target Encoding) string {
	class, ok := f.asItIs()
	switch {
	case ok && class <= target && !f.from && !f.dashes:
		return class.String()
	case target == Binary:
		return "binary"
	case f.eightBit*3 > f.size || f.nul:
		return "base64"
	}
	return "quoted-printable"
}
