package message

import (
	"encoding/xml"
	"errors"
	"net/mail"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseAddressList(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("(", n) + strings.Repeat(")", n) + "a@b" }
	tests := []struct {
		name, in string
		want     string // Name|Addr;..., "!" when refused
	}{
		{"empty", "", ""},
		{"blanks and commas", " , ,\r\n ", ""},
		{"plain", "alice@example.org", "|alice@example.org"},
		{"angle", "<alice@example.org>", "|alice@example.org"},
		{"name", "Alice Lee <alice@example.org>", "Alice Lee|alice@example.org"},
		{"initial", "Alice B. Lee <a@b>", "Alice B. Lee|a@b"},
		{"quoted name", `"Lee, Alice \"x\"" <a@b>`, `Lee, Alice "x"|a@b`},
		{"name without blank", "Alice<a@b>", "Alice|a@b"},
		{"two", "a@b, c@d", "|a@b;|c@d"},
		{"semicolon", "a@b; C <c@d>", "|a@b;C|c@d"},
		{"comment name", "a@b (Alice Lee)", "Alice Lee|a@b"},
		{"comments everywhere", "(x)a(y(z))@(\\))b(Alice)", "Alice|a@b"},
		{"comment does not name the next", "a@b (Alice), c@d", "Alice|a@b;|c@d"},
		{"group", "Team: a@b, C <c@d>;, e@f", "|a@b;C|c@d;|e@f"},
		{"empty group", "undisclosed-recipients:;", ""},
		{"group not closed", "Team: a@b", "|a@b"},
		{"route", "<@x,@y.z:a@b>", "|a@b"},
		{"quoted local needed", `"a b"@c`, `|"a b"@c`},
		{"quoted local not needed", `"alice"@c`, "|alice@c"},
		{"obsolete local part", `a."b".c@d`, "|a.b.c@d"},
		{"obsolete blanks", "a . b @ c . d", "|a.b@c.d"},
		{"two dots become quoted", "a..b@docomo.example", `|"a..b"@docomo.example`},
		{"domain literal", "a@[192.0.2.1]", "|a@[192.0.2.1]"},
		{"UTF-8", "Jürgen <jürgen@exämple.org>", "Jürgen|jürgen@exämple.org"},
		{"8-bit name", "J\xfcrgen <j@b>", "J\ufffdrgen|j@b"},
		{"encoded words", "=?utf-8?Q?J=C3=BC?= =?utf-8?Q?rgen?= Lee <j@b>", "Jürgen Lee|j@b"},
		{"comma in encoded word", "=?utf-8?Q?Lee,_Alice?= <j@b>", "Lee, Alice|j@b"},
		{"encoded word in quotes", `"=?utf-8?Q?J=C3=BC?=" <j@b>`, "Jü|j@b"},
		{"encoded word is no local part", "=?utf-8?Q?a?=@b", "|=?utf-8?Q?a?=@b"},
		{"folded", "a@b,\r\n\t\"x\r\n y\" <c@d>", "|a@b;x y|c@d"},
		{"name is the address", "a@b <a@b>", "a@b|a@b"},
		{"at alone in the name", "Alice @ Home <a@b>", "Alice @ Home|a@b"},
		{"100 comments deep", nest(100), nest(100)[1:199] + "|a@b"},
		// Class I5: readers that see another address here exist.
		{"I5 quoted address as local part", `"a@evil x"@internal`, `|"a@evil x"@internal`},
		{"I5 quoted angle address", `"<a@evil>"@internal`, `|"<a@evil>"@internal`},
		{"I5 quoted list", `"a@evil,b"@internal`, `|"a@evil,b"@internal`},
		{"I5 address in comment", "a@b (c@evil)", "c@evil|a@b"},
		{"I5 quoted address as name", `"c@evil" <a@b>`, "c@evil|a@b"},
		{"I5 encoded address", "=?utf-8?Q?c=40evil=2C?= <a@b>", "c@evil,|a@b"},
		{"I5 other address as name", "c@evil <a@b>", "!"},
		{"I5 two angles", "<a@b> <c@d>", "!"},
		{"I5 nested angles", "<a@b <c@d>>", "!"},
		{"I5 text after angle", "<a@b> c@d", "!"},
		{"I5 two at", "a@b@c", "!"},
		{"I5 no comma", "a@b c@d", "!"},
		{"I5 unquoted comma", "Doe, John <j@x>", "!"},
		{"I5 encoded word with specials as local part", "=?utf-8?Q?x@evil?=@b", "!"},
		{"two words as local part", "hello world@b", "!"},
		{"word beside quotes", `a"b"@c`, "!"},
		{"no at", "alice", "!"},
		{"no local part", "@b", "!"},
		{"no domain", "a@", "!"},
		{"null address", "<>", "!"},
		{"dot domain", "a@b..c", "!"},
		{"text after literal", "a@[1]b", "!"},
		{"open angle", "<a@b", "!"},
		{"close angle", "a@b>", "!"},
		{"open quote", `"a@b`, "!"},
		{"open comment", "(a@b", "!"},
		{"close comment", "a@b)", "!"},
		{"open literal", "a@[b", "!"},
		{"open route", "<@x a@b>", "!"},
		{"101 comments deep", nest(101), "!"},
		{"group in group", "A: B: a@b;;", "!"},
		{"NUL", "a\x00@b", "!"},
		{"NUL in quotes", "\"a\x00\"@b", "!"},
		{"escaped LF in quotes", "\"a\\\nb\"@c", "!"},
		{"8-bit address", "\xfc@b", "!"},
		{"backslash", `a\@b`, "!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := ParseAddressList(tt.in)
			var parts []string
			for _, a := range list {
				parts = append(parts, a.Name+"|"+a.Addr)
			}
			got := strings.Join(parts, ";")
			if err != nil {
				got = "!"
				var e *Error
				if !errors.As(err, &e) || list != nil {
					t.Errorf("error %v is no *Error, or comes with a list", err)
				}
			}
			if got != tt.want {
				t.Errorf("%q: got %q (%v), want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

// TestM6_AddressBombs: lists of a megabyte, made to hurt, end within a time that
// only a quadratic parser misses.
func TestM6_AddressBombs(t *testing.T) {
	for _, piece := range []string{"a", "(", "()", "\"", "\"\"", "<", "@", "a@b,", "a@b ", ",", ";", "a:", "[", "\\", ".", " ",
		"=?", "=?a?q?", "=?a?q?b?= ", "=?a?q?,?=", "(\\", "a ", "\"a\" ", "a@[", "<@a,", "\xff", "a@", "@b "} {
		size := 1 << 20
		if testing.Short() {
			size = 1 << 17
		}
		s := strings.Repeat(piece, size/len(piece))
		for name, parse := range map[string]func(){
			"list":      func() { _, _ = ParseAddressList(s) },
			"list+addr": func() { _, _ = ParseAddressList(s + "@b <a@b>") },
			"words":     func() { _ = DecodeWords(s) },
			"date":      func() { _, _ = ParseDate(s[:maxDateBytes-len(piece)]) },
			"check":     func() { _ = CheckAddress(s) },
			"encode":    func() { _ = EncodeText(s, 7) },
			"format":    func() { _ = FormatAddress(Address{s, "a@b"}) },
		} {
			start := time.Now()
			parse()
			if d := time.Since(start); d > 60*time.Second {
				t.Errorf("%s of much of %q: %v", name, piece, d)
			} else if d > 100*time.Millisecond {
				t.Logf("%s of much of %q: %v", name, piece, d)
			}
		}
	}
	if _, err := ParseAddressList(strings.Repeat("a@b,", MaxAddresses) + "a@b"); err == nil {
		t.Error("list over the cap accepted")
	}
	if list, err := ParseAddressList(strings.Repeat("a@b,", MaxAddresses)); err != nil || len(list) != MaxAddresses {
		t.Errorf("list at the cap: %d, %v", len(list), err)
	}
}

// TestM6_AddressAllocs: allocations grow with the input, not with its square.
func TestM6_AddressAllocs(t *testing.T) {
	for _, piece := range []string{"a@b,", "\"a\" ", "=?utf-8?q?a?= ", "(c)", "A: a@b;"} {
		octets := func(n int) uint64 {
			s := strings.Repeat(piece, n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = ParseAddressList(s)
			_ = DecodeWords(s)
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		if one, two := octets(8000), octets(16000); two*10 > one*26 {
			t.Errorf("%q: %d octets for n, %d for 2n", piece, one, two)
		}
	}
}

func TestFormatAddress(t *testing.T) {
	tests := []struct {
		a    Address
		want string
	}{
		{Address{"", "a@b"}, "a@b"},
		{Address{"Alice Lee", "a@b"}, "Alice Lee <a@b>"},
		{Address{"Alice B. Lee", "a@b"}, `"Alice B. Lee" <a@b>`},
		{Address{`Lee "x\`, "a@b"}, `"Lee \"x\\" <a@b>`},
		{Address{"Jürgen", "a@b"}, "=?utf-8?q?J=C3=BCrgen?= <a@b>"},
		{Address{"日本", "a@b"}, "=?utf-8?b?5pel5pys?= <a@b>"},
		{Address{"a\r\nBcc: x", "a@b"}, "=?utf-8?q?a=0D=0ABcc=3A_x?= <a@b>"},
		{Address{"=?utf-8?q?x?=", "a@b"}, "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?= <a@b>"},
	}
	for _, tt := range tests {
		got := FormatAddress(tt.a)
		if got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.a, got, tt.want)
		}
		if back, err := ParseAddress(got); err != nil || back != tt.a {
			t.Errorf("%q: came back as %+v, %v", got, back, err)
		}
	}
}

// TestI1_CheckAddress puts every octet into every kind of place.
func TestI1_CheckAddress(t *testing.T) {
	const atext = "!#$%&'*+-/=?^_`{|}~"
	isAlnum := func(c int) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for c := range 256 {
		b := string([]byte{byte(c)})
		dot := c == '.'
		places := []struct {
			name, addr string
			want       bool
		}{
			{"local part", "x" + b + "y@example.org", isAlnum(c) || dot || strings.Contains(atext, b)},
			{"local part start", b + "y@example.org", isAlnum(c) || strings.Contains(atext, b)},
			{"local part end", "x" + b + "@example.org", isAlnum(c) || strings.Contains(atext, b)},
			{"quoted local part", `"x` + b + `y"@example.org`, c >= ' ' && c < 0x7f && c != '"' && c != '\\' || c == '\\'},
			{"escaped", `"x\` + b + `"@example.org`, c >= ' ' && c < 0x7f && c != '"' || false},
			{"domain", "x@a" + b + "c.org", isAlnum(c) || dot || c == '-' || c == '_'},
			{"domain start", "x@" + b + "a.org", isAlnum(c) || c == '_'},
			{"domain end", "x@a.org" + b, isAlnum(c) || c == '_'},
			{"literal", "x@[192.0.2.1" + b + "]", c >= '0' && c <= '9'},
			{"before", b + `"x"@example.org`, false},
			{"after quotes", `"x"` + b + `@example.org`, false},
			{"after literal", "x@[192.0.2.1]" + b, false},
		}
		for _, p := range places {
			want := p.want
			if p.name == "escaped" && c == '"' {
				want = true
			}
			if err := CheckAddress(p.addr); (err == nil) != want {
				t.Errorf("octet %#02x in %s: %q: got %v, want accepted %v", c, p.name, p.addr, err, want)
			}
		}
	}
}

func TestCheckAddressUnicode(t *testing.T) {
	for addr, want := range map[string]bool{
		"jürgen@exämple.org":  true,
		"用户@例子.example":       true,
		"\"ü ü\"@example.org": true,
		"a\u2028b@c":          false, "a\u2029@c": false, "a\u0085@c": false, // line breaks
		"a\u00a0b@c": false, "a\u3000b@c": false, "\"a\u00a0b\"@c": false, // blanks
		"a\u202eb@c": false, "a\ufeff@c": false, "a\u200b@c": false, // invisible
		"a\uff20b@c": false, "a@b\uff0ec": false, "a@b\u2024c": false, "a@b\uff1e": false, "a@b\ufe6b": false, // become @ . >
		"a\xff@c": false, "": false, "@": false, "postmaster": false, "<a@b>": false, "a@b c@d": false,
		strings.Repeat("a", 255) + "@b": true,
		strings.Repeat("a", 256) + "@b": false,
		"-x@example.org":                true,
	} {
		if err := CheckAddress(addr); (err == nil) != want {
			t.Errorf("%q: got %v, want accepted %v", addr, err, want)
		}
	}
}

func TestCheckAddressIsemail(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpora(t), "isemail", "tests.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Tests []struct {
			ID        string `xml:"id,attr"`
			Address   string `xml:"address"`
			Category  string `xml:"category"`
			Diagnosis string `xml:"diagnosis"`
		} `xml:"test"`
	}
	if err := xml.Unmarshal(data, &set); err != nil || len(set.Tests) < 160 {
		t.Fatalf("%d tests, %v", len(set.Tests), err)
	}
	// In these categories only SMTP's own limits are stricter or wider.
	otherAccepted := []string{ // accepted although not RFC 5321, and why
		"26", "59", "60", // local part over 64 octets: the server judges
		"39", "40", // over 254 octets in all: likewise
		"71", // IPv6 "::" for one group, deprecated only
	}
	for _, tt := range set.Tests {
		addr := strings.Map(func(r rune) rune {
			if r >= 0x2400 && r <= 0x2420 {
				return r - 0x2400
			}
			return r
		}, tt.Address)
		want := slices.Contains(otherAccepted, tt.ID)
		switch strings.TrimPrefix(tt.Category, "ISEMAIL_") {
		case "VALID_CATEGORY", "DNSWARN", "RFC5321":
			want = true
		}
		if err := CheckAddress(addr); (err == nil) != want {
			t.Errorf("test %s %q (%s %s): got %v, want accepted %v", tt.ID, addr, tt.Category, tt.Diagnosis, err, want)
		}
	}
}

func TestCheckAddressFlanker(t *testing.T) {
	exceptions := map[string]string{
		`Bill Gates <"billy"@retired.Micr!osoft99.com>`: "! may stand in a domain of RFC 5322, not of RFC 5321",
		"test@xn--example.com":                          "a label with a prefix: whether it decodes is for the name server",
	}
	for _, set := range []struct {
		file string
		want bool
	}{{"mailbox_valid.txt", true}, {"mailbox_invalid.txt", false}} {
		data, err := os.ReadFile(filepath.Join(corpora(t), "flanker", set.file))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			if i := strings.Index(line, "   #"); i >= 0 {
				line = line[:i]
			}
			if line = strings.TrimRight(line, " \r"); line == "" || line[0] == '#' {
				continue
			}
			count++
			// The valid ones are mailboxes, the invalid ones bare addresses.
			addr := line
			if set.want {
				a, err := ParseAddress(line)
				if err != nil {
					t.Errorf("%s: %q: %v", set.file, line, err)
				}
				addr = a.Addr
			}
			if err := CheckAddress(addr); (err == nil) != (set.want != (exceptions[line] != "")) {
				t.Errorf("%s: %q: got %v, want accepted %v", set.file, line, err, set.want)
			}
		}
		if count < 30 {
			t.Errorf("%s: only %d cases", set.file, count)
		}
	}
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"A: a@b, \"c d\" <e@f>;", "(x)a@[1]", "=?utf-8?q?a,b?= <c@d>", `"a@evil x"@internal`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseAddressList(s)
		if err != nil {
			return
		}
		for _, a := range list {
			text := FormatAddress(a)
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Fatalf("%q: line break in %q", s, text)
			}
			back, err := ParseAddress(text)
			if err != nil || back.Addr != a.Addr || back.Name != a.Name && a.Name == strings.TrimSpace(a.Name) {
				t.Fatalf("%q: %+v written as %q came back as %+v, %v", s, a, text, back, err)
			}
			if CheckAddress(a.Addr) != nil || !isPrintableASCII(a.Addr) {
				continue
			}
			// A second opinion on where the mail goes.
			if other, err := mail.ParseAddress("<" + a.Addr + ">"); err == nil {
				_, domain, _ := splitAddress(a.Addr)
				if !strings.HasSuffix(other.Address, "@"+domain) {
					t.Fatalf("%q: %q, but net/mail says %q", s, a.Addr, other.Address)
				}
			}
		}
	})
}

func BenchmarkParseAddressList(b *testing.B) {
	s := strings.Repeat("\"Lee, Alice\" <alice@example.org>, bob@example.org, ", 50)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAddressList(s); err != nil {
			b.Fatal(err)
		}
	}
}
