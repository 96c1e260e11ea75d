package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// stls begins TLS (RFC 2595 §4). What was said before is forgotten; octets that came with the command end the session.
func (p *popSession) stls([]string) error {
	if p.conn.TLS() != nil {
		return p.refuse("", "TLS is on already")
	}
	if p.inUTF8 {
		return p.refuse("", "STLS comes before UTF8")
	}
	if err := p.ok("begin TLS"); err != nil {
		return err
	}
	p.name = ""
	return p.startTLS()
}

// userCommand keeps the name for PASS. It is the same for a name that nobody has.
func (p *popSession) userCommand(args []string) error {
	if !p.cleartextOK() {
		return p.refuse("", "a password is taken only under TLS: use STLS first")
	}
	p.name = args[0]
	return p.ok("now the password")
}

// pass logs in; after a failure USER must come again (RFC 1939 §7).
func (p *popSession) pass(args []string) error {
	name := p.name
	p.name = ""
	switch {
	case !p.cleartextOK():
		return p.refuse("", "a password is taken only under TLS: use STLS first")
	case name == "":
		return p.refuse("", "USER comes first")
	case !p.verifier().CheckPassword(name, args[0]):
		return p.badLogin()
	}
	return p.enter(name)
}

// apop logs in with a digest of the greeting's timestamp and the password (RFC 1939 §7).
func (p *popSession) apop(args []string) error {
	switch {
	case p.stamp == "":
		return p.refuse("", "unknown command")
	case !p.verifier().CheckAPOP(p.stamp, args[0], args[1]):
		return p.badLogin()
	}
	return p.enter(args[0])
}

// sasl runs one exchange (RFC 5034).
func (p *popSession) sasl(args []string) error {
	if !auth.HasMechanism(p.mechanisms(), args[0]) {
		return p.refuse("", "no such mechanism here")
	}
	exchange, err := auth.NewServer(args[0], p.verifier(), p.channel())
	if err != nil {
		return p.refuse("", "no such mechanism here")
	}
	var response []byte
	if len(args) == 2 {
		if response, err = popBase64(args[1]); err != nil {
			return p.refuse("", err.Error())
		}
	}
	for {
		challenge, done, err := exchange.Next(response)
		switch {
		case errors.Is(err, auth.ErrRefused):
			return p.badLogin()
		case err != nil:
			return p.refuse("AUTH", err.Error())
		case done:
			return p.enter(exchange.User())
		}
		if response, err = p.ask(challenge); err != nil {
			var bad *popSyntaxError
			if errors.As(err, &bad) {
				return p.refuse("", bad.Error())
			}
			return err
		}
	}
}

// popSyntaxError is an answer to a challenge that ends the exchange and not the session.
type popSyntaxError struct{ msg string }

func (e *popSyntaxError) Error() string { return e.msg }

// ask sends a challenge and reads the answer.
func (p *popSession) ask(challenge []byte) ([]byte, error) {
	if err := p.line("+ " + base64.StdEncoding.EncodeToString(challenge)); err != nil {
		return nil, err
	}
	switch err := p.readLine(popMaxResponse); {
	case errors.Is(err, errLongLine):
		return nil, &popSyntaxError{"line too long"}
	case errors.Is(err, errLineEnd):
		return nil, errors.Join(p.refuse("", "lines end with CR LF"), errHangUp)
	case err != nil:
		return nil, err
	case string(p.input) == "*":
		return nil, &popSyntaxError{"authentication cancelled"}
	}
	response, err := base64.StdEncoding.Strict().DecodeString(string(p.input))
	if err != nil {
		return nil, &popSyntaxError{"not base64"}
	}
	return response, nil // of an empty line: not nil
}

// popBase64 reads an initial response, in which "=" means an empty one.
func popBase64(word string) ([]byte, error) {
	if word == "=" {
		return []byte{}, nil
	}
	response, err := base64.StdEncoding.Strict().DecodeString(word)
	if err != nil {
		return nil, &popSyntaxError{"not base64"}
	}
	return response, nil
}

func (p *popSession) badLogin() error {
	p.over = p.loginFailed()
	return p.refuse("AUTH", "wrong user name, password or token")
}

// enter opens the maildrop of a user who has proved to be one, for this session alone (RFC 1939 §4).
func (p *popSession) enter(name string) error {
	user := p.srv.lookup(name)
	if user == nil {
		return p.badLogin()
	}
	if p.hit.lie == lieLoginDelay {
		return p.refuse("LOGIN-DELAY", "too soon after the last login")
	}
	if p.hit.lie != lieInUse {
		p.unlock = p.locks.lock(user.Name)
	}
	if p.unlock == nil {
		return p.refuse("IN-USE", "the maildrop is in use by another session")
	}
	if err := p.open(name); err != nil {
		p.release()
		return p.failed(err)
	}
	return p.ok(fmt.Sprintf("maildrop has %d messages", len(p.drop)))
}

// open takes the snapshot that the numbers of the session go by.
func (p *popSession) open(name string) error {
	if err := p.login(name); err != nil {
		return err
	}
	box, err := p.account.Mailbox("INBOX")
	if err != nil {
		return err
	}
	validity := box.State().UIDValidity
	messages := box.Messages()
	p.drop = make([]popMessage, len(messages))
	for i, m := range messages {
		p.drop[i] = popMessage{uid: m.UID, size: m.Size, id: fmt.Sprintf("%d.%d", validity, m.UID)}
	}
	p.box = box
	return nil
}

// release gives the maildrop back, once.
func (p *popSession) release() {
	if p.unlock != nil {
		p.unlock()
		p.unlock = nil
	}
}

// cleartextOK reports whether a password may be taken as it is.
func (p *popSession) cleartextOK() bool {
	return p.conn.TLS() != nil || p.srv.options.AllowCleartextLogin
}

// maildropLocks knows which maildrops a POP3 session has open. The zero value is ready.
type maildropLocks struct {
	mu   sync.Mutex
	held map[string]bool
}

// lock takes the maildrop of user; it returns nil when another session has it.
func (l *maildropLocks) lock(user string) (unlock func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[user] {
		return nil
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[user] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, user)
	}
}
