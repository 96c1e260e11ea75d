package smtp

import (
	"io"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// sendData sends the text by DATA (RFC 5321 §4.1.1.4). With pipelining DATA is in the group of the envelope, and the
// envelope of the message before it, so that its reply says whether to go on.
func (c *Client) sendData(t *transaction, body io.Reader) error {
	if err := c.ask(t, stepData, 0, "DATA"); err != nil {
		return err
	}
	if err := c.settle(); err != nil || !t.ready {
		return err
	}
	if t.refused != nil || len(t.accepted) == 0 {
		return c.nothing(t)
	}
	c.conn.SetTimeout(c.wait.Block)
	if _, err := c.conn.WriteDot(body); err != nil {
		return err
	}
	t.sent = true
	c.needsRset = false // the dot ends the transaction, whatever its reply (RFC 5321 §4.1.1.4)
	c.oweFinals(t)
	return nil
}

// nothing answers a 354 that came although nobody is to get the message: a lone dot and a reply that does not matter
// (RFC 2920 §3.1). An LMTP server owes then as many replies as it has recipients, which cannot be known.
func (c *Client) nothing(t *transaction) error {
	if c.lmtp() {
		return c.conn.Fail(&wire.ProtocolError{Msg: "DATA was accepted without a recipient"})
	}
	if err := c.conn.WriteLine("."); err != nil {
		return err
	}
	c.owe(owed{t, stepNothing, 0})
	return c.settle()
}

func (c *Client) oweFinals(t *transaction) {
	if !c.lmtp() {
		t.finals = 1
		c.owe(owed{t, stepFinal, 0})
		return
	}
	t.finals = len(t.accepted)
	for _, i := range t.accepted {
		c.owe(owed{t, stepFinal, i})
	}
}
