package interop

import (
	"encoding/base64"
	"io"
	"mime"
	mimeparts "mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// parts decodes a message: its header and the contents of its parts by name, "" for what has no name.
func parts(t *testing.T, text string) (mail.Header, map[string]string) {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %.400q", err, text)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%v in %v", err, msg.Header)
	}
	out := map[string]string{}
	for r := mimeparts.NewReader(msg.Body, params["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return msg.Header, out
		}
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(p)
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			body = base64.NewDecoder(base64.StdEncoding, p)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out[p.FileName()] += string(data)
	}
}

// octets are all values of an octet, many times over.
func octets() string {
	var b strings.Builder
	for i := range 100_000 {
		b.WriteByte(byte(i * 7))
	}
	return b.String()
}

// TestServeMuttSend has mutt send a file by SMTPS and STARTTLS and put a copy into the Sent mailbox by IMAP.
func TestServeMuttSend(t *testing.T) {
	for _, url := range []string{"smtps://alice@localhost:$smtps/", "smtp://alice@localhost:$smtp/"} {
		t.Run(url[:5], func(t *testing.T) {
			m := serveAll(t, nil)
			data := m.write("data.bin", octets())
			rc := m.muttrc("imaps://alice@localhost:$imaps/", url)
			m.run("Grüße\n.\n.end\n", "mutt", "-F", rc, "-s", "Überraschung", "-a", data, "-c", "carol@example.org", "-b", "dave@example.org", "--", "bob@example.org")
			got := m.delivered()
			if len(got) != 1 {
				t.Fatalf("got %d messages, want 1", len(got))
			}
			header, contents := parts(t, got[0])
			for name, want := range map[string]string{
				"Subject": "Überraschung", "From": "Alice <alice@example.org>", "To": "bob@example.org", "Cc": "carol@example.org", "Bcc": "",
			} {
				if value, _ := new(mime.WordDecoder).DecodeHeader(header.Get(name)); value != want {
					t.Errorf("%s: got %q, want %q", name, value, want)
				}
			}
			same(t, "text", []byte(contents[""]), []byte("Grüße\r\n.\r\n.end\r\n"))
			same(t, "attachment", []byte(contents["data.bin"]), []byte(octets()))
			sent := m.texts("Sent")
			if len(sent) != 1 {
				t.Fatalf("got %d messages in Sent, want 1", len(sent))
			}
			_, contents = parts(t, sent[0])
			same(t, "attachment of the copy", []byte(contents["data.bin"]), []byte(octets()))
			sameList(t, "flags of the copy", m.flags("Sent"), []string{`\Seen`})
		})
	}
}

// needPerl skips the test unless Perl has these modules, which programs load when they need them.
func (m *mailSystem) needPerl(modules ...string) {
	m.t.Helper()
	for _, name := range modules {
		if _, status := m.try("", "perl", "-M"+name, "-e", "1"); status != 0 {
			m.t.Skipf("Perl's %s is not installed", name)
		}
	}
}

// TestServeSwaks has swaks send with each mechanism, over STARTTLS and TLS.
func TestServeSwaks(t *testing.T) {
	m := serveAll(t, nil)
	m.needPerl("Net::SSLeay", "Authen::SASL")
	text := letters()[0] + "end" // a dot in the last line would be taken for the end
	file := m.write("message", text)
	sent := 0
	for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		for _, c := range []struct{ listener, flag string }{{"smtp", "--tls"}, {"smtps", "--tls-on-connect"}} {
			t.Run(mech+" "+c.flag, func(t *testing.T) {
				m := m.in(t)
				args := []string{"--server", "localhost", "--port", m.port(c.listener), c.flag, "--tls-verify", "--helo", "client.example.org",
					"--auth", mech, "--auth-user", "alice", "--from", "alice@example.org", "--to", "bob@example.org,carol@example.org",
					"--data", "@" + file}
				trusting := append(args, "--tls-ca-path", m.ca)
				out := m.run("", "swaks", append(trusting, "--auth-password", "ses ame")...)
				sent++
				if got := m.delivered(); len(got) != sent {
					t.Errorf("got %d messages, want %d\n%s", len(got), sent, out)
				} else {
					same(t, "text", []byte(got[sent-1]), []byte(text+"\r\n"))
				}
				out, status := m.try("", "swaks", append(trusting, "--auth-password", "wrong")...)
				if status == 0 || !strings.Contains(out, "535 5.7.8") {
					t.Errorf("wrong password: status %d, want a reply 535 5.7.8\n%s", status, out)
				}
				m.wantRefusal("swaks", append(args, "--auth-password", "ses ame")...)
			})
		}
	}
}

