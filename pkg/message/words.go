package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// maxCharset is the longest charset name looked up, in octets.
const maxCharset = 64

// DecodeWords decodes the encoded words of s (RFC 2047). It never fails: what is
// no encoded word stays, what cannot be decoded becomes U+FFFD, and the result is
// valid UTF-8. Adjacent words of one charset are decoded together, since many
// writers split characters between them.
func DecodeWords(s string) string {
	switch {
	case strings.Contains(s, "=?"):
	case utf8.ValidString(s): // looks at many octets at a time
		return s
	default:
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	var d wordDecoder
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		n, none := encodedWordLen(s[i:])
		if none {
			break
		}
		if n == 0 {
			d.text(s[:i+2])
			s = s[i+2:]
			continue
		}
		if strings.Trim(s[:i], " \t\r\n") != "" || !d.open {
			d.text(s[:i])
		}
		d.word(s[i : i+n])
		s = s[i+n:]
	}
	d.text(s)
	return d.out.String()
}

// encodedWordLen returns the length of the encoded word at the start of s, which
// begins with "=?", or 0. none is set when s holds no end of a word at all, so
// that a caller need not look again.
func encodedWordLen(s string) (n int, none bool) {
	q := strings.IndexByte(s[2:min(len(s), 2+2*maxCharset)], '?')
	if q <= 0 || len(s) < q+5 || s[q+4] != '?' || strings.IndexByte("bBqQ", s[q+3]) < 0 {
		return 0, false
	}
	if strings.ContainsAny(s[2:2+q], " \t\r\n\"(),:;<>@[]=") {
		return 0, false
	}
	start := q + 5
	end := strings.Index(s[start:], "?=")
	if end < 0 {
		return 0, true
	}
	return start + end + 2, false
}

// wordDecoder collects the octets of adjacent words of one charset.
type wordDecoder struct {
	out     strings.Builder
	open    bool // the last thing seen was an encoded word
	charset string
	octets  []byte
}

// text ends a run of encoded words and copies s.
func (d *wordDecoder) text(s string) {
	d.flush()
	d.open = false
	d.out.WriteString(strings.ToValidUTF8(s, "\uFFFD"))
}

// word takes a well-formed encoded word.
func (d *wordDecoder) word(w string) {
	charset, rest, _ := strings.Cut(w[2:len(w)-2], "?")
	charset, _, _ = strings.Cut(charset, "*") // language, RFC 2231 §5
	if !strings.EqualFold(charset, d.charset) {
		d.flush()
	}
	d.open, d.charset = true, charset
	if rest[0] == 'b' || rest[0] == 'B' {
		d.octets = appendBase64(d.octets, rest[2:])
	} else {
		d.octets = appendQ(d.octets, rest[2:])
	}
}

func (d *wordDecoder) flush() {
	if len(d.octets) > 0 {
		d.out.WriteString(decodeCharset(d.charset, d.octets))
	}
	d.octets = d.octets[:0]
}

