package smtp

import "errors"

// takeFinal files a reply to the end of the text: one for all recipients, or over LMTP one for each (RFC 2033 §4.2).
func (c *Client) takeFinal(o owed, r reply, refusal *Error) {
	t := o.t
	t.finals--
	t.done = t.finals == 0
	t.res.Reply = shorten(r.String(), maxShown)
	if c.latest(t) && refusal == nil {
		c.needsRset = false // a refused BDAT leaves a transaction behind (RFC 3030 §2)
	}
	if c.lmtp() {
		t.res.Rcpt[o.rcpt].Reply, t.res.Rcpt[o.rcpt].Err = r.Reply, refusal
		return
	}
	t.refuseText(refusal)
	if refusal == nil && t.refused == nil {
		for _, i := range t.accepted {
			t.res.Rcpt[i].Reply = r.Reply
		}
	}
}

// finish turns what t has learnt, and the error that ended it, if one did, into the outcome.
func (t *transaction) finish(err error) (*Result, error) {
	switch {
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
	if t.sent && !errors.As(err, &refusal) { // 421 is a clear answer
		return t.res, t.uncertain(err)
	}
	if refusal == nil {
		refusal = &Error{Cause: err}
	}
	t.mark(refusal, false)
	if len(t.res.Accepted()) > 0 { // over LMTP, some were delivered before
		return t.res, t.outcome()
	}
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
	if !t.sent || t.finals == 0 || !t.plan.each {
		return false
	}
	for _, a := range t.accepted[:len(t.accepted)-t.finals] {
		if a == i {
			return true
		}
	}
	return false
}

// uncertain is for a connection that broke after the end of the text went out.
func (t *transaction) uncertain(err error) error {
	u := &UncertainError{Err: err}
	t.mark(&Error{Command: cmdFinal, Cause: u}, true)
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
	t.mark(&Error{Text: "not sent, as another recipient was refused"}, false)
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
