package server

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// reportSuccess tells the sender of the delivery to those recipients for whom that was asked (RFC 3461 §5.2.3). Only a
// user of this server can be told. What is not delivered was refused to the client, so this is the only kind of report.
func (m *smtpSession) reportSuccess() {
	rcpts := slices.DeleteFunc(slices.Clone(m.rcpt), func(r smtpRcpt) bool {
		return !slices.Contains(strings.Split(r.notify, ","), "SUCCESS")
	})
	if m.mail.from == "" || len(rcpts) == 0 {
		return
	}
	sender := m.srv.named(m.mail.from)
	if sender == nil {
		return
	}
	err := m.srv.deliver(m.ctx, []delivery{{sender, strings.NewReader(m.report(rcpts))}})
	if err != nil {
		m.log.Error("cannot store a report", "user", sender.Name, "error", err)
	}
}

// report writes a message of type multipart/report (RFC 6522, RFC 3464) about a delivery. It has the header of the
// message and never the whole: RET=FULL is about failures (RFC 3461 §4.3). With SMTPUTF8 it follows RFC 6533.
func (m *smtpSession) report(rcpts []smtpRcpt) string {
	status, headers := "message/delivery-status", "text/rfc822-headers"
	if m.mail.utf8 {
		status, headers = "message/global-delivery-status", "message/global-headers"
	}
	host, boundary := m.srv.options.Hostname, rand.Text()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	part := func(kind string) {
		line("\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n", boundary, kind)
	}
	line("Return-Path: <>")
	line("Date: %s", message.FormatDate(m.srv.options.Now()))
	line("From: Mail Delivery <mailer-daemon@%s>", host)
	line("To: <%s>", m.mail.from)
	line("Subject: Your message was delivered")
	line("Message-ID: %s", message.NewMessageID(host))
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"", boundary)
	part("text/plain; charset=utf-8")
	line("Your message was delivered to:\r\n")
	for _, r := range rcpts {
		line("    <%s>", r.addr)
	}
	part(status)
	if m.mail.envid != "" {
		line("Original-Envelope-Id: %s", m.mail.envid)
	}
	line("Reporting-MTA: dns; %s", host)
	line("Arrival-Date: %s", message.FormatDate(m.srv.options.Now()))
	for _, r := range rcpts {
		line("\r\n%s", r.delivered(host))
	}
	part(headers)
	b.WriteString(m.header())
	line("\r\n--%s--", boundary)
	return b.String()
}

// delivered is the fields about a recipient in a report, without the last line end.
func (r *smtpRcpt) delivered(host string) string {
	kind, addr := "rfc822", r.addr
	if !message.IsASCII(addr) {
		kind = "utf-8"
	}
	if !strings.Contains(addr, "@") { // postmaster
		addr += "@" + host
	}
	fields := "Final-Recipient: " + kind + "; " + addr + "\r\nAction: delivered\r\nStatus: 2.0.0"
	if r.orcpt != "" {
		fields = "Original-Recipient: " + r.orcpt + "\r\n" + fields
	}
	return fields
}

// header is the header of the message, without the blank line.
func (m *smtpSession) header() string {
	h, err := message.ReadHeader(bufio.NewReader(m.spool.reader()))
	if err != nil {
		return "" // the message would not have been accepted
	}
	h.End = nil
	return string(h.Bytes())
}

// decodeXtext reads xtext (RFC 3461 §4). What it stands for has to be printable: it becomes part of header fields.
func decodeXtext(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			c = upperHex(s[i+1])<<4 | upperHex(s[i+2])
			i += 2
		case c <= ' ' || c == '=':
			return "", false
		}
		if c < ' ' || c > '~' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), s != ""
}

func isUpperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

func upperHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'A' + 10
}
