package interop

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// sendmail puts the binary under its old names into the folder, with an account that sends through the system, and
// returns its path as sendmail. Programs started by m find it in their PATH first.
func (m *mailSystem) sendmail() string {
	m.t.Helper()
	binary := Binary(m.t)
	for _, name := range []string{"sendmail", "mailx", "mail"} {
		require(m.t, os.Symlink(binary, filepath.Join(m.dir, name)))
	}
	m.write("password", "ses ame\n")
	m.t.Setenv("MAIL_CONFIG", m.config("config.toml", `[account.work]
smtp     = "smtps://alice@localhost:$smtps"
password = { file = "$dir/password" }
ca-file  = "$ca"
`))
	require(m.t, os.Chmod(filepath.Join(m.dir, "config.toml"), 0o600))
	require(m.t, os.Chmod(filepath.Join(m.dir, "password"), 0o600))
	m.t.Setenv("PATH", m.dir+":"+os.Getenv("PATH"))
	m.t.Setenv("LOGNAME", "carol")
	return filepath.Join(m.dir, "sendmail")
}

// envelopes are the sender and the recipients of each message in the INBOX, as the server noted them.
func (m *mailSystem) envelopes() (out []string) {
	for _, text := range m.texts("INBOX") {
		from, _, _ := strings.Cut(text, "\r\nReceived: ")
		out = append(out, strings.NewReplacer("Return-Path: ", "", "\r\nDelivered-To:", "").Replace(from))
	}
	return out
}

// last is the newest message without the lines of the server, of n that there must be.
func (m *mailSystem) last(n int) string {
	m.t.Helper()
	got := m.delivered()
	if len(got) != n {
		m.t.Fatalf("%d messages arrived, want %d", len(got), n)
	}
	return got[n-1]
}

// refusing is a server on which some recipients are refused.
func refusing(o *server.Options) {
	o.Faults = &server.Rules{List: []server.Rule{
		{Command: "RCPT", Arg: "nobody@*", Strike: server.Strike{Reply: "550 5.1.1 no such user"}},
		{Command: "RCPT", Arg: "later@*", Strike: server.Strike{Reply: "450 4.2.1 not now"}},
	}}
}

// trickyBody has what senders stumble over.
const trickyBody = ".\n..\n.x\nFrom here\n>From there\nGrüße\n\n \nend\n.\nafter the dot\n"

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// TestSendmail_GitSendEmail has git send a patch by a path and by a command.
func TestSendmail_GitSendEmail(t *testing.T) {
	m := serveAll(t, refusing)
	m.needPerl("Mail::Address")
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(m.run("", "git", "--exec-path")), "git-send-email")); err != nil {
		t.Skip("git send-email is not installed")
	}
	path := m.sendmail()
	patch := m.write("0001.patch", "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Alice <alice@example.org>\n"+
		"Date: Mon, 2 Nov 2026 10:00:00 +0000\nSubject: [PATCH] dots\n\nWhy.\n---\n a | 1 +\n 1 file changed, 1 insertion(+)\n\n"+
		"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,3 @@\n .\n+..\n .x\n.\n-- \n2.39.5\n")
	_, want, _ := strings.Cut(strings.Join(m.files("0001.patch"), ""), "\n\n")
	args := []string{"-c", "user.name=Alice", "-c", "user.email=alice@example.org", "send-email", "--from", "Alice <alice@example.org>", "--confirm", "never",
		"--suppress-cc", "all", "--no-validate", "--envelope-sender", "bounces@example.org", "--to", "bob@example.org", "--cc", "Carol <carol@example.org>"}
	for i, by := range []string{"sendemail.smtpServer=" + path, "sendemail.sendmailCmd=mail sendmail -i"} {
		m.run("", "git", append(append([]string{"-c", by}, args...), patch)...)
		_, body, _ := strings.Cut(m.last(i+1), "\r\n\r\n")
		same(t, by, []byte(body), []byte(crlf(want)))
		if got, want := m.envelopes()[i], "<bounces@example.org> bob@example.org carol@example.org"; got != want {
			t.Errorf("%s: envelope %q, want %q", by, got, want)
		}
		if out, status := m.try("", "git", append(append([]string{"-c", by}, args...), "--to", "nobody@example.org", patch)...); status == 0 {
			t.Errorf("%s: status 0 though a recipient was refused\n%s", by, out)
		}
		m.wipe(i + 1)
	}
}

// wipe takes the messages after the first n out of the INBOX.
func (m *mailSystem) wipe(n int) {
	m.t.Helper()
	box := m.mailbox("alice", "INBOX")
	var uids []uint32
	for _, info := range box.Messages()[n:] {
		uids = append(uids, info.UID)
	}
	_, err := box.Expunge(uids)
	require(m.t, err)
}

