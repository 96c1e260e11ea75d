package store

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/mail-toolkit/mail/pkg/message"
)

// spoolMemory is how much of a message a Spool holds in memory, in octets.
const spoolMemory = 1 << 20

// Spool holds one message, so that it can be looked at before it is sent or
// written, and read more than once: in memory up to 1 MiB, then in a temporary
// file that has no name, or in the file that it came from. Close releases it;
// readers are not valid after that.
type Spool struct {
	at    io.ReaderAt // the stored octets
	size  int64
	wire  bool // they are wire form as they stand
	mem   *memory
	file  *os.File
	temp  string // name of file if it still has one
	facts message.Facts
}

// memory is a buffer out of a pool: most messages are small and short-lived, and
// new memory costs more than all that is done with them.
type memory struct {
	b      []byte
	closed bool
	box    *memoryBox
}

type memoryBox struct{ b []byte }

var memories = sync.Pool{New: func() any { return new(memoryBox) }}

// ReadAt implements io.ReaderAt.
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if m.closed {
		return 0, os.ErrClosed
	}
	if off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// close gives the buffer back; readers that are left fail.
func (m *memory) close() {
	if !m.closed {
		m.box.b = m.b[:0]
		memories.Put(m.box)
		m.b, m.box, m.closed = nil, nil, true
	}
}

// NewSpool takes one message from r, in LF form or wire form. A regular file is
// used in place from its current position on, without copying: it must not change
// and must stay open until Close, which leaves it open.
func NewSpool(r io.Reader) (*Spool, error) { return newSpool(r, false) }

// NewWireSpool takes one message in wire form from r. Other than NewSpool, it
// leaves a bare LF as it is.
func NewWireSpool(r io.Reader) (*Spool, error) { return newSpool(r, true) }

func newSpool(r io.Reader, wire bool) (*Spool, error) {
	s := &Spool{wire: wire}
	if f, size, ok := regular(r); ok {
		s.at, s.size = sizedAt{f, size}, size
		return s, s.scan()
	}
	w := newSpoolWriter()
	if _, err := copyTo(w, r); err != nil {
		w.discard()
		return nil, err
	}
	return w.spool(wire)
}

// regular returns the rest of a regular file as a section.
func regular(r io.Reader) (*io.SectionReader, int64, bool) {
	f, ok := r.(*os.File)
	if !ok {
		return nil, 0, false
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, 0, false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0, false
	}
	size := st.Size() - at
	if size <= 0 {
		return nil, 0, false // or one that does not tell its size, as in /proc
	}
	return io.NewSectionReader(f, at, size), size, true
}

// sizedAt makes an error of a file that has become shorter.
type sizedAt struct {
	r    io.ReaderAt
	size int64
}

