package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

const (
	stepGreeting = "S: 220 mx.example.org ESMTP mail serve\n"
	stepHelo     = stepGreeting + "C: HELO client.example.org\nS: 250 mx.example.org\n"
	stepEhloRest = `S: 250-mx.example.org
		S: 250-PIPELINING
		S: 250-SIZE 268435456
		S: 250-8BITMIME
		S: 250-SMTPUTF8
		S: 250-CHUNKING
		S: 250-BINARYMIME
		S: 250-DSN
		S: 250-ENHANCEDSTATUSCODES
		S: 250-STARTTLS
		S: 250-AUTH SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5
		S: 250-LIMITS MAILMAX=100000 RCPTMAX=1000
		S: 250 HELP
		`
	stepEhlo = stepGreeting + "C: EHLO [127.0.0.1]\n" + stepEhloRest
	stepMail = "C: MAIL FROM:<alice@example.org>\nS: 250 2.1.0 sender accepted\n"
	stepRcpt = "C: RCPT TO:<bob@example.org>\nS: 250 2.1.5 recipient accepted\n"
	stepData = "C: DATA\nS: 354 go ahead, end with a dot\n"
	stepQuit = "C: QUIT\nS: 221 2.0.0 goodbye\nEOF\n"
)

func TestSMTPDialogues(t *testing.T) {
	long := strings.Repeat("x", 509)
	for _, c := range []struct{ name, script string }{
		{"hello", stepEhlo + stepQuit},
		{"case and help", stepGreeting + "C: ehlo CLIENT.example.org\n" + stepEhloRest + "C: hElP\nS: 214 2.0.0 see RFC 5321\nC: vrfy bob\nS: 252 2.5.2 send a message and see\n" + stepQuit},
		{"bad hello", stepGreeting + `C: EHLO
			S: 501 5.5.4 want a domain or an address literal
			C: EHLO a b
			S: 501 5.5.4 want a domain or an address literal
			C: HELO -x
			S: 501 5.5.4 want a domain or an address literal
			C: LHLO client.example.org
			S: 500 5.5.1 unknown command
			C: EHLO [IPv6:::1]
			` + stepEhloRest},
		{"order", stepGreeting + `C: MAIL FROM:<>
			S: 503 5.5.1 say hello first
			C: RCPT TO:<bob@example.org>
			S: 503 5.5.1 MAIL comes first
			C: DATA
			S: 503 5.5.1 MAIL comes first
			C: HELO x
			S: 250 mx.example.org
			` + stepMail + `C: MAIL FROM:<>
			S: 503 5.5.1 a transaction is open already
			C: DATA
			S: 503 5.5.1 no valid recipients
			C: RSET
			S: 250 2.0.0 ok
			C: RCPT TO:<bob@example.org>
			S: 503 5.5.1 MAIL comes first
			` + stepMail + stepRcpt + stepData + `C: .
			S: 250 2.0.0 message accepted
			C: DATA
			S: 503 5.5.1 MAIL comes first
			`},
		{"hello ends a transaction", stepHelo + stepMail + "C: HELO x\nS: 250 mx.example.org\n" + stepMail},
		{"arguments", stepHelo + `C: DATA now
			S: 501 5.5.4 DATA takes no argument
			C: RSET now
			S: 501 5.5.4 RSET takes no argument
			C: STARTTLS now
			S: 501 5.5.4 STARTTLS takes no argument
			C: QUIT now
			S: 501 5.5.4 QUIT takes no argument
			C: NOOP now
			S: 250 2.0.0 ok
			C: VRFY
			S: 501 5.5.4 VRFY needs an argument
			C> "RSET \r\n"
			S: 501 5.5.4 blank at the end of the command
			C> " NOOP\r\n"
			S: 500 5.5.1 unknown command
			C> "\r\n"
			S: 500 5.5.1 unknown command
			C: EXPN x
			S: 500 5.5.1 unknown command
			`},
		{"octets", stepHelo + `C> "NOOP a\x00b\r\n"
			S: 500 5.5.2 control character in a command
			C> "NOOP a\tb\r\n"
			S: 500 5.5.2 control character in a command
			C> "NOOP \xff\r\n"
			S: 500 5.5.2 a command is not in UTF-8
			C> "NOOP é\r\n"
			S: 250 2.0.0 ok
			`},
		{"bare LF", stepHelo + "C> \"NOOP\\nNOOP\\r\\n\"\nS: 500 5.5.2 lines end with CR LF\nEOF\n"},
		{"bare CR", stepHelo + "C> \"NOOP\\rNOOP\\r\\n\"\nS: 500 5.5.2 lines end with CR LF\nEOF\n"},
		{"CR CR LF", stepHelo + "C> \"NOOP\\r\\r\\n\"\nS: 500 5.5.2 lines end with CR LF\nEOF\n"},
		{"line of 512 and 513", stepHelo + "C: NOOP " + long[:505] + "\nS: 250 2.0.0 ok\nC: NOOP " + long[:506] + "\nS: 500 5.5.6 line too long\n" + stepQuit},
		{"line of 12,288 and one more", stepHelo + "C: AUTH " + strings.Repeat("x", 12281) + "\nS: 503 5.5.1 say hello first\nC: AUTH " + strings.Repeat("x", 12282) + "\nS: 500 5.5.6 line too long\n" + stepQuit},
		{"pipelined", stepHelo + `C> "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<x>\r\nDATA\r\n"
			S: 250 2.1.0 sender accepted
			S: 250 2.1.5 recipient accepted
			S: 501 5.1.3 bad address
			S: 354 go ahead, end with a dot
			C> "a: b\r\n\r\n..\r\n.\r\nRSET\r\nQUIT\r\n"
			S: 250 2.0.0 message accepted
			S: 250 2.0.0 ok
			S: 221 2.0.0 goodbye
			EOF
			`},
		{"text before 354", stepHelo + stepMail + stepRcpt + "C> \"DATA\\r\\nx\\r\\n.\\r\\n\"\nS: 554 5.5.0 the text came before the reply to DATA\nEOF\n"},
		{"D5 bare LF", stepHelo + stepMail + stepRcpt + stepData + "C> \"a: b\\r\\n\\r\\nx\\n.\\r\\nMAIL FROM:<>\\r\\n\"\nS: 554 5.6.0 CR or LF that stands alone in the text\nEOF\n"},
		{"D5 bare CR", stepHelo + stepMail + stepRcpt + stepData + "C> \"a: b\\r\\n\\r\\nx\\r.\\r\\nMAIL FROM:<>\\r\\n\"\nS: 554 5.6.0 CR or LF that stands alone in the text\nEOF\n"},
		{"chunks", stepEhlo + stepMail + stepRcpt + `C> "BDAT 6\r\na: b\r\nBDAT 0\r\nBDAT 5 LAST\r\n\r\n.\r\n"
			S: 250 2.0.0 6 octets received
			S: 250 2.0.0 0 octets received
			S: 250 2.0.0 message accepted
			`},
		{"chunk without transaction", stepEhlo + "C> \"BDAT 6\\r\\nQUIT\\r\\nNOOP\\r\\n\"\nS: 503 5.5.1 MAIL comes first\nS: 250 2.0.0 ok\n"},
		{"chunk without recipients", stepEhlo + stepMail + "C> \"BDAT 6 LAST\\r\\nQUIT\\r\\nNOOP\\r\\n\"\nS: 503 5.5.1 no valid recipients\nS: 250 2.0.0 ok\n"},
		{"chunk, then DATA", stepEhlo + stepMail + stepRcpt + "C> \"BDAT 1\\r\\nx\"\nS: 250 2.0.0 1 octets received\nC: DATA\nS: 503 5.5.1 the text goes on with BDAT\nC: RCPT TO:<x@example.org>\nS: 503 5.5.1 the text has begun\nC: RSET\nS: 250 2.0.0 ok\nC> \"BDAT 0 LAST\\r\\n\"\nS: 503 5.5.1 MAIL comes first\n"},
		{"bad chunk size", stepEhlo + "C: BDAT -1\nS: 501 5.5.4 want BDAT size [LAST]\nEOF\n"},
		{"huge chunk size", stepEhlo + stepMail + stepRcpt + "C: BDAT 18446744073709551616 LAST\nS: 501 5.5.4 want BDAT size [LAST]\nEOF\n"},
		{"big chunk size", stepEhlo + stepMail + stepRcpt + "C: BDAT 9223372036854775807 LAST\nS: 552 5.3.4 the message is far too big\nEOF\n"},
		{"binary needs BDAT", stepEhlo + "C: MAIL FROM:<> BODY=BINARYMIME\nS: 250 2.1.0 sender accepted\n" + stepRcpt + "C: DATA\nS: 503 5.5.1 a binary message needs BDAT\n"},
		{"chunk with bare LF", stepEhlo + stepMail + stepRcpt + `C> "BDAT 4\r\nx\ny\nBDAT 3\r\nabcBDAT 2 LAST\r\n\r\nNOOP\r\n"
			S: 554 5.6.0 CR or LF that stands alone in the text
			S: 503 5.5.1 MAIL comes first
			S: 503 5.5.1 MAIL comes first
			S: 250 2.0.0 ok
			` + stepMail + stepRcpt + "C> \"BDAT 2 LAST\\r\\nx\\r\"\nS: 554 5.6.0 CR or LF that stands alone in the text\n" + stepQuit},
		{"CRLF between chunks", stepEhlo + stepMail + stepRcpt + `C> "BDAT 2\r\nx\rBDAT 1\r\n\nBDAT 0 LAST\r\n"
			S: 250 2.0.0 2 octets received
			S: 250 2.0.0 1 octets received
			S: 250 2.0.0 message accepted
			` + stepQuit},
		{"empty message in chunks", stepEhlo + stepMail + stepRcpt + "C: BDAT 0 LAST\nS: 250 2.0.0 message accepted\nC: BDAT 0 LAST\nS: 503 5.5.1 MAIL comes first\n" + stepQuit},
		{"binary chunk", stepEhlo + "C: MAIL FROM:<> BODY=BINARYMIME\nS: 250 2.1.0 sender accepted\n" + stepRcpt + "C> \"BDAT 3 LAST\\r\\n\\n\\r\\n\"\nS: 250 2.0.0 message accepted\n" + stepQuit},
		{"AUTH", stepEhlo + `C: AUTH
			S: 501 5.5.4 AUTH needs a mechanism
			C: AUTH X-NEW
			S: 504 5.5.4 mechanism not known
			C: AUTH PLAIN AGFsaWNlAHNlc2FtZQ==
			S: 538 5.7.11 this mechanism needs TLS
			C: AUTH SCRAM-SHA-256 !
			S: 501 5.5.2 this is not base64
			C: AUTH SCRAM-SHA-256 eA==
			S: 501 5.5.2 malformed response
			C: AUTH SCRAM-SHA-256
			S: 334 ` + `
			C: *
			S: 501 5.0.0 cancelled
			`},
		{"STARTTLS", stepEhlo + "C: STARTTLS\nS: 220 2.0.0 go ahead\nTLS\nC: MAIL FROM:<>\nS: 503 5.5.1 say hello first\nC: STARTTLS\nS: 503 5.5.1 TLS is up already\n" + stepQuit},
		{"T9 commands behind STARTTLS", stepEhlo + "C> \"STARTTLS\\r\\nNOOP\\r\\n\"\nS: 554 5.5.1 commands follow STARTTLS in cleartext\nEOF\n"},
		{"T9 half a command behind STARTTLS", stepEhlo + "C> \"STARTTLS\\r\\nN\"\nS: 554 5.5.1 commands follow STARTTLS in cleartext\nEOF\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := startCore(t, nil)
			dialCore(t, srv.Addr("smtp")).talk(srv, c.script)
		})
	}
}

