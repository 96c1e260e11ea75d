package auth

import (
	"context"
	"errors"
)

// maxRounds caps the challenges of one exchange. The longest mechanism here has two.
const maxRounds = 10

// Exchange runs m over t. InitialResponse says whether the protocol lets the first response travel with the command;
// otherwise it answers the server's first challenge. Success means that the server accepted and, where the mechanism
// has it prove something, did so. An error is an *Error when the server refused, broke the mechanism's rules, or
// failed its own proof; after the last two the connection should be closed. Errors of t come back as they are, but for
// a secret in their words.
func Exchange(ctx context.Context, m Mechanism, t Transport, initialResponse bool) error {
	err := exchange(ctx, m, t, initialResponse)
	var e *Error
	if errors.As(err, &e) {
		return enrich(m, e)
	}
	if own, ok := m.(*mechanism); ok {
		for _, secret := range own.secrets {
			err = secret.Scrub(err)
		}
	}
	return err
}

func exchange(ctx context.Context, m Mechanism, t Transport, initialResponse bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, first, err := m.Start()
	if err != nil {
		return err
	}
	var sent []byte
	if initialResponse {
		sent, first = first, nil
	}
	if err := t.Start(name, sent); err != nil {
		return err
	}
	for range maxRounds {
		challenge, more, err := t.Challenge()
		if err != nil {
			return err
		}
		if !more {
			return finish(m, challenge)
		}
		if err := ctx.Err(); err != nil {
			return giveUp(t, err)
		}
		resp := first
		if first == nil {
			if resp, err = m.Next(challenge); err != nil {
				return giveUp(t, err)
			}
		}
		first = nil
		if err := t.Respond(resp); err != nil {
			return err
		}
	}
	return giveUp(t, &Error{Mechanism: name, Text: "the server goes on with challenges"})
}

// finish believes the server's success, or not. Data that came with it is the mechanism's last challenge.
func finish(m Mechanism, data []byte) error {
	if len(data) > 0 && m.Finish() != nil {
		if _, err := m.Next(data); err != nil {
			return err
		}
	}
	return m.Finish()
}

// giveUp cancels the exchange and reads the refusal the server owes, so that the connection stays in step. The reason
// for giving up is the more useful error, but whether to try again is the server's to say.
func giveUp(t Transport, reason error) error {
	if t.Cancel() != nil {
		return reason
	}
	_, more, err := t.Challenge()
	var e, refusal *Error
	if !more && errors.As(err, &refusal) && errors.As(reason, &e) {
		e.Temp = refusal.Temp
	}
	return reason
}

// enrich completes the error of a refusal: which mechanism, what an error challenge said before, what to do. The
// secrets are blanked in it, for a server may repeat them.
func enrich(m Mechanism, e *Error) *Error {
	out := *e
	if out.Mechanism == "" {
		out.Mechanism = m.Name()
	}
	if own, ok := m.(*mechanism); ok {
		if f := own.failed(); f != nil && f != e {
			out.Text, out.Hint = f.Text+": "+out.Text, f.Hint
		}
		for _, secret := range own.secrets {
			out.Text = secret.Blank(out.Text)
		}
	}
	if hint := hintFor(out.Text); hint != "" {
		out.Hint = hint
	}
	return &out
}

// failed returns what an error challenge said, or nil.
func (m *mechanism) failed() *Error {
	if m.failure == nil {
		return nil
	}
	return m.failure()
}
