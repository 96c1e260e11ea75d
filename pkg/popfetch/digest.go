package popfetch

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
)

// digest tells the content of messages apart: the first half of SHA-256 over the wire form. The zero value is none.
type digest [16]byte

func (d digest) String() string {
	if d == (digest{}) {
		return "-"
	}
	return base64.RawURLEncoding.EncodeToString(d[:])
}

func parseDigest(s string) (d digest, ok bool) {
	if s == "-" {
		return d, true
	}
	if base64.RawURLEncoding.DecodedLen(len(s)) != len(d) {
		return d, false
	}
	_, err := base64.RawURLEncoding.Strict().Decode(d[:], []byte(s))
	return d, err == nil
}

// digester computes the digest of what is read through it, and counts it.
type digester struct {
	r    io.Reader
	w    io.Writer // of WriteTo
	h    hash.Hash
	n    int64
	tell func(octets int) // may be nil
}

func newDigester(r io.Reader, tell func(int)) *digester {
	return &digester{r: r, h: sha256.New(), tell: tell}
}

// Read implements io.Reader.
func (d *digester) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.take(p[:n])
	return n, err
}

// WriteTo implements io.WriterTo. What the other reader can pass on without a copy is not copied.
func (d *digester) WriteTo(w io.Writer) (int64, error) {
	d.w = w
	return io.Copy(passing{d}, d.r)
}

// passing is the way of what is not read, but written.
type passing struct{ *digester }

// Write implements io.Writer.
func (p passing) Write(b []byte) (int, error) {
	p.take(b)
	return p.w.Write(b)
}

func (d *digester) take(p []byte) {
	_, _ = d.h.Write(p) // a hash takes everything
	d.n += int64(len(p))
	if d.tell != nil {
		d.tell(len(p))
	}
}

func (d *digester) sum() (s digest) {
	copy(s[:], d.h.Sum(nil))
	return s
}

// digestOf reads r to its end.
func digestOf(r io.Reader) (digest, error) {
	d := newDigester(r, nil)
	_, err := io.Copy(io.Discard, d)
	return d.sum(), err
}
