package imapwire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// textSource is a Source over text in memory.
type textSource struct{ r *bufio.Reader }

func newTextSource(text string) *textSource {
	return &textSource{bufio.NewReader(strings.NewReader(text))}
}

func (s *textSource) ReadLine(max int) ([]byte, error) {
	line, err := s.r.ReadBytes('\n')
	if err != nil {
		if len(line) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > max {
		return nil, errors.New("line too long")
	}
	return line, nil
}

func (s *textSource) Literal(n int64) io.Reader { return io.LimitReader(s.r, n) }

func decode(text string) *Decoder {
	d := NewDecoder(newTextSource(text+"\r\n"), nil)
	d.Next()
	return d
}

// sink is an Output that keeps what it gets.
type sink struct{ bytes.Buffer }

func (s *sink) WriteLine(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("line end in %q", line)
	}
	s.WriteString(line + "\r\n")
	return nil
}

func TestSetParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"one", "7", "7"},
		{"ranges", "1:100,205", "1:100,205"},
		{"star", "*", "*"},
		{"open", "900:*", "900:*"},
		{"open backwards", "*:900", "900:*"},
		{"backwards", "9:3", "3:9"},
		{"merge", "1,2,3,5", "1:3,5"},
		{"unsorted", "20:30,1,25:40", "1,20:40"},
		{"joins both sides", "1:3,5:7,4", "1:7"},
		{"swallows", "5,7,9,1:10", "1:10"},
		{"insert in the middle", "1,100,50", "1,50,100"},
		{"everything", "1:4294967295", "1:4294967295"},
		{"last number", "4294967295,4294967294", "4294967294:4294967295"},
		{"closed under open", "10:20,15:*", "10:*"},
		{"open then closed", "15:*,20,1", "1,15:*"},
		{"star under open", "*,5:*", "5:*"},
		{"star besides", "3,*", "3,*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseUIDSet(tt.in)
			if err != nil || s.String() != tt.want {
				t.Errorf("got %q, %v, want %q", s.String(), err, tt.want)
			}
		})
	}
}

func TestSetParseErrors(t *testing.T) {
	for _, in := range []string{"", "0", "-1", "+1", "1,", ",1", "1,,2", "4294967296", "1:", ":1", "a", "1:2:3", "1 2", "18446744073709551617", "$"} {
		if s, err := ParseUIDSet(in); err == nil {
			t.Errorf("ParseUIDSet(%q) = %v, want an error", in, s)
		}
	}
}

func TestS5_HugeSetStaysSmall(t *testing.T) {
	s, err := ParseUIDSet("1:4294967295")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(s.Ranges()); got != 1 {
		t.Errorf("got %d ranges, want 1", got)
	}
	if got := s.Count(); got != 4294967295 {
		t.Errorf("got count %d, want 4294967295", got)
	}
	if !s.Contains(1) || !s.Contains(4294967295) || s.Contains(0) {
		t.Error("Contains is wrong at the ends")
	}
	n := 0
	for range s.All() {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("iterated %d, want to stop at 10", n)
	}
}

func TestSetContainsDynamic(t *testing.T) {
	s, _ := ParseUIDSet("3,900:*")
	for n, want := range map[UID]bool{1: false, 3: true, 4: false, 899: false, 900: true, 4294967295: true} {
		if got := s.Contains(n); got != want {
			t.Errorf("Contains(%d) = %v, want %v", n, got, want)
		}
	}
	if !s.Dynamic() || s.Empty() {
		t.Error("900:* is dynamic and not empty")
	}
}

