package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/server"
)

// askDovecot sends commands and gives what stands behind "* WORD " in the answer to each.
func askDovecot(t *testing.T, addr string, u interop.User, commands []string) []string {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 60*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	var answers []string
	for i, command := range append([]string{"", fmt.Sprintf("LOGIN %s %q", u.Name, u.Password), "SELECT INBOX"}, commands...) {
		if i > 0 {
			fmt.Fprintf(nc, "a %s\r\n", command)
		}
		word, _, _ := strings.Cut(command, " ")
		answer := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			line = strings.TrimRight(line, "\r\n")
			if rest, ok := strings.CutPrefix(line, "* "+word); ok {
				answer = strings.TrimPrefix(rest, " ")
			}
			if strings.HasPrefix(line, "a ") || i == 0 {
				if i > 0 && !strings.HasPrefix(line, "a OK") {
					t.Fatalf("%s: %s", command, line)
				}
				break
			}
		}
		answers = append(answers, answer)
	}
	return answers[3:]
}

// odd are messages that Dovecot finds or does not find for reasons of its own.
var odd = map[string]string{
	"delayed.eml": "embedded headers are not in the body",
	"re-fwd.msg":  "embedded headers are not in the body",
	"content_transfer_encoding_text-html.eml": "a part of an unknown encoding is not searched",
	"weird_to_header.eml":                     "an empty element of a list is an address",
	"msg_47.txt":                              "a zone without a blank before it is not understood",
	"example10.eml":                           "a date with comments and folds is not understood",
}

// comparable tells if a message has what Dovecot and RFC 5256 agree about: a date that fits in 32 bits, addresses with
// a domain (Dovecot sorts and finds the words that it puts in the place of a missing one), names and subjects in ASCII
// (Dovecot takes accents from their letters).
func comparable(m corpusMessage) bool {
	if !isMail(m.name) || bytes.Contains(m.wire, []byte{0}) || bytes.Contains(m.wire, []byte("\r\r\n")) || bytes.HasSuffix(m.wire, []byte("\r")) {
		return false
	}
	h, err := message.ReadHeader(bufio.NewReader(bytes.NewReader(m.wire)))
	if err != nil || odd[filepath.Base(m.name)] != "" {
		return false
	}
	date, _ := h.Get("Date")
	if d, err := message.ParseDate(date); err != nil || d.Year() < 1970 || d.Year() > 2037 {
		return false
	}
	for _, name := range []string{"From", "To", "Cc", "Subject"} {
		v, ok := h.Get(name)
		if !message.IsASCII(message.DecodeWords(v)) {
			return false
		}
		list, err := message.ParseAddressList(v)
		if name != "Subject" && (err != nil || len(list) == 0 && (ok || name == "From")) {
			return false
		}
	}
	return true
}

// TestDovecotFind compares what searches, sorts and threads give.
func TestDovecotFind(t *testing.T) {
	var messages []corpusMessage
	var texts [][]byte
	for _, m := range corpusMessages(t) {
		if comparable(m) {
			messages, texts = append(messages, m), append(texts, m.wire)
		}
	}
	if len(messages) < 150 {
		t.Fatalf("got %d messages to compare, want more", len(messages))
	}
	d := interop.Dovecot(t)
	u := d.AddUser(t)
	d.Put(t, u, texts...)
	commands := []string{
		"SEARCH ALL", "SEARCH LARGER 3000", "SEARCH SMALLER 500", "SEARCH 5:20,*", "SEARCH FROM example", "SEARCH SUBJECT test", "SEARCH SUBJECT re:", "SEARCH TO @", "SEARCH CC e",
		"SEARCH SENTSINCE 1-Jan-2005", "SEARCH SENTBEFORE 1-Jan-2000", "SEARCH SENTON 19-May-2000", `SEARCH HEADER Received ""`, "SEARCH HEADER Message-ID mail",
		"SEARCH OR FROM mikel NOT SUBJECT test", "SEARCH BODY hello", "SEARCH TEXT attachment", "SEARCH NOT (LARGER 1000 SUBJECT a)",
		"SORT (SUBJECT) UTF-8 ALL", "SORT (REVERSE SUBJECT) UTF-8 ALL", "SORT (DATE) UTF-8 ALL", "SORT (FROM) UTF-8 ALL", "SORT (TO) UTF-8 ALL", "SORT (CC REVERSE SIZE) UTF-8 ALL", "SORT (SIZE) UTF-8 ALL",
		"SORT (DISPLAYFROM) UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
	}
	theirs := askDovecot(t, d.IMAP, u, commands)
	var list []server.MessageInfo
	for i, m := range messages {
		list = append(list, server.MessageInfo{UID: uint32(i + 1), Size: int64(len(m.wire)), Date: time.Now()})
	}
	for i, command := range commands {
		got, err := server.Find(command, list, func(uid uint32) (server.Body, error) { return messages[uid-1].body(), nil })
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		if got != theirs[i] {
			t.Errorf("%s:\ngot  %s\nwant %s", command, got, theirs[i])
		}
	}
}
