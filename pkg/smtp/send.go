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
//   - *LimitError: the server takes no more messages on this connection; nothing was sent. Recipients beyond the server's
//     limits are refused with one, and can be sent to in another transaction (see Error.TooMany)
//   - *UncertainError: the text was sent and the final reply is lost, or contradicts those before
//   - wire.ErrBareLineEnd, *BodyError, an error of body: the connection is dead, nothing was committed
//   - any other: the connection is dead, nothing was committed
func (c *Client) Send(ctx context.Context, env *Envelope, body io.Reader) (*Result, error) {
	defer c.conn.Bind(ctx)()
	t, err := c.begin(env)
	if err == nil {
		err = c.transact(t, body)
	}
	if err == nil {
		err = c.settle()
	}
	if c.conn.Err() != nil && err != nil {
		err = c.lastWords(t, err)
	}
	return c.finish(t, err)
}

// lastWait is how long the last words of a server are waited for.
const lastWait = 5 * time.Second

// lastWords is for a connection that died with err while t was being sent, t being the latest transaction. A server
// that does not want the text may say so in the middle of it and close, or stop reading: then a write fails, and the
// reason is there to be read. Replies to earlier commands may be there too. What comes is as good as at any other time,
// only that nothing can be accepted of which the end was not sent. It returns the error that counts.
func (c *Client) lastWords(t *transaction, err error) error {
	died := c.conn.Err()
	last := c.conn.LastWords(c.lastWait, func() error {
		for len(c.owed) > 0 {
			if err := c.receive(); err != nil {
				return onlyRefusal(err)
			}
		}
		if !t.texting || t.end > 0 {
			return nil
		}
		r, err := readReply(c.conn)
		if err != nil || r.class() < 4 {
			return nil
		}
		e := r.toError(cmdFinal)
		e.Phase = PhaseBody
		t.refuse(e)
		return nil
	})
	if last != died {
		return last
	}
	return err
}

// onlyRefusal drops an error that says less than the failed write before it.
func onlyRefusal(err error) error {
	if refusal, ok := err.(*Error); ok {
		return refusal
	}
	return nil
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
	rcpt int   // for stepRcpt
	size int64 // octets that it was expected to have
}

// Replies that nobody reads fill the buffers of both sockets, until the server writes and does not read any more: then
// we must not be writing too (RFC 2920 §3.1). So the replies under way may have maxUnread octets together, each counted
// with the size that those before it had.
const (
	maxUnread        = 48 << 10
	minReplyExpected = 128
	maxReplyExpected = 512 // what RFC 5321 §4.5.3.1.5 allows for a line; before any reply has come
)

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
	data     bool   // DATA was asked for
	texting  bool   // the text was begun
	end      int64  // where in the outgoing stream the text ends; 0: its end was not written
	sent     bool   // the end of the text went out: known when the transaction is over
	finals   int    // final replies that came
	done     bool   // the final reply, or all of them, came
	owing    int    // replies still owed
	disputed error  // the server took the end of a text that it had refused
}

// phase is how far t has come.
func (t *transaction) phase() Phase {
	switch {
	case t.end > 0 && t.sent:
		return PhaseFinal
	case t.texting:
		return PhaseBody
	case !t.mailed:
		return PhaseMail
	case !t.answered():
		return PhaseRcpt
	case t.data:
		return PhaseData
	}
	return PhaseRcpt
}

func (c *Client) begin(env *Envelope) (*transaction, error) {
	t := &transaction{env: env, res: newResult(env)}
	if err := c.conn.Err(); err != nil {
		return t, err
	}
	if c.Remaining() == 0 {
		return t, &LimitError{"MAILMAX", c.Limit("MAILMAX")}
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
		if before := c.newest; before != nil && before.texting && before.refused != nil {
			// Who refuses in the middle of a text may be about to hang up: nothing is trusted to it before it answers.
			if err := c.settle(); err != nil {
				return err
			}
		}
	}
	c.needsRset, c.newest = true, t
	c.mails++
	if err := c.ask(t, stepMail, 0, t.plan.mail); err != nil {
		return err
	}
	for i, line := range t.plan.rcpt {
		if t.refused != nil {
			return nil
		}
		if line == "" { // beyond a limit
			t.replied++
			t.res.Rcpt[i].Err = &Error{Command: cmdRcpt, Phase: PhaseRcpt, Cause: t.plan.limit}
			continue
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
	c.owe(owed{t: t, step: s, rcpt: rcpt})
	if !c.pipelining() {
		return c.settle()
	}
	return nil
}

func (c *Client) owe(o owed) {
	o.size = int64(c.expect)
	c.owed = append(c.owed, o)
	o.t.owing++
	c.window.Sent(o.size)
}

// makeRoom reads replies when the window is full, and then half of them, so that what follows goes out in one group.
func (c *Client) makeRoom() error {
	if !c.window.Full() {
		return nil
	}
	for half := c.window.Pending() / 2; c.window.Pending() > half; {
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
	c.window.Got(o.size)
	c.expect = max(r.size, c.expect-c.expect/8, minReplyExpected)
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
		return c.takeFinal(o.t, r, refusal)
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
