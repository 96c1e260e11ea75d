package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// sendHello is a server up to the first command.
const sendHello = "S: 220 mx.example.org\nC: EHLO localhost\nS: 250-mx.example.org\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250 SIZE\n"

const plainMessage = "From: Alice <alice@example.org>\nTo: bob@example.org\nCc: Carol <carol@example.org>\nBcc: eve@example.org\n" +
	"Date: Fri, 20 Nov 2026 10:00:00 +0000\nMessage-ID: <m1@example.org>\nSubject: hi\n\n.dot\nhello\n"

// sendTo runs `mail send` against a scripted server.
func sendTo(t *testing.T, script, stdin string, words ...string) (result, *wiretest.Captured) {
	t.Helper()
	var got wiretest.Captured
	addr := wiretest.Serve(t, script, wiretest.Capture(&got))
	return sendWith(t, stdin, append([]string{"--server", "smtp+plain://" + addr}, words...)...).hide(addr), &got
}

func sendWith(t *testing.T, stdin string, words ...string) result {
	t.Helper()
	e, stdout, stderr := testEnv(stdin)
	code := run(context.Background(), e, append([]string{"mail", "send"}, words...))
	return result{code, stdout.String(), stderr.String()}
}

// hide replaces the address of the server, which differs from run to run.
func (r result) hide(addr string) result {
	r.stdout, r.stderr = strings.ReplaceAll(r.stdout, addr, "SERVER"), strings.ReplaceAll(r.stderr, addr, "SERVER")
	return r
}

func wantResult(t *testing.T, got result, code int, stdout, stderr string) {
	t.Helper()
	if got.code != code || got.stdout != stdout || got.stderr != stderr {
		t.Errorf("exit %d\nstdout %q\nstderr %q\nwant %d\n%q\n%q", got.code, got.stdout, got.stderr, code, stdout, stderr)
	}
}

func TestI8_SendEnvelopeFromHeader(t *testing.T) {
	r, got := sendTo(t, sendHello+`C: MAIL FROM:<alice@example.org> SIZE=182
		C: RCPT TO:<bob@example.org>
		C: RCPT TO:<carol@example.org>
		C: RCPT TO:<eve@example.org>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 354 go
		C.
		S: 250 queued
		C: QUIT
	`, plainMessage)
	wantResult(t, r, 0, "", "")
	want := strings.ReplaceAll(strings.Replace(plainMessage, "Bcc: eve@example.org\n", "", 1), "\n", "\r\n")
	if b := got.Bodies(); len(b) != 1 || string(b[0]) != want {
		t.Errorf("sent %q\nwant %q", b, want)
	}
}

func TestSend_Recipients(t *testing.T) {
	resent := "Resent-From: dave@example.org\nResent-To: rita@example.org\nResent-Bcc: ralf@example.org\n" + plainMessage
	for _, tc := range []struct {
		name, stdin string
		words       []string
		from        string
		rcpt        []string
	}{
		{"operands", plainMessage, []string{"x@example.org", "Y <y@example.org>, z@example.org"}, "alice@example.org", []string{"x@example.org", "y@example.org", "z@example.org"}},
		{"-t", plainMessage, []string{"-t", "x@example.org", "bob@example.org"}, "alice@example.org", []string{"x@example.org", "bob@example.org", "carol@example.org", "eve@example.org"}},
		{"-f", plainMessage, []string{"-f", "bounces@example.org", "x@example.org"}, "bounces@example.org", []string{"x@example.org"}},
		{"-f with a name", plainMessage, []string{"-f", "B <bounces@example.org>", "x@example.org"}, "bounces@example.org", []string{"x@example.org"}},
		{"null sender", plainMessage, []string{"-f", "<>", "x@example.org"}, "", []string{"x@example.org"}},
		{"null sender, empty", plainMessage, []string{"-f", "", "x@example.org"}, "", []string{"x@example.org"}},
		{"resent", resent, nil, "dave@example.org", []string{"rita@example.org", "ralf@example.org"}},
		{"Sender before From", "Sender: s@example.org\n" + plainMessage, []string{"x@example.org"}, "s@example.org", []string{"x@example.org"}},
		{"two authors and -f", "From: a@example.org, b@example.org\nTo: x@example.org\n\n", []string{"-f", "c@example.org"}, "c@example.org", []string{"x@example.org"}},
		{"bad recipients do not count with operands", "From: a@example.org\nTo: @@@\n\n", []string{"x@example.org"}, "a@example.org", []string{"x@example.org"}},
		{"without a domain", plainMessage, []string{"root"}, "alice@example.org", []string{"root"}},
		{"domain with UTF-8", plainMessage, []string{"x@bücher.example"}, "alice@example.org", []string{"x@xn--bcher-kva.example"}},
		{"twice", plainMessage, []string{"x@example.org", "x@example.org"}, "alice@example.org", []string{"x@example.org"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := sendHello + "C: MAIL FROM:<" + tc.from + "> SIZE=*\n"
			for _, rcpt := range tc.rcpt {
				script += "C: RCPT TO:<" + rcpt + ">\n"
			}
			script += "C: DATA\n" + strings.Repeat("S: 250 ok\n", len(tc.rcpt)+1) + "S: 354 go\nC.\nS: 250 queued\nC: QUIT\n"
			r, got := sendTo(t, script, tc.stdin, tc.words...)
			wantResult(t, r, 0, "", "")
			for _, b := range got.Bodies() {
				if bytes.Contains(bytes.ToLower(b), []byte("bcc:")) {
					t.Errorf("Bcc was sent: %q", b)
				}
			}
		})
	}
}

