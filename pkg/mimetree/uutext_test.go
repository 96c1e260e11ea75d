package mimetree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// uuencode writes data as files in texts have it, with "`" or a blank for the digit 0.
func uuencode(name string, data []byte, zero byte) string {
	digit := func(v byte) byte {
		if v &= 63; v == 0 {
			return zero
		}
		return v + ' '
	}
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	for len(data) > 0 {
		row := data[:min(len(data), 45)]
		data = data[len(row):]
		b.WriteByte(digit(byte(len(row))))
		for ; len(row) > 0; row = row[min(len(row), 3):] {
			var g [3]byte
			copy(g[:], row)
			b.Write([]byte{digit(g[0] >> 2), digit(g[0]<<4 | g[1]>>4), digit(g[1]<<2 | g[2]>>6), digit(g[2])})
		}
		b.WriteByte('\n')
	}
	return b.String() + string(zero) + "\nend\n"
}

// uuParts walks a message and gives the parts with what they decode to, files after the text they are in.
func uuParts(r io.Reader, o *WalkOptions) (parts []*Part, bodies map[*Part]string, err error) {
	bodies = make(map[*Part]string)
	err = Walk(r, o, func(p *Part, body *Body) error {
		parts = append(parts, p)
		if p.Container {
			return nil
		}
		b, err := io.ReadAll(body)
		bodies[p] = string(b)
		return err
	})
	return parts, bodies, err
}

