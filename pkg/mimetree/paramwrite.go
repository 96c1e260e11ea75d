package mimetree

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	lineSoft     = 76 // where header lines are folded
	paramFoldMax = lineSoft - 2
)

// appendField writes "Name: value; param; param", each parameter that does not fit on a line of its own. Lines end in LF, the
// field included.
func appendField(dst []byte, name, value string, params ...string) []byte {
	dst = append(append(append(dst, name...), ": "...), value...)
	column := len(name) + 2 + len(value)
	for _, p := range params {
		dst = append(dst, ';')
		if column++; column+1+len(p) >= lineSoft {
			dst = append(dst, "\n "...)
			column = 1 + len(p)
		} else {
			dst = append(dst, ' ')
			column += 1 + len(p)
		}
		dst = append(dst, p...)
	}
	return append(dst, '\n')
}

// formatParam writes one parameter in as many pieces as it needs (RFC 2231): as a token or a quoted string when it is ASCII and fits
// on a line, else percent-encoded in UTF-8, followed by a copy in ASCII for readers that do not know that. The copy comes last since
// some readers, Python's for one, take the first. Python's does not read a token with an apostrophe either.
func formatParam(name, value string) []string {
	value = strings.ToValidUTF8(value, "\uFFFD")
	if isToken(value) && !strings.Contains(value, "'") && len(name)+1+len(value) <= paramFoldMax {
		return []string{name + "=" + value}
	}
	if isPlain(value) && len(name)+3+len(value) <= paramFoldMax {
		return []string{name + `="` + value + `"`}
	}
	return append(extendedParam(name, value), name+`="`+asciiCopy(value, copyMax(name))+`"`)
}

// copyMax is the length of an ASCII copy that fits on a line.
func copyMax(name string) int { return max(0, paramFoldMax-len(name)-3) }

// isPlain tells if value can stand between quotes as it is: printable ASCII without quotes and backslashes, and nothing that looks
// like an encoded word.
func isPlain(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return !strings.Contains(value, "=?")
}

// extendedParam writes name*=utf-8”value, or name*0*= and so on when it is long.
func extendedParam(name, value string) []string {
	var units []string // an octet or an escape each
	for i := range len(value) {
		c := value[i]
		if c > ' ' && c < 0x7f && strings.IndexByte(`*'%()<>@,;:\"/[]?={}`, c) < 0 {
			units = append(units, string(rune(c)))
		} else {
			units = append(units, string([]byte{'%', upperHex[c>>4], upperHex[c&15]}))
		}
	}
	if whole := name + "*=utf-8''" + strings.Join(units, ""); len(whole) <= paramFoldMax {
		return []string{whole}
	}
	var pieces []string
	for len(units) > 0 {
		p := name + "*" + strconv.Itoa(len(pieces)) + "*="
		if len(pieces) == 0 {
			p += "utf-8''"
		}
		for len(units) > 0 && len(p)+len(units[0]) <= paramFoldMax {
			p += units[0]
			units = units[1:]
		}
		pieces = append(pieces, p)
	}
	return pieces
}

// asciiCopy gives a form of a file name in printable ASCII, at most limit long, its extension kept.
func asciiCopy(value string, limit int) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '"' || r == '\\' || r < ' ' || r == 0x7f || r == '?' || r == '=':
			b.WriteByte('_')
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r):
		default:
			b.WriteByte('_')
		}
	}
	s := b.String()
	if len(s) <= limit {
		return s
	}
	ext := path.Ext(s)
	if len(ext) > limit/2 {
		ext = ""
	}
	return s[:limit-len(ext)] + ext
}
