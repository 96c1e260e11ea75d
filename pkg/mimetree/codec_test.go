package mimetree

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
)

func defectIDs(list []Defect) string {
	var ids []string
	for _, d := range list {
		ids = append(ids, string(d.ID))
	}
	return strings.Join(ids, " ")
}

func TestM8_Decoding(t *testing.T) {
	tests := []struct {
		name, encoding, in, want, defects string
		lf                                bool
	}{
		{"base64 plain", "base64", "aGVsbG8gd29ybGQ=\n", "hello world", "", false},
		{"base64 two pads", "BASE64", "aGVsbG8gd29ybA==", "hello worl", "", false},
		{"base64 blanks", "base64", " aGVs bG8g\t\r\n\r\n d29y bGQ= \r\n", "hello world", "", false},
		{"base64 junk", "base64", "aGVs*bG8g\n!d29ybGQ=\n", "hello world", "base64-junk", false},
		{"base64 footer", "base64", "aGVsbG8gd29ybGQ=\n--\nlist footer\n", "hello world", "base64-trailing-data", false},
		{"base64 two blocks", "base64", "aGVsbG8=\naGVsbG8=\n", "hello", "base64-trailing-data", false},
		{"base64 no padding", "base64", "aGVsbG8gd29ybGQ", "hello world", "base64-no-padding", false},
		{"base64 cut after two", "base64", "aGVsbG8gd29ybG", "hello wor", "base64-truncated", false},
		{"base64 cut after three", "base64", "aGVsbG9", "hel", "base64-truncated", false},
		{"base64 one left", "base64", "aGVsbG8gd29yb", "hello wor", "base64-truncated", false},
		{"base64 split padding", "base64", "aGVsbG8gd29ybA=\n=\n", "hello worl", "", false},
		{"base64 pad first", "base64", "=aGVs", "hel", "base64-junk", false},
		{"base64 8-bit", "base64", "aG\xe9Vs", "hel", "base64-junk", false},
		{"base64 empty", "base64", "", "", "", false},
		{"base64 rows of unequal length", "base64", "aGVsb\nG8gd29\nybG\nQ=", "hello world", "", false},
		{"qp", "quoted-printable", "caf=C3=A9 =3D\r\n", "café =\r\n", "", false},
		{"qp LF wanted", "quoted-printable", "a\r\nb\r\n", "a\nb\n", "", true},
		{"qp encoded CRLF stays", "quoted-printable", "a=0D=0Ab\r\n", "a\r\nb\n", "", true},
		{"qp lower case", "quoted-printable", "=c3=a9", "é", "", false},
		{"qp soft break", "quoted-printable", "one=\r\n two=\n three= \t\r\n!", "one two three!", "", false},
		{"qp blanks at the end", "quoted-printable", "a \t\nb  ", "a\nb", "", false},
		{"qp bad escape", "quoted-printable", "1=2X =\tq=", "1=2X =\tq", "qp-invalid-escape", false},
		{"qp cut escape", "quoted-printable", "x=4", "x=4", "qp-invalid-escape", false},
		{"qp raw 8-bit", "quoted-printable", "\xe9\x00", "\xe9\x00", "", false},
		{"7bit", "7bit", "a\r\nb\r", "a\r\nb\r", "", false},
		{"7bit LF wanted", "7bit", "a\r\nb\rc\r\r\nd\r", "a\nb\rc\r\nd\r", "", true},
		{"7bit with 8-bit data", "7bit", "caf\xe9", "caf\xe9", "8bit-in-7bit", false},
		{"no encoding given", "", "caf\xe9", "caf\xe9", "8bit-in-7bit", false},
		{"8bit", "8bit", "caf\xe9", "caf\xe9", "", false},
		{"binary keeps CRLF", "binary", "a\r\nb", "a\r\nb", "", true},
		{"comment and case", "Base64 (as usual)", "aGVs", "hel", "", false},
		{"unknown", "x-gzip64", "a=b\r\n", "a=b\r\n", "unknown-encoding", false},
		{"uuencode", "x-uuencode", "begin 644 a.txt\n+:&5L;&\\@=V]R;&0\n`\nend\n", "hello world", "", false},
		{"uuencode cut", "x-uuencode", "begin 644 a.txt\n+:&5L;&\\@=V]R;&0", "hello world", "uuencode-invalid", false},
		{"uuencode no begin", "x-uue", "+:&5L;&\\@=V]R;&0\n", "", "uuencode-invalid", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once": strings.NewReader(tt.in), "by octet": iotest.OneByteReader(strings.NewReader(tt.in)),
			} {
				d := NewDecoder(r, tt.encoding, DecodeOptions{LF: tt.lf})
				got, err := io.ReadAll(d)
				if err != nil || string(got) != tt.want {
					t.Errorf("%s: got %q, %v, want %q", how, got, err, tt.want)
				}
				if ids := defectIDs(d.Defects()); ids != tt.defects {
					t.Errorf("%s: defects %q, want %q", how, ids, tt.defects)
				}
			}
		})
	}
}

