package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// maxCommand is the longest command line in octets, with its CRLF (RFC 2449 §4, RFC 5034 §4).
const maxCommand = 255

// Auth logs in, once, with the strongest way that cr and the server have in common: a SASL mechanism (RFC 5034), else
// USER and PASS. APOP is used only when cr.Mechanism asks for it. A refusal is never followed by a weaker way.
//
// Errors: *auth.Error for wrong credentials, a cleartext connection, or no common way; *Error when the server has
// another reason, which it gives by a response code (maildrop in use, polled too often, SYS/TEMP, SYS/PERM); the errors
// of the password's source; anything else is the connection's.
func (c *Client) Auth(ctx context.Context, cr *auth.Credentials) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready("AUTH", authorization); err != nil {
		return err
	}
	if err := c.nothingUnasked("AUTH"); err != nil {
		return err
	}
	if err := c.login(ctx, cr); err != nil {
		return err
	}
	c.state = transaction
	c.timestamp = ""
	return c.renewCaps()
}

func (c *Client) login(ctx context.Context, cr *auth.Credentials) error {
	named := strings.ToLower(cr.Mechanism)
	if named == auth.APOPCommand {
		return c.apop(ctx, cr)
	}
	if err := c.needCaps(); err != nil {
		return err
	}
	if named == auth.UserCommand {
		return c.userPass(ctx, cr)
	}
	offered, _ := c.caps.Params("SASL")
	m, err := auth.Choose(ctx, offered, cr, c.channel())
	automatic := named == "" || named == auth.Auto
	switch {
	case err == nil:
		return c.sasl(ctx, m)
	case automatic && errors.Is(err, auth.ErrNoMechanism) && cr.Password != nil && c.hasUser():
		return c.userPass(ctx, cr)
	}
	return err
}

// hasUser is whether USER and PASS may be tried: the server announces them, or it is too old to announce anything.
func (c *Client) hasUser() bool { return !c.caps.Supported || c.caps.Has("USER") }

func (c *Client) channel() auth.Channel {
	ep := c.conn.Endpoint()
	return auth.Channel{
		Host: ep.Host, Port: ep.Port, Protocol: string(wire.POP3), TLS: c.conn.TLS(), Loopback: ep.Loopback(),
	}
}

// sasl runs one SASL exchange.
func (c *Client) sasl(ctx context.Context, m auth.Mechanism) error {
	c.conn.HideReplies(true)
	defer c.conn.HideReplies(false)
	err := auth.Exchange(ctx, m, &saslTransport{c: c}, true)
	if err == nil {
		return nil
	}
	var failed *auth.Error
	var refused *Error
	switch {
	case !errors.As(err, &failed):
		return err
	case !errors.As(failed.Err, &refused): // our side gave up: do not go on with such a server
		c.kill(err)
		return err
	}
	refused.Text = failed.Text // without secrets that the server repeated
	if refused.otherReason() {
		return refused
	}
	return failed
}

// otherReason is true for a login that was refused although the credentials may be right (RFC 2449 §8, RFC 3206).
func (e *Error) otherReason() bool {
	return e.is("IN-USE") || e.is("LOGIN-DELAY") || e.is("SYS")
}

// loginError turns a refusal of USER, PASS or APOP into the error of Auth, without the secret.
func loginError(mechanism string, err error, secret auth.Secret) error {
	var refused *Error
	if !errors.As(err, &refused) {
		return secret.Scrub(err)
	}
	refused.Text = secret.Blank(refused.Text)
	if refused.otherReason() {
		return refused
	}
	return &auth.Error{Mechanism: mechanism, Text: refused.Text, Temp: refused.Temporary(), Err: refused}
}

// saslTransport carries a SASL exchange over AUTH (RFC 5034).
type saslTransport struct {
	c    *Client
	late []byte // an initial response that cannot go with the command: it answers the first challenge
	data []byte // the last challenge
}

// Start implements auth.Transport.
func (t *saslTransport) Start(mech string, ir []byte) error {
	line := "AUTH " + mech
	if !oneWord(mech) {
		return &wire.ArgumentError{Msg: fmt.Sprintf("%q is not a mechanism", mech)}
	}
	if ir == nil {
		return t.c.conn.WriteLine(line)
	}
	encoded := base64.StdEncoding.EncodeToString(ir)
	if encoded == "" {
		encoded = "="
	}
	// Office 365 takes no token with the command, however short (getmail6#256).
	if len(line)+1+len(encoded)+2 > maxCommand || strings.EqualFold(mech, auth.XOAuth2) {
		t.late = ir
		return t.c.conn.WriteLine(line)
	}
	return t.c.conn.WriteSecret(line, line+" "+encoded)
}

// Challenge implements auth.Transport.
func (t *saslTransport) Challenge() (data []byte, more bool, err error) {
	data, more, err = t.read()
	if t.late == nil || err != nil || !more {
		return data, more, err
	}
	ir := t.late
	t.late = nil
	if len(data) > 0 {
		return nil, false, t.c.fail("AUTH", "a challenge came where the initial response was due")
	}
	if err := t.Respond(ir); err != nil {
		return nil, false, err
	}
	return t.read()
}

func (t *saslTransport) read() (data []byte, more bool, err error) {
	line, err := t.c.readLine("AUTH")
	if err != nil {
		return nil, false, err
	}
	if string(line) == "+" || strings.HasPrefix(string(clip(line, 2)), "+ ") {
		return t.decode(line[1:])
	}
	ok, text, err := parseReply(line)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("AUTH: %w", t.c.conn.Fail(err))
	case !ok:
		refused := newError("AUTH", text)
		return nil, false, &auth.Error{Text: refused.Text, Temp: refused.Temporary(), Err: refused}
	}
	return nil, false, nil
}

// decode reads a challenge. What is no base64 is given up properly, so that the server says its last word.
func (t *saslTransport) decode(text []byte) (data []byte, more bool, err error) {
	text = []byte(strings.TrimSpace(string(text)))
	t.data = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(t.data, text)
	if err == nil {
		t.data = t.data[:n]
		return t.data, true, nil
	}
	if err := t.Cancel(); err == nil {
		_, _ = t.c.readLine("AUTH")
	}
	return nil, false, &auth.Error{Text: "the server's challenge is not base64"}
}

// Respond implements auth.Transport.
func (t *saslTransport) Respond(resp []byte) error {
	return t.c.conn.WriteSecret("", base64.StdEncoding.EncodeToString(resp))
}

// Cancel implements auth.Transport.
func (t *saslTransport) Cancel() error { return t.c.conn.WriteLine("*") }