func TestSetMinus(t *testing.T) {
	tests := []struct{ a, b, want string }{
		{"1:10", "3:5", "1:2,6:10"},
		{"1:10", "1:10", ""},
		{"1:10", "11", "1:10"},
		{"1:3,7:9", "2:8", "1,9"},
		{"5,7,9", "7", "5,9"},
		{"1:4294967295", "4294967295", "1:4294967294"},
		{"1:10,20:*", "5:*", "1:4"},
	}
	for _, tt := range tests {
		a, _ := ParseUIDSet(tt.a)
		b, _ := ParseUIDSet(tt.b)
		if got := a.Minus(b).String(); got != tt.want {
			t.Errorf("%s minus %s = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestSetSplit(t *testing.T) {
	var s UIDSet
	for i := UID(1); i < 3000; i += 2 {
		s.Add(i)
	}
	var joined UIDSet
	for _, part := range s.Split(100) {
		if n := len(part.String()); n > 100 {
			t.Errorf("part of %d octets, want at most 100", n)
		}
		joined.AddSet(part)
	}
	if joined.String() != s.String() {
		t.Error("the parts do not make the whole")
	}
}

func TestI4_MailboxNames(t *testing.T) {
	tests := []struct{ name, utf8, wire string }{
		{"ascii", "Archive", "Archive"},
		{"ampersand", "R&D", "R&-D"},
		{"only ampersand", "&", "&-"},
		{"german", "Entwürfe", "Entw&APw-rfe"},
		{"rfc example", "~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
		{"emoji", "🙂", "&2D3eQg-"},
		{"wildcards", "a*b%c", "a*b%c"},
		{"quotes", `a"b\c`, `a"b\c`},
		{"control", "a\tb\r\nc", "a&AAk-b&AA0ACg-c"},
		{"dash after", "é-", "&AOk--"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EncodeUTF7(tt.utf8)
			if err != nil || got != tt.wire {
				t.Errorf("encode: got %q, %v, want %q", got, err, tt.wire)
			}
			back, ok := DecodeUTF7(tt.wire)
			if !ok || back != tt.utf8 {
				t.Errorf("decode: got %q, %v, want %q", back, ok, tt.utf8)
			}
		})
	}
	for _, bad := range []string{"a&b", "&", "&AA", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "\x80", "a\x01", "&AAA-", "&APw=-", "&AP x-"} {
		if got, ok := DecodeUTF7(bad); ok || got != bad {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want it unchanged and not ok", bad, got, ok)
		}
	}
	for _, bad := range []string{"a\x00b", "\xff"} {
		if got, err := EncodeUTF7(bad); err == nil {
			t.Errorf("EncodeUTF7(%q) = %q, want an error", bad, got)
		}
	}
}

func TestS1_LiteralSizes(t *testing.T) {
	const limit = 1 << 20
	body := strings.Repeat("x", limit+1)
	tests := []struct {
		name, announce string
		send           int
		ok             bool
	}{
		{"zero", "0", 0, true},
		{"below", "1048575", limit - 1, true},
		{"at", "1048576", limit, true},
		{"above", "1048577", limit + 1, false},
		{"2^31", "2147483648", 10, false},
		{"2^32", "4294967296", 10, false},
		{"2^63-1", "9223372036854775807", 10, false},
		{"2^63", "9223372036854775808", 10, false},
		{"2^64", "18446744073709551616", 10, false},
		{"2^64+3", "18446744073709551619", 3, false},
		{"negative", "-5", 5, false},
		{"plus", "+5", 5, false},
		{"plus behind", "5+", 5, false},
		{"empty", "", 0, false},
		{"leading zeros", "0005", 5, true},
		{"space", " 5", 5, false},
		{"hex", "0x5", 5, false},
		{"short", "50", 10, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(newTextSource("{"+tt.announce+"}\r\n"+body[:tt.send]+" tail\r\n"), nil)
			d.Next()
			got := d.String()
			d.SP()
			if tail := d.Atom(); tt.ok && tail != "tail" {
				t.Errorf("tail is %q, want it behind the literal", tail)
			}
			if ok := d.Err() == nil; ok != tt.ok || (ok && len(got) != tt.send) {
				t.Errorf("got %d octets and error %v, want ok %v", len(got), d.Err(), tt.ok)
			}
		})
	}
}

func TestS1_AnnouncedSizeIsNotAllocated(t *testing.T) {
	const runs = 50
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		d := NewDecoder(newTextSource("{1000000}\r\nshort"), nil)
		d.Next()
		if _ = d.String(); d.Err() == nil {
			t.Fatal("want an error")
		}
	}
	runtime.ReadMemStats(&after)
	allocs := (after.TotalAlloc - before.TotalAlloc) / runs
	if allocs > 64<<10 {
		t.Errorf("allocated %d octets for a literal that never came", allocs)
	}
}

func TestS1_StreamedLiteral(t *testing.T) {
	d := NewDecoder(newTextSource("BODY {5}\r\nhello UID 7)\r\n"), nil)
	d.Next()
	d.Keyword()
	d.SP()
	r, size, ok := d.NStringReader()
	if !ok || size != 5 {
		t.Fatalf("got size %d, %v, want 5", size, ok)
	}
	var one [1]byte
	io.ReadFull(r, one[:]) // the rest is discarded
	d.EndBody()
	d.SP()
	if word := d.Keyword(); word != "UID" {
		t.Errorf("got %q behind the literal, want UID: %v", word, d.Err())
	}
}

func TestStreamedLiteralWriteTo(t *testing.T) {
	d := NewDecoder(newTextSource("{5}\r\nhello)\r\n"), nil)
	d.Next()
	r, _, _ := d.NStringReader()
	broken := errors.New("disk full")
	if _, err := io.Copy(failWriter{broken}, r); err != broken {
		t.Errorf("got %v, want the writer's error", err)
	}
	d.EndBody()
	if !d.Accept(')') || d.Err() != nil {
		t.Errorf("a failing writer must not break the stream: %v", d.Err())
	}
}

type failWriter struct{ err error }

func (f failWriter) Write([]byte) (int, error) { return 0, f.err }

func TestS4_Nesting(t *testing.T) {
	for _, tt := range []struct {
		depth int
		ok    bool
	}{{99, true}, {100, true}, {101, false}, {100_000, false}} {
		text := strings.Repeat("(", tt.depth) + strings.Repeat(")", tt.depth)
		d := decode(text)
		d.Value()
		if ok := d.Err() == nil; ok != tt.ok {
			t.Errorf("Value, depth %d: %v, want ok %v", tt.depth, d.Err(), tt.ok)
		}
		d = decode(text)
		d.Skip()
		if ok := d.Err() == nil; ok != tt.ok {
			t.Errorf("Skip, depth %d: %v, want ok %v", tt.depth, d.Err(), tt.ok)
		}
	}
}

func TestS5_Counts(t *testing.T) {
	d := decode("(" + strings.Repeat("a ", 200_000) + "a)")
	if d.Flags(); d.Err() == nil {
		t.Error("a list over the cap was accepted")
	}
	d = decode("(" + strings.Repeat("(a)", 100_000) + ")")
	if d.Value(); d.Err() == nil {
		t.Error("a structure over the cap was accepted")
	}
}

func TestS7_Numbers(t *testing.T) {
	tests := []struct {
		name, in string
		read     func(*Decoder) any
		want     any
		ok       bool
	}{
		{"uint32 max", "4294967295", func(d *Decoder) any { return d.Number() }, uint32(4294967295), true},
		{"uint32 over", "4294967296", func(d *Decoder) any { return d.Number() }, uint32(0), false},
		{"zero uid", "0", func(d *Decoder) any { return d.NZNumber() }, uint32(0), false},
		{"63 bits", "9223372036854775807", func(d *Decoder) any { return d.Number64() }, int64(1<<63 - 1), true},
		{"over 63 bits", "9223372036854775808", func(d *Decoder) any { return d.Number64() }, int64(0), false},
		{"no digits", "x", func(d *Decoder) any { return d.Number() }, uint32(0), false},
		{"negative", "-1", func(d *Decoder) any { return d.Number() }, uint32(0), false},
		{"negative modseq", "-1", func(d *Decoder) any { return d.ModSeq() }, uint64(0), true},
		{"zero modseq", "0", func(d *Decoder) any { return d.ModSeq() }, uint64(0), true},
		{"modseq over", "9223372036854775808", func(d *Decoder) any { return d.ModSeq() }, uint64(0), false},
		{"negative lines", "-1", func(d *Decoder) any { return d.SignedNumber(NegativeNumber) }, int64(0), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(tt.in)
			got := tt.read(d)
			if ok := d.Err() == nil; got != tt.want || ok != tt.ok {
				t.Errorf("got %v, error %v, want %v, ok %v", got, d.Err(), tt.want, tt.ok)
			}
		})
	}
}

