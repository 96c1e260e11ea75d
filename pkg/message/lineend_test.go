package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// plainToWire, plainToLF and plainFacts say the same as the code under test, one
// octet at a time.
func plainToWire(s string) string {
	var out []byte
	for i := range len(s) {
		if s[i] == '\n' && (i == 0 || s[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, s[i])
	}
	return string(out)
}

func plainToLF(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func plainFacts(s string) Facts {
	f := Facts{Size: int64(len(s)), EndsCRLF: strings.HasSuffix(s, "\r\n")}
	rest := strings.ReplaceAll(s, "\r\n", "")
	f.BareCR, f.BareLF = strings.Contains(rest, "\r"), strings.Contains(rest, "\n")
	// "\r" + "\r\n" + "\n" must not join over what was cut out.
	f.BareCR = strings.Count(s, "\r") != strings.Count(s, "\r\n")
	f.BareLF = strings.Count(s, "\n") != strings.Count(s, "\r\n")
	f.NUL = strings.Contains(s, "\x00")
	for i := range len(s) {
		f.EightBit = f.EightBit || s[i] > 127
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if i < len(lines)-1 {
			line = strings.TrimSuffix(line, "\r")
		}
		f.LongestLine = max(f.LongestLine, len(line))
	}
	return f
}

// TestP8_LineEndsExhaustive puts all strings over {CR, LF, '.', 'x'} up to length
// 8 through both converters and the scanner.
func TestP8_LineEndsExhaustive(t *testing.T) {
	const alphabet = "\r\n.x"
	buf := make([]byte, 0, 8)
	count := 0
	var walk func()
	walk = func() {
		count++
		checkLineEnds(t, string(buf))
		if len(buf) == 8 || t.Failed() {
			return
		}
		for i := range len(alphabet) {
			buf = append(buf, alphabet[i])
			walk()
			buf = buf[:len(buf)-1]
		}
	}
	walk()
	if want := (1<<18 - 1) / 3; count != want {
		t.Errorf("tried %d strings, want %d", count, want)
	}
}

func checkLineEnds(t *testing.T, s string) {
	t.Helper()
	wire := readAll(t, ToWire(strings.NewReader(s)))
	if want := plainToWire(s); wire != want {
		t.Errorf("ToWire(%q): got %q, want %q", s, wire, want)
	}
	if got := readAll(t, ToWire(iotest.OneByteReader(strings.NewReader(s)))); got != wire {
		t.Errorf("ToWire(%q) by octets: got %q, want %q", s, got, wire)
	}
	lf := readAll(t, ToLF(strings.NewReader(s)))
	if want := plainToLF(s); lf != want {
		t.Errorf("ToLF(%q): got %q, want %q", s, lf, want)
	}
	if got := readAll(t, ToLF(iotest.OneByteReader(strings.NewReader(s)))); got != lf {
		t.Errorf("ToLF(%q) by octets: got %q, want %q", s, got, lf)
	}
	facts := scan(s, len(s))
	if want := plainFacts(s); facts != want {
		t.Errorf("Facts(%q): got %+v, want %+v", s, facts, want)
	}
	if got := scan(s, 1); got != facts {
		t.Errorf("Facts(%q) by octets: got %+v, want %+v", s, got, facts)
	}
	if back := readAll(t, ToWire(strings.NewReader(lf))); back != s && facts.Reversible() {
		t.Errorf("%q came back as %q, and no fact says so", s, back)
	}
}

func scan(s string, step int) Facts {
	var sc Scanner
	for len(s) > 0 {
		n := min(step, len(s))
		_, _ = sc.Write([]byte(s[:n]))
		s = s[n:]
	}
	return sc.Facts()
}

// TestLineEndsChunks crosses the borders of the internal buffer and of the
// caller's.
func TestLineEndsChunks(t *testing.T) {
	for _, piece := range []string{"\n", "\r\n", "\r", "x\r\n", "abc\n", "\r\r\n", "a\x00\xe4\n\r"} {
		for shift := range 3 {
			s := strings.Repeat("y", chunkSize-2-shift) + strings.Repeat(piece, 2*chunkSize/len(piece))
			for _, size := range []int{1, 7, 4096, 1 << 20} {
				var wire, lf bytes.Buffer
				buf := make([]byte, size)
				w, l := ToWire(strings.NewReader(s)), ToLF(strings.NewReader(s))
				if _, err := io.CopyBuffer(struct{ io.Writer }{&wire}, w, buf); err != nil {
					t.Fatal(err)
				}
				if _, err := io.CopyBuffer(struct{ io.Writer }{&lf}, l, buf); err != nil {
					t.Fatal(err)
				}
				if wire.String() != plainToWire(s) || lf.String() != plainToLF(s) {
					t.Errorf("piece %q, shift %d, buffer %d: wrong octets", piece, shift, size)
				}
			}
			for _, step := range []int{3, 32, 33, 4097} {
				if got, want := scan(s, step), plainFacts(s); got != want {
					t.Errorf("piece %q, step %d: got %+v, want %+v", piece, step, got, want)
				}
			}
		}
	}
}

func TestLineEndsError(t *testing.T) {
	broken := errors.New("broken")
	for name, convert := range map[string]func(io.Reader) io.Reader{"ToWire": ToWire, "ToLF": ToLF} {
		r := convert(io.MultiReader(strings.NewReader("ab\r"), iotest.ErrReader(broken)))
		got, err := io.ReadAll(r)
		if string(got) != "ab\r" || !errors.Is(err, broken) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if err := iotest.TestReader(convert(strings.NewReader("a\rb\rc")), []byte("a\rb\rc")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func benchmarkText(eol string) []byte {
	return []byte(strings.Repeat(strings.Repeat("x", 74)+eol, 1<<20/76))
}

func benchmarkReader(b *testing.B, data []byte, convert func(io.Reader) io.Reader) {
	src := bytes.NewReader(data)
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(data)
		r := convert(src)
		for {
			if _, err := r.Read(buf); err != nil {
				break
			}
		}
	}
}

func BenchmarkToWireFromLF(b *testing.B)   { benchmarkReader(b, benchmarkText("\n"), ToWire) }
func BenchmarkToWireFromCRLF(b *testing.B) { benchmarkReader(b, benchmarkText("\r\n"), ToWire) }
func BenchmarkToLF(b *testing.B)           { benchmarkReader(b, benchmarkText("\r\n"), ToLF) }

func BenchmarkScanner(b *testing.B) {
	data := benchmarkText("\r\n")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var s Scanner
		_, _ = s.Write(data)
		if s.Facts().BareLF {
			b.Fatal("wrong")
		}
	}
}
