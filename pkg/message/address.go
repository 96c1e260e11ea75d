package message

import (
	"strings"
	"unicode/utf8"
)

// Address is one mailbox.
type Address struct {
	Name string // display name, decoded (RFC 2047); may hold any character
	Addr string // local@domain, the local part quoted only where it must be
}

// ParseAddress parses s as exactly one address.
func ParseAddress(s string) (Address, error) {
	list, err := ParseAddressList(s)
	if err != nil {
		return Address{}, err
	}
	if len(list) != 1 {
		return Address{}, bad("not exactly one address", s)
	}
	return list[0], nil
}

// ParseAddressList parses an address list (RFC 5322 §3.4 with the obsolete forms
// of §4.4): groups are flattened, comments and routes dropped, empty elements
// skipped, semicolons outside groups taken as commas. Addr is what belongs into
// the envelope; it is not yet judged by [CheckAddress].
//
// What two readers could take for different addresses is refused with an *Error:
// "Doe, John <j@example.org>" without quotes, two addresses without a comma
// between them, an unquoted address as the display name of another one, a second
// "@". One bad element makes the whole list fail.
func ParseAddressList(s string) ([]Address, error) {
	if len(s) > maxListBytes {
		return nil, bad("address list is too long", s)
	}
	p := addressParser{lexer: lexer{s: s}}
	if err := p.list(); err != nil {
		return nil, err
	}
	return p.out, nil
}

// FormatAddress writes a for an address field, in one line (fold it with
// [Header.Add]); a name that is not plain ASCII becomes encoded words.
func FormatAddress(a Address) string {
	switch {
	case a.Name == "":
		return a.Addr
	case !isPrintableASCII(a.Name) || strings.Contains(a.Name, "=?"):
		return strings.Join(encodeWords(a.Name, 75, 75, true), " ") + " <" + a.Addr + ">"
	case isPhrase(a.Name):
		return a.Name + " <" + a.Addr + ">"
	}
	return quote(a.Name) + " <" + a.Addr + ">"
}

// isPhrase reports atoms with single blanks between them.
func isPhrase(s string) bool {
	for word := range strings.SplitSeq(s, " ") {
		if word == "" || strings.IndexFunc(word, func(r rune) bool { return !isAtext(byte(r)) }) >= 0 {
			return false
		}
	}
	return true
}

func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isAtext reports atext of RFC 5322 §3.2.3, octets above 127 included (RFC 6532).
func isAtext(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c >= 0x80:
		return true
	}
	return c != 0 && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isDotAtom reports atext pieces with single dots between them.
func isDotAtom(s string) bool {
	dot := true
	for i := range len(s) {
		if s[i] == '.' {
			if dot {
				return false
			}
			dot = true
		} else if !isAtext(s[i]) {
			return false
		} else {
			dot = false
		}
	}
	return !dot
}

type tokenKind int

const (
	tokEnd     tokenKind = iota
	tokAtom              // atext and dots
	tokWord              // an encoded word that holds specials
	tokQuoted            // text is the content
	tokLiteral           // domain literal, text with brackets
	tokSpecial           // text is one of < > @ , ; :
)

type token struct {
	kind  tokenKind
	text  string
	space bool // blanks or comments stand in front of it
}

func (t token) is(special string) bool { return t.kind == tokSpecial && t.text == special }

// lexer cuts an address list into tokens, each octet looked at once.
type lexer struct {
	s       string
	at      int
	noWord  bool   // no "?=" is left in s
	comment string // the last comment skipped
}

// next returns the next token.
func (l *lexer) next() (token, error) {
	space, err := l.skipBlanks()
	if err != nil || l.at == len(l.s) {
		return token{space: space}, err
	}
	t := token{space: space}
	switch c := l.s[l.at]; {
	case c == '"':
		t.kind = tokQuoted
		t.text, err = l.quoted()
	case c == '[':
		t.kind = tokLiteral
		t.text, err = l.literal()
	case strings.IndexByte("<>@,;:", c) >= 0:
		t.kind, t.text = tokSpecial, l.s[l.at:l.at+1]
		l.at++
	case isAtext(c) || c == '.':
		t.kind, t.text = l.atom()
	default:
		err = bad("unexpected character", l.s[l.at:])
	}
	return t, err
}

