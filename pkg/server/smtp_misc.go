package server

// rset is RSET (RFC 5321 §4.1.1.5).
func (m *smtpSession) rset(arg string) error {
	if arg != "" {
		return m.mistake(501, "5.5.4", "RSET takes no argument")
	}
	m.reset()
	return m.reply(250, "2.0.0", "ok")
}

// noop is NOOP, whose argument is ignored (RFC 5321 §4.1.1.9).
func (m *smtpSession) noop(string) error { return m.reply(250, "2.0.0", "ok") }

// vrfy is VRFY: every server may say that it does not tell (RFC 5321 §3.5.3, §7.3).
func (m *smtpSession) vrfy(arg string) error {
	if arg == "" {
		return m.mistake(501, "5.5.4", "VRFY needs an argument")
	}
	return m.reply(252, "2.5.2", "send a message and see")
}

// help is HELP (RFC 5321 §4.1.1.8).
func (m *smtpSession) help(string) error {
	return m.reply(214, "2.0.0", "see RFC 5321")
}

// quitNow is QUIT (RFC 5321 §4.1.1.10).
func (m *smtpSession) quitNow(arg string) error {
	if arg != "" {
		return m.mistake(501, "5.5.4", "QUIT takes no argument")
	}
	m.quit = true
	return m.reply(221, "2.0.0", "goodbye")
}