// TestBase64Chunks decodes what other encoders write, cut at every kind of place.
func TestBase64Chunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 3, 56, 57, 58, 100, 1000, 48 << 10, 200_003} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		flat := base64.StdEncoding.EncodeToString(data)
		for _, width := range []int{1, 4, 60, 64, 72, 76, 77, 998, 1 << 20} {
			for _, eol := range []string{"\n", "\r\n", " \r\n"} {
				if size > 10_000 && width == 1 {
					continue
				}
				var text strings.Builder
				for rest := flat; rest != ""; {
					n := min(width, len(rest))
					text.WriteString(rest[:n] + eol)
					rest = rest[n:]
				}
				d := NewDecoder(&randomReader{rng, strings.NewReader(text.String())}, "base64", DecodeOptions{})
				var got bytes.Buffer
				if _, err := io.Copy(&got, d); err != nil || !bytes.Equal(got.Bytes(), data) || d.Defects() != nil {
					t.Fatalf("%d octets in rows of %d, line end %q: got %d octets, %v, %v", size, width, eol, got.Len(), err, d.Defects())
				}
			}
		}
	}
}

// randomReader gives pieces of random length.
type randomReader struct {
	rng *rand.Rand
	r   io.Reader
}

func (r *randomReader) Read(p []byte) (int, error) {
	n := 1 + r.rng.IntN(len(p))
	if r.rng.IntN(4) == 0 {
		n = 1 + r.rng.IntN(min(len(p), 100))
	}
	return r.r.Read(p[:n])
}

func TestM10_EncodersRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	alphabet := []string{"a", strings.Repeat("-", 25), " ", "\t", "\n", "\r\n", "=", ".", "From ", "é", "--=_", "\x00", "word ", "\r"}
	for i := range 3000 {
		var b strings.Builder
		for range rng.IntN(60) {
			b.WriteString(strings.Repeat(alphabet[rng.IntN(len(alphabet))], 1+rng.IntN(3)))
		}
		text := b.String()
		for _, wire := range []bool{false, true} {
			encodeBoth(t, text, wire)
		}
		if t.Failed() {
			t.Fatalf("text %d: %q", i, text)
		}
	}
}

// encoded gives content in an encoding.
func encoded(t testing.TB, r io.Reader, form bodyForm) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	e := newEncodedBody(r, nil, form, new(buffers))
	for {
		piece, err := e.next()
		if err == io.EOF {
			return &out
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Write(piece)
	}
}

func encodeBoth(t *testing.T, text string, wire bool) {
	qp := encoded(t, iotest.HalfReader(strings.NewReader(text)), bodyForm{encoding: "quoted-printable", wire: wire, guard: true})
	b64 := encoded(t, iotest.HalfReader(strings.NewReader(text)), bodyForm{encoding: "base64", wire: wire})
	for _, out := range []*bytes.Buffer{qp, b64} {
		eol := map[bool]string{false: "\n", true: "\r\n"}[wire]
		for line := range strings.SplitSeq(out.String(), eol) {
			if len(line) > 76 || strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") || line == "." ||
				strings.HasPrefix(line, "From ") || strings.HasPrefix(line, "--") || strings.ContainsAny(line, "\r\n") {
				t.Errorf("line %q", line)
			}
		}
	}
	want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", map[bool]string{false: "\n", true: "\r\n"}[wire])
	if got, _ := io.ReadAll(NewDecoder(qp, "quoted-printable", DecodeOptions{})); string(got) != want {
		t.Errorf("quoted-printable: got %q, want %q", got, want)
	}
	if got, _ := io.ReadAll(NewDecoder(b64, "base64", DecodeOptions{})); string(got) != text {
		t.Errorf("base64: got %q, want %q", got, text)
	}
}

