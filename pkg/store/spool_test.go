//go:build unix

package store

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/message"
)

func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, 100, spoolMemory - 1, spoolMemory, spoolMemory + 1, spoolMemory + 100000} {
		text := "Subject: x\n\n" + strings.Repeat("abc de\n", size/7+1)
		text = text[:min(len(text), max(size, 12))]
		for name, r := range map[string]io.Reader{"pipe": iotest.HalfReader(strings.NewReader(text)), "file": tempFile(t, text)} {
			s, err := NewSpool(r)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(text, "\n", "\r\n")
			a, b := s.Wire(), s.Wire() // independent
			half := make([]byte, len(want)/2)
			_, _ = io.ReadFull(a, half)
			all, _ := io.ReadAll(b)
			rest, _ := io.ReadAll(a)
			if string(all) != want || string(half)+string(rest) != want {
				t.Errorf("%s, %d: wire form is wrong", name, size)
			}
			stored, _ := io.ReadAll(s.Open())
			if string(stored) != text || s.Size() != int64(len(text)) || s.WireSize() != int64(len(want)) {
				t.Errorf("%s, %d: stored %d, Size %d, WireSize %d", name, size, len(stored), s.Size(), s.WireSize())
			}
			if facts, _ := message.Scan(strings.NewReader(want)); s.Facts() != facts {
				t.Errorf("%s, %d: facts %+v, want %+v", name, size, s.Facts(), facts)
			}
			checkWireWith(t, s, want)
			if err := s.Close(); err != nil {
				t.Errorf("%s, %d: close: %v", name, size, err)
			}
		}
	}
}

// checkWireWith replaces the header of s.
func checkWireWith(t *testing.T, s *Spool, wire string) {
	t.Helper()
	h, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Prepend("X", "1"); err != nil {
		t.Fatal(err)
	}
	r, err := s.WireWith(h)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(r); string(got) != "X: 1\r\n"+wire {
		t.Errorf("with another header: got %.40q", got)
	}
	if at, err := s.BodyOffset(); err != nil || at != 12 {
		t.Errorf("body offset: got %d, %v, want 12", at, err)
	}
}

func TestSpoolWireKeepsBareLF(t *testing.T) {
	s, err := NewWireSpool(strings.NewReader("a\nb\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(s.Wire()); string(got) != "a\nb\r\n" || !s.Facts().BareLF {
		t.Errorf("got %q, %+v", got, s.Facts())
	}
}

func TestSpoolFileShrinks(t *testing.T) {
	f := tempFile(t, strings.Repeat("x", 100))
	s, err := NewSpool(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(50); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s.Wire()); err == nil {
		t.Errorf("a file cut under way gave %d octets and no error", len(got))
	}
}

func TestSpoolClosed(t *testing.T) {
	s, _ := NewSpool(strings.NewReader("a"))
	r := s.Wire()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err == nil {
		t.Errorf("closed spool gave %q", got)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestSpoolNoTempLeft(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s, err := NewSpool(strings.NewReader(strings.Repeat("x", spoolMemory+10)))
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("a name is there while the spool is open: %v", left)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := NewSpool(io.MultiReader(strings.NewReader(strings.Repeat("x", spoolMemory+10)), iotest.ErrReader(io.ErrClosedPipe))); err == nil {
		t.Error("broken reader accepted")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	t.Setenv("TMPDIR", dir+"/missing")
	if _, err := NewSpool(strings.NewReader(strings.Repeat("x", spoolMemory+10))); err == nil {
		t.Error("no place for a temporary file, and no error")
	}
}

// lineStream gives n octets of lines without holding them.
type lineStream struct{ n int64 }

func (l *lineStream) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, io.EOF
	}
	const line = "From the beginning to the end of this line there is nothing to see here.\r\n"
	k := 0
	for k < len(p) && l.n > 0 {
		c := copy(p[k:], line)
		k += c
		l.n -= int64(c)
	}
	return k, nil
}

// TestConstantMemory sends 256 MiB through every sink; what is allocated in all
// stays far below.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 256 MiB four times")
	}
	for name, k := range kinds(t) {
		t.Setenv("TMPDIR", memoryDir(t))
		s := open(t, k.dest, SinkOptions{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.Put(t.Context(), &lineStream{n: 256 << 20}, Meta{}); err != nil {
			t.Fatal(err)
		}
		for m, err := range k.read() {
			if err != nil || m.WireSize() < 256<<20 {
				t.Errorf("%s: got %v", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Errorf("%s: %d MiB allocated", name, got>>20)
		}
		_ = os.RemoveAll(strings.SplitN(k.dest, ":", 2)[1])
	}
}

// FuzzMbox: any octets come back from an mbox, and any mbox is read without harm.
func FuzzMbox(f *testing.F) {
	f.Add([]byte("a\r\nFrom b\r\n"), []byte("x"))
	f.Add([]byte("\n\r\n>From"), []byte("From x Mon Jan  1 00:00:00 2024\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var out bytes.Buffer
		s := open(t, "-", SinkOptions{Stdout: &out, Many: true})
		put(t, s, string(a), Meta{From: string(b)})
		put(t, s, string(b), Meta{})
		compare(t, wires(t, ReadStream(&out)), []string{string(a), string(b)}, false)
		for m, err := range ReadMbox(bytes.NewReader(a)) {
			if err == nil && m.Size() > int64(len(a)) {
				t.Fatalf("%q: message of %d octets", a, m.Size())
			}
		}
	})
}

func benchmarkSink(b *testing.B, size int, dest string) {
	data := make([]byte, 0, size+100)
	for len(data) < size {
		data = append(data, "This is a line of an ordinary message, of ordinary length.\r\n"...)
	}
	s := open(b, dest, SinkOptions{Stdout: io.Discard, Many: true})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Put(b.Context(), bytes.NewReader(data), Meta{Date: when}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStdout1M(b *testing.B)      { benchmarkSink(b, 1<<20, "-") }
func BenchmarkStdout2K(b *testing.B)      { benchmarkSink(b, 2000, "-") }
func BenchmarkMaildir1M(b *testing.B)     { benchmarkSink(b, 1<<20, kinds(b)["maildir"].dest) }
func BenchmarkMaildir2K(b *testing.B)     { benchmarkSink(b, 2000, kinds(b)["maildir"].dest) }
func BenchmarkMbox2K(b *testing.B)        { benchmarkSink(b, 2000, kinds(b)["mbox"].dest) }
func BenchmarkEML2K(b *testing.B)         { benchmarkSink(b, 2000, kinds(b)["eml"].dest) }
func BenchmarkMaildirDisk2K(b *testing.B) { benchmarkSink(b, 2000, "maildir:"+b.TempDir()+"/md") }
func BenchmarkMboxDisk2K(b *testing.B)    { benchmarkSink(b, 2000, "mbox:"+b.TempDir()+"/mbox") }

func BenchmarkReadMbox(b *testing.B) {
	var out bytes.Buffer
	s := open(b, "-", SinkOptions{Stdout: &out, Many: true})
	for range 100 {
		if _, err := s.Put(b.Context(), &lineStream{n: 100000}, Meta{}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(out.Len()))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range ReadMbox(bytes.NewReader(out.Bytes())) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
