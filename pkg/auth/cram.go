package auth

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// newCramMD5 builds CRAM-MD5 (RFC 2195): the password does not travel, but whoever listens can guess at it.
func newCramMD5(user string, password Secret) Mechanism {
	done := false
	return &mechanism{
		name:  CramMD5,
		start: func() ([]byte, error) { return nil, nil },
		next: func(challenge []byte) ([]byte, error) {
			if done {
				return nil, &Error{Mechanism: CramMD5, Text: "unexpected second challenge from the server"}
			}
			done = true
			mac := hmac.New(md5.New, []byte(password.Reveal()))
			mac.Write(challenge)
			return []byte(user + " " + hex.EncodeToString(mac.Sum(nil))), nil
		},
		secrets: []Secret{password},
	}
}

// APOP returns the digest that goes with the POP3 command "APOP user digest" (RFC 1939 §7). Timestamp is the banner's
// message-id with its angle brackets. MD5 over a text of the server's choosing can be made to give away the password,
// so it is refused unless cr.Mechanism asks for it by name, and unless the timestamp is a plain msg-id.
func APOP(ctx context.Context, timestamp string, cr *Credentials) (string, error) {
	if !strings.EqualFold(cr.Mechanism, APOPCommand) {
		return "", &Error{Mechanism: "APOP", Text: "not asked for", Err: ErrNoMechanism, Hint: `APOP is weak; allow it with auth = "apop"`}
	}
	if !validTimestamp(timestamp) {
		return "", &Error{Mechanism: "APOP", Text: "the server's greeting has no valid timestamp", Err: ErrNoMechanism}
	}
	password, err := cr.Secret(ctx)
	if err != nil {
		return "", err
	}
	sum := md5.Sum([]byte(timestamp + password.Reveal()))
	return hex.EncodeToString(sum[:]), nil
}

// validTimestamp reports whether s is a msg-id of printable ASCII: one "@", no brackets inside. Collision attacks on
// APOP (CVE-2007-1558) need octets a msg-id cannot have.
func validTimestamp(s string) bool {
	if len(s) < 5 || len(s) > 512 || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	s = s[1 : len(s)-1]
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '<' || s[i] == '>' {
			return false
		}
	}
	local, host, ok := strings.Cut(s, "@")
	return ok && local != "" && host != "" && !strings.Contains(host, "@")
}
