package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"strings"
	"sync"

	"github.com/xdg-go/scram"
)

// scramRounds is the iteration count we ask for: the least RFC 7677 §4 allows, for the users of this server are tests.
const scramRounds = 4096

// scram is the four SCRAM mechanisms (RFC 5802, RFC 7677). The server's signature travels as a challenge, which the
// client answers with nothing.
func (s *server) scram(ch Channel) func(int, []byte) ([]byte, string, error) {
	var conv *scram.ServerConversation
	return func(n int, response []byte) ([]byte, string, error) {
		if strings.Contains(string(response), "\x00") {
			return nil, "", s.malformed("NUL in the response")
		}
		switch n {
		case 0:
			var err error
			if conv, err = s.conversation(ch, string(response)); err != nil {
				return nil, "", err
			}
			reply, err := conv.Step(string(response))
			if err != nil || conv.Username() == "" {
				return nil, "", s.scramError(reply)
			}
			return []byte(reply), "", nil
		case 1:
			reply, err := conv.Step(string(response))
			if err != nil || !conv.Valid() {
				return nil, "", s.scramError(reply)
			}
			if as := conv.AuthzID(); as != "" && as != conv.Username() {
				return nil, "", s.refused()
			}
			return []byte(reply), "", nil
		}
		if len(response) > 0 {
			return nil, "", s.malformed("the server's signature is answered with nothing")
		}
		return s.proved(conv.Username(), conv.Valid())
	}
}

// conversation sets up the library. With -PLUS the client must bind; without it must not, and if we offered -PLUS it
// must not claim that we did not (RFC 5802 §6).
func (s *server) conversation(ch Channel, first string) (*scram.ServerConversation, error) {
	hash := scram.SHA256
	if strings.HasPrefix(s.name, ScramSHA1) {
		hash = scram.SHA1
	}
	srv, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) { return s.v.stored(hash, s.name, user) })
	if err != nil {
		return nil, s.malformed(err.Error())
	}
	flag, _, _ := strings.Cut(first, ",")
	kind, binds := strings.CutPrefix(flag, "p=")
	cb := serverBinding(ch.TLS, scram.ChannelBindingType(kind))
	switch {
	case isPlus(s.name):
		return srv.NewConversationWithChannelBindingRequired(cb), nil
	case binds:
		return nil, s.malformed("channel binding belongs to the -PLUS mechanisms")
	case s.v.NoBinding:
		return srv.NewConversation(), nil
	}
	return srv.NewConversationWithChannelBinding(cb), nil
}

// scramError puts the error codes of the library into words. What tells a wrong user from a wrong password is not
// passed on, nor are the library's own words, which show the channel's secrets.
func (s *server) scramError(code string) error {
	switch code {
	case scram.ErrInvalidProof, scram.ErrUnknownUser:
		return s.refused()
	case "":
		return s.malformed("not a message of the mechanism")
	}
	return s.malformed(strings.TrimPrefix(code, "e="))
}

// serverBinding returns the channel binding of the wanted type, or of the one clients choose first when kind is empty.
// Types: tls-exporter (RFC 9266) on TLS 1.3, also with 1.2 when the keys are bound to the whole handshake, and
// tls-unique (RFC 5929 §3) before 1.3.
func serverBinding(st *tls.ConnectionState, kind scram.ChannelBindingType) scram.ChannelBinding {
	switch {
	case st == nil:
		return scram.ChannelBinding{}
	case kind == scram.ChannelBindingTLSUnique || kind == "" && st.Version < tls.VersionTLS13:
		if st.Version < tls.VersionTLS13 && len(st.TLSUnique) > 0 {
			return scram.NewTLSUniqueBinding(st.TLSUnique)
		}
	case kind == scram.ChannelBindingTLSExporter || kind == "":
		if cb, err := scram.NewTLSExporterBinding(st); err == nil {
			return cb
		}
	}
	if kind != "" { // another type: say which one we have
		return serverBinding(st, "")
	}
	return scram.ChannelBinding{}
}

// Keys remembers per user what SCRAM derives from a password, so that a login costs a few hashes and not thousands.
// The salt of a name stays the same for the life of the value, also of a name nobody has. It is safe for concurrent
// use.
type Keys struct {
	secret [32]byte
	mu     sync.Mutex
	known  map[[32]byte]derived // by a keyed hash of mechanism and name
}

// derived is one entry of Keys: of which password, and what came out.
type derived struct {
	password [32]byte // a keyed hash
	stored   scram.StoredCredentials
}

// maxKeys caps the entries; names come from the network. When it is reached all are dropped.
const maxKeys = 1024

// NewKeys returns an empty Keys.
func NewKeys() *Keys {
	k := &Keys{known: make(map[[32]byte]derived)}
	_, _ = rand.Read(k.secret[:])
	return k
}

// digest is a hash of the texts that only this value can make.
func (k *Keys) digest(texts ...string) (sum [32]byte) {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte(strings.Join(texts, "\x00")))
	mac.Sum(sum[:0])
	return sum
}

// stored returns what SCRAM needs to know of user. A user who does not exist gets keys that fit no password, at the
// same cost and with a salt as stable.
func (v Verifier) stored(hash scram.HashGeneratorFcn, name, user string) (scram.StoredCredentials, error) {
	password, known := v.password(user)
	if v.Keys == nil {
		return derive(hash, user, password, rand.Text())
	}
	k, name := v.Keys, strings.TrimSuffix(name, "-PLUS")
	if !known { // one of its own for each name, else every attempt would be a new password
		sum := k.digest("nobody", user)
		password = string(sum[:])
	}
	salt, mark, id := k.digest("salt", name, user), k.digest("password", password), k.digest("entry", name, user)
	k.mu.Lock()
	entry, ok := k.known[id]
	k.mu.Unlock()
	if ok && entry.password == mark {
		return entry.stored, nil
	}
	stored, err := derive(hash, user, password, string(salt[:16]))
	if err != nil {
		return stored, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxKeys {
		clear(k.known)
	}
	k.known[id] = derived{mark, stored}
	return stored, nil
}

// derive does the thousands of hashes. Names and passwords that SASLprep forbids are used as they are.
func derive(hash scram.HashGeneratorFcn, user, password, salt string) (scram.StoredCredentials, error) {
	client, err := hash.NewClient(user, password, "")
	if err != nil {
		if client, err = hash.NewClientUnprepped(user, password, ""); err != nil {
			return scram.StoredCredentials{}, err
		}
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: salt, Iters: scramRounds})
}
