package mimetree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/message"
)

// packed writes a draft.
func packed(t *testing.T, d *Draft) string {
	t.Helper()
	p, err := d.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // read only
	var b bytes.Buffer
	n, err := p.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d octets told, %d written, %v", n, b.Len(), err)
	}
	return b.String()
}

// content is a file made of a string.
func content(name, s string) File {
	return File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
}

func TestPackShapes(t *testing.T) {
	text, html := TextOf("hello\n"), TextOf("<p>hello</p>\n")
	a, i := content("a.bin", "A\x00"), content("i.png", "I\x00")
	tests := []struct {
		name string
		d    Draft
		want string
	}{
		{"text", Draft{Text: text}, "1 text/plain"},
		{"html", Draft{HTML: html}, "1 text/html"},
		{"text and html", Draft{Text: text, HTML: html}, "TEXT multipart/alternative, 1 text/plain, 2 text/html"},
		{"text and file", Draft{Text: text, Attach: []File{a}}, "TEXT multipart/mixed, 1 text/plain, 2 application/octet-stream"},
		{"file only", Draft{Attach: []File{a}}, "TEXT multipart/mixed, 1 application/octet-stream"},
		{"html with image", Draft{HTML: html, Inline: []File{i}}, "TEXT multipart/related, 1 text/html, 2 image/png"},
		{"text with image", Draft{Text: text, Inline: []File{i}}, "TEXT multipart/mixed, 1 text/plain, 2 image/png"},
		{"everything", Draft{Text: text, HTML: html, Inline: []File{i}, Attach: []File{a, a}},
			"TEXT multipart/mixed, 1 multipart/alternative, 1.1 text/plain, 1.2 multipart/related, 1.2.1 text/html, 1.2.2 image/png, 2 application/octet-stream, 3 application/octet-stream"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			err := Walk(strings.NewReader(packed(t, &tt.d)), nil, func(p *Part, b *Body) error {
				got = append(got, p.ID+" "+p.MediaType)
				if p.Defects != nil {
					t.Errorf("part %s: %v", p.ID, p.Defects)
				}
				return nil
			})
			if g := strings.Join(got, ", "); err != nil || g != tt.want {
				t.Errorf("got %s, %v\nwant %s", g, err, tt.want)
			}
		})
	}
}

