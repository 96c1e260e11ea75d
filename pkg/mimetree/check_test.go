package mimetree

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/message"
)

// checked gives the findings of a message as "part id; part id".
func checked(t *testing.T, in string) string {
	t.Helper()
	var got []string
	err := Check(iotest.HalfReader(strings.NewReader(in)), nil, func(f Finding) error {
		got = append(got, strings.TrimSpace(f.Part+" "+string(f.ID)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, "; ")
}

func TestM7_Check(t *testing.T) {
	const ok = "From: Alice <alice@example.org>\nTo: bob@example.org\nDate: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.org>\nMIME-Version: 1.0\n"
	const two = "Content-Type: multipart/mixed; boundary=b\n\n"
	tests := []struct{ name, in, want string }{
		{"nothing", ok + "Subject: =?utf-8?q?=C3=A9?= (=?utf-8?b?w6k=?=)\n\nhello\n", ""},
		{"entity", "MIME-Version: 1.0\nContent-Type: text/plain\n\nhello\n", ""},
		{"draft", "Subject: x\nTo: bob@example.org\n\nhello\n", ""},
		{"date and from missing", "Message-ID: <1@example.org>\n\n", "1 date-missing; 1 from-missing"},
		{"fields twice", "Subject: a\n" + ok + "From: bob@example.org\nSubject: b\n\n", "1 duplicate-field; 1 duplicate-field"},
		{"two content types", ok + "Content-Type: text/plain\nContent-Type: text/html\n\n", "1 duplicate-field"},
		{"bad date", strings.Replace(ok, "22 Nov", "32 Nov", 1) + "\n", "1 date-invalid"},
		{"obsolete date", strings.Replace(ok, "+0000", "GMT", 1) + "\n", "1 obsolete-syntax"},
		{"date with a comment", strings.Replace(ok, "+0000", "+0000 (UTC)", 1) + "\n", ""},
		{"obsolete field", ok + "Subject : x\n\n", "1 obsolete-syntax"},
		{"line of blanks", ok + "Subject: x\n \n y\n\n", "1 obsolete-syntax"},
		{"mbox line", "From a Thu Jan  1 00:00:00 1970\n" + ok + "\n", "1 mbox-line"},
		{"no version", "Content-Type: text/plain\n\n", "1 mime-version-invalid"},
		{"version with a comment", "MIME-Version: 1.0 (x)\nContent-Type: text/plain\n\n", ""},
		{"addresses", strings.Replace(ok, "bob@example.org", "Doe, Jane <jane@example.org>", 1) + "Cc: bob@@example.org\n\n", "1 address-invalid; 1 address-invalid"},
		{"no author", strings.Replace(ok, "Alice <alice@example.org>", "nobody:;", 1) + "\n", "1 address-invalid"},
		{"two authors", strings.Replace(ok, "Alice <", "bob@example.org, Alice <", 1) + "\n", "1 sender-missing"},
		{"message id", strings.Replace(ok, "<1@example.org>", "1@example.org", 1) + "\n", "1 message-id-invalid"},
		{"8-bit header", ok + "Subject: é\n\n", "1 header-8bit"},
		{"control character", ok + "Subject: a\x1bb\n\n", "1 header-control"},
		{"NUL in the header", ok + "Subject: a\x00b\n\n", "1 header-control; nul"},
		{"CR in the header", ok + "Subject: a\rBcc: b\n\n", "1 header-control; bare-cr"},
		{"field name", ok + "Odd(name): x\n\n", ""},
		{"line that is no field", ok + "no field\nX: y\n\n", "1 header-line-malformed"},
		{"uuencoded file", ok + "\nhere\n" + uuencode("a", []byte("x"), '`') + uuencode("../b", nil, '`') + "begin 644 c\n#86)C\n",
			"1.U2 filename-unsafe; 1.U3 uuencode-invalid; 1 uuencoded-file; 1 uuencoded-file; 1 uuencoded-file"},
		{"no uuencoded file", ok + "\nbegin 644 is\nprose\n", ""},
		{"word unknown", ok + "Subject: =?utf-8?x?a?=\n\n", "1 encoded-word-invalid"},
		{"word in no charset", ok + "Subject: =?x-none?q?=E9?=\n\n", "1 encoded-word-invalid"},
		{"word with blanks", ok + "Subject: =?utf-8?q?a b?=\n\n", "1 encoded-word-invalid"},
		{"word cut in a character", ok + "Subject: =?utf-8?q?=C3?= =?utf-8?q?=A9?=\n\n", "1 encoded-word-invalid; 1 encoded-word-invalid"},
		{"word long", ok + "Subject: =?utf-8?q?" + strings.Repeat("a", 70) + "?=\n\n", "1 encoded-word-too-long"},
		{"word in a word", ok + "Subject: a=?utf-8?q?b?=c\n\n", "1 encoded-word-place"},
		{"word in quotes", strings.Replace(ok, "Alice <", "\"=?utf-8?q?a?=\" <", 1) + "\n", "1 encoded-word-place"},
		{"word in an address", strings.Replace(ok, "<alice@", "<=?utf-8?q?a?=@", 1) + "\n", "1 encoded-word-place"},
		{"word in a message id", ok + "References: =?utf-8?q?a?=\n\n", "1 encoded-word-place"},
		{"word in a parameter", ok + "Content-Type: text/plain; name=\"=?utf-8?q?a?=\"\n\n", "1 parameter-encoded"},
		{"word with a line break", ok + "Subject: =?utf-8?q?a=0D=0ABcc:_b?=\n\n", "1 encoded-word-control"},
		{"no word", ok + "Subject: =? and ?= and =?a?= =?\n\n", ""},
		{"names differ", ok + "Content-Type: a/b; name=a.txt\nContent-Disposition: attachment; filename=b.exe\n\n", "1 filename-conflict"},
		{"name in ASCII", ok + "Content-Type: a/b; name=\"_.txt\"\nContent-Disposition: attachment; filename*=utf-8''%C3%A9.txt\n\n", ""},
		{"name with a path", ok + "Content-Disposition: attachment; filename=\"../a\"\n\n", "1 filename-unsafe"},
		{"name that turns", ok + "Content-Disposition: attachment; filename*=utf-8''a%E2%80%AEtxt.exe\n\n", "1 filename-unsafe"},
		{"content ids", ok + two + "--b\nContent-ID: <a>\n\n--b\nContent-ID: <a>\n\n--b--\n", "2 content-id-duplicate"},
		{"bare CR", ok + "\na\rb\r", "bare-cr"},
		{"bare LF", strings.ReplaceAll(ok+"\na\n", "\n", "\r\n") + "b\nc\r\n", "bare-lf"},
		{"dot on a line after a bare LF", strings.ReplaceAll(ok+"\na", "\n", "\r\n") + "\n.\r\nMAIL\r\n", "bare-lf"},
		{"line ends mixed", ok + "\na\r\nb\n", "line-ends-mixed"},
		{"NUL", ok + "\na\x00\n", "nul"},
		{"long line", ok + "\n" + strings.Repeat("x", 999) + "\n", "line-too-long"},
		{"longest line", ok + "\n" + strings.Repeat("x", 998) + "\n", ""},
		{"binary", ok + "Content-Type: a/b\nContent-Transfer-Encoding: binary\n\na\rb\x00\n" + strings.Repeat("x", 2000), ""},
		{"binary inside", ok + "Content-Transfer-Encoding: binary\n" + two + "--b\nContent-Transfer-Encoding: binary\n\na\r\nb\x00\n--b\n\nb\x00\n--b--\n", "nul"},
		{"8bit without a label", ok + "\né\n", "1 8bit-in-7bit"},
		{"8bit in what says less", ok + two + "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\né\n--b--\n", "TEXT encoding-conflict"},
		{"charset", ok + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\xe9\n", "1 charset-invalid"},
		{"boundary in a part", ok + two + "--b\n\n--bb\n--b--\n", "TEXT boundary-near"},
		{"message inside", ok + two + "--b\nContent-Type: message/rfc822\n\nFrom: a\n\n--b--\n", "1.1 address-invalid; 1.1 date-missing"},
		{"encoded message", ok + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTogYQoKeA==\n",
			"1.1 address-invalid; 1.1 date-missing; 1 encoded-composite"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := checked(t, tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckDetail(t *testing.T) {
	in := "Subject: x\r\n\r\na\nb\nc\x00\r\n"
	var got []string
	err := Check(strings.NewReader(in), nil, func(f Finding) error {
		got = append(got, fmt.Sprintf("%q %s", f.Part, f.Defect))
		return nil
	})
	want := `["\"\" nul: first at octet 19, times 1" "\"\" bare-lf: first at octet 15, times 2"]`
	if g := fmt.Sprintf("%q", got); err != nil || g != want {
		t.Errorf("got %s, %v\nwant %s", g, err, want)
	}
	stop := errors.New("stop")
	if err := Check(strings.NewReader(in), nil, func(Finding) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of each", err)
	}
}

// TestS2_CheckLinear checks what is worst for the looks at headers.
func TestS2_CheckLinear(t *testing.T) {
	for name, w := range map[string][2]string{
		"words":         {"Subject:", "\n =?utf-8?q?a?="},
		"half words":    {"Subject:", "=?a?b?c"},
		"starts":        {"Subject: ", "=?"},
		"quotes":        {"From: ", "\"\\"},
		"brackets":      {"From: ", "<"},
		"groups":        {"To: ", "a:"},
		"comments":      {"Date: ", "("},
		"fields":        {"", "Subject : a\n"},
		"lines":         {"Subject:", "\n "},
		"control":       {"Subject: ", "\x00\x01"},
		"ids":           {head, "--b\nContent-ID: <a>\n\n"},
		"line ends":     {"\n", "\r\n\n\r"},
		"message ids":   {"Message-ID: ", "<a@"},
		"similar lines": {head + "--b\n\n", "--bb\n"},
	} {
		linear(t, name, func(n int) {
			err := Check(strings.NewReader(w[0]+strings.Repeat(w[1], n/len(w[1]))), nil, func(Finding) error { return nil })
			var over *message.Error
			if err != nil && !errors.As(err, &over) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestM1_CheckDepth checks and reads the trees of the deepest message and of that with the most parts.
func TestM1_CheckDepth(t *testing.T) {
	var deep strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for name, msg := range map[string]string{"levels": deep.String(), "parts": head + strings.Repeat("--b\n\nx\n", 1_000_000) + "--b--\n"} {
		t.Run(name, func(t *testing.T) {
			limit := ""
			budget(t, 128<<20, func() { // in all, not at once: the text of each part has a buffer
				err := Check(strings.NewReader(msg), nil, func(f Finding) error {
					if f.ID == DefectDepthLimit || f.ID == DefectPartLimit {
						limit = string(f.ID)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			tree, err := ReadTree(bytes.NewReader([]byte(msg)), nil)
			if err != nil || len(tree.Parts) < 100 || limit == "" {
				t.Errorf("%v, limit %q", err, limit)
			}
		})
	}
}