// TestT9_StateAfterTLS holds that nothing said before the handshake counts after it, and that cleartext sent between
// the agreement and the handshake ends the session.
func TestT9_StateAfterTLS(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.AllowCleartextLogin = true })
	p := dialCore(t, srv.Addr("smtp"))
	p.talk(srv, stepGreeting)
	p.send("EHLO x\r\nAUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sesame")) + "\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\n")
	for line := ""; !strings.HasPrefix(line, "250 2.1.5"); {
		var err error
		if line, err = p.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	p.talk(srv, `C: STARTTLS
		S: 220 2.0.0 go ahead
		TLS
		C: RCPT TO:<bob@example.org>
		S: 503 5.5.1 MAIL comes first
		C: MAIL FROM:<>
		S: 503 5.5.1 say hello first
		C: EHLO x
		S: 250-mx.example.org
		S: 250-PIPELINING
		S: 250-SIZE 268435456
		S: 250-8BITMIME
		S: 250-SMTPUTF8
		S: 250-CHUNKING
		S: 250-BINARYMIME
		S: 250-DSN
		S: 250-ENHANCEDSTATUSCODES`)
	line, err := p.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "250-AUTH OAUTHBEARER XOAUTH2 SCRAM-SHA-256-PLUS ") {
		t.Errorf("got %q (%v), want AUTH on offer again: the login must not survive", line, err)
	}
	p.talk(srv, "S: 250-REQUIRETLS\nS: 250-LIMITS MAILMAX=100000 RCPTMAX=1000\nS: 250 HELP")

	q := dialCore(t, srv.Addr("smtp"))
	q.talk(srv, stepGreeting+"C: STARTTLS\nS: 220 2.0.0 go ahead\nC: NOOP")
	if rest, _ := io.ReadAll(q.r); bytes.Contains(rest, []byte("250")) {
		t.Errorf("got %q to a command in the place of the handshake", rest)
	}
}

