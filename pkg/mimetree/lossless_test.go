package mimetree

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/message"
)

// apart unpacks a message without loss and gives the folder and what was told.
func apart(t *testing.T, in []byte) (string, []Entry) {
	t.Helper()
	dir := t.TempDir()
	var entries []Entry
	err := UnpackLossless(context.Background(), iotest.HalfReader(bytes.NewReader(in)), dir, nil, func(e Entry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatalf("unpack: %v", err)
	}
	return dir, entries
}

// together packs a folder again.
func together(t *testing.T, dir string) (string, []string) {
	t.Helper()
	var out bytes.Buffer
	changed, err := Repack(dir, &out)
	if err != nil {
		t.Fatalf("repack: %v", err)
	}
	return out.String(), changed
}

// TestLosslessCorpora takes every file there is apart and puts it together.
func TestLosslessCorpora(t *testing.T) {
	for _, name := range corpusFiles(t) {
		data := readFile(t, name)
		dir := t.TempDir()
		err := UnpackLossless(context.Background(), bytes.NewReader(data), dir, nil, func(e Entry) error {
			checkName(t, e.Part.Filename, e.Name)
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, changed := together(t, dir); got != string(data) || changed != nil {
			t.Errorf("%s: changed %v\n got %s\nwant %s", name, changed, clip([]byte(got)), clip(data))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

const losslessMessage = `From: alice@example.org
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

one=20=
 two=C3=A9
--b
Content-Type: text/plain; name=note.txt

plain text
--b
Content-Type: image/png; name=a.png
Content-Transfer-Encoding: base64

QUJDREVGR0hJSktM
TU5PUFFSU1RVVldY
WVo=
--b
Content-Type: a/b; name=odd
Content-Transfer-Encoding: base64

QUJD RE

  VG
footer
--b
Content-Type: a/b; name=uu
Content-Transfer-Encoding: x-uuencode

begin 644 a.txt
+:&5L;&\@=V]R;&0
` + "`" + `
end
--b--
epilogue
`

func TestLosslessEdit(t *testing.T) {
	for _, eol := range []string{"\n", "\r\n"} {
		msg := strings.ReplaceAll(losslessMessage, "\n", eol)
		tests := []struct{ name, file, text, old, want, changed string }{
			{"nothing", "", "", "", "", "[]"},
			{"quoted-printable", "part-1.txt", "three é", "one=20=\n two=C3=A9", "three =C3=A9", "[1]"},
			{"plain", "note.txt", "edited\ntwice", "plain text", "edited\ntwice", "[2]"},
			{"base64 rows", "a.png", strings.Repeat("x", 25), "QUJDREVGR0hJSktM\nTU5PUFFSU1RVVldY\nWVo=",
				"eHh4eHh4eHh4eHh4\neHh4eHh4eHh4eHh4\neA==", "[3]"},
			{"base64 odd", "odd", "x", "QUJD RE\n\n  VG\nfooter", "eA==", "[4]"},
			{"to nothing", "a.png", "", "QUJDREVGR0hJSktM\nTU5PUFFSU1RVVldY\nWVo=", "", "[3]"},
		}
		for _, tt := range tests {
			dir, entries := apart(t, []byte(msg))
			if len(entries) != 5 {
				t.Fatalf("%d files", len(entries))
			}
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := strings.Replace(losslessMessage, tt.old, tt.want, 1)
			got, changed := together(t, dir)
			if got != strings.ReplaceAll(want, "\n", eol) || fmt.Sprint(changed) != tt.changed {
				t.Errorf("%s, line end %q: changed %v\n got %q\nwant %q", tt.name, eol, changed, got, want)
			}
		}
	}
	t.Run("single part", func(t *testing.T) {
		for _, in := range []string{"Content-Transfer-Encoding: base64\n\nQUJD\n", "Content-Transfer-Encoding: quoted-printable\n\nA=42C\n"} {
			dir, entries := apart(t, []byte(in))
			if err := os.WriteFile(filepath.Join(dir, entries[0].Name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			got, _ := together(t, dir)
			_, leaves, _, err := shape([]byte(got))
			if err != nil || string(leaves[0]) != "x" || !strings.HasSuffix(got, "\n") {
				t.Errorf("got %q, %v", got, err)
			}
		}
	})
}

// TestLosslessEditAtDelimiter: an empty body that a delimiter follows at once, without a line end of its own, can be edited.
func TestLosslessEditAtDelimiter(t *testing.T) {
	for _, eol := range []string{"\n", "\r\n"} {
		for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
			in := strings.ReplaceAll(head+"--b\nContent-Transfer-Encoding: "+encoding+"\n\n--b\n\nother\n--b--\n", "\n", eol)
			dir, entries := apart(t, []byte(in))
			if err := os.WriteFile(filepath.Join(dir, entries[0].Name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			got, _ := together(t, dir)
			tree, leaves, _, err := shape([]byte(got))
			if err != nil || tree != "multipart(leaf leaf )" || string(leaves[0]) != "x" || string(leaves[1]) != "other" {
				t.Errorf("%s, line end %q: got %q: %s %q, %v", encoding, eol, got, tree, leaves, err)
			}
		}
	}
}

// TestLosslessEditCorpora edits the parts of what there is, one at a time: what is not refused changes that part, and no other.
func TestLosslessEditCorpora(t *testing.T) {
	edits := []string{"x", "", "\n", "one\ntwo\n", "X: y\n\nz", "a CR\r", "From me\n.\n", "=20 \n", "--"}
	for i, name := range corpusFiles(t) {
		data := readFile(t, name)
		if len(data) > 9000 || testing.Short() && i%3 != 0 {
			continue
		}
		dir, entries := apart(t, data)
		contents := make(map[string]string)
		for _, e := range entries {
			contents[e.Name] = string(readFile(t, filepath.Join(dir, e.Name)))
		}
		for j, e := range entries[:min(len(entries), 10)] {
			edit := edits[(i/3+j)%len(edits)]
			if err := os.WriteFile(filepath.Join(dir, e.Name), []byte(edit), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			_, err := Repack(dir, &out)
			if werr := os.WriteFile(filepath.Join(dir, e.Name), []byte(contents[e.Name]), 0o600); werr != nil {
				t.Fatal(werr)
			}
			var refused *message.Error
			if errors.As(err, &refused) {
				continue
			}
			again, after := apart(t, out.Bytes())
			if err != nil || len(after) != len(entries) {
				t.Errorf("%s: part %s edited to %q: %d parts, were %d, %v", name, e.Part.ID, edit, len(after), len(entries), err)
				continue
			}
			for _, a := range after {
				want := contents[a.Name]
				if a.Part.ID == e.Part.ID {
					want = edit
				}
				if got := readFile(t, filepath.Join(again, a.Name)); lf(got) != lf([]byte(want)) {
					t.Errorf("%s: part %s edited to %q: part %s is %s, want %s", name, e.Part.ID, edit, a.Part.ID, clip(got), clip([]byte(want)))
				}
			}
		}
	}
}

func TestLosslessErrors(t *testing.T) {
	const name = LosslessName
	tests := []struct{ name, file, text, want string }{
		{"delimiter", "note.txt", "x\n--b\ny", "note.txt: a line that ends the part, which part 2 (7bit) cannot have"},
		{"delimiter first", "note.txt", "--b--", "note.txt: a line that ends the part, which part 2 (7bit) cannot have"},
		{"8-bit", "note.txt", "é", "note.txt: octets above 127, which part 2 (7bit) cannot have"},
		{"NUL", "note.txt", "\x00", "note.txt: octets 0 or lines of more than 998 octets, which part 2 (7bit) cannot have"},
		{"uuencode", "uu", "x", "uu: a change, which part 5 (x-uuencode) cannot have"},
		{"no format", name, "{}\n", name + " cannot be read: line 1: the format is not mail-lossless-1"},
		{"another format", name, `{"format":"x"}` + "\n", name + " cannot be read: line 1: the format is not mail-lossless-1"},
		{"cut", name, `{"format":"mail-lossless-1"}` + "\n", name + " cannot be read: it has no end"},
		{"empty", name, "", name + " cannot be read: it has no end"},
		{"no JSON", name, "x", ""},
		{"long line", name, strings.Repeat("x", 2*maxRecord), name + " cannot be read: a line is too long"},
		{"octets of no part", name, `{"format":"mail-lossless-1"}` + "\n" + `{"kept":"x"}` + "\n" + `{"end":true}`, name + " cannot be read: octets of no part"},
		{"another message", name, `{"format":"mail-lossless-1"}` + "\n" + `{"text":"x"}` + "\n" + `{"end":true}`, name + " cannot be read: the message is not what it was"},
		{"file outside", name, `{"format":"mail-lossless-1"}` + "\n" + `{"part":"1","file":"../secret","encoding":"7bit"}` + "\n", "-"},
		{"absolute file", name, `{"format":"mail-lossless-1"}` + "\n" + `{"part":"1","file":"/etc/passwd","encoding":"7bit"}` + "\n", "-"},
		{"folder", name, `{"format":"mail-lossless-1"}` + "\n" + `{"part":"1","file":".","encoding":"7bit"}` + "\n", "-"},
		{"bad row", name, `{"format":"mail-lossless-1"}` + "\n" + `{"part":"1","file":"a.png","encoding":"base64","row":3,"lead":3}` + "\n", name + " cannot be read: part 1"},
		{"lead beyond the file", name, `{"format":"mail-lossless-1"}` + "\n" + `{"part":"1","file":"uu","encoding":"base64","row":4,"lead":99,"sha256":"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"}` + "\n" + `{"end":true}`, "the message changed while it was converted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := apart(t, []byte(losslessMessage))
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Repack(dir, io.Discard)
			var bad *message.Error
			switch {
			case err == nil:
				t.Error("no error")
			case tt.want == "-":
			case !errors.As(err, &bad) || tt.want != "" && err.Error() != tt.want:
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, in, text, want string }{
		{"no blank line", "no field\n", "X: y\n", "part-1.txt: a change, since no blank line is before it, which part 1 (7bit) cannot have"},
		{"CR at the end", attachments("a"), "x\r", "a: a CR at the end, which part 1 (7bit) cannot have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, entries := apart(t, []byte(tt.in))
			if err := os.WriteFile(filepath.Join(dir, entries[0].Name), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Repack(dir, io.Discard); fmt.Sprint(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("delimiter that is no UTF-8", func(t *testing.T) {
		dir, entries := apart(t, []byte("Content-Type: multipart/mixed; boundary=\"\xff\"\n\n--\xff\nContent-Transfer-Encoding: 8bit\n\nx\n--\xff--\n"))
		if err := os.WriteFile(filepath.Join(dir, entries[0].Name), []byte("x\n--\xff\n\ny"), 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *message.Error
		if _, err := Repack(dir, io.Discard); !errors.As(err, &bad) || !strings.Contains(err.Error(), "a line that ends the part") {
			t.Errorf("got %v, want an error", err)
		}
	})
	t.Run("file is gone", func(t *testing.T) {
		dir, _ := apart(t, []byte(losslessMessage))
		if err := os.Remove(filepath.Join(dir, "uu")); err != nil {
			t.Fatal(err)
		}
		if _, err := Repack(dir, io.Discard); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("link", func(t *testing.T) {
		dir, _ := apart(t, []byte(losslessMessage))
		err := errors.Join(os.Remove(filepath.Join(dir, "uu")), os.Symlink("/etc/passwd", filepath.Join(dir, "uu")))
		if _, rerr := Repack(dir, io.Discard); err != nil || rerr == nil {
			t.Errorf("got %v, %v", rerr, err)
		}
	})
	t.Run("twice in one folder", func(t *testing.T) {
		dir, _ := apart(t, []byte(losslessMessage))
		err := UnpackLossless(context.Background(), strings.NewReader("\nx"), dir, nil, func(Entry) error { return nil })
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cut input", func(t *testing.T) {
		broken := errors.New("broken")
		dir := t.TempDir()
		err := UnpackLossless(context.Background(), io.MultiReader(strings.NewReader(losslessMessage[:300]), iotest.ErrReader(broken)), dir, nil, func(Entry) error { return nil })
		left, gerr := filepath.Glob(filepath.Join(dir, ".mail-*"))
		if _, serr := os.Stat(filepath.Join(dir, name)); !errors.Is(err, broken) || gerr != nil || len(left) > 0 || serr == nil {
			t.Errorf("got %v, left %v", err, left)
		}
	})
	t.Run("a part of that name", func(t *testing.T) {
		in := attachments(name, strings.ToUpper(name))
		dir, entries := apart(t, []byte(in))
		if got, _ := together(t, dir); got != in || entries[0].Name == name {
			t.Errorf("%s: %q", entries[0].Name, got)
		}
	})
}

// TestLosslessBase64 takes bodies in rows of all lengths apart, with something odd at every kind of place.
func TestLosslessBase64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{0, 1, 56, 57, 58, 1000, 200_003} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		flat := base64.StdEncoding.EncodeToString(data)
		for _, width := range []int{3, 4, 60, 76, 998, 1 << 20} {
			for _, odd := range []string{"", " ", "\n", "=", "\xff", "A", "\r"} {
				if size > 10_000 && width < 60 {
					continue
				}
				var body strings.Builder
				for rest := flat; rest != ""; {
					n := min(width, len(rest))
					body.WriteString(rest[:n] + "\r\n")
					rest = rest[n:]
				}
				text := body.String()
				at := rng.IntN(len(text) + 1)
				in := "Content-Transfer-Encoding: base64\r\n\r\n" + text[:at] + odd + text[at:]
				dir, _ := apart(t, []byte(in))
				if got, changed := together(t, dir); got != in || changed != nil {
					t.Fatalf("%d octets in rows of %d with %q at %d: changed %v, got %s", size, width, odd, at, changed, clip([]byte(got)))
				}
				if info, err := os.Stat(filepath.Join(dir, LosslessName)); odd == "" && width%4 == 0 && width < 1000 && (err != nil || info.Size() > 3000) {
					t.Errorf("%d octets in rows of %d: %d octets kept, %v", size, width, info.Size(), err)
				}
			}
		}
	}
}

// TestLosslessMutations takes messages apart in which pieces are cut out, doubled, moved or made odd.
func TestLosslessMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	odd := []string{"\r", "\n", "\r\n", "\x00", "\xff", "=", "--b", "\n--b--\n", " ", "begin 644 a\n", "Content-Transfer-Encoding: base64\n"}
	for i := range 500 {
		in := losslessMessage
		if i%2 == 0 {
			in = strings.ReplaceAll(in, "\n", "\r\n")
		}
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(in))
			end := at + rng.IntN(min(200, len(in)-at))
			switch rng.IntN(3) {
			case 0:
				in = in[:at] + in[end:] + " "
			case 1:
				in = in[:end] + in[at:]
			default:
				in = in[:at] + odd[rng.IntN(len(odd))] + in[at:]
			}
		}
		dir, _ := apart(t, []byte(in))
		if got, changed := together(t, dir); got != in || changed != nil {
			t.Fatalf("changed %v\n got %q\nwant %q", changed, got, in)
		}
	}
}

// FuzzLossless holds that what was taken apart comes together.
func FuzzLossless(f *testing.F) {
	f.Add([]byte(losslessMessage))
	f.Add([]byte(head + "pre\n--b\n\none\n--b\nContent-Type: message/rfc822\n\nA: b\n\nx\n--b--\nepilogue\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		dir, _ := apart(t, in)
		if got, changed := together(t, dir); got != string(in) || changed != nil {
			t.Fatalf("changed %v, got %q", changed, got)
		}
	})
}
