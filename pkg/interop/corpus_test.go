package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// sample is one message, in wire form.
type sample struct {
	name  string
	wire  []byte
	facts message.Facts
}

func newSample(t *testing.T, name string, text []byte) sample {
	t.Helper()
	facts, err := message.Scan(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return sample{name, text, facts}
}

// samples are the corpora and the oddities. It is not a test's place to have fewer of
// them than there are.
func samples(t *testing.T) []sample {
	t.Helper()
	out := corpora(t)
	if len(out) < 400 {
		t.Fatalf("got %d messages from the corpora, want all 500 or so", len(out))
	}
	return append(out, oddities(t)...)
}

// corpora returns every message file, in a stable order, its line ends made CRLF.
func corpora(t *testing.T) []sample {
	t.Helper()
	root := filepath.Join("..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no corpora: %v", err)
	}
	var out []sample
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !slices.Contains([]string{".eml", ".msg", ".raw", ".txt"}, filepath.Ext(path)) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(message.ToWire(bytes.NewReader(data)))
		out = append(out, newSample(t, strings.TrimPrefix(path, root+string(filepath.Separator)), text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// oddities are messages that the corpora lack.
func oddities(t *testing.T) []sample {
	t.Helper()
	const h = "Subject: odd\r\n\r\n"
	texts := map[string]string{
		"empty": "", "only a line end": "\r\n", "only a dot": ".\r\n", "only dots": "..\r\n...\r\n",
		"no body": "Subject: x\r\n", "empty body": h, "no final line end": h + "x", "line ends": h + "\r\n\r\n\r\n",
		"dots": h + ".\r\n..\r\n.x\r\n\r\n.\r\n", "dot at 64 KiB": h + strings.Repeat("x\r\n", 21839) + ".\r\n.\r\n",
		"from": h + "From here\r\n>From there\r\n", "blanks": "Subject: x \t \r\n\r\n  a \t\r\n \r\n", "controls": h + "\x01\x1b[31m\x7f\r\n",
		"blank before the colon": "Subject : x\r\n\r\ny\r\n", "blank first": " Subject: x\r\n\r\ny\r\n",
		"bare CR": h + "a\rb\r\n", "bare CR at the end": h + "a\r", "CR CR LF": h + "a\r\r\n", "bare LF": h + "a\nb\r\n",
		"NUL": h + "a\x00b\r\n", "NUL in the header": "Subject: a\x00b\r\n\r\nx\r\n", "8 bit": "Subject: gr\xfc\xdfe\r\n\r\n\x80\xff\r\n",
		"998": h + strings.Repeat("x", 998) + "\r\n", "999": h + strings.Repeat("x", 999) + "\r\n",
		"long line": h + strings.Repeat("0123456789", 20000) + "\r\n", "long field": "Subject: " + strings.Repeat("0123456789", 2000) + "\r\n\r\n",
	}
	var out []sample
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		out = append(out, newSample(t, "odd/"+name, []byte(texts[name])))
	}
	return out
}

// exception is one thing that a server does to messages of a kind: what is stored is
// not what was sent, for a reason that has a name. Everything else must come back
// equal, octet for octet.
type exception struct {
	reason  string
	applies func(s sample) bool
	stored  func(text []byte) []byte // nil: the message is refused
}

// dovecotExceptions are those of Dovecot's APPEND into a Maildir.
var dovecotExceptions = []exception{
	{"dovecot refuses a message of no octets", func(s sample) bool { return s.facts.Size == 0 }, nil},
	{"dovecot stores a lone LF as a line end", func(s sample) bool { return s.facts.BareLF }, func(text []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}},
	{"dovecot drops a CR before a line end or the end", func(s sample) bool {
		return bytes.Contains(s.wire, []byte("\r\r\n")) || bytes.HasSuffix(s.wire, []byte("\r"))
	}, func(text []byte) []byte {
		return bytes.TrimSuffix(bytes.ReplaceAll(text, []byte("\r\r\n"), []byte("\r\n")), []byte("\r"))
	}},
}

// imapExceptions are what a client sees otherwise than it is stored.
var imapExceptions = []exception{
	{"dovecot shows NUL as 0x80", func(s sample) bool { return s.facts.NUL }, func(text []byte) []byte {
		return bytes.ReplaceAll(text, []byte{0}, []byte{0x80}) // RFC 9051 §4.3.1: no NUL in a literal
	}},
}

// postfixExceptions are those of SMTP and of Postfix's cleanup, whatever the way.
var postfixExceptions = []exception{
	{"the engine refuses bare CR and LF", func(s sample) bool { return s.facts.BareCR || s.facts.BareLF }, nil},
	{"the engine refuses NUL", func(s sample) bool { return s.facts.NUL }, nil},
	{"the last line has to be ended for the transfer", func(s sample) bool { return s.facts.Size > 0 && !s.facts.EndsCRLF }, func(text []byte) []byte {
		return append(slices.Clip(text), "\r\n"...)
	}},
}

// dataExceptions are what Postfix does to the first line that comes by DATA, and by
// DATA only.
var dataExceptions = []exception{
	{"postfix turns a first line From into a field, for DATA", func(s sample) bool { return bytes.HasPrefix(s.wire, []byte("From ")) }, func(text []byte) []byte {
		return append([]byte("X-Mailbox-Line: "), text...)
	}},
	{"postfix puts an empty line before a first line that begins with a blank, for DATA", func(s sample) bool {
		return len(s.wire) > 0 && (s.wire[0] == ' ' || s.wire[0] == '\t')
	}, func(text []byte) []byte { return append([]byte("\r\n"), text...) }},
}

// headerExceptions are what Postfix does to a header then.
var headerExceptions = []exception{
	{"postfix drops blanks between field name and colon", func(s sample) bool { return !bytes.Equal(colons(s.wire), s.wire) }, colons},
	{"postfix ends a header with an empty line before its first bad line", func(s sample) bool { return badLine(s.wire) >= 0 }, func(text []byte) []byte {
		if at := badLine(text); at >= 0 { // not any more, when the first line was changed
			return slices.Concat(text[:at], []byte("\r\n"), text[at:])
		}
		return text
	}},
}

// expect returns what the server will store, and why that is not the message itself.
// refused tells that nothing is stored.
func expect(s sample, exceptions []exception) (stored []byte, reasons []string, refused bool) {
	stored = s.wire
	for _, e := range exceptions {
		if !e.applies(s) {
			continue
		}
		reasons = append(reasons, e.reason)
		if e.stored == nil {
			return nil, reasons, true
		}
		stored = e.stored(stored)
	}
	return stored, reasons, false
}

// badLine is where Postfix sees the header end without an empty line, or -1. Its own
// Received field stands before the message, so that a blank may come first.
func badLine(text []byte) int {
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := text[at:end]
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return -1
		}
		if line[0] != ' ' && line[0] != '\t' && !isField(line) {
			return at
		}
		at = end
	}
	return -1
}

