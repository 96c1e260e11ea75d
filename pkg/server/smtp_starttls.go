package server

import "errors"

// starttls is STARTTLS (RFC 3207). Commands that came with it in cleartext end the session, and nothing that was said
// before the handshake counts after it (RFC 3207 §4.2).
func (m *smtpSession) starttls(arg string) error {
	switch {
	case arg != "":
		return m.mistake(501, "5.5.4", "STARTTLS takes no argument")
	case m.secure():
		return m.mistake(503, "5.5.1", "TLS is up already")
	case m.conn.Buffered() > 0:
		return errors.Join(m.reply(554, "5.5.1", "commands follow STARTTLS in cleartext"), errHangUp)
	}
	if err := m.reply(220, "2.0.0", "go ahead"); err != nil {
		return err
	}
	if err := m.conn.Flush(); err != nil {
		return err
	}
	m.reset()
	m.hello, m.extended, m.user, m.account = "", false, nil, nil
	return m.startTLS()
}
