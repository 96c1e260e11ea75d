package auth

// mechanism is every Mechanism of this package. The steps are functions and keep what they need in closures, so that
// no printer can find a password in it.
type mechanism struct {
	name    string
	start   func() (ir []byte, err error)
	next    func(challenge []byte) (resp []byte, err error)
	finish  func() error  // nil: the server has nothing to prove
	failure func() *Error // what an error challenge said; nil or returning nil: none came
	secrets []Secret
}

// Name returns the mechanism's name.
func (m *mechanism) Name() string { return m.name }

// Start begins the exchange; a nil initial response means that the server speaks first.
func (m *mechanism) Start() (string, []byte, error) {
	ir, err := m.start()
	return m.name, ir, err
}

// Next answers a challenge.
func (m *mechanism) Next(challenge []byte) ([]byte, error) {
	if len(challenge) > maxChallenge {
		return nil, &Error{Mechanism: m.name, Text: "challenge is too long"}
	}
	return m.next(challenge)
}

// Finish reports whether the server has proved what it had to prove.
func (m *mechanism) Finish() error {
	if m.finish == nil {
		return nil
	}
	return m.finish()
}

// maxChallenge caps a decoded challenge, in bytes. Real ones have less than 1 KiB.
const maxChallenge = 8 << 10

// unexpected is the Next of mechanisms that have said everything in their first response.
func unexpected(name string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) {
		return nil, &Error{Mechanism: name, Text: "unexpected challenge from the server"}
	}
}
