package mimetree

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

// list walks a message and writes a line for each part: number, type, defects, and the decoded body of leaves.
func list(t *testing.T, msg string, o *WalkOptions) string {
	t.Helper()
	if o == nil {
		o = new(WalkOptions)
	}
	var parts []*Part
	bodies := make(map[*Part]string)
	err := Walk(iotest.HalfReader(strings.NewReader(msg)), o, func(p *Part, body *Body) error {
		parts = append(parts, p)
		if !p.Container {
			b, err := io.ReadAll(body)
			bodies[p] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s %s", p.ID, p.MediaType)
		if s, ok := bodies[p]; ok {
			fmt.Fprintf(&b, " %q", s)
		}
		if p.Defects != nil {
			fmt.Fprintf(&b, " (%s)", defectIDs(p.Defects))
		}
		b.WriteString("\n")
	}
	return b.String()
}

const head = "Content-Type: multipart/mixed; boundary=b\n\n"

func TestM7_Boundaries(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"single", "Subject: x\n\nhello\n", "1 text/plain \"hello\\n\"\n"},
		{"no header", "\nhello", "1 text/plain \"hello\"\n"},
		{"no blank line at all", "just text\nmore\n", "1 text/plain \"just text\\nmore\\n\" (header-end-missing)\n"},
		{"header only", "Subject: x\n", "1 text/plain \"\"\n"},
		{"empty", "", "1 text/plain \"\"\n"},
		{"two parts", head + "pre\n--b\n\none\n--b\n\ntwo\n--b--\nepilogue\n",
			"TEXT multipart/mixed\n1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"line ends mixed", head + "pre\r\n--b\r\n\r\none\n--b\n\ntwo\r\n--b--\r\n",
			"TEXT multipart/mixed\n1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"empty bodies", head + "--b\n\n--b\n\n\n--b--",
			"TEXT multipart/mixed\n1 text/plain \"\"\n2 text/plain \"\"\n"},
		{"no blank line before the delimiter", head + "--b\nContent-Type: text/html\n--b\n\nx\n--b--\n",
			"TEXT multipart/mixed\n1 text/html \"\"\n2 text/plain \"x\"\n"},
		{"part header missing", head + "--b\nhello there\n\nx\n--b--\n",
			"TEXT multipart/mixed\n1 text/plain \"hello there\\n\\nx\" (header-end-missing)\n"},
		{"part header without its end", head + "--b\nContent-Type: text/html\nhello\n\nx\n--b--\n",
			"TEXT multipart/mixed\n1 text/html \"hello\\n\\nx\" (header-end-missing)\n"},
		{"multipart header without its end", "Content-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/html\n\nx\n--b--\n",
			"TEXT multipart/mixed (header-end-missing)\n1 text/html \"x\"\n"},
		{"blanks before the header", "   \nContent-Type: text/html\n\nx", "1 text/html \"x\" (header-line-malformed)\n"},
		{"first field folded away", " Subject: x\nContent-Type: text/html\n\nx", "1 text/html \"x\" (header-line-malformed)\n"},
		{"mbox line inside", "Content-Type: message/rfc822\n\nFrom a Thu Jan  1 00:00:00 1970\nContent-Type: text/html\n\nx",
			"1 message/rfc822\n1.1 text/html \"x\"\n"},
		{"close missing", head + "--b\n\none\n", "TEXT multipart/mixed (close-missing)\n1 text/plain \"one\\n\"\n"},
		{"no delimiter", head + "one\n", "TEXT multipart/mixed (multipart-empty)\n"},
		{"close only", head + "--b--\none\n", "TEXT multipart/mixed (multipart-empty)\n"},
		{"longer boundary is not ours", head + "--b\n\none\n--bb\n--b-\n--b--x\n--b x\n--b--\n",
			"TEXT multipart/mixed (boundary-near)\n1 text/plain \"one\\n--bb\\n--b-\\n--b--x\\n--b x\"\n"},
		{"blanks after the boundary", head + "--b \t\n\none\n--b--  \n", "TEXT multipart/mixed\n1 text/plain \"one\"\n"},
		{"boundary after close", head + "--b\n\none\n--b--\n--b\n\ntwo\n", "TEXT multipart/mixed (boundary-after-close)\n1 text/plain \"one\"\n"},
		{"boundary in the middle of a line", head + "--b\n\none --b\n --b\n--b--\n", "TEXT multipart/mixed\n1 text/plain \"one --b\\n --b\"\n"},
		{"boundary empty", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\none\n----\n",
			"1 multipart/mixed \"--\\n\\none\\n----\\n\" (boundary-missing)\n"},
		{"boundary missing", "Content-Type: multipart/mixed\n\n--b\n", "1 multipart/mixed \"--b\\n\" (boundary-missing)\n"},
		{"boundary with dashes and blanks", "Content-Type: multipart/mixed; boundary=\"--b-- \"\n\n----b--\n\none\n----b----\n",
			"TEXT multipart/mixed (boundary-characters)\n1 text/plain \"one\"\n"},
		{"boundary long", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("x", 71) + "\n\n--" + strings.Repeat("x", 71) + "\n\none\n",
			"TEXT multipart/mixed (boundary-too-long close-missing)\n1 text/plain \"one\\n\"\n"},
		{"two content types", "Content-Type: text/html\nContent-Type: multipart/mixed; boundary=b\n\n--b\n",
			"1 text/html \"--b\\n\" (duplicate-field)\n"},
		{"quoted and unquoted boundary", "Content-Type: multipart/mixed; boundary=b; boundary=\"c\"\n\n--c\n\n--b\n\none\n--b--\n",
			"TEXT multipart/mixed (parameter-duplicate)\n1 text/plain \"one\"\n"},
		{"long preamble line", head + strings.Repeat("x", 300_000) + "\n--b\n\none\n--b--\n", "TEXT multipart/mixed\n1 text/plain \"one\"\n"},
		{"outer delimiter ends the inner multipart", head + "--b\nContent-Type: multipart/alternative; boundary=bi\n\n--bi\n\none\n--b\n\ntwo\n--b--\n",
			"TEXT multipart/mixed\n1 multipart/alternative (boundary-prefix close-missing)\n1.1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"inner boundary starts with the outer", head + "--b\nContent-Type: multipart/alternative; boundary=b1\n\n--b1\n\none\n--b1--\n--b\n\ntwo\n--b--\n",
			"TEXT multipart/mixed\n1 multipart/alternative (boundary-prefix)\n1.1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"same boundary inside", head + "--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n",
			"TEXT multipart/mixed\n1 multipart/alternative (boundary-reused)\n1.1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"delimiter inside a part header", head + "--b\nContent-Type: multipart/mixed; boundary=c\n--b\n\ntwo\n--b--\n",
			"TEXT multipart/mixed\n1 multipart/mixed (multipart-empty)\n2 text/plain \"two\"\n"},
		{"message inside", head + "--b\nContent-Type: message/rfc822\n\nSubject: in\n\nhello\n--b\nContent-Type: message/rfc822\n\n" +
			"Content-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n--b--\n",
			"TEXT multipart/mixed\n1 message/rfc822\n1.1 text/plain \"hello\"\n2 message/rfc822\n2.TEXT multipart/mixed\n2.1 text/plain \"one\"\n"},
		{"message at the top", "Content-Type: message/rfc822\n\nSubject: in\n\nhello\n", "1 message/rfc822\n1.1 text/plain \"hello\\n\"\n"},
		{"message in base64", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQTogYiBj\n",
			"1 message/rfc822 \"A: b c\" (encoded-composite)\n"},
		{"message/partial and external-body", head + "--b\nContent-Type: message/partial; id=a; number=1\n\nA: b\n--b\nContent-Type: message/external-body; access-type=URL\n\nA: b\n--b--\n",
			"TEXT multipart/mixed\n1 message/partial \"A: b\"\n2 message/external-body \"A: b\"\n"},
		{"multipart in base64", "Content-Transfer-Encoding: base64\n" + head + "--b\n\none\n--b--\n",
			"TEXT multipart/mixed (encoded-composite)\n1 text/plain \"one\"\n"},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b--\n",
			"TEXT multipart/digest\n1 message/rfc822\n1.1 text/plain \"one\"\n"},
		{"boundary with odd characters", "Content-Type: multipart/mixed; boundary=\"a*b\"\n\n--a*b\n\none\n--a*b--\n",
			"TEXT multipart/mixed (boundary-characters)\n1 text/plain \"one\"\n"},
		{"outer boundary starts with the inner", "Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--bb--\n",
			"TEXT multipart/mixed\n1 multipart/mixed (boundary-prefix)\n1.1 text/plain \"one\"\n"},
		{"bad header line", "Subject: x\nno field\nContent-Type: text/html\n\nx", "1 text/html \"x\" (header-line-malformed)\n"},
		{"mbox line", "From a Thu Jan  1 00:00:00 1970\nContent-Type: text/html\n\nx", "1 text/html \"x\"\n"},
		{"CR only", "Content-Type: multipart/mixed; boundary=b\r\r--b\r\rone\r--b--\r", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := list(t, tt.in, nil)
			if tt.want == "" { // only that it ends
				return
			}
			if got != tt.want {
				t.Errorf("LF form\n got %s\nwant %s", got, tt.want)
			}
			if strings.Contains(tt.in, "\r") {
				return
			}
			crlf := list(t, strings.ReplaceAll(tt.in, "\n", "\r\n"), nil)
			if want := strings.ReplaceAll(tt.want, `\n`, `\r\n`); crlf != want {
				t.Errorf("CRLF form\n got %s\nwant %s", crlf, want)
			}
		})
	}
}

