package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrRefused is wrapped in the *Error of a Server that was given the wrong user name, password or token. Which of
	// them was wrong is never said.
	ErrRefused = errors.New("wrong user name, password or token")
	// ErrMalformed is wrapped in the *Error of a Server that was given something the mechanism's grammar does not allow.
	ErrMalformed = errors.New("malformed authentication response")
)

// Caps on what a client may send to a Server: octets of one response after base64, and responses of one exchange.
const (
	maxResponse  = 8 << 10
	maxResponses = 4
)

// Verifier is what the server side of an exchange knows of its users. A nil function means that there is nothing of
// the kind. The functions may be called by several goroutines at once.
type Verifier struct {
	// Password returns the password of user, as plain text: every mechanism derives what it needs from it.
	Password func(user string) (password string, ok bool)
	// Token reports whether token is a valid access token of user.
	Token func(user, token string) bool
	// NoBinding says that the -PLUS mechanisms are not offered; Mechanisms leaves them out then, and a client that says
	// it could have bound the channel is believed (RFC 5802 §6).
	NoBinding bool
	// Keys keeps what SCRAM derives from a password. Nil: it is derived anew for each exchange, with a new salt.
	Keys *Keys
}

// Server is the server's side of one exchange; it is used once and by one goroutine.
type Server interface {
	// Next takes the client's next response, after base64: the first call has the initial response, or nil when
	// there was none (an empty one, "=" on the wire, is not nil). It returns the next challenge, which may be empty, or
	// done when the user is known; a challenge never comes together with done, so that a protocol needs no way to send
	// data with its success. Errors are *Error wrapping ErrRefused or ErrMalformed, and final.
	Next(response []byte) (challenge []byte, done bool, err error)
	// User is the name that was proved, once Next has reported done; before that it is empty.
	User() string
}

// serverNames lists the mechanisms of NewServer, strongest first.
var serverNames = []string{
	OAuthBearer, XOAuth2, ScramSHA256Plus, ScramSHA256, ScramSHA1Plus, ScramSHA1, CramMD5, Plain, Login,
}

// Mechanisms lists what a server can offer on the channel, strongest first. Those that show the secret to whoever
// listens are in the list only under TLS or when cleartextOK. A caller must run NewServer for no other name.
func Mechanisms(v Verifier, ch Channel, cleartextOK bool) []string {
	var names []string
	for _, name := range serverNames {
		open := name == Plain || name == Login || isOAuth(name)
		switch {
		case isOAuth(name) && v.Token == nil, !isOAuth(name) && v.Password == nil:
		case open && ch.TLS == nil && !cleartextOK:
		case isPlus(name) && (v.NoBinding || !serverBinding(ch.TLS, "").IsSupported()):
		default:
			names = append(names, name)
		}
	}
	return names
}

// NewServer makes the mechanism called name, in any case of letters, ready. A name that is not known gives an *Error
// wrapping ErrNoMechanism.
func NewServer(name string, v Verifier, ch Channel) (Server, error) {
	name = strings.ToUpper(name)
	s := &server{name: name, v: v}
	switch name {
	case Plain:
		s.step = s.plain
	case Login:
		s.step = s.login
	case CramMD5:
		s.step = s.cram(Timestamp(ch.Host))
	case OAuthBearer:
		s.step = s.bearer(parseOAuthBearer, `{"status":"invalid_token","scope":"mail"}`)
	case XOAuth2:
		s.step = s.bearer(parseXOAuth2, `{"status":"401","schemes":"bearer","scope":"mail"}`)
	case ScramSHA256, ScramSHA1, ScramSHA256Plus, ScramSHA1Plus:
		s.step = s.scram(ch)
	default:
		return nil, &Error{Mechanism: name, Text: "this is not a mechanism of this server", Err: ErrNoMechanism}
	}
	return s, nil
}

