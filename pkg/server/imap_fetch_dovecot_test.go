package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/server"
)

// rawIMAP is a client that keeps what it reads as it is, but for how strings are written.
type rawIMAP struct {
	t      *testing.T
	nc     net.Conn
	r      *bufio.Reader
	again  func() *rawIMAP
	closed bool // the server has ended the session
}

func dialRaw(t *testing.T, addr, user, password string) *rawIMAP {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 60*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	again := func() *rawIMAP {
		c := dialRaw(t, addr, user, password)
		c.command("SELECT INBOX")
		return c
	}
	c := &rawIMAP{t: t, nc: nc, r: bufio.NewReader(nc), again: again}
	c.value()
	c.command(fmt.Sprintf("LOGIN %s %q", user, password))
	return c
}

// value reads a response line; every string in it, also a literal, becomes a quoted one.
func (c *rawIMAP) value() string {
	c.t.Helper()
	var out strings.Builder
	for {
		b, err := c.r.ReadByte()
		if err == io.EOF {
			c.closed = true
			return "a OK closed"
		}
		if err != nil {
			c.t.Fatal(err)
		}
		switch b {
		case '\r':
		case '\n':
			return out.String()
		case '"':
			out.WriteString(strconv.Quote(c.quoted()))
		case '{':
			text, err := c.r.ReadString('\n')
			if err != nil {
				c.t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimSuffix(text, "}\r\n"))
			if err != nil {
				c.t.Fatal(err)
			}
			data := make([]byte, n)
			if _, err := io.ReadFull(c.r, data); err != nil {
				c.t.Fatal(err)
			}
			out.WriteString(strconv.Quote(string(data)))
		default:
			out.WriteByte(b)
		}
	}
}

func (c *rawIMAP) quoted() string {
	var out []byte
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			c.t.Fatal(err)
		}
		if b == '"' {
			return string(out)
		}
		if b == '\\' {
			if b, err = c.r.ReadByte(); err != nil {
				c.t.Fatal(err)
			}
		}
		out = append(out, b)
	}
}

// command gives the untagged responses to a command that must succeed.
func (c *rawIMAP) command(text string) []string {
	c.t.Helper()
	fmt.Fprintf(c.nc, "a %s\r\n", text)
	return c.answer(text)
}

func (c *rawIMAP) answer(text string) []string {
	c.t.Helper()
	var lines []string
	for {
		line := c.value()
		if strings.HasPrefix(line, "a ") {
			if !strings.HasPrefix(line, "a OK") && !strings.HasPrefix(line, "a NO [") {
				c.t.Fatalf("%.100s: %s", text, line)
			}
			return lines
		}
		lines = append(lines, line)
	}
}

// fill appends messages, each with a date of its own.
func (c *rawIMAP) fill(messages []corpusMessage) {
	c.t.Helper()
	zones := []string{"+0000", "-0730", "+1400", "+0530"}
	for i, m := range messages {
		fmt.Fprintf(c.nc, "a APPEND INBOX \"%2d-Feb-20%02d 0%d:59:07 %s\" {%d}\r\n", 1+i%28, i%25, i%10, zones[i%len(zones)], len(m.wire))
		if line := c.value(); !strings.HasPrefix(line, "+") {
			c.t.Fatalf("%s: %s", m.name, line)
		}
		c.nc.Write(append(slices.Clip(m.wire), '\r', '\n'))
		c.answer(m.name)
	}
	c.command("SELECT INBOX")
}

// stopped stands for the value at which a server gave up.
const stopped = "(stopped)"

// fetch gives the value of an item by sequence number, counted from 0.
func (c *rawIMAP) fetch(item string, n int) []string {
	c.t.Helper()
	got := make([]string, n)
	label := " "
	if strings.Contains(item, "[") {
		label = "] "
	}
	if strings.Contains(item, "<") {
		label = "> "
	}
	for first := 1; first <= n; {
		last := first - 1
		for _, line := range c.command(fmt.Sprintf("FETCH %d:* %s", first, item)) {
			number, rest, ok := strings.Cut(strings.TrimPrefix(line, "* "), " FETCH (")
			if i, err := strconv.Atoi(number); ok && err == nil && i >= 1 && i <= n {
				last = i
				_, got[i-1], _ = strings.Cut(strings.TrimSuffix(rest, ")"), label)
				got[i-1] = strings.TrimPrefix(got[i-1], "~") // a literal8
			}
		}
		if first = last + 1; first <= n { // it stopped at a message that it did not like
			got[first-1] = stopped
			first++
		}
		if c.closed {
			*c = *c.again()
		}
	}
	return got
}

// fetchItems are the items whose values are compared.
var fetchItems = []string{"ENVELOPE", "INTERNALDATE", "RFC822.SIZE", "RFC822.HEADER", "BODY.PEEK[]<10.40>", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "BODY.PEEK[TEXT]<5.7>",
	"BODY.PEEK[HEADER.FIELDS (FROM to Subject X-None)]", "BODY.PEEK[HEADER.FIELDS.NOT (Received From)]", "BODY.PEEK[1]", "BODY.PEEK[1.MIME]", "BODY.PEEK[2]",
	"BODY.PEEK[2.MIME]", "BODY.PEEK[1.1]", "BODY.PEEK[1.1.MIME]", "BODY.PEEK[2.1]", "BODY.PEEK[2.HEADER]", "BODY.PEEK[2.TEXT]", "BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]",
	"BODY.PEEK[9]", "BINARY.PEEK[1]", "BINARY.SIZE[1]", "BINARY.PEEK[2]", "BINARY.PEEK[2]<3.10>", "BINARY.SIZE[2]"}

