package imap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// ErrTooLarge is a message or part beyond Options.Limits.Body. The connection is dead, as the rest was not read.
var ErrTooLarge = errors.New("message is larger than the limit")

// Error is a refusal by the server: NO, BAD or BYE (RFC 9051 §7.1).
type Error struct {
	Command string // what was refused, with its mailbox: `select "Archive"`
	Status  string // NO, BAD or BYE
	Code    string // response code in upper case: NONEXISTENT, TRYCREATE; "" when there is none
	Arg     string // what stands behind the code
	Text    string // the server's words, at most 512 octets, as they came
}

const maxErrorText = 512

func newError(command, status string, t imapwire.Text) *Error {
	return &Error{Command: command, Status: status, Code: t.Code, Arg: clip(t.Arg), Text: clip(t.Text)}
}

func clip(s string) string {
	if len(s) > maxErrorText {
		return s[:maxErrorText] + "…"
	}
	return s
}

// Error gives the command and the server's words on one line, control
// characters escaped.
func (e *Error) Error() string {
	return strings.TrimRight(e.Command+": "+e.Status+" "+printable(e.reason()), " ")
}

// reason is the code and the text.
func (e *Error) reason() string {
	if e.Code == "" {
		return e.Text
	}
	code := e.Code
	if e.Arg != "" && code != "CAPABILITY" {
		code += " " + e.Arg
	}
	return strings.TrimRight("["+code+"] "+e.Text, " ")
}

// printable shows control characters and broken UTF-8 as escapes.
func printable(s string) string {
	bad := func(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\uFFFD' }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	q := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Temporary is true when the same command may succeed later: the server is
// shutting down or out of order, the mailbox is in use, or the account is
// throttled (RFC 5530 §3). Servers say the last in words of their own, Gmail
// with a code that means a full account elsewhere: see [Error.RetryAfter].
func (e *Error) Temporary() bool {
	if _, throttled := e.throttle(); throttled {
		return true
	}
	switch e.Code {
	case "UNAVAILABLE", "INUSE", "SERVERBUG", "THROTTLED", "LIMIT", "EXPUNGEISSUED":
		return true
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "NONEXISTENT", "TRYCREATE",
		"ALREADYEXISTS", "NOPERM", "CANNOT", "TOOBIG", "OVERQUOTA", "CLIENTBUG":
		return false
	}
	return e.Status == "BYE"
}

// absent are the words with which servers say that a mailbox does not exist
// when they give no code: Dovecot and Exchange, Cyrus and Courier, UW, Gmail.
var absent = []string{"doesn't exist", "does not exist", "no such mailbox", "unknown mailbox"}

// NotFound is true when the mailbox does not exist, as the code says or, where
// there is none, the server's words.
func (e *Error) NotFound() bool {
	switch e.Code {
	case "NONEXISTENT", "TRYCREATE":
		return true
	case "":
		text := strings.ToLower(e.Text)
		for _, words := range absent {
			if e.Status == "NO" && strings.Contains(text, words) {
				return true
			}
		}
	}
	return false
}

// Hint says what the user can do about it.
func (e *Error) Hint() string {
	switch {
	case e.Code == "TRYCREATE":
		return "the mailbox does not exist: create it, or give --create"
	case e.NotFound():
		return "`mail imap list` prints the mailboxes"
	}
	if wait, throttled := e.throttle(); throttled && wait > 0 {
		return "the server asks for a pause: try again in " + wait.String()
	}
	switch e.Code {
	case "OVERQUOTA":
		return "the account is full"
	case "PRIVACYREQUIRED":
		return "the server wants TLS: use imaps:// or imap://"
	case "AUTHENTICATIONFAILED":
		return "check the user name and the password; many providers want an app password or OAuth2"
	case "UNAVAILABLE", "INUSE", "THROTTLED":
		return "try again later"
	}
	if e.NotFound() {
		return "`mail imap list` prints the mailboxes"
	}
	return ""
}

// CapabilityError is something asked for that the server does not offer.
type CapabilityError struct {
	Command    string // what was to be done
	Capability string // what the server would have to offer
}

// Error names the capability.
func (e *CapabilityError) Error() string {
	return fmt.Sprintf("%s: the server does not offer %s", e.Command, e.Capability)
}

// UncertainError is an APPEND whose message left in full and whose reply was
// lost: the message may or may not be in the mailbox. Look for it by its
// Message-ID before sending it again.
type UncertainError struct {
	Command string
	Err     error // why the reply was lost
}

// Error says what is not known.
func (e *UncertainError) Error() string {
	return fmt.Sprintf("%s: the message was sent, but whether it was stored is not known: %v", e.Command, e.Err)
}

// Unwrap gives the cause.
func (e *UncertainError) Unwrap() error { return e.Err }

// Temporary is true: the search can be made later.
func (e *UncertainError) Temporary() bool { return true }

// Hint says what the user can do about it.
func (e *UncertainError) Hint() string {
	return "search the mailbox for header:Message-ID:… before appending it again"
}

// NotExpungedError is a Move to the end of its copying and marking only: the
// server cannot expunge single messages (no UIDPLUS), and a plain EXPUNGE could
// take others. The messages are copied, and marked \Deleted where they were.
type NotExpungedError struct{ UIDs UIDSet }

// Error says what is left to do.
func (e *NotExpungedError) Error() string {
	return `the messages are copied and marked \Deleted, but not expunged: the server does not offer UIDPLUS or MOVE`
}

// Hint says what the user can do about it.
func (e *NotExpungedError) Hint() string {
	return "`mail imap expunge MAILBOX` removes every message marked \\Deleted there"
}

// ErrNotSelected is a command on messages before a mailbox was selected.
var ErrNotSelected = errors.New("no mailbox is selected")

// ErrBusy is a call from inside a callback of the same Client.
var ErrBusy = errors.New("the connection is in use by the callback's caller")