func TestS13_Tolerated(t *testing.T) {
	tests := []struct {
		name, in string
		quirk    Quirk
		parse    func(*Decoder)
	}{
		{"gmail missing text", "[HIGHESTMODSEQ 5]", MissingText, func(d *Decoder) { d.RespText() }},
		{"no text at all", "", MissingText, func(d *Decoder) { d.RespText() }},
		{"exchange trailing space", "(a b) ", TrailingSpace, func(d *Decoder) { d.Flags(); d.End() }},
		{"qq space in list", "(a )", ListSpace, func(d *Decoder) { d.Flags() }},
		{"two spaces", `"."  x`, ListSpace, func(d *Decoder) { _ = d.String(); d.SP(); d.Atom() }},
		{"backslash", `"C:\dir"`, BadEscape, func(d *Decoder) { _ = d.String() }},
		{"8-bit", "\"caf\xe9\"", EightBit, func(d *Decoder) { _ = d.String() }},
		{"raw name", `"A&B"`, RawMailboxName, func(d *Decoder) { d.Mailbox() }},
		{"bad date", `"yesterday"`, BadDate, func(d *Decoder) { d.DateTime() }},
		{"nil date", `NIL`, BadDate, func(d *Decoder) { d.DateTime() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(tt.in)
			tt.parse(d)
			if d.Err() != nil || !d.Quirks().Has(tt.quirk) || d.Quirks().Len() != 1 {
				t.Errorf("got %v, quirks %v, want %v", d.Err(), d.Quirks(), tt.quirk)
			}
		})
	}
}