// TestServeGitSendEmail has git send a patch by STARTTLS and TLS.
func TestServeGitSendEmail(t *testing.T) {
	for _, c := range []struct{ listener, encryption string }{{"smtp", "tls"}, {"smtps", "ssl"}} {
		t.Run(c.encryption, func(t *testing.T) {
			m := serveAll(t, nil)
			m.needPerl("Mail::Address", "IO::Socket::SSL", "Authen::SASL")
			if _, err := os.Stat(filepath.Join(strings.TrimSpace(m.run("", "git", "--exec-path")), "git-send-email")); err != nil {
				t.Skip("git send-email is not installed")
			}
			patch := m.write("0001.patch", "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: Alice <alice@example.org>\n"+
				"Date: Mon, 2 Nov 2026 10:00:00 +0000\nSubject: [PATCH] dots\n\nWhy.\n---\n a | 1 +\n 1 file changed, 1 insertion(+)\n\n"+
				"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,3 @@\n .\n+..\n .x\n-- \n2.39.5\n")
			args := []string{"-c", "user.name=Alice", "-c", "user.email=alice@example.org", "send-email", "--smtp-server", "localhost", "--smtp-server-port", m.port(c.listener), "--smtp-encryption", c.encryption,
				"--smtp-user", "alice", "--smtp-pass", "ses ame", "--from", "Alice <alice@example.org>", "--to", "bob@example.org", "--cc", "carol@example.org",
				"--confirm", "never", "--suppress-cc", "all", "--no-validate", "--smtp-ssl-cert-path"}
			out := m.run("", "git", append(args, m.ca, patch)...)
			got := m.delivered()
			if len(got) != 1 {
				t.Fatalf("got %d messages, want 1\n%s", len(got), out)
			}
			_, body, _ := strings.Cut(got[0], "\r\n\r\n")
			_, want, _ := strings.Cut(strings.Join(m.files("0001.patch"), ""), "\n\n")
			same(t, "patch", []byte(body), []byte(strings.ReplaceAll(want, "\n", "\r\n")))
			m.wantRefusal("git", append(args, "/etc/ssl/certs", patch)...)
		})
	}
}

// snail makes a file of settings for s-nail.
func (m *mailSystem) snail() {
	m.t.Setenv("MAILRC", m.config("mailrc", `
set v15-compat tls-ca-no-defaults tls-ca-file=$ca tls-verify=strict from=alice@example.org hostname=example.org smtp-hostname=example.org
set DEAD=/dev/null sendcharsets=utf-8 sendwait smtp-use-starttls
`))
}

// TestServeSnail has s-nail send by TLS and STARTTLS.
func TestServeSnail(t *testing.T) {
	m := serveAll(t, nil)
	m.snail()
	data := m.write("data.bin", octets())
	for i, c := range []struct{ listener, scheme, auth string }{
		{"smtps", "smtps", "plain"}, {"smtps", "smtps", "login"}, {"smtp", "smtp", "cram-md5"},
	} {
		t.Run("send "+c.auth, func(t *testing.T) {
			m := m.in(t)
			m.run(".\n..\nGrüße\n", "s-nail", "-:u", "-S", "mta="+c.scheme+"://alice:ses%20ame@localhost:"+m.port(c.listener), "-S", "smtp-config=-all,ehlo,starttls,"+c.auth,
				"-s", "Überraschung", "-a", data, "bob@example.org")
			got := m.delivered()
			if len(got) != i+1 {
				t.Fatalf("got %d messages, want %d", len(got), i+1)
			}
			_, contents := parts(t, got[i])
			same(t, "text", []byte(contents[""]), []byte(".\r\n..\r\nGrüße\r\n"))
			same(t, "attachment", []byte(contents["data.bin"]), []byte(octets()))
		})
	}
}

// TestServeSnailRead has s-nail copy messages, flag and delete them over IMAPS and POP3S.
func TestServeSnailRead(t *testing.T) {
	for _, c := range []struct {
		scheme string
		flags  []string // of what is left
	}{{"imaps", []string{`\Flagged \Seen`}}, {"pop3s", []string{``}}} {
		t.Run(c.scheme, func(t *testing.T) {
			m := serveAll(t, nil)
			m.snail()
			first, second := note("one"), note("two")
			m.put("INBOX", first, second)
			url := c.scheme + "://alice:ses%20ame@localhost:" + m.port(c.scheme)
			m.run("", "s-nail", "-:u", "-#", "-Y", "copy * "+m.dir+"/mbox", "-Y", "delete 1", "-Y", "flag 2", "-Y", "quit", "-f", url)
			var want strings.Builder
			for _, text := range []string{first, second} {
				want.WriteString("From " + sender + "\n" + strings.ReplaceAll(text, "\r\n", "\n") + "\n")
			}
			got := strings.Join(m.files("mbox"), "")
			got = regexp.MustCompile(`(?m)^(From [^ ]+) .*$`).ReplaceAllString(strings.ReplaceAll(got, "\nStatus: RO\n", "\n"), "$1")
			same(t, "mbox", []byte(got), []byte(want.String()))
			sameTexts(t, "left", m.texts("INBOX"), []string{second})
			sameList(t, "flags", m.flags("INBOX"), c.flags)
		})
	}
}
