package pop3

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTooLarge is a message beyond Options.MaxMessage. The connection is dead, as the rest was not read.
var ErrTooLarge = errors.New("message is larger than the limit")

// ErrBodyClosed is what a message's reader returns once the callback it was given to has returned.
var ErrBodyClosed = errors.New("pop3: message read after its callback returned")

// Error is a refusal: a reply that begins with -ERR. The session goes on.
type Error struct {
	Command string // the verb that was refused: "RETR", "PASS", or "greeting"
	Code    string // response code in upper case without brackets: "IN-USE", "SYS/TEMP"; "" when there is none
	Text    string // the server's words without the code, at most 512 octets, as they came
}

func newError(verb string, text []byte) *Error {
	code, rest := splitCode(string(clip(text, maxKeptText)))
	return &Error{Command: verb, Code: code, Text: rest}
}

// splitCode takes a response code off the front of a text (RFC 2449 §8).
func splitCode(text string) (code, rest string) {
	if !strings.HasPrefix(text, "[") {
		return "", text
	}
	code, rest, found := strings.Cut(text[1:], "]")
	if !found || code == "" || strings.ContainsAny(code, " \t[") {
		return "", text
	}
	return strings.ToUpper(code), strings.TrimLeft(rest, " \t")
}

func (e *Error) Error() string {
	text := e.Text
	if e.Code != "" {
		text = strings.TrimRight("["+e.Code+"] "+text, " ")
	}
	return strings.TrimRight(e.Command+": -ERR "+printable(text), " ")
}

// Temporary is true when the same request may succeed later: the maildrop is locked or polled too often (RFC 2449 §8),
// the server has a passing problem (RFC 3206), or it refuses connections as a whole.
func (e *Error) Temporary() bool {
	switch {
	case e.is("IN-USE"), e.is("LOGIN-DELAY"), e.is("SYS/TEMP"):
		return true
	case e.Command == greeting:
		return !e.is("SYS/PERM")
	}
	return false
}

// is matches a code and its refinements: codes are hierarchical, separated by slashes (RFC 2449 §8).
func (e *Error) is(code string) bool {
	return e.Code == code || strings.HasPrefix(e.Code, code+"/")
}

// Hint says what the user can do about it.
func (e *Error) Hint() string {
	switch {
	case e.is("IN-USE"):
		return "another session has the maildrop open, or a lost one has not timed out yet"
	case e.is("LOGIN-DELAY"):
		return "this server limits how often a maildrop is polled; wait a while"
	case e.Command == "STLS":
		return "the server does not upgrade to TLS here; try pop3s://"
	}
	return ""
}

// printable shows control characters as escapes.
func printable(s string) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' }) < 0
	if clean {
		return s
	}
	q := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Refusal is one message that the server refused to give, list or mark.
type Refusal struct {
	Number int
	Err    *Error
}

// PartialError is a plural verb that some messages were refused to. Every message was tried. It unwraps to the
// refusals, so that errors.As finds the *Error.
type PartialError struct {
	Verb    string
	Done    []int // in the order asked for
	Refused []Refusal
}

func (e *PartialError) Error() string {
	first := e.Refused[0]
	if len(e.Refused) == 1 {
		return fmt.Sprintf("message %d: %v", first.Number, first.Err)
	}
	return fmt.Sprintf("%d of %d messages refused, the first message %d: %v",
		len(e.Refused), len(e.Refused)+len(e.Done), first.Number, first.Err)
}

// Unwrap returns the refusals.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.Refused))
	for i, r := range e.Refused {
		errs[i] = r.Err
	}
	return errs
}

// Temporary is true when every refusal is.
func (e *PartialError) Temporary() bool {
	for _, r := range e.Refused {
		if !r.Err.Temporary() {
			return false
		}
	}
	return true
}

// Outcome says what is known about marked messages after a Quit that failed.
type Outcome int

// The outcomes, from the safest.
const (
	NotCommitted Outcome = iota // QUIT never left: nothing was deleted
	Partial                     // the server answered -ERR: some of them may not have been deleted (RFC 1939 §6)
	Unknown                     // the answer was lost: all or none may have been deleted
)

func (o Outcome) String() string {
	return [...]string{"nothing was deleted", "not all were deleted", "whether they were deleted is not known"}[o]
}

// CommitError is a Quit that could not be shown to have deleted the marked messages. Messages that were not marked are
// never affected. A later session tells by UIDL what is still there; marking the rest again is safe.
type CommitError struct {
	Outcome Outcome
	Marked  []int // the numbers of this session
	Err     error // why: an *Error for Partial, else the connection's error
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("%d marked for deletion, %v: %v", len(e.Marked), e.Outcome, e.Err)
}

// Unwrap gives the cause.
func (e *CommitError) Unwrap() error { return e.Err }

// Temporary is true unless the server calls its problem permanent: the next session may delete what this one did not.
func (e *CommitError) Temporary() bool {
	var refused *Error
	return !errors.As(e.Err, &refused) || !refused.is("SYS/PERM")
}

// Hint says what the user can do about it.
func (e *CommitError) Hint() string {
	if e.Outcome == NotCommitted {
		return "run it again; nothing has changed on the server"
	}
	return "compare `mail pop uidl` with the ids that were to go, and delete by uidl:ID, as numbers change between sessions"
}
