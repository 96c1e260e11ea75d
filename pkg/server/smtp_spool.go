package server

import (
	"errors"
	"io"
	"strings"
	"sync"
)

const (
	firstPiece = 8 << 10
	fullPiece  = 1 << 20
	maxMemory  = 1 << 30 // octets of all messages that are being received; one message may always be as big as Options allow
)

var (
	errTooBig   = errors.New("the message is too big")
	errNoMemory = errors.New("too much is being received at the moment")
)

// pieces keeps the memory of spools for the next ones.
type pieces struct{ sync.Pool }

func (p *pieces) get() []byte {
	if b, ok := p.Get().(*[fullPiece]byte); ok {
		return b[:0]
	}
	return new([fullPiece]byte)[:0]
}

// spool holds a message while it arrives, in pieces that are never copied to grow. When the message is too big, or
// memory is short, the rest is counted and thrown away and err says so.
type spool struct {
	srv    *Server
	pieces [][]byte
	size   int64 // octets kept
	lost   int64 // octets thrown away
	given  bool  // the pieces belong to a store now
	err    error
}

func (srv *Server) newSpool() *spool { return &spool{srv: srv} }

// Write keeps p. It never fails: see err.
func (sp *spool) Write(p []byte) (int, error) {
	n := len(p)
	if sp.err == nil && sp.size+int64(n) > sp.srv.options.MaxMessage {
		sp.err = errTooBig
	}
	for len(p) > 0 && sp.err == nil {
		last := len(sp.pieces) - 1
		if last < 0 || len(sp.pieces[last]) == cap(sp.pieces[last]) {
			sp.grow()
			continue
		}
		b := sp.pieces[last]
		k := min(len(p), cap(b)-len(b))
		sp.pieces[last] = append(b, p[:k]...)
		sp.size += int64(k)
		p = p[k:]
	}
	sp.lost += int64(len(p))
	return n, nil
}

func (sp *spool) grow() {
	size := firstPiece
	if len(sp.pieces) > 0 {
		size = fullPiece
	}
	if sp.srv.memory.Add(int64(size)) > max(maxMemory, 2*sp.srv.options.MaxMessage) {
		sp.srv.memory.Add(-int64(size))
		sp.err = errNoMemory
		return
	}
	if size == fullPiece {
		sp.pieces = append(sp.pieces, sp.srv.pool.get())
	} else {
		sp.pieces = append(sp.pieces, make([]byte, 0, size))
	}
}

// close gives the memory back. Readers must not be used after it.
func (sp *spool) close() {
	for _, b := range sp.pieces {
		sp.srv.memory.Add(-int64(cap(b)))
		if cap(b) == fullPiece && !sp.given {
			sp.srv.pool.Put((*[fullPiece]byte)(b[:fullPiece]))
		}
	}
	sp.pieces = nil
}

// traced is a message behind its trace fields. A store that keeps it in memory takes the pieces and saves the copy.
type traced struct {
	io.Reader
	trace string
	spool *spool
}

func (sp *spool) traced(trace string) *traced {
	return &traced{io.MultiReader(strings.NewReader(trace), sp.reader()), trace, sp}
}

// pieces gives all that Read would, for good.
func (t *traced) pieces() [][]byte {
	t.spool.given = true
	return append([][]byte{[]byte(t.trace)}, t.spool.pieces...)
}

// reader reads the message from its beginning.
func (sp *spool) reader() *spoolReader { return &spoolReader{pieces: sp.pieces} }

type spoolReader struct {
	pieces [][]byte
	off    int
}

func (r *spoolReader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 {
		if n := copy(p, r.pieces[0][r.off:]); n > 0 || len(p) == 0 {
			r.off += n
			return n, nil
		}
		r.pieces, r.off = r.pieces[1:], 0
	}
	return 0, io.EOF
}

// WriteTo passes the rest on without copying it.
func (r *spoolReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for len(r.pieces) > 0 {
		n, err := w.Write(r.pieces[0][r.off:])
		total += int64(n)
		if err != nil {
			return total, err
		}
		r.pieces, r.off = r.pieces[1:], 0
	}
	return total, nil
}
