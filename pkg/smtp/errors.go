package smtp

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Error is a refusal: the server's reply to one command, or for one recipient.
type Error struct {
	Code     int    // 4yz or 5yz; 0 when no reply came or none was waited for: see Cause
	Enhanced string // "5.1.1", or ""
	Text     string // the server's words, escaped and on one line
	Command  string // "greeting", "EHLO", "STARTTLS", "MAIL FROM", "RCPT TO", "DATA", "BDAT", "end of data", …
	Phase    Phase  // how far the session or the message had come; a text may be refused before its end
	Cause    error  // what happened instead of a reply, when Code is 0
}

// Error is the command and the reply, shortened to 512 octets.
func (e *Error) Error() string {
	if e.Command == "" {
		return e.Status()
	}
	return strings.ToLower(e.Command) + ": " + e.Status()
}

// Status is the reply alone, such as "550 5.1.1 no such user", shortened to 512 octets.
func (e *Error) Status() string {
	s := e.Reply().String()
	if s == "" && e.Cause != nil {
		s = e.Cause.Error()
	}
	return shorten(s, maxShown)
}

// Reply is the refusal as a Reply.
func (e *Error) Reply() Reply { return Reply{Code: e.Code, Enhanced: e.Enhanced, Text: e.Text} }

// Unwrap gives the cause, if there is one.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary is true when the same message may be accepted later: 4yz, and whatever happened to the connection. "552
// 5.5.3" to RCPT is the old form of "too many recipients", which is temporary (RFC 5321 §4.5.3.1.10).
func (e *Error) Temporary() bool {
	switch {
	case e.Code == 0:
		return !permanent(e.Cause)
	case e.Code == 552 && e.Enhanced == "5.5.3" && e.Command == cmdRcpt:
		return true
	}
	return e.Code/100 == 4
}

// TooMany is true when one transaction may not have more recipients, which is no fault of this one: it can be sent to
// in another transaction (RFC 5321 §4.5.3.1.10, RFC 9422 §4.2).
func (e *Error) TooMany() bool {
	var limit *LimitError
	return e.Code == 452 && e.Enhanced == "4.5.3" || e.Code == 552 && e.Enhanced == "5.5.3" || errors.As(e.Cause, &limit)
}

// permanent tells the local reasons that do not go away by waiting.
func permanent(err error) bool {
	var size *BodyError
	var capability *CapabilityError
	var argument *wire.ArgumentError
	if told, ok := err.(interface{ Temporary() bool }); ok && !isNetwork(err) {
		return !told.Temporary()
	}
	return errors.Is(err, wire.ErrBareLineEnd) || errors.As(err, &size) || errors.As(err, &capability) || errors.As(err, &argument)
}

// isNetwork is true for errors of sockets, whose Temporary means something else.
func isNetwork(err error) bool {
	_, ok := err.(net.Error)
	return ok
}

// Hint says what the user can do about the refusals that have a usual reason.
func (e *Error) Hint() string {
	switch {
	case e.Code == 530 && e.Enhanced == "5.7.0" && e.Command != "AUTH", e.Code == 530 && strings.Contains(strings.ToUpper(e.Text), "STARTTLS"):
		return "the server wants TLS or authentication first: use smtps or smtp (STARTTLS) and name a user"
	case e.Code == 530, e.Command == cmdRcpt && e.Enhanced == "5.7.1" && strings.Contains(strings.ToLower(e.Text), "relay"):
		return "the server does not pass this on without a login it knows: name a user, or use the server of your own account"
	}
	return ""
}

// LimitError is a limit that the server announced (RFC 9422) and that Send keeps to: what is beyond it was not sent.
type LimitError struct {
	Name string // "MAILMAX": messages on one connection; "RCPTMAX", "RCPTDOMAINMAX": recipients of one message, and their domains
	Max  int
}

func (e *LimitError) Error() string {
	what := map[string]string{"MAILMAX": "messages on one connection", "RCPTMAX": "recipients of one message",
		"RCPTDOMAINMAX": "domains among the recipients of one message"}[e.Name]
	return fmt.Sprintf("the server takes at most %d %s", e.Max, what)
}