func TestM8_UuencodedFiles(t *testing.T) {
	small := uuencode("a.bin", []byte("hello"), '`')
	blanks := uuencode("b c.bin", make([]byte, 100), ' ')
	long := bytes.Repeat([]byte{0, 1, 2, 255}, 20_000)
	stripped := strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(blanks, strings.Repeat(" ", 60), ""), " "), " \n", "\n")
	tests := []struct{ name, text, want string }{
		{"no file", "one\ntwo\n", `1 "one\ntwo\n"`},
		{"alone", small, `1 "" 1.U1 a.bin "hello"`},
		{"in the middle", "one\n" + small + "two\n", `1 "one\ntwo\n" 1.U1 a.bin "hello"`},
		{"several", "one\n" + small + "\n" + blanks + small, `1 "one\n\n" 1.U1 a.bin "hello" 1.U2 b c.bin ` + fmt.Sprintf("%q", make([]byte, 100)) + ` 1.U3 a.bin "hello"`},
		{"blanks lost", stripped, `1 "" 1.U1 b c.bin ` + fmt.Sprintf("%q", make([]byte, 100)) + " (uuencode-invalid)"},
		{"empty file", "begin 600 x\n`\nend\n", `1 "" 1.U1 x ""`},
		{"no line of length 0", "begin 0644 x\n%:&5L;&\\\nend\nafter", `1 "after" 1.U1 x "hello"`},
		{"checksum", "begin 644 x\n%:&5L;&\\X\n`\nend\n", `1 "" 1.U1 x "hello"`},
		{"no name", "begin 644 \n%:&5L;&\\\n`\nend\n", `1 "" 1.U1  "hello"`},
		{"no end", "one\nbegin 644 x\n%:&5L;&\\`\n", `1 "one\n" 1.U1 x "hello" (uuencode-invalid)`},
		{"cut in a line", "begin 644 x\n%:&5L;&\\`\n%:&5", `1 "" 1.U1 x "hellohe@\x00\x00" (uuencode-invalid)`},
		{"last line without line end", strings.TrimSuffix(small, "\n"), `1 "" 1.U1 a.bin "hello"`},
		{"long, no end", strings.TrimSuffix(uuencode("l", long, '`'), "end\n") + "not a line\n" + small,
			`1 "not a line\n" 1.U1 l ` + fmt.Sprintf("%q", long) + ` (uuencode-invalid) 1.U2 a.bin "hello"`},

		{"prose", "begin 644 is a good number\nIt is.\nend\n", `1 "begin 644 is a good number\nIt is.\nend\n"`},
		{"no mode", "begin x\n%:&5L;&\\\n`\nend\n", "1 \"begin x\\n%:&5L;&\\\\\\n`\\nend\\n\""},
		{"no octal mode", "begin 689 x\n%:&5L;&\\\n`\nend\n", "1 \"begin 689 x\\n%:&5L;&\\\\\\n`\\nend\\n\""},
		{"mode too long", "begin 10644 x\n`\nend\n", "1 \"begin 10644 x\\n`\\nend\\n\""},
		{"no blank behind the mode", "begin 644\n`\nend\n", "1 \"begin 644\\n`\\nend\\n\""},
		{"capitals", "begin 644 shouting\nSTOP THAT\nNOW\n", `1 "begin 644 shouting\nSTOP THAT\nNOW\n"`},
		{"no line start", " " + small, fmt.Sprintf("1 %q", " "+small)},
		{"quoted", "> " + strings.ReplaceAll(small, "\n", "\n> ") + "\n", fmt.Sprintf("1 %q", "> "+strings.ReplaceAll(small, "\n", "\n> ")+"\n")},
		{"line too long", "begin 644 x\nM" + strings.Repeat("A", 62) + "\n`\nend\n", "1 \"begin 644 x\\nM" + strings.Repeat("A", 62) + "\\n`\\nend\\n\""},
		{"data after length 0", "begin 644 x\n`\n%:&5L;&\\\nend\n", "1 \"begin 644 x\\n`\\n%:&5L;&\\\\\\nend\\n\""},
		{"nothing but begin", "begin 644 x", `1 "begin 644 x"`},
		{"end at once", "begin 644 x\nend\n", `1 "begin 644 x\nend\n"`},
		{"begin in a file", "begin 644 x\n%:&5L;&\\\n" + small, `1 "begin 644 x\n%:&5L;&\\\n" 1.U1 a.bin "hello"`},
		{"half a begin", "one\nbeg", `1 "one\nbeg"`},
	}
	for _, tt := range tests {
		for form, msg := range map[string]string{"LF": "Subject: x\n\n" + tt.text, "CRLF": strings.ReplaceAll("Subject: x\n\n"+tt.text, "\n", "\r\n")} {
			for way, r := range map[string]io.Reader{"whole": strings.NewReader(msg), "octets": iotest.OneByteReader(strings.NewReader(msg)),
				"halves": iotest.HalfReader(strings.NewReader(msg))} {
				parts, bodies, err := uuParts(r, &WalkOptions{OpenUuencoded: true, Decode: DecodeOptions{LF: true}})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, p := range parts {
					item := p.ID
					if p.Uuencoded {
						item += " " + p.Filename
					}
					if item += fmt.Sprintf(" %q", bodies[p]); p.Defects != nil {
						item += " (" + defectIDs(p.Defects) + ")"
					}
					got = append(got, item)
				}
				if got := strings.Join(got, " "); got != tt.want {
					t.Errorf("%s, %s, %s\n got %s\nwant %s", tt.name, form, way, clip([]byte(got)), clip([]byte(tt.want)))
				}
			}
		}
	}
}

