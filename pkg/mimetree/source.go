package mimetree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// source is the content of a part, opened anew each time it is written.
type source struct {
	name   string // for errors
	open   Opener
	size   int64
	digest []byte // SHA-256, nil when only the size is held
}

// source is the content of a leaf.
func (n *node) source() source {
	s := source{open: n.open, size: n.size}
	if n.facts != nil {
		s.digest = n.facts.digest
	}
	if n.text() {
		s.name = "the " + strings.TrimPrefix(n.mediaType, "text/") + " text"
		return s
	}
	f := n.given()
	if s.name = f.name(); s.open == nil {
		s.open = f.opener()
	}
	return s
}

// opener is what opens the file when it is looked at, and each time it is written.
func (f *File) opener() Opener {
	if f.Open != nil {
		return f.Open
	}
	return func() (io.ReadCloser, error) {
		r, _, err := openFile(f.Path)
		return r, err
	}
}

// reader opens the content. Reading fails when it is not what was looked at.
func (s source) reader() (io.ReadCloser, error) {
	r, err := s.open()
	if err != nil {
		return nil, err
	}
	c := &checkedReader{r: r, source: s, left: s.size}
	if s.digest != nil {
		c.hash = sha256.New()
	}
	return c, nil
}

// checkedReader fails, instead of ending, when the content is not the expected one.
type checkedReader struct {
	r      io.ReadCloser
	source source
	left   int64
	hash   hash.Hash
}

func (c *checkedReader) Close() error { return c.r.Close() }

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, c.changed()
	}
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	if err == io.EOF && (c.left > 0 || c.hash != nil && !bytes.Equal(c.hash.Sum(nil), c.source.digest)) {
		return 0, c.changed()
	}
	return n, err
}

func (c *checkedReader) changed() error {
	return &message.Error{Msg: c.source.name + " changed while it was packed"}
}

// fileStart is how much of a file is looked at to find what it is.
const fileStart = 4096

// inspect finds the media type and the size of a file and gives its first octets, valid until the next call.
func (p *Packed) inspect(n *node) (start []byte, err error) {
	f := n.given()
	var r io.ReadCloser
	if f.Open != nil {
		r, err = f.Open()
	} else {
		r, err = p.openOnce(n)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if p.start == nil {
		p.start = make([]byte, fileStart)
	}
	got, err := fill(r, p.start)
	if start = p.start[:got]; err != nil && err != io.EOF {
		return nil, err
	}
	if n.mediaType = f.MediaType; n.mediaType == "" {
		n.mediaType = MediaTypeOf(f.name(), start)
	}
	whole := io.MultiReader(bytes.NewReader(start), r)
	switch {
	case strings.HasPrefix(n.mediaType, "message/"):
		facts, err := scanMessage(whole)
		if err != nil {
			return nil, err
		}
		n.own().facts, n.size = &facts, facts.size
		p.mix(facts.digest)
	case n.size == 0:
		n.size, err = io.Copy(io.Discard, whole)
		return start, err
	}
	return start, nil
}

// scanMessage is scanText for a message: what its parts claim to be counts, too (RFC 2045 §6.4).
func scanMessage(r io.Reader) (textFacts, error) {
	s := newTextScanner()
	label := SevenBit
	tee := io.TeeReader(r, s)
	err := Walk(tee, nil, func(p *Part, _ *Body) error {
		label = max(label, encodingClass(p.Encoding))
		return nil
	})
	var beyond *message.Error
	if errors.As(err, &beyond) { // the limits: what it claims is not known
		label = Binary
		_, err = io.Copy(io.Discard, tee)
	}
	f := s.facts()
	f.label = label
	return f, err
}

// openOnce opens a file for the first time. Its size is known then, unless it is one of those, as in /proc, that do not tell. What is no
// regular file cannot be read again and is copied.
func (p *Packed) openOnce(n *node) (io.ReadCloser, error) {
	f, info, err := openFile(n.path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		n.size = info.Size()
		return f, nil
	}
	temp, size, err := p.copyOf(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	n.size = size
	n.own().open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(temp, 0, size)), nil }
	return n.open()
}

// copyOf copies r to a temporary file that lives until Close.
func (p *Packed) copyOf(r io.Reader) (*os.File, int64, error) {
	temp, err := os.CreateTemp("", "mail-*")
	if err != nil {
		return nil, 0, err
	}
	p.temps = append(p.temps, temp)
	size, err := io.Copy(temp, r)
	return temp, size, err
}

// openFile opens a file to be packed; a folder is refused here and not when it is read.
func openFile(path string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &os.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// fill reads until buf is full. The error is that of r as it is, so that only io.EOF is an end.
func fill(r io.Reader, buf []byte) (int, error) {
	n := 0
	for empty := 0; n < len(buf); {
		m, err := r.Read(buf[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