// Temporary is true: another connection, or another transaction, may have what is beyond the limit.
func (e *LimitError) Temporary() bool { return true }

// CapabilityError is something that the message or the caller needs and the server does not offer. Nothing was sent
// for the message, unless the need showed only in its body; then the connection is dead and nothing is committed.
type CapabilityError struct {
	Extension string // EHLO keyword: "SMTPUTF8", "8BITMIME", "SIZE", "STARTTLS", "AUTH", …
	Msg       string
}

func (e *CapabilityError) Error() string { return e.Msg }

// Hint names the way out where there is one.
func (e *CapabilityError) Hint() string {
	if e.Extension == "STARTTLS" {
		return "if the server speaks TLS from the start, use smtps (port 465)"
	}
	return ""
}

// BodyError is a body that is not what its envelope announced. The connection is dead and nothing is committed.
type BodyError struct{ Msg string }

func (e *BodyError) Error() string { return e.Msg }

// PartialError is a message that some recipients get and others do not.
type PartialError struct {
	Accepted, Refused []RcptResult // in the order of the envelope; neither is empty
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%d of %d recipients refused: %s; accepted: %s", len(e.Refused), len(e.Refused)+len(e.Accepted),
		listRefused(e.Refused), listAddrs(e.Accepted))
}

// Temporary is true when all refusals are temporary.
func (e *PartialError) Temporary() bool {
	for _, r := range e.Refused {
		if !r.Err.Temporary() {
			return false
		}
	}
	return true
}

// NoRecipientError is a message that was not sent because every recipient was refused, or because one was and the
// envelope asked for all or none.
type NoRecipientError struct {
	Refused []RcptResult // what the server refused
	Held    []RcptResult // what it would have accepted: only with Envelope.AllOrNone
}

func (e *NoRecipientError) Error() string {
	switch {
	case len(e.Held) > 0:
		return fmt.Sprintf("not sent, as %d of %d recipients were refused: %s", len(e.Refused), len(e.Refused)+len(e.Held), listRefused(e.Refused))
	case len(e.Refused) == 1:
		return "recipient refused: " + listRefused(e.Refused)
	}
	return fmt.Sprintf("all %d recipients refused: %s", len(e.Refused), listRefused(e.Refused))
}

// Temporary is true when at least one recipient may be accepted later.
func (e *NoRecipientError) Temporary() bool {
	for _, r := range e.Refused {
		if r.Err.Temporary() {
			return true
		}
	}
	return false
}

// UncertainError is a message whose text was sent completely and whose final reply did not come: it may have been
// accepted (RFC 1047). Sending it again may duplicate it; not sending it again may lose it.
type UncertainError struct {
	Rcpt []string // the recipients that may have it
	Err  error    // what came instead of the reply
}

func (e *UncertainError) Error() string {
	return fmt.Sprintf("the message was sent and not confirmed, it may have been delivered: %v", e.Err)
}

// Unwrap gives what came instead of the reply.
func (e *UncertainError) Unwrap() error { return e.Err }

// Temporary is true: trying again is better than losing the message.
func (e *UncertainError) Temporary() bool { return true }

const listed = 3 // recipients named in an error message

func listRefused(rs []RcptResult) string {
	words := make([]string, 0, listed+1)
	for _, r := range rs[:min(listed, len(rs))] {
		words = append(words, r.Addr+": "+r.Err.Status())
	}
	return strings.Join(more(words, len(rs)), "; ")
}

func listAddrs(rs []RcptResult) string {
	words := make([]string, 0, listed+1)
	for _, r := range rs[:min(listed, len(rs))] {
		words = append(words, r.Addr)
	}
	return strings.Join(more(words, len(rs)), ", ")
}

func more(words []string, n int) []string {
	if n > listed {
		words = append(words, fmt.Sprintf("and %d more", n-listed))
	}
	return words
}