// TestEncodedMessage walks messages that are transfer-encoded, which no message may be.
func TestEncodedMessage(t *testing.T) {
	encode := func(msg string) string {
		return "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(msg)) + "\n"
	}
	deep := "Subject: x\n\nhello"
	for range maxEncoded + 1 {
		deep = encode(deep)
	}
	tests := []struct{ name, in, want string }{
		{"base64", encode("Subject: in\n\nhello\n"), "1 message/rfc822 (encoded-composite)\n1.1 text/plain \"hello\\n\"\n"},
		{"multipart inside", head + "--b\n" + encode(head+"--b\n\none\n--b--\n") + "--b\n\ntwo\n--b--\n",
			"TEXT multipart/mixed\n1 message/rfc822 (encoded-composite)\n1.TEXT multipart/mixed\n1.1 text/plain \"one\"\n2 text/plain \"two\"\n"},
		{"quoted-printable", "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\nSubject:=\n x\n\na=3Db\n",
			"1 message/rfc822 (encoded-composite)\n1.1 text/plain \"a=b\\n\"\n"},
		{"unknown encoding", "Content-Type: message/rfc822\nContent-Transfer-Encoding: x-odd\n\nSubject: x\n\na\n",
			"1 message/rfc822 \"Subject: x\\n\\na\\n\" (encoded-composite unknown-encoding)\n"},
		{"cut", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQTogYgoKeA", // x is of the cut group
			"1 message/rfc822 (encoded-composite base64-no-padding)\n1.1 text/plain \"x\"\n"},
	}
	for _, tt := range tests {
		if got := list(t, tt.in, &WalkOptions{OpenEncoded: true}); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	parts := strings.Count(list(t, deep, &WalkOptions{OpenEncoded: true}), "\n")
	if want := maxEncoded + 1; parts != want {
		t.Errorf("%d parts, want %d", parts, want)
	}
	var at []string
	in := head + "--b\n" + encode("Subject: in\n\nhello\n") + "\n--b--\n"
	err := Walk(strings.NewReader(in), &WalkOptions{OpenEncoded: true, Leave: func(p *Part) error {
		at = append(at, fmt.Sprintf("%s %d+%d %v", p.ID, p.BodyOffset, p.Size, p.Decoded))
		return nil
	}}, func(*Part, *Body) error { return nil })
	if got, want := strings.Join(at, ", "), "1.1 13+6 true, 1 111+29 false, TEXT 43+104 false"; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// TestDelimiterAtBufferEnd puts a delimiter at every place around the end of the scan buffer.
func TestDelimiterAtBufferEnd(t *testing.T) {
	for _, eol := range []string{"\n", "\r\n"} {
		start := strings.ReplaceAll(head+"--b\n\n", "\n", eol)
		for pad := scanBuffer - len(start) - 40; pad < scanBuffer-len(start)+10; pad++ {
			body := strings.Repeat("x", pad)
			msg := start + body + eol + "--b" + eol + eol + "two" + eol + "--b--" + eol
			var got []string
			err := Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
				if p.Container {
					return nil
				}
				s, err := io.ReadAll(b)
				got = append(got, string(s))
				return err
			})
			if err != nil || len(got) != 2 || got[0] != body || got[1] != "two" {
				t.Fatalf("pad %d, line end %q: %d parts, %v", pad, eol, len(got), err)
			}
		}
	}
}

