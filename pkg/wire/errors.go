package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// ErrLineTooLong is a line beyond the cap given to ReadLine; the connection is dead.
var ErrLineTooLong error = &ProtocolError{Msg: "line too long"}

// ErrBareLineEnd is a CR or LF that stands alone in a text that goes out (RFC 5321 §2.3.8); nothing is committed and
// the connection is dead.
var ErrBareLineEnd = errors.New("text has a CR or LF that stands alone")

// ProtocolError is a peer that says something which cannot be framed, or which is forbidden where it was said.
type ProtocolError struct {
	Msg string // what was wrong, without the peer's bytes or with them quoted and shortened
}

func (e *ProtocolError) Error() string { return "protocol error: " + e.Msg }

// ClosedError is a peer that closed the connection while more was expected. It matches io.ErrUnexpectedEOF.
type ClosedError struct{}

func (*ClosedError) Error() string { return "connection closed by the server" }

// Unwrap makes errors.Is(err, io.ErrUnexpectedEOF) hold.
func (*ClosedError) Unwrap() error { return io.ErrUnexpectedEOF }

// TimeoutError is a peer that neither sent nor took anything for the whole idle time. It matches
// os.ErrDeadlineExceeded.
type TimeoutError struct {
	After  time.Duration
	Silent bool // the peer has not sent one octet since the connection was made
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.After) }

// Unwrap makes errors.Is(err, os.ErrDeadlineExceeded) hold.
func (e *TimeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// Timeout makes the error a net.Error in spirit: it is always true.
func (e *TimeoutError) Timeout() bool { return true }

// Hint names the usual reason for a server that never speaks.
func (e *TimeoutError) Hint() string {
	if !e.Silent {
		return ""
	}
	return "a port for implicit TLS waits for the client to speak first: try smtps, imaps or pop3s"
}

// TLSError is a TLS handshake that failed: the certificate is not good for this host, or the peer does not speak TLS
// that we accept.
type TLSError struct {
	Host string
	Err  error
}

func (e *TLSError) Error() string { return fmt.Sprintf("TLS with %s: %v", e.Host, e.Err) }

// Unwrap gives the cause.
func (e *TLSError) Unwrap() error { return e.Err }

// Certificate is true when the peer's certificate was refused, false when the handshake broke for another reason.
func (e *TLSError) Certificate() bool {
	var verify *tls.CertificateVerificationError
	var pin *PinError
	return errors.As(e.Err, &verify) || errors.As(e.Err, &pin)
}

// Temporary is true when the handshake was cut or timed out, so that a later try may succeed.
func (e *TLSError) Temporary() bool {
	return errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) || errors.Is(e.Err, syscall.ECONNRESET) ||
		errors.Is(e.Err, os.ErrDeadlineExceeded)
}

// Hint says what the user can do about it.
func (e *TLSError) Hint() string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		pin       *PinError
	)
	switch {
	case errors.As(e.Err, &pin):
		return "the server's key changed, or this is not the server: compare the fingerprint with its owner before changing the pin"
	case errors.As(e.Err, &authority):
		return "if a private CA signed the certificate, name it with --ca-file or ca-file; or pin the certificate"
	case errors.As(e.Err, &name):
		return "connect under a name that the certificate holds"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's owner must renew the certificate; check this machine's clock too"
	case errors.As(e.Err, &record):
		return "this port does not begin with TLS: try smtp, imap or pop3, which upgrade by STARTTLS"
	}
	return ""
}

// PinError is a certificate that matches none of the pins.
type PinError struct {
	Got [32]byte // SHA-256 of the certificate that the server showed
}

func (e *PinError) Error() string {
	return fmt.Sprintf("certificate does not match the pin; its SHA-256 is %x", e.Got)
}
