package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// Exit codes. Those from 64 on are the ones of sysexits.h.
const (
	exitOK         = 0
	exitNo         = 1 // the answer is no: a search that found nothing
	exitIncomplete = 3
	exitPartial    = 4 // some recipients accepted, others not
	exitUsage      = 64
	exitData       = 65
	exitNoInput    = 66
	exitNoUser     = 67
	exitNoHost     = 68
	exitRefused    = 69
	exitBug        = 70
	exitCreate     = 73
	exitIO         = 74
	exitTemporary  = 75
	exitProtocol   = 76
	exitNoPerm     = 77
	exitConfig     = 78
	exitSignal     = 128 // plus the signal's number
)

// exitMeanings is what help and man pages say about the codes, in order.
var exitMeanings = []struct {
	code int
	text string
}{
	{exitOK, "done"},
	{exitNo, "the answer is no: nothing was found"},
	{exitIncomplete, "finished, but incomplete"},
	{exitPartial, "some recipients were accepted, others were not"},
	{exitUsage, "wrong usage"},
	{exitData, "bad data: a message or address that cannot be used"},
	{exitNoInput, "no such file, mailbox or message"},
	{exitNoUser, "no recipient was accepted"},
	{exitNoHost, "no such host"},
	{exitRefused, "the server refused for good"},
	{exitBug, "a bug in this program"},
	{exitCreate, "a file or mailbox cannot be created"},
	{exitIO, "a local file or stream failed"},
	{exitTemporary, "failed for now: try again later"},
	{exitProtocol, "the server broke the protocol, or lacks what is needed"},
	{exitNoPerm, "the server refused the login"},
	{exitConfig, "wrong configuration, or a certificate that is not trusted"},
}

// coded is an error whose exit code was decided where it arose. A nil err prints nothing.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *coded) Unwrap() error { return e.err }

// usageError is a command line that makes no sense.
type usageError struct {
	command string // "imap fetch", filled in where it is missing
	msg     string
	hint    string
}

func (e *usageError) Error() string {
	if e.command == "" {
		return e.msg
	}
	return e.command + ": " + e.msg
}

// Hint is the next step for the user.
func (e *usageError) Hint() string { return e.hint }

// outputError is standard output that failed. A closed pipe is no reason for words.
type outputError struct{ err error }

func (e *outputError) Error() string { return "standard output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// usagef makes an error with exit code 64.
func usagef(format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// notFoundf makes an error with exit code 66.
func notFoundf(format string, args ...any) error { return codef(exitNoInput, format, args...) }

// codef makes an error with the exit code given; %w works.
func codef(code int, format string, args ...any) error {
	return &coded{code, fmt.Errorf(format, args...)}
}

// silent ends the command with a code and no words: `return silent(exitNo)`.
func silent(code int) error { return &coded{code: code} }

// exitCode is the only place that turns an error into an exit code. Of several joined errors one that a retry will
// not mend wins over one that it may.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	for _, classify := range []func(error) int{ownCode, halvesCode} {
		if code := classify(err); code != exitOK {
			return code
		}
	}
	if many := joined(err); many != nil {
		code := exitOK
		for _, e := range many {
			if n := exitCode(e); code == exitOK || code == exitTemporary {
				code = n
			}
		}
		return code
	}
	for _, classify := range []func(error) int{authCode, smtpCode, popCode, imapCode, wireCode, backupCode, dataCode, networkCode, localCode} {
		if code := classify(err); code != exitOK {
			return code
		}
	}
	return exitBug
}

// joined gives the errors that err holds side by side, if it does.
func joined(err error) []error {
	for ; err != nil; err = errors.Unwrap(err) {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			return many.Unwrap()
		}
	}
	return nil
}

// retry is for errors that know whether the same may succeed later.
func retry(err interface{ Temporary() bool }, permanent int) int {
	if err.Temporary() {
		return exitTemporary
	}
	return permanent
}