// atom reads atext and dots, or an encoded word with whatever it holds.
func (l *lexer) atom() (tokenKind, string) {
	if !l.noWord && strings.HasPrefix(l.s[l.at:], "=?") {
		if n, none := encodedWordLen(l.s[l.at:]); n > 0 && !strings.ContainsAny(l.s[l.at:l.at+n], " \t\r\n") {
			text := l.s[l.at : l.at+n]
			l.at += n
			if strings.ContainsAny(text, `<>@,;:()[]\"`) {
				return tokWord, text
			}
			return tokAtom, text
		} else if none {
			l.noWord = true
		}
	}
	start := l.at
	for l.at < len(l.s) && (isAtext(l.s[l.at]) || l.s[l.at] == '.') {
		l.at++
	}
	return tokAtom, l.s[start:l.at]
}

// quoted reads a quoted string and returns its content.
func (l *lexer) quoted() (string, error) {
	start := l.at
	var b strings.Builder
	for l.at++; l.at < len(l.s); l.at++ {
		switch c := l.s[l.at]; c {
		case '"':
			l.at++
			return b.String(), nil
		case '\\':
			if l.at++; l.at < len(l.s) {
				b.WriteByte(l.s[l.at])
			}
		case '\r', '\n':
			// folding inside the string is not part of it
		default:
			b.WriteByte(c)
		}
	}
	return "", bad("quoted string does not end", l.s[start:])
}

// literal reads a domain literal.
func (l *lexer) literal() (string, error) {
	start := l.at
	for l.at++; l.at < len(l.s); l.at++ {
		switch l.s[l.at] {
		case ']':
			l.at++
			return l.s[start:l.at], nil
		case '[', '\\', '\r', '\n':
			return "", bad("bad domain literal", l.s[start:])
		}
	}
	return "", bad("domain literal does not end", l.s[start:])
}

// skipBlanks skips white space and comments, and says if there was any.
func (l *lexer) skipBlanks() (bool, error) {
	start := l.at
	for l.at < len(l.s) {
		switch l.s[l.at] {
		case ' ', '\t', '\r', '\n':
			l.at++
		case '(':
			if err := l.skipComment(); err != nil {
				return false, err
			}
		default:
			return l.at > start, nil
		}
	}
	return l.at > start, nil
}

// skipComment skips a comment with those nested in it, and keeps its content.
func (l *lexer) skipComment() error {
	start, depth := l.at, 0
	for ; l.at < len(l.s); l.at++ {
		switch l.s[l.at] {
		case '\\':
			l.at++
		case '(':
			if depth++; depth > maxCommentDepth {
				return bad("comments nested too deep", l.s[start:])
			}
		case ')':
			if depth--; depth == 0 {
				l.at++
				l.comment = l.s[start+1 : l.at-1]
				return nil
			}
		}
	}
	l.at = len(l.s)
	return bad("comment does not end", l.s[start:])
}

// addressParser parses an address list. Elements are collected as tokens up to
// the separator that ends them.
type addressParser struct {
	lexer
	out   []Address
	group bool
}

func (p *addressParser) list() error {
	for {
		p.comment = ""
		elem, end, err := p.element()
		if err != nil {
			return err
		}
		if end.is(":") {
			if p.group || len(elem) == 0 {
				return bad("misplaced colon in address list", p.s[p.at-1:])
			}
			p.group = true
			continue
		}
		if err := p.add(elem); err != nil {
			return err
		}
		if end.is(";") {
			p.group = false
		}
		if end.kind == tokEnd {
			return nil
		}
	}
}

// element returns the tokens up to the next separator outside angle brackets,
// and the separator.
func (p *addressParser) element() ([]token, token, error) {
	var elem []token
	angle := false
	for {
		t, err := p.next()
		switch {
		case err != nil:
			return nil, t, err
		case t.kind == tokEnd, !angle && (t.is(",") || t.is(";") || t.is(":")):
			return elem, t, nil
		case t.is("<"):
			angle = true
		case t.is(">"):
			angle = false
		}
		if len(elem) == maxTokens {
			return nil, t, bad("address is too long", textOf(elem))
		}
		elem = append(elem, t)
	}
}

// add appends the address that the tokens of one element make.
func (p *addressParser) add(elem []token) error {
	if len(elem) == 0 {
		return nil
	}
	if len(p.out) == MaxAddresses {
		return &Error{Msg: "more than 100000 addresses in one list"}
	}
	a, err := mailbox(elem, p.comment)
	if err != nil {
		return err
	}
	p.out = append(p.out, a)
	return nil
}

