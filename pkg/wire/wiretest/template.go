package wiretest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// pieceKind says what one piece of a template stands for.
type pieceKind int

const (
	pieceText    pieceKind = iota // text itself
	pieceAny                      // any run of bytes
	pieceCapture                  // a word to be kept under the name in text
	pieceValue                    // the value of the variable named in text
)

type piece struct {
	kind pieceKind
	text string
}

// maxRepeat caps ${rep:N:text} in octets.
const maxRepeat = 256 << 20

// parseTemplate splits the text of a line into pieces. Patterns (of client lines)
// know * and captures; in server lines a * is a * and $name is a value.
func parseTemplate(s string, pattern bool) ([]piece, error) {
	var out []piece
	add := func(kind pieceKind, text string) {
		if n := len(out) - 1; kind == pieceText && n >= 0 && out[n].kind == pieceText {
			out[n].text += text
			return
		}
		out = append(out, piece{kind, text})
	}
	for len(s) > 0 {
		switch {
		case strings.HasPrefix(s, `\$`), pattern && strings.HasPrefix(s, `\*`):
			add(pieceText, s[1:2])
			s = s[2:]
		case pattern && s[0] == '*':
			add(pieceAny, "")
			s = s[1:]
		case strings.HasPrefix(s, "${"):
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return nil, fmt.Errorf("${ without }")
			}
			p, err := parseBraces(s[2:end])
			if err != nil {
				return nil, err
			}
			add(p.kind, p.text)
			s = s[end+1:]
		case s[0] == '$' && nameLen(s[1:]) > 0:
			n := nameLen(s[1:])
			kind := pieceValue
			if pattern {
				kind = pieceCapture
			}
			add(kind, s[1:1+n])
			s = s[1+n:]
		default:
			add(pieceText, s[:1])
			s = s[1:]
		}
	}
	return out, nil
}

// parseBraces reads what stands between ${ and }.
func parseBraces(s string) (piece, error) {
	if nameLen(s) == len(s) && s != "" {
		return piece{pieceValue, s}, nil
	}
	if text, ok := strings.CutPrefix(s, "b64:"); ok {
		raw, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
		if err != nil {
			return piece{}, fmt.Errorf("${b64:…}: %w", err)
		}
		return piece{pieceText, base64.StdEncoding.EncodeToString([]byte(raw))}, nil
	}
	if text, ok := strings.CutPrefix(s, "rep:"); ok {
		count, unit, ok := strings.Cut(text, ":")
		n, err := strconv.Atoi(count)
		if !ok || err != nil || n < 0 || n*len(unit) > maxRepeat {
			return piece{}, fmt.Errorf("${rep:N:text} expected, got %q", s)
		}
		return piece{pieceText, strings.Repeat(unit, n)}, nil
	}
	return piece{}, fmt.Errorf("${%s} is not known", s)
}

// nameLen returns the length of the variable name at the start of s, 0 if none.
func nameLen(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || s[i] < '0' || s[i] > '9') {
			return i
		}
	}
	return len(s)
}

// expand puts the pieces of a server line together.
func expand(pieces []piece, vars map[string]string) (string, error) {
	var b strings.Builder
	for _, p := range pieces {
		if p.kind != pieceValue {
			b.WriteString(p.text)
			continue
		}
		v, ok := vars[p.text]
		if !ok {
			return "", fmt.Errorf("variable $%s holds nothing yet", p.text)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// match compares a client's line with a pattern and keeps what the pattern captures.
func match(pieces []piece, vars map[string]string, line string) (bool, error) {
	var b strings.Builder
	var names []string
	b.WriteString(`(?s)\A`)
	for _, p := range pieces {
		switch p.kind {
		case pieceText:
			b.WriteString(quoteBytes(p.text))
		case pieceAny:
			b.WriteString(`.*`)
		case pieceCapture:
			names = append(names, p.text)
			b.WriteString(`([^ ]+?)`)
		case pieceValue:
			v, ok := vars[p.text]
			if !ok {
				return false, fmt.Errorf("variable $%s holds nothing yet", p.text)
			}
			b.WriteString(quoteBytes(v))
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return false, err
	}
	m := re.FindStringSubmatch(latin1(line))
	if m == nil {
		return false, nil
	}
	for i, name := range names {
		vars[name] = fromLatin1(m[i+1])
	}
	return true, nil
}

// The expression works on characters, the wire on bytes: both sides are widened so
// that one byte is one character, which keeps invalid UTF-8 exact.

func quoteBytes(s string) string { return regexp.QuoteMeta(latin1(s)) }

func latin1(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

func fromLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}