func TestS13_Refused(t *testing.T) {
	tests := []struct {
		name, in string
		parse    func(*Decoder)
	}{
		{"open quote", `"abc`, func(d *Decoder) { _ = d.String() }},
		{"quote ends in backslash", `"abc\`, func(d *Decoder) { _ = d.String() }},
		{"open list", "(a b", func(d *Decoder) { d.Flags() }},
		{"no space in list", `("a""b")`, func(d *Decoder) { d.List(func() { _ = d.String() }) }},
		{"number for string", "5", func(d *Decoder) { _ = d.String() }},
		{"nil for string", "NIL", func(d *Decoder) { _ = d.String() }},
		{"bare backslash flag", `(\)`, func(d *Decoder) { d.Flags() }},
		{"bad section", "[1..2]", func(d *Decoder) { d.Section() }},
		{"section without end", "[1", func(d *Decoder) { d.Section() }},
		{"star in copyuid", "1:*", func(d *Decoder) { d.UIDRanges() }},
		{"literal in the middle", `("{5}" {5} x)`, func(d *Decoder) { d.Value() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(tt.in)
			tt.parse(d)
			var syntax *SyntaxError
			if !errors.As(d.Err(), &syntax) {
				t.Errorf("got %v, want a syntax error", d.Err())
			}
		})
	}
}

func TestErrorIsSticky(t *testing.T) {
	d := decode("(a b")
	d.Flags()
	first := d.Err()
	d.Number()
	_ = d.String()
	d.Flag()
	d.Section()
	d.DateTime()
	d.Skip()
	d.SkipRest()
	if d.Next(); d.Err() != first {
		t.Errorf("got %v, want the first error %v", d.Err(), first)
	}
}

func TestResponseBeginnings(t *testing.T) {
	tests := []struct {
		name, in string
		want     Response
		rest     string
	}{
		{"tagged", "A1 OK done", Response{Kind: Tagged, Tag: "A1", Name: "OK"}, "done"},
		{"tagged without text", "A1 OK", Response{Kind: Tagged, Tag: "A1", Name: "OK"}, ""},
		{"lower case", "A1 ok done", Response{Kind: Tagged, Tag: "A1", Name: "OK"}, "done"},
		{"untagged", "* List (x)", Response{Name: "LIST"}, "(x)"},
		{"number", "* 12 FETCH (UID 1)", Response{Num: 12, Name: "FETCH"}, "(UID 1)"},
		{"continue", "+ go", Response{Kind: Continue}, "go"},
		{"bare continue", "+", Response{Kind: Continue}, ""},
		{"naked code", "[COPYUID 55 31 6]", Response{Name: "OK"}, "[COPYUID 55 31 6]"},
		{"dot tag", ". OK x", Response{Kind: Tagged, Tag: ".", Name: "OK"}, "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(newTextSource(tt.in+"\r\n"), nil)
			got := d.Response()
			if rest := string(d.Rest()); d.Err() != nil || got != tt.want || rest != tt.rest {
				t.Errorf("got %+v, rest %q, error %v, want %+v, rest %q", got, rest, d.Err(), tt.want, tt.rest)
			}
		})
	}
	for _, bad := range []string{"", "garbage", "*", "HTTP/1.1 200 OK?", "* 99999999999 EXISTS", "(x) OK"} {
		d := NewDecoder(newTextSource(bad+"\r\n"), nil)
		if r := d.Response(); d.Err() == nil && r.Status() {
			t.Errorf("%q was read as %+v", bad, r)
		}
	}
}

func TestRespText(t *testing.T) {
	tests := []struct {
		in   string
		want Text
	}{
		{"[CAPABILITY IMAP4rev1 AUTH=PLAIN] hi", Text{"CAPABILITY", "IMAP4rev1 AUTH=PLAIN", "hi"}},
		{"[alert] closing", Text{"ALERT", "", "closing"}},
		{"plain text", Text{Text: "plain text"}},
		{"[PERMANENTFLAGS (\\Seen $[x] \\*)] ok", Text{"PERMANENTFLAGS", `(\Seen $[x] \*)`, "ok"}},
		{`[BADCHARSET ("a]b")] no`, Text{"BADCHARSET", `("a]b")`, "no"}},
		{"[no end", Text{Text: "[no end"}},
		{"ready. [TQBX]", Text{Text: "ready. [TQBX]"}},
		{"text {5}", Text{Text: "text {5}"}},
	}
	for _, tt := range tests {
		d := decode(tt.in)
		if got := d.RespText(); got != tt.want || d.Err() != nil {
			t.Errorf("%q: got %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestSkipRest(t *testing.T) {
	d := NewDecoder(newTextSource("* X (a {3}\r\nb\r\n {2}\r\n{} \"{5}\" NIL)\r\n* NEXT\r\n"), nil)
	d.Response()
	d.SkipRest()
	if r := d.Response(); r.Name != "NEXT" {
		t.Errorf("got %+v, %v, want NEXT", r, d.Err())
	}
}

func TestDateTime(t *testing.T) {
	for _, in := range []string{`"17-Jul-1996 02:44:25 -0700"`, `" 7-Jul-1996 02:44:25 +0000"`, `"07-jul-1996 02:44:25 +0545"`} {
		d := decode(in)
		got := d.DateTime()
		if d.Err() != nil || d.Quirks() != 0 || got.Month() != time.July || got.Second() != 25 {
			t.Errorf("%s: got %v, %v", in, got, d.Err())
		}
		var out sink
		e := NewEncoder(&out)
		e.Begin("x").SP().DateTime(got).End()
		d2 := decode(strings.TrimSuffix(out.String()[2:], "\r\n"))
		if back := d2.DateTime(); !back.Equal(got) {
			t.Errorf("%s: came back as %v", in, back)
		}
	}
	for _, bad := range []string{"", "17-Jul-1996", "32-Jul-1996 02:44:25 -0700", "17-Foo-1996 02:44:25 -0700", "17-Jul-1996 25:44:25 -0700", "17-Jul-1996 02:44:25 x0700"} {
		if got := decode(`"` + bad + `"`).DateTime(); !got.IsZero() {
			t.Errorf("%q: got %v, want no date", bad, got)
		}
	}
}

func TestSections(t *testing.T) {
	tests := []struct {
		name string
		in   Section
		want string
	}{
		{"all", Section{}, "BODY.PEEK[]"},
		{"header", Section{Spec: "HEADER"}, "BODY.PEEK[HEADER]"},
		{"part", Section{Part: []int{1, 2}}, "BODY.PEEK[1.2]"},
		{"mime", Section{Part: []int{1, 2}, Spec: "MIME"}, "BODY.PEEK[1.2.MIME]"},
		{"fields", Section{Spec: "HEADER.FIELDS", Fields: []string{"From", "To"}}, "BODY.PEEK[HEADER.FIELDS (From To)]"},
		{"not", Section{Part: []int{3}, Spec: "HEADER.FIELDS.NOT", Fields: []string{"a b"}}, `BODY.PEEK[3.HEADER.FIELDS.NOT ("a b")]`},
		{"piece", Section{Offset: 5, Length: 100}, "BODY.PEEK[]<5.100>"},
		{"binary", Section{Part: []int{1}, Binary: true}, "BINARY.PEEK[1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			e := NewEncoder(&out)
			if err := e.Begin("x").SP().Section(tt.in, true).End(); err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSpace(out.String()[2:])
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			_, bracket, _ := strings.Cut(got, "PEEK")
			back := decode(bracket).Section()
			back.Binary = tt.in.Binary
			if !back.Same(tt.in) || back.Length != tt.in.Length {
				t.Errorf("came back as %+v, want %+v", back, tt.in)
			}
		})
	}
	for _, bad := range []string{"0", "1.", ".1", "1.0", "MIME", "1.FOO", "1.2.HEADER.FIELDS", "99999999999", "1 2"} {
		if s, err := ParseSection(bad); err == nil {
			t.Errorf("ParseSection(%q) = %+v, want an error", bad, s)
		}
	}
}

// TestI3_OneArgumentStaysOne sends hostile arguments through every choice of
// form and reads them back with the decoder: one argument comes back, equal.
func TestI3_OneArgumentStaysOne(t *testing.T) {
	args := []string{"", "a", "NIL", "nil", "a b", `a"b`, `a\`, "a\r\nA2 DELETE INBOX", "a\nb", "\r", "{5}", "x {5+}",
		"(a)", "*", "%", "é", "\x7f", "\x01", "\xff", strings.Repeat("q", 5000), "]", "a]b"}
	for c := 1; c < 256; c++ {
		args = append(args, "x"+string([]byte{byte(c)})+"y")
	}
	for _, mode := range []LiteralMode{LiteralSync, LiteralMinus, LiteralPlus} {
		for _, utf8 := range []bool{false, true} {
			for _, arg := range args {
				if err := argumentRoundTrip(arg, mode, utf8); err != nil {
					t.Errorf("mode %d, utf8 %v: %v", mode, utf8, err)
				}
			}
		}
	}
}

func argumentRoundTrip(arg string, mode LiteralMode, utf8 bool) error {
	var out sink
	e := NewEncoder(&out)
	e.Literals, e.UTF8 = mode, utf8
	if err := e.Begin("A1", "LOGIN").SP().AString(arg).SP().String(arg).SP().Atom("end").End(); err != nil {
		return err
	}
	src := newTextSource(out.String())
	d := NewDecoder(src, nil)
	d.NonSync, d.UTF8 = true, utf8
	d.Next()
	d.Atom()
	d.SP()
	d.Atom()
	d.SP()
	first := d.AString()
	d.SP()
	second := d.String()
	d.SP()
	end := d.Atom()
	if !d.End() || first != arg || second != arg || end != "end" {
		return fmt.Errorf("%q came back as %q and %q: %v", arg, first, second, d.Err())
	}
	if _, err := src.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("%q left octets behind the command", arg)
	}
	return nil
}

