package server

import (
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// rcptTo is RCPT (RFC 5321 §4.1.1.3).
func (m *smtpSession) rcptTo(arg string) error {
	rcpt, r := m.newRcpt(arg)
	if r != nil {
		return m.refused(r)
	}
	m.rcpt = append(m.rcpt, rcpt)
	return m.reply(250, "2.1.5", "recipient accepted")
}

func (m *smtpSession) newRcpt(arg string) (rcpt smtpRcpt, _ *smtpRefusal) {
	switch {
	case m.mail == nil:
		return rcpt, refuse(503, "5.5.1", "MAIL comes first")
	case m.spool != nil:
		return rcpt, refuse(503, "5.5.1", "the text has begun")
	}
	if m.rcpts++; m.rcpts > m.srv.options.MaxRcpt { // the refused ones count too (RFC 9422 §4.2)
		return rcpt, refuse(452, "4.5.3", "too many recipients")
	}
	addr, params, err := parsePath(arg, "TO:")
	if err != nil {
		return rcpt, refuse(501, "5.5.4", err.Error())
	}
	rcpt.addr = addr
	for _, p := range params {
		if r := m.rcptParam(&rcpt, p); r != nil {
			return rcpt, r
		}
	}
	if !strings.EqualFold(addr, "postmaster") { // the one name that needs no domain
		if r := checkMailbox(m.mailbox(addr), "5.1.3", m.mail.utf8); r != nil {
			return rcpt, r
		}
	}
	if m.submits() {
		return rcpt, nil
	}
	if rcpt.user, err = m.srv.recipient(addr); err != nil {
		return rcpt, refuse(550, "5.7.1", err.Error())
	}
	return rcpt, nil
}

// rcptParam executes a parameter of RCPT.
func (m *smtpSession) rcptParam(rcpt *smtpRcpt, p smtpParam) *smtpRefusal {
	known, ok := m.extended && m.has("DSN"), false
	switch p.name {
	case "NOTIFY":
		rcpt.notify = strings.ToUpper(p.value)
		ok = isNotify(rcpt.notify)
	case "ORCPT":
		kind, addr, _ := strings.Cut(p.value, ";")
		text, printable := decodeXtext(addr)
		if m.mail.utf8 && strings.EqualFold(kind, "utf-8") && !message.IsASCII(addr) { // RFC 6533 §3
			text, printable = addr, true
		}
		rcpt.orcpt = kind + ";" + text
		ok = isAtom(kind) && printable && len(p.value) <= 500
	default:
		known = false
	}
	return paramVerdict(p, known, ok)
}

// isNotify checks the value of NOTIFY: NEVER by itself, or some of the others, each once (RFC 3461 §4.1).
func isNotify(list string) bool {
	if list == "NEVER" {
		return true
	}
	seen := map[string]bool{}
	for word := range strings.SplitSeq(list, ",") {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" || seen[word] {
			return false
		}
		seen[word] = true
	}
	return true
}

func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`()<>[]:;@\,."`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
