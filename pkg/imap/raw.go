package imap

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// RawLiteral is a literal in a raw command: Body gives exactly Size octets.
type RawLiteral struct {
	Size int64
	Body io.Reader
}

// Raw sends a command as a person wrote it, without its tag, and writes the
// untagged responses to w as they come, octet for octet, with their line ends and
// literals. literals stand between the texts, of which there is one more. It
// returns what the server says behind OK.
//
// The Client does not learn from what is said: after a Raw it may be used for
// more of them, and closed. Commands that change the connection itself are an
// error: STARTTLS, AUTHENTICATE, LOGIN, COMPRESS, IDLE.
//
// Errors: *[Error] for NO and BAD, those of w, which end the connection.
func (c *Client) Raw(ctx context.Context, texts []string, literals []RawLiteral, w io.Writer) (string, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated); err != nil {
		return "", err
	}
	if err := checkRaw(texts, literals); err != nil {
		return "", err
	}
	for len(c.pending) > 0 {
		if err := c.step(); err != nil {
			return "", err
		}
	}
	r := &rawCommand{c: c, w: w, tag: c.nextTag()}
	wait := c.enc.Wait
	c.enc.Wait = func() error { return r.await(true) }
	defer func() { c.enc.Wait = wait }()
	c.enc.Literals = c.literals()
	c.enc.Begin(r.tag).SP().Raw(texts[0])
	for i, l := range literals {
		c.enc.Literal(l.Size, l.Body).Raw(texts[i+1])
	}
	err := c.enc.End()
	if err != nil && !r.done { // of a literal's reader: the server waits for the rest
		return "", c.conn.Fail(err)
	}
	if err := r.await(false); err != nil {
		return "", err
	}
	return r.text, nil
}

// checkRaw refuses commands behind which the connection is another one, and those
// that cannot be sent to their end.
func checkRaw(texts []string, literals []RawLiteral) error {
	if len(texts) != len(literals)+1 {
		return &wire.ArgumentError{Msg: "raw command: literals do not fit in"}
	}
	words := strings.Fields(texts[0])
	if len(words) == 0 {
		return &wire.ArgumentError{Msg: "raw command: nothing to send"}
	}
	verb := strings.ToUpper(words[0])
	if end := strings.IndexAny(verb, `(){%*"\`); end > 0 { // a server may read no further
		verb = verb[:end]
	}
	switch verb {
	case "STARTTLS", "AUTHENTICATE", "LOGIN", "COMPRESS", "IDLE":
		return &wire.ArgumentError{Msg: "raw command: " + verb + " cannot be sent this way"}
	}
	e := imapwire.NewEncoder(nil)
	for _, text := range texts {
		e.Raw(text)
	}
	for _, l := range literals {
		if l.Size < 0 {
			return &wire.ArgumentError{Msg: "raw command: negative literal size"}
		}
	}
	if err := e.Err(); err != nil {
		return &wire.ArgumentError{Msg: "raw command: " + err.Error()}
	}
	return nil
}

// rawCommand is one Raw under way.
type rawCommand struct {
	c    *Client
	w    io.Writer
	tag  string
	done bool
	text string // behind OK
	err  error  // of the tagged reply
	bye  error
}

// await passes responses on up to the tagged one, or a request to continue if
// that may come.
func (r *rawCommand) await(literal bool) error {
	for !r.done {
		line, err := r.c.conn.ReadLine(maxSearchLine)
		if err != nil && r.bye != nil {
			return r.bye
		}
		if err != nil {
			return r.c.deadOr(err)
		}
		switch {
		case bytes.HasPrefix(line, []byte("+")) && literal:
			return nil
		case bytes.HasPrefix(line, []byte("* ")):
			err = r.untagged(line)
		case bytes.HasPrefix(line, []byte(r.tag+" ")):
			err = r.tagged(line)
		default:
			err = r.c.protocolError("a reply that is none: %q", clip(string(line)))
		}
		if err != nil {
			return err
		}
	}
	return r.err
}

// tagged takes the reply to the command.
func (r *rawCommand) tagged(line []byte) error {
	status, rest, _ := strings.Cut(string(line[len(r.tag)+1:]), " ")
	status, r.done = strings.ToUpper(status), true
	switch status {
	case "OK":
		r.text = rest
	case "NO", "BAD":
		r.err = newError("raw command", status, imapwire.NewTextDecoder([]byte(rest)).RespText())
	default:
		return r.c.protocolError("reply %q to a command", clip(status))
	}
	return nil
}

// untagged writes one response with its literals. The text of a status has none,
// whatever it ends in.
func (r *rawCommand) untagged(line []byte) error {
	word, rest, _ := bytes.Cut(line[2:], []byte(" "))
	status := false
	switch strings.ToUpper(string(word)) {
	case "BYE":
		r.bye = newError("raw command", "BYE", imapwire.NewTextDecoder(bytes.Clone(rest)).RespText())
		status = true
	case "OK", "NO", "BAD", "PREAUTH":
		status = true
	}
	for {
		n, literal := rawLiteral(line)
		if err := r.write(line, "\r\n"); err != nil {
			return err
		}
		if !literal || status {
			return nil
		}
		if _, err := io.Copy(rawWriter{r}, r.c.source.Literal(n)); err != nil {
			return r.c.deadOr(err)
		}
		var err error
		if line, err = r.c.conn.ReadLine(maxSearchLine); err != nil {
			return r.c.deadOr(err)
		}
	}
}

// rawWriter ends the connection when the caller's writer fails: what is on its
// way could not be skipped cheaply.
type rawWriter struct{ r *rawCommand }

func (w rawWriter) Write(p []byte) (int, error) {
	n, err := w.r.w.Write(p)
	if err != nil {
		w.r.c.conn.Fail(err)
	}
	return n, err
}

func (r *rawCommand) write(line []byte, end string) error {
	if _, err := (rawWriter{r}).Write(line); err != nil {
		return err
	}
	_, err := io.WriteString(rawWriter{r}, end)
	return err
}

// rawLiteral tells if a line ends in the announcement of a literal.
func rawLiteral(line []byte) (size int64, ok bool) {
	at := bytes.LastIndexByte(line, '{')
	if at < 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	digits := string(line[at+1 : len(line)-1])
	n, err := strconv.ParseInt(digits, 10, 63)
	return n, err == nil && digits[0] != '-' && digits[0] != '+'
}
