package mimetree

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// TestUTF7 reads the examples of RFC 2152 and what stands against it.
func TestUTF7(t *testing.T) {
	for in, want := range map[string]string{
		"A+ImIDkQ.":                "A\u2262\u0391.",
		"Hi Mom -+Jjo--!":          "Hi Mom -\u263a-!",
		"+ZeVnLIqe-":               "\u65e5\u672c\u8a9e",
		"Item 3 is +AKM-1.":        "Item 3 is \u00a31.",
		"1 +- 1 = 2":               "1 + 1 = 2",
		"+2D3eTQ-":                 "\U0001f64d",
		"+AOk":                     "\u00e9",
		"+AOk x":                   "\u00e9 x",
		"a\r\nb":                   "a\r\nb",
		"":                         "",
		"+":                        "",
		"+ x":                      "\ufffd x",
		"+2D0-":                    "\ufffd",
		"+2D0AQQ-":                 "\ufffdA",
		"+3jQ-":                    "\ufffd",
		"+A-":                      "\ufffd",
		"+AGF-":                    "a\ufffd",
		"caf\xc3\xa9":              "caf\ufffd\ufffd",
		"+AGEAYgBj-d+AGU-f":        "abcdef",
		strings.Repeat("+-", 3000): strings.Repeat("+", 3000),
	} {
		for _, name := range []string{"utf-7", "UNICODE-1-1-UTF-7"} {
			r, known := NewCharsetReader(name, iotest.OneByteReader(strings.NewReader(in)))
			got, err := io.ReadAll(r)
			if string(got) != want || err != nil || !known {
				t.Errorf("%s %.40q: got %.80q, %v, known %v; want %.80q", name, in, got, err, known, want)
			}
		}
	}
}

// FuzzUTF7: any octets give valid UTF-8 of a bounded size, however they are cut.
func FuzzUTF7(f *testing.F) {
	f.Add([]byte("Hi Mom -+Jjo--!"))
	f.Add([]byte("+2D0AQQ-+"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, _ := NewCharsetReader("utf-7", bytes.NewReader(in))
		got, err := io.ReadAll(whole)
		if err != nil || !utf8.Valid(got) || len(got) > 4*len(in)+utf8.UTFMax {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
		cut, _ := NewCharsetReader("utf-7", iotest.HalfReader(bytes.NewReader(in)))
		if again, err := io.ReadAll(cut); err != nil || !bytes.Equal(got, again) {
			t.Errorf("%q: got %q when cut, %v; want %q", in, again, err, got)
		}
	})
}
