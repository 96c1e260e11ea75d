package server

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Extensions in the order in which CAPABILITY lists them.
var (
	imapAlways = []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "LITERAL-", "SASL-IR", "ID", "ENABLE"}
	imapLater  = []string{"NAMESPACE", "CHILDREN", "UNSELECT", "UIDPLUS", "MOVE", "IDLE", "MULTIAPPEND", "BINARY",
		"LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "STATUS=SIZE", "CONDSTORE", "QRESYNC", "ESEARCH",
		"SEARCHRES", "SORT", "SORT=DISPLAY", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "UTF8=ACCEPT", "OBJECTID",
		"PREVIEW", "QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "WITHIN", "COMPRESS=DEFLATE", gmailExtension}
)

// imapStandsOn are the extensions without which another one cannot be. Those of IMAP4rev2 are its parts (RFC 9051
// appendix E).
var imapStandsOn = map[string][]string{
	"QRESYNC": {"CONDSTORE", "ENABLE"}, "UTF8=ACCEPT": {"ENABLE"}, "SEARCHRES": {"ESEARCH"}, "LIST-STATUS": {"LIST-EXTENDED"},
	"CREATE-SPECIAL-USE": {"SPECIAL-USE"}, "SORT=DISPLAY": {"SORT"}, "QUOTA=RES-STORAGE": {"QUOTA"}, "QUOTA=RES-MESSAGE": {"QUOTA"},
	"IMAP4REV2": {"ENABLE", "NAMESPACE", "UNSELECT", "UIDPLUS", "ESEARCH", "SEARCHRES", "IDLE", "SASL-IR", "LIST-EXTENDED", "LIST-STATUS",
		"MOVE", "BINARY", "SPECIAL-USE", "STATUS=SIZE"},
}

// has hides what stands on another extension that is off. Where IMAP4rev2 is all there is, it stays.
func (s *imapSession) has(extension string) bool {
	name := strings.ToUpper(extension)
	if name == "IMAP4REV2" && !s.session.has("IMAP4REV1") {
		return s.session.has(name)
	}
	if name == gmailExtension && !s.srv.labels {
		return false
	}
	return s.session.has(name) && !slices.ContainsFunc(imapStandsOn[name], s.hidden)
}

// capabilities lists what is offered in the present state (RFC 9051 §7.2.2).
func (s *imapSession) capabilities() string {
	var list []string
	for _, name := range imapAlways {
		if s.has(name) && (name != "LITERAL-" || !s.has("LITERAL+")) {
			list = append(list, name)
		}
	}
	if s.state == imapNew {
		return strings.Join(append(list, s.loginCapabilities()...), " ")
	}
	for _, name := range imapLater {
		if s.has(name) {
			list = append(list, name)
		}
	}
	if s.has("APPENDLIMIT") {
		list = append(list, "APPENDLIMIT="+strconv.FormatInt(s.appendLimit(), 10))
	}
	return strings.Join(list, " ")
}

func (s *imapSession) loginCapabilities() []string {
	var list []string
	if s.has("STARTTLS") && !s.secure() {
		list = append(list, "STARTTLS")
	}
	if !s.loginAllowed() {
		list = append(list, "LOGINDISABLED")
	}
	for _, m := range s.mechanisms() {
		list = append(list, "AUTH="+m)
	}
	return list
}

// loginAllowed tells if LOGIN may show the password.
func (s *imapSession) loginAllowed() bool {
	return (s.secure() || s.srv.options.AllowCleartextLogin) && !s.hidden("LOGIN")
}

// hidden tells if an extension, or a command of the base protocol, was switched off.
func (s *imapSession) hidden(name string) bool { return !s.session.has(name) }

func (s *imapSession) appendLimit() int64 { return s.srv.options.MaxMessage }

func (s *imapSession) capability(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	return s.line("* CAPABILITY " + s.capabilities())
}

// startTLS answers STARTTLS (RFC 9051 §6.2.1). Commands that came with it in cleartext end the connection before the
// handshake; nothing of the session so far survives it.
func (s *imapSession) startTLS(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	if s.secure() {
		return imapBad("", "TLS is active")
	}
	if s.c.in.Buffered() > 0 || s.conn.Buffered() > 0 {
		return errIMAPInjected
	}
	if err := s.done(nil); err != nil {
		return err
	}
	if err := s.session.startTLS(); err != nil {
		return err
	}
	clear(s.enabled)
	s.c = newIMAPStream(s.conn)
	return errIMAPAnswered
}

var errIMAPInjected = errors.New("commands came with STARTTLS in cleartext")

// login answers LOGIN (RFC 9051 §6.2.3).
func (s *imapSession) login(d *imapwire.Decoder) error {
	d.SP()
	user := d.AString()
	d.SP()
	password := d.AString()
	if err := s.finish(d); err != nil {
		return err
	}
	if !s.loginAllowed() {
		return imapNo("PRIVACYREQUIRED", "LOGIN needs TLS")
	}
	if !s.srv.verifier().CheckPassword(user, password) {
		return s.loginRefused()
	}
	return s.loggedIn(user)
}

// loginRefused is the answer to wrong credentials; too many of them end the session.
func (s *imapSession) loginRefused() error {
	if s.loginFailed() {
		s.state = imapGone
		if err := s.line("* BYE too many failed logins"); err != nil {
			return err
		}
	}
	return imapNo("AUTHENTICATIONFAILED", "wrong user name, password or token")
}

func (s *imapSession) loggedIn(user string) error {
	if err := s.session.login(user); err != nil {
		return err
	}
	s.state = imapKnown
	if s.srv.options.Timeout == 0 {
		s.conn.SetTimeout(imapIdleTime)
	}
	return imapOK("CAPABILITY "+s.capabilities(), "logged in")
}

// authenticate answers AUTHENTICATE (RFC 9051 §6.2.2).
func (s *imapSession) authenticate(d *imapwire.Decoder) error {
	d.SP()
	name := d.Keyword()
	var response []byte
	if d.Accept(' ') {
		if !s.has("SASL-IR") {
			return imapBad("", "no initial response here")
		}
		text := string(d.Rest())
		if text == "=" {
			text = ""
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return imapBad("", "initial response is not base64")
		}
		response = append([]byte{}, raw...)
	}
	if err := s.finish(d); err != nil {
		return err
	}
	if !slices.Contains(s.mechanisms(), name) {
		return imapNo("", "this mechanism is not offered")
	}
	m, err := auth.NewServer(name, s.verifier(), s.channel())
	if err != nil {
		return imapNo("", "this mechanism is not offered")
	}
	if err := s.exchange(m, response); err != nil {
		return err
	}
	return s.loggedIn(m.User())
}

// exchange runs a mechanism to its end.
func (s *imapSession) exchange(m auth.Server, response []byte) error {
	for {
		challenge, done, err := m.Next(response)
		switch {
		case errors.Is(err, auth.ErrMalformed):
			return imapBad("", "malformed response")
		case err != nil:
			return s.loginRefused()
		case done:
			return nil
		}
		if err := s.line("+ " + base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		line, err := s.c.ReadLine(16 << 10)
		if err != nil {
			return err
		}
		s.c.tail = s.c.tail[:0] // no command: nothing to skip behind it
		if string(line) == "*" {
			return imapBad("", "cancelled")
		}
		if response, err = base64.StdEncoding.Strict().DecodeString(string(line)); err != nil {
			return imapBad("", "response is not base64")
		}
		if response == nil {
			response = []byte{}
		}
	}
}
