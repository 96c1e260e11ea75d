package smtp

import (
	"errors"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// Phase is how far a session, or a message in it, had come.
type Phase string

// The phases, in the order of a session. Those from PhaseMail on are about one message.
const (
	PhaseConnect  Phase = "connect" // name look-up, TCP and, for implicit TLS, the handshake
	PhaseGreeting Phase = "greeting"
	PhaseEHLO     Phase = "ehlo" // EHLO, HELO or LHLO
	PhaseStartTLS Phase = "starttls"
	PhaseAuth     Phase = "auth"
	PhaseMail     Phase = "mail"
	PhaseRcpt     Phase = "rcpt"
	PhaseData     Phase = "data"  // DATA and the leave to begin
	PhaseBody     Phase = "body"  // the text, up to its end
	PhaseFinal    Phase = "final" // the reply to the end of the text
)

// PhaseOf tells in which phase an error of Dial, New or Auth arose, or a refusal by Send; "" when the error does not
// tell. RcptResult.Phase is about a recipient.
func PhaseOf(err error) Phase {
	var staged *stagedError
	var refusal *Error
	var uncertain *UncertainError
	var login *auth.Error
	switch {
	case errors.As(err, &uncertain):
		return PhaseFinal
	case errors.As(err, &staged):
		return staged.phase
	case errors.As(err, &login):
		return PhaseAuth
	case errors.As(err, &refusal):
		return refusal.Phase
	}
	return ""
}

// stagedError is an error that knows its phase and says nothing about it.
type stagedError struct {
	phase Phase
	err   error
}

func (e *stagedError) Error() string { return e.err.Error() }
func (e *stagedError) Unwrap() error { return e.err }

// in notes the phase of err.
func (p Phase) in(err error) error {
	if err == nil {
		return nil
	}
	return &stagedError{p, err}
}

// phaseOf is the phase of a command that was refused.
func phaseOf(command string) Phase {
	switch command {
	case cmdRcpt:
		return PhaseRcpt
	case cmdData:
		return PhaseData
	case cmdChunk:
		return PhaseBody
	case cmdFinal:
		return PhaseFinal
	case "greeting":
		return PhaseGreeting
	case "EHLO", "HELO", "LHLO":
		return PhaseEHLO
	case "STARTTLS":
		return PhaseStartTLS
	case "AUTH":
		return PhaseAuth
	}
	return PhaseMail // and RSET and NOOP, which come before it
}
