package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func corpora(t testing.TB) string {
	dir := filepath.Join("..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("test data not present: ", err)
	}
	return dir
}

// corpusFiles returns every stored file: a message or not, it must survive.
func corpusFiles(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	err := filepath.WalkDir(corpora(t), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(files) < 500 {
		t.Fatalf("corpora: %d files, error %v", len(files), err)
	}
	return files
}

func readString(t *testing.T, s string) (*Header, string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(s))
	h, err := ReadHeader(r)
	if err != nil {
		t.Fatalf("ReadHeader(%q): %v", s, err)
	}
	body, _ := io.ReadAll(r)
	return h, string(body)
}

// TestReadHeader also holds class S9: a message without header or without
// anything is kept.
func TestReadHeader(t *testing.T) {
	tests := []struct {
		name, in string
		names    string // field names, "-" for a line that is none
		body     string
	}{
		{"empty message", "", "", ""},
		{"only CRLF", "\r\n", "", ""},
		{"only LF", "\n", "", ""},
		{"blank line then body", "\r\nhello\r\n", "", "hello\r\n"},
		{"CRLF", "A: 1\r\nB: 2\r\n\r\nbody", "A B", "body"},
		{"LF", "A: 1\nB: 2\n\nbody", "A B", "body"},
		{"mixed line ends", "A: 1\r\nB: 2\n\r\nbody", "A B", "body"},
		{"folded", "A: 1\n 2\n\t3\nB: 4\n\nx", "A B", "x"},
		{"blank continuation", "A: 1\n \nB: 4\n\nx", "A B", "x"},
		{"space before colon", "Subject : 1\nTo\t: 2\n\nx", "Subject To", "x"},
		{"line without colon", "A: 1\njunk\nB: 2\n\nx", "A - B", "x"},
		{"space in name", "A: 1\nB C: 3\nD: 2\n\nx", "A - D", "x"},
		{"mbox From line", "From bob Mon Jan  1 00:00:00 2024\nA: 1\n\nx", "- A", "x"},
		{"quoted mbox From line", ">From bob\nA: 1\n\nx", "- A", "x"},
		{"junk first, then a field", "junk\nA: 1\n\nx", "- A", "x"},
		{"leading continuation, then a field", " junk\nA: 1\n\nx", "- A", "x"},
		{"no header at all", "hello there\nsecond line\n\nA: 1\n", "", "hello there\nsecond line\n\nA: 1\n"},
		{"no blank line, no body", "A: 1\nB: 2\n", "A B", ""},
		{"no line end at the end", "A: 1\nB: 2", "A B", ""},
		{"NUL and 8-bit", "A: \x00\xff\n\xe4: 1\nB: \x80\n\nx", "A - B", "x"},
		{"colon first", "A: 1\n: x\n\nx", "A -", "x"},
		{"CR alone is not a blank line", "A: 1\n\rB: 1\nC: 2\n\nx", "A - C", "x"},
		{"empty value", "A:\nB:\n\n", "A B", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, body := readString(t, tt.in)
			var names []string
			for _, f := range h.Fields {
				if f.Name == "" {
					f.Name = "-"
				}
				names = append(names, f.Name)
			}
			if got := strings.Join(names, " "); got != tt.names {
				t.Errorf("names: got %q, want %q", got, tt.names)
			}
			if body != tt.body {
				t.Errorf("body: got %q, want %q", body, tt.body)
			}
			if got := string(h.Bytes()) + body; got != tt.in {
				t.Errorf("round trip: got %q, want %q", got, tt.in)
			}
		})
	}
}

func TestReadHeaderCorpora(t *testing.T) {
	for path, data := range corpusFiles(t) {
		for _, size := range []int{16, 4096} {
			r := bufio.NewReaderSize(bytes.NewReader(data), size)
			h, err := ReadHeader(r)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			body, _ := io.ReadAll(r)
			if !bytes.Equal(append(h.Bytes(), body...), data) {
				t.Errorf("%s: buffer %d: header and body are not the file", path, size)
			}
		}
	}
}

