package mimetree

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// maxCharsetName is the longest charset name looked up, in octets.
const maxCharsetName = 64

// cleanCharset reduces a charset parameter to a name that can be looked up, "us-ascii" when empty.
func cleanCharset(name string) string {
	name = strings.ToLower(strings.Trim(name, " \t\r\n\"'"))
	switch name {
	case "", "ascii", "ansi_x3.4-1968", "7bit", "8bit", "unknown", "unknown-8bit", "default":
		return "us-ascii"
	case "utf8", "utf_8", "utf-8-mac", "unicode-1-1-utf-8":
		return "utf-8"
	case "cp-850", "x-cp850":
		return "cp850"
	case "ks_c_5601-1987", "ks_c_5601", "x-windows-949", "cp949":
		return "euc-kr"
	case "gb2312", "x-gbk", "cp936", "x-euc-cn":
		return "gbk"
	case "iso-8859-8-i":
		return "iso-8859-8"
	}
	if strings.HasPrefix(name, "cp125") && len(name) == 6 {
		return "windows-" + name[2:]
	}
	return name
}

// charsetReader converts r from the named charset to valid UTF-8; what cannot be converted becomes U+FFFD. known is
// false when the charset is not known, and the text is then taken as UTF-8.
func charsetReader(name string, r io.Reader) (out io.Reader, known bool) {
	return new(replacer).reader(name, r)
}

// NewCharsetReader converts r from the named charset to valid UTF-8; what cannot be converted becomes U+FFFD. The
// result is false when the charset is not known, and the text is then taken as UTF-8.
func NewCharsetReader(name string, r io.Reader) (io.Reader, bool) { return charsetReader(name, r) }

// replacer passes text on with U+FFFD in place of what is no UTF-8, and counts that.
type replacer struct {
	transform.NopResetter
	converted bool  // it comes from a converter, which has put U+FFFD in itself
	replaced  int64 // characters
}

// reader converts r as [NewCharsetReader] does.
func (p *replacer) reader(name string, r io.Reader) (out io.Reader, known bool) {
	name = cleanCharset(name)
	if name == "utf-8" || name == "us-ascii" {
		return transform.NewReader(r, p), true
	}
	c := encodingReader(name, r)
	if p.converted = c != nil; p.converted {
		r = c
	}
	return transform.NewReader(r, p), p.converted
}

// encodingReader converts r from the named charset, nil when it is not known.
func encodingReader(name string, r io.Reader) io.Reader {
	if len(name) > maxCharsetName {
		return nil
	}
	if e := rareCharset(name); e != nil {
		return e.NewDecoder().Reader(r)
	}
	c, err := charset.Reader(name, r)
	if err != nil {
		return nil
	}
	return c
}

// rareCharset gives the charsets that the tables of others lack, nil for all others.
func rareCharset(name string) encoding.Encoding {
	switch name {
	case "utf-32", "utf32":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	case "utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7":
		return utf7{}
	}
	return nil
}

// Transform implements [transform.Transformer].
func (p *replacer) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if c := src[nSrc]; c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst, nSrc = nDst+1, nSrc+1
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		if r == utf8.RuneError && (size == 1 || p.converted) {
			p.replaced++
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// textOf converts a short text, for parameters. Text in no known charset, or not valid in its own, is taken as UTF-8 when it
// is that, and as Windows-1252, the commonest unmarked charset, when it is not.
func textOf(name string, b []byte) string {
	if name != "" && cleanCharset(name) != "us-ascii" {
		if r, known := charsetReader(name, bytes.NewReader(b)); known {
			if out, err := io.ReadAll(r); err == nil {
				return string(out)
			}
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	r, _ := charsetReader("windows-1252", bytes.NewReader(b))
	out, err := io.ReadAll(r)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}