func TestI3_Refused(t *testing.T) {
	tests := []struct {
		name string
		put  func(*Encoder)
	}{
		{"NUL in astring", func(e *Encoder) { e.AString("a\x00b") }},
		{"NUL in string", func(e *Encoder) { e.String("\x00") }},
		{"atom with space", func(e *Encoder) { e.Atom("a b") }},
		{"empty atom", func(e *Encoder) { e.Atom("") }},
		{"flag with paren", func(e *Encoder) { e.Flag(`\Seen)`) }},
		{"flag with space", func(e *Encoder) { e.Flag("a b") }},
		{"flag with newline", func(e *Encoder) { e.Flag("a\r\n") }},
		{"empty set", func(e *Encoder) { e.UIDSet(UIDSet{}) }},
		{"raw newline", func(e *Encoder) { e.Raw("ALL\r\nA2 DELETE INBOX") }},
		{"raw NUL", func(e *Encoder) { e.Raw("a\x00") }},
		{"raw literal", func(e *Encoder) { e.Raw("SUBJECT {5}") }},
		{"raw non-sync literal", func(e *Encoder) { e.Raw("SUBJECT {5+}") }},
		{"raw literal and space", func(e *Encoder) { e.Raw("SUBJECT {5} ") }},
		{"mailbox NUL", func(e *Encoder) { e.Mailbox("a\x00b") }},
		{"mailbox not utf-8", func(e *Encoder) { e.Mailbox("\xff") }},
		{"word", func(e *Encoder) { e.Begin("A1 X\r\n") }},
		{"year", func(e *Encoder) { e.Date(time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			e := NewEncoder(&out)
			e.Begin("A1", "X").SP()
			tt.put(e)
			if err := e.End(); err == nil || out.Len() > 0 || e.Sent() {
				t.Errorf("got error %v and %q sent, want an error and nothing sent", err, out.String())
			}
			if e.Begin("A2", "NOOP").End(); out.String() != "A2 NOOP\r\n" {
				t.Errorf("got %q, want the next command to work", out.String())
			}
		})
	}
}

func TestLiteralAnnouncements(t *testing.T) {
	tests := []struct {
		name string
		mode LiteralMode
		size int
		want string
		wait bool
	}{
		{"sync", LiteralSync, 10, "{10}\r\n", true},
		{"plus", LiteralPlus, 100_000, "{100000+}\r\n", false},
		{"minus at the limit", LiteralMinus, 4096, "{4096+}\r\n", false},
		{"minus over it", LiteralMinus, 4097, "{4097}\r\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			waited := false
			e := NewEncoder(&out)
			e.Literals = tt.mode
			e.Wait = func() error { waited = true; return nil }
			body := strings.Repeat("x", tt.size)
			err := e.Begin("A1", "APPEND").SP().Literal(int64(tt.size), strings.NewReader(body)).End()
			if want := "A1 APPEND " + tt.want + body + "\r\n"; err != nil || out.String() != want || waited != tt.wait {
				t.Errorf("got %.40q…, waited %v, %v, want %.40q…, %v", out.String(), waited, err, want, tt.wait)
			}
		})
	}
}

