package pop3

import (
	"context"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// userPass logs in by USER and PASS (RFC 1939 §7). Both travel together only when the server takes several commands at
// once; otherwise PASS waits for the answer to USER.
func (c *Client) userPass(ctx context.Context, cr *auth.Credentials) error {
	if err := auth.CleartextAllowed(c.channel(), cr); err != nil {
		return err
	}
	secret, err := cr.Secret(ctx)
	if err != nil {
		return err
	}
	if err := checkName(cr.User); err != nil {
		return err
	}
	if strings.ContainsAny(secret.Reveal(), "\r\n\x00") {
		return &auth.Error{Text: "the password has a line end or NUL in it"}
	}
	together := c.pipeline && c.opts.Depth > 1
	if err := c.sendUserPass(cr.User, secret, together); err != nil {
		return loginError("USER", err, secret)
	}
	return nil
}

func (c *Client) sendUserPass(user string, secret auth.Secret, together bool) error {
	pass := func() error { return c.conn.WriteSecret("PASS", "PASS "+secret.Reveal()) }
	if err := c.conn.WriteLine("USER " + user); err != nil {
		return fmt.Errorf("USER: %w", err)
	}
	if together {
		if err := pass(); err != nil {
			return fmt.Errorf("PASS: %w", err)
		}
	}
	c.conn.HideReplies(true)
	defer c.conn.HideReplies(false)
	_, refused := c.readReply("USER")
	if !together {
		if refused != nil {
			return refused
		}
		if err := pass(); err != nil {
			return fmt.Errorf("PASS: %w", err)
		}
	}
	_, err := c.readReply("PASS")
	if refused != nil { // the first refusal is the useful one
		return refused
	}
	return err
}

// checkName refuses a user name that would be more than one argument or line.
func checkName(user string) error {
	if user == "" {
		return &auth.Error{Text: "there is no user name"}
	}
	if strings.ContainsFunc(user, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		return &auth.Error{Text: "the user name has a control character in it", Err: &wire.ArgumentError{Msg: "control character in an argument"}}
	}
	return nil
}
