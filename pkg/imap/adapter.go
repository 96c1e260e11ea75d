package imap

import (
	"io"
	"strings"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// source lets the decoder read from the connection.
type source struct {
	conn *wire.Conn
	pace pace
}

func (s *source) ReadLine(max int) ([]byte, error) { return s.conn.ReadLine(max) }
func (s *source) Literal(n int64) io.Reader {
	return &paced{pace: &s.pace, lit: s.conn.Literal(n), conn: s.conn}
}

// output lets the encoder write to the connection.
type output struct {
	conn   *wire.Conn
	shown  int // how many words of the command the trace shows; 0: all of it
	hidden bool
}

// WriteLine sends a line. The trace shows "tag LOGIN [secret]" when told to.
func (o *output) WriteLine(line string) error {
	if o.shown == 0 || o.hidden {
		return o.conn.WriteLine(line)
	}
	if strings.ContainsAny(line, "\r\n\x00") {
		return &wire.ArgumentError{Msg: "a command must not hold CR, LF or NUL"}
	}
	shown := wordsEnd(line, o.shown)
	if _, err := o.conn.WriteString(line[:shown]); err != nil {
		return err
	}
	o.hidden = true
	o.conn.HideCommands(true)
	_, err := o.conn.WriteString(line[shown:] + "\r\n")
	return err
}

// wordsEnd is where the n-th word of line and the space behind it end.
func wordsEnd(line string, n int) int {
	at := 0
	for range n {
		i := strings.IndexByte(line[at:], ' ')
		if i < 0 {
			return len(line)
		}
		at += i + 1
	}
	return at
}

// Write sends octets of a literal.
func (o *output) Write(p []byte) (int, error) {
	if o.shown > 0 {
		return o.conn.Write(p)
	}
	return o.conn.WriteData(p)
}

// hide makes the trace show n words of the following commands; 0 ends it.
func (o *output) hide(n int) {
	o.shown = n
	if n == 0 && o.hidden {
		o.hidden = false
		o.conn.HideCommands(false)
	}
}
