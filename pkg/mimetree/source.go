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

// inspect finds the media type and the size of a file and gives its first octets.
func (p *Packed) inspect(n *node, f File) (start []byte, err error) {
	var r io.ReadCloser
	if f.Open != nil {
		r, err = f.Open()
	} else {
		n.src.open = func() (io.ReadCloser, error) { return openFile(f.Path) }
		r, err = p.openOnce(n, f.Path)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	start = make([]byte, fileStart)
	got, err := fill(r, start)
	if start = start[:got]; err != nil && err != io.EOF {
		return nil, err
	}
	if n.mediaType = f.MediaType; n.mediaType == "" {
		n.mediaType = MediaTypeOf(f.Name, start)
	}
	whole := io.MultiReader(bytes.NewReader(start), r)
	switch {
	case strings.HasPrefix(n.mediaType, "message/"):
		facts, err := scanMessage(whole)
		if err != nil {
			return nil, err
		}
		n.facts, n.src.size, n.src.digest = &facts, facts.size, facts.digest
		p.mix(facts.digest)
	case n.src.size == 0:
		n.src.size, err = io.Copy(io.Discard, whole)
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
func (p *Packed) openOnce(n *node, path string) (io.ReadCloser, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Mode().IsRegular() {
		n.src.size = info.Size()
		return f, nil
	}
	temp, size, err := p.copyOf(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	n.src.size = size
	n.src.open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(temp, 0, size)), nil }
	return n.src.open()
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
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		if err == nil {
			err = &os.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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