// TestS2_DecodersLinear doubles the worst inputs: the time may double, not more.
func TestS2_DecodersLinear(t *testing.T) {
	worst := map[string]string{
		"qp equals": "=", "qp blanks": " ", "qp blank lines": " \n", "base64 junk": "*", "base64 pads": "=", "base64 lines": "A\n", "uu": "begin \n",
	}
	for name, unit := range worst {
		encoding := map[byte]string{'q': "quoted-printable", 'b': "base64", 'u': "x-uuencode"}[name[0]]
		linear(t, name, func(n int) {
			d := NewDecoder(strings.NewReader(strings.Repeat(unit, n/len(unit))), encoding, DecodeOptions{})
			if _, err := io.Copy(io.Discard, d); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("aGVsbG8gd29ybGQ="), 3)
	f.Add([]byte("aGVs*bG8g\n!d29ybGQ=\nx"), 1)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		d := NewDecoder(bytes.NewReader(in), "base64", DecodeOptions{})
		got, err := io.ReadAll(d)
		if err != nil || len(got) > len(in) {
			t.Fatalf("%d octets of %d, %v", len(got), len(in), err)
		}
		p := NewDecoder(&randomReader{rand.New(rand.NewPCG(uint64(n), 1)), bytes.NewReader(in)}, "base64", DecodeOptions{})
		pieces, _ := io.ReadAll(p)
		if !bytes.Equal(got, pieces) || defectIDs(d.Defects()) != defectIDs(p.Defects()) {
			t.Fatalf("whole %q %v, in pieces %q %v", got, d.Defects(), pieces, p.Defects())
		}
		want, err := base64.StdEncoding.AppendDecode(nil, in)
		if err == nil && (!bytes.Equal(got, want) || d.Defects() != nil) {
			t.Fatalf("got %q %v, the standard library has %q", got, d.Defects(), want)
		}
	})
}

func FuzzQuotedPrintable(f *testing.F) {
	f.Add([]byte("caf=C3=A9 =3D\r\nx=\n y \n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		d := NewDecoder(bytes.NewReader(in), "quoted-printable", DecodeOptions{})
		got, err := io.ReadAll(d)
		if err != nil || len(got) > len(in) {
			t.Fatalf("%d octets of %d, %v", len(got), len(in), err)
		}
		if len(in) < qpCarryMax {
			p := NewDecoder(&randomReader{rand.New(rand.NewPCG(uint64(n), 1)), bytes.NewReader(in)}, "quoted-printable", DecodeOptions{})
			if pieces, _ := io.ReadAll(p); !bytes.Equal(got, pieces) {
				t.Fatalf("whole %q, in pieces %q", got, pieces)
			}
		}
		enc := encoded(t, bytes.NewReader(in), bodyForm{encoding: "quoted-printable", guard: n%2 == 0})
		std, err := io.ReadAll(quotedprintable.NewReader(enc))
		if want := bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n")); err != nil || !bytes.Equal(std, want) {
			t.Fatalf("the standard library reads %q, %v from our encoding of %q", std, err, in)
		}
	})
}

const benchSize = 100 << 20

func benchData(t testing.TB) (raw, lf []byte) {
	raw = make([]byte, benchSize)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(raw) //nolint:errcheck // never fails
	return raw, encoded(t, bytes.NewReader(raw), bodyForm{encoding: "base64", wire: true}).Bytes()
}

func BenchmarkBase64Decode(b *testing.B) {
	raw, enc := benchData(b)
	flat := base64.StdEncoding.AppendEncode(nil, raw)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(benchSize)
		b.ReportAllocs()
		for b.Loop() {
			n, err := io.Copy(io.Discard, NewDecoder(bytes.NewReader(enc), "base64", DecodeOptions{}))
			if n != benchSize || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("flat-stdlib", func(b *testing.B) {
		b.SetBytes(benchSize)
		for b.Loop() {
			if _, err := base64.StdEncoding.Decode(raw, flat); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBase64Encode(b *testing.B) {
	raw, _ := benchData(b)
	flat := make([]byte, base64.StdEncoding.EncodedLen(len(raw)))
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(benchSize)
		b.ReportAllocs()
		for b.Loop() {
			e := newEncodedBody(onlyReader{bytes.NewReader(raw)}, nil, bodyForm{encoding: "base64", wire: true}, new(buffers))
			if n, err := e.size(); err != nil || n < benchSize {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("flat-stdlib", func(b *testing.B) {
		b.SetBytes(benchSize)
		for b.Loop() {
			base64.StdEncoding.Encode(flat, raw)
		}
	})
}

type onlyReader struct{ io.Reader }

// BenchmarkWalk is the whole way: structure, boundary search, decoding.
func BenchmarkWalk(b *testing.B) {
	_, enc := benchData(b)
	msg := bytes.Join([][]byte{
		[]byte("Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
		enc, []byte("\r\n--=_x--\r\n"),
	}, nil)
	for _, decode := range []bool{true, false} {
		b.Run(fmt.Sprintf("decode=%v", decode), func(b *testing.B) {
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for b.Loop() {
				err := Walk(onlyReader{bytes.NewReader(msg)}, nil, func(p *Part, body *Body) error {
					if p.Container || !decode {
						return nil
					}
					_, err := body.WriteTo(io.Discard)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
