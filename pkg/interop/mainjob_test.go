package interop_test

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// tinyPNG is a picture of one pixel.
const tinyPNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// TestMainJob is the way of a message through the whole toolkit and both servers: packed, submitted, fetched over
// POP3, taken apart, found and filed over IMAP.
func TestMainJob(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	png, err := base64.StdEncoding.DecodeString(tinyPNG)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 20_000_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	files := map[string][]byte{"data.bin": data, "chart.png": png, "Übersicht 2026.pdf": []byte("%PDF-1.7 overview\n")}
	for name, content := range files {
		s.write(name, content)
	}
	s.write("text.txt", []byte("Grüße.\n.\n..dots\n"))
	packed := s.run(nil, "mime", "pack", "-s", "季度报告", "--from", user.Address, "--to", user.Address, "--text", "text.txt",
		"--attach", "data.bin", "--attach", "chart.png", "--attach", "Übersicht 2026.pdf")
	if strings.Contains(packed, "\r") || !strings.Contains(packed, "\nMIME-Version: 1.0\n") {
		t.Errorf("the packed message is not in LF form or has no MIME-Version: %.500q", packed)
	}
	if out := s.run(strings.NewReader(packed), "send"); out != "" {
		t.Errorf("send printed %q", out)
	}
	s.await("1 ", "pop", "list")
	if out := s.run(nil, "pop", "list", "--headers"); !strings.Contains(out, "季度报告") {
		t.Errorf("pop list --headers: %q", out)
	}
	retrieved := s.run(nil, "pop", "retr", "1")
	if i := strings.Index(packed, "\n\n"); !strings.HasSuffix(retrieved, packed[i:]) {
		t.Error("the body that came back is not the one that was sent")
	}
	paths := strings.Split(s.run(strings.NewReader(retrieved), "mime", "unpack", "-C", "got"), "\n")
	for name, content := range files {
		if !slices.Contains(paths, "got/"+name) {
			t.Errorf("unpack printed %q, without got/%s", paths, name)
		}
		if !bytes.Equal(s.read("got/"+name), content) {
			t.Errorf("%s came back changed", name)
		}
	}
	mainJobIMAP(t, s, png)
}

func mainJobIMAP(t *testing.T, s *shell, png []byte) {
	if out := s.run(nil, "imap", "select", "INBOX"); !strings.Contains(out, "1") {
		t.Errorf("select: %q", out)
	}
	if out := s.run(nil, "imap", "search", "INBOX", "subject:季度报告"); out != "1\n" {
		t.Errorf("search found %q, want UID 1", out)
	}
	if r := s.try(nil, "imap", "search", "INBOX", "subject:nothing"); r.code != 1 || r.stdout != "" {
		t.Errorf("a search that finds nothing: %v", r)
	}
	header := s.run(nil, "imap", "fetch", "INBOX", "1", "--headers")
	if !strings.Contains(header, "\nSubject: =?") || strings.Contains(header, "Content-Disposition: attachment") || len(header) > 8000 {
		t.Errorf("headers: %.3000q", header)
	}
	if out := s.run(strings.NewReader(header), "mime", "headers", "subject"); !strings.Contains(out, "季度报告") {
		t.Errorf("mime headers: %q", out)
	}
	if out := s.run(nil, "imap", "fetch", "INBOX", "1", "--part", "3"); out != string(png) {
		t.Errorf("part 3 is %q, want the picture", out)
	}
	s.run(nil, "imap", "create", "报告/2026 & mehr")
	s.run(nil, "imap", "move", "INBOX", "1", "--to", "报告/2026 & mehr")
	if out := s.run(nil, "imap", "list"); !strings.Contains(out, "报告/2026 & mehr") {
		t.Errorf("list: %q", out)
	}
	if out := s.run(nil, "imap", "search", "报告/2026 & mehr", "subject:季度报告"); out != "1\n" {
		t.Errorf("the moved message: %q", out)
	}
	if r := s.try(nil, "imap", "search", "INBOX", "all"); r.code != 1 || r.stdout != "" {
		t.Errorf("the source after moving: %v", r)
	}
}

