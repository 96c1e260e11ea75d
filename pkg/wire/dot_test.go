package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// sink is a peer that takes everything and says nothing.
type sink struct {
	net.Conn
	got []byte
}

func (s *sink) Write(p []byte) (int, error)      { s.got = append(s.got, p...); return len(p), nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) Close() error                     { return nil }
func (s *sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// chunks gives its pieces one read each, then io.EOF.
type chunks struct {
	sink
	pieces [][]byte
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

// small is a connection with small buffers, of which tests can make many.
func small(nc net.Conn) *Conn {
	return &Conn{nc: nc, rbuf: make([]byte, 64), wbuf: make([]byte, 0, 64), ctx: context.Background(), timeout: time.Minute}
}

// every calls f with all strings over {CR, LF, '.', 'x'} of up to n octets; f must not keep s.
func every(n int, f func(s []byte)) {
	buf := make([]byte, n)
	var fill func(i, length int)
	fill = func(i, length int) {
		if i == length {
			f(buf[:length])
			return
		}
		for _, b := range []byte("\r\n.x") {
			buf[i] = b
			fill(i+1, length)
		}
	}
	for length := 0; length <= n; length++ {
		fill(0, length)
	}
}

// bare tells whether s has a CR or LF that stands alone, by looking at each octet.
func bare(s []byte) bool {
	for i, b := range s {
		if b == '\r' && (i+1 == len(s) || s[i+1] != '\n') || b == '\n' && (i == 0 || s[i-1] != '\r') {
			return true
		}
	}
	return false
}

// strictText reads wire the way RFC 5321 §4.5.2 says, octet by octet: the text, and what follows its end.
func strictText(wire []byte) (text, rest []byte, ended bool) {
	start := true
	for i := 0; i < len(wire); i++ {
		if start && wire[i] == '.' {
			if bytes.HasPrefix(wire[i:], []byte(".\r\n")) {
				return text, wire[i+3:], true
			}
			i++
			if i == len(wire) {
				break
			}
		}
		text = append(text, wire[i])
		start = wire[i] == '\n' && i > 0 && wire[i-1] == '\r'
	}
	return text, nil, false
}

func TestD4_EveryShortTextHasOneEnd(t *testing.T) {
	length := 10
	if testing.Short() {
		length = 7
	}
	nc := &sink{}
	c := NewConn(nc, nil)
	r := bytes.NewReader(nil)
	sent := 0
	every(length, func(s []byte) {
		nc.got, c.err = nc.got[:0], nil
		c.wbuf = c.wbuf[:0]
		r.Reset(s)
		_, err := c.WriteDot(r)
		if bare(s) {
			if !errors.Is(err, ErrBareLineEnd) {
				t.Fatalf("%q: error %v, want ErrBareLineEnd", s, err)
			}
			if _, _, ended := strictText(nc.got); ended {
				t.Fatalf("%q: refused, but its end went out: %q", s, nc.got)
			}
			return
		}
		if err != nil || c.Flush() != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := string(s)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		text, rest, ended := strictText(nc.got)
		if !ended || string(text) != want || len(rest) != 0 {
			t.Fatalf("%q: sent %q, which reads as %q, then %q (ended: %v)", s, nc.got, text, rest, ended)
		}
		sent++
	})
	if sent == 0 {
		t.Fatal("no text was sent")
	}
}

func TestWriteDotAcrossChunks(t *testing.T) {
	every(7, func(s []byte) {
		if bare(s) {
			return
		}
		whole, pieces := &sink{}, &sink{}
		for nc, r := range map[*sink]io.Reader{whole: bytes.NewReader(s), pieces: oneByOne{bytes.NewReader(s)}} {
			c := small(nc)
			if _, err := c.WriteDot(r); err != nil || c.Flush() != nil {
				t.Fatalf("%q: %v", s, err)
			}
		}
		if !bytes.Equal(whole.got, pieces.got) {
			t.Fatalf("%q: in one piece %q, octet by octet %q", s, whole.got, pieces.got)
		}
	})
}

type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

func TestWriteDotReaderError(t *testing.T) {
	broken := errors.New("disk gone")
	nc := &sink{}
	c := NewConn(nc, nil)
	_, err := c.WriteDot(io.MultiReader(strings.NewReader("half a message\r\n"), failing{broken}))
	if !errors.Is(err, broken) || !errors.Is(c.Err(), broken) {
		t.Errorf("error %v, connection's %v, want both %v", err, c.Err(), broken)
	}
	if bytes.Contains(nc.got, []byte("\r\n.\r\n")) {
		t.Errorf("the end went out: %q", nc.got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestDotReaderEveryShortText(t *testing.T) {
	for _, size := range []int{1, 2, 3, 64} {
		every(7, func(s []byte) {
			want, rest, ended := strictText(s)
			c := small(&chunks{pieces: nonEmpty([][]byte{bytes.Clone(s)})})
			got, err := readSmall(c.DotReader(), size)
			if !ended {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%q by %d: error %v, want an unexpected end", s, size, err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q by %d: got %q, %v; want %q", s, size, got, err, want)
			}
			if left := c.rbuf[c.rpos:c.rend]; !bytes.Equal(left, rest) {
				t.Fatalf("%q by %d: left %q, want %q", s, size, left, rest)
			}
		})
	}
}

func readSmall(r io.Reader, size int) (got []byte, err error) {
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

func TestDotReaderAcrossReads(t *testing.T) {
	const wire = "a\r\n..b\r\n.\rc\r\n\r\n...\r\nlast\r\n.\r\n+OK next\r\n"
	const want = "a\r\n.b\r\n\rc\r\n\r\n..\r\nlast\r\n"
	for cut := range len(wire) {
		for cut2 := cut; cut2 < len(wire); cut2++ {
			pieces := [][]byte{[]byte(wire[:cut]), []byte(wire[cut:cut2]), []byte(wire[cut2:])}
			c := small(&chunks{pieces: nonEmpty(pieces)})
			var b bytes.Buffer
			if _, err := c.DotReader().WriteTo(&b); err != nil || b.String() != want {
				t.Fatalf("cut at %d and %d: got %q, %v; want %q", cut, cut2, b.String(), err, want)
			}
			if line, err := c.ReadLine(100); err != nil || string(line) != "+OK next" {
				t.Fatalf("cut at %d and %d: next line %q, %v", cut, cut2, line, err)
			}
		}
	}
}

func nonEmpty(pieces [][]byte) (out [][]byte) {
	for _, p := range pieces {
		if len(p) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func FuzzDotRoundTrip(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\n.\r\n..\r\n"))
	f.Fuzz(func(t *testing.T, s []byte) {
		nc := &sink{}
		c := NewConn(nc, nil)
		if _, err := c.WriteDot(bytes.NewReader(s)); err != nil {
			if !bare(s) {
				t.Fatalf("%q refused: %v", s, err)
			}
			return
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		back := NewConn(&chunks{pieces: [][]byte{[]byte("+OK\r\n"), nc.got}}, nil) // a text never comes first
		if _, err := back.ReadLine(100); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(back.DotReader())
		if err != nil || !bytes.Equal(bytes.TrimSuffix(got, []byte("\r\n")), bytes.TrimSuffix(s, []byte("\r\n"))) {
			t.Fatalf("%q came back as %q, %v", s, got, err)
		}
	})
}

func BenchmarkWriteDot(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog and then does it again and again.\r\n"), 12800)
	c := NewConn(&discard{}, nil)
	r := bytes.NewReader(text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		if _, err := c.WriteDot(r); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{ sink }

func (*discard) Write(p []byte) (int, error) { return len(p), nil }

// endless gives the same text again and again.
type endless struct {
	sink
	text []byte
	pos  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.pos:])
	e.pos = (e.pos + n) % len(e.text)
	return n, nil
}

func BenchmarkDotReader(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog and then does it again and again.\r\n"), 12800)
	c := NewConn(&endless{text: append(text, ".\r\n"...)}, nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.DotReader().WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// TestIndexStuffed compares with a search for all three octets.
func TestIndexStuffed(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	words := []string{".", "\r\n", "\r\n.", "\n.", "\r", "x", strings.Repeat("base64", 20), strings.Repeat(".", 30), "a.b "}
	for range 20_000 {
		var b strings.Builder
		for range rnd.IntN(40) {
			b.WriteString(words[rnd.IntN(len(words))])
		}
		want := strings.Index(b.String(), "\r\n.")
		if want >= 0 {
			want += 2
		}
		if got := indexStuffed([]byte(b.String())); got != want {
			t.Fatalf("%q: got %d, want %d", b.String(), got, want)
		}
	}
}
