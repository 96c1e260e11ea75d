package mimetree

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// maxPieces is how many parameters, or pieces of parameters, one field may have.
const maxPieces = 1000

// Param is one parameter of a Content-Type or Content-Disposition field, put together and decoded.
type Param struct {
	Name  string // lower case, without "*"
	Value string // valid UTF-8, but for "boundary", which is as written
}

// Params is the parameters of a field in the order they first appear.
type Params []Param

// Get returns the value of the named parameter (lower case), "" when there is none.
func (p Params) Get(name string) string {
	for _, x := range p {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// ParseMediaType reads the value of a Content-Type field (RFC 2045 §5.1, RFC 2231) leniently: the type in lower case,
// "text/plain" when there is none that can be read, and its parameters. It never fails; defects tells what was tolerated.
func ParseMediaType(v string) (mediaType string, params Params, defects []Defect) {
	head, params, defects := parseValue(v)
	head, rest, blank := strings.Cut(head, " ")
	if blank && strings.Contains(rest, "=") { // "text/plain charset=utf-8"
		defects = addDefect(defects, DefectParameter, "no semicolon before %s", shorten(rest))
		_, more, _ := parseValue(";" + rest)
		params = append(more, params...)
	}
	kind, sub, ok := strings.Cut(strings.ToLower(head), "/")
	if kind, sub = strings.TrimSpace(kind), strings.TrimSpace(sub); ok && isToken(kind) && isToken(sub) {
		return kind + "/" + sub, params, defects
	}
	defects = addDefect(defects, DefectMediaType, "%s", shorten(v))
	return "text/plain", params, defects
}

// ParseDisposition reads the value of a Content-Disposition field (RFC 2183) leniently: the disposition in lower case,
// possibly empty, and its parameters.
func ParseDisposition(v string) (disposition string, params Params, defects []Defect) {
	head, params, defects := parseValue(v)
	head, _, _ = strings.Cut(head, " ")
	if head = strings.ToLower(head); !isToken(head) {
		head = ""
	}
	return head, params, defects
}

// isToken tells if s is a token of RFC 2045 §5.1, not longer than 127 characters.
func isToken(s string) bool {
	if s == "" || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return true
}

// piece is one "name=value" as written.
type piece struct {
	name     string // lower case, without the suffix
	section  int    // number of a continuation, -1 for none
	extended bool   // name ends in "*": percent-encoded
	value    string
}

// parseValue splits a field value into what stands before the first semicolon and the parameters.
func parseValue(v string) (head string, params Params, defects []Defect) {
	i := strings.IndexAny(v, `;"`)
	if i >= 0 && v[i] == '"' {
		i = strings.IndexByte(v, ';')
	}
	if i < 0 {
		return stripComment(v), nil, nil
	}
	pieces, defects := scanPieces(v[i:])
	params, defects = assemble(pieces, defects)
	return stripComment(v[:i]), params, defects
}

// scanPieces reads "; name=value" again and again, in one pass.
func scanPieces(s string) (pieces []piece, defects []Defect) {
	for {
		s = skipSeparators(s)
		if s == "" {
			return pieces, defects
		}
		i := strings.IndexAny(s, "=;")
		if i < 0 || s[i] == ';' {
			bad := s
			if i >= 0 {
				bad = s[:i]
			}
			defects = addDefect(defects, DefectParameter, "no value: %s", shorten(bad))
			if s = s[len(bad):]; s == "" {
				return pieces, defects
			}
			continue
		}
		if len(pieces) == maxPieces {
			return pieces, addDefect(defects, DefectParameterLimit, "more than %d pieces", maxPieces)
		}
		p := newPiece(stripComment(s[:i]))
		var flaw string
		p.value, s, flaw = scanParamValue(s[i+1:], p.name)
		if flaw != "" {
			defects = addDefect(defects, DefectParameter, "%s: %s", shorten(p.name), flaw)
		}
		if !isToken(p.name) {
			defects = addDefect(defects, DefectParameter, "bad name %s", shorten(p.name))
			continue
		}
		pieces = append(pieces, p)
	}
}

// skipSeparators drops blanks, semicolons and comments.
func skipSeparators(s string) string {
	for {
		s = strings.TrimLeft(s, "; \t\r\n")
		if !strings.HasPrefix(s, "(") {
			return s
		}
		n := commentLen(s)
		if n == 0 { // it never ends, so nothing follows it
			return ""
		}
		s = s[n:]
	}
}

// commentLen gives the length of the comment at the start of s, 0 if it does not end. Nesting is counted, not recursed.
func commentLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// stripComment removes a comment at either end, and blanks.
func stripComment(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "(") {
		s = strings.TrimSpace(s[commentLen(s):])
	}
	if i := strings.IndexByte(s, '('); i > 0 && strings.HasSuffix(s, ")") {
		s = strings.TrimSpace(s[:i])
	}
	return s
}

// newPiece takes the suffixes "*", "*0" and "*0*" (RFC 2231) off a name.
func newPiece(name string) piece {
	p := piece{name: strings.ToLower(name), section: -1}
	bare, ext := strings.CutSuffix(p.name, "*")
	if i := strings.LastIndexByte(bare, '*'); i >= 0 && len(bare)-i < 8 {
		if n, err := strconv.Atoi(bare[i+1:]); err == nil && n >= 0 {
			return piece{name: bare[:i], section: n, extended: ext}
		}
	}
	p.name, p.extended = bare, ext
	return p
}

// scanParamValue reads one value and gives what follows it. flaw names what is wrong with it, "" for nothing.
func scanParamValue(s, name string) (value, rest, flaw string) {
	s = strings.TrimLeft(s, " \t\r\n")
	if strings.HasPrefix(s, `"`) {
		return scanQuoted(s)
	}
	if i := strings.IndexByte(s, ';'); i >= 0 {
		s, rest = s[:i], s[i:]
	}
	s = strings.TrimSpace(s)
	if name != "filename" && name != "name" {
		s = stripComment(s)
	}
	if strings.ContainsAny(s, " \t\"") {
		flaw = "blanks or quotes without quoting"
	}
	return s, rest, flaw
}

// scanQuoted reads a quoted string. A backslash only quotes a quotation mark or a backslash, since unescaped Windows
// paths are commoner than needless escapes.
func scanQuoted(s string) (value, rest, flaw string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '"':
			rest = s[i+1:]
			junk := rest
			if j := strings.IndexByte(rest, ';'); j >= 0 {
				junk, rest = rest[:j], rest[j:]
			} else {
				rest = ""
			}
			if junk = strings.TrimSpace(junk); junk != "" && stripComment(junk) != "" {
				flaw = "text after the quoted string"
			}
			return b.String(), rest, flaw
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", "quoted string does not end"
}

// assemble puts the pieces of each parameter together: name* before the numbered pieces before plain name.
func assemble(pieces []piece, defects []Defect) (Params, []Defect) {
	type group struct{ plain, extended, numbered []piece }
	groups := make(map[string]*group)
	var order []string
	for _, p := range pieces {
		g := groups[p.name]
		if g == nil {
			g = new(group)
			groups[p.name] = g
			order = append(order, p.name)
		}
		switch {
		case p.section >= 0:
			g.numbered = append(g.numbered, p)
		case p.extended:
			g.extended = append(g.extended, p)
		default:
			g.plain = append(g.plain, p)
		}
	}
	params := make(Params, 0, len(order))
	for _, name := range order {
		g := groups[name]
		if len(g.plain) > 1 || len(g.extended) > 1 {
			defects = addDefect(defects, DefectParameterDup, "%s", shorten(name))
		}
		var value string
		switch {
		case len(g.extended) > 0:
			value = joinPieces(g.extended[:1])
		case len(g.numbered) > 0:
			value, defects = joinNumbered(g.numbered, defects)
		default:
			value, defects = plainValue(name, g.plain[0].value, defects)
		}
		if len(g.plain) > 0 && len(g.extended)+len(g.numbered) > 0 && conflicting(name, g.plain[0].value, value) {
			defects = addDefect(defects, DefectParameterForm, "%s", shorten(name))
		}
		params = append(params, Param{name, value})
	}
	return params, defects
}

// plainValue makes text of a value that follows RFC 2045 or should: raw 8-bit and encoded words occur in it.
func plainValue(name, v string, defects []Defect) (string, []Defect) {
	if name == "boundary" {
		return v, defects
	}
	if strings.Contains(v, "=?") && strings.Contains(v, "?=") {
		if w := message.DecodeWords(v); w != v {
			return w, addDefect(defects, DefectParameterWord, "%s", shorten(name))
		}
	}
	if !isASCII([]byte(v)) {
		defects = addDefect(defects, DefectParameter, "%s: octets above 127", shorten(name))
		v = textOf("", []byte(v))
	}
	return v, defects
}

// joinNumbered puts continuations (RFC 2231 §3) in order, up to the first gap.
func joinNumbered(list []piece, defects []Defect) (string, []Defect) {
	name := list[0].name
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b piece) int { return a.section - b.section })
	kept := list[:0]
	next := list[0].section
	if next != 0 {
		defects = addDefect(defects, DefectParameterGap, "%s starts at piece %d", shorten(name), next)
	}
	for _, p := range list {
		switch {
		case p.section < next:
			defects = addDefect(defects, DefectParameterDup, "%s", shorten(name))
		case p.section > next:
			return joinPieces(kept), addDefect(defects, DefectParameterGap, "%s lacks piece %d", shorten(name), next)
		default:
			kept = append(kept, p)
			next++
		}
	}
	v := joinPieces(kept)
	if !kept[0].extended {
		return plainValue(name, v, defects)
	}
	return v, defects
}