// ownCode knows the errors of this package.
func ownCode(err error) int {
	var (
		c      *coded
		signal *signalError
		usage  *usageError
		output *outputError
	)
	switch {
	case errors.As(err, &signal):
		return exitSignal + int(signal.signal)
	case errors.As(err, &output) && errors.Is(err, syscall.EPIPE):
		return exitSignal + int(syscall.SIGPIPE)
	case joined(err) != nil:
		return exitOK // decided one by one
	case errors.As(err, &output):
		return exitIO
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitOK
}

// halvesCode knows the errors that tell what went well and what did not.
func halvesCode(err error) int {
	var (
		some    *smtp.PartialError
		nobody  *smtp.NoRecipientError
		partial *pop3.PartialError
	)
	switch {
	case errors.As(err, &some):
		return exitPartial
	case errors.As(err, &nobody):
		return retry(nobody, exitNoUser)
	case errors.As(err, &partial):
		if len(partial.Done) > 0 {
			return exitIncomplete
		}
		return retry(partial, exitNoInput)
	}
	return exitOK
}

// authCode knows the errors of logins and of the configuration.
func authCode(err error) int {
	var (
		refused  *auth.Error
		source   *auth.SourceError
		settings *config.Error
	)
	switch {
	case errors.As(err, &source), errors.As(err, &settings):
		return exitConfig
	case errors.As(err, &refused):
		return retry(refused, exitNoPerm)
	}
	return exitOK
}

// smtpCode knows the errors of the SMTP engine.
func smtpCode(err error) int {
	var (
		lost    *smtp.UncertainError
		limit   *smtp.LimitError
		lacks   *smtp.CapabilityError
		body    *smtp.BodyError
		refused *smtp.Error
	)
	switch {
	case errors.As(err, &lost), errors.As(err, &limit):
		return exitTemporary
	case errors.As(err, &lacks):
		return exitProtocol
	case errors.As(err, &body):
		return exitData
	case errors.As(err, &refused) && refused.Code == 530:
		return exitNoPerm
	case errors.As(err, &refused) && refused.Code != 0:
		return retry(refused, exitRefused)
	}
	return exitOK
}

// popCode knows the errors of the POP3 engine.
func popCode(err error) int {
	var (
		commit  *pop3.CommitError
		refused *pop3.Error
	)
	switch {
	case errors.As(err, &commit):
		return retry(commit, exitRefused)
	case errors.Is(err, pop3.ErrTooLarge):
		return exitData
	case errors.As(err, &refused):
		switch refused.Command {
		case "LIST", "UIDL", "RETR", "TOP", "DELE":
			return retry(refused, exitNoInput)
		}
		return retry(refused, exitRefused)
	}
	return exitOK
}

// wireCode knows the errors of connections.
func wireCode(err error) int {
	var (
		tls      *wire.TLSError
		protocol *wire.ProtocolError
		timeout  *wire.TimeoutError
		closed   *wire.ClosedError
		argument *wire.ArgumentError
	)
	switch {
	case errors.As(err, &tls) && tls.Certificate():
		return exitConfig
	case errors.As(err, &tls):
		return retry(tls, exitProtocol)
	case errors.As(err, &protocol):
		return exitProtocol
	case errors.As(err, &timeout), errors.As(err, &closed):
		return exitTemporary
	case errors.Is(err, wire.ErrBareLineEnd), errors.As(err, &argument):
		return exitData
	}
	return exitOK
}

// imapCode knows the errors of the IMAP engine.
func imapCode(err error) int {
	var (
		term    *imap.TermError
		lacks   *imap.CapabilityError
		lost    *imap.UncertainError
		rest    *imap.NotExpungedError
		grammar *imapwire.SyntaxError
		refused *imap.Error
	)
	switch {
	case errors.As(err, &term):
		return exitUsage
	case errors.Is(err, imap.ErrTooLarge):
		return exitData
	case errors.As(err, &lost):
		return exitTemporary
	case errors.As(err, &lacks), errors.As(err, &grammar):
		return exitProtocol
	case errors.As(err, &rest):
		return exitIncomplete
	case errors.As(err, &refused):
		return retry(refused, refusalCode(refused))
	}
	return exitOK
}

// refusalCode goes by the response code of a NO, BAD or BYE (RFC 5530 §3).
func refusalCode(refused *imap.Error) int {
	switch refused.Code {
	case "NONEXISTENT", "TRYCREATE":
		return exitNoInput
	case "ALREADYEXISTS":
		return exitCreate
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "NOPERM":
		return exitNoPerm
	}
	if refused.Status == "BAD" {
		return exitProtocol
	}
	return exitRefused
}

// backupCode knows the errors about backups.
func backupCode(err error) int {
	var (
		damage  *backup.DamageError
		version *backup.VersionError
		budget  *backup.BudgetError
	)
	switch {
	case errors.As(err, &damage), errors.As(err, &version):
		return exitData
	case errors.As(err, &budget):
		return exitTemporary
	}
	return exitOK
}

// dataCode knows the errors about messages and files of messages.
func dataCode(err error) int {
	var (
		content *message.Error
		dest    *store.Error
		limit   *mimetree.LimitError
		image   *mimetree.ImageError
		signed  *mimetree.DowngradeError
	)
	switch {
	case errors.As(err, &image) && !errors.Is(err, fs.ErrNotExist):
		return exitData
	case errors.As(err, &signed):
		return exitProtocol
	case errors.As(err, &dest):
		return exitCreate
	case errors.As(err, &content), errors.As(err, &limit):
		return exitData
	case errors.Is(err, mimetree.ErrEmptyDraft):
		return exitUsage
	}
	return exitOK
}

// networkCode knows the errors of package net and of contexts.
func networkCode(err error) int {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	switch {
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return exitNoHost
		}
		return exitTemporary
	case errors.As(err, &op),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, context.Canceled),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return exitTemporary
	}
	return exitOK
}

// localCode knows the errors of files and streams.
func localCode(err error) int {
	var (
		path  *fs.PathError
		errno syscall.Errno
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitNoInput
	case errors.Is(err, fs.ErrExist):
		return exitCreate
	case errors.As(err, &path) && path.Op == "mkdir":
		return exitCreate
	case errors.As(err, &path), errors.As(err, &errno), errors.Is(err, io.ErrShortWrite):
		return exitIO
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return exitTemporary
	}
	return exitOK
}