func TestLiteralReaderMustFit(t *testing.T) {
	broken := errors.New("disk")
	tests := []struct {
		name string
		r    io.Reader
		want error
	}{
		{"short", strings.NewReader("abc"), ErrLiteralSize},
		{"long", strings.NewReader("abcdef"), ErrLiteralSize},
		{"broken", io.MultiReader(strings.NewReader("ab"), failReader{broken}), broken},
		{"broken behind", io.MultiReader(strings.NewReader("abcde"), failReader{broken}), broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			e := NewEncoder(&out)
			e.Literals = LiteralPlus
			err := e.Begin("A1", "APPEND").SP().Literal(5, tt.r).End()
			if !errors.Is(err, tt.want) || !e.Sent() || strings.HasSuffix(out.String(), "\r\n") && !strings.HasSuffix(out.String(), "{5+}\r\n") {
				t.Errorf("got %v after %q, want %v and an open command", err, out.String(), tt.want)
			}
		})
	}
}

type failReader struct{ err error }

func (f failReader) Read([]byte) (int, error) { return 0, f.err }

func TestWaitRefused(t *testing.T) {
	refused := errors.New("NO")
	var out sink
	e := NewEncoder(&out)
	e.Wait = func() error { return refused }
	if err := e.Begin("A1", "LOGIN").SP().String("\x01").SP().String("b").End(); err != refused {
		t.Errorf("got %v, want the refusal", err)
	}
	if out.String() != "A1 LOGIN {1}\r\n" {
		t.Errorf("sent %q, want nothing behind the announcement", out.String())
	}
}