// ReadAt implements io.ReaderAt.
func (s sizedAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err == io.EOF && off+int64(n) < s.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// scan computes the facts.
func (s *Spool) scan() (err error) {
	s.facts, err = message.Scan(s.Wire())
	return err
}

// Open returns a new reader of the stored octets.
func (s *Spool) Open() io.ReadSeeker { return io.NewSectionReader(s.at, 0, s.size) }

// Size is the number of stored octets.
func (s *Spool) Size() int64 { return s.size }

// Wire returns a new reader of the message in wire form.
func (s *Spool) Wire() io.Reader { return s.wireFrom(s.Open()) }

// wireFrom converts what begins at a line start of the stored octets.
func (s *Spool) wireFrom(r io.Reader) io.Reader {
	if s.wire {
		return r
	}
	return message.ToWire(r)
}

// WireSize is the number of octets in wire form.
func (s *Spool) WireSize() int64 { return s.facts.Size }

// Facts returns the facts of the wire form.
func (s *Spool) Facts() message.Facts { return s.facts }

// LF returns a new reader of the message in LF form. It is what was stored only
// if Facts().Reversible().
func (s *Spool) LF() io.Reader { return message.ToLF(s.Wire()) }

// Header parses the header. Each call gives a new one.
func (s *Spool) Header() (*message.Header, error) {
	return message.ReadHeader(bufio.NewReader(s.Open()))
}

// BodyOffset is the number of stored octets before the body.
func (s *Spool) BodyOffset() (int64, error) {
	h, err := s.Header()
	if err != nil {
		return 0, err
	}
	return int64(len(h.Bytes())), nil
}

// WireWith returns the message in wire form with h in the place of its header.
func (s *Spool) WireWith(h *message.Header) (io.Reader, error) {
	at, err := s.BodyOffset()
	if err != nil {
		return nil, err
	}
	body := io.NewSectionReader(s.at, at, s.size-at)
	return io.MultiReader(message.ToWire(bytes.NewReader(h.Bytes())), s.wireFrom(body)), nil
}

// Close releases the memory or the temporary file.
func (s *Spool) Close() error {
	if s.mem != nil {
		s.mem.close()
	}
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return errors.Join(err, dropName(s.temp))
}

func dropName(temp string) error {
	if temp == "" {
		return nil
	}
	return os.Remove(temp)
}

// spoolWriter builds a Spool.
type spoolWriter struct {
	box  *memoryBox // where mem came from
	mem  []byte
	file *os.File
	temp string
	size int64
}

func newSpoolWriter() *spoolWriter {
	box := memories.Get().(*memoryBox)
	return &spoolWriter{box: box, mem: box.b}
}

// Write implements io.Writer.
func (w *spoolWriter) Write(p []byte) (int, error) {
	if w.file == nil && len(w.mem)+len(p) > spoolMemory {
		if err := w.toFile(); err != nil {
			return 0, err
		}
	}
	if w.file == nil {
		w.mem = append(w.mem, p...)
		w.size += int64(len(p))
		return len(p), nil
	}
	if len(w.mem)+len(p) > cap(w.mem) {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	w.size += int64(len(p))
	if len(p) > cap(w.mem) {
		return w.file.Write(p)
	}
	w.mem = append(w.mem, p...)
	return len(p), nil
}

// toFile moves what is in memory to a temporary file; mem is its buffer then.
func (w *spoolWriter) toFile() (err error) {
	if w.file, err = os.CreateTemp("", "mail-*"); err != nil {
		return err
	}
	if err := os.Remove(w.file.Name()); err != nil {
		w.temp = w.file.Name() // a system that cannot: Close does it
	}
	if _, err = w.file.Write(w.mem); err != nil {
		return err
	}
	w.box.b = w.mem[:0]
	memories.Put(w.box)
	w.box = nil
	w.mem = make([]byte, 0, 64<<10)
	return nil
}

func (w *spoolWriter) flush() error {
	_, err := w.file.Write(w.mem)
	w.mem = w.mem[:0]
	return err
}

// dropLF removes an LF from the end.
func (w *spoolWriter) dropLF() error {
	if w.file == nil || len(w.mem) > 0 {
		if n := len(w.mem); n > 0 && w.mem[n-1] == '\n' {
			w.mem = w.mem[:n-1]
			w.size--
		}
		return nil
	}
	var last [1]byte
	if _, err := w.file.ReadAt(last[:], w.size-1); err != nil || last[0] != '\n' {
		return err
	}
	w.size--
	if err := w.file.Truncate(w.size); err != nil {
		return err
	}
	_, err := w.file.Seek(w.size, io.SeekStart)
	return err
}

// spool returns what was written. The writer must not be used after it.
func (w *spoolWriter) spool(wire bool) (*Spool, error) {
	s := &Spool{size: w.size, wire: wire}
	if w.file == nil {
		s.mem = &memory{b: w.mem, box: w.box}
		s.at = s.mem
	} else {
		if err := w.flush(); err != nil {
			w.discard()
			return nil, err
		}
		s.at, s.file, s.temp = w.file, w.file, w.temp
	}
	w.box, w.mem = nil, nil
	if err := s.scan(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// source gives access to what was written. The writer must not be used after it,
// but for discard.
func (w *spoolWriter) source() (io.ReaderAt, error) {
	if w.file == nil {
		return bytes.NewReader(w.mem), nil
	}
	return w.file, w.flush()
}

// discard drops what was written.
func (w *spoolWriter) discard() {
	if w.box != nil {
		w.box.b = w.mem[:0]
		memories.Put(w.box)
		w.box, w.mem = nil, nil
	}
	if w.file != nil {
		_ = w.file.Close() // nothing in it is wanted
		_ = dropName(w.temp)
	}
}

// buffers are shared by all copying of this package.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// writers are shared like buffers.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 64<<10) }}

// buffered calls write with a buffered writer to w and flushes it.
func buffered(w io.Writer, write func(w *bufio.Writer) error) error {
	bw := writers.Get().(*bufio.Writer)
	defer writers.Put(bw)
	bw.Reset(w)
	if err := write(bw); err != nil {
		return err
	}
	return bw.Flush()
}

// copyTo copies r to w through a shared buffer and nothing else, so that r is
// always read by this call.
func copyTo(w io.Writer, r io.Reader) (int64, error) {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}
