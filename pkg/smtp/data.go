package smtp

import (
	"io"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// sendData sends the text by DATA (RFC 5321 §4.1.1.4). With pipelining DATA is in the group of the envelope, and the
// envelope of the message before it, so that its reply says whether to go on.
func (c *Client) sendData(t *transaction, body io.Reader) error {
	t.data = true
	if err := c.ask(t, stepData, 0, "DATA"); err != nil {
		return err
	}
	if err := c.settle(); err != nil || !t.ready {
		return err
	}
	if t.refused != nil || len(t.accepted) == 0 {
		return c.nothing(t)
	}
	t.texting = true
	c.conn.SetTimeout(c.wait.Block)
	if _, err := c.conn.WriteDot(body); err != nil {
		return err
	}
	c.needsRset = false // the dot ends the transaction, whatever its reply (RFC 5321 §4.1.1.4)
	c.oweFinal(t)
	return nil
}

// nothing answers a 354 that came although nobody is to get the message: a lone dot and a reply that does not matter
// (RFC 2920 §3.1). An LMTP server owes then as many replies as it has recipients, which cannot be known, and where MAIL
// was refused and a recipient accepted, somebody would get an empty message: these connections end.
func (c *Client) nothing(t *transaction) error {
	if c.lmtp() || len(t.accepted) > 0 {
		return c.conn.Fail(&wire.ProtocolError{Msg: "DATA was accepted without " + missing(t)})
	}
	if err := c.conn.WriteLine("."); err != nil {
		return err
	}
	c.owe(owed{t: t, step: stepNothing})
	return c.settle()
}

func missing(t *transaction) string {
	if len(t.accepted) > 0 {
		return "a sender"
	}
	return "a recipient"
}

// oweFinal notes that the end of the text was written. Over LMTP the reply after it is the first of several perhaps:
// the others are counted on when it has come, and with it those to RCPT (see takeFinal).
func (c *Client) oweFinal(t *transaction) {
	t.end = c.conn.Queued()
	c.owe(owed{t: t, step: stepFinal})
}
