package smtp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Caps for one reply. RFC 5321 §4.5.3.1.5 allows 512 octets a line; real servers send more.
const (
	maxReplyLine  = 64 << 10
	maxReplyLines = 1000
	maxReplyBytes = 1 << 20
	maxText       = 2048 // octets of a reply's text that are kept
	maxShown      = 512  // octets of it in an error message
)

// Reply is what the server answered.
type Reply struct {
	Code     int    // three digits; 0: there was no reply
	Enhanced string // enhanced status code (RFC 3463) such as "5.1.1", or ""
	Text     string // the words of all lines on one line; control characters escaped, long texts shortened
}

// String is the reply as one line: code, enhanced code and text.
func (r Reply) String() string {
	var b strings.Builder
	if r.Code != 0 {
		b.WriteString(strconv.Itoa(r.Code))
	}
	for _, s := range []string{r.Enhanced, r.Text} {
		if s != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(s)
		}
	}
	return b.String()
}

// reply is a Reply with its lines as they came, for EHLO and SASL challenges.
type reply struct {
	Reply
	lines [][]byte // text of each line, without code and separator
	size  int      // octets of it all, with line ends
}

func (r reply) class() int { return r.Code / 100 }

func (r reply) quote() string { return strconv.Quote(shorten(r.String(), 100)) }

func (r reply) toError(command string) *Error {
	return &Error{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Command: command, Phase: phaseOf(command)}
}

// readReply reads one reply of one or many lines (RFC 5321 §4.2). A line that does not begin with a code, a code
// outside 2yz to 5yz and lines that disagree about the class cannot be framed: the connection is dead then. Lines that
// disagree about the last two digits are taken by the last line, as RFC 5321 §4.2.1 lets the first digit decide.
func readReply(conn *wire.Conn) (reply, error) {
	var r reply
	var words []byte
	total := 0
	for {
		line, err := conn.ReadLine(maxReplyLine)
		if err != nil {
			return reply{}, err
		}
		code, text, last, err := parseReplyLine(line)
		if err == nil && len(r.lines) > 0 && code/100 != r.class() {
			err = fmt.Errorf("lines of one reply disagree: %d and %d", r.Code, code)
		}
		total += len(line)
		if err == nil && (total > maxReplyBytes || len(r.lines) == maxReplyLines) {
			err = fmt.Errorf("reply of more than %d lines or %d octets", maxReplyLines, maxReplyBytes)
		}
		if err != nil {
			return reply{}, conn.Fail(&wire.ProtocolError{Msg: err.Error()})
		}
		r.Code = code
		r.lines = append(r.lines, bytes.Clone(text))
		r.Enhanced, words = gather(r.Enhanced, words, text, code)
		if last {
			r.Text = escape(words, maxText)
			r.size = total + len("\r\n")*len(r.lines)
			return r, nil
		}
	}
}

// parseReplyLine splits code, separator and text; the text is part of line.
func parseReplyLine(line []byte) (code int, text []byte, last bool, err error) {
	if len(line) < 3 || !digits(line[:3]) || line[0] < '2' || line[0] > '5' ||
		len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, nil, false, fmt.Errorf("not an SMTP reply: %s%s", strconv.Quote(string(line[:min(len(line), 80)])), speaks(line))
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, nil, true, nil
	}
	return code, line[4:], line[3] == ' ', nil
}

// speaks names the protocol that a first line belongs to, as a wrong port is the usual reason.
func speaks(line []byte) string {
	switch {
	case bytes.HasPrefix(line, []byte("+OK")) || bytes.HasPrefix(line, []byte("-ERR")):
		return " (this is a POP3 server)"
	case bytes.HasPrefix(line, []byte("* ")):
		return " (this is an IMAP server)"
	case bytes.HasPrefix(line, []byte("HTTP/")):
		return " (this is an HTTP server)"
	}
	return ""
}

func digits(p []byte) bool {
	for _, b := range p {
		if b < '0' || b > '9' {
			return false
		}
	}
	return true
}

// gather takes the enhanced code off a line and adds its words to those before.
func gather(enhanced string, words, text []byte, code int) (string, []byte) {
	found, rest := enhancedCode(text, code)
	if found != "" {
		text = rest
		if enhanced == "" {
			enhanced = found
		}
	}
	text = bytes.TrimSpace(text)
	if len(words) > maxText || len(text) == 0 {
		return enhanced, words
	}
	if len(words) > 0 {
		words = append(words, ' ')
	}
	return enhanced, append(words, text...)
}

// enhancedCode finds class "." subject "." detail at the beginning of text (RFC 2034 §4). One whose class contradicts
// the reply code is left in the text.
func enhancedCode(text []byte, code int) (enhanced string, rest []byte) {
	word, rest, _ := bytes.Cut(text, []byte{' '})
	if len(word) < 5 || len(word) > 9 || int(word[0]-'0') != code/100 || word[1] != '.' {
		return "", nil
	}
	subject, detail, ok := bytes.Cut(word[2:], []byte{'.'})
	if !ok || len(subject) < 1 || len(subject) > 3 || len(detail) < 1 || len(detail) > 3 || !digits(subject) || !digits(detail) {
		return "", nil
	}
	return string(word), rest
}

// escape makes text from the network fit for a terminal and a log line: everything that does not print is shown by its
// number, and at most max octets are kept.
func escape(text []byte, max int) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.Write(text[:n])
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
		if b.Len() > max {
			break
		}
	}
	return shorten(b.String(), max)
}

// shorten cuts s to at most max octets at a character's border and marks the cut.
func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := max - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