// TestSendmail_Callers runs sendmail with the words and the input that programs give it.
func TestSendmail_Callers(t *testing.T) {
	m := serveAll(t, refusing)
	m.sendmail()
	host, err := os.Hostname()
	require(t, err)
	header := "From: Alice <alice@example.org>\nTo: bob@example.org\nDate: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID: <m@example.org>\nSubject: x\n"
	cron := "From: root (Cron Daemon)\nTo: alice\nSubject: Cron <alice@host> make report\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n" +
		"Content-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\n"
	for _, tc := range []struct {
		name, stdin string
		argv        []string
		status      int
		envelope    string // "": nothing arrives
		body        string
	}{
		{"cron of Debian", cron + trickyBody, []string{"-i", "-FCronDaemon", "-B8BITMIME", "-oem", "alice"}, 0, "<root@" + host + "> alice@" + host, trickyBody},
		{"cronie", cron + trickyBody, []string{"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"}, 0, "<root@" + host + "> alice@" + host, trickyBody},
		{"crond of busybox", "To: alice\nSubject: cron: make report\n\n" + trickyBody, []string{"-ti"}, 0, "<carol@" + host + "> alice@" + host, trickyBody},
		{"PHP", header + "\n" + trickyBody, []string{"-t", "-i"}, 0, "<alice@example.org> bob@example.org", trickyBody},
		{"PHP with a sender", header + "\n" + trickyBody, []string{"-t", "-i", "-fwww@example.org"}, 0, "<www@example.org> bob@example.org", trickyBody},
		{"lines that end in CRLF", crlf(header + "\n" + trickyBody), []string{"-t", "-oi"}, 0, "<alice@example.org> bob@example.org", trickyBody},
		{"a dot ends it", header + "\na\n.\nb\n", []string{"bob@example.org"}, 0, "<alice@example.org> bob@example.org", "a\n"},
		{"smartd", header + "\nx\n", []string{"-oi", "--", "bob@example.org", "dave@example.org"}, 0, "<alice@example.org> bob@example.org dave@example.org", "x\n"},
		{"bounce", header + "\nx\n", []string{"-oi", "-f", "<>", "bob@example.org"}, 0, "<> bob@example.org", "x\n"},
		{"one refused", header + "\nx\n", []string{"-i", "bob@example.org", "nobody@example.org"}, 4, "<alice@example.org> bob@example.org", "x\n"},
		{"all refused", header + "\nx\n", []string{"-i", "nobody@example.org"}, 67, "", ""},
		{"put off", header + "\nx\n", []string{"-i", "later@example.org"}, 75, "", ""},
		{"put off and refused", header + "\nx\n", []string{"-i", "later@example.org", "nobody@example.org"}, 75, "", ""},
		{"nobody to send to", "Subject: x\n\nx\n", []string{"-t"}, 65, "", ""},
		{"daemon", "", []string{"-bd"}, 64, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := m.in(t)
			m.wipe(0)
			out, status := m.try(tc.stdin, "sendmail", tc.argv...)
			if status != tc.status {
				t.Errorf("status %d, want %d\n%s", status, tc.status, out)
			}
			if got := strings.Join(m.envelopes(), "; "); got != tc.envelope {
				t.Fatalf("envelopes %q, want %q\n%s", got, tc.envelope, out)
			}
			if tc.envelope != "" {
				_, body, _ := strings.Cut(m.last(1), "\r\n\r\n")
				same(t, "text", []byte(body), []byte(crlf(tc.body)))
			}
		})
	}
}

// TestSendmail_Mutt has mutt send a file through sendmail.
func TestSendmail_Mutt(t *testing.T) {
	m := serveAll(t, refusing)
	path := m.sendmail()
	rc := m.write("muttrc", fmt.Sprintf("set sendmail=%q\nset from=\"alice@example.org\" realname=Alice use_envelope_from=yes copy=no charset=utf-8 send_charset=utf-8 sendmail_wait=0\n"+
		"set hostname=example.org\n", path+" -oem -oi"))
	data := m.write("data.bin", octets())
	m.run(trickyBody, "mutt", "-F", rc, "-n", "-s", "Überraschung", "-a", data, "-c", "carol@example.org", "-b", "dave@example.org", "--", "bob@example.org")
	header, contents := parts(t, m.last(1))
	same(t, "text", []byte(contents[""]), []byte(crlf(trickyBody)))
	same(t, "attachment", []byte(contents["data.bin"]), []byte(octets()))
	if header.Get("Bcc") != "" {
		t.Errorf("Bcc was sent: %q", header.Get("Bcc"))
	}
	if got, want := m.envelopes()[0], "<alice@example.org> bob@example.org carol@example.org dave@example.org"; got != want {
		t.Errorf("envelope %q, want %q", got, want)
	}
	if out, status := m.try("x\n", "mutt", "-F", rc, "-n", "-s", "x", "--", "nobody@example.org"); status == 0 {
		t.Errorf("status 0 though the recipient was refused\n%s", out)
	}
}

