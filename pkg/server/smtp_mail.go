package server

import (
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// smtpRefusal is a reply that says no. It is an error so that the checks can be written one after the other.
type smtpRefusal struct {
	code           int
	enhanced, text string
}

func (r *smtpRefusal) Error() string { return r.text }

func refuse(code int, enhanced, text string) *smtpRefusal {
	return &smtpRefusal{code, enhanced, text}
}

// refused sends a refusal; those of the 50x kind count as mistakes.
func (m *smtpSession) refused(r *smtpRefusal) error {
	if r.code < 510 && r.code >= 500 {
		m.mistakes++
	}
	return m.reply(r.code, r.enhanced, r.text)
}

// mailFrom is MAIL (RFC 5321 §4.1.1.2).
func (m *smtpSession) mailFrom(arg string) error {
	if m.mails++; m.has("LIMITS") && m.mails > m.srv.options.MaxMail {
		m.quit = true
		return m.reply(421, "4.5.3", "too many messages in a session")
	}
	mail, r := m.newMail(arg)
	if r != nil {
		return m.refused(r)
	}
	m.mail, m.mistakes = mail, 0
	return m.reply(250, "2.1.0", "sender accepted")
}

func (m *smtpSession) newMail(arg string) (*smtpMail, *smtpRefusal) {
	switch {
	case m.hello == "":
		return nil, refuse(503, "5.5.1", "say hello first")
	case m.mail != nil:
		return nil, refuse(503, "5.5.1", "a transaction is open already")
	case m.srv.options.RequireLogin && m.user == nil && !m.lmtp:
		return nil, refuse(530, "5.7.0", "log in first")
	}
	addr, params, err := parsePath(arg, "FROM:")
	if err != nil {
		return nil, refuse(501, "5.5.4", err.Error())
	}
	mail := &smtpMail{from: addr}
	for _, p := range params {
		if r := m.mailParam(mail, p); r != nil {
			return nil, r
		}
	}
	if addr == "" {
		return mail, nil
	}
	return mail, checkMailbox(m.mailbox(addr), "5.1.7", mail.utf8)
}

// checkMailbox checks the address of a path.
func checkMailbox(addr, enhanced string, utf8 bool) *smtpRefusal {
	if err := message.CheckAddress(addr); err != nil {
		return refuse(501, enhanced, "bad address")
	}
	if !utf8 && !message.IsASCII(addr) {
		return refuse(553, "5.6.7", "this address needs SMTPUTF8") // RFC 6531 §3.5
	}
	return nil
}

// mailParam executes a parameter of MAIL.
func (m *smtpSession) mailParam(mail *smtpMail, p smtpParam) *smtpRefusal {
	known, ok := true, false
	switch {
	case !m.extended:
		known = false
	case p.name == "SIZE" && m.has("SIZE"):
		return m.sizeParam(mail, p)
	case p.name == "BODY" && m.has("8BITMIME"):
		switch strings.ToUpper(p.value) {
		case "7BIT", "8BITMIME":
			ok = true
		case "BINARYMIME":
			mail.binary = true
			ok = m.has("BINARYMIME") && m.has("CHUNKING")
		}
	case p.name == "SMTPUTF8" && m.has("SMTPUTF8"):
		mail.utf8, ok = true, !p.set
	case p.name == "REQUIRETLS" && m.has("REQUIRETLS"): // RFC 8689
		if !m.secure() {
			return refuse(530, "5.7.10", "REQUIRETLS needs TLS")
		}
		ok = !p.set // nothing goes on to another server from here
	case p.name == "AUTH" && m.has("AUTH"): // RFC 4954 §5
		_, ok = decodeXtext(p.value)
		ok = ok || p.value == "<>"
	case p.name == "RET" && m.has("DSN"):
		ok = strings.EqualFold(p.value, "FULL") || strings.EqualFold(p.value, "HDRS")
	case p.name == "ENVID" && m.has("DSN"):
		mail.envid, ok = decodeXtext(p.value)
		ok = ok && len(p.value) <= 100
	default:
		known = false
	}
	return paramVerdict(p, known, ok)
}

func paramVerdict(p smtpParam, known, ok bool) *smtpRefusal {
	switch {
	case !known:
		return refuse(555, "5.5.4", "parameter not known here")
	case !ok:
		return refuse(501, "5.5.4", "bad value of "+p.name)
	}
	return nil
}

// sizeParam is SIZE (RFC 1870): at most twenty digits.
func (m *smtpSession) sizeParam(mail *smtpMail, p smtpParam) *smtpRefusal {
	if len(p.value) == 0 || len(p.value) > 20 || strings.Trim(p.value, "0123456789") != "" {
		return refuse(501, "5.5.4", "bad value of SIZE")
	}
	n, err := strconv.ParseInt(p.value, 10, 64)
	if err != nil || n > m.srv.options.MaxMessage {
		return refuse(552, "5.3.4", "the message is too big")
	}
	mail.size = n
	return nil
}
