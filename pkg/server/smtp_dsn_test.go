package server

import (
	"bufio"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// reportParts reads a report with the standard library: the types of its parts and their texts.
func reportParts(t *testing.T, text string) (head mail.Header, kinds, bodies []string) {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("type %q %v (%v), want a delivery report", kind, params, err)
	}
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		part, err := r.NextPart()
		if err == io.EOF {
			return msg.Header, kinds, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), ";")
		kinds, bodies = append(kinds, kind), append(bodies, string(body))
	}
}

// smtpExchange sends commands at once and returns everything that comes back.
func smtpExchange(t *testing.T, srv *Server, listener, commands string) string {
	t.Helper()
	p := dialCore(t, srv.Addr(listener))
	go func() { _, _ = io.WriteString(p.nc, commands) }()
	out, err := io.ReadAll(p.r)
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return string(out)
}

// TestSMTPReport reads the report about a delivery.
func TestSMTPReport(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Domains = []string{"example.org"}; o.Now = testNow })
	out := smtpExchange(t, srv, "smtp", "EHLO x\r\nMAIL FROM:<alice+list@example.org> RET=FULL ENVID=id+20one\r\n"+
		"RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2Bold@example.com\r\n"+
		"RCPT TO:<bob+x@example.org> NOTIFY=FAILURE\r\nRCPT TO:<postmaster> NOTIFY=SUCCESS\r\n"+
		"BDAT 34 LAST\r\nSubject: hello\r\nX: y\r\n\r\nthe text\r\nQUIT\r\n")
	if !strings.HasSuffix(out, "250 2.0.0 message accepted\r\n221 2.0.0 goodbye\r\n") {
		t.Fatalf("got %q", out)
	}
	mailbox := inboxOf(t, srv, "alice") // the message to postmaster, and the report
	if len(mailbox) != 2 {
		t.Fatalf("got %d messages, want 2", len(mailbox))
	}
	if !strings.HasPrefix(mailbox[1], "Return-Path: <>\r\n") {
		t.Errorf("got %q, want the null reverse-path", mailbox[1])
	}
	head, kinds, bodies := reportParts(t, mailbox[1])
	if got := head.Get("To") + head.Get("Auto-Submitted"); got != "<alice+list@example.org>auto-replied" {
		t.Errorf("got %q for To and Auto-Submitted", got)
	}
	if got, want := strings.Join(kinds, " "), "text/plain message/delivery-status text/rfc822-headers"; got != want {
		t.Fatalf("parts: got %s, want %s", got, want)
	}
	const want = "Original-Envelope-Id: id one\r\nReporting-MTA: dns; mx.example.org\r\nArrival-Date: Tue, 03 Feb 2026 04:05:06 +0000\r\n" +
		"\r\nOriginal-Recipient: rfc822;bob+old@example.com\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n" +
		"\r\nFinal-Recipient: rfc822; postmaster@mx.example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
	if bodies[1] != want {
		t.Errorf("status: got\n%s\nwant\n%s", bodies[1], want)
	}
	if bodies[2] != "Subject: hello\r\nX: y\r\n" {
		t.Errorf("got %q, want the header and no text", bodies[2])
	}
}

// TestSMTPReportUTF8 holds the types of RFC 6533, and that what goes into fields cannot begin another one.
func TestSMTPReportUTF8(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Users[1].Name = "rené" })
	smtpExchange(t, srv, "smtp", "EHLO x\r\nMAIL FROM:<rené@example.org> SMTPUTF8\r\nRCPT TO:<rené@example.org> NOTIFY=SUCCESS ORCPT=utf-8;rené@example.org\r\n"+
		"BDAT 17 LAST\r\nSubject: \xc3\xa9\r\n\r\n\r\nQUIT\r\n")
	mailbox := inboxOf(t, srv, "rené")
	if len(mailbox) != 2 {
		t.Fatalf("got %d messages, want the message and the report", len(mailbox))
	}
	_, kinds, bodies := reportParts(t, mailbox[1])
	if got, want := strings.Join(kinds, " "), "text/plain message/global-delivery-status message/global-headers"; got != want {
		t.Errorf("parts: got %s, want %s", got, want)
	}
	fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(bodies[1][strings.Index(bodies[1], "\r\n\r\n")+4:] + "\r\n"))).ReadMIMEHeader()
	if err != nil || fields.Get("Original-Recipient") != "utf-8;rené@example.org" || fields.Get("Final-Recipient") != "utf-8; rené@example.org" {
		t.Errorf("got %v (%v)", fields, err)
	}
}

// TestSMTPNoReport holds who gets none.
func TestSMTPNoReport(t *testing.T) {
	for _, c := range []struct{ name, listener, hello, from, notify, text string }{
		{"not asked for", "smtp", "EHLO", "alice@example.org", "", "250 "},
		{"never", "smtp", "EHLO", "alice@example.org", " NOTIFY=NEVER", "250 "},
		{"failure only", "smtp", "EHLO", "alice@example.org", " NOTIFY=FAILURE,DELAY", "250 "},
		{"null sender", "smtp", "EHLO", "", " NOTIFY=SUCCESS", "250 "},
		{"sender elsewhere", "smtp", "EHLO", "alice@example.com", " NOTIFY=SUCCESS", "250 "},
		{"sender unknown", "smtp", "EHLO", "carol@example.org", " NOTIFY=SUCCESS", "250 "},
		{"refused text", "smtp", "EHLO", "alice@example.org", " NOTIFY=SUCCESS", "452 "},
		{"LMTP", "lmtp", "LHLO", "alice@example.org", " NOTIFY=SUCCESS", "250 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := startCore(t, func(o *Options) {
				o.Domains = []string{"example.org"}
				if c.text == "452 " {
					o.Faults = faultFunc(func(e Event) Strike {
						if e.Command == "EOM" {
							return Strike{Reply: "452 4.2.2 mailbox full"}
						}
						return Strike{}
					})
				}
			})
			out := smtpExchange(t, srv, c.listener, c.hello+" x\r\nMAIL FROM:<"+c.from+">\r\nRCPT TO:<bob@example.org>"+c.notify+"\r\nBDAT 8 LAST\r\na: b\r\n\r\nQUIT\r\n")
			lines := strings.Split(out, "\r\n")
			if got := lines[len(lines)-3]; !strings.HasPrefix(got, c.text) {
				t.Errorf("got %q, want %s", got, c.text)
			}
			if got := inboxOf(t, srv, "alice"); len(got) > 0 {
				t.Errorf("got %q, want no report", got)
			}
		})
	}
}
