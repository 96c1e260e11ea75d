package server

import (
	"html"
	"io"
	"strings"
	"unicode"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

const (
	maxPreview       = 200      // characters, RFC 8970 §3.1
	maxPreviewSource = 64 << 10 // octets of a text that are looked at
)

// imapPreview gives the first words of a message (RFC 8970): at most 200 characters of its first text part that has
// any, in UTF-8, on one line, HTML without its tags. It is empty when there is no such text or b cannot be read.
func imapPreview(b Body) string {
	var out string
	err := walkBody(b, wholeBody(b), nil, func(p *mimetree.Part, body *mimetree.Body) error {
		if body == nil || p.Container || !p.Text() || p.Disposition == "attachment" {
			return nil
		}
		text, err := io.ReadAll(io.LimitReader(body.Text(), maxPreviewSource))
		if err != nil {
			return err
		}
		words := strings.ToValidUTF8(string(text), "")
		if p.MediaType == "text/html" {
			words = withoutTags(words)
		}
		if out = firstWords(words); out != "" {
			return mimetree.ErrStop
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return out
}

// firstWords puts words on one line, controls and invisible characters left out, up to the length of a preview.
func firstWords(text string) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			blank = n > 0
			continue
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			continue
		}
		if blank && n < maxPreview {
			b.WriteByte(' ')
			n++
		}
		blank = false
		if n >= maxPreview {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// hidden are the elements whose content is no text.
var hidden = []string{"head", "style", "script", "title"}

// withoutTags removes the tags of an HTML text, its comments and what it does not show, and puts characters in the
// place of entities.
func withoutTags(text string) string {
	var b strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '<')
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		rest := text[i+1:]
		if !startsTag(rest) {
			b.WriteByte('<')
			text = rest
			continue
		}
		name := tagName(rest)
		switch {
		case strings.HasPrefix(rest, "!--"):
			text = after(rest[3:], "-->")
		case isHidden(name):
			text = afterElement(rest, name)
		default:
			text = after(rest, ">")
		}
		if !isInline(name) {
			b.WriteByte(' ')
		}
	}
	return html.UnescapeString(b.String())
}

func startsTag(s string) bool {
	return s != "" && (s[0] == '!' || s[0] == '/' || s[0] == '?' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
}

// tagName gives the name of a tag in lower case, that of an end tag with its slash.
func tagName(s string) string {
	end := strings.IndexAny(s[:min(len(s), 20)], "> \t\r\n")
	if end < 0 {
		end = min(len(s), 20)
	}
	return strings.ToLower(strings.TrimSuffix(s[:end], "/"))
}

func isHidden(name string) bool {
	for _, h := range hidden {
		if h == name {
			return true
		}
	}
	return false
}

// isInline tells if a tag stands inside words.
func isInline(name string) bool {
	switch strings.TrimPrefix(name, "/") {
	case "a", "b", "i", "u", "em", "strong", "span", "font", "small", "big", "code", "tt", "abbr":
		return true
	}
	return false
}

// after gives what stands behind mark, nothing when it is missing.
func after(s, mark string) string {
	_, rest, _ := strings.Cut(s, mark)
	return rest
}

// afterElement gives what stands behind the end tag of an element, nothing when it has none.
func afterElement(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i+2:]
		if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
			return after(s, ">")
		}
	}
}