// mailbox is name-addr or addr-spec of RFC 5322 §3.4.
func mailbox(elem []token, comment string) (Address, error) {
	open := -1
	for i, t := range elem {
		if t.is("<") {
			open = i
			break
		}
	}
	if open < 0 {
		addr, err := addrSpec(elem)
		return Address{Name: DecodeWords(strings.TrimSpace(comment)), Addr: addr}, err
	}
	if !elem[len(elem)-1].is(">") {
		return Address{}, bad("no > at the end of an address", textOf(elem))
	}
	spec, err := dropRoute(elem[open+1 : len(elem)-1])
	if err != nil {
		return Address{}, err
	}
	addr, err := addrSpec(spec)
	if err != nil {
		return Address{}, err
	}
	name, err := displayName(elem[:open], addr)
	if name == "" && open == 0 {
		name = DecodeWords(strings.TrimSpace(comment))
	}
	return Address{Name: name, Addr: addr}, err
}

// dropRoute cuts the source route "@a,@b:" (RFC 5322 §4.4 obs-route).
func dropRoute(spec []token) ([]token, error) {
	if len(spec) == 0 || !spec[0].is("@") {
		return spec, nil
	}
	for i, t := range spec {
		if t.is(":") {
			return spec[i+1:], nil
		}
	}
	return nil, bad("source route does not end", textOf(spec))
}

// addrSpec is local@domain, blanks allowed beside dots and "@" only.
func addrSpec(spec []token) (string, error) {
	at := -1
	for i, t := range spec {
		if t.is("@") {
			if at >= 0 {
				return "", bad("second @ in address", textOf(spec))
			}
			at = i
		}
	}
	if at < 0 {
		return "", bad("no @ in address", textOf(spec))
	}
	local, err := localPart(spec[:at])
	if err != nil {
		return "", err
	}
	domain, err := domainPart(spec[at+1:])
	if err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

func localPart(toks []token) (string, error) {
	local, quoted, err := join(toks, tokQuoted)
	switch {
	case err != nil:
		return "", err
	case local == "" && !quoted:
		return "", bad("no local part in address", textOf(toks))
	case strings.IndexFunc(local, func(r rune) bool { return r != '\t' && isBreaking(r) }) >= 0:
		return "", bad("control character in address", local)
	case isDotAtom(local):
		return local, nil
	}
	return quote(local), nil
}

func domainPart(toks []token) (string, error) {
	if len(toks) == 1 && toks[0].kind == tokLiteral {
		return toks[0].text, nil
	}
	domain, _, err := join(toks, tokAtom)
	if err == nil && !isDotAtom(strings.TrimSuffix(domain, ".")) {
		err = bad("bad domain in address", textOf(toks))
	}
	return domain, err
}

// join concatenates atoms, and tokens of the other kind, which must stand side
// by side or have a dot between them (RFC 5322 §4.4 obs-local-part, obs-domain).
func join(toks []token, other tokenKind) (text string, quoted bool, err error) {
	var b strings.Builder
	for i, t := range toks {
		if t.kind != tokAtom && t.kind != other || !utf8.ValidString(t.text) {
			return "", false, bad("bad address", textOf(toks))
		}
		if i > 0 && !strings.HasSuffix(toks[i-1].dots(), ".") && !strings.HasPrefix(t.dots(), ".") {
			return "", false, bad("bad address", textOf(toks))
		}
		quoted = quoted || t.kind == tokQuoted
		b.WriteString(t.text)
	}
	return b.String(), quoted, nil
}

// dots is the text of a token as far as its dots are syntax.
func (t token) dots() string {
	if t.kind == tokAtom {
		return t.text
	}
	return ""
}

// displayName is the phrase before an angle address. An unquoted address in it is
// accepted only when it is addr itself.
func displayName(phrase []token, addr string) (string, error) {
	var b strings.Builder
	for i, t := range phrase {
		switch {
		case t.kind == tokSpecial && t.text != "@", t.kind == tokLiteral && i == 0:
			return "", bad("bad display name", textOf(phrase))
		case t.is("@") && !t.space && i+1 < len(phrase) && !phrase[i+1].space:
			if spec, err := addrSpec(phrase); err != nil || !strings.EqualFold(spec, addr) {
				return "", bad("address in display name", textOf(phrase))
			}
		}
		if i > 0 && (t.space || t.kind == tokQuoted || phrase[i-1].kind == tokQuoted) {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return DecodeWords(b.String()), nil
}

// textOf rebuilds the text of tokens for an error message.
func textOf(toks []token) string {
	var b strings.Builder
	for i, t := range toks {
		if b.Len() > 80 {
			break
		}
		if i > 0 && t.space {
			b.WriteByte(' ')
		}
		if t.kind == tokQuoted {
			b.WriteString(quote(t.text))
		} else {
			b.WriteString(t.text)
		}
	}
	return b.String()
}