func TestSMTPPaths(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Domains = []string{"example.org", "xn--bcher-kva.example"} })
	for _, c := range []struct{ name, command, want string }{
		{"null path", "MAIL FROM:<>", "250 "},
		{"lower case", "mail from:<a@b>", "250 "},
		{"size", "MAIL FROM:<a@b> SIZE=1000", "250 "},
		{"size too big", "MAIL FROM:<a@b> SIZE=268435457", "552 5.3.4"},
		{"size of 20 digits", "MAIL FROM:<a@b> SIZE=99999999999999999999", "552 5.3.4"},
		{"size of 21 digits", "MAIL FROM:<a@b> SIZE=000000000000000000001", "501 "},
		{"size negative", "MAIL FROM:<a@b> SIZE=-1", "501 "},
		{"all parameters", "MAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<> SIZE=1", "250 "},
		{"body", "MAIL FROM:<a@b> BODY=9BIT", "501 "},
		{"parameter twice", "MAIL FROM:<a@b> SIZE=1 SIZE=2", "501 "},
		{"unknown parameter", "MAIL FROM:<a@b> X=1", "555 5.5.4"},
		{"REQUIRETLS in cleartext", "MAIL FROM:<a@b> REQUIRETLS", "530 5.7.10"},
		{"xtext with a line end", "MAIL FROM:<a@b> ENVID=a+0D+0Ab", "501 "},
		{"xtext above ASCII", "MAIL FROM:<a@b> ENVID=+C3+A9", "501 "},
		{"RCPT ORCPT with a line end", "RCPT TO:<bob@example.org> ORCPT=rfc822;a+0AX:", "501 "},
		{"RCPT ORCPT in UTF-8", "RCPT TO:<bob@example.org> ORCPT=utf-8;é@b", "501 "},
		{"SMTPUTF8 with a value", "MAIL FROM:<a@b> SMTPUTF8=1", "501 "},
		{"xtext", "MAIL FROM:<a@b> ENVID=a+2b", "501 "},
		{"two blanks", "MAIL FROM:<a@b>  SIZE=1", "501 "},
		{"blank at the end", "MAIL FROM:<a@b> ", "501 "},
		{"no blank", "MAIL FROM:<a@b>SIZE=1", "501 "},
		{"blank after the colon", "MAIL FROM: <a@b>", "501 "},
		{"no brackets", "MAIL FROM:a@b", "501 "},
		{"no end", "MAIL FROM:<a@b", "501 "},
		{"blank inside", "MAIL FROM:<a b@c>", "501 "},
		{"two ats", "MAIL FROM:<a@b@c>", "501 "},
		{"quoted", `MAIL FROM:<"a> \"b"@c>`, "250 "},
		{"quoted, open", `MAIL FROM:<"a@c>`, "501 "},
		{"source route", "MAIL FROM:<@x.example,@y.example:a@b>", "250 "},
		{"bad source route", "MAIL FROM:<@x.example;a@b>", "501 "},
		{"literal", "MAIL FROM:<a@[127.0.0.1]>", "250 "},
		{"bad literal", "MAIL FROM:<a@[127.0.0.256]>", "501 "},
		{"UTF-8", "MAIL FROM:<é@b> SMTPUTF8", "250 "},
		{"UTF-8 without SMTPUTF8", "MAIL FROM:<é@b>", "553 5.6.7"},
		{"line separator", "MAIL FROM:<a\u2028@b> SMTPUTF8", "501 "},
		{"RCPT known", "RCPT TO:<bob@example.org>", "250 "},
		{"RCPT unknown", "RCPT TO:<nobody@EXAMPLE.org>", "250 "},
		{"RCPT elsewhere", "RCPT TO:<bob@example.com>", "550 5.7.1"},
		{"RCPT postmaster", "RCPT TO:<Postmaster>", "250 "},
		{"RCPT null", "RCPT TO:<>", "501 "},
		{"RCPT no domain", "RCPT TO:<bob>", "501 "},
		{"RCPT at in quotes", `RCPT TO:<"bob@example.org x"@example.com>`, "550 5.7.1"},
		{"RCPT DSN", "RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+40x", "250 "},
		{"RCPT NEVER and more", "RCPT TO:<bob@example.org> NOTIFY=NEVER,DELAY", "501 "},
		{"RCPT twice", "RCPT TO:<bob@example.org> NOTIFY=DELAY,DELAY", "501 "},
		{"RCPT ORCPT", "RCPT TO:<bob@example.org> ORCPT=bob", "501 "},
		{"RCPT unknown parameter", "RCPT TO:<bob@example.org> SIZE=1", "555 5.5.4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := dialCore(t, srv.Addr("smtp"))
			p.talk(srv, stepGreeting+"C: EHLO x\n"+stepEhloRest)
			if strings.HasPrefix(c.command, "RCPT") {
				p.talk(srv, stepMail)
			}
			p.send(c.command + "\r\n")
			if got, err := p.r.ReadString('\n'); err != nil || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: got %q (%v), want %s", c.command, got, err, c.want)
			}
			p.talk(srv, stepQuit)
		})
	}
}