// TestSendmail_Snail has s-nail send through sendmail.
func TestSendmail_Snail(t *testing.T) {
	m := serveAll(t, refusing)
	path := m.sendmail()
	m.t.Setenv("MAILRC", m.write("mailrc", "set v15-compat from=alice@example.org hostname=example.org DEAD=/dev/null sendcharsets=utf-8 sendwait\n"))
	data := m.write("data.bin", octets())
	m.run(trickyBody, "s-nail", "-:u", "-S", "mta="+path, "-s", "Überraschung", "-a", data, "-c", "carol@example.org", "-b", "dave@example.org", "bob@example.org")
	_, contents := parts(t, m.last(1))
	same(t, "text", []byte(contents[""]), []byte(crlf(trickyBody)))
	same(t, "attachment", []byte(contents["data.bin"]), []byte(octets()))
	if got, want := m.envelopes()[0], "<alice@example.org> bob@example.org carol@example.org dave@example.org"; got != want {
		t.Errorf("envelope %q, want %q", got, want)
	}
	if out, status := m.try("x\n", "s-nail", "-:u", "-S", "mta="+path, "-s", "x", "nobody@example.org"); status == 0 {
		t.Errorf("status 0 though the recipient was refused\n%s", out)
	}
}

// TestSendmail_Mailx sends by the command lines that scripts have, as mail and as mailx.
func TestSendmail_Mailx(t *testing.T) {
	m := serveAll(t, refusing)
	m.sendmail()
	data := m.write("data.bin", octets())
	for _, name := range []string{"mail", "mailx"} {
		m.wipe(0)
		m.run(trickyBody, name, "-s", "nächtlich", "-c", "carol@example.org", "-b", "dave@example.org", "-r", "alice@example.org", "-A", data, "bob@example.org", "eve@example.org")
		header, contents := parts(t, m.last(1))
		same(t, name+": text", []byte(contents[""]), []byte(crlf(trickyBody)))
		same(t, name+": attachment", []byte(contents["data.bin"]), []byte(octets()))
		if header.Get("Bcc") != "" || header.Get("To") != "bob@example.org, eve@example.org" {
			t.Errorf("%s: header %v", name, header)
		}
		if got, want := m.envelopes()[0], "<alice@example.org> bob@example.org eve@example.org carol@example.org dave@example.org"; got != want {
			t.Errorf("%s: envelope %q, want %q", name, got, want)
		}
		if out, status := m.try("", name, "-E", "-s", "nothing", "bob@example.org"); status != 0 || len(m.delivered()) != 1 {
			t.Errorf("%s -E: status %d\n%s", name, status, out)
		}
		if out, status := m.try("x\n", name, "-s", "x", "nobody@example.org"); status != 67 {
			t.Errorf("%s: refused: status %d, want 67\n%s", name, status, out)
		}
	}
}

// TestSendmail_Python has Python's smtplib speak to sendmail -bs over a pair of sockets.
func TestSendmail_Python(t *testing.T) {
	m := serveAll(t, refusing)
	path := m.sendmail()
	m.write("text", crlf("From: alice@example.org\nDate: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID: <m@example.org>\n\n"+trickyBody))
	script := `
import smtplib, socket, subprocess, sys
ours, theirs = socket.socketpair()
p = subprocess.Popen([sys.argv[1], "-bs"], stdin=theirs, stdout=theirs)
theirs.close()
class Pipe(smtplib.SMTP):
    def _get_socket(self, host, port, timeout): return ours
text = open("text", "rb").read()
s = Pipe("pipe", local_hostname="client.example.org")
s.ehlo()
assert s.has_extn("8bitmime") and s.has_extn("smtputf8") and s.has_extn("size") and not s.has_extn("starttls") and not s.has_extn("auth"), s.esmtp_features
for _ in range(3):
    assert s.sendmail("alice@example.org", ["bob@example.org", "dave@example.org"], text, ["BODY=8BITMIME"]) == {}
for rcpt, code, words in (["bob@example.org", "nobody@example.org"], 554, b"nobody@example.org: 550 5.1.1 no such user"), (["later@example.org", "bob@example.org"], 451, b"later@example.org: 450 4.2.1 not now"):
    try:
        s.sendmail("alice@example.org", rcpt, text, ["BODY=8BITMIME"])
        assert False, "no error"
    except smtplib.SMTPDataError as e:
        assert e.smtp_code == code and words in e.smtp_error, e
assert s.sendmail("root", ["dave@example.org"], text, ["BODY=8BITMIME"]) == {}
assert s.quit()[0] == 221
assert p.wait(20) == 0, p.returncode
print("fine")
`
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := m.command("", python, "-c", script, path)
	cmd.Stderr = nil
	out, err := cmd.Output()
	if err != nil || string(out) != "fine\n" {
		t.Fatalf("%v\n%s\n%v", err, out, cmd)
	}
	host, err := os.Hostname()
	require(t, err)
	both := "<alice@example.org> bob@example.org dave@example.org"
	sameList(t, "envelopes", m.envelopes(), []string{both, both, both, "<root@" + host + "> dave@example.org"})
	for i, text := range m.delivered() {
		_, body, _ := strings.Cut(text, "\r\n\r\n")
		same(t, fmt.Sprintf("text %d", i), []byte(body), []byte(crlf(trickyBody)))
	}
}

