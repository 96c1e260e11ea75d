package main

import (
	"errors"
	"fmt"

	"github.com/mail-toolkit/mail/pkg/smtp"
)

// sentJSON is what became of one recipient.
type sentJSON struct {
	Recipient string `json:"recipient"`
	Status    string `json:"status"` // "accepted", "refused", "deferred"
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Text      string `json:"text,omitempty"`
	MessageID string `json:"messageId"`
	Uncertain bool   `json:"uncertain,omitempty"` // deferred, and may have been delivered
}

// outcome reports what became of a message. Its error is one of standard output.
func (d *delivery) outcome(m *outgoing, r *smtp.Result, err error) error {
	d.accepted += len(r.Accepted())
	if d.c.json {
		for _, rcpt := range r.Rcpt {
			if e := d.c.printJSON(sentLine(m, rcpt)); e != nil {
				return e
			}
		}
	}
	if err != nil {
		d.complain(m, r, err)
	}
	return nil
}

func sentLine(m *outgoing, rcpt smtp.RcptResult) sentJSON {
	line := sentJSON{Recipient: rcpt.Addr, Status: "accepted", Code: rcpt.Reply.Code, Enhanced: rcpt.Reply.Enhanced, Text: rcpt.Reply.Text,
		MessageID: m.id, Uncertain: rcpt.Lost}
	if rcpt.Err == nil {
		return line
	}
	line.Status = "refused"
	if rcpt.Err.Temporary() {
		line.Status = "deferred"
	}
	if line.Code == 0 {
		line.Text = rcpt.Err.Status()
	}
	return line
}

// complain writes one line for each recipient that was refused, or one for the message when that was refused as a whole.
func (d *delivery) complain(m *outgoing, r *smtp.Result, err error) {
	place := d.target.Label()
	if d.source.many && !d.alone() {
		place += fmt.Sprintf(": message %d", m.number)
	}
	var partial *smtp.PartialError
	var none *smtp.NoRecipientError
	if !errors.As(err, &partial) && !errors.As(err, &none) {
		d.fail(fmt.Errorf("%s: %w", place, err))
		return
	}
	for _, rcpt := range r.Refused() {
		fmt.Fprintf(d.c.stderr, "mail: %s: %s: %s\n", d.c.errText(place), d.c.errText(rcpt.Addr), d.c.errText(rcpt.Err.Status()))
	}
	if hint := firstHint(r.Refused()); hint != "" {
		fmt.Fprintf(d.c.stderr, "mail: hint: %s\n", hint)
	}
	if code := exitCode(err); d.code == exitOK || d.code == exitTemporary {
		d.code = code
	}
}

func firstHint(refused []smtp.RcptResult) string {
	for _, r := range refused {
		if hint := r.Err.Hint(); hint != "" {
			return hint
		}
	}
	return ""
}

// alone is true when the message reported is the only one of its stream.
func (d *delivery) alone() bool {
	if d.ahead == nil {
		d.ahead = d.take()
	}
	return d.ended && d.last == 1
}