// joinPieces concatenates the octets of the pieces and converts them together, since a character may be split between two.
func joinPieces(list []piece) string {
	var charset string
	var octets []byte
	for i, p := range list {
		v := p.value
		if p.extended {
			if i == 0 {
				charset, v = cutCharset(v)
			}
			octets = appendPercent(octets, v)
		} else {
			octets = append(octets, v...)
		}
	}
	return textOf(charset, octets)
}

// cutCharset takes "charset'language'" off an extended value.
func cutCharset(v string) (charset, rest string) {
	charset, rest, ok := strings.Cut(v, "'")
	if !ok {
		return "", v
	}
	_, rest, ok = strings.Cut(rest, "'")
	if !ok {
		return "", v
	}
	return charset, rest
}

func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hexValue(s[i+1]), hexValue(s[i+2]); hi < 16 && lo < 16 {
				dst = append(dst, hi<<4|lo)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

// conflicting tells if two forms of one parameter contradict each other. A plain form is normally a copy in ASCII of the
// other one, so only a different extension counts, or different text where neither form needs a substitute.
func conflicting(name, plain, full string) bool {
	if plain == full || plain == asciiCopy(full, copyMax(name)) {
		return false
	}
	if !strings.EqualFold(path.Ext(plain), path.Ext(full)) && isASCII([]byte(path.Ext(full))) {
		return true
	}
	return isASCII([]byte(plain)) && isASCII([]byte(full))
}