func TestSMTPDelivery(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Now = testNow; o.Domains = []string{"example.org"} })
	dialCore(t, srv.Addr("smtp")).talk(srv, stepEhlo+stepMail+stepRcpt+stepData+`C> "Subject: one\r\n\r\n..x\r\n\x00\xff\r\n.\r\n"
		S: 250 2.0.0 message accepted
		C: MAIL FROM:<alice@example.org> BODY=BINARYMIME
		S: 250 2.1.0 sender accepted
		C: RCPT TO:<bob+tag@example.org>
		S: 250 2.1.5 recipient accepted
		C: RCPT TO:<nobody@example.org>
		S: 250 2.1.5 recipient accepted
		C: RCPT TO:<BOB@example.org>
		S: 250 2.1.5 recipient accepted
		C> "BDAT 9 LAST\r\nbare\n\rend"
		S: 250 2.0.0 message accepted
		`+stepQuit)
	id := regexp.MustCompile(` id [A-Z2-7]{12}`)
	normal := func(texts []string) string { return id.ReplaceAllString(fmt.Sprintf("%q", texts), " id ID") }
	const (
		path = "Return-Path: <alice@example.org>\r\n"
		by   = "Received: from [127.0.0.1] ([127.0.0.1])\r\n\tby mx.example.org with ESMTP id ID"
		date = ";\r\n\tTue, 03 Feb 2026 04:05:06 +0000\r\n"
	)
	if got, want := normal(inboxOf(t, srv, "bob")), fmt.Sprintf("%q", []string{
		path + "Delivered-To: bob@example.org\r\n" + by + "\r\n\tfor <bob@example.org>" + date + "Subject: one\r\n\r\n.x\r\n\x00\xff\r\n",
		path + "Delivered-To: bob+tag@example.org\r\nDelivered-To: BOB@example.org\r\n" + by + date + "bare\n\rend",
	}); got != want {
		t.Errorf("bob: got %s, want %s", got, want)
	}
	if got, want := normal(inboxOf(t, srv, "alice")), fmt.Sprintf("%q", []string{
		path + "Delivered-To: nobody@example.org\r\n" + by + date + "bare\n\rend",
	}); got != want {
		t.Errorf("alice: got %s, want %s", got, want)
	}
	if got := srv.memory.Load(); got != 0 {
		t.Errorf("%d octets of memory are still counted", got)
	}
}

func TestSMTPLimits(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.MaxMessage, o.MaxRcpt = 1000, 2 })
	const hello = stepGreeting + "C: HELO x\nS: 250 mx.example.org\n"
	text := strings.Repeat("0123456\r\n", 111)
	for _, c := range []struct{ name, script string }{
		{"DATA at the limit", stepMail + stepRcpt + stepData + fmt.Sprintf("C> %q\n", "\r\n"+text[:990]+"123456\r\n.\r\n") + "S: 250 2.0.0 message accepted\n"},
		{"DATA above", stepMail + stepRcpt + stepData + fmt.Sprintf("C> %q\n", "\r\n"+text+"\r\n.\r\n") + "S: 552 5.3.4 the message is too big\n"},
		{"BDAT above", stepMail + stepRcpt + fmt.Sprintf("C> %q\n", "BDAT 999\r\n"+text+"BDAT 2\r\nxxBDAT 3 LAST\r\nxxxNOOP\r\n") +
			"S: 250 2.0.0 999 octets received\nS: 552 5.3.4 the message is too big\nS: 503 5.5.1 MAIL comes first\nS: 250 2.0.0 ok\n"},
		{"recipients", stepMail + stepRcpt + stepRcpt + "C: RCPT TO:<a@b>\nS: 452 4.5.3 too many recipients\nC: RSET\nS: 250 2.0.0 ok\n" + stepMail + stepRcpt},
		{"refused recipients count", stepMail + "C: RCPT TO:<x>\nS: 501 5.1.3 bad address\n" + stepRcpt + "C: RCPT TO:<a@b>\nS: 452 4.5.3 too many recipients\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialCore(t, srv.Addr("smtp")).talk(srv, hello+c.script+stepQuit)
		})
	}
}

// TestSMTPMailMax holds the number of transactions of a session: announced, and with refused ones counted.
func TestSMTPMailMax(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.MaxMail = 2 })
	const two = stepMail + "C: RSET\nS: 250 2.0.0 ok\nC: MAIL FROM:<x>\nS: 501 5.1.7 bad address\n"
	dialCore(t, srv.Addr("smtp")).talk(srv, strings.Replace(stepEhlo, "MAILMAX=100000", "MAILMAX=2", 1)+two+
		"C: MAIL FROM:<>\nS: 421 4.5.3 too many messages in a session\nEOF")
	srv = startCore(t, func(o *Options) { o.MaxMail = 2; o.Without = []string{"LIMITS"} })
	dialCore(t, srv.Addr("smtp")).talk(srv, stepHelo+two+stepMail+stepQuit)
}

// TestSMTPMistakes holds that a client that does not speak SMTP is sent away.
func TestSMTPMistakes(t *testing.T) {
	srv := startCore(t, nil)
	out := smtpExchange(t, srv, "smtp", strings.Repeat("X\r\n", maxMistakes+20))
	want := strings.Repeat("500 5.5.1 unknown command\r\n", maxMistakes+1) + "421 4.7.0 too many errors\r\n"
	if !strings.HasSuffix(out, want) || strings.Count(out, "\n") != maxMistakes+3 {
		t.Errorf("got %d lines, the last %q", strings.Count(out, "\n"), out[max(0, len(out)-100):])
	}
}