// server is every Server of this package. A step returns a challenge, or nil and the user's name for success.
type server struct {
	name  string
	v     Verifier
	step  func(n int, response []byte) (challenge []byte, user string, err error)
	calls int
	asked bool // an empty challenge has asked for the first response
	shut  bool // done or failed
	user  string
}

// User returns the name that was proved.
func (s *server) User() string { return s.user }

// Next takes a response; a step sees the first one as number 0. Where the client speaks first and sent no initial
// response, an empty challenge asks for it, and the step never sees nil.
func (s *server) Next(response []byte) ([]byte, bool, error) {
	if s.calls++; s.shut || s.calls > maxResponses+1 {
		s.shut = true
		return nil, false, s.malformed("unexpected response")
	}
	if len(response) > maxResponse {
		s.shut = true
		return nil, false, s.malformed("response is too long")
	}
	if response == nil && (s.calls > 1 || s.asked) {
		response = []byte{}
	}
	if response == nil && s.name != Login && s.name != CramMD5 {
		s.calls, s.asked = 0, true
		return []byte{}, false, nil
	}
	challenge, user, err := s.step(s.calls-1, response)
	if err != nil {
		s.shut = true
		return nil, false, err
	}
	if challenge == nil {
		s.shut, s.user = true, user
	}
	return challenge, challenge == nil, nil
}

func (s *server) malformed(text string) error {
	return &Error{Mechanism: s.name, Text: text, Err: ErrMalformed}
}

func (s *server) refused() error {
	return &Error{Mechanism: s.name, Text: ErrRefused.Error(), Err: ErrRefused}
}

// proved ends an exchange that has come to a name and a verdict.
func (s *server) proved(user string, ok bool) ([]byte, string, error) {
	if !ok || user == "" {
		return nil, "", s.refused()
	}
	return nil, user, nil
}

// plain is PLAIN (RFC 4616): authzid NUL authcid NUL password. Nobody acts as somebody else here.
func (s *server) plain(_ int, response []byte) ([]byte, string, error) {
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, "", s.malformed("not authzid NUL user NUL password")
	}
	ok := s.v.CheckPassword(parts[1], parts[2])
	return s.proved(parts[1], ok && (parts[0] == "" || parts[0] == parts[1]))
}

// login is LOGIN. An initial response is taken for the user name.
func (s *server) login(n int, response []byte) ([]byte, string, error) {
	switch name := string(response); {
	case n == 0 && response == nil:
		return []byte("Username:"), "", nil
	case name == "" || strings.Contains(name, "\x00"):
		return nil, "", s.malformed("not a user name")
	default:
		s.step = func(_ int, password []byte) ([]byte, string, error) {
			return s.proved(name, s.v.CheckPassword(name, string(password)))
		}
		return []byte("Password:"), "", nil
	}
}

// cram is CRAM-MD5 (RFC 2195), in which the server speaks first: an initial response is an error.
func (s *server) cram(timestamp string) func(int, []byte) ([]byte, string, error) {
	return func(n int, response []byte) ([]byte, string, error) {
		if n == 0 {
			if response != nil {
				return nil, "", s.malformed("the mechanism has no initial response")
			}
			return []byte(timestamp), "", nil
		}
		i := strings.LastIndexByte(string(response), ' ')
		if i <= 0 {
			return nil, "", s.malformed("not a user name and a digest")
		}
		user, digest := string(response[:i]), string(response[i+1:])
		password, known := s.v.password(user)
		mac := hmac.New(md5.New, []byte(password))
		mac.Write([]byte(timestamp))
		return s.proved(user, sameDigest(mac.Sum(nil), digest) && known)
	}
}

// bearer is what OAUTHBEARER and XOAUTH2 have in common: a failure is told by a challenge, and the refusal follows
// the client's answer to it, whatever that is (RFC 7628 §3.2.3).
func (s *server) bearer(parse func(string) (user, token string, ok bool), failure string) func(int, []byte) ([]byte, string, error) {
	return func(n int, response []byte) ([]byte, string, error) {
		if n > 0 {
			return nil, "", s.refused()
		}
		user, token, ok := parse(string(response))
		switch {
		case !ok:
			return nil, "", s.malformed("not a bearer token as the mechanism has it")
		case user == "" || s.v.Token == nil || !s.v.Token(user, token):
			return []byte(failure), "", nil
		}
		return s.proved(user, true)
	}
}

