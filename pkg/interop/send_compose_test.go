package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// pixel is a picture.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// readParts has Python's email package take a message apart: one line for each part, with its place in the tree.
const readParts = `
import email, email.policy, hashlib, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
def walk(p, at):
    if p.is_multipart():
        out.append([at, p.get_content_type()])
        for i, q in enumerate(p.iter_parts(), 1): walk(q, at + "." + str(i))
        return
    body = p.get_payload(decode=True)
    out.append([at, p.get_content_type(), p.get_content_disposition() or "", p.get_filename() or "", str(p["content-id"] or ""),
        p.get_content() if p.get_content_maintype() == "text" and not p.get_filename() else hashlib.sha256(body).hexdigest()])
out = []
walk(m, "1")
json.dump({"headers": {n: str(m[n]) for n in ("From", "To", "Cc", "Bcc", "Subject", "Reply-To", "In-Reply-To", "Importance", "X-Job") if m[n]},
    "parts": out, "defects": [str(d) for p in m.walk() for d in p.defects]}, sys.stdout)
`

// readMessage is what Python found.
type readMessage struct {
	Headers map[string]string
	Parts   [][]string
	Defects []string
}

func (m *mailSystem) python(text string) (r readMessage) {
	m.t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		m.t.Skip("python3 is not installed")
	}
	out, err := m.command(text, python, "-c", readParts).Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// TestSend_Composed composes a message with everything in it, for servers that take binary, 8-bit and 7-bit messages,
// and has Python read it. An attachment travels as it is where the server takes that.
func TestSend_Composed(t *testing.T) {
	picture, err := base64.StdEncoding.DecodeString(pixel)
	require(t, err)
	digest := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	text, html := "Grüße,\n.\n"+strings.Repeat("long ", 30)+"\nend \n", "<p>Grüße <b>&amp;</b> <img src=\"bild ä.png\"></p>\n"
	files := []struct{ name, text string }{{"data.bin", octets()}, {"Übersicht 2026 季度.pdf", "%PDF-1.7 \x00\r\x80\n"}, {"leer", ""}}
	for _, tc := range []struct {
		name     string
		without  []string
		encoding string // of the attachment
		eight    bool   // octets above 127 in the text as they are
	}{
		{"BINARYMIME", nil, "binary", true},
		{"8BITMIME", []string{"BINARYMIME"}, "base64", true},
		{"8BITMIME without CHUNKING", []string{"CHUNKING"}, "base64", true},
		{"neither", []string{"BINARYMIME", "8BITMIME", "SMTPUTF8"}, "base64", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := serveAll(t, func(o *server.Options) { o.Without = tc.without })
			m.sendmail()
			m.write("bild ä.png", string(picture))
			m.write("text.txt", text)
			page := m.write("page.html", html)
			args := []string{"send", "-s", "Überraschung für Bob", "--from", "Alice Müller <alice@example.org>", "--to", `"Builder, Bob" <bob@example.org>`, "--cc", "Çelik <carol@example.org>",
				"--bcc", "dave@example.org", "--reply-to", "replies@example.org", "--in-reply-to", "m1@example.org", "--importance", "high", "--header", "X-Job: nächtlich",
				"--text", "text.txt", "--html", page}
			for _, f := range files {
				m.write(f.name, f.text)
				args = append(args, "--attach", f.name)
			}
			m.run("", "mail", args...)
			raw := m.last(1)
			got := m.python(raw)
			if len(got.Parts) != 9 {
				t.Fatalf("parts %q", got.Parts)
			}
			cid := got.Parts[5][4]
			want := readMessage{
				Headers: map[string]string{"From": "Alice Müller <alice@example.org>", "To": `"Builder, Bob" <bob@example.org>`, "Cc": "Çelik <carol@example.org>", "Subject": "Überraschung für Bob",
					"Reply-To": "replies@example.org", "In-Reply-To": "<m1@example.org>", "Importance": "high", "X-Job": "nächtlich"},
				Parts: [][]string{
					{"1", "multipart/mixed"}, {"1.1", "multipart/alternative"}, {"1.1.1", "text/plain", "", "", "", crlf(text)},
					{"1.1.2", "multipart/related"}, {"1.1.2.1", "text/html", "", "", "", crlf(strings.ReplaceAll(html, "bild ä.png", "cid:"+strings.Trim(cid, "<>")))},
					{"1.1.2.2", "image/png", "inline", "bild ä.png", cid, digest(string(picture))},
					{"1.2", "application/octet-stream", "attachment", files[0].name, "", digest(files[0].text)},
					{"1.3", "application/pdf", "attachment", files[1].name, "", digest(files[1].text)},
					{"1.4", "application/octet-stream", "attachment", files[2].name, "", digest(files[2].text)},
				},
				Defects: []string{},
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
			if strings.Contains(raw, files[0].text) != (tc.encoding == "binary") || !strings.Contains(raw, "Content-Transfer-Encoding: "+tc.encoding+"\r\n") {
				t.Errorf("the attachment is not %s: %.3000q", tc.encoding, raw)
			}
			if got := strings.Contains(raw, "Grüße,\r\n"); got != tc.eight {
				t.Errorf("the text is 8-bit: %v, want %v", got, tc.eight)
			}
			if !tc.eight && strings.ContainsFunc(raw, func(r rune) bool { return r > '~' }) {
				t.Errorf("an octet above 127 was sent: %.3000q", raw)
			}
		})
	}
}

