package server

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// auth is AUTH (RFC 4954).
func (m *smtpSession) auth(arg string) error {
	name, initial, given := strings.Cut(arg, " ")
	switch {
	case !m.extended:
		return m.mistake(503, "5.5.1", "say hello first")
	case m.user != nil || m.mail != nil:
		return m.mistake(503, "5.5.1", "not now")
	case name == "":
		return m.mistake(501, "5.5.4", "AUTH needs a mechanism")
	case !auth.HasMechanism(m.mechanisms(), name):
		return m.noMechanism(name)
	}
	sasl, err := auth.NewServer(name, m.verifier(), m.channel())
	if err != nil {
		return m.mistake(504, "5.5.4", "mechanism not known")
	}
	var response []byte
	if given {
		if response, err = decodeSASL(initial); err != nil {
			return m.mistake(501, "5.5.2", err.Error())
		}
	}
	return m.exchange(sasl, response)
}

// noMechanism tells a mechanism that only TLS is missing for from one that there is not.
func (m *smtpSession) noMechanism(name string) error {
	open := []string{auth.Plain, auth.Login, auth.OAuthBearer, auth.XOAuth2}
	if !m.secure() && slices.Contains(open, strings.ToUpper(name)) {
		return m.reply(538, "5.7.11", "this mechanism needs TLS")
	}
	return m.mistake(504, "5.5.4", "mechanism not known")
}

// exchange goes on from the client's first response to the verdict.
func (m *smtpSession) exchange(sasl auth.Server, response []byte) error {
	for {
		challenge, done, err := sasl.Next(response)
		if err != nil {
			if errors.Is(err, auth.ErrMalformed) {
				return m.mistake(501, "5.5.2", "malformed response")
			}
			if m.quit = m.loginFailed(); m.quit {
				return m.reply(421, "4.7.0", "too many failed logins")
			}
			return m.reply(535, "5.7.8", "authentication failed")
		}
		if done {
			if err := m.login(sasl.User()); err != nil {
				return m.reply(454, "4.7.0", "cannot open the account")
			}
			return m.reply(235, "2.7.0", "logged in")
		}
		if err := m.conn.WriteLine("334 " + base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		switch err := m.readLine(maxAuthLine); {
		case errors.Is(err, errLongLine):
			return m.mistake(500, "5.5.6", "line too long")
		case errors.Is(err, errLineEnd):
			return errors.Join(m.reply(500, "5.5.2", "lines end with CR LF"), errHangUp)
		case err != nil:
			return err
		case string(m.input) == "*":
			return m.mistake(501, "5.0.0", "cancelled")
		}
		if response, err = base64.StdEncoding.Strict().DecodeString(string(m.input)); err != nil {
			return m.mistake(501, "5.5.2", "this is not base64")
		}
	}
}

// decodeSASL reads an initial response, in which "=" stands for an empty one. The result is never nil.
func decodeSASL(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, errors.New("this is not base64")
	}
	return b, nil
}
