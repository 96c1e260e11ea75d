package auth

import (
	"github.com/emersion/go-sasl"
)

// newPlain builds PLAIN (RFC 4616).
func newPlain(authzid, user string, password Secret) Mechanism {
	return fromSASL(Plain, func() sasl.Client { return sasl.NewPlainClient(authzid, user, password.Reveal()) }, password)
}

// newExternal builds EXTERNAL (RFC 4422 appendix A): the client certificate has said who we are.
func newExternal(authzid string) Mechanism {
	return fromSASL(External, func() sasl.Client { return sasl.NewExternalClient(authzid) })
}

// newAnonymous builds ANONYMOUS (RFC 4505) with a trace text such as an address.
func newAnonymous(trace string) Mechanism {
	return fromSASL(Anonymous, func() sasl.Client { return sasl.NewAnonymousClient(trace) })
}

// fromSASL adapts a client that says everything in its initial response.
func fromSASL(name string, make func() sasl.Client, secrets ...Secret) Mechanism {
	return &mechanism{
		name: name,
		start: func() ([]byte, error) {
			_, ir, err := make().Start()
			if ir == nil {
				ir = []byte{}
			}
			return ir, err
		},
		next:    unexpected(name),
		secrets: secrets,
	}
}

// newLogin builds LOGIN. The prompts differ between servers ("Username:", "User Name\x00", "VXNlcm5hbWU6" encoded
// twice, nothing at all), so the first is answered with the user name and the second with the password, whatever
// they say. There is no initial response: some servers take it for the answer to the second prompt.
func newLogin(user string, password Secret) Mechanism {
	step := 0
	return &mechanism{
		name:  Login,
		start: func() ([]byte, error) { return nil, nil },
		next: func([]byte) ([]byte, error) {
			step++
			switch step {
			case 1:
				return []byte(user), nil
			case 2:
				return []byte(password.Reveal()), nil
			}
			return nil, &Error{Mechanism: Login, Text: "unexpected third prompt from the server"}
		},
		secrets: []Secret{password},
	}
}