// TestSMTPRequireTLS holds that REQUIRETLS is taken under TLS.
func TestSMTPRequireTLS(t *testing.T) {
	p := dialTLS(t, startCore(t, nil), "smtps")
	p.send("EHLO x\r\nMAIL FROM:<a@b> REQUIRETLS\r\nRSET\r\nMAIL FROM:<a@b> REQUIRETLS=1\r\nQUIT\r\n")
	out, err := io.ReadAll(p.r)
	const want = "250 HELP\r\n250 2.1.0 sender accepted\r\n250 2.0.0 ok\r\n501 5.5.4 bad value of REQUIRETLS\r\n221 2.0.0 goodbye\r\n"
	if err != nil || !strings.HasSuffix(string(out), want) {
		t.Errorf("got %q (%v), want the end %q", out, err, want)
	}
}

func TestSMTPLineLength(t *testing.T) {
	srv := startCore(t, nil)
	for n, want := range map[int]string{maxTextLine: "250 2.0.0 message accepted", maxTextLine + 1: "554 5.6.0 line too long in the text"} {
		p := dialCore(t, srv.Addr("smtp"))
		p.talk(srv, stepHelo+stepMail+stepRcpt+stepData)
		p.send("a: b\r\n\r\n" + strings.Repeat("x", n) + "\r\n.\r\n")
		p.talk(srv, "S: "+want+"\n"+stepQuit)
	}
}

// TestSMTPMemory holds that a server with no memory left for texts says so, and recovers.
func TestSMTPMemory(t *testing.T) {
	srv := startCore(t, nil)
	p := dialCore(t, srv.Addr("smtp"))
	srv.memory.Store(maxMemory)
	p.talk(srv, stepHelo+stepMail+stepRcpt+stepData+"C> \"a: b\\r\\n\\r\\n.\\r\\n\"\nS: 452 4.3.1 too much is being received at the moment\n")
	srv.memory.Store(0)
	p.talk(srv, stepMail+stepRcpt+stepData+"C> \"a: b\\r\\n\\r\\n.\\r\\n\"\nS: 250 2.0.0 message accepted\n"+stepQuit)
	if got := srv.memory.Load(); got != 0 {
		t.Errorf("%d octets are still counted", got)
	}
}

// TestLMTPChunkTooBig holds that a chunk before the last has one reply.
func TestLMTPChunkTooBig(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.MaxMessage = 10 })
	p := dialCore(t, srv.Addr("lmtp"))
	p.send("LHLO x\r\n" + "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 11\r\n01234567890BDAT 0 LAST\r\nNOOP\r\nQUIT\r\n")
	got, err := io.ReadAll(p.r)
	want := "250 HELP\r\n250 2.1.0 sender accepted\r\n250 2.1.5 recipient accepted\r\n250 2.1.5 recipient accepted\r\n" +
		"552 5.3.4 the message is too big\r\n503 5.5.1 MAIL comes first\r\n250 2.0.0 ok\r\n221 2.0.0 goodbye\r\n"
	if err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("got %q (%v), want the end %q", got, err, want)
	}
}