// TestSendmail_Signal ends sendmail -bs while it waits for its client.
func TestSendmail_Signal(t *testing.T) {
	m := serveAll(t, nil)
	cmd := m.command("", m.sendmail(), "-bs")
	cmd.Stdin = nil
	in, err := cmd.StdinPipe()
	require(t, err)
	out, err := cmd.StdoutPipe()
	require(t, err)
	require(t, cmd.Start())
	greeting, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(greeting, "220 ") {
		t.Errorf("greeting %q, %v", greeting, err)
	}
	require(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	_ = in.Close()
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("status %d after SIGTERM, want 143", code)
	}
}

// TestSendmail_PHP has PHP's mail() send.
func TestSendmail_PHP(t *testing.T) {
	m := serveAll(t, refusing)
	path := m.sendmail()
	m.write("text", trickyBody)
	script := `exit(mail($argv[1], "Betreff", file_get_contents("text"), "From: Alice <alice@example.org>\r\nBcc: dave@example.org", "-fwww@example.org") ? 0 : 1);`
	send := func(to string) (string, int) {
		return m.try("", "php", "-n", "-d", "sendmail_path="+path+" -t -i", "-r", script, to)
	}
	if out, status := send("bob@example.org"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	header, body, _ := strings.Cut(m.last(1), "\r\n\r\n")
	same(t, "text", []byte(body), []byte(crlf(trickyBody+"\n"))) // PHP adds a line end
	if !strings.Contains(header, "Subject: Betreff\r\n") || strings.Contains(header, "dave") {
		t.Errorf("header %q", header)
	}
	if got, want := m.envelopes()[0], "<www@example.org> bob@example.org dave@example.org"; got != want {
		t.Errorf("envelope %q, want %q", got, want)
	}
	if out, status := send("nobody@example.org"); status != 1 {
		t.Errorf("status %d though a recipient was refused\n%s", status, out)
	}
}

// TestSendmail_Postfix sends to a real server by sendmail and by sendmail -bs.
func TestSendmail_Postfix(t *testing.T) {
	user := Dovecot(t).AddUser(t)
	p := Postfix(t)
	m := serveAll(t, nil)
	m.sendmail()
	m.t.Setenv("MAIL_SMTP", "smtp+plain://"+p.SMTP)
	letter := "From: alice@example.org\nTo: " + user.Address + "\n\n"
	for _, tc := range []struct {
		rcpt   []string
		status int
		reply  string // to the text, by -bs
	}{
		{[]string{user.Address}, 0, "250 "}, {[]string{user.Address, Refused}, 4, "554 "}, {[]string{Refused}, 67, "554 5.1.1 "}, {[]string{Deferred}, 75, "451 4.2.1 "},
		{[]string{Refused, Deferred}, 75, "554 "}, {[]string{RefusedData}, 69, "554 5.7.1 "}, {[]string{DeferredData}, 75, "451 4.7.1 "},
	} {
		out, status := m.try(letter+trickyBody, "sendmail", append([]string{"-i"}, tc.rcpt...)...)
		if status != tc.status {
			t.Errorf("%q: status %d, want %d\n%s", tc.rcpt, status, tc.status, out)
		}
		session := "EHLO client\nMAIL FROM:<alice@example.org>\nRCPT TO:<" + strings.Join(tc.rcpt, ">\nRCPT TO:<") + ">\nDATA\n" + letter + "x\n.\nQUIT\n"
		cmd := m.command(crlf(session), "sendmail", "-bs")
		text, err := cmd.Output()
		replies := regexp.MustCompile(`(?m)^\d\d\d .*`).FindAllString(string(text), -1)
		if n := len(replies); err != nil || n != len(tc.rcpt)+6 || !strings.HasPrefix(replies[n-2], tc.reply) {
			t.Errorf("%q: %v, replies %q, want %q last but one", tc.rcpt, err, replies, tc.reply)
		}
	}
}
