package server

import (
	"errors"
	"fmt"
	"strings"
)

const (
	defaultMaxRcpt = 1000
	defaultMaxMail = 100_000
	maxMistakes    = 100 // commands in a row that were not understood
)

// smtpSession is one SMTP (RFC 5321, RFC 6409) or LMTP (RFC 2033) session.
//
// Its states: greeting → hello → (STARTTLS → nothing is known) → hello → transaction (MAIL, RCPT…, DATA or BDAT…) →
// hello.
type smtpSession struct {
	*session
	lmtp     bool
	hello    string // argument of HELO, EHLO or LHLO; empty: none yet
	extended bool   // EHLO or LHLO: extensions may be used
	mail     *smtpMail
	rcpt     []smtpRcpt
	spool    *spool // the text so far; nil: none has begun
	text     textChecker
	mails    int // MAIL commands
	rcpts    int // RCPT commands of the transaction
	mistakes int
	quit     bool
}

// smtpMail is what MAIL said.
type smtpMail struct {
	from   string // without the angle brackets; empty: the null reverse-path
	size   int64  // announced; 0: not
	binary bool   // BODY=BINARYMIME
	utf8   bool   // SMTPUTF8
	envid  string // DSN, decoded (RFC 3461 §4.4)
}

// smtpRcpt is what RCPT said.
type smtpRcpt struct {
	addr   string
	user   *User
	notify string // DSN (RFC 3461 §4.1)
	orcpt  string // DSN, decoded (RFC 3461 §4.2)
}

// smtpVerb is a command: how long its line may be, with CRLF, and what executes it. The error of run ends the session.
type smtpVerb struct {
	max int
	run func(m *smtpSession, arg string) error
}

// Lengths of command lines with CRLF: RFC 5321 §4.5.3.1.4, what the extensions to MAIL and RCPT add to it together, and
// RFC 4954 §4 with a SCRAM or bearer token in mind.
const (
	maxCommandLine = 512
	maxPathLine    = 2048
	maxAuthLine    = 12288
)

func (m *smtpSession) verb(name string) (smtpVerb, bool) {
	switch name {
	case "HELO", "EHLO":
		return smtpVerb{maxCommandLine, helo(name)}, !m.lmtp
	case "LHLO":
		return smtpVerb{maxCommandLine, helo(name)}, m.lmtp
	case "MAIL":
		return smtpVerb{maxPathLine, (*smtpSession).mailFrom}, true
	case "RCPT":
		return smtpVerb{maxPathLine, (*smtpSession).rcptTo}, true
	case "DATA":
		return smtpVerb{maxCommandLine, (*smtpSession).data}, true
	case "BDAT":
		return smtpVerb{maxCommandLine, (*smtpSession).bdat}, m.has("CHUNKING")
	case "AUTH":
		return smtpVerb{maxAuthLine, (*smtpSession).auth}, m.has("AUTH")
	case "STARTTLS":
		return smtpVerb{maxCommandLine, (*smtpSession).starttls}, m.has("STARTTLS")
	case "RSET":
		return smtpVerb{maxCommandLine, (*smtpSession).rset}, true
	case "NOOP":
		return smtpVerb{maxCommandLine, (*smtpSession).noop}, true
	case "VRFY":
		return smtpVerb{maxCommandLine, (*smtpSession).vrfy}, true
	case "HELP":
		return smtpVerb{maxCommandLine, (*smtpSession).help}, true
	case "QUIT":
		return smtpVerb{maxCommandLine, (*smtpSession).quitNow}, true
	}
	return smtpVerb{}, false
}

// serveSMTP serves SMTP submission and LMTP.
func (srv *Server) serveSMTP(s *session) error {
	m := &smtpSession{session: s, lmtp: s.proto == "lmtp"}
	defer m.reset()
	if err := m.greet(); err != nil {
		return err
	}
	for !m.quit {
		if m.draining() && m.mail == nil {
			return m.reply(421, "4.3.2", "the server is shutting down")
		}
		if err := m.command(); err != nil {
			return err
		}
		if m.mistakes > maxMistakes {
			return m.reply(421, "4.7.0", "too many errors")
		}
	}
	return nil
}