// TestRefusalArrives holds that the client sees why it was cut off even when it goes on sending, also under TLS.
func TestRefusalArrives(t *testing.T) {
	srv := startCore(t, nil)
	nc, err := tls.Dial("tcp", srv.Addr("smtps"), &tls.Config{ServerName: "localhost", RootCAs: srv.roots(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	p := &corePeer{t, nc, bufio.NewReader(nc)}
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	p.talk(srv, stepHelo+stepMail+stepRcpt+stepData)
	p.send("a\nb\r\n" + strings.Repeat("x", 300_000))
	p.talk(srv, "S: 554 5.6.0 CR or LF that stands alone in the text\nEOF")
}

// TestD11_Loop holds the cap on Received fields: 100 pass, 101 do not.
func TestD11_Loop(t *testing.T) {
	srv := startCore(t, nil)
	for n, want := range map[int]string{100: "250 2.0.0 message accepted", 101: "554 5.4.6 the message runs in a loop"} {
		head := strings.Repeat("Received: from x\r\n\tby y; Tue, 03 Feb 2026 04:05:06 +0000\r\n", n)
		dialCore(t, srv.Addr("smtp")).talk(srv, stepHelo+stepMail+stepRcpt+stepData+
			fmt.Sprintf("C> %q\nS: %s\n", head+"Subject: x\r\n\r\nReceived: body\r\n.\r\n", want)+stepQuit)
	}
}

func TestLMTP(t *testing.T) {
	srv := startCore(t, func(o *Options) {
		o.Faults = faultFunc(func(e Event) Strike {
			if e.Command == "EOM" && e.Arg == "full@example.org" {
				return Strike{Reply: "452 4.2.2 mailbox full"}
			}
			return Strike{}
		})
	})
	const begin = `S: 220 mx.example.org LMTP mail serve
		C: EHLO x
		S: 500 5.5.1 unknown command
		C: LHLO x
		` + stepEhloRest + stepMail + stepRcpt + `C: RCPT TO:<full@example.org>
		S: 250 2.1.5 recipient accepted
		C: RCPT TO:<bob@example.com>
		S: 250 2.1.5 recipient accepted
		`
	const replies = `S: 250 2.0.0 message accepted
		S: 452 4.2.2 mailbox full
		S: 250 2.0.0 message accepted
		`
	dialCore(t, srv.Addr("lmtp")).talk(srv, begin+stepData+"C> \"a: b\\r\\n\\r\\n.\\r\\n\"\n"+replies+
		strings.SplitAfter(begin, "HELP\n")[1]+"C> \"BDAT 2\\r\\na:BDAT 4 LAST\\r\\n\\r\\n\\r\\n\"\nS: 250 2.0.0 2 octets received\n"+replies+stepQuit)
	if got := inboxOf(t, srv, "bob"); len(got) != 2 || !strings.Contains(got[0], "with LMTP id") {
		t.Errorf("bob: got %q, want two messages", got)
	}
	if got := inboxOf(t, srv, "alice"); len(got) != 0 {
		t.Errorf("alice: got %q, want nothing", got)
	}
}

// TestD6_LostReply holds that LieDropAfter stores the message and says nothing.
func TestD6_LostReply(t *testing.T) {
	rules := &Rules{List: []Rule{{Command: "EOM", Strike: Strike{Lie: LieDropAfter}}}}
	srv := startCore(t, func(o *Options) { o.Faults = rules })
	dialCore(t, srv.Addr("smtp")).talk(srv, stepHelo+stepMail+stepRcpt+stepData+"C> \"a: b\\r\\n\\r\\n.\\r\\n\"\nEOF")
	if got := inboxOf(t, srv, "bob"); len(got) != 1 {
		t.Errorf("got %d messages, want 1", len(got))
	}
}

// TestD1_CutText holds that a text that is cut anywhere is not stored.
func TestD1_CutText(t *testing.T) {
	srv := startCore(t, nil)
	const text = "Subject: x\r\n\r\n.\r\n"
	for _, begin := range []string{"DATA\r\n", fmt.Sprintf("BDAT %d LAST\r\n", len(text))} {
		for n := range len(text) {
			p := dialCore(t, srv.Addr("smtp"))
			p.talk(srv, stepHelo+stepMail+stepRcpt)
			p.send(begin)
			if begin[0] == 'D' {
				p.talk(srv, "S: 354 go ahead, end with a dot")
			}
			p.send(text[:n])
			_ = p.nc.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(p.r); len(rest) > 0 || err != nil {
				t.Errorf("%q cut after %d: got %q (%v)", begin, n, rest, err)
			}
		}
	}
	if got := inboxOf(t, srv, "bob"); len(got) > 0 {
		t.Errorf("got %d messages stored, want none", len(got))
	}
}

func TestSMTPWithout(t *testing.T) {
	all := []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH", "LIMITS", "HELP"}
	srv := startCore(t, func(o *Options) { o.Without = all })
	dialCore(t, srv.Addr("smtp")).talk(srv, stepGreeting+`C: EHLO x
		S: 250 mx.example.org
		C: STARTTLS
		S: 500 unknown command
		C: BDAT 0 LAST
		S: 500 unknown command
		C: AUTH CRAM-MD5
		S: 500 unknown command
		C: MAIL FROM:<a@b> SIZE=1
		S: 555 parameter not known here
		C: MAIL FROM:<a@b> BODY=8BITMIME
		S: 555 parameter not known here
		C: MAIL FROM:<a@b> RET=FULL
		S: 555 parameter not known here
		C: MAIL FROM:<a@b>
		S: 250 sender accepted
		`)
	for _, name := range all {
		srv := startCore(t, func(o *Options) { o.Without = []string{strings.ToLower(name)} })
		want := strings.Split(strings.ReplaceAll(stepEhloRest, "\t", ""), "\n")
		var kept []string
		for _, line := range want {
			if len(line) > 7 && !strings.HasPrefix(line[7:], name) && !(name == "CHUNKING" && line[7:] == "BINARYMIME") {
				kept = append(kept, line[:6]+"-"+line[7:])
			}
		}
		last := kept[len(kept)-1]
		kept[len(kept)-1] = last[:6] + " " + last[7:]
		dialCore(t, srv.Addr("smtp")).talk(srv, stepGreeting+"C: EHLO x\n"+strings.Join(kept, "\n"))
	}
}

func TestRequireLogin(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.RequireLogin = true })
	dialCore(t, srv.Addr("smtp")).talk(srv, stepHelo+"C: MAIL FROM:<a@b>\nS: 530 5.7.0 log in first\n")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sesame"))
	nc, err := tls.Dial("tcp", srv.Addr("smtps"), &tls.Config{ServerName: "localhost", RootCAs: srv.roots(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	text := "EHLO x\r\nAUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00wrong")) + "\r\nAUTH PLAIN " + plain +
		"\r\nAUTH PLAIN " + plain + "\r\nMAIL FROM:<a@b>\r\nQUIT\r\n"
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(60 * time.Second))
	got, err := io.ReadAll(nc)
	want := "250 HELP\r\n535 5.7.8 authentication failed\r\n235 2.7.0 logged in\r\n503 5.5.1 not now\r\n250 2.1.0 sender accepted\r\n221 2.0.0 goodbye\r\n"
	if err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("got %q (%v), want the end %q", got, err, want)
	}
}

// octets is a connection whose input is what was put into it.
type octets struct {
	net.Conn
	in   []byte
	next []byte // comes when in has been read
	one  bool   // an octet a read
}

func (o *octets) Read(p []byte) (int, error) {
	if len(o.in) == 0 {
		o.in, o.next = o.next, nil
	}
	if len(o.in) == 0 {
		return 0, io.EOF
	}
	if o.one {
		p = p[:1]
	}
	n := copy(p, o.in)
	o.in = o.in[n:]
	return n, nil
}
func (*octets) Write(p []byte) (int, error) { return len(p), nil }
func (*octets) SetDeadline(time.Time) error { return nil }
func (*octets) Close() error                { return nil }

