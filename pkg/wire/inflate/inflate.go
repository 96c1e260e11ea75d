// Package inflate reads DEFLATE data (RFC 1951) from a connection whose two ends wait for each other, as with IMAP's
// COMPRESS (RFC 4978). It is not a faster or a fuller compress/flate, and it does not compress.
//
// The readers of compress/flate and of its descendants hold octets back. They hand out what they have when a stored
// block begins or, at best, when a block ends, and inside a block with its own codes they decode nothing before ten
// bits more than needed are there, the size of the smallest block that can follow. After zlib's Z_PARTIAL_FLUSH up to
// seven of those ten bits are still with the sender, which waits for an answer to what the reader holds back.
//
// Rules:
//
//   - An octet is handed out as soon as the bits that determine it have been read. Nothing is read while an octet is
//     left to be handed out.
//   - Memory is constant: twice the window of 32 KiB, the input buffer and the code tables.
//   - What is accepted and refused is the same as with compress/flate.
package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrCorrupt is input that is no DEFLATE data.
var ErrCorrupt = errors.New("corrupt deflate data")

const (
	window   = 32 << 10
	maxMatch = 258
	maxLit   = 286 // codes for literals and lengths in a block with its own codes
	maxDist  = 30  // codes for distances
)

// state is what comes next in the input.
type state uint8

const (
	atHeader state = iota // of a block
	atStoredSize
	atStored
	atCounts      // of a block with its own codes
	atCodeLengths // of the code for the lengths
	atLengths     // of the other two codes
	atSymbols
)

// Reader decompresses. It belongs to one goroutine.
type Reader struct {
	r     io.Reader
	err   error // io.EOF after the last block, or ErrCorrupt
	in    []byte
	bits  uint64 // the next bits of the input, the first one lowest; zero above nbits
	nbits uint

	state  state
	final  bool // the block at hand is the last one
	stored int  // octets of a stored block that are left

	nlit, ndist, ncode int // code lengths announced
	have               int // and read
	lens               [maxLit + maxDist]uint8
	lit, dist          *table // in force
	ownLit, ownDist    table
	code               table

	// win[:wpos] is what has been decompressed, as far back as the window goes; win[rpos:wpos] is to be handed out.
	win        [2 * window]byte
	rpos, wpos int
	buf        [8 << 10]byte // in is a part of it
}

// NewReader returns a Reader of the data that r gives.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Read hands out at least one octet; when there is none yet, it reads from the source, once or more often. After the
// last block it is io.EOF. A source that ends before is io.ErrUnexpectedEOF; another error of the source is returned as
// it is, and the next Read tries again. ErrCorrupt is final.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if z.rpos < z.wpos {
			n := copy(p, z.win[z.rpos:z.wpos])
			z.rpos += n
			return n, nil
		}
		if z.err != nil {
			return 0, z.err
		}
		if len(z.win)-z.wpos < maxMatch {
			z.wpos = copy(z.win[:], z.win[z.wpos-window:z.wpos])
			z.rpos = z.wpos
		}
		for z.step() {
		}
		if z.rpos == z.wpos && z.err == nil {
			if err := z.fill(); err != nil {
				return 0, err
			}
		}
	}
}

