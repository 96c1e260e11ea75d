package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/smtp"
)

// sentJSON is what became of one recipient.
type sentJSON struct {
	Recipient string `json:"recipient"`
	Status    string `json:"status"`          // "accepted", "refused", "deferred"
	Phase     string `json:"phase,omitempty"` // the step that decided: "connect", "mail", "rcpt", "data", "final", …
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Text      string `json:"text,omitempty"`
	Server    string `json:"server,omitempty"`
	Message   int    `json:"message"` // number in the stream, from 1
	MessageID string `json:"messageId"`
	Uncertain bool   `json:"uncertain,omitempty"` // deferred, and may have been delivered
}

// sendReport gathers what becomes of the messages. It is safe for concurrent use.
type sendReport struct {
	c       *call
	feed    *feed
	results *os.File       // --results
	told    func(sentJSON) // nil: nobody
	sent    *sentCopies
	bar     *progress

	mu       sync.Mutex
	accepted int   // recipients
	later    bool  // what was not accepted may be, another time
	code     int   // exit code so far
	output   error // standard output or the file of results failed
}

// newSendReport opens what the outcome is written to, before anything is sent.
func newSendReport(c *call, o *sendOptions) (*sendReport, error) {
	s := &sendReport{c: c}
	if o.results != "" {
		f, err := os.OpenFile(o.results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, &coded{exitCreate, err}
		}
		s.results = f
	}
	if o.saveSent || o.sentMailbox != "" {
		s.sent = &sentCopies{c: c, mailbox: o.sentMailbox}
	}
	s.bar = c.newProgress("sending", -1)
	return s, nil
}

// ready makes sure, before anything is sent through an account, that what belongs to it afterwards can be done.
func (s *sendReport) ready(t *config.Target) error {
	if s.sent == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.sent.check(t)
	return err
}

// outcome reports what became of a message. Its error is one of the output.
func (s *sendReport) outcome(ctx context.Context, m *outgoing, r *smtp.Result, err error) error {
	which := ""
	if err != nil && !s.feed.alone() {
		which = fmt.Sprintf("message %d: ", m.number)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted += len(r.Accepted())
	s.bar.message()
	for _, rcpt := range r.Rcpt {
		if e := s.line(sentLine(m, rcpt)); e != nil {
			s.output = e
		}
	}
	if err != nil {
		s.complain(m, which, r, err)
	}
	if len(r.Accepted()) > 0 && s.sent != nil {
		if e := s.sent.save(ctx, m); e != nil {
			s.note(fmt.Errorf("the message was sent, but no copy was stored: %w", e), exitIncomplete)
		}
	}
	return s.output
}

// line writes one result to where results are wanted.
func (s *sendReport) line(one sentJSON) error {
	if s.told != nil {
		s.told(one)
	}
	if s.c.json {
		if err := s.c.printJSON(one); err != nil {
			return err
		}
	}
	if s.results == nil {
		return nil
	}
	text, err := jsonText(one)
	if err == nil {
		_, err = s.results.WriteString(text + "\n")
	}
	return err
}

func sentLine(m *outgoing, rcpt smtp.RcptResult) sentJSON {
	line := sentJSON{Recipient: rcpt.Addr, Status: "accepted", Phase: string(rcpt.Phase()), Code: rcpt.Reply.Code, Enhanced: rcpt.Reply.Enhanced,
		Text: rcpt.Reply.Text, Server: m.server(rcpt.Addr), Message: m.number, MessageID: m.id, Uncertain: rcpt.Lost}
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

// complain writes one line for each recipient that was refused, or one for the message when that was refused as a
// whole. which names the message where there are several.
func (s *sendReport) complain(m *outgoing, which string, r *smtp.Result, err error) {
	var partial *smtp.PartialError
	var none *smtp.NoRecipientError
	if !errors.As(err, &partial) && !errors.As(err, &none) {
		s.note(fmt.Errorf("%s: %s%w", m.server(""), which, err), exitCode(err))
		for _, rcpt := range r.Refused() { // before the message as a whole was
			s.later = s.later || rcpt.Err.Temporary()
		}
		return
	}
	s.bar.clear()
	for _, rcpt := range r.Refused() {
		fmt.Fprintf(s.c.stderr, "mail: %s: %s%s: %s\n", s.c.errText(m.server(rcpt.Addr)), which, s.c.errText(rcpt.Addr), s.c.errText(rcpt.Err.Status()))
	}
	if hint := firstHint(r.Refused()); hint != "" {
		fmt.Fprintf(s.c.stderr, "mail: hint: %s\n", hint)
	}
	s.remember(exitCode(err))
}

func firstHint(refused []smtp.RcptResult) string {
	for _, r := range refused {
		if hint := r.Err.Hint(); hint != "" {
			return hint
		}
	}
	return ""
}

// fail prints an error and remembers its code.
func (s *sendReport) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(err, exitCode(err))
}

func (s *sendReport) note(err error, code int) {
	s.bar.clear()
	s.c.report(err)
	s.remember(code)
}

// remember keeps the exit code: one that a retry does not mend wins.
func (s *sendReport) remember(code int) {
	s.later = s.later || code == exitTemporary
	if s.code == exitOK || s.code == exitTemporary {
		s.code = code
	}
}

// broken is true when results cannot be told any more: then nothing else is begun.
func (s *sendReport) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output != nil
}

// end gives the error of the whole run, which is silent when everything was said.
func (s *sendReport) end() error {
	s.bar.clear()
	err := s.output
	if s.results != nil {
		err = errors.Join(err, s.results.Close())
	}
	if s.sent != nil {
		s.sent.close()
	}
	s.code = s.ofRecipients()
	if err != nil || s.code == exitOK {
		return err
	}
	return silent(s.code)
}

// ofRecipients is the exit code. Where only recipients decide, it is exitTemporary as long as none was accepted and another try
// may help: the whole can be sent again then. Once some were accepted it must not be, however the others fared.
func (s *sendReport) ofRecipients() int {
	switch s.code {
	case exitNoUser, exitRefused, exitTemporary, exitPartial:
	default:
		return s.code
	}
	switch {
	case s.accepted > 0:
		return exitPartial
	case s.later:
		return exitTemporary
	}
	return s.code
}
