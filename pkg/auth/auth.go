// Package auth proves to a server who the user is: it fetches secrets when they are needed, picks the strongest
// mechanism both sides have, and runs the SASL exchange (RFC 4422) over whatever protocol carries it.
//
// It knows no protocol: SMTP, POP3 and IMAP hand it a Transport of four small methods. It is not a place for tokens
// to be obtained (a token comes from a Source like a password does), and it never opens a connection.
//
// Rules. A secret lives in a Secret, which does not print. A mechanism that sends the password or a bearer token as
// it is runs only under TLS, to a loopback address, or when Credentials.AllowCleartext says so. A failed mechanism is
// never followed by a weaker one: Choose picks once, Exchange runs once. What the server says is capped in size and
// in rounds. Values of this package belong to one goroutine, except those made by Once.
package auth

import (
	"crypto/tls"

	"github.com/emersion/go-sasl"
)

// Names of the mechanisms Choose can build, as registered with IANA; XOAUTH2 and LOGIN are registered by use.
const (
	External        = "EXTERNAL"           // RFC 4422 appendix A
	OAuthBearer     = "OAUTHBEARER"        // RFC 7628
	XOAuth2         = "XOAUTH2"            // the providers' forerunner of OAUTHBEARER
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS" // RFC 7677
	ScramSHA256     = "SCRAM-SHA-256"      // RFC 7677
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"   // RFC 5802
	ScramSHA1       = "SCRAM-SHA-1"        // RFC 5802
	CramMD5         = "CRAM-MD5"           // RFC 2195
	Plain           = "PLAIN"              // RFC 4616
	Login           = "LOGIN"              // draft-murchison-sasl-login
	Anonymous       = "ANONYMOUS"          // RFC 4505
)

// Values of Credentials.Mechanism that are no SASL mechanism. The engines act on them before they ask Choose.
const (
	Auto         = "auto"          // the strongest one offered; the same as ""
	APOPCommand  = "apop"          // POP3 APOP (RFC 1939 §7), only ever when asked for by this name
	UserCommand  = "user"          // POP3 USER and PASS
	LoginCommand = "login-command" // IMAP LOGIN (RFC 9051 §6.2.3)
)

// Credentials say who the user is and where the secret comes from. The zero value means: do not authenticate.
type Credentials struct {
	User     string // the account's name at the server
	Password Source // nil when there is none
	Token    Source // OAuth2 access token; nil when there is none
	// Mechanism is "" or Auto, the name of a mechanism in any case of letters, or APOPCommand, UserCommand, LoginCommand.
	Mechanism      string
	Authzid        string // act as this user; usually empty
	AllowCleartext bool   // send the secret over an unencrypted connection to a remote host
	// Chosen is told the name of the mechanism that Choose settles on; nil: nobody wants to know. It is not called when
	// an engine uses a command of its protocol instead, such as USER and PASS.
	Chosen func(mechanism string)
}

// Channel says what is known of the connection the exchange runs on.
type Channel struct {
	Host     string
	Port     int
	Protocol string               // "smtp", "pop3", "imap", …, for messages
	TLS      *tls.ConnectionState // nil when the connection is not encrypted
	Loopback bool                 // the peer is this machine
}

// Mechanism is one side of one exchange: it is used once and then dropped.
type Mechanism interface {
	sasl.Client
	// Name is the mechanism's registered name, in capitals.
	Name() string
	// Finish says whether the server has done its part of the proof. Exchange calls it when the server reports
	// success; an error means that the success must not be believed.
	Finish() error
}

// Transport carries one exchange over a protocol. Exchange calls it in this order: Start once, then Challenge and
// Respond in turn, until Challenge reports more = false or an error. The transport does base64 and framing.
type Transport interface {
	// Start sends the command that names the mechanism. A nil ir means no initial response is sent; an empty one
	// that is not nil is sent as "=".
	Start(mech string, ir []byte) error
	// Challenge reads the server's next reply. More is true for a challenge, whose octets data holds until the next
	// call; it is false when the server reports success (data is then what came with it, mostly nothing).
	// A refusal is returned as *Error, with Text (the server's words), Temp and Err (the protocol's own error) set:
	// Exchange fills in the rest. Any other error is taken as a broken connection and passed on unchanged.
	Challenge() (data []byte, more bool, err error)
	// Respond sends the answer to a challenge, which may be empty.
	Respond(resp []byte) error
	// Cancel sends the line that gives up ("*"). It does not read: Exchange fetches the refusal by Challenge.
	Cancel() error
}
