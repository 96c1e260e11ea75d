package mimetree

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/mail-toolkit/mail/pkg/message"
)

// once are the fields that a header may have once (RFC 5322 §3.6, RFC 2045 §3), those aside that every reader of parts looks at.
var once = map[string]bool{
	"date": true, "from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "bcc": true, "message-id": true,
	"in-reply-to": true, "references": true, "subject": true, "mime-version": true, "content-id": true, "content-description": true,
}

var (
	addressFields = []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc"}
	finished      = []string{"From", "Date", "Message-ID", "Sender", "Received"} // one of them makes a message, no draft

	strictDate = regexp.MustCompile(`^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), *)?\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} ` +
		`\d\d:\d\d(?::\d\d)? [+-]\d{4}(?: *\([^()]*\))?$`)
	strictID = regexp.MustCompile(`^<[^<>@\s]+@[^<>@\s]+>$|^<"[^"\s]*"@[^<>@\s]+>$`)
)

// checkHeader looks at the header of a part and, when it is that of a message, at what a message must have.
func checkHeader(p *Part) {
	seen := make(map[string]bool)
	for _, f := range p.Header.Fields {
		name := strings.ToLower(f.Name)
		if seen[name] && once[name] {
			p.defect(DefectDuplicateField, f.Name)
		}
		seen[name] = true
		checkField(p, f)
	}
	if p.Root() || p.Embedded {
		checkMessage(p)
	}
}

// checkField looks at the form of one field.
func checkField(p *Part, f message.Field) {
	if f.Name == "" {
		if bytes.HasPrefix(f.Raw, []byte("From ")) {
			p.defect(DefectMboxLine, "")
		}
		return
	}
	if message.CheckFieldName(f.Name) != nil {
		p.defect(DefectFieldName, shorten(f.Name))
	}
	if rest := f.Raw[min(len(f.Name), len(f.Raw)):]; len(rest) > 0 && rest[0] != ':' {
		p.defect(DefectObsolete, f.Name+": a blank before the colon")
	}
	lines := bytes.Split(bytes.TrimRight(f.Raw, "\r\n"), []byte("\n"))
	for _, line := range lines[1:] {
		if len(bytes.TrimSpace(line)) == 0 {
			p.defect(DefectObsolete, f.Name+": a line of blanks")
		}
	}
	if !isASCII(f.Raw) {
		p.defect(DefectHeaderEightBit, f.Name)
	}
	value := f.Value()
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }) {
		p.defect(DefectHeaderControl, f.Name)
	}
	checkWords(p, f.Name, value)
}

// checkMessage looks at the fields of a message.
func checkMessage(p *Part) {
	h := p.Header
	mime := h.Has("Content-Type") || h.Has("Content-Transfer-Encoding") || h.Has("Content-Disposition")
	if v, ok := h.Get("MIME-Version"); mime && (!ok || stripComment(v) != "1.0") {
		p.defect(DefectMIMEVersion, shorten(v))
	}
	for _, name := range addressFields {
		for _, v := range h.Values(name) {
			checkAddresses(p, name, v)
		}
	}
	for _, name := range []string{"Date", "Resent-Date"} {
		for _, v := range h.Values(name) {
			if _, err := message.ParseDate(v); err != nil {
				p.defect(DefectDateInvalid, name+": "+shorten(v))
			} else if !strictDate.MatchString(v) {
				p.defect(DefectObsolete, name+": "+shorten(v))
			}
		}
	}
	for _, v := range h.Values("Message-ID") {
		if !strictID.MatchString(v) {
			p.defect(DefectMessageID, shorten(v))
		}
	}
	for _, name := range finished {
		if h.Has(name) {
			if !h.Has("Date") {
				p.defect(DefectDateMissing, "")
			}
			if !h.Has("From") {
				p.defect(DefectFromMissing, "")
			}
			break
		}
	}
}

func checkAddresses(p *Part, name, value string) {
	list, err := message.ParseAddressList(value)
	if err != nil {
		p.defect(DefectAddressInvalid, name+": "+shorten(value))
		return
	}
	for _, a := range list {
		if message.CheckAddress(a.Addr) != nil {
			p.defect(DefectAddressInvalid, name+": "+shorten(a.Addr))
		}
	}
	switch name {
	case "From", "Sender":
		if len(list) == 0 || name == "Sender" && len(list) > 1 {
			p.defect(DefectAddressInvalid, name+": "+shorten(value))
		}
		if name == "From" && len(list) > 1 && !p.Header.Has("Sender") {
			p.defect(DefectSenderMissing, "")
		}
	}
}

// noWords are fields in which an encoded word has no place (RFC 2047 §5).
var noWords = map[string]bool{"message-id": true, "in-reply-to": true, "references": true, "date": true, "received": true, "return-path": true,
	"mime-version": true, "content-transfer-encoding": true, "content-id": true}

// checkWords looks at the encoded words of a value.
func checkWords(p *Part, name, value string) {
	lower := strings.ToLower(name)
	if lower == "content-type" || lower == "content-disposition" { // parameters are decoded, and told as such
		return
	}
	// In fields of text quotes and angle brackets mean nothing.
	addresses := slices.ContainsFunc(addressFields, func(f string) bool { return strings.EqualFold(f, name) })
	quoted, bracket := false, false
	for at := 0; at < len(value); {
		switch c := value[at]; {
		case addresses && c == '\\' && quoted:
			at++
		case addresses && c == '"':
			quoted = !quoted
		case addresses && !quoted && (c == '<' || c == '>'):
			bracket = c == '<'
		case c == '=' && strings.HasPrefix(value[at:], "=?"):
			n := wordLen(value[at:])
			if n == 0 {
				break
			}
			if noWords[lower] || quoted || bracket || !standsAlone(value, at, n) {
				p.defect(DefectWordPlace, name)
			}
			checkWord(p, name, value[at:at+n])
			at += n
			continue
		}
		at++
	}
}

// maxWord is how far the end of an encoded word is looked for, in octets.
const maxWord = 2000

// wordLen gives the length of what was meant for an encoded word at the start of s, 0 when it is none: "=?charset?encoding?text?=".
func wordLen(s string) int {
	s = s[:min(len(s), maxWord)]
	at := len("=?")
	for range 2 {
		n := strings.IndexAny(s[at:], "? \t")
		if n <= 0 || s[at+n] != '?' {
			return 0
		}
		at += n + 1
	}
	n := strings.Index(s[at:], "?=")
	if n < 0 {
		return 0
	}
	return at + n + len("?=")
}

// standsAlone tells if there are blanks, brackets of comments or nothing around the word (RFC 2047 §5).
func standsAlone(value string, at, n int) bool {
	return (at == 0 || strings.IndexByte(" \t(,:;<\"", value[at-1]) >= 0) && (at+n == len(value) || strings.IndexByte(" \t),;>\"", value[at+n]) >= 0)
}

func checkWord(p *Part, name, word string) {
	text := message.DecodeWords(word)
	switch {
	case text == word, strings.ContainsRune(text, unicode.ReplacementChar), strings.ContainsAny(word, " \t"):
		p.defect(DefectWordInvalid, name+": "+shorten(word))
	case len(word) > 75:
		p.defect(DefectWordLong, name)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		p.defect(DefectWordControl, name+": "+shorten(text))
	}
}