// TestMainJobPart fetches part 1.2 of a message with an alternative alone.
func TestMainJobPart(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	s.write("a.txt", []byte("plain\n"))
	s.write("a.html", []byte("<p>rich</p>\n"))
	s.write("a.bin", []byte{0, 1, 2, 255})
	packed := s.run(nil, "mime", "pack", "-s", "alternative", "--from", user.Address, "--to", user.Address, "--text", "a.txt", "--html", "a.html",
		"--attach", "a.bin")
	if out := s.run(strings.NewReader(packed), "imap", "append", "INBOX"); out != "1\n" {
		t.Errorf("append printed %q, want the UID", out)
	}
	if out := s.run(nil, "imap", "fetch", "INBOX", "1", "--part", "1.2"); out != "<p>rich</p>\n" {
		t.Errorf("part 1.2 is %q", out)
	}
	if out := s.run(nil, "imap", "fetch", "INBOX", "1"); out != packed {
		t.Errorf("the message came back as %q, sent %q", out, packed)
	}
	if out := s.run(nil, "imap", "search", "INBOX", "unseen"); out != "1\n" {
		t.Errorf("fetching marked the message as read: %q", out)
	}
}

// TestMainJobBytes sends what a message may hold at its worst and compares the octets.
func TestMainJobBytes(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	header := "From: " + user.Address + "\nTo: " + user.Address + "\nSubject: octets\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n" +
		"Message-ID: <octets@local.example>\nX-Folded: a\n\tb\n  c\nX-Odd:no space\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" +
		"Content-Transfer-Encoding: 8bit\n"
	body := "Grüße, 季度报告\n.\n..\n.a\n...\nFrom here\n>From there\n\n" + strings.Repeat("ü", 450) + "\n \n\t\ntrailing \nlast\n"
	s.run(strings.NewReader(header+"\n"+body), "send")
	s.await("1 ", "pop", "list")
	for name, got := range map[string]string{"pop": s.run(nil, "pop", "retr", "1"), "imap": s.run(nil, "imap", "fetch", "INBOX", "1")} {
		if !strings.HasSuffix(got, "\n\n"+body) {
			t.Errorf("%s: body %q, want %q", name, got, body)
		}
		if !strings.Contains(got, "\n"+header+"\n") {
			t.Errorf("%s: the header came back changed: %q", name, got)
		}
	}
}

// TestStreamOfMessages sends an mboxrd stream and gets it back as one.
func TestStreamOfMessages(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	var stream strings.Builder
	for _, n := range []string{"one", "two", "three"} {
		stream.WriteString("From alice@example.org Sun Nov 22 10:00:00 2026\nFrom: " + user.Address + "\nTo: " + user.Address +
			"\nSubject: " + n + "\n\n>From the beginning\n>>From further\n" + n + "\n\n")
	}
	s.run(strings.NewReader(stream.String()), "imap", "append", "INBOX")
	got := s.run(nil, "imap", "fetch", "INBOX", "1:3")
	if n := strings.Count(got, "\n>From the beginning\n>>From further\n"); n != 3 || !strings.HasPrefix(got, "From ") {
		t.Errorf("the stream came back as %q", got)
	}
	one := s.run(nil, "imap", "fetch", "INBOX", "2")
	if !strings.HasSuffix(one, "\n\nFrom the beginning\n>From further\ntwo\n") {
		t.Errorf("one message: %q", one)
	}
	s.run(strings.NewReader(got), "send")
	s.await("6 ", "pop", "list")
	if out := s.run(nil, "pop", "retr", "1:3"); strings.Count(out, "\n>From the beginning\n>>From further\n") != 3 {
		t.Errorf("pop retr 1:3: %q", out)
	}
	if out := s.run(nil, "pop", "dele", "1:6"); out != "" {
		t.Errorf("dele printed %q", out)
	}
	if out := s.run(nil, "pop", "stat"); out != "0 0\n" {
		t.Errorf("stat after dele: %q", out)
	}
}

// TestWithoutConfiguration uses --server and the environment alone.
func TestWithoutConfiguration(t *testing.T) {
	d := interop.Dovecot(t)
	user := d.AddUser(t)
	s := newShell(t, user)
	s.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	s.write("pw", []byte(user.Password+"\n"))
	args := []string{"--server", "imaps://" + user.Name + "@" + d.IMAPS, "--password-file", "pw", "--ca-file", d.CAFile}
	if out := s.run(nil, append([]string{"imap", "list"}, args...)...); !strings.Contains(out, "INBOX") {
		t.Errorf("imap list by flags: %q", out)
	}
	s.env = append(s.env, "MAIL_IMAP=imap://"+d.IMAP, "MAIL_POP=pop3://"+d.POP3, "MAIL_USER="+user.Name, "MAIL_PASSWORD="+user.Password, "MAIL_CA="+d.CAFile)
	if out := s.run(nil, "imap", "list"); !strings.Contains(out, "INBOX") {
		t.Errorf("imap list by environment: %q", out)
	}
	if out := s.run(nil, "pop", "stat"); out != "0 0\n" {
		t.Errorf("pop stat by environment: %q", out)
	}
}