// TestReadHeaderNoBlankLine: a long body straight after the fields is not eaten
// up as header.
func TestReadHeaderNoBlankLine(t *testing.T) {
	in := "A: 1\n" + strings.Repeat("some words of a body\n", 100000)
	h, body := readString(t, in)
	if v, _ := h.Get("a"); v != "1" {
		t.Errorf("field A: got %q, want 1", v)
	}
	if got := string(h.Bytes()) + body; got != in {
		t.Errorf("round trip lost octets: got %d, want %d", len(got), len(in))
	}
}

func TestM3_HeaderCaps(t *testing.T) {
	line := "A: " + strings.Repeat("x", 97) + "\n" // 101 octets
	tests := []struct {
		name string
		in   string
		ok   bool
	}{
		{"10000 fields", strings.Repeat("A: 1\n", MaxHeaderFields) + "\n", true},
		{"10001 fields", strings.Repeat("A: 1\n", MaxHeaderFields+1) + "\n", false},
		{"500000 fields", strings.Repeat("To: a@b\n", 500000) + "\n", false},
		{"1 MiB", "A: " + strings.Repeat("x", MaxHeaderBytes-4) + "\n", true},
		{"1 MiB + 1", "A: " + strings.Repeat("x", MaxHeaderBytes-3) + "\n", false},
		{"1 MiB in folded lines", "A: 1\n" + strings.Repeat(" "+line, MaxHeaderBytes/102+1), false},
		{"endless line", "A: " + strings.Repeat("x", 10<<20), false},
	}
	for _, tt := range tests {
		_, err := ReadHeader(bufio.NewReader(strings.NewReader(tt.in)))
		var e *Error
		if (err == nil) != tt.ok || err != nil && !errors.As(err, &e) {
			t.Errorf("%s: got error %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestReadHeaderError(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "A: 1\n", "A: 1", "A: 1\n b", "junk"} {
		r := io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken))
		if _, err := ReadHeader(bufio.NewReader(r)); !errors.Is(err, broken) {
			t.Errorf("%q: got %v, want the error of the reader", in, err)
		}
	}
}

