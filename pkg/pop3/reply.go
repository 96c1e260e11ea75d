package pop3

import (
	"bytes"
	"fmt"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// readReply reads the status line that answers verb and returns the text after +OK, which is valid until the next
// read. -ERR is an *Error. Replies that are owed from before come first.
func (c *Client) readReply(verb string) ([]byte, error) {
	if c.owedCapa {
		c.owedCapa = false
		if err := c.readCapa(); err != nil {
			return nil, err
		}
	}
	line, err := c.readLine(verb)
	if err != nil {
		return nil, err
	}
	ok, text, err := parseReply(line)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", verb, c.conn.Fail(err))
	case !ok:
		return nil, newError(verb, text)
	}
	return text, nil
}

func (c *Client) readLine(verb string) ([]byte, error) {
	line, err := c.conn.ReadLine(maxLine)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return line, nil
}

// parseReply splits a status line (RFC 1939 §3). Anything but +OK and -ERR cannot be framed, as nobody knows whether
// lines follow.
func parseReply(line []byte) (ok bool, text []byte, err error) {
	if rest, found := bytes.CutPrefix(line, []byte("+OK")); found && endsWord(rest) {
		return true, bytes.TrimSpace(rest), nil
	}
	if rest, found := bytes.CutPrefix(line, []byte("-ERR")); found && endsWord(rest) {
		return false, bytes.TrimSpace(rest), nil
	}
	return false, nil, &wire.ProtocolError{Msg: fmt.Sprintf("neither +OK nor -ERR: %q", clip(line, 80))}
}

func endsWord(rest []byte) bool {
	return len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t'
}

func clip(p []byte, n int) []byte {
	if len(p) > n {
		return p[:n]
	}
	return p
}

// number reads the decimal number at the start of p and returns what follows it and the blanks after it. There must be
// at least one digit, no sign, and a blank or the end behind it.
func number(p []byte, max int64) (n int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(p) && '0' <= p[i] && p[i] <= '9'; i++ {
		d := int64(p[i] - '0')
		if n > (max-d)/10 {
			return 0, p, false
		}
		n = n*10 + d
	}
	if i == 0 || !endsWord(p[i:]) {
		return 0, p, false
	}
	return n, bytes.TrimLeft(p[i:], " \t"), true
}

// numbered is "number rest", the form of every line in a listing and of the reply to LIST n and UIDL n.
func numbered(p []byte) (n int, rest []byte, ok bool) {
	v, rest, ok := number(p, maxNumber)
	return int(v), rest, ok && v > 0
}

func badReply(verb string, text []byte) error {
	return fmt.Errorf("%s: %w", verb, &wire.ProtocolError{Msg: fmt.Sprintf("unexpected answer %q", clip(text, 80))})
}