// parseOAuthBearer reads the client's message: a GS2 header and key=value pairs (RFC 7628 §3.1).
func parseOAuthBearer(msg string) (user, token string, ok bool) {
	header, rest, ok := strings.Cut(msg, "\x01")
	flags := strings.Split(header, ",")
	if !ok || len(flags) != 3 || flags[0] != "n" && flags[0] != "y" || flags[2] != "" {
		return "", "", false
	}
	if name, named := strings.CutPrefix(flags[1], "a="); named {
		if user, ok = saslUnescape(name); !ok {
			return "", "", false
		}
	} else if flags[1] != "" {
		return "", "", false
	}
	token, ok = bearerToken(rest)
	return user, token, ok
}

// parseXOAuth2 reads "user=" name ^A "auth=Bearer " token ^A ^A.
func parseXOAuth2(msg string) (user, token string, ok bool) {
	first, rest, _ := strings.Cut(msg, "\x01")
	if user, ok = strings.CutPrefix(first, "user="); !ok {
		return "", "", false
	}
	token, ok = bearerToken(rest)
	return user, token, ok
}

// bearerToken finds the token among key=value pairs, each ended by ^A, all of them by one more.
func bearerToken(pairs string) (token string, ok bool) {
	pairs, ok = strings.CutSuffix(pairs, "\x01\x01")
	if !ok {
		return "", false
	}
	for _, kv := range strings.Split(pairs, "\x01") {
		key, value, cut := strings.Cut(kv, "=")
		if !cut || key == "" {
			return "", false
		}
		if scheme, rest, cut := strings.Cut(value, " "); key == "auth" && cut && strings.EqualFold(scheme, "bearer") {
			token = strings.TrimLeft(rest, " ")
		}
	}
	return token, token != ""
}

// saslUnescape undoes saslName, strictly (RFC 5801 §4).
func saslUnescape(s string) (string, bool) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "=")
		b.WriteString(plain)
		switch {
		case !found:
			return b.String(), true
		case strings.HasPrefix(rest, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = rest[2:]
	}
}

// CheckPassword reports whether password is the one of user. It takes as long for a user who does not exist.
func (v Verifier) CheckPassword(user, password string) bool {
	want, known := v.password(user)
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && known && password != ""
}

// CheckAPOP reports whether digest is what POP3's APOP wants from user after a greeting with timestamp (RFC 1939 §7).
func (v Verifier) CheckAPOP(timestamp, user, digest string) bool {
	password, known := v.password(user)
	sum := md5.Sum([]byte(timestamp + password))
	return sameDigest(sum[:], digest) && known
}

// password returns the password of user, or one that nobody knows: what follows is the same work for both.
func (v Verifier) password(user string) (password string, known bool) {
	if v.Password != nil {
		password, known = v.Password(user)
	}
	if !known || password == "" {
		return rand.Text(), false
	}
	return password, true
}

// sameDigest compares in constant time; digits may be of either case.
func sameDigest(want []byte, digits string) bool {
	got, err := hex.DecodeString(digits)
	return err == nil && hmac.Equal(want, got)
}

// Timestamp makes a new message-id for CRAM-MD5 and for the greeting of a POP3 server with APOP. A host that has no
// place in one is left out.
func Timestamp(host string) string {
	stamp := "<" + rand.Text() + "." + strconv.FormatInt(time.Now().Unix(), 10) + "@" + host + ">"
	if !validTimestamp(stamp) {
		return Timestamp("localhost")
	}
	return stamp
}

// HasMechanism reports whether name, in any case of letters, is in the list.
func HasMechanism(list []string, name string) bool {
	return slices.Contains(list, strings.ToUpper(name))
}
