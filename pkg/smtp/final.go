package smtp

import (
	"errors"
	"slices"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// takeFinal files a reply to the end of the text: one for all recipients, or over LMTP one for each that was accepted,
// in their order (RFC 2033 §4.2). When none was, there is one over LMTP too, which says so.
func (c *Client) takeFinal(t *transaction, r reply, refusal *Error) error {
	if refusal == nil && t.end > c.conn.Sent() {
		return c.conn.Fail(&wire.ProtocolError{Msg: "the text was accepted before its end was sent"})
	}
	if refusal == nil && t.refused != nil && len(t.accepted) > 0 {
		t.disputed = &wire.ProtocolError{Msg: "the text was accepted with " + r.quote() + " after " + t.refused.Command + " was refused"}
		return c.conn.Fail(t.disputed)
	}
	t.finals++
	t.done = !t.plan.each || t.finals >= len(t.accepted)
	t.res.Reply = shorten(r.String(), maxShown)
	if c.latest(t) && refusal == nil {
		c.needsRset = false // a refused BDAT leaves a transaction behind (RFC 3030 §2)
	}
	switch {
	case !t.plan.each:
		t.takeForAll(r, refusal)
	case len(t.accepted) > 0:
		one := &t.res.Rcpt[t.accepted[t.finals-1]]
		one.Reply, one.Err = r.Reply, refusal
		if !t.done {
			c.oweNext(t)
		}
	}
	return nil
}

func (t *transaction) takeForAll(r reply, refusal *Error) {
	t.refuseText(refusal)
	if t.refused != nil {
		return
	}
	for _, i := range t.accepted {
		t.res.Rcpt[i].Reply = r.Reply
	}
}

// oweNext puts one more final reply of t before all others that are owed.
func (c *Client) oweNext(t *transaction) {
	o := owed{t: t, step: stepFinal, size: int64(c.expect)}
	c.owed = slices.Insert(c.owed, 0, o)
	t.owing++
	c.window.Sent(o.size)
}

// finish turns what t has learnt, and the error that ended it, if one did, into the outcome.
func (c *Client) finish(t *transaction, err error) (*Result, error) {
	t.sent = t.end > 0 && t.end <= c.conn.Sent()
	switch {
	case t.disputed != nil:
		t.refused = nil
		return t.res, t.uncertain(t.disputed)
	case t.refused != nil:
		t.mark(t.refused, false)
		return t.res, t.refused
	case t.answered() && len(t.accepted) == 0:
		return t.res, &NoRecipientError{Refused: t.res.Refused()}
	case t.done:
		return t.res, t.outcome()
	case err == nil: // AllOrNone
		return t.res, t.hold()
	}
	var refusal *Error
	closing := errors.As(err, &refusal) // 421 is a clear answer, except where LMTP owes several
	if t.sent && (!closing || t.finals > 0) {
		return t.res, t.uncertain(err)
	}
	if refusal == nil {
		refusal = &Error{Phase: t.phase(), Cause: err}
	}
	t.mark(refusal, false)
	return t.res, err
}

// answered is true when every recipient has its reply to RCPT.
func (t *transaction) answered() bool { return t.replied > 0 && t.replied == len(t.env.Rcpt) }

// mark gives e to every recipient that has no refusal of its own and no final reply.
func (t *transaction) mark(e *Error, lost bool) {
	for i := range t.res.Rcpt {
		r := &t.res.Rcpt[i]
		if r.Err == nil && !t.delivered(i) || !t.mailed && t.refused != nil {
			r.Err, r.Reply, r.Lost = e, e.Reply(), lost
		}
	}
}

// delivered is true when the final reply for recipient i came, over LMTP, where the others may still be owed.
func (t *transaction) delivered(i int) bool {
	return t.plan != nil && t.plan.each && slices.Contains(t.accepted[:min(t.finals, len(t.accepted))], i)
}

// uncertain is for a connection that broke after the end of the text went out.
func (t *transaction) uncertain(err error) error {
	u := &UncertainError{Err: err}
	t.mark(&Error{Command: cmdFinal, Phase: PhaseFinal, Cause: u}, true)
	for _, r := range t.res.Rcpt {
		if r.Lost {
			u.Rcpt = append(u.Rcpt, r.Addr)
		}
	}
	return u
}

// hold is for AllOrNone: the recipients that were accepted are told why they get nothing.
func (t *transaction) hold() error {
	e := &NoRecipientError{Refused: t.res.Refused(), Held: t.res.Accepted()}
	t.mark(&Error{Text: "not sent, as another recipient was refused", Phase: PhaseRcpt}, false)
	return e
}

// outcome is for a text that the server took, at least for one recipient or over LMTP perhaps for none.
func (t *transaction) outcome() error {
	accepted, refused := t.res.Accepted(), t.res.Refused()
	switch {
	case len(refused) == 0:
		return nil
	case len(accepted) == 0:
		return &NoRecipientError{Refused: refused}
	}
	return &PartialError{Accepted: accepted, Refused: refused}
}