// fill gets more input; the last one was used up.
func (z *Reader) fill() error {
	n, err := z.r.Read(z.buf[:])
	z.in = z.buf[:n]
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// step does what comes next. It is false when input or room is lacking, and at the end.
func (z *Reader) step() bool {
	switch z.state {
	case atHeader:
		return z.header()
	case atStoredSize:
		return z.storedSize()
	case atStored:
		return z.copyStored()
	case atCounts:
		return z.counts()
	case atCodeLengths:
		return z.codeLengths()
	case atLengths:
		return z.lengths()
	}
	return z.symbols()
}

func (z *Reader) corrupt() bool {
	z.err = ErrCorrupt
	return false
}

// need gets n bits, 56 at most; it is false when the input has fewer.
func (z *Reader) need(n uint) bool {
	for z.nbits < n {
		if len(z.in) == 0 {
			return false
		}
		z.bits |= uint64(z.in[0]) << z.nbits
		z.nbits += 8
		z.in = z.in[1:]
	}
	return true
}

// take consumes n bits that are there.
func (z *Reader) take(n uint) int {
	v := z.bits & (1<<n - 1)
	z.bits >>= n
	z.nbits -= n
	return int(v)
}

// header reads the first bits of a block (RFC 1951 §3.2.3).
func (z *Reader) header() bool {
	if !z.need(3) {
		return false
	}
	z.final = z.take(1) == 1
	switch z.take(2) {
	case 0:
		z.take(z.nbits & 7)
		z.state = atStoredSize
	case 1:
		f := fixed()
		z.lit, z.dist, z.state = &f.lit, &f.dist, atSymbols
	case 2:
		z.state = atCounts
	default:
		return z.corrupt()
	}
	return true
}

// endBlock goes on to the next block, if there is one.
func (z *Reader) endBlock() bool {
	if z.final {
		z.err = io.EOF
		return false
	}
	z.state = atHeader
	return true
}

// storedSize reads the length of a stored block, and its complement (RFC 1951 §3.2.4).
func (z *Reader) storedSize() bool {
	if !z.need(32) {
		return false
	}
	z.stored = z.take(16)
	if z.take(16) != z.stored^0xffff {
		return z.corrupt()
	}
	z.state = atStored
	return true
}

func (z *Reader) copyStored() bool {
	for z.stored > 0 && z.nbits > 0 && z.wpos < len(z.win) { // whole octets since storedSize
		z.win[z.wpos] = byte(z.take(8))
		z.wpos++
		z.stored--
	}
	n := copy(z.win[z.wpos:], z.in[:min(len(z.in), z.stored)])
	z.in = z.in[n:]
	z.wpos += n
	z.stored -= n
	return z.stored == 0 && z.endBlock()
}

// counts begins a block with its own codes (RFC 1951 §3.2.7).
func (z *Reader) counts() bool {
	if !z.need(14) {
		return false
	}
	z.nlit, z.ndist, z.ncode = z.take(5)+257, z.take(5)+1, z.take(4)+4
	if z.nlit > maxLit || z.ndist > maxDist {
		return z.corrupt()
	}
	clear(z.lens[:len(codeOrder)])
	z.have, z.state = 0, atCodeLengths
	return true
}

// codeOrder is the order in which the lengths of the code for lengths come.
var codeOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *Reader) codeLengths() bool {
	for ; z.have < z.ncode; z.have++ {
		if !z.need(3) {
			return false
		}
		z.lens[codeOrder[z.have]] = uint8(z.take(3))
	}
	if !z.code.build(z.lens[:len(codeOrder)], codeSymbols[:]) {
		return z.corrupt()
	}
	z.have, z.state = 0, atLengths
	return true
}

// lengths reads the lengths of both codes, as one list.
func (z *Reader) lengths() bool {
	lens := z.lens[:z.nlit+z.ndist]
	for z.have < len(lens) {
		z.need(7 + 7) // or what there is
		e := z.code.find(z.bits)
		if e.length() == 0 {
			return z.corrupt()
		}
		if e.length()+e.extra() > z.nbits {
			return false
		}
		z.take(e.length())
		if e.kind() == kindLiteral {
			lens[z.have] = uint8(e.value())
			z.have++
			continue
		}
		value := uint8(0)
		if e.kind() == kindRepeat && z.have > 0 {
			value = lens[z.have-1]
		}
		n := e.value() + z.take(e.extra())
		if z.have+n > len(lens) || e.kind() == kindRepeat && z.have == 0 {
			return z.corrupt()
		}
		for range n {
			lens[z.have] = value
			z.have++
		}
	}
	if !z.ownLit.build(lens[:z.nlit], litSymbols[:]) || !z.ownDist.build(lens[z.nlit:], distSymbols[:]) {
		return z.corrupt()
	}
	z.lit, z.dist, z.state = &z.ownLit, &z.ownDist, atSymbols
	return true
}

// symbols reads literals and matches until the block, the input or the room ends. A symbol is consumed when all its
// bits are there; bits that are not are taken for zeros until then, and the length of the code tells.
func (z *Reader) symbols() bool {
	lit, dist := z.lit, z.dist
	b, n, in, w := z.bits, z.nbits, z.in, z.wpos
	after := kindLiteral
	for w <= len(z.win)-maxMatch {
		if n < 48 { // the longest match: 15 + 5 + 15 + 13
			if len(in) >= 8 {
				b |= binary.LittleEndian.Uint64(in) << n
				in = in[(63-n)>>3:]
				n |= 56
			}
			for ; n < 48 && len(in) > 0; in = in[1:] {
				b |= uint64(in[0]) << n
				n += 8
			}
		}
		e := lit.find(b)
		used := e.length()
		if used > n {
			break
		}
		if e.kind() == kindLiteral {
			z.win[w] = byte(e.value())
			w++
			b >>= used
			n -= used
			continue
		}
		if e.kind() != kindLength {
			b >>= used
			n -= used
			after = e.kind()
			break
		}
		length := e.value() + int(b>>used&(1<<e.extra()-1))
		used += e.extra()
		d := dist.find(b >> used)
		used += d.length() + d.extra()
		if used > n {
			break
		}
		from := w - d.value() - int(b>>(used-d.extra())&(1<<d.extra()-1))
		if d.kind() != kindDistance || from < 0 {
			after = kindBad
			break
		}
		b >>= used
		n -= used
		for end := w + length; w < end; {
			w += copy(z.win[w:end], z.win[from:w])
		}
	}
	z.bits, z.nbits, z.in, z.wpos = b&(1<<n-1), n, in, w
	switch after {
	case kindEnd:
		return z.endBlock()
	case kindBad:
		return z.corrupt()
	}
	return false
}
