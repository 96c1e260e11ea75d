package server

import (
	"fmt"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// helo is HELO, EHLO and LHLO (RFC 5321 §4.1.1.1, RFC 2033 §4.1).
func helo(name string) func(m *smtpSession, arg string) error {
	return func(m *smtpSession, arg string) error {
		if message.CheckAddress("x@"+arg) != nil || !message.IsASCII(arg) {
			return m.mistake(501, "5.5.4", "want a domain or an address literal")
		}
		m.reset()
		m.hello, m.extended = arg, name != "HELO"
		if !m.extended {
			return m.conn.WriteLine("250 " + m.srv.options.Hostname)
		}
		lines := append([]string{m.srv.options.Hostname}, m.extensions()...)
		for i, line := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			if err := m.conn.WriteLine("250" + sep + line); err != nil {
				return err
			}
		}
		return nil
	}
}

// extensions is what EHLO announces now.
func (m *smtpSession) extensions() []string {
	var list []string
	add := func(name, param string, when bool) {
		if when && m.has(name) {
			list = append(list, strings.TrimSpace(name+" "+param))
		}
	}
	mechanisms := m.mechanisms()
	add("PIPELINING", "", true)
	add("SIZE", fmt.Sprint(m.srv.options.MaxMessage), true)
	add("8BITMIME", "", true)
	add("SMTPUTF8", "", true)
	add("CHUNKING", "", true)
	add("BINARYMIME", "", m.has("CHUNKING")) // RFC 3030 §3: not without it
	add("DSN", "", true)
	add("ENHANCEDSTATUSCODES", "", true)
	add("STARTTLS", "", !m.secure())
	add("AUTH", strings.Join(mechanisms, " "), len(mechanisms) > 0 && m.user == nil)
	add("REQUIRETLS", "", m.secure()) // RFC 8689 §2: only under TLS
	add("LIMITS", fmt.Sprintf("MAILMAX=%d RCPTMAX=%d", m.srv.options.MaxMail, m.srv.options.MaxRcpt), true)
	add("HELP", "", true)
	return list
}