func TestSend_Completes(t *testing.T) {
	for _, tc := range []struct{ name, stdin, want string }{
		{"nothing there", "hello\n", "From: alice@example.org\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <ID@example.org>\r\n\r\nhello\r\n"},
		{"no Date", "From: x@example.org\nMessage-ID: <a@b>\n\nhello\n", "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nFrom: x@example.org\r\nMessage-ID: <a@b>\r\n\r\nhello\r\n"},
		{"header only", "From: x@example.org\nDate: today\nMessage-ID: <a@b>\n", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\n"},
		{"no line end", "From: x@example.org\nDate: today\nMessage-ID: <a@b>\n\nhello", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\n\r\nhello\r\n"},
		{"mbox line", "From x Mon Jan  1 00:00:00 2024\nFrom: x@example.org\nDate: today\nMessage-ID: <a@b>\n\n>From here\n", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\n\r\nFrom here\r\n"},
		{"wire form", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\n\r\nhello\r\n", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\n\r\nhello\r\n"},
		{"bad header line", "From: x@example.org\nDate: today\nMessage-ID: <a@b>\nnonsense\nSubject: x\n\nhello\n", "From: x@example.org\r\nDate: today\r\nMessage-ID: <a@b>\r\nnonsense\r\nSubject: x\r\n\r\nhello\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, got := sendTo(t, sendHello+"C: MAIL FROM:<alice@example.org> SIZE=*\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 queued\nC: QUIT\n",
				tc.stdin, "-f", "alice@example.org", "bob@example.org")
			wantResult(t, r, 0, "", "")
			if len(got.Bodies()) != 1 {
				t.Fatal("nothing was sent")
			}
			text := string(got.Bodies()[0])
			if _, after, ok := strings.Cut(text, "Message-ID: <"); ok && !strings.Contains(tc.stdin, "Message-ID") {
				id, _, _ := strings.Cut(after, "@")
				text = strings.Replace(text, id, "ID", 1)
			}
			if text != tc.want {
				t.Errorf("sent\n%q\nwant\n%q", text, tc.want)
			}
		})
	}
}

func TestSend_Refusals(t *testing.T) {
	const send3 = "C: MAIL *\nC: RCPT TO:<a@example.org>\nC: RCPT TO:<b@example.org>\nC: DATA\n"
	for _, tc := range []struct {
		name, script string
		code         int
		stderr       string
	}{
		{"one of two", send3 + "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no such user\nS: 354 go\nC.\nS: 250 queued\nC: QUIT\n", 4,
			"mail: SERVER: b@example.org: 550 5.1.1 no such user\n"},
		{"all for good", send3 + "S: 250 ok\nS: 550 no\nS: 551 no\nS: 503 no\nC: QUIT\n", 67,
			"mail: SERVER: a@example.org: 550 no\nmail: SERVER: b@example.org: 551 no\n"},
		{"all for now", send3 + "S: 250 ok\nS: 450 no\nS: 451 no\nS: 503 no\nC: QUIT\n", 75,
			"mail: SERVER: a@example.org: 450 no\nmail: SERVER: b@example.org: 451 no\n"},
		{"one for now, one for good", send3 + "S: 250 ok\nS: 450 no\nS: 550 no\nS: 503 no\nC: QUIT\n", 75,
			"mail: SERVER: a@example.org: 450 no\nmail: SERVER: b@example.org: 550 no\n"},
		{"the sender", send3 + "S: 550 not you\nS: 503 no\nS: 503 no\nS: 503 no\nC: QUIT\n", 69, "mail: SERVER: mail from: 550 not you\n"},
		{"the text", send3 + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 554 spam\nC: QUIT\n", 69, "mail: SERVER: end of data: 554 spam\n"},
		{"the text, for now", send3 + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 451 greylisted\nC: QUIT\n", 75, "mail: SERVER: end of data: 451 greylisted\n"},
		{"terminal escapes", send3 + "S: 250 ok\nS: 250 ok\nS> \"550 \\x1b[2Jno\\r\\n\"\nS: 354 go\nC.\nS: 250 queued\nC: QUIT\n", 4,
			"mail: SERVER: b@example.org: 550 \\x1b[2Jno\n"},
		{"closed after the text", send3 + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nCLOSE\n", 75,
			"mail: SERVER: the message was sent and not confirmed, it may have been delivered: connection closed by the server\n"},
		{"closed before the text", "C: MAIL *\nCLOSE\n", 75, "mail: SERVER: connection closed by the server\n"},
		{"closing", "C: MAIL *\nS: 421 4.3.2 down for repair\nCLOSE\n", 75, "mail: SERVER: mail from: 421 4.3.2 down for repair\n"},
		{"nonsense", "C: MAIL *\nS: huh\nHANG\n", 76, "mail: SERVER: protocol error: not an SMTP reply: \"huh\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, _ := sendTo(t, sendHello+tc.script, plainMessage, "a@example.org", "b@example.org")
			wantResult(t, r, tc.code, "", tc.stderr)
		})
	}
}

func TestSend_QuietStillNamesTheRefused(t *testing.T) {
	r, _ := sendTo(t, sendHello+"C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 550 no\nS: 503 no\nC: QUIT\n", plainMessage, "-q", "a@example.org")
	wantResult(t, r, 67, "", "mail: SERVER: a@example.org: 550 no\n")
}

func TestSend_JSON(t *testing.T) {
	r, _ := sendTo(t, sendHello+`C: MAIL *
		C: RCPT *
		C: RCPT *
		C: RCPT *
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 550 5.1.1 no
		S: 450 4.2.1 later
		S: 354 go
		C.
		S: 250 2.0.0 queued as 17
		C: QUIT
	`, plainMessage, "--json", "a@example.org", "b@example.org", "c@example.org")
	want := `{"recipient":"a@example.org","status":"accepted","phase":"final","code":250,"enhanced":"2.0.0","text":"queued as 17","server":"SERVER","message":1,"messageId":"m1@example.org"}
{"recipient":"b@example.org","status":"refused","phase":"rcpt","code":550,"enhanced":"5.1.1","text":"no","server":"SERVER","message":1,"messageId":"m1@example.org"}
{"recipient":"c@example.org","status":"deferred","phase":"rcpt","code":450,"enhanced":"4.2.1","text":"later","server":"SERVER","message":1,"messageId":"m1@example.org"}
`
	wantResult(t, r, 4, want, "mail: SERVER: b@example.org: 550 5.1.1 no\nmail: SERVER: c@example.org: 450 4.2.1 later\n")
	for _, line := range strings.Split(strings.TrimSpace(r.stdout), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestSend_NothingIsConnectedTo(t *testing.T) {
	nobody := "smtp+plain://127.0.0.1:9" // a connection would end with 75
	dir := t.TempDir()
	for _, tc := range []struct {
		name, stdin string
		words       []string
		code        int
		stderr      string
	}{
		{"bare CR", "From: a@example.org\nTo: b@example.org\n\nx\ry\n", nil, 65, "CR"},
		{"octet 0", "From: a@example.org\nTo: b@example.org\n\nx\x00y\n", nil, 65, "octet 0"},
		{"no recipient", "From: a@example.org\n\nx\n", nil, 65, "no recipient"},
		{"no sender", "To: a@example.org\n\nx\n", nil, 65, "who sends it"},
		{"ambiguous recipient", "From: a@example.org\nTo: Doe, John <j@example.org>\n\nx\n", nil, 65, "To"},
		{"two authors", "From: a@example.org, b@example.org\nTo: b@example.org\n\nx\n", nil, 65, "From"},
		{"empty input", "", []string{"b@example.org"}, 65, "no message"},
		{"recipient with a line end", plainMessage, []string{"a@example.org>\r\nRCPT TO:<eve@example.org"}, 65, ""},
		{"quoted recipient with a line end", plainMessage, []string{"\"a\r\n\"@example.org"}, 65, ""},
		{"sender with a line end", plainMessage, []string{"-f", "a@example.org>\r\nRCPT TO:<eve@example.org", "b@example.org"}, 65, "-f"},
		{"two senders", plainMessage, []string{"-f", "a@example.org, b@example.org", "b@example.org"}, 65, "-f"},
		{"attachment", "x", []string{"-s", "x", "--from", "a@example.org", "--to", "b@example.org", "--attach", dir + "/none*"}, 66, "nothing matches"},
		{"one attachment of two", "x", []string{"-s", "x", "--from", "a@example.org", "--to", "b@example.org", "--attach", "send.go", "--attach", dir + "/x.pdf"}, 66, "nothing matches"},
		{"attachment is a folder", "x", []string{"-s", "x", "--from", "a@example.org", "--to", "b@example.org", "--attach", dir}, 74, "is a directory"},
		{"HTML file", "x", []string{"--html", dir + "/none", "--from", "a@example.org", "--to", "b@example.org"}, 66, "none"},
		{"composing without a sender", "x", []string{"-s", "x", "--to", "b@example.org"}, 64, "who sends it"},
		{"composing without a recipient", "x", []string{"-s", "x", "--from", "b@example.org"}, 65, "no recipient"},
		{"bad --to", "x", []string{"-s", "x", "--from", "b@example.org", "--to", "nonsense@@"}, 65, "To"},
		{"--to with a line end", "x", []string{"-s", "x", "--from", "b@example.org", "--to", "a@example.org\nBcc: eve@example.org"}, 65, "To"},
		{"--header with a line end", "x", []string{"--header", "X-A: b\nBcc: eve@example.org", "--from", "b@example.org", "--to", "a@example.org"}, 65, "X-A"},
		{"--header without a name", "x", []string{"--header", "nonsense", "--from", "b@example.org", "--to", "a@example.org"}, 64, "NAME: TEXT"},
		{"--header with an option of its own", "x", []string{"--header", "To: eve@example.org", "--from", "b@example.org", "--to", "a@example.org"}, 64, "--to"},
		{"--header of MIME", "x", []string{"--header", "Content-Type: text/html", "--from", "b@example.org", "--to", "a@example.org"}, 65, "Content-Type"},
		{"--in-reply-to", "x", []string{"--in-reply-to", "<a@b> <c@d>", "--from", "b@example.org", "--to", "a@example.org"}, 64, "Message-ID"},
		{"--dsn", plainMessage, []string{"--dsn", "sometimes", "b@example.org"}, 64, "sometimes"},
		{"--ret", plainMessage, []string{"--ret", "some", "b@example.org"}, 64, "full or hdrs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := sendWith(t, tc.stdin, append([]string{"--server", nobody}, tc.words...)...)
			if r.code != tc.code || r.stdout != "" || !strings.Contains(r.stderr, tc.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q; want %d and %q", r.code, r.stdout, r.stderr, tc.code, tc.stderr)
			}
			if strings.Count(r.stderr, "\n") != strings.Count(r.stderr, "mail: ") {
				t.Errorf("a line of stderr does not begin with mail: %q", r.stderr)
			}
		})
	}
}

func TestSend_Terminal(t *testing.T) {
	e, _, stderr := testEnv("")
	e.stdinTTY = true
	code := run(context.Background(), e, []string{"mail", "send", "--server", "smtp+plain://127.0.0.1:9", "bob@example.org"})
	if code != 64 || !strings.Contains(stderr.String(), "hint") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestSend_DryRun(t *testing.T) {
	r := sendWith(t, plainMessage, "--server", "smtp+plain://127.0.0.1:9", "--dry-run")
	wantResult(t, r, 0, "", "mail: would send to 127.0.0.1:9: <m1@example.org>, 182 octets\nmail: from <alice@example.org>\n"+
		"mail: to <bob@example.org>\nmail: to <carol@example.org>\nmail: to <eve@example.org>\n")
}

func TestSend_Compose(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	page, logo := file("page.html", "<img src=cid:logo.png>"), file("logo.png", "\x89PNG\r\n\x1a\n")
	file("a1.txt", "one\n")
	file("a2.txt", "two\n")
	r, got := sendTo(t, sendHello+`C: MAIL FROM:<alice@example.org> SIZE=*
		C: RCPT TO:<bob@example.org>
		C: RCPT TO:<dave@example.org>
		C: RCPT TO:<carol@example.org>
		C: RCPT TO:<eve@example.org>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 354 go
		C.
		S: 250 queued
		C: QUIT
	`, "the text\n", "-s", "Grüße\nBcc: x", "--from", "Alice Müller <alice@example.org>", "--to", `"Builder, Bob" <bob@example.org>`, "--cc", "carol@example.org",
		"--bcc", "eve@example.org", "--reply-to", "replies@example.org", "--in-reply-to", "m1@example.org", "--header", "X-Job: nächtlich",
		"--text", "-", "--html", page, "--inline", logo, "--attach", dir+"/a*.txt", "dave@example.org")
	wantResult(t, r, 0, "", "")
	if len(got.Bodies()) != 1 {
		t.Fatal("nothing was sent")
	}
	text := string(got.Bodies()[0])
	for _, want := range []string{
		"To: \"Builder, Bob\" <bob@example.org>, dave@example.org\r\n", "Cc: carol@example.org\r\n", "Reply-To: replies@example.org\r\n",
		"In-Reply-To: <m1@example.org>\r\n", "References: <m1@example.org>\r\n", "MIME-Version: 1.0\r\n", "multipart/mixed", "multipart/related",
		"multipart/alternative", "the text\r\n", "filename=a1.txt", "filename=a2.txt", "Content-ID: <logo.png>", "Date: Fri, 15 Jan 2027",
		"Message-ID: <",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, bad := range []string{"\r\nBcc", "eve@example.org", "ü", "ä"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q was sent:\n%s", bad, text)
		}
	}
}

func TestSend_PrintCanBeSent(t *testing.T) {
	printed := sendWith(t, "hello\n", "--print", "-s", "x", "--from", "alice@example.org", "--to", "bob@example.org", "--bcc", "eve@example.org")
	if printed.code != 0 || printed.stderr != "" || !strings.Contains(printed.stdout, "Bcc: eve@example.org\n") || strings.Contains(printed.stdout, "\r") {
		t.Fatalf("%+v", printed)
	}
	r, got := sendTo(t, sendHello+"C: MAIL *\nC: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n", printed.stdout)
	wantResult(t, r, 0, "", "")
	if bytes.Contains(got.Bodies()[0], []byte("eve")) {
		t.Error("Bcc was sent")
	}
}

func TestSend_DSN(t *testing.T) {
	r, _ := sendTo(t, "S: 220 mx\nC: EHLO us.example.org\nS: 250-mx\nS: 250 DSN\n"+`C: MAIL FROM:<alice@example.org> RET=HDRS ENVID=job+2B7
		S: 250 ok
		C: RCPT TO:<a@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@example.org
		S: 250 ok
		C: DATA
		S: 354 go
		C.
		S: 250 ok
		C: QUIT
	`, plainMessage, "--dsn", "success,delay", "--ret", "hdrs", "--envid", "job+7", "--helo", "us.example.org", "a@example.org")
	wantResult(t, r, 0, "", "")
	r, _ = sendTo(t, sendHello+"C: MAIL FROM:<alice@example.org> SIZE=*\nC: RCPT TO:<a@example.org>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n",
		plainMessage, "--dsn", "never", "a@example.org")
	if r.code != 0 || !strings.Contains(r.stderr, "DSN") {
		t.Errorf("a server without DSN: %+v", r)
	}
}

func TestSend_OnPartialAbort(t *testing.T) {
	r, _ := sendTo(t, sendHello+"C: MAIL *\nC: RCPT *\nC: RCPT *\nS: 250 ok\nS: 250 ok\nS: 550 no\nC: QUIT\n", plainMessage, "--on-partial", "abort", "a@example.org", "b@example.org")
	if r.code != 67 || !strings.Contains(r.stderr, "b@example.org: 550 no") {
		t.Errorf("%+v", r)
	}
}

func TestSend_NotForThisServer(t *testing.T) {
	hello := "S: 220 mx\nC: EHLO localhost\nS: 250-mx\nS: 250 SIZE 160\nC: QUIT\n"
	for _, tc := range []struct{ name, stdin, word string }{
		{"size", plainMessage, "160"},
		{"8-bit and signed", "From: a@example.org\nTo: b@example.org\nDKIM-Signature: v=1\n\nh\xc3\xb6\n", "signed"},
		{"header", "From: a@example.org\nSubject: h\xc3\xb6\nTo: b@example.org\n\n\n", "8BITMIME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, _ := sendTo(t, hello, tc.stdin)
			if r.code != 76 || !strings.Contains(r.stderr, tc.word) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestSend_Downgrade(t *testing.T) {
	r, got := sendTo(t, "S: 220 mx\nC: EHLO localhost\nS: 250 mx\nC: MAIL FROM:<a@example.org>\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n",
		"From: a@example.org\nTo: b@example.org\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nhello w\xc3\xb6rld, this is text\n")
	wantResult(t, r, 0, "", "")
	if b := got.Bodies(); len(b) != 1 || !strings.Contains(string(b[0]), "Content-Transfer-Encoding: quoted-printable\r\n") || !strings.HasSuffix(string(b[0]), "\r\nhello w=C3=B6rld, this is text\r\n") {
		t.Errorf("sent %q, want it converted to quoted-printable", b)
	}
}

func stream(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "From x Mon Jan  1 00:00:00 2024\nFrom: alice@example.org\nTo: u%d@example.org\nDate: today\nMessage-ID: <m%d@example.org>\n\ntext %d\n\n", i, i, i)
	}
	return b.String()
}

func TestSend_StreamOverOneConnection(t *testing.T) {
	var script strings.Builder
	script.WriteString("S: 220 mx\nC: EHLO localhost\nS: 250-mx\nS: 250-PIPELINING\nS: 250 CHUNKING\n")
	const n = 20
	for i := range n {
		if i > 0 {
			script.WriteString("C: RSET\n")
		}
		fmt.Fprintf(&script, "C: MAIL *\nC: RCPT TO:<u%d@example.org>\nC: BDAT $n LAST\nC{$n}\n", i)
	}
	for i := range n {
		if i > 0 {
			script.WriteString("S: 250 reset\n")
		}
		rcpt := "250 ok"
		if i == 5 {
			rcpt = "550 no"
		}
		script.WriteString("S: 250 ok\nS: " + rcpt + "\nS: 250 queued\n")
	}
	script.WriteString("C: QUIT\n")
	r, got := sendTo(t, script.String(), stream(n))
	wantResult(t, r, 4, "", "mail: SERVER: message 6: u5@example.org: 550 no\n")
	if b := got.Bodies(); len(b) != n || !bytes.HasSuffix(b[n-1], []byte("text 19\r\n")) {
		t.Errorf("%d messages arrived", len(b))
	}
}

func TestSend_StreamWithBadMessage(t *testing.T) {
	in := stream(3)
	in = strings.Replace(in, "text 1\n", "te\rxt 1\n", 1)
	one := "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\n"
	// The envelope of the second message travels with the text of the first.
	two := "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 queued\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 queued\n"
	r, got := sendTo(t, sendHello+one+two+"C: QUIT\n", in)
	if r.code != 65 || len(got.Bodies()) != 2 || !strings.Contains(r.stderr, "CR") {
		t.Errorf("%d sent, %+v", len(got.Bodies()), r)
	}
}

func TestSend_StreamOverSecondConnection(t *testing.T) {
	hello := "S: 220 mx\nC: EHLO *\nS: 250 mx\n"
	one := "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 queued\n"
	r, got := sendTo(t, hello+one+one+"C: MAIL *\nS: 421 enough for one connection\nCLOSE\nCONN\n"+hello+one+one+"C: QUIT\n", stream(4))
	wantResult(t, r, 0, "", "")
	if len(got.Bodies()) != 4 {
		t.Errorf("%d sent", len(got.Bodies()))
	}
	// LIMITS MAILMAX: not one message too many.
	limited := "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 LIMITS RCPTMAX=100 MAILMAX=2\n"
	r, got = sendTo(t, limited+one+one+"C: QUIT\nCONN\n"+limited+one+"C: QUIT\n", stream(3))
	wantResult(t, r, 0, "", "")
	if len(got.Bodies()) != 3 {
		t.Errorf("with a limit: %d sent", len(got.Bodies()))
	}
}

func TestSend_MoreRecipientsThanATransactionTakes(t *testing.T) {
	r, got := sendTo(t, sendHello+`C: MAIL *
		C: RCPT TO:<a@example.org>
		C: RCPT TO:<b@example.org>
		C: RCPT TO:<c@example.org>
		C: RCPT TO:<d@example.org>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 550 no
		S: 452 4.5.3 too many
		S: 452 4.5.3 too many
		S: 354 go
		C.
		S: 250 queued
		C: MAIL *
		C: RCPT TO:<c@example.org>
		C: RCPT TO:<d@example.org>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 552 5.5.3 too many
		S: 354 go
		C.
		S: 250 queued
		C: MAIL *
		C: RCPT TO:<d@example.org>
		C: DATA
		S: 250 ok
		S: 452 4.5.3 too many
		S: 554 nobody
		C: QUIT
	`, plainMessage, "a@example.org", "b@example.org", "c@example.org", "d@example.org")
	wantResult(t, r, 4, "", "mail: SERVER: b@example.org: 550 no\nmail: SERVER: d@example.org: 452 4.5.3 too many\n")
	if b := got.Bodies(); len(b) != 2 || !bytes.Equal(b[0], b[1]) {
		t.Errorf("%d messages arrived", len(b))
	}
}

func TestSend_StreamServerGone(t *testing.T) {
	hello := "S: 220 mx\nC: EHLO *\nS: 250 mx\n"
	one := "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 queued\n"
	r, got := sendTo(t, hello+one+"CLOSE\nCONN\n"+hello+"CLOSE\n", stream(4))
	if r.code != 4 || len(got.Bodies()) != 1 || !strings.Contains(r.stderr, "closed by the server") || !strings.Contains(r.stderr, "rest of the messages") {
		t.Errorf("%d sent, %+v", len(got.Bodies()), r)
	}
}

func TestSend_Security(t *testing.T) {
	pass := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(pass, []byte("canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := []string{"--user", "alice", "--password-file", pass}
	ca := wiretest.CA(t).File
	starttls := "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
	for _, tc := range []struct {
		name, scheme, script string
		words                []string
		code                 int
	}{
		{"all is well", "smtp", starttls + "TLS\nC: EHLO *\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 235 ok\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\nS: 250 ok\nC: QUIT\n", append(login, "--ca-file", ca), 0},
		{"no STARTTLS", "smtp", "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 AUTH PLAIN\n", login, 76},
		{"STARTTLS refused for now", "smtp", "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no\nHANG\n", login, 75},
		{"injection", "smtp", "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS> \"220 go\\r\\n250 x\\r\\n\"\nHANG\n", login, 76},
		{"unknown authority", "smtp", starttls + "TLSFAIL\n", login, 78},
		{"wrong name", "smtp", starttls + "TLSFAIL wrong-name\n", append(login, "--ca-file", ca), 78},
		{"wrong password", "smtp", starttls + "TLS\nC: EHLO *\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 535 5.7.8 no\nC: QUIT\n", append(login, "--ca-file", ca), 77},
		{"login put off", "smtp", starttls + "TLS\nC: EHLO *\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 454 4.7.0 no\nC: QUIT\n", append(login, "--ca-file", ca), 75},
		{"TLS on a cleartext port", "smtps", "S: 220 mx\nHANG\n", login, 76},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got wiretest.Captured
			addr := wiretest.Serve(t, tc.script, wiretest.Capture(&got))
			r := sendWith(t, plainMessage, append([]string{"--server", tc.scheme + "://" + addr, "-vvv", "bob@example.org"}, tc.words...)...)
			if r.code != tc.code || r.stdout != "" {
				t.Errorf("exit %d, want %d; %+v", r.code, tc.code, r)
			}
			if all := r.stderr; strings.Contains(all, "canary") || strings.Contains(all, "Y2FuYXJ5") || strings.Contains(all, "AGFsaWNlAGNhbmFyeQ") {
				t.Errorf("the password is shown:\n%s", all)
			}
		})
	}
}

func TestSend_LMTP(t *testing.T) {
	addr := wiretest.Serve(t, "S: 220 ready\nC: LHLO localhost\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<alice@example.org>\nC: RCPT TO:<bob>\nC: RCPT TO:<carol>\nC: DATA\n"+
		"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 2.0.0 delivered\nS: 552 5.2.2 full\nC: QUIT\n")
	r := sendWith(t, plainMessage, "--server", "lmtp+plain://"+addr, "bob", "carol").hide(addr)
	wantResult(t, r, 4, "", "mail: SERVER: carol: 552 5.2.2 full\n")
}

// sent is a connection that keeps what is written.
type sent struct {
	net.Conn
	text []byte
}

func (s *sent) Write(p []byte) (int, error) { s.text = append(s.text, p...); return len(p), nil }
func (s *sent) Close() error                { return nil }

// TestD4_FromFileToWire takes every file over {CR, LF, dot, x} through the conversion and the dot-stuffing: a strict
// reader finds exactly one end, at the end, and the text of the file. A CR that stands alone is refused.
func TestD4_FromFileToWire(t *testing.T) {
	longest := 10
	if testing.Short() {
		longest = 8
	}
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	nc := &sent{Conn: near}
	var c *wire.Conn
	tried := 0
	for n := range longest + 1 {
		buf := make([]byte, n)
		for i := range 1 << (2 * n) {
			for j := range n {
				buf[j] = "\r\n.x"[i>>(2*j)&3]
			}
			text := string(buf)
			unix := strings.ReplaceAll(text, "\r\n", "\n")
			bare := strings.Contains(unix, "\r")
			if bare && n > 6 {
				continue // refused before it comes here, and each costs a connection
			}
			if c == nil {
				c = wire.NewConn(nc, nil)
			}
			tried++
			nc.text = nc.text[:0]
			_, err := c.WriteDot(message.ToWire(strings.NewReader(text)))
			if err == nil {
				err = c.Flush()
			}
			if bare {
				if err == nil || bytes.HasSuffix(nc.text, []byte("\r\n.\r\n")) {
					t.Fatalf("%q: %v, sent %q", text, err, nc.text)
				}
				c = nil
				continue
			}
			if unix != "" && !strings.HasSuffix(unix, "\n") {
				unix += "\n"
			}
			if got, ok := strictText(nc.text); err != nil || !ok || got != strings.ReplaceAll(unix, "\n", "\r\n") {
				t.Fatalf("%q: %v, sent %q", text, err, nc.text)
			}
		}
	}
	t.Logf("%d texts", tried)
}

// strictText reads a text up to CRLF.CRLF, which must be its end and stand nowhere else.
func strictText(p []byte) (string, bool) {
	all := "\r\n" + string(p)
	i := strings.Index(all, "\r\n.\r\n")
	if i < 0 || i+5 != len(all) || strings.Contains(strings.ReplaceAll(all, "\r\n", ""), "\n") || strings.Contains(strings.ReplaceAll(all, "\r\n", ""), "\r") {
		return "", false
	}
	return strings.ReplaceAll(all[:i+2], "\r\n.", "\r\n")[2:], true
}