func (m *smtpSession) greet() error {
	st := m.strike("GREETING", "")
	switch {
	case st.dead:
		return m.conn.Err()
	case st.reply != "":
		return m.faultReply(st.reply)
	}
	kind := "ESMTP"
	if m.lmtp {
		kind = "LMTP"
	}
	return m.conn.WriteLine("220 " + m.srv.options.Hostname + " " + kind + " mail serve")
}

// errHangUp ends the session in order after a reply that cannot be followed by anything.
var errHangUp = errors.New("closed after an error of the client")

// command reads and executes one command.
func (m *smtpSession) command() error {
	switch err := m.readLine(maxAuthLine); {
	case errors.Is(err, errLongLine):
		return m.mistake(500, "5.5.6", "line too long")
	case errors.Is(err, errLineEnd):
		// What follows may be part of somebody's text: RFC 5321 §2.3.8.
		return errors.Join(m.reply(500, "5.5.2", "lines end with CR LF"), errHangUp)
	case err != nil:
		return err
	}
	name, arg, space := strings.Cut(string(m.input), " ")
	name = strings.ToUpper(name)
	if err := checkCommandText(arg); err != nil {
		return m.mistake(500, "5.5.2", err.Error())
	}
	v, ok := m.verb(name)
	if !ok {
		return m.mistake(500, "5.5.1", "unknown command")
	}
	if len(m.input)+2 > v.max {
		return m.mistake(500, "5.5.6", "line too long")
	}
	m.log.Debug("command", "verb", name, "arg", shownArg(name, arg))
	if name == "BDAT" { // its octets have to be taken in any case
		return v.run(m, arg)
	}
	switch st := m.strike(name, eventArg(name, arg)); {
	case st.dead:
		return m.conn.Err()
	case st.reply != "":
		return m.faultReply(st.reply)
	case space && arg == "" && name != "NOOP" && name != "HELP":
		return m.mistake(501, "5.5.4", "blank at the end of the command")
	}
	return v.run(m, arg)
}

// faultReply sends a fault's reply; 421 ends the session as it would for real.
func (m *smtpSession) faultReply(reply string) error {
	_, err := m.conn.WriteString(replyLines(reply))
	m.quit = m.quit || strings.HasPrefix(reply, "421")
	return err
}

// eventArg is the argument that faults see.
func eventArg(name, arg string) string {
	switch name {
	case "AUTH":
		mechanism, _, _ := strings.Cut(arg, " ")
		return strings.ToUpper(mechanism)
	case "MAIL", "RCPT":
		if i, j := strings.IndexByte(arg, '<'), strings.LastIndexByte(arg, '>'); i >= 0 && j > i {
			return arg[i+1 : j]
		}
	}
	return arg
}

// shownArg is the argument that the log sees.
func shownArg(name, arg string) string {
	if name == "AUTH" {
		return eventArg(name, arg)
	}
	return arg
}

// checkCommandText refuses control characters and, as a whole line can be in UTF-8 only, other octets above 127.
func checkCommandText(s string) error {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return errors.New("control character in a command")
		}
		if r == '\uFFFD' {
			return errors.New("a command is not in UTF-8")
		}
	}
	return nil
}

// reply sends a reply, of one line or, where text has several, of several, with the enhanced code (RFC 2034) when it is
// not empty and the client can know it.
func (m *smtpSession) reply(code int, enhanced, text string) error {
	if enhanced != "" && m.has("ENHANCEDSTATUSCODES") {
		enhanced += " "
	} else {
		enhanced = ""
	}
	line, rest, more := strings.Cut(text, "\n")
	for ; more; line, rest, more = strings.Cut(rest, "\n") {
		if err := m.conn.WriteLine(fmt.Sprintf("%d-%s%s", code, enhanced, line)); err != nil {
			return err
		}
	}
	return m.conn.WriteLine(fmt.Sprintf("%d %s%s", code, enhanced, line))
}

// mistake is the reply to a command that was not understood or does not belong here.
func (m *smtpSession) mistake(code int, enhanced, text string) error {
	m.mistakes++
	return m.reply(code, enhanced, text)
}

// reset ends the transaction.
func (m *smtpSession) reset() {
	m.mail, m.rcpt, m.rcpts = nil, nil, 0
	if m.spool != nil {
		m.spool.close()
		m.spool = nil
	}
}

// replyLines puts the line ends of the protocols into a reply of a fault.
func replyLines(reply string) string {
	return strings.ReplaceAll(strings.TrimRight(reply, "\n"), "\n", "\r\n") + "\r\n"
}