// connections counts them.
type connections struct{ atomic.Int64 }

func (c *connections) Strike(e server.Event) server.Strike {
	if e.Command == "CONNECT" {
		c.Add(1)
	}
	return server.Strike{}
}

// TestSend_NoConnection gives what cannot be sent: the server is not even connected to.
func TestSend_NoConnection(t *testing.T) {
	seen := &connections{}
	m := serveAll(t, func(o *server.Options) { o.Faults = seen })
	m.sendmail()
	m.write("good.txt", "good\n")
	m.write("page.html", `<img src="none.png">`)
	m.write("outside.html", `<img src="../secret.png">`)
	m.write("absolute.html", `<img src="/etc/passwd">`)
	m.write("noimage.html", `<img src="good.txt">`)
	for _, tc := range []struct {
		name   string
		words  []string
		status int
	}{
		{"a file that is not there", []string{"--attach", "none.pdf"}, 66},
		{"a file that is not there, after one that is", []string{"--attach", "good.txt", "--attach", "none.pdf"}, 66},
		{"a pattern without a match", []string{"--attach", "*.pdf"}, 66},
		{"an inline file that is not there", []string{"--html", "good.txt", "--inline", "none.png"}, 66},
		{"a text that is not there", []string{"--text", "none.txt"}, 66},
		{"an HTML text that is not there", []string{"--html", "none.html"}, 66},
		{"an image that is not there", []string{"--html", "page.html"}, 66},
		{"an image outside of the folder", []string{"--html", "outside.html"}, 65},
		{"an image by an absolute path", []string{"--html", "absolute.html"}, 65},
		{"an image that is none", []string{"--html", "noimage.html"}, 65},
		{"no address", []string{"--cc", "carol@@example.org"}, 65},
		{"a line end in a field", []string{"--header", "X-Job: a\nBcc: eve@example.org"}, 65},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := m.in(t)
			out, status := m.try("text\n", "mail", append([]string{"send", "-s", "x", "--from", "alice@example.org", "--to", "bob@example.org"}, tc.words...)...)
			if status != tc.status || !strings.HasPrefix(out, "mail: ") || seen.Load() != 0 {
				t.Errorf("status %d, %d connections, want %d and none\n%s", status, seen.Load(), tc.status, out)
			}
		})
	}
	m.run("text\n", "mail", "send", "-s", "x", "--from", "alice@example.org", "--to", "bob@example.org", "--attach", "good.txt")
	if seen.Load() != 1 {
		t.Errorf("%d connections for one message, want 1", seen.Load())
	}
}
