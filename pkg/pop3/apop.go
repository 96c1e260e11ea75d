package pop3

import (
	"context"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// apop logs in by APOP (RFC 1939 §7). It needs no TLS, and it is weak: only who asks for it gets it.
func (c *Client) apop(ctx context.Context, cr *auth.Credentials) error {
	if err := checkName(cr.User); err != nil {
		return err
	}
	if strings.Contains(cr.User, " ") {
		return &auth.Error{Mechanism: "APOP", Text: "the user name has a space in it"}
	}
	digest, err := auth.APOP(ctx, c.timestamp, cr)
	if err != nil {
		return err
	}
	line := "APOP " + cr.User
	if err := c.conn.WriteSecret(line, line+" "+digest); err != nil {
		return fmt.Errorf("APOP: %w", err)
	}
	c.conn.HideReplies(true)
	defer c.conn.HideReplies(false)
	_, err = c.readReply("APOP")
	return loginError("APOP", err, auth.NewSecret(digest))
}