func TestParseFlag(t *testing.T) {
	for in, want := range map[string]Flag{"seen": FlagSeen, `\SEEN`: FlagSeen, "$Forwarded": "$Forwarded", "todo": "todo", `\XFoo`: `\XFoo`} {
		if got, err := ParseFlag(in); err != nil || got != want {
			t.Errorf("ParseFlag(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"", `\`, "a b", "a(", "é", "a]", `\*`} {
		if got, err := ParseFlag(bad); err == nil {
			t.Errorf("ParseFlag(%q) = %q, want an error", bad, got)
		}
	}
}

func TestServerSide(t *testing.T) {
	var asked []int64
	d := NewDecoder(newTextSource("A1 LOGIN {5}\r\nalice {3+}\r\npwd\r\n"), nil)
	d.NonSync = true
	d.OnLiteral = func(n int64, sync bool) error {
		if sync {
			asked = append(asked, n)
		}
		return nil
	}
	d.Next()
	d.Atom()
	d.SP()
	d.Keyword()
	d.SP()
	user := d.AString()
	d.SP()
	pass := d.AString()
	if !d.End() || user != "alice" || pass != "pwd" || !reflect.DeepEqual(asked, []int64{5}) {
		t.Errorf("got %q %q, asked %v, %v", user, pass, asked, d.Err())
	}
}

// TestS2_Linear doubles hostile inputs and sees that the time does not square.
func TestS2_Linear(t *testing.T) {
	families := map[string]func(n int) string{
		"literals": func(n int) string { return "(" + strings.Repeat("{1}\r\nx ", n) + "x)" },
		"escapes":  func(n int) string { return `"` + strings.Repeat(`\x`, n) + `"` },
		"quotes":   func(n int) string { return "(" + strings.Repeat(`"" `, n) + "x)" },
		"braces":   func(n int) string { return strings.Repeat("{", n) + "}" },
		"set":      func(n int) string { return strings.Repeat("1,3,", n) + "5" },
		"set down": func(n int) string { return descending(n, ",") },
	}
	for name, family := range families {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) time.Duration {
				text := family(n)
				best := time.Hour
				for range 5 {
					start := time.Now()
					d := decode(text)
					if strings.HasPrefix(name, "set") {
						d.UIDSet()
					} else {
						d.Value()
					}
					d.SkipRest()
					best = min(best, time.Since(start))
				}
				return best
			}
			var small, large time.Duration
			for range 4 { // a busy machine may spoil one measurement
				small, large = cost(5_000), cost(20_000)
				if large <= 10*small+5*time.Millisecond {
					return
				}
			}
			t.Errorf("4 times the input took %v after %v", large, small)
		})
	}
}

// descending lists n numbers with gaps between them, the largest first.
func descending(n int, between string) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		fmt.Fprintf(&b, "%d%s", 3*i, between)
	}
	return b.String() + "1"
}

func corpus(tb testing.TB, elems ...string) string {
	path := filepath.Join(append([]string{"..", "..", "..", "..", "shared", "corpora"}, elems...)...)
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("no test data: %v", err)
	}
	return path
}