// strictText is what DATA has to make of a stream, written as plainly as can be: the text up to CRLF.CRLF, or bare when
// a CR or LF stands alone before.
func strictText(stream string) (text string, rest int, bare bool) {
	var b strings.Builder
	for i := 0; i < len(stream); {
		end := strings.Index(stream[i:], "\r\n")
		line := stream[i:]
		if end >= 0 {
			line = stream[i : i+end]
		}
		if strings.ContainsAny(line, "\r\n") {
			return "", 0, true
		}
		if line == "." {
			return b.String(), len(stream) - i - 3, false
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		i += len(line) + 2
	}
	return "", 0, true
}

// d5Session is a session in a transaction whose octets come from nc; after DATA everything else has been sent already.
func d5Session(proto string, nc *octets, eom func(text string)) *smtpSession {
	srv := &Server{options: Options{MaxMessage: 1000, MaxRcpt: 10, MaxMail: 10, Hostname: "mx"}, log: slog.New(slog.DiscardHandler)}
	m := &smtpSession{session: &session{srv: srv, proto: proto, conn: wire.NewConn(nc, nil), log: srv.log}, lmtp: proto == "lmtp"}
	srv.options.Faults = faultFunc(func(e Event) Strike {
		if e.Command != "EOM" || m.acceptable() != nil {
			return Strike{}
		}
		var text bytes.Buffer
		_, _ = m.spool.reader().WriteTo(&text)
		eom(text.String())
		return Strike{Reply: "250 taken"}
	})
	return m
}

// TestD5_Exhaustive sends all texts over CR, LF, dot and x of up to ten octets to sessions in SMTP and LMTP, with the
// end of a text and another command behind them, in one piece and octet by octet.
func TestD5_Exhaustive(t *testing.T) {
	for _, c := range []struct {
		proto   string
		one     bool
		longest int
	}{{"smtp", false, 10}, {"smtp", true, 7}, {"lmtp", false, 7}} {
		if testing.Short() {
			c.longest = min(c.longest, 7)
		}
		nc := &octets{one: c.one}
		var texts []string
		m := d5Session(c.proto, nc, func(text string) { texts = append(texts, text) })
		count := 0
		for n := 0; n <= c.longest; n++ {
			text := make([]byte, n)
			for i := range 1 << (2 * n) {
				for j := range text {
					text[j] = "\r\n.x"[i>>(2*j)&3]
				}
				texts = texts[:0]
				checkD5(t, m, nc, string(text)+"\r\n.\r\nNOOP smuggled\r\n", &texts)
				count++
			}
		}
		t.Logf("%s: %d texts", c.proto, count)
	}
}

// checkD5 runs DATA with everything up to its reply, and looks at what was taken as the text and what was left.
func checkD5(t *testing.T, m *smtpSession, nc *octets, stream string, texts *[]string) {
	want, rest, bare := strictText(stream)
	m.mail, m.rcpt, m.mistakes = &smtpMail{from: "a@b"}, []smtpRcpt{{addr: "c@d"}}, 0
	nc.in, nc.next = []byte("DATA\r\n"), []byte(stream)
	err := m.command()
	left := m.conn.Buffered() + len(nc.in)
	switch {
	case bare && (!errors.Is(err, errHangUp) || len(*texts) > 0):
		t.Fatalf("%s %q: got %q, %v, want a refusal that ends the session", m.proto, stream, *texts, err)
	case !bare && (err != nil || len(*texts) != 1 || (*texts)[0] != want || left != rest):
		t.Fatalf("%s %q: got %q with %d left (%v), want %q with %d", m.proto, stream, *texts, left, err, want, rest)
	}
	nc.in, nc.next = nil, nil
	if n := m.conn.Buffered(); n > 0 {
		_ = m.conn.ReadFull(make([]byte, n))
	}
	m.reset()
}

// TestD5_Chunks sends all texts of up to six octets as one chunk and as two: a message that is not binary has the line
// ends of DATA, whatever it has the session goes on behind the chunk, and a dot means nothing.
func TestD5_Chunks(t *testing.T) {
	const longest = 6
	for _, binary := range []bool{false, true} {
		nc := &octets{}
		var texts []string
		m := d5Session("smtp", nc, func(text string) { texts = append(texts, text) })
		for n := 0; n <= longest; n++ {
			text := make([]byte, n)
			for i := range 1 << (2 * n) {
				for j := range text {
					text[j] = "\r\n.x"[i>>(2*j)&3]
				}
				for cut := range n + 1 {
					texts = texts[:0]
					m.mail, m.rcpt, m.mistakes = &smtpMail{from: "a@b", binary: binary}, []smtpRcpt{{addr: "c@d"}}, 0
					nc.in = fmt.Appendf(nil, "BDAT %d\r\n%sBDAT %d LAST\r\n%sNOOP\r\n", cut, text[:cut], n-cut, text[cut:])
					for range 3 {
						if err := m.command(); err != nil {
							t.Fatalf("%q cut at %d: %v", text, cut, err)
						}
					}
					ok := binary || !strings.ContainsAny(strings.ReplaceAll(string(text), "\r\n", ""), "\r\n")
					if left := m.conn.Buffered() + len(nc.in); left > 0 || ok && !slices.Equal(texts, []string{string(text)}) || !ok && len(texts) > 0 {
						t.Fatalf("%q cut at %d, binary %v: got %q with %d left", text, cut, binary, texts, left)
					}
				}
			}
		}
	}
}

func TestTextCheckerLines(t *testing.T) {
	const text = "a\r\n\r\nlonger line\r\nx"
	for cut := range len(text) {
		var c textChecker
		if err := errors.Join(c.check([]byte(text[:cut])), c.check([]byte(text[cut:]))); err != nil || c.longest != 11 {
			t.Errorf("cut at %d: got %d (%v), want 11", cut, c.longest, err)
		}
	}
}

// TestD5_TextCheckerLengths checks texts with lines of one length and of several, and line ends that are none among
// them, in one piece and in two.
func TestD5_TextCheckerLengths(t *testing.T) {
	parts := []string{"123456\r\n", "123456\r\n", "1234\r\n", "12\r\n", "\r\n", "1", "12345678", "123\n567\r\n", "12\r4567\r\n", "123456\n\r"}
	random := rand.New(rand.NewPCG(1, 2))
	bare := 0
	for range 20_000 {
		text, kinds := "", 3+random.IntN(len(parts)-2)
		for range random.IntN(30) {
			text += parts[random.IntN(kinds)]
		}
		cut := random.IntN(len(text) + 1)
		var c textChecker
		err := c.check([]byte(text[:cut]))
		if err == nil {
			err = c.check([]byte(text[cut:]))
		}
		rest := strings.ReplaceAll(strings.TrimSuffix(text, "\r"), "\r\n", "")
		if strings.ContainsAny(rest, "\r\n") {
			if bare++; err == nil {
				t.Fatalf("%q cut at %d: got no error", text, cut)
			}
			continue
		}
		longest := 0
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r"), "\r\n") {
			longest = max(longest, len(line))
		}
		if err != nil || c.longest != longest {
			t.Fatalf("%q cut at %d: got %d (%v), want %d", text, cut, c.longest, err, longest)
		}
	}
	if bare == 0 || bare == 20_000 {
		t.Errorf("%d of all texts were bad", bare)
	}
}