// isField tells whether a line begins a header field, blanks before the colon allowed.
func isField(line []byte) bool {
	n := nameLen(line)
	return n > 0 && bytes.HasPrefix(bytes.TrimLeft(line[n:], " \t"), []byte(":"))
}

func nameLen(line []byte) int {
	n := 0
	for n < len(line) && line[n] > ' ' && line[n] < 127 && line[n] != ':' {
		n++
	}
	return n
}

// colons removes the blanks before the colons of the header's fields.
func colons(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line = text[:i+1]
		}
		if line[0] != ' ' && line[0] != '\t' && !isField(line) {
			break
		}
		text = text[len(line):]
		if n := nameLen(line); n > 0 {
			out = append(out, line[:n]...)
			line = bytes.TrimLeft(line[n:], " \t")
		}
		out = append(out, line...)
	}
	return append(out, text...)
}

// reasonCount tells how many messages of a run each exception had to do with.
type reasonCount map[string]int

func (rc reasonCount) add(reasons []string) {
	for _, r := range reasons {
		rc[r]++
	}
}

// report logs the counts; an exception that no message needed is out of date.
func (rc reasonCount) report(t *testing.T, exceptions []exception, messages int) {
	t.Helper()
	t.Logf("%d messages", messages)
	for _, e := range exceptions {
		if rc[e.reason] == 0 {
			t.Errorf("no message needs the exception %q", e.reason)
		}
		t.Logf("%5d: %s", rc[e.reason], e.reason)
	}
}