// TestTranscripts reads every reply of real servers to its end.
func TestTranscripts(t *testing.T) {
	root := corpus(t, "mailkit-sample", "Imap", "Resources")
	files, _ := filepath.Glob(filepath.Join(root, "*", "*.txt"))
	if len(files) < 20 {
		t.Fatalf("found %d transcripts, want at least 20", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(strings.ReplaceAll(string(raw), "A########", "A00000001"), "\n", "\r\n")
			d := NewDecoder(newTextSource(text), nil)
			n := 0
			for ; d.Err() == nil; n++ {
				readAny(d)
			}
			if d.Err() != io.EOF || n < 1 {
				t.Errorf("stopped after %d responses: %v", n, d.Err())
			}
		})
	}
}

// readAny reads one response of any kind, its data as values.
func readAny(d *Decoder) {
	r := d.Response()
	switch {
	case d.Err() != nil:
	case r.Kind == Continue, r.Status(), r.Kind == Tagged:
		d.RespText()
	case r.Name == "CAPABILITY":
		d.SkipRest()
	default:
		for d.Err() == nil && !d.AtEnd() {
			d.Value()
			d.skipSpaces()
		}
	}
}

func TestMoxSeeds(t *testing.T) {
	raw, err := os.ReadFile(corpus(t, "mox", "imapclient", "fuzzseed.txt"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, line := range strings.Split(string(raw), "\n") {
		d := NewDecoder(newTextSource(line+"\r\n"), nil)
		readAny(d)
		if d.Err() == nil {
			read++
		}
	}
	// the others are cut in the middle of a response
	if read < 950 {
		t.Errorf("read %d lines, want at least 950", read)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add("* 1 FETCH (UID 1 BODY[] {3}\r\nabc FLAGS (\\Seen))\r\n")
	f.Add("* LIST (\\Noselect) \"/\" \"a&AOk-\"\r\nA1 OK [COPYUID 1 2:3 4:5] x\r\n")
	if raw, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "corpora", "mox", "imapclient", "fuzzseed.txt")); err == nil {
		for _, line := range strings.Split(string(raw), "\n") {
			f.Add(line + "\r\n")
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(*Decoder){readAny, readTyped, func(d *Decoder) { d.Response(); d.Skip(); d.SkipRest() }} {
			d := NewDecoder(newTextSource(text), &Limits{Line: 10_000, Literal: 1000, Body: 10_000})
			for n := 0; d.Err() == nil; n++ {
				read(d)
				if n > len(text) {
					t.Fatalf("no progress in %q", text)
				}
			}
		}
	})
}

// readTyped calls the methods that readAny does not.
func readTyped(d *Decoder) {
	d.Response()
	d.List(func() {
		switch d.peek() {
		case '[':
			d.Section()
		case '\\':
			d.Flag()
		case '"':
			d.DateTime()
		case '{':
			d.NStringReader()
			d.EndBody()
		case '(':
			d.UIDSet()
		default:
			d.Mailbox()
		}
	})
	d.SkipRest()
}

func FuzzArgument(f *testing.F) {
	for _, s := range []string{"", "NIL", "a\r\nb", "{5+}", `"\`, "é"} {
		f.Add(s, uint8(1), true)
	}
	f.Fuzz(func(t *testing.T, arg string, mode uint8, utf8 bool) {
		if strings.IndexByte(arg, 0) >= 0 {
			return
		}
		if err := argumentRoundTrip(arg, LiteralMode(mode%3), utf8); err != nil {
			t.Error(err)
		}
	})
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"a&b", "Entw&APw-rfe", "&-", "&U,BTFw-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := DecodeUTF7(s); ok {
			if back, err := EncodeUTF7(name); err != nil || back != s {
				t.Errorf("decode %q = %q, encoded %q, %v", s, name, back, err)
			}
		}
		if raw, err := EncodeUTF7(s); err == nil {
			if name, ok := DecodeUTF7(raw); !ok || name != s {
				t.Errorf("encode %q = %q, decoded %q, %v", s, raw, name, ok)
			}
		}
	})
}

func FuzzSet(f *testing.F) {
	f.Add("1:5,7,*")
	f.Add("3,2,1,9:*")
	f.Fuzz(func(t *testing.T, s string) {
		set, err := ParseUIDSet(s)
		if err != nil {
			return
		}
		back, err := ParseUIDSet(set.String())
		if err != nil || back.String() != set.String() {
			t.Errorf("%q: %q came back as %q, %v", s, set, back, err)
		}
		for _, r := range set.Ranges() {
			if r.Start != Star && !set.Contains(r.Start) {
				t.Errorf("%q does not contain %d", s, r.Start)
			}
		}
	})
}