// TestSizes holds that the line end before a delimiter belongs to it, however deep what it ends is (RFC 2046 §5.1.1).
func TestSizes(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"leaf", "--b\n\none\n--b--\n", "1 \"one\""},
		{"multipart", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n--b--\n",
			"1.1 \"one\", 1 \"--c\\n\\none\\n--c--\""},
		{"multipart with an empty epilogue line", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n\n--b--\n",
			"1.1 \"one\", 1 \"--c\\n\\none\\n--c--\\n\""},
		{"multipart with an epilogue", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\nepi\n--b--\n",
			"1.1 \"one\", 1 \"--c\\n\\none\\n--c--\\nepi\""},
		{"multipart that is not closed", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--b--\n",
			"1.1 \"one\", 1 \"--c\\n\\none\""},
		{"three deep", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: multipart/mixed; boundary=d\n\n--d\n\none\n--d--\n--c--\n--b--\n",
			"1.1.1 \"one\", 1.1 \"--d\\n\\none\\n--d--\", 1 \"--c\\nContent-Type: multipart/mixed; boundary=d\\n\\n--d\\n\\none\\n--d--\\n--c--\""},
		{"message without a body", "--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n", "1.1 \"\", 1 \"Subject: x\""},
		{"message with an empty body", "--b\nContent-Type: message/rfc822\n\nSubject: x\n\n--b--\n", "1.1 \"\", 1 \"Subject: x\\n\""},
		{"empty message", "--b\nContent-Type: message/rfc822\n\n--b--\n", "1.1 \"\", 1 \"\""},
		{"long last header line", "--b\nContent-Type: message/rfc822\n\nSubject: " + strings.Repeat("x", 200_000) + "\n--b--\n",
			"1.1 \"\", 1 \"Subject: " + strings.Repeat("x", 200_000) + "\""},
	}
	for _, tt := range tests {
		for _, eol := range []string{"\n", "\r\n"} {
			in := strings.ReplaceAll(head+tt.in, "\n", eol)
			var got []string
			err := Walk(iotest.HalfReader(strings.NewReader(in)), &WalkOptions{Leave: func(p *Part) error {
				if !p.Root() {
					got = append(got, fmt.Sprintf("%s %q", p.ID, in[p.BodyOffset:p.BodyOffset+p.Size]))
				}
				return nil
			}}, func(*Part, *Body) error { return nil })
			want := strings.ReplaceAll(tt.want, `\n`, strings.Trim(fmt.Sprintf("%q", eol), `"`))
			if g := strings.Join(got, ", "); err != nil || g != want {
				t.Errorf("%s, line end %q: got %s, %v\nwant %s", tt.name, eol, clip([]byte(g)), err, clip([]byte(want)))
			}
		}
	}
}

