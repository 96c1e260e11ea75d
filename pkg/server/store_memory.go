package server

import (
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"
)

const (
	firstChunk = 64 << 10 // octets read into a shared buffer before memory of its own is made
	blobChunk  = 1 << 20  // octets of each chunk of a large body
)

// NewMemory returns a store that keeps everything in memory. Copies of a message
// share their octets.
func NewMemory() Store {
	return &localStore{keep: memoryStore{}, accounts: map[string]*account{}}
}

type memoryStore struct{}

func (memoryStore) account(a *account) (bool, error) {
	a.keep = memoryAccount{}
	return true, nil
}

func (memoryStore) close() error { return nil }

// memoryAccount has nothing to do but to read bodies.
type memoryAccount struct{}

func (memoryAccount) create(*mailbox) (folder, error) { return memoryFolder{}, nil }
func (memoryAccount) remove(*mailbox) error           { return nil }
func (memoryAccount) settle(*account) error           { return nil }
func (memoryAccount) settleRenamed(*account)          {}
func (memoryAccount) drop(payload)                    {}
func (memoryAccount) close() error                    { return nil }

func (memoryAccount) rename(boxes []*mailbox, _ []string) (int, error) { return len(boxes), nil }
func (memoryAccount) link(_ folder, body payload) (payload, error)     { return body, nil }

// pieced is a body that is in memory already. What pieces gives does not change any more.
type pieced interface{ pieces() [][]byte }

func (memoryAccount) take(r io.Reader, _ time.Time) (payload, int64, error) {
	body := r
	if c, ok := r.(contextBody); ok && c.ctx.Err() == nil {
		body = c.r
	}
	if p, ok := body.(pieced); ok {
		b := &blob{}
		for _, chunk := range p.pieces() {
			if cap(chunk)-len(chunk) > firstChunk/16 {
				chunk = slices.Clone(chunk) // no memory is wasted
			}
			b.add(chunk)
		}
		return b, b.size, nil
	}
	b, err := readBlob(r)
	if err != nil {
		return nil, 0, err
	}
	return b, b.size, nil
}

type memoryFolder struct{}

func (memoryFolder) append(uint64, []incoming) error            { return nil }
func (memoryFolder) setFlags(uint64, []incoming) error          { return nil }
func (memoryFolder) expunge(uint64, []uint32, []payload) error  { return nil }
func (memoryFolder) takeBack(uint64, []uint32, []payload)       {}
func (memoryFolder) open(body payload) (Body, error)            { return body.(*blob), nil }
func (memoryFolder) rescan(*mailbox, bool) (o outside, e error) { return o, e }
func (memoryFolder) close() error                               { return nil }

// blob is a body in memory that never changes. It is in chunks, so that a large one
// grows without being copied.
type blob struct {
	chunks [][]byte
	ends   []int64 // where each chunk ends
	size   int64
}

func (b *blob) add(chunk []byte) {
	if len(chunk) > 0 {
		b.size += int64(len(chunk))
		b.chunks, b.ends = append(b.chunks, chunk), append(b.ends, b.size)
	}
}

// firstBuffers saves most messages, which are small, from a large allocation.
var firstBuffers = sync.Pool{New: func() any { return new([firstChunk]byte) }}

// blobChunks are full chunks before a body takes them. The last one of a body, which is
// not full, is copied out, so that no memory is wasted.
var blobChunks = sync.Pool{New: func() any { return new([blobChunk]byte) }}

// readBlob reads r to its end.
func readBlob(r io.Reader) (*blob, error) {
	first := firstBuffers.Get().(*[firstChunk]byte)
	defer firstBuffers.Put(first)
	n, err := fill(r, first[:])
	b := &blob{}
	if err != nil {
		b.add(slices.Clone(first[:n]))
		return b, notEOF(err)
	}
	chunk := blobChunks.Get().(*[blobChunk]byte)
	n = copy(chunk[:], first[:])
	for {
		var more int
		more, err = fill(r, chunk[n:])
		if err != nil {
			b.add(slices.Clone(chunk[:n+more]))
			blobChunks.Put(chunk)
			return b, notEOF(err)
		}
		b.add(chunk[:])
		chunk, n = blobChunks.Get().(*[blobChunk]byte), 0
	}
}

// fill reads until p is full or r fails. Other than with io.ReadFull, the error is
// that of r: a body that was cut is not one that has ended.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Size implements Body.
func (b *blob) Size() int64 { return b.size }

// Close implements Body.
func (b *blob) Close() error { return nil }

// ReadAt implements Body.
func (b *blob) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	i, found := slices.BinarySearch(b.ends, off)
	if found {
		i++
	}
	for ; n < len(p) && i < len(b.chunks); i++ {
		m := copy(p[n:], b.chunks[i][off-b.ends[i]+int64(len(b.chunks[i])):])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo implements io.WriterTo.
func (b *blob) WriteTo(w io.Writer) (written int64, err error) {
	for _, chunk := range b.chunks {
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
