package main

import "github.com/mail-toolkit/mail/pkg/smtp"

// tooMany separates the recipients that the server put off only because one transaction may not have more: 452 4.5.3,
// or 552 5.5.3 of old (RFC 5321 §4.5.3.1.10, RFC 9422 §4.2). They are sent to in another transaction, as long as this
// one got anywhere. The result and the error returned are about the others.
func tooMany(r *smtp.Result, err error) (rest []string, _ *smtp.Result, _ error) {
	if len(r.Accepted()) == 0 || len(r.Refused()) == 0 {
		return nil, r, err
	}
	settled := &smtp.Result{Reply: r.Reply}
	for _, one := range r.Rcpt {
		if e := one.Err; e != nil && e.TooMany() {
			rest = append(rest, one.Addr)
		} else {
			settled.Rcpt = append(settled.Rcpt, one)
		}
	}
	if len(rest) == 0 {
		return nil, r, err
	}
	if refused := settled.Refused(); len(refused) > 0 {
		return rest, settled, &smtp.PartialError{Accepted: settled.Accepted(), Refused: refused}
	}
	return rest, settled, nil
}

// to is the same message for some of its recipients. Both share the spool.
func (m *outgoing) to(rcpt []string) *outgoing {
	part, env := *m, *m.envelope
	env.Rcpt = rcpt
	part.envelope = &env
	return &part
}
