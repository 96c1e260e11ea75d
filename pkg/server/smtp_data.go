package server

import (
	"errors"
	"io"
)

const (
	maxTextLine = 1 << 20  // octets of a line; RFC 5321 §4.5.3.1.6 asks for 998 and programs send more
	maxTooMuch  = 64 << 20 // octets that are read and thrown away after a message was found too big
)

// errFlood is a client that goes on sending after its message is too big.
var errFlood = errors.New("far too big")

// data is DATA (RFC 5321 §4.1.1.4).
func (m *smtpSession) data(arg string) error { return m.dataCut(arg, 0) }

// dataCut is DATA with a fault that cuts the connection after so many octets of the text.
func (m *smtpSession) dataCut(arg string, cutAt int64) error {
	if r := m.mayData(arg); r != nil {
		return m.refused(r)
	}
	if m.conn.Buffered() > 0 { // RFC 2920 §3.1: DATA is the last command of a group
		return errors.Join(m.reply(554, "5.5.0", "the text came before the reply to DATA"), errHangUp)
	}
	if err := m.reply(354, "", "go ahead, end with a dot"); err != nil {
		return err
	}
	sp := m.srv.newSpool()
	m.spool = sp
	in := &textSink{spool: sp}
	_, err := m.conn.DotReader().WriteTo(m.cutWriter(in, cutAt))
	switch {
	case errors.Is(err, errLineEnd):
		return errors.Join(m.reply(554, "5.6.0", "CR or LF that stands alone in the text"), errHangUp)
	case errors.Is(err, errFlood):
		return errors.Join(m.reply(552, "5.3.4", "the message is far too big"), errHangUp)
	case err != nil:
		return err
	case in.check.longest > maxTextLine:
		return m.finish(refuse(554, "5.6.0", "line too long in the text"))
	}
	return m.finish(nil)
}

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

// textSink checks the text of DATA on its way into the spool.
type textSink struct {
	check textChecker
	spool *spool
}

func (t *textSink) Write(p []byte) (int, error) {
	if err := t.check.check(p); err != nil {
		return 0, err
	}
	if t.spool.lost > maxTooMuch {
		return 0, errFlood
	}
	return t.spool.Write(p)
}

var _ io.Writer = (*textSink)(nil)