// appendQ decodes the Q encoding (RFC 2047 §4.2); a "=" without two hexadecimal
// digits stays.
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			dst = append(dst, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// appendBase64 decodes base64 without regard to junk and missing padding.
func appendBase64(dst []byte, s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '=' {
			if isBase64(s[i]) {
				clean = append(clean, s[i])
			}
			continue
		}
		if len(clean)%4 == 1 {
			clean = clean[:len(clean)-1]
		}
		dst, _ = base64.RawStdEncoding.AppendDecode(dst, clean) // only alphabet in it
		clean = clean[:0]
	}
	return dst
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// decodeCharset turns octets into valid UTF-8. In an unknown charset ASCII and
// UTF-8 stay readable and the rest becomes U+FFFD.
func decodeCharset(charset string, octets []byte) string {
	enc := lookupCharset(charset)
	if enc == nil {
		return strings.ToValidUTF8(string(octets), "\uFFFD")
	}
	text, err := enc.NewDecoder().Bytes(octets)
	if err != nil {
		return strings.ToValidUTF8(string(octets), "\uFFFD")
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// lookupCharset returns nil for UTF-8 and for what is not known. The names of the
// web come first, since they say what writers mean (iso-8859-1 holds
// windows-1252); it refuses some old charsets that mail still has.
func lookupCharset(name string) encoding.Encoding {
	name = strings.ToLower(name)
	if len(name) > maxCharset || name == "utf-8" || name == "utf8" {
		return nil
	}
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil && enc != encoding.Replacement {
		return enc
	}
	return nil
}

// EncodeText writes s as the text of an unstructured field: unchanged when it is
// printable ASCII, as RFC 2047 words in UTF-8 otherwise (B for text that is mostly
// not ASCII, Q for the rest; at most 75 octets each; no character split between
// two). The result is folded with CRLF so that no line exceeds 76 octets where
// blanks allow it; the first line holds the name and ": " already, and the result
// begins with a fold when no word fits behind those. CR, LF and other control
// characters are encoded, never written.
func EncodeText(s string, fieldNameLen int) string {
	text := encodeText(s, fieldNameLen)
	if word, _, _ := strings.Cut(text, " "); strings.HasPrefix(word, "=?") && fieldNameLen+2+len(word) > 76 {
		return "\r\n " + fold(text, 1, "\r\n")
	}
	return fold(text, fieldNameLen+2, "\r\n")
}

// encodeText is EncodeText without folding.
func encodeText(s string, fieldNameLen int) string {
	if isPrintableASCII(s) && !strings.Contains(s, "=?") && !hasLongWord(s) && s == strings.Trim(s, " ") {
		return s
	}
	return strings.Join(encodeWords(s, 76-fieldNameLen-2, 75, false), " ")
}

// hasLongWord reports a run without blanks that no folding can break.
func hasLongWord(s string) bool {
	for word := range strings.SplitSeq(s, " ") {
		if len(word) > MaxLineLength-100 {
			return true
		}
	}
	return false
}

const (
	wordOpen  = len("=?utf-8?q?")
	wordClose = len("?=")
)

// encodeWords cuts s into encoded words of at most first (the first one) and then
// limit octets. In a phrase fewer characters may stand for themselves.
func encodeWords(s string, first, limit int, phrase bool) []string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	b := useB(s, phrase)
	room := min(first, limit) - wordOpen - wordClose
	if room < 12 { // the longest character in Q
		room = limit - wordOpen - wordClose
	}
	var words []string
	for s != "" {
		n := 0
		for used := 0; n < len(s); {
			_, size := utf8.DecodeRuneInString(s[n:])
			if b {
				used = (n + size + 2) / 3 * 4
			} else {
				used += qLen(s[n:n+size], phrase)
			}
			if used > room {
				break
			}
			n += size
		}
		words = append(words, encodeWord(s[:n], b, phrase))
		s = s[n:]
		room = limit - wordOpen - wordClose
	}
	return words
}

// useB reports whether most octets of s would have to be escaped in Q.
func useB(s string, phrase bool) bool { return qLen(s, phrase) > 2*len(s) }

func encodeWord(s string, b, phrase bool) string {
	if b {
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	}
	const hex = "0123456789ABCDEF"
	var w strings.Builder
	w.WriteString("=?utf-8?q?")
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			w.WriteByte('_')
		case isPlainQ(c, phrase):
			w.WriteByte(c)
		default:
			w.Write([]byte{'=', hex[c>>4], hex[c&15]})
		}
	}
	w.WriteString("?=")
	return w.String()
}

// qLen is the length of s in the Q encoding.
func qLen(s string, phrase bool) int {
	n := 0
	for i := range len(s) {
		if s[i] == ' ' || isPlainQ(s[i], phrase) {
			n++
		} else {
			n += 3
		}
	}
	return n
}

// isPlainQ reports what stands for itself (RFC 2047 §5, rule 3 for phrases).
func isPlainQ(c byte, phrase bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	case phrase:
		return strings.IndexByte("!*+-/", c) >= 0
	}
	return c > ' ' && c < 0x7f && c != '=' && c != '?' && c != '_'
}
