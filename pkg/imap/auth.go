package imap

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Auth logs in, once, with the strongest way that cr and the server have in
// common: a SASL mechanism (RFC 9051 §6.2.2), else LOGIN where the server
// offers no mechanism we know and does not forbid it (LOGINDISABLED). A refusal
// is never followed by a weaker way. With a server that greeted with PREAUTH it
// does nothing.
//
// Errors: *auth.Error for wrong credentials, a cleartext connection, or no
// common way; *[Error] when the server has another reason (UNAVAILABLE);
// those of the password's source; anything else is the connection's.
//
// What the server offers behind the login is taken from its reply. Where that
// does not tell, CAPABILITY is sent together with the next command, and so is
// what Options ask for.
func (c *Client) Auth(ctx context.Context, cr *auth.Credentials) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(notAuthenticated); err != nil {
		return err
	}
	if c.state != notAuthenticated {
		return nil
	}
	if err := c.needCaps(); err != nil {
		return err
	}
	if err := c.login(ctx, cr); err != nil {
		return err
	}
	c.state = authenticated
	if c.asked {
		if err := c.sendHello(); err != nil {
			return err
		}
	} else {
		c.asking = &command{later: true}
		if err := c.send(c.asking, "CAPABILITY", nil); err != nil {
			return err
		}
	}
	return c.introduce()
}

func (c *Client) login(ctx context.Context, cr *auth.Credentials) error {
	named := strings.ToLower(cr.Mechanism)
	if named == auth.LoginCommand {
		return c.loginCommand(ctx, cr)
	}
	m, err := auth.Choose(ctx, c.caps.Auth(), cr, c.channel())
	automatic := named == "" || named == auth.Auto
	switch {
	case err == nil:
		return c.authenticate(ctx, m)
	case automatic && cr.Password != nil && errors.Is(err, auth.ErrNoMechanism) && !c.caps.Has("LOGINDISABLED"):
		return c.loginCommand(ctx, cr)
	}
	return err
}

func (c *Client) channel() auth.Channel {
	ep := c.conn.Endpoint()
	return auth.Channel{Host: ep.Host, Port: ep.Port, Protocol: "imap", TLS: c.conn.TLS(), Loopback: ep.Loopback()}
}

// loginCommand sends LOGIN (RFC 9051 §6.2.3).
func (c *Client) loginCommand(ctx context.Context, cr *auth.Credentials) error {
	if c.caps.Has("LOGINDISABLED") {
		return &auth.Error{Mechanism: "LOGIN", Text: "the server does not allow LOGIN on this connection",
			Err: auth.ErrNoMechanism}
	}
	if err := auth.CleartextAllowed(c.channel(), cr); err != nil {
		return err
	}
	secret, err := cr.Secret(ctx)
	if err != nil {
		return err
	}
	c.asked = false // what is offered may change with the login
	c.out.hide(2)
	defer c.out.hide(0)
	c.conn.HideReplies(true) // a server may repeat what it was told
	defer c.conn.HideReplies(false)
	err = c.run(&command{}, "LOGIN", func(e *imapwire.Encoder) {
		e.SP().AString(cr.User).SP().AString(secret.Reveal())
	})
	var refused *Error
	if errors.As(err, &refused) {
		refused.Text = secret.Blank(refused.Text)
	}
	return secret.Scrub(loginError("LOGIN", err))
}

// loginError makes a refusal of the credentials an *auth.Error. One that has
// another reason, told by its code, stays what it is (RFC 5530 §3).
func loginError(mechanism string, err error) error {
	var refused *Error
	if !errors.As(err, &refused) || otherReason(refused) {
		return err
	}
	return &auth.Error{Mechanism: mechanism, Text: refused.reason(), Hint: refused.Hint(), Err: refused}
}

func otherReason(e *Error) bool { return e.Status == "BYE" || e.Temporary() }

// authenticate runs a SASL exchange.
func (c *Client) authenticate(ctx context.Context, m auth.Mechanism) error {
	c.asked = false
	c.conn.HideReplies(true)
	defer c.conn.HideReplies(false)
	defer c.out.hide(0)
	err := auth.Exchange(ctx, m, &transport{c: c}, c.has("SASL-IR") && !c.coremail)
	var failed *auth.Error
	var refused *Error
	switch {
	case err == nil || !errors.As(err, &failed):
		return err
	case !errors.As(failed.Err, &refused): // it broke the mechanism's rules, or could not prove itself
		c.conn.Fail(err)
		return err
	}
	refused.Text, refused.Code, refused.Arg = failed.Text, "", "" // without secrets that the server repeated
	return err
}

// transport carries a SASL exchange over AUTHENTICATE.
type transport struct {
	c     *Client
	cmd   *command
	mech  string
	blank bool   // the first challenge has nothing to say
	got   []byte // the challenge that came
	has   bool
}

// Start sends AUTHENTICATE, with the initial response unless that is nil. An
// empty one is "=" (RFC 4959 §3).
func (t *transport) Start(mech string, ir []byte) error {
	t.mech, t.blank = mech, ir == nil && mech != auth.CramMD5
	t.cmd = &command{label: "authenticate", challenge: func(line []byte) {
		t.got, t.has = append([]byte(nil), line...), true
	}}
	if ir != nil {
		t.c.out.hide(3)
	}
	return t.c.send(t.cmd, "AUTHENTICATE", func(e *imapwire.Encoder) {
		e.SP().Atom(mech)
		switch {
		case ir == nil:
		case len(ir) == 0:
			e.SP().Raw("=")
		default:
			e.SP().Raw(base64.StdEncoding.EncodeToString(ir))
		}
	})
}

// Respond answers a challenge.
func (t *transport) Respond(resp []byte) error {
	return t.c.conn.WriteSecret("", base64.StdEncoding.EncodeToString(resp))
}

// Cancel gives up the exchange; the server's refusal is still to be read.
func (t *transport) Cancel() error { return t.c.conn.WriteLine("*") }

// Challenge reads the next challenge, or the outcome.
func (t *transport) Challenge() (data []byte, more bool, err error) {
	for !t.has && !t.cmd.done {
		if err := t.c.step(); err != nil {
			return nil, false, err
		}
	}
	if t.cmd.done {
		return nil, false, loginError("", t.cmd.result())
	}
	t.has = false
	data, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(t.got)))
	blank := t.blank || t.mech == auth.Login
	t.blank = false
	switch {
	case err == nil:
		return data, true, nil
	case blank: // some servers send words where nothing is to be said
		return nil, true, nil
	}
	return nil, false, t.giveUp()
}

// giveUp cancels an exchange whose challenge cannot be read, and takes the
// server's refusal.
func (t *transport) giveUp() error {
	if err := t.Cancel(); err != nil {
		return err
	}
	if err := t.c.wait(t.cmd); err != nil {
		return err
	}
	return &auth.Error{Mechanism: t.mech, Text: "the server's challenge is not base64"}
}
