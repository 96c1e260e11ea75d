package server

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// textBody is a message in memory.
type textBody struct{ *strings.Reader }

func (textBody) Close() error { return nil }

func bodyOf(text string) Body { return textBody{strings.NewReader(text)} }

// wireForm is text, written with LF, in wire form.
func wireForm(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// rfcEnvelope is the message of the session in RFC 9051 §8.
var rfcEnvelope = wireForm(`Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US,
    John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

text
`)

// rfcParts is the message of the example in RFC 9051 §6.4.5.1.
var rfcParts = wireForm(`Subject: top
Content-Type: multipart/mixed; boundary=a

preamble
--a
Content-Type: text/plain

one
--a
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

dHdv
--a
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=b

--b

three one
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: x-odd

three two
--b--
--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif

four one
--c
Content-Type: message/rfc822

Subject: deep
Content-Type: multipart/alternative; boundary=d

--d
Content-Type: text/plain

deep one
--d
Content-Type: text/richtext

deep two
--d--
--c--
--a--
`)

func TestEnvelope(t *testing.T) {
	const none = ` NIL NIL NIL NIL NIL NIL NIL NIL`
	tests := []struct{ name, message, want string }{
		{"RFC 9051 §8", rfcEnvelope, `("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" ` +
			`(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ` +
			`(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ` +
			`((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")`},
		{"empty", "", "(NIL NIL" + none + ")"},
		{"no header", "\r\nFrom: x@example.org\r\n", "(NIL NIL" + none + ")"},
		{"group", "To: Friends: alice@example.org, Bob <bob@example.org>;, carol@example.org\r\n\r\n",
			`(NIL NIL NIL NIL NIL ((NIL NIL "Friends" NIL)(NIL NIL "alice" "example.org")("Bob" NIL "bob" "example.org")(NIL NIL NIL NIL)(NIL NIL "carol" "example.org")) NIL NIL NIL NIL)`},
		{"empty group", "To: undisclosed-recipients:;\r\n\r\n", `(NIL NIL NIL NIL NIL ((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)`},
		{"group without an end", "To: A: b@c\r\n\r\n", `(NIL NIL NIL NIL NIL ((NIL NIL "A" NIL)(NIL NIL "b" "c")(NIL NIL NIL NIL)) NIL NIL NIL NIL)`},
		{"route", "To: <@a,@b:c@d>\r\n\r\n", `(NIL NIL NIL NIL NIL ((NIL "@a,@b" "c" "d")) NIL NIL NIL NIL)`},
		{"comment as name", "To: a@b (Alice \r\n (the first))\r\n\r\n", `(NIL NIL NIL NIL NIL (("Alice  (the first)" NIL "a" "b")) NIL NIL NIL NIL)`},
		{"quoted", `To: "A \"quoted\", name" <"odd local"@b>` + "\r\n\r\n", `(NIL NIL NIL NIL NIL (("A \"quoted\", name" NIL "odd local" "b")) NIL NIL NIL NIL)`},
		{"no domain", "To: alice\r\n\r\n", `(NIL NIL NIL NIL NIL ((NIL NIL "alice" "MISSING_DOMAIN")) NIL NIL NIL NIL)`},
		{"no mailbox", "To: Alice <>\r\n\r\n", `(NIL NIL NIL NIL NIL (("Alice" NIL "MISSING_MAILBOX" "MISSING_DOMAIN")) NIL NIL NIL NIL)`},
		{"brackets open", "To: Alice <a@b\r\n\r\n", `(NIL NIL NIL NIL NIL (("Alice" NIL "a" "b")) NIL NIL NIL NIL)`},
		{"quote open", "To: \"Alice a@b\r\n\r\n", `(NIL NIL NIL NIL NIL ((NIL NIL "Alice a@b" "MISSING_DOMAIN")) NIL NIL NIL NIL)`},
		{"encoded word kept", "Subject: =?utf-8?q?=C3=A4?=\r\nTo: =?utf-8?q?=C3=A4?= <a@b>\r\n\r\n",
			`(NIL "=?utf-8?q?=C3=A4?=" NIL NIL NIL (("=?utf-8?q?=C3=A4?=" NIL "a" "b")) NIL NIL NIL NIL)`},
		{"8 bit", "Subject: gr\xfc\xdfe\r\n\r\n", "(NIL {5}\r\ngr\xfc\xdfe NIL NIL NIL NIL NIL NIL NIL NIL)"},
		{"NUL", "Subject: a\x00b\r\n\r\n", `(NIL "a b"` + none + ")"},
		{"a line before the first field", "nonsense\r\nSubject: x\r\n\r\n", `(NIL "x"` + none + ")"},
		{"quotes", "Subject: a \"b\" \\c\r\n\r\n", `(NIL "a \"b\" \\c"` + none + ")"},
		{"sender", "From: a@b\r\nSender: c@d\r\nReply-To:\r\n\r\n", `(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)`},
	}
	for _, tt := range tests {
		got, err := imapEnvelope(bodyOf(tt.message))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func TestBodyStructure(t *testing.T) {
	const none = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
	tests := []struct {
		name, message, want string
		extended            bool
	}{
		{name: "RFC 9051 §8", message: rfcEnvelope, want: `("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 6 1)`},
		{name: "extended", message: "Content-Type: text/plain; name*=utf-8''%C3%A4.txt\r\nContent-Disposition: attachment; filename=x\r\nContent-Language: de, en\r\n" +
			"Content-Location: here\r\nContent-MD5: sum\r\nContent-ID: <i>\r\nContent-Description: d\r\n\r\na\r\nb", extended: true,
			want: `("text" "plain" ("name*" "utf-8''%C3%A4.txt") "<i>" "d" "7bit" 4 1 "sum" ("attachment" ("filename" "x")) ("de" "en") "here")`},
		{name: "empty", message: "", want: `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`},
		{name: "binary", message: "Content-Type: image/png\r\nContent-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n", want: `("image" "png" NIL NIL NIL "base64" 6)`},
		{name: "multipart without parts", message: "Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing\r\n",
			want: `(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")`},
		{name: "multipart without boundary", message: "Content-Type: multipart/mixed\r\n\r\nnothing\r\n", want: `("application" "octet-stream" NIL NIL NIL "7bit" 9)`},
		{name: "message encoded", message: "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
			want: `("message" "rfc822" NIL NIL NIL "base64" 6 ` + none + ` ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)`},
		{name: "RFC 9051 §6.4.5.1", message: rfcParts, want: `(("text" "plain" NIL NIL NIL "7bit" 3 0)` +
			`("application" "octet-stream" NIL NIL NIL "base64" 4)` +
			`("message" "rfc822" NIL NIL NIL "7bit" 176 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) (` +
			`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 9 0)("application" "octet-stream" NIL NIL NIL "x-odd" 9) "mixed") 11)` +
			`(("image" "gif" NIL NIL NIL "7bit" 8)("message" "rfc822" NIL NIL NIL "7bit" 160 (NIL "deep" NIL NIL NIL NIL NIL NIL NIL NIL) (` +
			`("text" "plain" NIL NIL NIL "7bit" 8 0)("text" "richtext" NIL NIL NIL "7bit" 8 0) "alternative") 11) "mixed") "mixed")`},
	}
	for _, tt := range tests {
		got, err := imapBodyStructure(bodyOf(tt.message), tt.extended)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

// sectionOf reads "1.2.MIME<3.4>" or "HEADER.FIELDS (A B)".
func sectionOf(t testing.TB, text string) imapwire.Section {
	t.Helper()
	d := imapwire.NewTextDecoder([]byte(text))
	s := d.Section()
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	return s
}

func TestSection(t *testing.T) {
	tests := []struct{ section, want string }{
		{"[]", rfcParts},
		{"[]<5.10>", rfcParts[5:15]},
		{"[]<100000.10>", ""},
		{"[HEADER]", "Subject: top\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"},
		{"[TEXT]", rfcParts[strings.Index(rfcParts, "preamble"):]},
		{"[TEXT]<3.5>", "amble"},
		{"[HEADER.FIELDS (subject to)]", "Subject: top\r\n\r\n"},
		{"[HEADER.FIELDS (subject)]<3.5>", "ject:"},
		{"[HEADER.FIELDS.NOT (subject)]", "Content-Type: multipart/mixed; boundary=a\r\n\r\n"},
		{"[1]", "one"},
		{"[1.MIME]", "Content-Type: text/plain\r\n\r\n"},
		{"[1.HEADER]", "NIL"},
		{"[1.TEXT]", "NIL"},
		{"[1.1]", "NIL"},
		{"[2]", "dHdv"},
		{"[3.HEADER]", "Subject: inner\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"},
		{"[3.HEADER.FIELDS (SUBJECT)]", "Subject: inner\r\n\r\n"},
		{"[3.TEXT]<0.5>", "--b\r\n"},
		{"[3.1]", "three one"},
		{"[3.1.MIME]", "\r\n"},
		{"[3.2]", "three two"},
		{"[3.MIME]", "Content-Type: message/rfc822\r\n\r\n"},
		{"[4.1]", "four one"},
		{"[4.1.MIME]", "Content-Type: image/gif\r\n\r\n"},
		{"[4.2.HEADER]", "Subject: deep\r\nContent-Type: multipart/alternative; boundary=d\r\n\r\n"},
		{"[4.2.1]", "deep one"},
		{"[4.2.2.MIME]", "Content-Type: text/richtext\r\n\r\n"},
		{"[4.2.3]", "NIL"},
		{"[5]", "NIL"},
	}
	for _, tt := range tests {
		r, size, err := imapSection(bodyOf(rfcParts), sectionOf(t, tt.section))
		if err != nil {
			if !errors.Is(err, errNoPart) || tt.want != "NIL" {
				t.Errorf("%s: got error %v, want %q", tt.section, err, tt.want)
			}
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != tt.want || size != int64(len(got)) {
			t.Errorf("%s: got %q of %d octets, %v, want %q", tt.section, got, size, err, tt.want)
		}
	}
}

func TestSectionSinglePart(t *testing.T) {
	tests := []struct{ name, message, section, want string }{
		{"part 1 is the body", "Subject: x\r\n\r\nbody\r\n", "[1]", "body\r\n"},
		{"its MIME header is that of the message", "Subject: x\r\n\r\nbody\r\n", "[1.MIME]", "Subject: x\r\n\r\n"},
		{"header without a body", "Subject: x\r\n", "[HEADER]", "Subject: x\r\n"},
		{"text without a header", "\r\nbody", "[TEXT]", "body"},
		{"field without a line end", "Subject: x", "[HEADER.FIELDS (SUBJECT)]", "Subject: x\r\n"},
		{"field and no empty line", "Subject: x\r\n", "[HEADER.FIELDS (SUBJECT)]", "Subject: x\r\n"},
		{"empty line and no field asked for", "Subject: x\r\n\r\n", "[HEADER.FIELDS (FROM)]", "\r\n"},
		{"empty", "", "[HEADER]", ""},
		{"header beyond the limits", "Subject: " + strings.Repeat("x", 2<<20) + "\r\n\r\nbody", "[TEXT]", "body"},
	}
	for _, tt := range tests {
		r, _, err := imapSection(bodyOf(tt.message), sectionOf(t, tt.section))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestBinary(t *testing.T) {
	tests := []struct {
		name string
		part []int
		want string
		err  error
	}{
		{"whole", nil, rfcParts, nil},
		{"identity", []int{1}, "one", nil},
		{"base64", []int{2}, "two", nil},
		{"unknown", []int{3, 2}, "", errUnknownEncoding},
		{"none", []int{9}, "", errNoPart},
		{"multipart", []int{4, 1}, "four one", nil},
	}
	for _, tt := range tests {
		r, size, err := imapBinary(bodyOf(rfcParts), tt.part)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.err)
		}
		if err != nil {
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != tt.want || size != int64(len(got)) {
			t.Errorf("%s: got %q of %d octets, %v, want %q", tt.name, got, size, err, tt.want)
		}
	}
}

func TestPreview(t *testing.T) {
	tests := []struct{ name, message, want string }{
		{"plain", "Subject: x\r\n\r\nHello,\r\n\r\n  alice.\r\n", "Hello, alice."},
		{"encoded", "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n", "Grüße"},
		{"html", "Content-Type: text/html\r\n\r\n<html><head><style>p {}</style><title>no</title></head><!-- > --><p>1 &lt; <b>tw</b>o<br>three</p></html>", "1 < two three"},
		{"part", rfcParts, "one"},
		{"attachment", "Content-Disposition: attachment\r\n\r\ntext\r\n", ""},
		{"empty", "", ""},
		{"long", "\r\n" + strings.Repeat("ä ", 300), strings.TrimSpace(strings.Repeat("ä ", 100))},
	}
	for _, tt := range tests {
		if got := imapPreview(bodyOf(tt.message)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestS4_StructureDepth: hostile nesting costs neither stack nor time, and the answer stays within the parentheses a
// client accepts.
func TestS4_StructureDepth(t *testing.T) {
	nested := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5000) + "end"
	got, err := imapBodyStructure(bodyOf(nested), true)
	if err != nil {
		t.Fatal(err)
	}
	d := imapwire.NewTextDecoder(slices.Concat([]byte("("), got, []byte(")")))
	if d.Skip(); d.Err() != nil || !d.AtEnd() {
		t.Errorf("the structure cannot be read back: %v", d.Err())
	}
}

// TestLongLines: a response is never one endless line, because clients have a limit.
func TestLongLines(t *testing.T) {
	var to bytes.Buffer
	to.WriteString("To: a@b")
	for to.Len() < 900_000 {
		to.WriteString(",\r\n somebody.with.a.long.name@some.long.domain.example.org")
	}
	got, err := imapEnvelope(bodyOf(to.String() + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for _, line := range bytes.Split(got, []byte("\r\n")) {
		longest = max(longest, len(line))
	}
	if longest > 2*maxDataLine || len(got) < 600_000 {
		t.Errorf("got %d octets with a line of %d, want lines of %d", len(got), longest, maxDataLine)
	}
}

// linear runs what takes milliseconds when it is linear and minutes when it is quadratic, and gives it seconds.
func linear(t *testing.T, name string, n int, run func(n int)) {
	t.Helper()
	const enough = 10 * time.Second
	start := time.Now()
	run(4 * n)
	if took := time.Since(start); took > enough {
		t.Errorf("%s: %d of them took %v", name, 4*n, took)
	}
}

// TestS2_DataLinear measures what a hostile message costs.
func TestS2_DataLinear(t *testing.T) {
	structureOf := func(unit string) func(int) {
		return func(n int) {
			if _, err := imapBodyStructure(bodyOf("Content-Type: multipart/mixed; boundary=a\r\n\r\n"+strings.Repeat(unit, n)), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	envelopeOf := func(unit string) func(int) {
		return func(n int) {
			if _, err := imapEnvelope(bodyOf("To: " + strings.Repeat(unit, n) + "\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	previewOf := func(unit string) func(int) {
		return func(n int) { withoutTags(strings.Repeat(unit, n)) }
	}
	subjectsOf := func(unit string) func(int) {
		return func(n int) { baseSubject(strings.Repeat(unit, n)) }
	}
	linear(t, "parts", 1000, structureOf("--a\r\n\r\nx\r\n"))
	linear(t, "nested", 10000, structureOf("--a\r\nContent-Type: message/rfc822\r\n\r\n"))
	for _, unit := range []string{"a,", "<", "(", "\"", "\\\"", "a:", ";", "@", "<@a:", "=?"} {
		linear(t, "addresses "+unit, 100_000, envelopeOf(unit))
	}
	for _, unit := range []string{"<", "<style>", "<!--", "<a", "&", "</", "<style></style"} {
		linear(t, "html "+unit, 50_000, previewOf(unit))
	}
	for _, unit := range []string{"[a]", "[", "re:", "re[a]:", "re [", "[fwd:", "(fwd)", " ", "=?", "[a] re:"} {
		linear(t, "subject "+unit, 50_000, subjectsOf(unit))
	}
}

// FuzzData: whatever the message, every function ends, the answers can be read back, and header and text are the
// message.
func FuzzData(f *testing.F) {
	for _, seed := range []string{rfcParts, rfcEnvelope, "", "\r\n", "To: a:b;<\"(\r\n\r\n", "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b := bodyOf(string(text))
		for _, extended := range []bool{true, false} {
			v, err := imapBodyStructure(b, extended)
			readBack(t, v, err)
		}
		v, err := imapEnvelope(b)
		readBack(t, v, err)
		imapPreview(b)
		var whole []byte
		for _, spec := range []string{"HEADER", "TEXT"} {
			r, size, err := imapSection(b, imapwire.Section{Spec: spec})
			if err != nil {
				t.Fatal(err)
			}
			piece, err := io.ReadAll(r)
			if err != nil || int64(len(piece)) != size {
				t.Fatalf("%s: %d octets, announced %d, %v", spec, len(piece), size, err)
			}
			whole = append(whole, piece...)
		}
		if !bytes.Equal(whole, text) {
			t.Errorf("header and text are %q, want %q", whole, text)
		}
		for _, part := range [][]int{{1}, {1, 1}, {2}, {1, 2, 1}} {
			if r, size, err := imapBinary(b, part); err == nil {
				if n, err := io.Copy(io.Discard, r); err != nil || n != size {
					t.Errorf("part %v: %d octets, announced %d, %v", part, n, size, err)
				}
			}
		}
	})
}

// lineSource is a response in memory.
type lineSource struct{ *strings.Reader }

func (s lineSource) ReadLine(int) ([]byte, error) {
	var line []byte
	for {
		c, err := s.ReadByte()
		if err != nil {
			if len(line) > 0 {
				return line, nil
			}
			return nil, err
		}
		if c == '\n' && bytes.HasSuffix(line, []byte("\r")) {
			return line[:len(line)-1], nil
		}
		line = append(line, c)
	}
}

func (s lineSource) Literal(n int64) io.Reader { return io.LimitReader(s.Reader, n) }

// readBack reads one value and nothing else.
func readBack(t *testing.T, v []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	d := imapwire.NewDecoder(lineSource{strings.NewReader(string(v) + "\r\n")}, nil)
	if d.Next() != nil {
		t.Fatal(d.Err())
	}
	if d.Value(); !d.End() || d.Quirks() != 0 {
		t.Errorf("%q cannot be read back: %v, %v", v, d.Err(), d.Quirks())
	}
}

// largeMessage has one attachment.
func largeMessage() string {
	return "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\ntext\r\n--a\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 100_000) + "--a--\r\n"
}

func BenchmarkData(b *testing.B) {
	large := largeMessage()
	text := "\r\n" + strings.Repeat("some words that are not found in a line of text\r\n", 150_000)
	q, err := parsed("TEXT needle", searchContext{})
	if err != nil {
		b.Fatal(err)
	}
	runs := []struct {
		name, message string
		run           func(Body) error
	}{
		{"structure", large, func(m Body) error { _, err := imapBodyStructure(m, true); return err }},
		{"section", large, func(m Body) error { _, _, err := imapSection(m, imapwire.Section{Part: []int{2}}); return err }},
		{"binary", large, func(m Body) error { _, _, err := imapBinary(m, []int{2}); return err }},
		{"envelope", rfcEnvelope, func(m Body) error { _, err := imapEnvelope(m); return err }},
		{"search", text, func(m Body) error {
			_, err := q.Match(MessageInfo{}, 1, func() (Body, error) { return m, nil })
			return err
		}},
	}
	for _, r := range runs {
		b.Run(r.name, func(b *testing.B) {
			b.SetBytes(int64(len(r.message)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.run(bodyOf(r.message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