// TestDovecotFetch compares what FETCH gives.
func TestDovecotFetch(t *testing.T) {
	var messages []corpusMessage
	for _, m := range corpusMessages(t) {
		if isMail(m.name) && len(m.wire) > 0 && !bytes.Contains(m.wire, []byte{0}) && !bytes.Contains(m.wire, []byte("\r\r\n")) && !bytes.HasSuffix(m.wire, []byte("\r")) {
			messages = append(messages, m)
		}
	}
	d := interop.Dovecot(t)
	u := d.AddUser(t)
	srv, err := server.Start(context.Background(), server.Options{IMAP: "127.0.0.1:0", AllowCleartextLogin: true, Users: []server.User{{Name: "alice", Password: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	theirs, ours := dialRaw(t, d.IMAP, u.Name, u.Password), dialRaw(t, srv.Addr("imap"), "alice", "secret")
	theirs.fill(messages)
	ours.fill(messages)
	reasons, values, compared := make(map[string]int), make(map[string][]string), 0
	for _, item := range fetchItems {
		want, got := theirs.fetch(item, len(messages)), ours.fetch(item, len(messages))
		values[item] = got
		bad := 0
		for i, m := range messages {
			if compared++; got[i] == want[i] {
				continue
			}
			reason := fetchException(item, m, got[i], want[i])
			if _, section, ok := strings.Cut(item, "["); ok && reason == "" && strings.HasPrefix(item, "BINARY") {
				reason = binaryException(values, "["+section, i)
			}
			if reason != "" {
				reasons[reason]++
				continue
			}
			if bad++; bad <= 3 {
				t.Errorf("%s of %s:\ngot  %.300q\nwant %.300q", item, m.name, got[i], want[i])
			}
		}
		if bad > 3 {
			t.Errorf("%s: %d messages differ", item, bad)
		}
	}
	t.Logf("%d messages, %d values, different for a reason: %v", len(messages), compared, reasons)
}

var withoutBlanks = strings.NewReplacer(" ", "", `\t`, "")

// fetchExceptions are messages of which both servers have an opinion, beside exceptions.
var fetchExceptions = map[string][]string{
	"an address field that breaks the grammar gives other addresses": {"example11.eml", "raw_email_with_at_display_name.eml", "raw_email_multiple_from.eml",
		"mix_caps_content_type.eml", "weird_to_header.eml", "missing_body.eml", "malformed-multiple-address-header-values.raw"},
	"Dovecot takes the last of several subjects":                     {"raw_email_with_multipart_mixed_quoted_boundary.eml"},
	"Dovecot takes a line that is no field for a part of the header": {"multiple_references_with_one_invalid.eml"},
	"the empty line before a delimiter ends a header":                {"attachment_message_rfc822_inline_image.eml"},
	"Dovecot undoes the encoding of a multipart":                     {"multi-2gifs-base64.msg"},
	"Dovecot tells the size of a part that it cannot decode":         {"multi-igor2.msg"},
	"Dovecot shows an empty text for a multipart without a boundary": {"multipart-wo-boundary.raw", "msg_25.txt", "msg_41.txt"},
}

// fetchException names the reason for which Dovecot answers otherwise, "" for none.
func fetchException(item string, m corpusMessage, got, want string) string {
	if item == "INTERNALDATE" {
		if at, err := time.Parse(`"_2-Jan-2006 15:04:05 -0700"`, got); err == nil && at.UTC().Format(`"02-Jan-2006 15:04:05 -0700"`) == want {
			return "Dovecot gives dates in UTC"
		}
		return ""
	}
	if want == stopped || want == "" {
		return "Dovecot gives up at a part that it cannot decode"
	}
	if got == "NIL" && (want == `""` || strings.HasPrefix(item, "BODY.PEEK[1.1") || strings.HasPrefix(item, "BODY.PEEK[2.1")) {
		return "Dovecot gives an empty text for a part that is not there, and takes 1.1 for 1 where that has no parts"
	}
	for _, table := range []map[string][]string{exceptions, fetchExceptions} {
		for reason, names := range table {
			if slices.Contains(names, filepath.Base(m.name)) {
				return reason
			}
		}
	}
	switch {
	case want == strings.TrimSuffix(got, `"`)+`\r\n"`:
		return "Dovecot counts the line end before a delimiter as part of an embedded multipart"
	case strings.Contains(m.name, "enclosed-global"):
		return "Dovecot does not look into message/global"
	}
	if item == "ENVELOPE" && withoutBlanks.Replace(got) == withoutBlanks.Replace(want) {
		return "Dovecot keeps blanks at the ends of a field, and makes one space of those that hold a fold"
	}
	return ""
}

// binaryException names the reason for another answer to BINARY, which is that nothing is decoded: a part holds parts.
func binaryException(values map[string][]string, section string, i int) string {
	section, _, _ = strings.Cut(section, "<")
	if whole := values["BINARY.PEEK"+section]; whole == nil || whole[i] != values["BODY.PEEK"+section][i] {
		return ""
	}
	return "Dovecot decodes the parts of a multipart or a message one by one"
}