// same compares what came back with what was to come.
func same(t *testing.T, name string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-20)
	t.Errorf("%s: got %d octets, want %d; at %d got %.60q, want %.60q", name, len(got), len(want), at, got[from:], want[from:])
}

// TestP8_IMAP appends every message and fetches it again, over IMAP and over POP3.
func TestP8_IMAP(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	all := samples(t)
	c := openIMAP(t, d, u, imap.Options{})
	reasons := reasonCount{}
	byUID := map[imap.UID]sample{}
	var order []imap.UID
	exceptions := slices.Concat(dovecotExceptions, imapExceptions)
	for _, s := range all {
		_, why, refused := expect(s, exceptions)
		reasons.add(why)
		data, err := c.Append(limit(t), "INBOX", int64(len(s.wire)), bytes.NewReader(s.wire), nil)
		if refused {
			if _, ok := errors.AsType[*imap.Error](err); !ok {
				t.Errorf("%s: got %v, want a refusal: %s", s.name, err, why)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		byUID[data.UID] = s
		order = append(order, data.UID)
	}
	reasons.report(t, exceptions, len(all))
	fetched := fetchAll(t, c, "INBOX")
	if len(fetched) != len(order) {
		t.Errorf("got %d messages, want %d", len(fetched), len(order))
	}
	for uid, got := range fetched {
		want, _, _ := expect(byUID[uid], exceptions)
		same(t, "imap "+byUID[uid].name, got, want)
	}
	compareByPOP3(t, openPOP3(t, d, u, pop3.Options{}), order, byUID)
}

// compareByPOP3 fetches the same messages over POP3. Left out are those that begin with
// a dot: Dovecot 2.3 forgets to double the very first one (RFC 1939 §3), and after "."
// alone its replies cannot be told apart any more.
func compareByPOP3(t *testing.T, c *pop3.Client, order []imap.UID, byUID map[imap.UID]sample) {
	t.Helper()
	var numbers []int
	for i, uid := range order {
		if bytes.HasPrefix(byUID[uid].wire, []byte(".")) {
			t.Logf("not over pop3, as dovecot does not stuff a first dot: %s", byUID[uid].name)
			continue
		}
		numbers = append(numbers, i+1)
	}
	seen := 0
	err := c.Retr(limit(t), numbers, func(n int, _ int64, r io.Reader) error {
		got, err := io.ReadAll(r)
		s := byUID[order[n-1]]
		text, _, _ := expect(s, dovecotExceptions)
		if !bytes.HasSuffix(text, []byte("\r\n")) {
			text = append(slices.Clip(text), "\r\n"...) // or the dot line could not follow
		}
		same(t, "pop3 "+s.name, got, text)
		seen++
		return err
	})
	if err != nil || seen != len(numbers) {
		t.Errorf("got %d messages over POP3, %v, want %d", seen, err, len(numbers))
	}
}

// fetchAll returns all messages of a mailbox.
func fetchAll(t *testing.T, c *imap.Client, mailbox string) map[imap.UID][]byte {
	t.Helper()
	if _, err := c.Examine(limit(t), mailbox, nil); err != nil {
		t.Fatal(err)
	}
	out := map[imap.UID][]byte{}
	missing, err := c.Fetch(limit(t), uids(t, "1:*"), &imap.FetchOptions{Sections: []imap.Section{{}}}, func(m *imap.Message) error {
		body, err := m.Next()
		if err != nil {
			return fmt.Errorf("uid %d: %w", m.UID, err)
		}
		out[m.UID], err = io.ReadAll(body)
		return err
	})
	if err != nil {
		t.Fatalf("fetch: %v, missing %s", err, missing)
	}
	return out
}

func uids(t *testing.T, text string) imap.UIDSet {
	t.Helper()
	set, err := imapwire.ParseUIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestP8_SMTP sends every message and fetches it over POP3. Postfix puts fields of its
// own before the message and must change nothing else but what the exceptions name.
func TestP8_SMTP(t *testing.T) {
	p, d := Postfix(t), Dovecot(t)
	all := samples(t)
	var good []sample
	reasons := reasonCount{}
	exceptions := slices.Concat(postfixExceptions, dataExceptions, headerExceptions)
	for _, s := range all {
		_, why, refused := expect(s, exceptions)
		reasons.add(why)
		if !refused {
			good = append(good, s)
			continue
		}
		c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTP, wire.Cleartext), smtp.Options{}, nil)
		_, err := c.Send(limit(t), &smtp.Envelope{From: sender, Rcpt: []string{"bob@" + DiscardDomain}}, bytes.NewReader(s.wire))
		if nul := (*smtp.BodyError)(nil); !errors.Is(err, wire.ErrBareLineEnd) && !errors.As(err, &nul) {
			t.Errorf("%s: got %v, want %v or a *BodyError", s.name, err, wire.ErrBareLineEnd)
		}
	}
	reasons.report(t, exceptions, len(all))
	for _, w := range ways[:2] {
		if !w.opts.NoChunking {
			exceptions = slices.Concat(postfixExceptions, headerExceptions)
		} else {
			exceptions = slices.Concat(postfixExceptions, dataExceptions, headerExceptions)
		}
		t.Run(w.name, func(t *testing.T) {
			u := d.AddUser(t)
			c := dialSMTP(t, endpoint(t, wire.SMTP, p.SMTPS, wire.ImplicitTLS), w.opts, p.CA)
			if err := c.Auth(limit(t), credentials(u, "")); err != nil {
				t.Fatal(err)
			}
			sendSamples(t, c, good, u.Address)
			checkDelivered(t, inbox(t, d, u, len(good)), good, exceptions)
		})
	}
}

// sendSamples sends each sample from an address that holds its number.
func sendSamples(t *testing.T, c *smtp.Client, all []sample, to string) {
	t.Helper()
	var messages iter.Seq[*smtp.Message] = func(yield func(*smtp.Message) bool) {
		for i, s := range all {
			env := &smtp.Envelope{From: fmt.Sprintf("sample%d@example.org", i), Rcpt: []string{to}}
			if !yield(&smtp.Message{Envelope: env, Body: bytes.NewReader(s.wire)}) {
				return
			}
		}
	}
	err := c.SendAll(limit(t), messages, func(i int, _ *smtp.Message, _ *smtp.Result, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", all[i].name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkDelivered compares what arrived, in any order, each message once.
func checkDelivered(t *testing.T, arrived [][]byte, all []sample, exceptions []exception) {
	t.Helper()
	seen := make([]int, len(all))
	for _, m := range arrived {
		var n int
		if _, err := fmt.Sscanf(string(m), "Return-Path: <sample%d@example.org>", &n); err != nil || n >= len(all) {
			t.Errorf("a message has no number: %.80q", m)
			continue
		}
		seen[n]++
		want, _, _ := expect(all[n], exceptions)
		same(t, all[n].name, withoutTrace(t, m), want)
	}
	for n, count := range seen {
		if count != 1 {
			t.Errorf("%s arrived %d times", all[n].name, count)
		}
	}
}

// withoutTrace removes the fields that delivery puts before a message.
func withoutTrace(t *testing.T, m []byte) []byte {
	t.Helper()
	for _, name := range []string{"Return-Path: ", "X-Original-To: ", "Delivered-To: ", "Received: from localhost "} {
		if !bytes.HasPrefix(m, []byte(name)) {
			t.Fatalf("no %q before %.200q", name, m)
		}
		m = m[bytes.IndexByte(m, '\n')+1:]
	}
	for bytes.HasPrefix(m, []byte("\t")) { // of Received; no sample begins with a tab
		m = m[bytes.IndexByte(m, '\n')+1:]
	}
	return m
}
