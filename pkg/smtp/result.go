package smtp

// Result is what became of one message. It is never nil, and has an entry for every recipient, in the envelope's order.
type Result struct {
	Rcpt  []RcptResult
	Reply string // the server's final words, often with its queue id: "250 2.0.0 Ok: queued as 4BF1"; "" when there were none
}

// RcptResult is what became of one recipient.
type RcptResult struct {
	Addr  string
	Err   *Error // nil: the server has taken responsibility for the message to Addr
	Reply Reply  // the reply that decided: the final one when accepted, else the refusal; zero when none came
	Lost  bool   // the text was sent and the reply did not come: Addr may have the message (Err is not nil)
}

// Phase is where the fate of the recipient was settled: PhaseFinal when it was accepted.
func (r *RcptResult) Phase() Phase {
	if r.Err == nil {
		return PhaseFinal
	}
	return r.Err.Phase
}

// Accepted gives the recipients that the server took, Refused the others.
func (r *Result) Accepted() []RcptResult { return r.pick(true) }

// Refused gives the recipients that do not get the message, or of which that is not known.
func (r *Result) Refused() []RcptResult { return r.pick(false) }

func (r *Result) pick(accepted bool) []RcptResult {
	var list []RcptResult
	for _, rcpt := range r.Rcpt {
		if (rcpt.Err == nil) == accepted {
			list = append(list, rcpt)
		}
	}
	return list
}

func newResult(env *Envelope) *Result {
	r := &Result{Rcpt: make([]RcptResult, len(env.Rcpt))}
	for i, addr := range env.Rcpt {
		r.Rcpt[i].Addr = addr
	}
	return r
}
