package smtp

import (
	"context"
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

const (
	cmdMail  = "MAIL FROM"
	cmdRcpt  = "RCPT TO"
	cmdData  = "DATA"
	cmdChunk = "BDAT"
	cmdFinal = "end of data"
)

// Send delivers one message: body is its text in wire form and is read to its end. The result is never nil and says
// what became of every recipient; the error sums it up:
//
//   - nil: every recipient was accepted
//   - *PartialError: some were
//   - *NoRecipientError: none was, and the text was not committed
//   - *Error: MAIL, DATA or the text was refused; every recipient of the result has it or its own refusal
//   - *CapabilityError, *wire.ArgumentError: the message cannot go through this server, or not at all; nothing was sent
//   - *UncertainError: the text was sent and the final reply is lost
//   - wire.ErrBareLineEnd, *BodyError, an error of body: the connection is dead, nothing was committed
//   - any other: the connection is dead, nothing was committed
func (c *Client) Send(ctx context.Context, env *Envelope, body io.Reader) (*Result, error) {
	defer c.conn.Bind(ctx)()
	t, err := c.begin(env)
	if err == nil {
		err = c.transact(t, body)
	}
	if err == nil {
		err = c.confirm(t)
	}
	return t.finish(err)
}

// confirm sends what is left of t and waits for its replies. A text whose end could not be written was not sent: the
// doubt begins when the write has succeeded.
func (c *Client) confirm(t *transaction) error {
	ended := t.sent
	t.sent = false
	if err := c.conn.Flush(); err != nil {
		return err
	}
	t.sent = ended
	return c.settle()
}

// step is what an owed reply answers.
type step int

const (
	stepRset step = iota
	stepMail
	stepRcpt
	stepData
	stepChunk
	stepFinal
	stepNothing // its reply does not matter
)

// owed is a reply that the server still has to send.
type owed struct {
	t    *transaction
	step step
	rcpt int // for stepRcpt, and for stepFinal over LMTP
}

// replySize is how many octets a reply is expected to have: replies that nobody reads fill the socket's buffers until
// both ends wait for each other (RFC 2920 §3.1).
const replySize = 128

// transaction is one message on its way.
type transaction struct {
	env      *Envelope
	plan     *plan
	res      *Result
	refused  *Error // refusal that concerns the whole message
	mailed   bool   // MAIL was accepted
	ready    bool   // DATA was answered with 354
	accepted []int  // recipients that RCPT accepted
	replied  int    // recipients that RCPT answered
	sent     bool   // the end of the text went out
	finals   int    // final replies still owed
	done     bool   // the final reply, or all of them, came
	owing    int    // replies still owed
}

func (c *Client) begin(env *Envelope) (*transaction, error) {
	t := &transaction{env: env, res: newResult(env)}
	if err := c.conn.Err(); err != nil {
		return t, err
	}
	var err error
	t.plan, err = c.plan(env)
	return t, err
}

// transact sends everything of t, and reads replies as far as it must; the final reply may still be owed. An error is
// one of the connection or of the body.
func (c *Client) transact(t *transaction, body io.Reader) error {
	checked := &checkedBody{r: body, size: t.env.Size, ascii: t.plan.ascii, binary: t.plan.binary}
	var in *chunker
	if t.plan.chunking {
		in = c.chunks(t, checked)
		if err := in.next(); err != nil {
			_ = c.settle() // earlier transactions have replies under way
			return c.abandon(err)
		}
	}
	if err := c.probe(); err != nil {
		return err
	}
	if err := c.envelope(t); err != nil {
		return err
	}
	if t.env.AllOrNone {
		if err := c.settle(); err != nil || len(t.accepted) < len(t.env.Rcpt) {
			return err
		}
	}
	switch {
	case t.hopeless():
		return nil
	case in != nil:
		return c.sendChunks(t, in)
	}
	return c.sendData(t, checked)
}

// envelope sends MAIL and RCPT in one group (RFC 2920 §3.1), as far as the window reaches.
func (c *Client) envelope(t *transaction) error {
	if c.needsRset {
		if err := c.ask(t, stepRset, 0, "RSET"); err != nil {
			return err
		}
		c.needsRset = false
	}
	c.needsRset, c.newest = true, t
	if err := c.ask(t, stepMail, 0, t.plan.mail); err != nil {
		return err
	}
	for i, line := range t.plan.rcpt {
		if t.refused != nil {
			return nil
		}
		if err := c.ask(t, stepRcpt, i, line); err != nil {
			return err
		}
	}
	return nil
}

// pipelining is true when commands may be sent before earlier ones are answered.
func (c *Client) pipelining() bool { return c.window.MaxCommands > 1 }

// ask sends a line whose reply is read later. Replies are read first until the window has room; without pipelining it
// is read at once.
func (c *Client) ask(t *transaction, s step, rcpt int, line string) error {
	if err := c.makeRoom(); err != nil {
		return err
	}
	if err := c.conn.WriteLine(line); err != nil {
		return err
	}
	c.owe(owed{t, s, rcpt})
	if !c.pipelining() {
		return c.settle()
	}
	return nil
}

func (c *Client) owe(o owed) {
	c.owed = append(c.owed, o)
	o.t.owing++
	c.window.Sent(replySize)
}

// makeRoom reads replies when the window is full, and then half of them, so that what follows goes out in one group.
func (c *Client) makeRoom() error {
	if !c.window.Full() {
		return nil
	}
	for c.window.Pending() > c.window.MaxCommands/2 {
		if err := c.receive(); err != nil {
			return err
		}
	}
	return nil
}

// settle sends what is buffered and reads every reply that is owed.
func (c *Client) settle() error {
	for len(c.owed) > 0 {
		if err := c.receive(); err != nil {
			return err
		}
	}
	return c.conn.Flush()
}

// receive reads the oldest owed reply and gives it to its transaction. The error is one of the connection, or 421.
func (c *Client) receive() error {
	o := c.owed[0]
	c.conn.SetTimeout(c.patience(o.step))
	if err := c.conn.Flush(); err != nil {
		return err
	}
	r, err := readReply(c.conn)
	if err != nil {
		return err
	}
	c.owed = c.owed[1:]
	c.heard = time.Now()
	o.t.owing--
	c.window.Got(replySize)
	if err := c.take(o, r); err != nil {
		return err
	}
	if r.Code == 421 { // the end of the connection, whatever it answers (RFC 5321 §3.8)
		return c.conn.Fail(r.toError(o.step.command()))
	}
	return nil
}

func (c *Client) patience(s step) time.Duration {
	switch s {
	case stepData:
		return c.wait.Data
	case stepFinal:
		return c.wait.Final
	case stepChunk:
		return max(c.wait.Block, c.wait.Command)
	}
	return c.wait.Command
}

func (s step) command() string {
	return [...]string{stepRset: "RSET", stepMail: cmdMail, stepRcpt: cmdRcpt, stepData: cmdData, stepChunk: cmdChunk,
		stepFinal: cmdFinal, stepNothing: cmdFinal}[s]
}

// take files a reply. Only the class of a reply counts (RFC 5321 §4.2.1); a class that its command cannot have is a
// reply that cannot be framed.
func (c *Client) take(o owed, r reply) error {
	wanted := 2
	if o.step == stepData {
		wanted = 3
	}
	positive := r.class() == wanted
	if !positive && r.class() < 4 && o.step != stepNothing {
		return c.conn.Fail(&wire.ProtocolError{Msg: o.step.command() + " was answered with " + r.quote()})
	}
	var refusal *Error
	if !positive {
		refusal = r.toError(o.step.command())
	}
	switch o.step {
	case stepRset:
		if refusal != nil {
			return c.conn.Fail(refusal)
		}
	case stepFinal:
		c.takeFinal(o, r, refusal)
	case stepMail:
		o.t.mailed = refusal == nil
		o.t.refuse(refusal)
		if refusal != nil && c.latest(o.t) {
			c.needsRset = false // no transaction was begun
		}
	default:
		o.t.take(o, r, refusal)
	}
	return nil
}

func (t *transaction) take(o owed, r reply, refusal *Error) {
	switch o.step {
	case stepRcpt:
		t.replied++
		t.res.Rcpt[o.rcpt].Reply = r.Reply
		t.res.Rcpt[o.rcpt].Err = refusal
		if refusal == nil {
			t.accepted = append(t.accepted, o.rcpt)
		}
	case stepData:
		t.ready = refusal == nil
		t.refuseText(refusal)
	case stepChunk:
		t.refuseText(refusal)
	}
}

// refuse keeps the first refusal: those that follow are its consequences.
func (t *transaction) refuse(e *Error) {
	if t.refused == nil {
		t.refused = e
	}
}

// hopeless is true when it is known already that nobody gets the message.
func (t *transaction) hopeless() bool {
	return t.refused != nil || t.answered() && len(t.accepted) == 0
}

// latest is true when no other transaction has begun after t.
func (c *Client) latest(t *transaction) bool { return c.newest == t }

// refuseText is refuse for DATA and BDAT, which must fail when there is no recipient: then the recipients' refusals
// tell more.
func (t *transaction) refuseText(e *Error) {
	if len(t.accepted) > 0 {
		t.refuse(e)
	}
}
