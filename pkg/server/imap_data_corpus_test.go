package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// storedBody is a message in memory.
type storedBody struct{ *bytes.Reader }

func (storedBody) Close() error { return nil }

type corpusMessage struct {
	name string
	wire []byte
}

func (m corpusMessage) body() server.Body { return storedBody{bytes.NewReader(m.wire)} }

// corpusMessages gives every message of the corpora in wire form.
func corpusMessages(t *testing.T) []corpusMessage {
	t.Helper()
	root := filepath.Join("..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no corpora: %v", err)
	}
	var out []corpusMessage
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !slices.Contains([]string{".eml", ".msg", ".raw", ".txt"}, filepath.Ext(path)) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(message.ToWire(bytes.NewReader(data)))
		out = append(out, corpusMessage{strings.TrimPrefix(path, root+string(filepath.Separator)), text})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 400 {
		t.Fatalf("got %d messages from the corpora, want all 500 or so", len(out))
	}
	return out
}

// described is what a client learns of a message.
type described struct {
	envelope  *imap.Envelope
	structure *imap.BodyStructure
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func loopback(t *testing.T, addr string) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: wire.IMAP, Host: host, Port: n, Security: wire.Cleartext}
}

// describe fetches envelope and structure of everything in INBOX.
func describe(t *testing.T, c *imap.Client) map[imap.UID]described {
	t.Helper()
	ctx := within(t)
	if _, err := c.Select(ctx, "INBOX", nil); err != nil {
		t.Fatal(err)
	}
	all, err := imapwire.ParseUIDSet("1:*")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[imap.UID]described)
	if _, err := c.Fetch(ctx, all, &imap.FetchOptions{Envelope: true, Structure: true}, func(m *imap.Message) error {
		if _, err := m.Next(); err != io.EOF {
			return fmt.Errorf("message %d: %v", m.UID, err)
		}
		got[m.UID] = described{m.Envelope, m.Structure}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// answerWith is a server with one mailbox, whose FETCH responses hold what this package writes.
func answerWith(t *testing.T, messages []corpusMessage) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer nc.Close()
		done <- answer(nc, messages)
	}()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func answer(nc net.Conn, messages []corpusMessage) error {
	out := bufio.NewWriter(nc)
	fmt.Fprintf(out, "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n")
	for lines := bufio.NewScanner(nc); ; {
		if err := out.Flush(); err != nil {
			return err
		}
		if !lines.Scan() {
			return nil
		}
		tag, command, _ := strings.Cut(lines.Text(), " ")
		switch {
		case strings.HasPrefix(command, "LOGOUT"):
			return nil
		case strings.HasPrefix(command, "SELECT"):
			fmt.Fprintf(out, "* %d EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT %d] ok\r\n", len(messages), len(messages)+1)
		case strings.HasPrefix(command, "UID FETCH"):
			for i, m := range messages {
				envelope, err := server.Envelope(m.body())
				if err != nil {
					return fmt.Errorf("%s: %w", m.name, err)
				}
				structure, err := server.BodyStructure(m.body(), true)
				if err != nil {
					return fmt.Errorf("%s: %w", m.name, err)
				}
				fmt.Fprintf(out, "* %d FETCH (UID %d ENVELOPE %s BODYSTRUCTURE %s)\r\n", i+1, i+1, envelope, structure)
			}
		}
		fmt.Fprintf(out, "%s OK done\r\n", tag)
	}
}

// ourDescriptions is what a client reads of what this package writes.
func ourDescriptions(t *testing.T, messages []corpusMessage) map[imap.UID]described {
	t.Helper()
	c, err := imap.Dial(within(t), loopback(t, answerWith(t, messages)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := describe(t, c)
	if q := c.Quirks(); q != 0 {
		t.Errorf("the client had to tolerate %v, want nothing", q)
	}
	return got
}

// TestCorpusClient: the client reads structure and envelope of every message without a complaint.
func TestCorpusClient(t *testing.T) {
	messages := corpusMessages(t)
	got := ourDescriptions(t, messages)
	for i, m := range messages {
		d := got[imap.UID(i+1)]
		if d.envelope == nil || d.structure == nil {
			t.Errorf("%s: got envelope %v, structure %v", m.name, d.envelope, d.structure)
			continue
		}
		sectionsMatch(t, m, d.structure)
	}
}

// sectionsMatch checks that every part of a structure can be fetched and has the size that the structure tells.
func sectionsMatch(t *testing.T, m corpusMessage, s *imap.BodyStructure) {
	t.Helper()
	b := m.body()
	var whole []byte
	for _, spec := range []string{"HEADER", "TEXT"} {
		whole = append(whole, section(t, m, imapwire.Section{Spec: spec})...)
	}
	if !bytes.Equal(whole, m.wire) {
		t.Errorf("%s: header and text are not the message", m.name)
	}
	checked := 0
	s.Walk(func(p *imap.BodyStructure) {
		if checked++; p.Multipart() || p.Size == 0 || checked > 40 { // every part is found by a walk
			return
		}
		sec, err := imapwire.ParseSection(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		text := section(t, m, sec)
		if int64(len(text)) != p.Size {
			t.Errorf("%s: part %s has %d octets, its structure says %d", m.name, p.Path, len(text), p.Size)
		}
		if lines := bytes.Count(text, []byte("\n")); p.Type == "text" && p.Lines != int64(lines) {
			t.Errorf("%s: part %s has %d lines, its structure says %d", m.name, p.Path, lines, p.Lines)
		}
		sec.Spec = "MIME"
		if head := section(t, m, sec); !bytes.Contains(m.wire, append(head, text[:1]...)) {
			t.Errorf("%s: the header of part %s does not stand before it", m.name, p.Path)
		}
		if _, _, err := server.Binary(b, sec.Part); err != nil && !strings.Contains(err.Error(), "encoding") {
			t.Errorf("%s: binary part %s: %v", m.name, p.Path, err)
		}
	})
	server.Preview(b)
}

func section(t *testing.T, m corpusMessage, sec imapwire.Section) []byte {
	t.Helper()
	r, size, err := server.Section(m.body(), sec)
	if err != nil {
		t.Errorf("%s: section %s: %v", m.name, sec, err)
		return []byte{0}
	}
	text, err := io.ReadAll(r)
	if err != nil || int64(len(text)) != size {
		t.Errorf("%s: section %s: %d octets, announced %d, %v", m.name, sec, len(text), size, err)
	}
	return text
}

// shape is the structure of a message in one line: types, sizes and lines.
func shape(s *imap.BodyStructure) string {
	var out []string
	s.Walk(func(p *imap.BodyStructure) {
		if p.Multipart() {
			out = append(out, fmt.Sprintf("%s %s", p.Path, p.MediaType()))
			return
		}
		out = append(out, fmt.Sprintf("%s %s %s %d octets %d lines", p.Path, p.MediaType(), p.Encoding, p.Size, p.Lines))
	})
	return strings.Join(out, "; ")
}

// isMail tells messages from lists and transcripts.
func isMail(name string) bool {
	return filepath.Ext(name) != ".txt" || strings.HasPrefix(filepath.Base(name), "msg_")
}

// exception names the reason for which Dovecot sees a message otherwise, "" for none.
func exception(m corpusMessage, got, want string) string {
	switch {
	case strings.Contains(want, " / "):
		return "Dovecot leaves the type empty when it cannot be read"
	case strings.Contains(got, "application/octet-stream") && strings.Contains(want, "1 text/plain 7bit 0 octets 0 lines"):
		return "Dovecot shows an empty text for a multipart without a boundary"
	case strings.Contains(got, "message/global"):
		return "Dovecot does not look into message/global"
	}
	if sizes(got, want) {
		return "Dovecot counts the line end before a delimiter as part of an embedded multipart"
	}
	for reason, names := range exceptions {
		if slices.Contains(names, filepath.Base(m.name)) {
			return reason
		}
	}
	return ""
}

// exceptions are messages so broken that each reader has its own opinion of them.
var exceptions = map[string][]string{
	"Dovecot sees no end of a header that no empty line ends, or ends it at a later one": {"msg_19.txt", "msg_35.txt", "msg_38.txt", "msg_47.txt",
		"dsn_with_multipart_alternative.raw", "multi_recipient_dsn.raw", "simple_dsn.raw", "simple_dsn_with_html.raw", "erroneous.raw",
		"qp-utf8-header-no-break.raw", "multi-malformed.raw", "hdr-fakeout.msg", "example13.eml"},
	"Dovecot takes a line that only begins with a delimiter for one": {"epilogue-sample.raw", "raw_email4.eml"},
	"Dovecot reads another boundary from a parameter that breaks the grammar": {"msg_33.txt", "double-semicolon.msg", "raw_email_with_binary_encoded.eml",
		"raw_email_with_illegal_boundary.eml", "raw_email_bad_time.eml"},
	"Dovecot tidies the name of a transfer encoding in another way": {"content_transfer_encoding_7-bit.eml", "content_transfer_encoding_qp_with_space.eml",
		"content_transfer_encoding_text-html.eml", "content_transfer_encoding_with_semi_colon.eml"},
	"Dovecot leaves the subtype empty when it cannot be read": {"multi-digest.msg"},
}

// sizes tells if got and want differ only by one line end in embedded messages.
func sizes(got, want string) bool {
	a, b := strings.Split(got, "; "), strings.Split(want, "; ")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		var octets, lines int64
		path, rest, _ := strings.Cut(a[i], " message/rfc822 ")
		if a[i] == b[i] {
			continue
		}
		encoding, rest, _ := strings.Cut(rest, " ")
		if _, err := fmt.Sscanf(rest, "%d octets %d lines", &octets, &lines); err != nil ||
			b[i] != fmt.Sprintf("%s message/rfc822 %s %d octets %d lines", path, encoding, octets+2, lines+1) {
			return false
		}
	}
	return true
}

// TestDovecotStructure compares with what Dovecot says of the same messages.
func TestDovecotStructure(t *testing.T) {
	var messages []corpusMessage
	for _, m := range corpusMessages(t) {
		if !isMail(m.name) {
			continue
		}
		if len(m.wire) > 0 && !bytes.Contains(m.wire, []byte{0}) && !bytes.Contains(m.wire, []byte("\r\r\n")) && !bytes.HasSuffix(m.wire, []byte("\r")) {
			messages = append(messages, m)
		}
	}
	d := interop.Dovecot(t)
	u := d.AddUser(t)
	var texts [][]byte
	for _, m := range messages {
		texts = append(texts, m.wire)
	}
	d.Put(t, u, texts...)
	c, err := imap.Dial(within(t), loopback(t, d.IMAP), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(within(t), &auth.Credentials{User: u.Name, Password: auth.Literal(u.Password)}); err != nil {
		t.Fatal(err)
	}
	theirs, ours := describe(t, c), ourDescriptions(t, messages)
	if len(theirs) != len(ours) {
		t.Fatalf("Dovecot tells of %d messages, want %d", len(theirs), len(ours))
	}
	different, reasons := 0, make(map[string]int)
	for i, m := range messages {
		a, b := ours[imap.UID(i+1)], theirs[imap.UID(i+1)]
		if a.structure == nil || b.structure == nil {
			t.Errorf("%s: no structure", m.name)
			continue
		}
		got, want := shape(a.structure), shape(b.structure)
		if got == want {
			continue
		}
		different++
		if reason := exception(m, got, want); reason != "" {
			reasons[reason]++
			continue
		}
		t.Errorf("%s:\ngot  %s\nwant %s", m.name, got, want)
	}
	t.Logf("%d messages, %d different: %v", len(messages), different, reasons)
}
