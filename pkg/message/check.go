package message

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits of one address in the envelope. RFC 5321 §4.5.3.1.1 gives 64 octets for
// the local part, but bounce addresses in use are longer and the section asks for
// no limits where possible, so the server is left to judge.
const (
	maxLocalPart = 255
	maxDomain    = 255
	maxLabel     = 63
)

// CheckAddress fails with an *Error unless addr is a Mailbox of RFC 5321 §4.1.2
// (with the UTF-8 of RFC 6531) that may stand in MAIL FROM and RCPT TO: a
// dot-atom or one quoted string, "@", and a domain name or an address literal.
// No control characters, no line breaks of any kind, no blanks outside quotes,
// no characters that turn into ASCII syntax under Unicode normalisation. The
// null reverse-path ("") is not an address.
func CheckAddress(addr string) error {
	if err := checkCharacters(addr); err != nil {
		return err
	}
	local, domain, ok := splitAddress(addr)
	if !ok {
		return bad("not an address (want local@domain)", addr)
	}
	if len(local) > maxLocalPart || len(domain) > maxDomain {
		return bad("address is too long", addr)
	}
	if local[0] != '"' && !isDotAtom(local) {
		return bad("bad local part", addr)
	}
	if domain[0] == '[' {
		return checkLiteral(domain)
	}
	return CheckDomain(domain)
}

// checkCharacters refuses what may stand nowhere in an address.
func checkCharacters(addr string) error {
	if !utf8.ValidString(addr) {
		return bad("invalid UTF-8 in address", addr)
	}
	for _, r := range addr {
		if r < ' ' || r == 0x7f {
			return bad("control character in address", addr)
		}
		if r >= utf8.RuneSelf && !safeRune(r) {
			return bad("character not allowed in address", addr)
		}
	}
	return nil
}

// safeRune reports a non-ASCII character that neither breaks a line nor hides
// nor becomes ASCII syntax (a fullwidth "@", a one-dot leader).
func safeRune(r rune) bool {
	if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Zs) {
		return false
	}
	if unicode.Is(unicode.Cf, r) {
		return r == 0x200c || r == 0x200d // joiners, letters in some scripts
	}
	for _, c := range norm.NFKC.String(string(r)) {
		if c < utf8.RuneSelf && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return true
}

// splitAddress cuts at the "@" that is syntax. Both parts are not empty; a quoted
// local part is well-formed.
func splitAddress(addr string) (local, domain string, ok bool) {
	at := strings.IndexByte(addr, '@')
	if strings.HasPrefix(addr, `"`) {
		if at = quotedEnd(addr); at < 0 || at >= len(addr) || addr[at] != '@' {
			return "", "", false
		}
	}
	if at <= 0 || at == len(addr)-1 {
		return "", "", false
	}
	return addr[:at], addr[at+1:], true
}

// quotedEnd returns the index after the Quoted-string at the start of s
// (RFC 5321 §4.1.2), or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			if i++; i < len(s) && s[i] >= utf8.RuneSelf {
				return -1
			}
		}
	}
	return -1
}

// CheckDomain fails unless domain is a Domain of RFC 5321 §4.1.2: labels of
// letters, digits, hyphens inside (and, as seen in use, underscores), at most 63
// octets each and 255 together, no dot at the end. UTF-8 labels (RFC 6531) pass.
func CheckDomain(domain string) error {
	if len(domain) == 0 || len(domain) > maxDomain {
		return bad("bad domain", domain)
	}
	if err := checkCharacters(domain); err != nil {
		return err
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return bad("bad domain", domain)
		}
		for i := range len(label) {
			if !isLabelByte(label[i]) {
				return bad("bad domain", domain)
			}
		}
	}
	return nil
}

func isLabelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '_' || c >= utf8.RuneSelf
}

// checkLiteral accepts the address literals of RFC 5321 §4.1.3.
func checkLiteral(domain string) error {
	text, ok := strings.CutSuffix(domain[1:], "]")
	if !ok || strings.ContainsRune(text, '%') {
		return bad("bad address literal", domain)
	}
	v6, is6 := cutPrefixFold(text, "IPv6:")
	ip, err := netip.ParseAddr(v6)
	if err != nil || is6 != ip.Is6() {
		return bad("bad address literal", domain)
	}
	return nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// IsASCII reports whether s has no octet above 127, that is, needs no SMTPUTF8.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ASCIIDomain returns addr with its domain in ASCII form (RFC 5890), for servers without SMTPUTF8. A local part that
// is not ASCII needs SMTPUTF8 anyway: then, and when the domain cannot be converted, addr comes back as it is.
func ASCIIDomain(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 || IsASCII(addr[i:]) || !IsASCII(addr[:i]) {
		return addr
	}
	domain, err := idna.Lookup.ToASCII(addr[i+1:])
	if err != nil {
		return addr
	}
	return addr[:i+1] + domain
}
