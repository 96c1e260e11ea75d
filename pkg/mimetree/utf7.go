package mimetree

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// utf7 is UTF-7 (RFC 2152), which is only read.
type utf7 struct{}

// NewDecoder implements [encoding.Encoding].
func (utf7) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: new(utf7Decoder)} }

// NewEncoder implements [encoding.Encoding]. Nothing is written in UTF-7.
func (utf7) NewEncoder() *encoding.Encoder { return encoding.Replacement.NewEncoder() }

// utf7Decoder turns UTF-7 into UTF-8. What stands against the rules becomes U+FFFD.
type utf7Decoder struct {
	shifted bool   // base64 follows a "+"
	fresh   bool   // and is yet to come
	bits    uint32 // of the base64, the last nbits count
	nbits   int
	high    rune // the first half of a surrogate pair, or 0
}

// Reset implements [transform.Transformer].
func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// Transform implements [transform.Transformer].
func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < 4*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst = len(d.octet(dst[:nDst], src[nSrc]))
	}
	if atEOF {
		if len(dst)-nDst < 4*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst = len(d.unshift(dst[:nDst]))
	}
	return nDst, nSrc, nil
}

// octet takes one octet, and appends three characters at most.
func (d *utf7Decoder) octet(dst []byte, c byte) []byte {
	if !d.shifted {
		switch {
		case c == '+':
			d.shifted, d.fresh = true, true
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		return dst
	}
	if v := base64Value(c); v >= 0 {
		d.fresh = false
		d.bits, d.nbits = d.bits<<6|uint32(v), d.nbits+6
		if d.nbits >= 16 {
			d.nbits -= 16
			dst = d.unit(dst, rune(d.bits>>d.nbits&0xffff))
		}
		return dst
	}
	fresh := d.fresh
	dst = d.unshift(dst)
	switch {
	case c == '-' && fresh: // "+-" is "+"
		return append(dst, '+')
	case c == '-':
		return dst
	case fresh:
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	return d.octet(dst, c)
}

// unit takes 16 bits of UTF-16.
func (d *utf7Decoder) unit(dst []byte, u rune) []byte {
	if d.high != 0 {
		whole := utf16.DecodeRune(d.high, u)
		d.high = 0
		if dst = utf8.AppendRune(dst, whole); whole != utf8.RuneError {
			return dst
		}
	}
	if u >= 0xd800 && u < 0xdc00 {
		d.high = u
		return dst
	}
	return utf8.AppendRune(dst, u) // U+FFFD for the second half of a pair
}

// unshift ends the base64. Bits that are left must be 0, and less than a character of it.
func (d *utf7Decoder) unshift(dst []byte) []byte {
	if d.high != 0 || d.nbits >= 6 || d.bits&(1<<d.nbits-1) != 0 {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	d.Reset()
	return dst
}

// base64Value is what a character of base64 stands for, -1 for others.
func base64Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}
