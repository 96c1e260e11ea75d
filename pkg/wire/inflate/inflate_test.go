package inflate

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// text is n octets that look like a session.
func text(n int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewSource(1))
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "* %d FETCH (UID %d FLAGS (\\Seen) RFC822.SIZE %d BODY[HEADER] {%d}\r\n", i, i+r.Intn(9), r.Intn(1e6), r.Intn(500))
	}
	return b.Bytes()[:n]
}

// attachment is n octets of base64.
func attachment(n int) []byte {
	raw := make([]byte, n)
	rand.New(rand.NewSource(2)).Read(raw)
	return []byte(base64.StdEncoding.EncodeToString(raw))[:n]
}

func deflate(t testing.TB, level int, pieces ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// samples are texts by name.
func samples() map[string][]byte {
	random := make([]byte, 100_000)
	rand.New(rand.NewSource(3)).Read(random)
	return map[string][]byte{
		"nothing": nil, "one octet": []byte("a"), "a command": []byte("1 NOOP\r\n"), "text": text(300_000), "attachment": attachment(200_000),
		"zeros": make([]byte, 200_000), "random": random, "far matches": append(append(random[:32768:32768], random[:32768]...), random[:300]...),
	}
}

func TestReader(t *testing.T) {
	for name, want := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			packed := deflate(t, level, want)
			for how, r := range map[string]io.Reader{
				"whole": bytes.NewReader(packed), "octets": iotest.OneByteReader(bytes.NewReader(packed)),
				"halves": iotest.HalfReader(bytes.NewReader(packed)), "error with data": iotest.DataErrReader(bytes.NewReader(packed)),
			} {
				got, err := io.ReadAll(NewReader(r))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, level %d, %s: got %d octets, %v, want %d", name, level, how, len(got), err, len(want))
				}
			}
		}
	}
}

// pull adds to got what z hands out before its source lacks input.
func pull(z *Reader, got *bytes.Buffer) error {
	var buf [512]byte
	for {
		n, err := z.Read(buf[:])
		got.Write(buf[:n])
		if err != nil {
			return err
		}
	}
}

// errDry is a source whose peer waits for an answer.
var errDry = errors.New("nothing more for now")

// drip gives its octets and then errDry.
type drip struct{ data []byte }

func (d *drip) Read(p []byte) (int, error) {
	if len(d.data) == 0 {
		return 0, errDry
	}
	n := copy(p, d.data)
	d.data = d.data[n:]
	return n, nil
}

// TestReaderHoldsNothingBack cuts a stream behind the last bit of its text: in front of the stored block that ends a
// flush.
func TestReaderHoldsNothingBack(t *testing.T) {
	for name, want := range samples() {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		source := &drip{}
		z := NewReader(source)
		for i := range 3 {
			_, _ = w.Write(want)
			_ = w.Flush()
			source.data = b.Bytes()[:b.Len()-4]
			var got bytes.Buffer
			if err := pull(z, &got); !errors.Is(err, errDry) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s, round %d: got %d octets, %v, want %d and to wait", name, i, got.Len(), err, len(want))
			}
			got.Reset()
			source.data = append([]byte(nil), b.Bytes()[b.Len()-4:]...)
			if err := pull(z, &got); !errors.Is(err, errDry) || got.Len() != 0 {
				t.Errorf("%s, round %d: got %q, %v, want nothing of the rest", name, i, got.Bytes(), err)
			}
			b.Reset()
		}
	}
}

// producer writes a stream in rounds. For each it prints the text, the octets that are sent, and the number of octets
// of text that zlib's own inflate has handed out after each of them.
const producer = `
import sys, zlib, random
mode = getattr(zlib, sys.argv[1])
random.seed(4)
c = zlib.compressobj(int(sys.argv[2]), zlib.DEFLATED, -15)
d = zlib.decompressobj(-15)
total = 0
for i in range(30):
    text = b"".join(b"* %d FETCH (UID %d BODY[] {%d}\r\n" % (i, random.randrange(9999), random.randrange(99999)) for _ in range(random.choice([1, 1, 2, 40, 300])))
    if i % 7 == 6:
        text = bytes(random.randrange(256) for _ in range(300))
    sent = c.compress(text) + c.flush(mode)
    seen = []
    for k in range(len(sent)):
        total += len(d.decompress(sent[k:k+1]))
        seen.append(total)
    print(text.hex() or "-", sent.hex() or "-", ",".join(map(str, seen)) or "-")
`

// TestReaderLikeZlib gives streams of zlib one octet at a time: what has come out after each is what zlib's own
// inflate has handed out, and after a flush it is the whole text, without any more input.
func TestReaderLikeZlib(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	for _, mode := range []string{"Z_SYNC_FLUSH", "Z_FULL_FLUSH", "Z_PARTIAL_FLUSH", "Z_BLOCK"} {
		for _, level := range []string{"1", "6", "9", "0"} {
			t.Run(mode+" level "+level, func(t *testing.T) {
				out, err := exec.Command(python, "-c", producer, mode, level).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				likeZlib(t, mode, string(out))
			})
		}
	}
}