// budget runs f, tells how long it took and fails when it allocates more than heap octets.
func budget(t *testing.T, heap uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	t.Logf("took %v", time.Since(start))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > heap {
		t.Errorf("allocated %d octets, want at most %d", grown, heap)
	}
}

func TestM1_Depth(t *testing.T) {
	var multi, messages strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&multi, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		messages.WriteString("Content-Type: message/rfc822\n\n")
	}
	for name, msg := range map[string]string{"multipart": multi.String(), "message": messages.String()} {
		t.Run(name, func(t *testing.T) {
			var deepest *Part
			n := 0
			budget(t, 16<<20, func() {
				err := Walk(strings.NewReader(msg), nil, func(p *Part, _ *Body) error {
					n++
					deepest = p
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
			if n != 101 || deepest.Depth != 100 || deepest.Container || defectIDs(deepest.Defects) != "depth-limit" {
				t.Errorf("%d parts, the last at depth %d, container %v, %v", n, deepest.Depth, deepest.Container, deepest.Defects)
			}
		})
	}
}

func TestM2_PartCount(t *testing.T) {
	msg := head + strings.Repeat("--b\n\nx\n", 1_000_000) + "--b--\n"
	n := 0
	var last *Part
	var rest int64
	budget(t, 64<<20, func() {
		err := Walk(strings.NewReader(msg), nil, func(p *Part, body *Body) error {
			n++
			last = p
			if n > 10_000 {
				var err error
				rest, err = io.Copy(io.Discard, body)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if n != 10_001 || defectIDs(last.Defects) != "part-limit" || last.MediaType != "application/octet-stream" {
		t.Errorf("%d parts, the last %s %v", n, last.MediaType, last.Defects)
	}
	if want := int64(len(msg) - len(head) - 9999*7 - 4); rest != want {
		t.Errorf("the opaque part has %d octets, want %d", rest, want)
	}
}

func TestM3_Headers(t *testing.T) {
	many := strings.Repeat("X: y\n", 500_000)
	long := "To: " + strings.Repeat("a@example.org,\n ", 500_000) + "\n"
	for name, h := range map[string]string{"fields": many, "size": long} {
		t.Run("top "+name, func(t *testing.T) {
			budget(t, 16<<20, func() {
				err := Walk(strings.NewReader(h+"\nbody"), nil, func(*Part, *Body) error { return nil })
				var bad *message.Error
				if !errors.As(err, &bad) {
					t.Errorf("got %v, want a *message.Error", err)
				}
			})
		})
		t.Run("part "+name, func(t *testing.T) {
			budget(t, 32<<20, func() {
				got := ""
				err := Walk(strings.NewReader(head+"--b\nContent-Type: text/html\n"+h+"\nbody\n--b--\n"), nil, func(p *Part, b *Body) error {
					if p.Container {
						return nil
					}
					s, err := io.ReadAll(b)
					got = fmt.Sprintf("%s %s %q %s", p.ID, p.MediaType, s, defectIDs(p.Defects))
					return err
				})
				if want := `1 text/html "body" header-limit`; err != nil || got != want {
					t.Errorf("got %s, %v, want %s", got, err, want)
				}
			})
		})
	}
	t.Run("all headers together", func(t *testing.T) {
		one := "--b\n" + "X: " + strings.Repeat("y", 900_000) + "\n\nx\n"
		msg := io.MultiReader(strings.NewReader(head), &repeat{unit: one, n: 200})
		parts, kept := 0, 0
		err := Walk(msg, nil, func(p *Part, _ *Body) error {
			parts++
			kept += len(p.Header.Bytes())
			return nil
		})
		if err != nil || parts != 201 || kept > 65<<20 {
			t.Errorf("%d parts, %d octets of headers, %v", parts, kept, err)
		}
	})
}

// repeat gives unit n times.
type repeat struct {
	unit string
	n    int
	rest string
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.rest = r.unit
		r.n--
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestS2_WalkLinear(t *testing.T) {
	deep := strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=%d\n\n--%d\n", i+100, i+100)
	}
	worst := map[string][2]string{
		"dashes under one boundary":      {head + "--b\n\n", "--\n"},
		"near misses":                    {head + "--b\n\n", "--c\n"},
		"near misses, deep":              {deep.String() + "\n", "--333\n"},
		"half delimiters on one line":    {head, "--b--b"},
		"CR":                             {head, "\r"},
		"header colons":                  {"", ":\n"},
		"parts":                          {head, "--b\n\n"},
		"parts with a type":              {head, "--b\nContent-Type: text/plain; a*0=b\n\n"},
		"parameters":                     {"Content-Type: a/b", ";a=b"},
		"parameter continuations":        {"Content-Type: a/b", ";\n a*1*=b"},
		"comments":                       {"Content-Type: a/b;", "("},
		"comments closed":                {"Content-Type: a/b;", "()"},
		"quotes":                         {"Content-Type: a/b; c=\"", "\\\""},
		"semicolons":                     {"Content-Type: a/b", ";"},
		"no values":                      {"Content-Type: a/b", ";\n x"},
		"encoded words in a parameter":   {"Content-Type: a/b; name=\"", "=?utf-8?q?x?= "},
		"half encoded words":             {"Content-Type: a/b; name=\"", "=?utf-8?q?"},
		"messages in messages":           {"", "Content-Type: message/rfc822\n\n"},
		"delimiters without line ends":   {head + "--b\n\n", "\n--b" + strings.Repeat(" ", 100)},
		"continuation of one long field": {"X:", "\n a"},
	}
	for name, w := range worst {
		linear(t, name, func(n int) {
			in := w[0] + strings.Repeat(w[1], n/len(w[1]))
			err := Walk(strings.NewReader(in), nil, func(p *Part, b *Body) error {
				if p.Container {
					return nil
				}
				_, err := b.WriteTo(io.Discard)
				return err
			})
			var over *message.Error
			if err != nil && !errors.As(err, &over) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestBodyWays(t *testing.T) {
	msg := head + "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=E9=\n!\n--b\n" +
		"Content-Type: message/rfc822\n\nSubject: in\n\nhello\n--b--\n"
	read := func(want string, f func(p *Part, b *Body) (string, error)) {
		t.Helper()
		var got []string
		err := Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
			s, err := f(p, b)
			if s != "" {
				got = append(got, p.ID+"="+s)
			}
			return err
		})
		if g := fmt.Sprintf("%q", got); err != nil || g != want {
			t.Errorf("got %s, %v, want %s", g, err, want)
		}
	}
	all := func(r io.Reader) (string, error) { b, err := io.ReadAll(r); return string(b), err }
	read(`["1=\xe9!" "2.1=hello"]`, func(p *Part, b *Body) (string, error) {
		if p.Container {
			return "", nil
		}
		return all(b)
	})
	read(`["1=é!" "2.1=hello"]`, func(p *Part, b *Body) (string, error) {
		if p.Container {
			return "", nil
		}
		return all(b.Text())
	})
	read(`["1==E9=\n!" "2=Subject: in\n\nhello"]`, func(p *Part, b *Body) (string, error) {
		if p.Multipart() {
			return "", nil
		}
		return all(b.Raw())
	})
	read(`["TEXT=--b\n`+`Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=E9=\n!\n--b\n`+
		`Content-Type: message/rfc822\n\nSubject: in\n\nhello\n--b--\n"]`, func(p *Part, b *Body) (string, error) {
		return all(b)
	})
	read(`["1=\xe9!"]`, func(p *Part, b *Body) (string, error) {
		if p.Container {
			return "", nil
		}
		s, err := all(b)
		return s, errors.Join(err, ErrStop)
	})
	var kept *Body
	if err := Walk(strings.NewReader("\nx"), nil, func(_ *Part, b *Body) error { kept = b; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Read(make([]byte, 1)); err == nil {
		t.Error("a body could be read after its visit")
	}
}

func TestReaderErrors(t *testing.T) {
	msg := head + "--b\n\none\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\ntwo\n--b--\n"
	broken := errors.New("broken")
	for n := range len(msg) {
		err := Walk(io.MultiReader(strings.NewReader(msg[:n]), iotest.ErrReader(broken)), nil, func(_ *Part, b *Body) error { return nil })
		if !errors.Is(err, broken) {
			t.Fatalf("cut at %d: got %v", n, err)
		}
	}
}

func TestM9_Charsets(t *testing.T) {
	tests := []struct{ name, charset, in, want, defects string }{
		{"latin1", "ISO-8859-1", "caf\xe9", "café", ""},
		{"windows", "cp1252", "\x80", "€", ""},
		{"utf-8 bad", "utf-8", "a\xffb\xc0\x80", "a\ufffdb\ufffd\ufffd", "charset-invalid"},
		{"ascii with more", "us-ascii", "\xe9", "\ufffd", "charset-invalid"},
		{"unknown", "x-none", "a\xe9é", "a\ufffdé", "unknown-charset charset-invalid"},
		{"empty", "", "é", "é", ""},
		{"japanese", "iso-2022-jp", "\x1b$B$\"\x1b(B", "あ", ""},
		{"escape that never ends", "iso-2022-jp", "\x1b$B$", "\ufffd", "charset-invalid"},
		{"korean alias", "ks_c_5601-1987", "\xb0\xa1", "가", ""},
		{"utf-16 without mark", "utf-16", "\x00a", "a", ""},
		{"replacement that was sent", "utf-8", "\ufffd", "\ufffd", ""},
		{"utf-32", "UTF-32LE", "a\x00\x00\x00\xac\x20\x00\x00", "a€", ""},
		{"not in the table", "iso-8859-8", "a\xbf", "a\ufffd", "charset-invalid"},
		{"name of 1 MB", strings.Repeat("x", 1_000_000), "a", "a", "unknown-charset"},
		{"odd name", "\"'utf-8'\"", "é", "é", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := "Content-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=" + tt.charset + "\n\n" + tt.in
			var got []byte
			err := Walk(strings.NewReader(in), &WalkOptions{Leave: func(p *Part) error {
				if ids := defectIDs(p.Defects); string(got) != tt.want || ids != tt.defects && tt.name != "odd name" {
					t.Errorf("got %q (%s), want %q (%s)", got, ids, tt.want, tt.defects)
				}
				return nil
			}}, func(_ *Part, b *Body) (err error) {
				got, err = io.ReadAll(b.Text())
				return err
			})
			var over *message.Error
			if err != nil && !(errors.As(err, &over) && tt.name == "name of 1 MB") {
				t.Error(err)
			}
		})
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(head + "pre\n--b\n\none\n--b\nContent-Type: message/rfc822\n\nA: b\n\nx\n--b--\nepilogue\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\n--b--"))
	f.Add([]byte("Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset*0*=utf-8''x; name*1=y\n\nQUJD\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		run := func(r io.Reader) (string, int64) {
			var b strings.Builder
			var octets int64
			err := Walk(r, &WalkOptions{Limits: Limits{Depth: 5, Parts: 20}}, func(p *Part, body *Body) error {
				fmt.Fprintf(&b, "%s %d %s %q %q %d %d\n", p.ID, p.Depth, p.MediaType, p.Filename, p.Encoding, p.HeaderOffset, p.BodyOffset)
				if p.Depth > 5 {
					t.Fatal("too deep")
				}
				if p.Container {
					return nil
				}
				n, err := body.WriteTo(&b)
				octets += n
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return b.String(), octets
		}
		whole, n := run(bytes.NewReader(in))
		if n > int64(len(in)) {
			t.Fatalf("%d octets out of %d", n, len(in))
		}
		if pieces, _ := run(iotest.OneByteReader(bytes.NewReader(in))); pieces != whole {
			t.Fatalf("whole\n%s\nin pieces\n%s", whole, pieces)
		}
	})
}
