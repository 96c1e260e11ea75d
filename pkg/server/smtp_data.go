package server

import "errors"

const (
	maxTextLine = 1 << 20  // octets of a line; RFC 5321 §4.5.3.1.6 asks for 998 and programs send more
	maxTooMuch  = 64 << 20 // octets that are read and thrown away after a message was found too big
)

// errFlood is a client that goes on sending after its message is too big.
var errFlood = errors.New("far too big")

// data is DATA (RFC 5321 §4.1.1.4).
func (m *smtpSession) data(arg string) error {
	early := m.conn.Buffered() > 0
	switch r := m.mayData(arg); {
	case r != nil && early && m.piped():
		return errors.Join(m.refused(r), errHangUp) // or the text would be taken for commands
	case r != nil:
		return m.refused(r)
	case early && !m.piped(): // RFC 2920 §3.1: DATA is the last command of a group
		return errors.Join(m.reply(554, "5.5.0", "the text came before the reply to DATA"), errHangUp)
	}
	if err := m.reply(354, "", "go ahead, end with a dot"); err != nil {
		return err
	}
	m.begin()
	_, err := m.conn.DotReader().WriteTo(m.cutWriter(textSink{m}, m.hit.cutAt))
	switch {
	case errors.Is(err, errLineEnd):
		return errors.Join(m.refused(m.acceptable()), errHangUp)
	case errors.Is(err, errFlood):
		return errors.Join(m.reply(552, "5.3.4", "the message is far too big"), errHangUp)
	case err != nil:
		return err
	}
	return m.finish()
}

// begin makes ready for the text.
func (m *smtpSession) begin() { m.spool, m.text = m.srv.newSpool(), textChecker{} }

func (m *smtpSession) mayData(arg string) *smtpRefusal {
	switch {
	case arg != "":
		return refuse(501, "5.5.4", "DATA takes no argument")
	case m.mail == nil:
		return refuse(503, "5.5.1", "MAIL comes first")
	case len(m.rcpt) == 0:
		return refuse(503, "5.5.1", "no valid recipients")
	case m.spool != nil:
		return refuse(503, "5.5.1", "the text goes on with BDAT")
	case m.mail.binary:
		return refuse(503, "5.5.1", "a binary message needs BDAT") // RFC 3030 §3
	}
	return nil
}

// textSink takes the text of DATA into the spool. After a CR or LF that stands alone nobody can tell where the text
// ends: the session is over.
type textSink struct{ m *smtpSession }

func (t textSink) Write(p []byte) (int, error) {
	sp := t.m.spool
	if err := t.m.text.check(p); err != nil {
		sp.err = err
		return 0, err
	}
	if sp.lost > maxTooMuch {
		return 0, errFlood
	}
	return sp.Write(p)
}