func likeZlib(t *testing.T, mode, script string) {
	t.Helper()
	var got, want bytes.Buffer
	source := &drip{}
	z := NewReader(source)
	for round, line := range strings.Split(strings.TrimSpace(script), "\n") {
		fields := strings.Fields(line)
		words, err1 := hex.DecodeString(fields[0])
		sent, err2 := hex.DecodeString(strings.Trim(fields[1], "-"))
		seen := strings.Split(fields[2], ",")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		want.Write(words)
		for i := range sent {
			source.data = sent[i : i+1]
			err := pull(z, &got)
			if least, _ := strconv.Atoi(seen[i]); !errors.Is(err, errDry) || got.Len() < least {
				t.Fatalf("round %d, octet %d of %d: got %d octets, %v, want %d", round, i, len(sent), got.Len(), err, least)
			}
		}
		if !bytes.HasPrefix(want.Bytes(), got.Bytes()) || mode != "Z_BLOCK" && got.Len() != want.Len() {
			t.Fatalf("round %d: got %d octets after the flush, want the text of %d", round, got.Len(), want.Len())
		}
	}
}

func TestReaderErrors(t *testing.T) {
	whole := deflate(t, 6, text(5000))
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":            {nil, io.ErrUnexpectedEOF},
		"cut":                {whole[:len(whole)/2], io.ErrUnexpectedEOF},
		"block type 3":       {[]byte{7}, ErrCorrupt},
		"stored size":        {[]byte{1, 1, 0, 0, 0}, ErrCorrupt},
		"distance too far":   {[]byte{3, 2, 0}, ErrCorrupt},
		"287 literal codes":  {[]byte{0xf5, 0, 0, 0}, ErrCorrupt},
		"31 distance codes":  {[]byte{0x05, 0x1e, 0, 0}, ErrCorrupt},
		"code of no lengths": {[]byte{0x05, 0, 0, 0, 0, 0, 0}, ErrCorrupt},
	} {
		z := NewReader(bytes.NewReader(c.in))
		_, err := io.ReadAll(z)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if _, again := z.Read(make([]byte, 1)); !errors.Is(again, c.want) {
			t.Errorf("%s: got %v at the second time, want %v", name, again, c.want)
		}
	}
}

// TestReaderMemory reads a stream of many blocks with codes of their own, in a Reader that has seen it before.
func TestReaderMemory(t *testing.T) {
	packed := deflate(t, 6, text(100_000), attachment(100_000), text(400_000))
	source := bytes.NewReader(packed)
	z := NewReader(source)
	buf := make([]byte, 4096)
	if n := testing.AllocsPerRun(5, func() {
		source.Reset(packed)
		z.state, z.err = atHeader, nil
		for z.err == nil {
			_, _ = z.Read(buf)
		}
	}); n > 0 {
		t.Errorf("got %v allocations for a stream, want none", n)
	}
}

// FuzzReader compares with compress/flate. Where the input ends too early that one holds octets back.
func FuzzReader(f *testing.F) {
	for _, s := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			if packed := deflate(f, level, s); len(packed) < 5000 {
				f.Add(packed)
			}
		}
	}
	f.Add(deflate(f, 6, text(500), []byte("x"), text(200)))
	f.Add([]byte{0x05, 0xe0, 0x81, 0x08, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 4 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), limit))
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(in)), limit))
		octets, octetsErr := io.ReadAll(io.LimitReader(NewReader(iotest.OneByteReader(bytes.NewReader(in))), limit))
		if !bytes.Equal(octets, got) || !errors.Is(octetsErr, err) {
			t.Fatalf("octet by octet: got %d octets, %v, want %d, %v", len(octets), octetsErr, len(got), err)
		}
		if (err == nil) != (wantErr == nil) || !bytes.HasPrefix(got, want) || err == nil && len(got) != len(want) {
			t.Fatalf("got %d octets, %v, want %d, %v", len(got), err, len(want), wantErr)
		}
		if errors.Is(err, ErrCorrupt) != errors.As(wantErr, new(flate.CorruptInputError)) && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, s := range []struct {
		name string
		data []byte
	}{{"text", text(8 << 20)}, {"base64", attachment(8 << 20)}} {
		packed := deflate(b, 6, s.data)
		for name, open := range map[string]func(io.Reader) io.Reader{
			"ours": func(r io.Reader) io.Reader { return NewReader(r) },
			"std":  func(r io.Reader) io.Reader { return flate.NewReader(r) },
		} {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(s.data)))
				b.ReportAllocs()
				buf := make([]byte, 64<<10)
				for b.Loop() {
					if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{open(bytes.NewReader(packed))}, buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
