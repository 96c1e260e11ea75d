package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// maxAuthLine is the longest AUTH command, with its CRLF (RFC 4954 §4 item 5). A first response that does not fit waits
// for the server's empty challenge.
const maxAuthLine = 12288

// Auth proves who the user is (RFC 4954), with the strongest mechanism that both sides have; see auth.Choose for what
// is allowed where. It is called at most once, before the first Send. Credentials without a user and without EXTERNAL
// or ANONYMOUS asked for mean no authentication: then nothing is sent.
//
// Errors: *auth.Error for a refusal (Temporary for 4yz), *CapabilityError when the server offers no authentication,
// those of the secret's source; others end the connection.
func (c *Client) Auth(ctx context.Context, cr *auth.Credentials) error {
	if cr == nil || cr.User == "" && cr.Mechanism == "" {
		return nil
	}
	return PhaseAuth.in(c.login(ctx, cr))
}

func (c *Client) login(ctx context.Context, cr *auth.Credentials) error {
	defer c.conn.Bind(ctx)()
	if err := c.conn.Err(); err != nil {
		return err
	}
	if c.authed {
		return &wire.ArgumentError{Msg: "already authenticated"}
	}
	offered, ok := c.Extension("AUTH")
	if !ok {
		return c.noAuth()
	}
	ch := auth.Channel{Host: c.endpoint.Host, Port: c.endpoint.Port, Protocol: "smtp", TLS: c.conn.TLS(), Loopback: c.endpoint.Loopback()}
	m, err := auth.Choose(ctx, strings.Fields(offered), cr, ch)
	if err != nil {
		return err
	}
	c.conn.HideReplies(true)
	defer c.conn.HideReplies(false)
	if err := auth.Exchange(ctx, m, &saslTransport{c: c}, true); err != nil {
		return c.authFailed(err)
	}
	c.authed = true
	return nil
}

func (c *Client) noAuth() error {
	e := &CapabilityError{Extension: "AUTH", Msg: "the server offers no authentication"}
	if c.conn.TLS() == nil {
		e.Msg += " without TLS"
	}
	return e
}

// authFailed makes 421 the end of the connection; other refusals leave it usable.
func (c *Client) authFailed(err error) error {
	var refusal *auth.Error
	var reply *Error
	if !errors.As(err, &refusal) || errors.As(err, &reply) && reply.Code == 421 {
		_ = c.conn.Fail(err)
	} else if reply == nil { // the server said yes and failed its own part of the proof
		_ = c.conn.Fail(err)
		_ = c.conn.Close()
	}
	return err
}

// saslTransport carries one exchange as AUTH, 334 and base64 lines.
type saslTransport struct {
	c       *Client
	waiting []byte // the first response when it did not fit the command
}

func (s *saslTransport) Start(mech string, ir []byte) error {
	line := "AUTH " + mech
	if ir == nil {
		return s.c.conn.WriteLine(line)
	}
	text := base64.StdEncoding.EncodeToString(ir)
	if text == "" {
		text = "="
	}
	if len(line)+1+len(text)+2 > maxAuthLine {
		s.waiting = ir
		return s.c.conn.WriteLine(line)
	}
	return s.c.conn.WriteSecret(line, line+" "+text)
}

func (s *saslTransport) Respond(resp []byte) error {
	return s.c.conn.WriteSecret("", base64.StdEncoding.EncodeToString(resp))
}

func (s *saslTransport) Cancel() error { return s.c.conn.WriteLine("*") }

func (s *saslTransport) Challenge() (data []byte, more bool, err error) {
	r, err := s.reply()
	if err != nil || r.class() == 2 {
		return nil, false, err
	}
	if s.waiting != nil {
		first := s.waiting
		s.waiting = nil
		if err := s.Respond(first); err != nil {
			return nil, false, err
		}
		return s.Challenge()
	}
	data, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(r.lines[0])))
	if err != nil {
		return nil, false, s.c.conn.Fail(&wire.ProtocolError{Msg: "a challenge to AUTH is not base64"})
	}
	return data, true, nil
}

// reply reads 2yz or 334; anything else is the refusal.
func (s *saslTransport) reply() (reply, error) {
	s.c.conn.SetTimeout(s.c.wait.Command)
	r, err := s.c.replyNow()
	if err != nil {
		return r, err
	}
	switch r.class() {
	case 2:
		return r, nil
	case 3:
		if r.Code == 334 && len(r.lines) == 1 {
			return r, nil
		}
		return r, s.c.conn.Fail(&wire.ProtocolError{Msg: "AUTH was answered with " + r.quote()})
	}
	return r, authRefusal(r)
}

// authRefusal explains a refusal by its code (RFC 4954 §4 and §6).
func authRefusal(r reply) *auth.Error {
	e := r.toError("AUTH")
	out := &auth.Error{Text: e.Status(), Temp: e.Temporary(), Err: e}
	switch r.Code {
	case 432:
		out.Hint = "the server wants the password to be renewed: sign in once by PLAIN, or with the provider's own tools"
	case 534:
		out.Hint = "the server finds this mechanism too weak: name a stronger one with --auth"
	case 538:
		out.Hint = "the server wants TLS for this mechanism: use smtps or smtp (STARTTLS)"
	case 504:
		out.Hint = "the server does not know the mechanism that it offered: name another one with --auth"
	case 535:
		out.Hint = "check the user name and the password; some providers want an application password"
	}
	return out
}
