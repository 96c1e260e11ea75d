package mimetree

import (
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Finding is something that is wrong with a message, or that two readers could take in two ways.
type Finding struct {
	Part string // its ID, "" for the message as a whole
	Defect
}

// CheckOptions tells how a message is checked. The zero value is fine.
type CheckOptions struct {
	Limits Limits // of the walk
}

// Check reads a message and tells every defect that the walk and the decoders find, and those that hinder no reading: in line ends and
// octets that other programs take differently, in header fields, encoded words and names. Those of a part come when it is over, so
// after those of the parts inside; those of the whole message come last. A header without any of From, Date, Message-ID, Sender and
// Received is a draft or a mere MIME entity, and need not have From and Date.
//
// It fails with the errors of [Walk] and of each. nil options mean the defaults.
func Check(r io.Reader, o *CheckOptions, each func(Finding) error) error {
	if o == nil {
		o = new(CheckOptions)
	}
	c := &checker{each: each, ids: make(map[contentKey]bool)}
	walkOptions := &WalkOptions{Limits: o.Limits, OpenEncoded: true, OpenUuencoded: true, Leave: c.leave}
	if err := walk(r, walkOptions, c.octets.write, c.visit); err != nil {
		return err
	}
	for _, d := range c.octets.findings() {
		if err := each(Finding{Defect: d}); err != nil {
			return err
		}
	}
	return nil
}

type checker struct {
	each   func(Finding) error
	octets octetScan
	ids    map[contentKey]bool
}

func (c *checker) visit(p *Part, body *Body) error {
	checkHeader(p)
	checkNames(p)
	if key := contentKeyOf(p); key.id != "" {
		if c.ids[key] {
			p.defect(DefectContentID, shorten(key.id))
		}
		c.ids[key] = true
	}
	for q, class := p.Parent, encodingClass(p.Encoding); q != nil && !p.Decoded; q = q.Parent {
		if encodingClass(q.Encoding) < class && isIdentity(q.Encoding) {
			q.defect(DefectEncodingClass, "part "+p.ID+" is "+p.Encoding)
		}
	}
	if p.Uuencoded {
		p.Parent.defect(DefectUuencodedFile, "part "+p.ID)
	}
	if p.Container {
		return nil
	}
	if !p.Decoded && !p.Uuencoded {
		c.octets.binary = p.Encoding == "binary"
	}
	var err error
	if p.Text() && !strings.EqualFold(p.Params.Get("charset"), unknownCharset) {
		_, err = io.Copy(io.Discard, body.Text())
	} else {
		_, err = body.WriteTo(io.Discard)
	}
	return err
}

// contentKey is a Content-ID in a message: one inside is a world of its own.
type contentKey struct {
	message *Part
	id      string
}

func contentKeyOf(p *Part) contentKey {
	q := p
	for !q.Root() && !q.Embedded {
		q = q.Parent
	}
	return contentKey{q, p.ContentID}
}

func (c *checker) leave(p *Part) error {
	for _, d := range p.Defects {
		if err := c.each(Finding{p.ID, d}); err != nil {
			return err
		}
	}
	return nil
}

// checkNames looks at the names of a file.
func checkNames(p *Part) {
	name, filename := p.Params.Get("name"), p.DispositionParams.Get("filename")
	if name != "" && filename != "" && name != filename && name != asciiCopy(filename, copyMax("name")) {
		p.defect(DefectFilename, shorten(filename)+" and "+shorten(name))
	}
	unsafe := func(r rune) bool { return r == '/' || r == '\\' || r != ' ' && !unicode.IsPrint(r) }
	names := []string{filename, name}
	if p.Uuencoded {
		names = []string{p.Filename}
	}
	for _, s := range names {
		if strings.ContainsFunc(s, unsafe) || s == "." || s == ".." {
			p.defect(DefectFilenameUnsafe, shorten(s))
		}
	}
}

// octetScan looks at the octets of a message for what programs on its way take differently. Bodies that are labelled binary may have
// any.
type octetScan struct {
	binary bool // the body that is read is
	at     int64
	line   int  // octets of the current line
	cr     bool // the last octet was CR
	known  bool // a line has ended: wire tells how
	wire   bool
	seen   [5]octetFlaw
}

// octetFlaw is how often something was seen, and where first.
type octetFlaw struct{ times, first int64 }

var octetDefects = [5]DefectID{DefectNUL, DefectBareCR, DefectBareLF, DefectMixedLineEnds, DefectLineLong}

const (
	flawNUL = iota
	flawBareCR
	flawBareLF
	flawMixed
	flawLong
)

const maxLine = 998 // RFC 5322 §2.1.1

func (s *octetScan) note(flaw int, at int64) {
	if s.seen[flaw].times++; s.seen[flaw].times == 1 {
		s.seen[flaw].first = at
	}
}

// write is the tap of a walk.
func (s *octetScan) write(p []byte, body bool) {
	if body && s.binary {
		s.at += int64(len(p))
		s.line, s.cr = 0, false
		return
	}
	for i, c := range p {
		at := s.at + int64(i)
		if c == '\n' {
			s.endLine(at)
			continue
		}
		if s.cr {
			s.note(flawBareCR, at-1)
		}
		if s.cr = c == '\r'; !s.cr {
			if s.line++; s.line == maxLine+1 {
				s.note(flawLong, at-maxLine)
			}
		}
		if c == 0 {
			s.note(flawNUL, at)
		}
	}
	s.at += int64(len(p))
}

// endLine takes the LF at an offset.
func (s *octetScan) endLine(at int64) {
	switch {
	case !s.known:
		s.known, s.wire = true, s.cr
	case s.wire && !s.cr:
		s.note(flawBareLF, at)
	case !s.wire && s.cr:
		s.note(flawMixed, at-1)
	}
	s.cr, s.line = false, 0
}

func (s *octetScan) findings() []Defect {
	if s.cr {
		s.note(flawBareCR, s.at-1)
	}
	var list []Defect
	for i, f := range s.seen {
		if f.times > 0 {
			list = append(list, Defect{octetDefects[i], "first at octet " + strconv.FormatInt(f.first, 10) + ", times " + strconv.FormatInt(f.times, 10)})
		}
	}
	return list
}
