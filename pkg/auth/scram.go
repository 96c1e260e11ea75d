package auth

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// The server names the number of hash rounds. Fewer than the first make stolen credentials cheap to guess
// (RFC 7677 §4), more than the second would keep our processor busy for its pleasure (CVE-2026-42256).
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

// scramOptions say which member of the SCRAM family is wanted.
type scramOptions struct {
	name     string
	authzid  string
	user     string
	password Secret
	binding  scram.ChannelBinding // empty: none
	// couldBind sends the "y" flag: we could bind the channel, but the server listed no -PLUS. A server that did list
	// one sees that somebody on the way removed it (RFC 5802 §6).
	couldBind bool
	nonce     string // for tests; empty: a random one
}

// newScram builds SCRAM-SHA-256 or SCRAM-SHA-1, with or without channel binding (RFC 5802, RFC 7677).
func newScram(o scramOptions) (Mechanism, error) {
	if o.nonce == "" {
		o.nonce = rand.Text()
	}
	conv, err := conversation(o)
	if err != nil {
		return nil, &Error{Mechanism: o.name, Text: err.Error()}
	}
	step := 0
	next := func(challenge []byte) ([]byte, error) {
		step++
		if step == 1 {
			if err := checkServerFirst(o.name, string(challenge), o.nonce); err != nil {
				return nil, err
			}
		}
		resp, err := conv.Step(string(challenge))
		if err != nil {
			return nil, &Error{Mechanism: o.name, Text: err.Error()}
		}
		return []byte(resp), nil
	}
	finish := func() error {
		if !conv.Valid() {
			return &Error{Mechanism: o.name, Text: "server reports success without proving that it knows the password"}
		}
		return nil
	}
	start := func() ([]byte, error) { s, err := conv.Step(""); return []byte(s), err }
	return &mechanism{name: o.name, start: start, next: next, finish: finish, secrets: []Secret{o.password}}, nil
}

// conversation sets up the library. A password that SASLprep forbids, such as one with an emoji, is used as it is:
// the server that accepted it did not prepare it either.
func conversation(o scramOptions) (*scram.ClientConversation, error) {
	hash := scram.SHA256
	if strings.HasPrefix(o.name, ScramSHA1) {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(o.user, o.password.Reveal(), o.authzid)
	if err != nil {
		client, err = hash.NewClientUnprepped(o.user, o.password.Reveal(), o.authzid)
	}
	if err != nil {
		return nil, err
	}
	client = client.WithMinIterations(minIterations).WithNonceGenerator(func() string { return o.nonce })
	switch {
	case o.binding.IsSupported():
		return client.NewConversationWithChannelBinding(o.binding), nil
	case o.couldBind:
		return client.NewConversationAdvertisingChannelBinding(), nil
	}
	return client.NewConversation(), nil
}

// checkServerFirst looks at the server's first message before anything is computed from it: the nonce must go on
// where ours ends, and the iteration count must be sane (RFC 5802 §5.1).
func checkServerFirst(name, msg, nonce string) error {
	fail := func(text string) error { return &Error{Mechanism: name, Text: text} }
	if strings.HasPrefix(msg, "e=") {
		return fail("server reports " + clean(msg[2:]))
	}
	fields := strings.Split(msg, ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return fail("malformed first message from the server")
	}
	if theirs := fields[0][2:]; !strings.HasPrefix(theirs, nonce) || len(theirs) == len(nonce) {
		return fail("the server's nonce does not extend ours")
	}
	if salt, err := base64.StdEncoding.DecodeString(fields[1][2:]); err != nil || len(salt) == 0 {
		return fail("malformed salt from the server")
	}
	count, err := strconv.ParseUint(fields[2][2:], 10, 63)
	switch {
	case err != nil && !isDigits(fields[2][2:]):
		return fail("malformed iteration count from the server")
	case err != nil || count > maxIterations:
		return fail("server asks for more than " + strconv.Itoa(maxIterations) + " iterations")
	case count < minIterations:
		return fail("server asks for fewer than " + strconv.Itoa(minIterations) + " iterations")
	}
	return nil
}

// isDigits reports whether s is a number, however large.
func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// channelBinding returns what ties the exchange to the TLS connection: tls-exporter on TLS 1.3 (RFC 9266), tls-unique
// on TLS 1.2 (RFC 5929 §3), else tls-server-end-point (§4). The empty value means that there is nothing to bind to.
func channelBinding(st *tls.ConnectionState) scram.ChannelBinding {
	if st == nil {
		return scram.ChannelBinding{}
	}
	if st.Version >= tls.VersionTLS13 {
		if cb, err := scram.NewTLSExporterBinding(st); err == nil {
			return cb
		}
	} else if len(st.TLSUnique) > 0 {
		return scram.NewTLSUniqueBinding(st.TLSUnique)
	}
	cb, err := scram.NewTLSServerEndpointBinding(st)
	if err != nil {
		return scram.ChannelBinding{}
	}
	return cb
}
