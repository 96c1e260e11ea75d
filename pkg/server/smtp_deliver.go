package server

import (
	"bufio"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// maxReceived is the number of Received fields that make a loop (RFC 5321 §6.3).
const maxReceived = 100

// LieDropAfter, as the Lie of a Strike at EOM, stores the message and then closes the connection without a reply.
const LieDropAfter = "drop-after"

// finish delivers what is in the spool, if it is acceptable, sends the reply (in LMTP one for each recipient, RFC 2033
// §4.2) and ends the transaction.
func (m *smtpSession) finish() error {
	defer m.reset()
	r := m.acceptable()
	if !m.lmtp {
		return m.finishOne(r)
	}
	done := map[*User]*smtpRefusal{}
	for _, rcpt := range m.rcpt {
		if err := m.finishRcpt(rcpt, r, done); err != nil {
			return err
		}
	}
	return nil
}

// finishRcpt is the end of the text in LMTP for one recipient; done has the results of those before.
func (m *smtpSession) finishRcpt(rcpt smtpRcpt, r *smtpRefusal, done map[*User]*smtpRefusal) error {
	st := m.strike("EOM", rcpt.addr)
	switch {
	case st.dead:
		return m.conn.Err()
	case st.reply != "":
		return m.faultReply(st.reply)
	}
	if r == nil {
		result, ok := done[rcpt.user]
		if !ok {
			result = m.deliver(rcpt.user)
			done[rcpt.user] = result
		}
		r = result
	}
	if st.lie == LieDropAfter {
		return m.cutNow(false)
	}
	return m.verdict(r)
}

// finishOne is the end of the text in SMTP: one reply for all recipients.
func (m *smtpSession) finishOne(r *smtpRefusal) error {
	st := m.strike("EOM", m.mail.from)
	switch {
	case st.dead:
		return m.conn.Err()
	case st.reply != "":
		return m.faultReply(st.reply)
	}
	switch {
	case r != nil:
	case m.submits():
		r = m.submit()
	default:
		if r = m.deliver(m.users()...); r == nil {
			m.reportSuccess()
		}
	}
	if st.lie == LieDropAfter {
		return m.cutNow(false)
	}
	return m.verdict(r)
}

// users are those who get the message, each once.
func (m *smtpSession) users() []*User {
	var users []*User
	for _, rcpt := range m.rcpt {
		if !slices.Contains(users, rcpt.user) {
			users = append(users, rcpt.user)
		}
	}
	return users
}

func (m *smtpSession) verdict(r *smtpRefusal) error {
	if r != nil {
		return m.reply(r.code, r.enhanced, r.text)
	}
	return m.reply(250, "2.0.0", "message accepted")
}

// acceptable looks at the message as a whole.
func (m *smtpSession) acceptable() *smtpRefusal {
	switch {
	case errors.Is(m.spool.err, errTooBig):
		return refuse(552, "5.3.4", errTooBig.Error())
	case m.spool.err != nil && !errors.Is(m.spool.err, errLineEnd):
		return refuse(452, "4.3.1", m.spool.err.Error())
	case m.spool.err != nil || m.text.cr:
		return refuse(554, "5.6.0", "CR or LF that stands alone in the text")
	case m.text.longest > maxTextLine:
		return refuse(554, "5.6.0", "line too long in the text")
	}
	h, err := message.ReadHeader(bufio.NewReader(m.spool.reader()))
	if err != nil {
		return refuse(554, "5.6.0", "the header is too long")
	}
	if len(h.Values("Received")) > maxReceived {
		return refuse(554, "5.4.6", "the message runs in a loop")
	}
	return nil
}

// deliver puts the message, with its trace fields, into the INBOX of each of the users, or of none: who is told to try
// again must not get it twice.
func (m *smtpSession) deliver(users ...*User) *smtpRefusal {
	mail := make([]delivery, len(users))
	for i, u := range users {
		var addrs []string
		for _, rcpt := range m.rcpt {
			if rcpt.user == u {
				addrs = append(addrs, rcpt.addr)
			}
		}
		mail[i] = delivery{u, m.spool.traced(m.trace(addrs))}
	}
	if err := m.srv.deliver(m.ctx, mail); err != nil {
		m.log.Error("cannot store", "error", err)
		return refuse(451, "4.3.0", "cannot store the message")
	}
	for _, u := range users {
		m.log.Info("delivered", "to", u.Name, "from", m.mail.from, "size", m.spool.size)
	}
	return nil
}

// trace makes the fields added on delivery: Return-Path and Received (RFC 5321 §4.4), and Delivered-To for each address
// that brought the message to this mailbox. All parts were checked when they came: none has a line end in it.
func (m *smtpSession) trace(addrs []string) string {
	var b strings.Builder
	b.WriteString("Return-Path: <" + m.mail.from + ">\r\n")
	for _, addr := range addrs {
		b.WriteString("Delivered-To: " + addr + "\r\n")
	}
	b.WriteString("Received: from " + m.hello + " (" + m.peer() + ")\r\n")
	b.WriteString("\tby " + m.srv.options.Hostname + " with " + m.with() + " id " + rand.Text()[:12])
	if len(m.rcpt) == 1 {
		b.WriteString("\r\n\tfor <" + addrs[0] + ">")
	}
	b.WriteString(";\r\n\t" + message.FormatDate(m.srv.options.Now()) + "\r\n")
	return b.String()
}

// peer is the client's address as an address literal.
func (m *smtpSession) peer() string {
	tcp, ok := m.raw.RemoteAddr().(*net.TCPAddr)
	switch {
	case !ok:
		return "local"
	case tcp.IP.To4() == nil:
		return "[IPv6:" + tcp.IP.String() + "]"
	}
	return "[" + tcp.IP.String() + "]"
}

// with is the protocol in the terms of RFC 3848 and RFC 6531 §4.3.
func (m *smtpSession) with() string {
	name := "SMTP"
	switch {
	case m.lmtp:
		name = "LMTP"
	case m.extended:
		name = "ESMTP"
	}
	if m.mail.utf8 {
		name = "UTF8" + strings.TrimPrefix(name, "E")
	}
	if m.extended && m.secure() {
		name += "S"
	}
	if m.extended && m.user != nil {
		name += "A"
	}
	return name
}
