package pop3

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// greeting stands for a verb in errors about the server's first line.
const greeting = "greeting"

// Dial connects, reads the greeting and, for an endpoint with StartTLS, upgrades by STLS. o may be nil.
//
// Errors: those of wire.Dial; *Error when the server greets with -ERR or refuses STLS; *wire.ProtocolError for a server
// that does not speak POP3. In all of these cases nothing secret was sent and the connection is closed.
func Dial(ctx context.Context, ep wire.Endpoint, o *Options) (*Client, error) {
	opts := o.orDefaults()
	conn, err := wire.Dial(ctx, ep, opts.Wire)
	if err != nil {
		return nil, err
	}
	return New(ctx, conn, o)
}

// New makes a Client of a connection that has just been made, as Dial does. It owns conn, also when it fails.
func New(ctx context.Context, conn *wire.Conn, o *Options) (*Client, error) {
	c := &Client{conn: conn, opts: o.orDefaults()}
	if err := c.greet(ctx); err != nil {
		c.state = closed
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	line, err := c.readLine(greeting)
	if err != nil {
		return err
	}
	ok, text, err := parseReply(line)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", greeting, c.conn.Fail(wrongService(line, err)))
	case !ok:
		return newError(greeting, text)
	}
	c.timestamp = timestamp(text)
	if c.conn.Endpoint().Security == wire.StartTLS {
		return c.stls(ctx)
	}
	return nil
}

// wrongService names the protocol when the greeting is that of another one.
func wrongService(line []byte, err error) error {
	other := ""
	switch {
	case bytes.HasPrefix(line, []byte("220")), bytes.HasPrefix(line, []byte("554")):
		other = "SMTP"
	case bytes.HasPrefix(line, []byte("* ")):
		other = "IMAP"
	case bytes.HasPrefix(line, []byte("HTTP/")):
		other = "HTTP"
	default:
		return err
	}
	return &wire.ProtocolError{Msg: fmt.Sprintf("this port speaks %s, not POP3", other)}
}

// timestamp finds the msg-id that a greeting carries for APOP (RFC 1939 §7).
func timestamp(text []byte) string {
	from := bytes.IndexByte(text, '<')
	if from < 0 {
		return ""
	}
	to := bytes.IndexByte(text[from:], '>')
	if to < 0 {
		return ""
	}
	ts := string(text[from : from+to+1])
	if strings.ContainsFunc(ts, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return ts
}