// externalClient runs another program against the server and fails with what it printed.
func externalClient(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestOtherClients sends by the programs that people use.
func TestOtherClients(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.RequireLogin = true })
	dir := t.TempDir()
	ca, text := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "message.eml")
	for name, data := range map[string]string{ca: string(srv.CA()), text: "Subject: client\r\n\r\n.dot\r\nend\r\n"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := func(name string) string { _, p, _ := net.SplitHostPort(srv.Addr(name)); return p }
	for _, c := range []struct {
		name, program string
		args          []string
	}{
		{"curl STARTTLS", "curl", []string{"-sS", "--ssl-reqd", "--cacert", ca, "--url", "smtp://localhost:" + port("smtp") + "/client.example.org",
			"--user", "alice:sesame", "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org", "-T", text}},
		{"curl smtps", "curl", []string{"-sS", "--cacert", ca, "--url", "smtps://localhost:" + port("smtps") + "/client.example.org",
			"--user", "alice:sesame", "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org", "-T", text}},
		{"smtplib", "python3", []string{"-c", smtplibScript, port("smtp"), ca, text}},
		{"msmtp", "sh", []string{"-c", `command -v msmtp >/dev/null || exit 0; exec msmtp --host=localhost --port="$1" --tls=on --tls-starttls=on --tls-trust-file="$2" --auth=on --user=alice --passwordeval='echo sesame' --from=alice@example.org bob@example.org <"$3"`,
			"sh", port("smtp"), ca, text}},
		{"swaks", "swaks", []string{"--server", "127.0.0.1", "--port", port("smtp"), "--auth", "CRAM-MD5", "--auth-user", "alice",
			"--auth-password", "sesame", "--helo", "client.example.org", "--from", "alice@example.org", "--to", "bob@example.org", "--data", "@" + text}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(strings.Fields(c.name)[0]); err != nil && c.name == "msmtp" {
				t.Skip("msmtp is not installed")
			}
			before := len(inboxOf(t, srv, "bob"))
			externalClient(t, c.program, c.args...)
			got := inboxOf(t, srv, "bob")
			if len(got) != before+1 || !strings.Contains(got[before], "Subject: client\r\n") || !strings.Contains(got[before], "\r\n.dot\r\nend\r\n") ||
				!strings.Contains(got[before], "with ESMTP") || !strings.Contains(got[before], "A id ") {
				t.Errorf("got %q, want the message with its dot, by ESMTPSA or ESMTPA", got[before:])
			}
		})
	}
}

const smtplibScript = `
import smtplib, ssl, sys
port, ca, text = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "rb").read()
for mechanism in ("auth_plain", "auth_login", "auth_cram_md5"):
    s = smtplib.SMTP("localhost", port, "client.example.org", timeout=10)
    s.starttls(context=ssl.create_default_context(cafile=ca))
    s.ehlo()
    s.user, s.password = "alice", "sesame"
    s.auth(mechanism[5:].replace("_", "-").upper(), getattr(s, mechanism))
    if mechanism == "auth_plain":
        assert not s.sendmail("alice@example.org", ["bob@example.org"], text, ["BODY=8BITMIME", "RET=HDRS"], ["NOTIFY=FAILURE"])
    s.quit()
`

// benchmarkSMTP sends the text over and over; each message is expunged before the next, outside of the measured time.
func benchmarkSMTP(b *testing.B, mail, begin string, text []byte, end string) {
	srv := startCore(b, func(o *Options) { o.Timeout = time.Minute })
	p := dialCore(b, srv.Addr("smtp"))
	p.talk(srv, stepEhlo)
	_ = p.nc.SetDeadline(time.Time{})
	box := inboxBox(b, srv, "bob")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		p.talk(srv, mail+stepRcpt)
		p.send(begin)
		if begin[0] == 'D' {
			p.talk(srv, "S: 354 go ahead, end with a dot")
		}
		if _, err := p.nc.Write(text); err != nil {
			b.Fatal(err)
		}
		p.send(end)
		p.talk(srv, "S: 250 2.0.0 message accepted")
		b.StopTimer()
		if _, err := box.Expunge([]uint32{box.State().UIDNext - 1}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func inboxBox(t testing.TB, srv *Server, user string) Mailbox {
	account, err := srv.Store().Account(user)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func BenchmarkSMTPData100MB(b *testing.B) {
	benchmarkSMTP(b, stepMail, "DATA\r\n", bigText(), ".\r\n")
}

// bigText is 100 MB of lines such as base64 has.
func bigText() []byte {
	line := strings.Repeat("0123456789abcde", 5) + "x\r\n"
	return []byte("Subject: big\r\n\r\n" + strings.Repeat(line, 100_000_000/len(line)))
}

func BenchmarkSMTPBdat100MB(b *testing.B) {
	for _, c := range []struct {
		name, mail string
		text       []byte
	}{
		{"text", stepMail, bigText()},
		{"binary", strings.Replace(stepMail, ">\n", "> BODY=BINARYMIME\n", 1), bytes.Repeat([]byte("0123456789abcde\n"), 100_000_000/16)},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkSMTP(b, c.mail, fmt.Sprintf("BDAT %d LAST\r\n", len(c.text)), c.text, "") })
	}
}

func BenchmarkSMTPSmall(b *testing.B) {
	text := []byte("Subject: small\r\n\r\n" + strings.Repeat("0123456789\r\n", 80))
	benchmarkSMTP(b, stepMail, fmt.Sprintf("BDAT %d LAST\r\n", len(text)), text, "")
}

// FuzzSMTP feeds whole sessions to the server: it answers with complete lines, and ends.
func FuzzSMTP(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<b@c> NOTIFY=NEVER\r\nDATA\r\n"))
	f.Add([]byte("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@c>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nRSET\r\nQUIT\r\n"))
	f.Add([]byte("LHLO x\r\nAUTH SCRAM-SHA-256 eA==\r\n*\r\nVRFY \"\\\r\n"))
	srv, err := newServer(f.Context(), Options{Users: []User{{Name: "alice", Password: "x"}}, MaxMessage: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		nc := &recorder{octets: octets{in: in}}
		s := newSession(srv, &listener{name: "smtp", proto: "smtp"}, nc, 1)
		s.run(false)
		if out := nc.out.Bytes(); len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) || !bytes.HasPrefix(out, []byte("220 ")) {
			t.Errorf("got %q", out)
		}
	})
}

type recorder struct {
	octets
	out bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.out.Write(p) }
func (*recorder) RemoteAddr() net.Addr          { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func BenchmarkTextChecker(b *testing.B) {
	text := bigText()[:64<<10]
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var c textChecker
		if err := c.check(text); err != nil {
			b.Fatal(err)
		}
	}
}
