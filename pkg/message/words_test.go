package message

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeWords(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "hello =? there ?=", "hello =? there ?="},
		{"Q", "=?utf-8?Q?J=C3=BCrgen_Lee?=", "Jürgen Lee"},
		{"lower case", "=?UTF-8?q?=c3=bc?=", "ü"},
		{"B", "=?utf-8?B?SsO8?= x", "Jü x"},
		{"adjacent", "a =?utf-8?q?b?=\r\n =?utf-8?q?c?= d", "a bc d"},
		{"word beside text", "x=?utf-8?q?b?=y", "xby"},
		{"character split between words", "=?utf-8?B?5g==?= =?utf-8?B?l6U=?=", "日"},
		{"character split, other case of the charset", "=?UTF-8?Q?=E6?= =?utf-8?Q?=97=A5?=", "日"},
		{"latin1", "=?iso-8859-1?q?=FC=80?=", "ü€"},
		{"iso-2022-jp", "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"shift_jis", "=?Shift_JIS?B?k/qWew==?=", "日本"},
		{"gb2312", "=?gb2312?B?1tDOxA==?=", "中文"},
		{"big5", "=?big5?B?pKSk5Q==?=", "中文"},
		{"koi8-r", "=?koi8-r?Q?=F2=D5?=", "Ру"},
		{"hz", "=?hz-gb-2312?Q?~{VPND~}?=", "中文"},
		{"language", "=?utf-8*de?Q?=C3=BC?=", "ü"},
		{"unknown charset keeps ASCII", "=?x-unknown?Q?abc_=FC?=", "abc \ufffd"},
		{"unknown charset keeps UTF-8", "=?x-unknown?Q?abc_=C3=BC?=", "abc ü"},
		{"broken UTF-8", "=?utf-8?Q?a=FCb?=", "a\ufffdb"},
		{"no padding", "=?utf-8?B?SsO8Sg?=", "JüJ"},
		{"padding in the middle", "=?utf-8?B?Sg==Sg==?=", "JJ"},
		{"junk in base64", "=?utf-8?B?S s*O8?=", "Jü"},
		{"one base64 letter", "=?utf-8?B?S?=", ""},
		{"blank in Q", "=?utf-8?Q?a b?=", "a b"},
		{"question mark in Q", "=?utf-8?Q?a?b?=", "a?b"},
		{"bad hex", "=?utf-8?Q?a=ZZ=4?=", "a=ZZ=4"},
		{"ends with =", "=?utf-8?Q?a=?=", "a="},
		{"empty word", "a=?utf-8?Q??=b", "ab"},
		{"empty charset", "=??Q?a?=", "=??Q?a?="},
		{"other encoding", "=?utf-8?X?a?=", "=?utf-8?X?a?="},
		{"not finished", "=?utf-8?Q?a", "=?utf-8?Q?a"},
		{"raw 8-bit", "a\xfcb", "a\ufffdb"},
		{"raw 8-bit beside a word", "\xfc =?utf-8?q?a?=", "\ufffd a"},
		{"long charset", "=?" + strings.Repeat("x", 1000) + "?q?a?=", "=?" + strings.Repeat("x", 1000) + "?q?a?="},
	}
	for _, tt := range tests {
		if got := DecodeWords(tt.in); got != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

// TestM9_DecodeWordsExpansion: the result is valid and not much larger.
func TestM9_DecodeWordsExpansion(t *testing.T) {
	for _, charset := range []string{"utf-8", "utf-16", "utf-16be", "iso-2022-jp", "gb18030", "hz-gb-2312", "big5", "euc-kr", "iso-2022-kr", "koi8-r", "x-none", "replacement", "utf-7"} {
		for _, text := range []string{"=FF", "=1B", "=00", "=1B$B", "~{", "a", "=C0=AF", "=E6"} {
			in := "=?" + charset + "?q?" + strings.Repeat(text, 10000) + "?="
			got := DecodeWords(in)
			if !utf8.ValidString(got) || len(got) > 4*len(in) {
				t.Errorf("%s of %q: %d octets from %d, valid %v", charset, text, len(got), len(in), utf8.ValidString(got))
			}
		}
	}
}

func TestEncodeText(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"ASCII", "Hello (there), a_b", "Hello (there), a_b"},
		{"empty", "", ""},
		{"mostly ASCII is Q", "Grüße aus Bremen", "=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_Bremen?="},
		{"CJK is B", "日本語の件名", "=?utf-8?b?5pel5pys6Kqe44Gu5Lu25ZCN?="},
		{"looks encoded", "=?utf-8?q?a?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?="},
		{"line break", "a\r\nBcc: b", "=?utf-8?q?a=0D=0ABcc:_b?="},
		{"NUL", "abcdefgh\x00", "=?utf-8?q?abcdefgh=00?="},
		{"outer blanks", "  aaaaaa ", "=?utf-8?q?__aaaaaa_?="},
		{"invalid UTF-8", "aaaaaaaaaaaaa\xff", "=?utf-8?q?aaaaaaaaaaaaa=EF=BF=BD?="},
	}
	for _, tt := range tests {
		if got := EncodeText(tt.in, len("Subject")); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// checkEncoded holds RFC 2047 §2 and §5 against an encoded text.
func checkEncoded(t *testing.T, in, got string, nameLen int) {
	t.Helper()
	for i, line := range strings.Split(got, "\r\n") {
		used := len(line)
		if i == 0 {
			used += nameLen + 2
		} else if strings.TrimLeft(line, " \t") == line || strings.Trim(line, " \t") == "" {
			t.Fatalf("%q: line %q continues nothing", in, line)
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%q: control character in %q", in, line)
		}
		if strings.HasPrefix(strings.TrimSpace(line), "=?utf-8?") && used > 76 {
			t.Fatalf("%q: line of %d octets: %q", in, used, line)
		}
		for word := range strings.FieldsSeq(line) {
			if !strings.HasPrefix(word, "=?") {
				continue
			}
			if one := DecodeWords(word); len(word) > 75 || strings.Contains(one, "\ufffd") && !strings.Contains(strings.ToValidUTF8(in, "\ufffd"), "\ufffd") {
				t.Fatalf("%q: word %q is too long or splits a character: %q", in, word, one)
			}
		}
	}
	got = strings.TrimPrefix(got, "\r\n ") // blanks before the text are not part of it
	if back := DecodeWords(strings.ReplaceAll(got, "\r\n", "")); back != strings.ToValidUTF8(in, "\ufffd") {
		t.Fatalf("%q: encoded as %q, came back as %q", in, got, back)
	}
}

func TestEncodeTextLong(t *testing.T) {
	for _, piece := range []string{"ü", "日", "😀", "a ü ", "word ", "日 a", "x", "_?=", "\t", "a  b"} {
		for n := range 200 {
			in := strings.Repeat(piece, n)
			for _, nameLen := range []int{2, 7, 40, 70, 76} {
				checkEncoded(t, in, EncodeText(in, nameLen), nameLen)
			}
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("=?utf-8?q?a=FC?= =?utf-8?b?YQ==?=", 7)
	f.Add("日本\r\nX: y", 70)
	f.Fuzz(func(t *testing.T, s string, nameLen int) {
		if got := DecodeWords(s); !utf8.ValidString(got) || len(got) > 4*len(s)+8 {
			t.Fatalf("%q: %d octets, valid %v", s, len(got), utf8.ValidString(got))
		}
		nameLen &= 63
		enc := EncodeText(s, nameLen)
		checkEncoded(t, s, enc, nameLen)
		// A second opinion.
		dec := mime.WordDecoder{}
		if other, err := dec.DecodeHeader(strings.ReplaceAll(strings.TrimPrefix(enc, "\r\n "), "\r\n", "")); err != nil || other != strings.ToValidUTF8(s, "\ufffd") {
			t.Fatalf("%q: encoded as %q, package mime reads %q, %v", s, enc, other, err)
		}
	})
}

func BenchmarkDecodeWords(b *testing.B) {
	s := "=?utf-8?Q?J=C3=BCrgen_Lee?= <a@example.org>"
	b.ReportAllocs()
	for b.Loop() {
		DecodeWords(s)
	}
}