func TestPackGolden(t *testing.T) {
	h := new(message.Header)
	for _, f := range [][2]string{{"From", "alice@example.org"}, {"To", "bob@example.org"}} {
		if err := h.Add(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.AddText("Subject", "Übersicht"); err != nil {
		t.Fatal(err)
	}
	d := Draft{Header: h, Text: TextOf("Viele Grüße\n"), Attach: []File{content("Übersicht 2026.pdf", "%PDF-")}, Seed: []byte("1")}
	got := packed(t, &d)
	boundary := got[strings.Index(got, "=_") : strings.Index(got, "=_")+34]
	want := strings.ReplaceAll(`From: alice@example.org
To: bob@example.org
Subject: =?utf-8?Q?=C3=9Cbersicht?=
MIME-Version: 1.0
Content-Type: multipart/mixed;
 boundary="BOUNDARY"

--BOUNDARY
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Viele Gr=C3=BC=C3=9Fe

--BOUNDARY
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht%202026.pdf;
 filename="_bersicht 2026.pdf"

JVBERi0=
--BOUNDARY--
`, "BOUNDARY", boundary)
	if !strings.EqualFold(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	d.Attach = []File{content("Übersicht 2026.pdf", "%PDF-")}
	if again := packed(t, &d); again != got {
		t.Errorf("not the same again:\n%s", again)
	}
	d.Attach = []File{content("Übersicht 2026.pdf", "%PDF-")}
	d.Wire = true
	if wire := packed(t, &d); wire != strings.ReplaceAll(got, "\n", "\r\n") {
		t.Errorf("wire form\n%q", wire)
	}
	d.Attach, d.Seed = nil, nil
	d.HTML = TextOf("x")
	if one, two := packed(t, &d), packed(t, &d); one == two {
		t.Error("two random boundaries are the same")
	}
}

func TestPackErrors(t *testing.T) {
	dir := t.TempDir()
	h := new(message.Header)
	if err := h.Add("Content-Type", "text/plain"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		d    Draft
		want error
	}{
		{"nothing", Draft{}, ErrEmptyDraft},
		{"no such attachment", Draft{Text: TextOf("x"), Attach: []File{{Path: filepath.Join(dir, "none")}}}, fs.ErrNotExist},
		{"no such inline file", Draft{HTML: TextOf("x"), Inline: []File{{Path: filepath.Join(dir, "none")}}}, fs.ErrNotExist},
		{"no such text", Draft{Text: TextFile(filepath.Join(dir, "none"))}, fs.ErrNotExist},
		{"a folder", Draft{Attach: []File{{Path: dir}}}, nil},
		{"MIME field in the header", Draft{Header: h, Text: TextOf("x")}, nil},
		{"same Content-ID twice", Draft{HTML: TextOf("x"), Inline: []File{content("a", ""), content("a", "")}}, nil},
		{"media type is a multipart", Draft{Attach: []File{{Name: "a", MediaType: "multipart/mixed", Open: content("", "").Open}}}, nil},
		{"media type starts a field", Draft{Attach: []File{{Name: "a", MediaType: "a/b\nX: y", Open: content("", "").Open}}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := tt.d.Prepare()
			if err == nil || p != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v, want %v", p, err, tt.want)
			}
		})
	}
	calls := 0
	d := Draft{Text: func() (io.ReadCloser, error) {
		calls++
		return io.NopCloser(strings.NewReader(fmt.Sprint("text ", calls))), nil
	}}
	p, err := d.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteTo(io.Discard); err == nil {
		t.Error("a text that changed went unnoticed")
	}
}

// TestM10_RoundTrip packs random drafts and reads them back.
func TestM10_RoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	count := 2_000
	if testing.Short() {
		count = 500
	}
	for i := range count {
		if roundTrip(t, rng); t.Failed() {
			t.Fatalf("draft %d", i)
		}
	}
}

var scraps = []string{"hello ", "é", "\n", "From ", "--=_0123", ".", " ", "\t", "=", "日本語", "\x00", "\x1b", "x", "\"", "\\", "\xff", "%", "'", "=?utf-8?q?x?="}

func scrap(rng *rand.Rand, most int, not string) string {
	var b strings.Builder
	for range rng.IntN(most) {
		if s := scraps[rng.IntN(len(scraps))]; !strings.Contains(not, s) {
			b.WriteString(strings.Repeat(s, 1+rng.IntN(1+rng.IntN(300))/10))
		}
	}
	return b.String()
}

func roundTrip(t *testing.T, rng *rand.Rand) {
	d := Draft{Wire: rng.IntN(2) == 0}
	var want []string
	for i, p := range []*Opener{&d.Text, &d.HTML} {
		if rng.IntN(3) > i {
			s := scrap(rng, 20, "")
			*p = TextOf(s)
			want = append(want, "text "+s)
		}
	}
	for range rng.IntN(3) {
		name := SafeName(scrap(rng, 8, "\xff\x00\n\x1b/\\=?utf-8?q?x?="))
		if name == "" {
			name = "empty"
		}
		s := scrap(rng, 30, "")
		d.Attach = append(d.Attach, content(name, s))
		want = append(want, name+" "+s)
	}
	if want == nil {
		return
	}
	p, err := d.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // read only
	for _, target := range []Encoding{SevenBit, EightBit, Binary} {
		r, err := p.As(target)
		if err != nil {
			t.Fatal(err)
		}
		checkRendering(t, r, target, d.Wire, want)
	}
}

// written writes a rendering in every way, and holds the size that was told.
func written(t *testing.T, r *Rendering) string {
	t.Helper()
	var b bytes.Buffer
	n, err := r.WriteTo(&b)
	if err != nil || n != int64(b.Len()) || n != r.Size() {
		t.Fatalf("%d octets told, %d in advance, %d written, %v", n, r.Size(), b.Len(), err)
	}
	s := r.Open()
	read, err := io.ReadAll(iotest.HalfReader(onlyReader{s}))
	if err = errors.Join(err, s.Close()); err != nil || !bytes.Equal(read, b.Bytes()) {
		t.Fatalf("%d octets read, %d written, %v", len(read), b.Len(), err)
	}
	return b.String()
}

// checkRendering holds that a message is of the class told, and that what is in it is what was packed.
func checkRendering(t *testing.T, r *Rendering, target Encoding, wire bool, want []string) {
	msg := written(t, r)
	eol := map[bool]string{true: "\r\n", false: "\n"}[wire]
	if r.Needs() > target || r.Needs() == SevenBit && !isASCII([]byte(msg)) {
		t.Errorf("needs %v, wanted %v: %q", r.Needs(), target, msg)
	}
	for line := range strings.SplitSeq(msg, eol) {
		if r.Needs() < Binary && (len(line) > 998 || strings.ContainsAny(line, "\r\n\x00")) {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	var got []string
	inside := []Encoding{SevenBit}
	err := Walk(strings.NewReader(msg), &WalkOptions{Decode: DecodeOptions{LF: true}, Leave: func(p *Part) error {
		if p.Defects != nil {
			t.Errorf("part %s: %v", p.ID, p.Defects)
		}
		return nil
	}}, func(p *Part, body *Body) error {
		inside = append(inside, encodingClass(p.Encoding))
		for q := p.Parent; q != nil; q = q.Parent {
			if encodingClass(q.Encoding) < encodingClass(p.Encoding) {
				t.Errorf("part %s is %s inside %s", p.ID, p.Encoding, q.Encoding)
			}
		}
		if p.Container {
			return nil
		}
		b, err := io.ReadAll(body)
		label := p.Filename
		if label == "" {
			label = "text"
			if p.Encoding == "base64" || p.Encoding == "binary" {
				b = []byte(lf(b))
			}
			if p.Root() && p.Encoding != "base64" && !strings.HasSuffix(want[0], "\n") { // a last line is completed
				b = bytes.TrimSuffix(b, []byte("\n"))
			}
		}
		got = append(got, label+" "+string(b))
		return err
	})
	if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q, %v\nwant %q\nfrom\n%s", got, err, want, msg)
	}
	if most := slices.Max(inside); most != r.Needs() {
		t.Errorf("needs %v, holds %v", r.Needs(), most)
	}
}

// TestPackEmbedsMessages: a message file is embedded as it is when it can be, and travels as a file when it cannot.
func TestPackEmbedsMessages(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ data, mediaType, encoding string }{
		"plain.eml": {"Subject: x\r\n\r\nhello\r\n", "message/rfc822", "7bit"},
		"8bit.eml":  {"Subject: x\n\ncafé\n", "application/octet-stream", "base64"},
		"long.eml":  {"Subject: x\n\n" + strings.Repeat("x", 999) + "\n", "application/octet-stream", "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			msg := packed(t, &Draft{Attach: []File{{Path: path}}})
			err := Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
				if p.ID != "1" {
					return nil
				}
				got, err := io.ReadAll(b)
				if p.MediaType != c.mediaType || p.Encoding != c.encoding || p.Filename != name || lf(got) != lf([]byte(c.data)) {
					t.Errorf("got %s %s %q %q", p.MediaType, p.Encoding, p.Filename, got)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	// A packed message inside a packed message with the same seed: the boundaries differ.
	inner := filepath.Join(dir, "inner.eml")
	text := TextOf("x\n")
	msg := packed(t, &Draft{Text: text, Attach: []File{content("a", "1")}, Seed: []byte("1")})
	for range 3 {
		if err := os.WriteFile(inner, []byte(msg), 0o600); err != nil {
			t.Fatal(err)
		}
		msg = packed(t, &Draft{Text: text, Attach: []File{{Path: inner, Name: "a.eml"}}, Seed: []byte("1")})
	}
	if got := strings.Count(list(t, msg, nil), "message/rfc822"); got != 3 {
		t.Errorf("%d messages inside\n%s", got, list(t, msg, nil))
	}
}

// TestPackReadByPython has another reader look at what we write.
func TestPackReadByPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	long := strings.Repeat("sehr-lang-ü-", 20) + ".tar.gz"
	d := &Draft{Text: TextOf("Grüße\n"), HTML: TextOf("<b>x</b>\n"),
		Inline: []File{content("logo 1.png", "\x89PNG")},
		Attach: []File{content("Übersicht.pdf", "%PDF-\x00\xff"), content(long, "x"), content(`quo"te\.txt`, "plain\n")}}
	cmd := exec.Command(python, "-c", `
import sys, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
for p in m.walk():
    if p.defects: print("defects", p.defects)
    if p.is_multipart(): print(p.get_content_type()); continue
    print(p.get_content_type(), ascii(p.get_filename()), p.get_payload(decode=True), p["content-id"] or "-")
`)
	cmd.Stdin = strings.NewReader(packed(t, d))
	got, err := cmd.CombinedOutput()
	want := `multipart/mixed
multipart/alternative
text/plain None b'Gr\xc3\xbc\xc3\x9fe\r\n' -
multipart/related
text/html None b'<b>x</b>\n' -
image/png 'logo 1.png' b'\x89PNG' <logo_1.png>
application/pdf '\xdcbersicht.pdf' b'%PDF-\x00\xff' -
application/gzip '` + strings.ReplaceAll(long, "ü", `\xfc`) + `' b'x' -
text/plain 'quo"te\\.txt' b'plain\n' -
`
	if err != nil || string(got) != want {
		t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
	}
}

func BenchmarkPack(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.bin")
	raw, _ := benchData(b)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		p, err := (&Draft{Text: TextOf("x\n"), Attach: []File{{Path: path}}}).Prepare()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
		p.Close() //nolint:errcheck // read only
	}
}