func TestFieldValue(t *testing.T) {
	for in, want := range map[string]string{
		"A: 1\r\n":                 "1",
		"A:1":                      "1",
		"A : a\r\n\tb\r\n  c \r\n": "a\tb  c",
		"A:\r\n b\r\n":             "b",
		"A: \x00\xff\n":            "\x00\xff",
		"A:\n":                     "",
		"A: a:b\n":                 "a:b",
	} {
		h, _ := readString(t, in)
		if got := h.Fields[0].Value(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestHeaderEdit(t *testing.T) {
	h, body := readString(t, "From bob\nsubject : a\njunk\nBCC: x@y\n z@y\nResent-Bcc: q@y\nTo: b\n\nbody\n")
	StripBcc(h)
	if err := h.Prepend("Date", "now"); err != nil {
		t.Fatal(err)
	}
	if err := h.Add("X-A", "1"); err != nil {
		t.Fatal(err)
	}
	want := "From bob\nDate: now\nsubject : a\njunk\nTo: b\nX-A: 1\n\nbody\n"
	if got := string(h.Bytes()) + body; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := h.DropFromLine(); got != "From bob" {
		t.Errorf("DropFromLine: got %q", got)
	}
	if h.Bad() != 1 {
		t.Errorf("Bad: got %d, want 1", h.Bad())
	}
}

// TestHeaderEditUnfinished: a field added to a header without end neither joins
// the last line nor becomes body.
func TestHeaderEditUnfinished(t *testing.T) {
	for in, want := range map[string]string{
		"":             "X: 1\r\n\r\n",
		"A: 1":         "A: 1\r\nX: 1\r\n\r\n",
		"A: 1\n":       "A: 1\nX: 1\n\n",
		"hello\nyou":   "X: 1\r\n\r\nhello\nyou",
		"A: 1\n\r":     "A: 1\n\r\r\nX: 1\n\n",
		"\nhello":      "X: 1\n\nhello",
		"A: 1\r\n\r\n": "A: 1\r\nX: 1\r\n\r\n",
	} {
		h, body := readString(t, in)
		if err := h.Add("X", "1"); err != nil {
			t.Fatal(err)
		}
		if got := string(h.Bytes()) + body; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestI2_HeaderInjection: whatever is accepted is one field, and reads back as
// the value given.
func TestI2_HeaderInjection(t *testing.T) {
	for c := range 0x110 {
		r := string(rune(c))
		refuse := c < ' ' && c != '\t' || c >= 0x7f && c < 0xa0
		for _, value := range []string{r, "a" + r + "X: b", "a" + r + " X: b"} {
			checkOneField(t, value, refuse)
		}
		if c >= 0x80 && c < 0x100 {
			checkOneField(t, string([]byte{'a', byte(c)}), true)
		}
	}
	for _, value := range []string{"a\r\nX: b", "a\n b", "a\r\n b", "\r\n", "a\u2028X: b", "a\u2029b", "\u0085", strings.Repeat("x", 1100)} {
		if err := new(Header).Add("Subject", value); err == nil {
			t.Errorf("value %.20q accepted", value)
		}
	}
	for _, name := range []string{"", "A B", "A:", "A\r\nB", "Ä", "A\x00", "\tA", strings.Repeat("x", 77)} {
		if err := new(Header).Add(name, "v"); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
}

func checkOneField(t *testing.T, value string, refuse bool) {
	t.Helper()
	h := &Header{}
	if err := h.Add("Subject", value); err != nil || refuse {
		if (err != nil) != refuse {
			t.Errorf("%q: got error %v, want one: %v", value, err, refuse)
		}
		return
	}
	back, body := readString(t, string(h.Bytes()))
	if got, _ := back.Get("Subject"); len(back.Fields) != 1 || body != "" || got != strings.Trim(value, " \t") {
		t.Errorf("%q: came back as %q", value, h.Bytes())
	}
}

func TestAddFolds(t *testing.T) {
	value := strings.TrimSpace(strings.Repeat("some longer words  and\tmore ", 40))
	h := &Header{}
	if err := h.Add("References", value); err != nil {
		t.Fatal(err)
	}
	if err := h.AddText("Subject", strings.Repeat("日本語 ü ", 50)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(h.Bytes()), "\r\n") {
		if len(line) > 76 {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	back, _ := readString(t, string(h.Bytes()))
	if got, _ := back.Get("References"); got != value {
		t.Errorf("got %q, want %q", got, value)
	}
	if got, _ := back.Get("Subject"); DecodeWords(got) != strings.Repeat("日本語 ü ", 50) {
		t.Errorf("got %q", DecodeWords(got))
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("From x\nA: 1\r\n b\njunk\n\nbody")
	f.Add("a\nb: c\n")
	f.Fuzz(func(t *testing.T, in string) {
		h, body := readString(t, in)
		if got := string(h.Bytes()) + body; got != in {
			t.Fatalf("round trip: got %q, want %q", got, in)
		}
		n := len(h.Fields)
		if err := h.Add("X-Added", "1"); err != nil {
			t.Fatal(err)
		}
		again, rest := readString(t, string(h.Bytes())+body)
		if got := again.Values("X-Added"); len(got) == 0 || got[len(got)-1] != "1" || rest != body || len(again.Fields) != n+1 {
			t.Fatalf("added field: %q became %q + %q", in, again.Bytes(), rest)
		}
		_, _, _ = Envelope(h)
	})
}

func BenchmarkReadHeader(b *testing.B) {
	in := []byte(strings.Repeat("Received: from a.example.org by b.example.org\r\n\twith ESMTP; Mon, 1 Jan 2024 00:00:00 +0000\r\n", 20) + "Subject: x\r\n\r\n")
	r := bytes.NewReader(in)
	br := bufio.NewReader(r)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(in)
		br.Reset(r)
		if _, err := ReadHeader(br); err != nil {
			b.Fatal(err)
		}
	}
}
