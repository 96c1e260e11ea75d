package mimetree

import (
	"fmt"
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParams(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "text/plain; charset=utf-8", "text/plain charset=utf-8"},
		{"case", "TEXT/Plain; CharSet=UTF-8", "text/plain charset=UTF-8"},
		{"quoted", `a/b; name="x;y \"z\" \\"`, `a/b name=x;y "z" \`},
		{"windows path", `a/b; name="C:\dir\a.txt"`, `a/b name=C:\dir\a.txt`},
		{"blanks around", "a/b ; name = x ; y = \"z\" ", "a/b name=x y=z"},
		{"comments", "a/b (one); (two (deep)) charset=x (three); y=z", "a/b charset=x y=z"},
		{"comment before the type", "(c) a/b; x=y", "a/b x=y"},
		{"double semicolon", "a/b;; name=x;", "a/b name=x"},
		{"continuations", `a/b; name*0="one "; name*1=two`, "a/b name=one two"},
		{"continuations out of order", `a/b; name*2=c; name*0=a; name*1=b`, "a/b name=abc"},
		{"extended", "a/b; name*=utf-8''%C3%A9%20x", "a/b name=é x"},
		{"extended latin1", "a/b; name*=iso-8859-1'fr'%E9.txt", "a/b name=é.txt"},
		{"extended pieces split a character", "a/b; name*0*=utf-8''%C3; name*1*=%A9; name*2=%41", "a/b name=é%41"},
		{"extended without charset", "a/b; name*=%C3%A9", "a/b name=é"},
		{"extended bad escape", "a/b; name*=utf-8''%4x%", "a/b name=%4x%"},
		{"conflict", "a/b; name=a.txt; name*=utf-8''b.txt", "a/b name=b.txt (parameter-conflict)"},
		{"conflict in the extension", "a/b; name=a.txt; name*=utf-8''%C3%A9.exe", "a/b name=é.exe (parameter-conflict)"},
		{"a copy is no conflict", "a/b; name=\"_bersicht.pdf\"; name*=utf-8''%C3%9Cbersicht.pdf", "a/b name=Übersicht.pdf"},
		{"duplicate", "a/b; name=x; name=y", "a/b name=x (parameter-duplicate)"},
		{"gap", "a/b; name*0=a; name*2=c", "a/b name=a (parameter-gap)"},
		{"starts at one", "a/b; name*1=a; name*2=b", "a/b name=ab (parameter-gap)"},
		{"piece twice", "a/b; name*0=a; name*0=b; name*1=c", "a/b name=ac (parameter-duplicate)"},
		{"unquoted blanks", "a/b; name=my file (1).txt", "a/b name=my file (1).txt (parameter-malformed)"},
		{"unquoted encoded word", "a/b; name==?utf-8?q?=C3=A9?=.txt", "a/b name=é.txt (parameter-encoded)"},
		{"quoted encoded word", `a/b; name="=?utf-8?b?w6k=?="`, "a/b name=é (parameter-encoded)"},
		{"encoded word over two pieces", `a/b; name*0="=?utf-8?q?=C3="; name*1="A9?="`, "a/b name=é (parameter-encoded)"},
		{"raw utf-8", "a/b; name=\"é\"", "a/b name=é (parameter-malformed)"},
		{"raw latin1", "a/b; name=\"\xe9\"", "a/b name=é (parameter-malformed)"},
		{"quote does not end", `a/b; name="x; y=z`, "a/b name=x; y=z (parameter-malformed)"},
		{"text after the quote", `a/b; name="x"y; z=1`, "a/b name=x z=1 (parameter-malformed)"},
		{"no value", "a/b; name; x=y", "a/b x=y (parameter-malformed)"},
		{"no name", "a/b; =x; y=z", "a/b y=z (parameter-malformed)"},
		{"no semicolon", "text/plain charset=utf-8", "text/plain charset=utf-8 (parameter-malformed)"},
		{"type only", "text", "text/plain (media-type-invalid)"},
		{"empty", "", "text/plain (media-type-invalid)"},
		{"three parts", "a/b/c", "text/plain (media-type-invalid)"},
		{"boundary as written", "multipart/mixed; boundary=\"=?x?\xe9\"", "multipart/mixed boundary==?x?\xe9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind, params, defects := ParseMediaType(tt.in)
			got := kind
			for _, p := range params {
				got += " " + p.Name + "=" + p.Value
			}
			if defects != nil {
				got += " (" + defectIDs(defects) + ")"
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestM4_Pieces(t *testing.T) {
	for n, want := range map[int]string{1000: "", 1001: "parameter-limit", 100_000: "parameter-limit"} {
		var b strings.Builder
		b.WriteString("a/b")
		for i := range n {
			fmt.Fprintf(&b, "; name*%d=x", i)
		}
		_, params, defects := ParseMediaType(b.String())
		if got := params.Get("name"); len(got) != min(n, 1000) || defectIDs(defects) != want {
			t.Errorf("%d pieces: %d octets, %v", n, len(got), defects)
		}
	}
}

func TestFormatParam(t *testing.T) {
	values := []string{"", "a", "a b", "é", strings.Repeat("x", 300), strings.Repeat("日本", 100) + ".tar.gz", `a"b\c`, "a'b%c*d", "=?utf-8?q?x?=", "a;b,c", "\xff", "a\u202eb"}
	for _, v := range values {
		field := string(appendField(nil, "Content-Disposition", "attachment", formatParam("filename", v)...))
		for line := range strings.Lines(field) {
			if len(line) > 77 {
				t.Errorf("%q: line of %d: %q", v, len(line), line)
			}
		}
		value := strings.ReplaceAll(strings.TrimPrefix(field, "Content-Disposition: "), "\n", "")
		_, params, defects := ParseDisposition(value)
		want := strings.ToValidUTF8(v, "\ufffd")
		if got := params.Get("filename"); got != want || defects != nil {
			t.Errorf("%q: got %q, %v from %q", v, got, defects, value)
		}
		if !strings.Contains(value, "filename*") {
			if _, std, err := mime.ParseMediaType(value); err != nil || std["filename"] != want {
				t.Errorf("%q: the standard library has %q, %v", v, std["filename"], err)
			}
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add("text/plain; charset=utf-8; name*0*=utf-8''%C3; name*1*=%A9")
	f.Add(`a/b; x="y\"z"; (comment) q=1`)
	f.Fuzz(func(t *testing.T, in string) {
		kind, params, _ := ParseMediaType(in)
		if k, s, ok := strings.Cut(kind, "/"); !ok || !isToken(k) || !isToken(s) {
			t.Errorf("type %q", kind)
		}
		for _, p := range params {
			if !isToken(p.Name) || p.Name != "boundary" && !utf8.ValidString(p.Value) {
				t.Errorf("parameter %q=%q", p.Name, p.Value)
			}
			if p.Name == "boundary" {
				continue
			}
			again := "a/b; " + strings.Join(formatParam(p.Name, p.Value), "; ")
			if _, q, _ := ParseMediaType(again); len(p.Name) < 30 && !strings.Contains(p.Name, "*") && !strings.ContainsAny(p.Value, "\r\n") && q.Get(p.Name) != p.Value {
				t.Errorf("%q written as %q, read as %q", p.Value, again, q.Get(p.Name))
			}
		}
		if std, stdParams, err := mime.ParseMediaType(in); err == nil && strings.Contains(std, "/") && !strings.ContainsAny(in, "*()\\%\x00") && utf8.ValidString(in) && !strings.Contains(in, "=?") {
			for name, v := range stdParams {
				if got := params.Get(name); got != v && name != "boundary" {
					t.Errorf("%q: the standard library has %s=%q, got %q", in, name, v, got)
				}
			}
		}
	})
}
