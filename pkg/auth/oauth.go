package auth

import (
	"encoding/json"
	"strconv"
	"strings"
)

// newOAuthBearer builds OAUTHBEARER (RFC 7628 §3.1).
func newOAuthBearer(user string, token Secret, ch Channel) Mechanism {
	return oauth(OAuthBearer, token, []byte{1}, func() string {
		s := "n,"
		if user != "" {
			s += "a=" + saslName(user)
		}
		s += ",\x01host=" + ch.Host + "\x01"
		if ch.Port != 0 {
			s += "port=" + strconv.Itoa(ch.Port) + "\x01"
		}
		return s + "auth=Bearer " + token.Reveal() + "\x01\x01"
	})
}

// newXOAuth2 builds XOAUTH2, which Gmail and Microsoft 365 document.
func newXOAuth2(user string, token Secret) Mechanism {
	return oauth(XOAuth2, token, []byte{}, func() string {
		return "user=" + user + "\x01auth=Bearer " + token.Reveal() + "\x01\x01"
	})
}

// saslName escapes a user name for a GS2 header (RFC 5801 §4).
func saslName(s string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s) }

// oauth is what the two have in common. A challenge after the first response reports a failure in JSON; the server
// waits for the answer ack before it sends its refusal (RFC 7628 §3.2.3).
func oauth(name string, token Secret, ack []byte, first func() string) Mechanism {
	var failed *Error
	return &mechanism{
		name:  name,
		start: func() ([]byte, error) { return []byte(first()), nil },
		next: func(challenge []byte) ([]byte, error) {
			if failed != nil {
				return nil, &Error{Mechanism: name, Text: "unexpected second error challenge from the server"}
			}
			failed = &Error{Mechanism: name, Text: oauthStatus(challenge), Hint: oauthHint}
			return ack, nil
		},
		finish: func() error {
			if failed != nil {
				return failed
			}
			return nil
		},
		failure: func() *Error { return failed },
		secrets: []Secret{token},
	}
}

// oauthHint goes with every refused token: an expired one is by far the most frequent reason.
const oauthHint = "the access token may have expired or lack the scope for mail: see what the token command prints"

// oauthStatus renders the error challenge: its status and scope, or the text itself when it is not the JSON promised.
func oauthStatus(challenge []byte) string {
	var v struct {
		Status json.RawMessage `json:"status"`
		Scope  string          `json:"scope"`
	}
	if json.Unmarshal(challenge, &v) != nil || len(v.Status) == 0 {
		return "server reports " + clean(string(challenge))
	}
	s := "status " + clean(strings.Trim(string(v.Status), `"`))
	if v.Scope != "" {
		s += ", scope " + clean(v.Scope)
	}
	return s
}