// TestUuencodedPlaces: in which parts files are looked for, and where the parts say that those stand.
func TestUuencodedPlaces(t *testing.T) {
	file := uuencode("a", []byte("hello"), '`')
	qp := strings.NewReplacer("=", "=3D", "`", "=60").Replace(file)
	msg := strings.ReplaceAll(head+"--b\n\none\n"+file+"two\n"+
		"--b\nContent-Type: text/html\n\n"+file+
		"--b\nContent-Type: text/plain; name=a.uue\n\n"+file+
		"--b\nContent-Disposition: attachment\n\n"+file+
		"--b\nContent-Transfer-Encoding: quoted-printable\n\nthree=\n\n"+qp+"=\n"+file+
		"--b\nContent-Type: message/rfc822\n\nSubject: x\n\n"+file+file+
		"--b--\n", "\n", "\r\n")
	wire := strings.ReplaceAll(file, "\n", "\r\n")
	parts, bodies, err := uuParts(strings.NewReader(msg), &WalkOptions{OpenUuencoded: true, OpenEncoded: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range parts {
		got = append(got, p.ID)
		if !p.Uuencoded {
			continue
		}
		if bodies[p] != "hello" || p.HeaderOffset != p.BodyOffset || p.Depth != p.Parent.Depth+1 {
			t.Errorf("part %s: got %q at %d, header at %d, depth %d", p.ID, bodies[p], p.BodyOffset, p.HeaderOffset, p.Depth)
		}
		if p.Decoded {
			continue
		}
		if there := msg[p.BodyOffset : p.BodyOffset+p.Size]; strings.TrimSuffix(there, "\r\n") != strings.TrimSuffix(wire, "\r\n") {
			t.Errorf("part %s: at its place stands %q", p.ID, there)
		}
	}
	if want := "TEXT 1 1.U1 2 3 4 5 5.U1 5.U2 6 6.1 6.1.U1 6.1.U2"; strings.Join(got, " ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, " "), want)
	}
	if text := bodies[parts[1]]; text != "one\r\ntwo" {
		t.Errorf("the text around is %q", text)
	}
}

// TestUuencodeAlphabet tries every octet at every place of a group.
func TestUuencodeAlphabet(t *testing.T) {
	for c := range 256 {
		for place := range 4 {
			group := []byte("    ")
			group[place] = byte(c)
			d := uuDecoder{state: 1}
			got := d.line(nil, append([]byte("#"), group...))
			v := (c - ' ') & 63 << (6 * (3 - place))
			want := []byte{byte(v >> 16), byte(v >> 8), byte(v)}
			if !bytes.Equal(got, want) || (d.list != nil) != (c < ' ' || c > '`') {
				t.Errorf("octet %#x at place %d: got %v %v, want %v", c, place, got, d.list, want)
			}
		}
	}
}

// TestUuencodedUnread: files are visited, too, when the text is not read or in part; not when it is read as it stands, and without
// the option.
func TestUuencodedUnread(t *testing.T) {
	file := uuencode("a", []byte("hello"), '`')
	msg := "\none\n" + file + "two\n" + file
	stop := errors.New("that is enough")
	for _, tt := range []struct {
		name, want string
		o          WalkOptions
		visit      func(p *Part, body *Body) error
		err        error
	}{
		{"not read", "1 1.U1 1.U2", WalkOptions{OpenUuencoded: true}, func(*Part, *Body) error { return nil }, nil},
		{"in part", "1 1.U1 1.U2", WalkOptions{OpenUuencoded: true}, func(_ *Part, body *Body) error { _, err := body.Read(make([]byte, 1)); return err }, nil},
		{"as text", "1 1.U1 1.U2", WalkOptions{OpenUuencoded: true}, func(_ *Part, body *Body) error { _, err := io.Copy(io.Discard, body.Text()); return err }, nil},
		{"as it stands", "1", WalkOptions{OpenUuencoded: true}, func(_ *Part, body *Body) error {
			b, err := io.ReadAll(body.Raw())
			if string(b) != msg[1:] {
				t.Errorf("got %q", b)
			}
			return err
		}, nil},
		{"no option", "1", WalkOptions{}, func(*Part, *Body) error { return nil }, nil},
		{"stop in a file", "1 1.U1", WalkOptions{OpenUuencoded: true}, func(p *Part, body *Body) error {
			if p.Uuencoded {
				return ErrStop
			}
			_, err := io.Copy(io.Discard, body)
			return err
		}, nil},
		{"error in a file", "1 1.U1", WalkOptions{OpenUuencoded: true}, func(p *Part, _ *Body) error {
			if p.Uuencoded {
				return stop
			}
			return nil
		}, stop},
		{"limit", "1 1.U1", WalkOptions{OpenUuencoded: true, Limits: Limits{Parts: 2}}, func(*Part, *Body) error { return nil }, nil},
	} {
		var ids, left []string
		var text *Part
		tt.o.Leave = func(p *Part) error {
			left = append(left, p.ID)
			return nil
		}
		err := Walk(strings.NewReader(msg), &tt.o, func(p *Part, body *Body) error {
			if !p.Uuencoded {
				text = p
			}
			ids = append(ids, p.ID)
			return tt.visit(p, body)
		})
		if !errors.Is(err, tt.err) || strings.Join(ids, " ") != tt.want {
			t.Errorf("%s: got %s, %v, want %s, %v", tt.name, ids, err, tt.want, tt.err)
		}
		if limited := defectIDs(text.Defects) == "part-limit"; limited != (tt.name == "limit") {
			t.Errorf("%s: the text has the defects %v", tt.name, text.Defects)
		}
		if tt.name == "as text" && strings.Join(left, " ") != "1.U1 1.U2 1" {
			t.Errorf("left in the order %s", left)
		}
	}
}

// TestUuencodedReadError: what was read before an error is no reason to take half a file for one.
func TestUuencodedReadError(t *testing.T) {
	msg := "\n" + uuencode("a", bytes.Repeat([]byte("hello"), 10_000), '`')
	broken := errors.New("broken")
	for _, n := range []int{3, 30, 300, 40_000} {
		r := io.MultiReader(strings.NewReader(msg[:n]), iotest.ErrReader(broken))
		if _, _, err := uuParts(r, &WalkOptions{OpenUuencoded: true}); !errors.Is(err, broken) {
			t.Errorf("after %d octets: got %v, want %v", n, err, broken)
		}
	}
}

// TestUuencodedCorpora takes the files out of the messages that MIME-tools has with and without that.
func TestUuencodedCorpora(t *testing.T) {
	dir := corpus(t, "mime-tools")
	for name, want := range map[string][]string{
		"uu-junk.msg":   {"2.U1 up.gif uu-junk-target_decoded_1_2_2.bin", "2.U2 zeegee.gif uu-junk-target_decoded_1_2_3.bin"},
		"uu-zeegee.msg": {"1.U1 up.gif uu-junk-target_decoded_1_2_2.bin", "1.U2 zeegee.gif uu-junk-target_decoded_1_2_3.bin"},
	} {
		parts, bodies, err := uuParts(bytes.NewReader(readFile(t, filepath.Join(dir, name))), &WalkOptions{OpenUuencoded: true})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range parts {
			if !p.Uuencoded {
				continue
			}
			for _, w := range want[n : n+1] {
				words := strings.Fields(w)
				if p.ID != words[0] || p.Filename != words[1] || p.Defects != nil || bodies[p] != string(readFile(t, filepath.Join(dir, words[2]))) {
					t.Errorf("%s: got %s %s %v %s, want %s", name, p.ID, p.Filename, p.Defects, clip([]byte(bodies[p])), w)
				}
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%s: %d files, want %d", name, n, len(want))
		}
		if text := bodies[parts[len(parts)-1-n]]; strings.Contains(text, "begin ") || !strings.Contains(text, "uuencoded the ZeeGee") {
			t.Errorf("%s: the text is %q", name, text)
		}
	}
}

func TestUnpackUuencoded(t *testing.T) {
	text := "one\n" + uuencode("../../a.txt", []byte("A"), '`') + uuencode("a.txt", []byte("B"), '`') + uuencode("part-1.txt", []byte("C"), '`') + "two\n"
	for _, tt := range []struct {
		name string
		o    UnpackOptions
		want string
		err  bool
	}{
		{"files", UnpackOptions{}, "a-1.txt=B a.txt=A part-1-1.txt=one\ntwo\n part-1.txt=C", false},
		{"list", UnpackOptions{List: true}, "", false},
		{"keep names", UnpackOptions{Keep: true}, "", true},
		{"octets", UnpackOptions{MaxBytes: 6}, "a-1.txt=B a.txt=A", true},
		{"parts", UnpackOptions{Limits: Limits{Parts: 2}}, "a.txt=A part-1.txt=one\n" + text[strings.Index(text, "begin 644 a.txt"):], false},
	} {
		dir := t.TempDir()
		var told []string
		err := Unpack(context.Background(), strings.NewReader("\n"+text), dir, &tt.o, func(e Entry) error {
			told = append(told, e.Part.ID+" "+e.Name)
			return nil
		})
		if got := files(t, dir); (err != nil) != tt.err || got != tt.want {
			t.Errorf("%s: got %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
		if want := "1.U1 a.txt,1.U2 a-1.txt,1.U3 part-1.txt,1 part-1-1.txt"; tt.o.MaxBytes+int64(tt.o.Limits.Parts) == 0 && !tt.o.Keep && strings.Join(told, ",") != want {
			t.Errorf("%s: told %q, want %s", tt.name, told, want)
		}
	}
}

// TestS2_UuencodedLinear: what almost is a file, over and over.
func TestS2_UuencodedLinear(t *testing.T) {
	row := "M" + strings.Repeat("A", 60) + "\n"
	for name, unit := range map[string]string{
		"begin":          "begin 644 x\n",
		"one row":        "begin 644 x\n" + row,
		"window":         "begin 644 x\n" + strings.Repeat("A\n", uuWindow/2-20),
		"short rows":     "begin 644 x\n" + strings.Repeat("A\n", 100) + "x\n",
		"files":          uuencode("x", []byte("x"), '`'),
		"long line":      "begin 644 " + strings.Repeat("x", uuBeginMax),
		"empty lines":    "\n",
		"half begin":     "\nbegin",
		"without an end": row,
	} {
		linear(t, name, func(n int) {
			in := "\nbegin 644 x\n" + strings.Repeat(unit, n/len(unit))
			if _, _, err := uuParts(strings.NewReader(in), &WalkOptions{OpenUuencoded: true}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// FuzzUuencodedText puts a file into a text and takes it out again.
func FuzzUuencodedText(f *testing.F) {
	f.Add([]byte("hello"), "one\n", "two\n", byte(0), 3)
	f.Add(bytes.Repeat([]byte{0, 255, 1}, 9000), "", "begin 644 x\nno\n", byte(7), 100)
	f.Add([]byte(""), "begin", "\nend", byte(13), 5000)
	f.Fuzz(func(t *testing.T, data []byte, before, after string, form byte, size int) {
		o := &WalkOptions{OpenUuencoded: true, Decode: DecodeOptions{LF: true}}
		if before = strings.ReplaceAll(before, "\r", ""); before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		after = strings.ReplaceAll(after, "\r", "")
		zero := byte('`')
		if form&1 != 0 {
			zero = ' '
		}
		// What surrounds the file may hold files or the begin of one; then only that nothing is lost can be told.
		plain := true
		for _, s := range []string{before, after} {
			parts, _, err := uuParts(strings.NewReader("\n"+s), o)
			plain = plain && err == nil && len(parts) == 1 && !strings.Contains("\n"+s, "\nbegin ")
		}
		msg := "Content-Transfer-Encoding: 8bit\n\n" + before + uuencode("a b", data, zero) + after
		if form&2 != 0 {
			msg = strings.ReplaceAll(msg, "\n", "\r\n")
		}
		parts, bodies, err := uuParts(&chunked{strings.NewReader(msg), max(1, size&0xfff)}, o)
		if err != nil {
			t.Fatal(err)
		}
		if whole, wholeBodies, _ := uuParts(strings.NewReader(msg), o); len(whole) != len(parts) || bodies[parts[0]] != wholeBodies[whole[0]] {
			t.Fatalf("whole: %d parts %q, in pieces: %d %q", len(whole), wholeBodies[whole[0]], len(parts), bodies[parts[0]])
		}
		if !plain {
			return
		}
		if len(parts) != 2 || bodies[parts[1]] != string(data) || bodies[parts[0]] != before+after || parts[1].Filename != "a b" {
			t.Fatalf("%d parts, text %q, file %q", len(parts), bodies[parts[0]], bodies[parts[len(parts)-1]])
		}
	})
}

// chunked gives n octets at a time.
type chunked struct {
	r io.Reader
	n int
}

func (c *chunked) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

// BenchmarkWalkText walks a text, with and without a look for files in it.
func BenchmarkWalkText(b *testing.B) {
	msg := "\n" + strings.Repeat("Once more unto the breach, dear friends, once more; or close the wall up.\n", 1<<17)
	for _, open := range []bool{false, true} {
		b.Run(fmt.Sprintf("OpenUuencoded=%v", open), func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				err := Walk(strings.NewReader(msg), &WalkOptions{OpenUuencoded: open, Decode: DecodeOptions{LF: true}}, func(_ *Part, body *Body) error {
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
