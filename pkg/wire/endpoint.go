package wire

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Protocol names what is spoken on a connection.
type Protocol string

// The protocols.
const (
	SMTP Protocol = "smtp"
	LMTP Protocol = "lmtp"
	POP3 Protocol = "pop3"
	IMAP Protocol = "imap"
)

// Security says when TLS begins.
type Security int

// The ways, the zero value being the safest.
const (
	ImplicitTLS Security = iota // from the first octet (RFC 8314)
	StartTLS                    // by STARTTLS or STLS, required: without it the connection ends
	Cleartext                   // never

	// OpportunisticTLS is STARTTLS where the server offers it, without looking at the certificate (RFC 7435): for the
	// delivery between servers, where no certificate can be expected. There is no URL for it.
	OpportunisticTLS
)

// Endpoint is where a server listens and how to speak to it.
type Endpoint struct {
	Protocol Protocol
	Host     string // name in ASCII form (RFC 5890), or an IP address; empty with Path
	Port     int
	Path     string // a unix socket instead of Host and Port
	Security Security
	User     string // from the URL's user part, percent-decoded
}

type scheme struct {
	protocol Protocol
	security Security
	port     int
}

var schemes = map[string]scheme{
	"smtps":      {SMTP, ImplicitTLS, 465},
	"imaps":      {IMAP, ImplicitTLS, 993},
	"pop3s":      {POP3, ImplicitTLS, 995},
	"smtp":       {SMTP, StartTLS, 587},
	"imap":       {IMAP, StartTLS, 143},
	"pop3":       {POP3, StartTLS, 110},
	"lmtp":       {LMTP, StartTLS, 24},
	"smtp+plain": {SMTP, Cleartext, 587},
	"imap+plain": {IMAP, Cleartext, 143},
	"pop3+plain": {POP3, Cleartext, 110},
	"lmtp+plain": {LMTP, Cleartext, 24},
	"lmtp+unix":  {LMTP, Cleartext, 0},
}

// ParseEndpoint reads a server URL such as imaps://ann@imap.example.org or lmtp+unix:///run/lmtp. A password in the
// URL, a path where none belongs, a query or an unknown scheme is an error.
func ParseEndpoint(raw string) (Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return Endpoint{}, fmt.Errorf("%q is not a server URL such as imaps://imap.example.org", withoutPassword(raw))
	}
	s, ok := schemes[strings.ToLower(u.Scheme)]
	if !ok {
		return Endpoint{}, fmt.Errorf("unknown scheme %q in a server URL: known are smtps, imaps, pop3s (TLS), smtp, imap, pop3, lmtp (STARTTLS), "+
			"smtp+plain, imap+plain, pop3+plain, lmtp+plain and lmtp+unix", u.Scheme)
	}
	if _, has := u.User.Password(); has {
		return Endpoint{}, fmt.Errorf("a server URL must not hold a password: %q", u.Redacted())
	}
	e := Endpoint{Protocol: s.protocol, Security: s.security, User: u.User.Username()}
	if strings.ContainsFunc(e.User, isControl) {
		return Endpoint{}, fmt.Errorf("the user name in %q has control characters", raw)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return Endpoint{}, fmt.Errorf("%q: a server URL ends after the port", raw)
	}
	if strings.EqualFold(u.Scheme, "lmtp+unix") {
		return e.withPath(u, raw)
	}
	return e.withHost(u, s.port, raw)
}

func (e Endpoint) withPath(u *url.URL, raw string) (Endpoint, error) {
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return Endpoint{}, fmt.Errorf("%q: lmtp+unix takes an absolute path, as in lmtp+unix:///run/lmtp", raw)
	}
	e.Path = u.Path
	return e, nil
}

func (e Endpoint) withHost(u *url.URL, port int, raw string) (Endpoint, error) {
	if u.Path != "" && u.Path != "/" {
		return Endpoint{}, fmt.Errorf("%q: a server URL ends after the port", raw)
	}
	host := u.Hostname()
	if host == "" {
		return Endpoint{}, fmt.Errorf("%q has no host", raw)
	}
	if net.ParseIP(host) == nil {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return Endpoint{}, fmt.Errorf("%q: not a host name: %w", host, err)
		}
		host = ascii
	}
	e.Host, e.Port = host, port
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Endpoint{}, fmt.Errorf("%q: port %s is not between 1 and 65535", raw, p)
		}
		e.Port = int(n)
	}
	return e, nil
}

// Address is host:port, or the path of the unix socket.
func (e Endpoint) Address() string {
	if e.Path != "" {
		return e.Path
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Loopback is true when the endpoint can only be this machine: localhost, a loopback address or a unix socket.
func (e Endpoint) Loopback() bool {
	if e.Path != "" || strings.EqualFold(e.Host, "localhost") {
		return true
	}
	ip := net.ParseIP(e.Host)
	return ip != nil && ip.IsLoopback()
}

// String is the URL that ParseEndpoint reads.
func (e Endpoint) String() string {
	u := url.URL{Scheme: e.scheme(), Host: e.Address()}
	if e.Path != "" {
		u.Host, u.Path = "", e.Path
	}
	if e.User != "" {
		u.User = url.User(e.User)
	}
	return u.String()
}

func (e Endpoint) scheme() string {
	switch {
	case e.Path != "":
		return string(e.Protocol) + "+unix"
	case e.Security == ImplicitTLS:
		return string(e.Protocol) + "s"
	case e.Security == Cleartext:
		return string(e.Protocol) + "+plain"
	}
	return string(e.Protocol)
}

// withoutPassword shortens a text that did not parse as a URL so that a password in it is not shown.
func withoutPassword(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		return "…" + raw[i:]
	}
	return raw
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
