package mimetree

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/message"
)

// TestPackTargets packs one draft for three kinds of servers.
func TestPackTargets(t *testing.T) {
	text := "Grüße aus der Küche\n"
	file := "\x00\r\n--=_\r\nbinary\n"
	d := &Draft{Text: TextOf(text), Attach: []File{content("a.bin", file)}, Wire: true}
	p, err := d.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // read only
	for _, tt := range []struct {
		target Encoding
		want   string
	}{
		{SevenBit, "7bit quoted-printable base64"},
		{EightBit, "8bit 8bit base64"},
		{Binary, "binary 8bit binary"},
	} {
		r, err := p.As(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		msg := written(t, r)
		var got, bodies []string
		err = Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
			got = append(got, p.Encoding)
			if !p.Container {
				data, err := io.ReadAll(b)
				bodies = append(bodies, string(data))
				return err
			}
			return nil
		})
		want := []string{strings.ReplaceAll(text, "\n", "\r\n"), file}
		if g := strings.Join(got, " "); err != nil || g != tt.want || r.Needs() != tt.target || fmt.Sprintf("%q", bodies) != fmt.Sprintf("%q", want) {
			t.Errorf("%v: got %s %q, needs %v, %v\nwant %s %q", tt.target, g, bodies, r.Needs(), err, tt.want, want)
		}
	}
}

// TestPackBinaryNeeds: files only go raw where that is safe.
func TestPackBinaryNeeds(t *testing.T) {
	for name, d := range map[string]*Draft{"LF form": {}, "known boundaries": {Wire: true, Seed: []byte("1")}} {
		d.Attach, d.Target = []File{content("a.bin", "\x00")}, Binary
		if msg := packed(t, d); !strings.Contains(msg, "base64") || strings.Contains(msg, "binary") {
			t.Errorf("%s: %q", name, msg)
		}
	}
	h := new(message.Header)
	if err := h.Add("Subject", "Grüße"); err != nil {
		t.Fatal(err)
	}
	p, err := (&Draft{Header: h, Text: TextOf("x")}).Prepare()
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.As(SevenBit)
	if err != nil || r.Needs() != EightBit {
		t.Errorf("a header in UTF-8 needs %v, %v, want 8bit", r.Needs(), err)
	}
}

// TestPackedChanges: what is not as it was when it was looked at makes an error, never another message.
func TestPackedChanges(t *testing.T) {
	const before = "Subject: x\n\nhello hello\n"
	path := filepath.Join(t.TempDir(), "a")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := func(d *Draft) { d.Text = TextFile(path) }
	file := func(d *Draft) { d.Attach = []File{{Path: path}} }
	mail := func(d *Draft) { d.Attach = []File{{Path: path, MediaType: "message/rfc822"}} }
	large := strings.Repeat("x", 3*rowOctets*rowsBulk)
	for _, tt := range []struct {
		name          string
		draft         func(*Draft)
		before, after string
	}{
		{"text shrinks", text, before, before[:5]}, {"text grows", text, before, before + "x"}, {"text changes", text, before, strings.ToUpper(before)},
		{"file shrinks", file, before, before[:5]}, {"file grows", file, before, before + "x"}, {"file is emptied", file, before, ""},
		{"large file shrinks", file, large, large[1:]}, {"large file grows", file, large, large + "x"}, {"empty file grows", file, "", "x"},
		{"message shrinks", mail, before, before[:5]}, {"message grows", mail, before, before + "x"}, {"message changes", mail, before, strings.ToUpper(before)},
	} {
		for _, target := range []Encoding{SevenBit, EightBit, Binary} {
			write(tt.before)
			d := &Draft{Wire: true}
			tt.draft(d)
			p, err := d.Prepare()
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.As(target)
			if err != nil {
				t.Fatal(err)
			}
			written(t, r)
			write(tt.after)
			n, err := r.WriteTo(io.Discard)
			var changed *message.Error
			if !errors.As(err, &changed) || n > r.Size() {
				t.Errorf("%s, %v: %d octets of %d, %v", tt.name, target, n, r.Size(), err)
			}
			if err := errors.Join(os.Remove(path), p.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.WriteTo(io.Discard); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %v: removed, got %v", tt.name, target, err)
			}
		}
	}
}

// TestPackBrokenFile: an error of a file is no end of the file, whatever it is called.
func TestPackBrokenFile(t *testing.T) {
	for _, broken := range []error{errors.New("broken"), io.ErrUnexpectedEOF} {
		for _, n := range []int{0, 10, fileStart, fileStart + 1} {
			calls := 0
			d := &Draft{Attach: []File{{Name: "a", Open: func() (io.ReadCloser, error) {
				calls++
				return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", n)), errReader{broken})), nil
			}}}}
			if _, err := d.Prepare(); !errors.Is(err, broken) || calls != 1 {
				t.Errorf("%v after %d octets: got %v", broken, n, err)
			}
		}
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// TestPackPipe packs what can be read only once, and leaves nothing behind.
func TestPackPipe(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no pipes with names here: %v", err)
	}
	want := strings.Repeat("dump ", 20_000)
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(w, want)
		done <- errors.Join(err, w.Close())
	}()
	p, err := (&Draft{Attach: []File{{Path: path, Name: "dump.bin"}}, Wire: true}).Prepare()
	if err = errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	for _, target := range []Encoding{SevenBit, Binary} {
		rendering, err := p.As(target)
		if err != nil {
			t.Fatal(err)
		}
		if msg := written(t, rendering); !strings.Contains(list(t, msg, nil), want) {
			t.Errorf("%v: %s", target, clip([]byte(msg)))
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestPackManyFiles: no file stays open.
func TestPackManyFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("open files are counted in /proc")
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(list)
	}
	before := open()
	p, err := (&Draft{Attach: make([]File, 200)}).filled(path).Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if n := open(); n > before+20 {
		t.Errorf("%d files open, %d before", n, before)
	}
	if _, err := p.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := open(); n > before+20 {
		t.Errorf("%d files open after writing, %d before", n, before)
	}
}

func (d *Draft) filled(path string) *Draft {
	for i := range d.Attach {
		d.Attach[i].Path = path
	}
	return d
}

// pythonReads has Python's parser read messages from its input and tell the leaves of each: type, name, and content in hexadecimal.
const pythonReads = `
import sys, json, struct, email, email.policy
while True:
    n = sys.stdin.buffer.read(4)
    if not n: break
    m = email.message_from_bytes(sys.stdin.buffer.read(struct.unpack(">I", n)[0]), policy=email.policy.default)
    out = []
    for p in m.walk():
        if p.defects: out.append(["defects", str(p.defects), ""])
        if p.is_multipart(): continue
        out.append([p.get_content_type(), p.get_filename() or "", p.get_payload(decode=True).hex()])
    print(json.dumps(out))
`

// TestM10_ReadByPython packs random drafts, with everything a draft can have, and compares what another reader finds in them.
func TestM10_ReadByPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	rng := rand.New(rand.NewPCG(9, 10))
	var in bytes.Buffer
	var wants []string
	for range 150 {
		d := Draft{Wire: true, Target: Encoding(rng.IntN(3)), Text: TextOf(scrap(rng, 20, "\x1b\x00"))}
		html := `<p>é</p><img src="cid:x">` + scrap(rng, 10, "\x1b\x00")
		d.HTML = TextOf(html)
		if rng.IntN(2) == 0 {
			text, err := TextFromHTML(strings.NewReader(html))
			if err != nil {
				t.Fatal(err)
			}
			d.Text = TextOf(text)
		}
		d.Inline = []File{content("image "+SafeName(scrap(rng, 3, "\xff\x00\n\x1b/\\=?utf-8?q?x?="))+".png", "\x89PNG\r\n"+scrap(rng, 30, ""))}
		d.Attach = []File{content("a"+SafeName(scrap(rng, 9, "\xff\x00\n\x1b/\\=?utf-8?q?x?="))+".bin", scrap(rng, 30, ""))}
		msg := packed(t, &d)
		want, err := json.Marshal(leavesOf(t, msg))
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, string(want))
		in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(msg))))
		in.WriteString(msg)
	}
	cmd := exec.Command(python, "-c", pythonReads)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(got) != len(wants) {
		t.Fatalf("%d answers for %d messages, %v", len(got), len(wants), err)
	}
	for i := range got {
		var leaves [][3]string
		if err := json.Unmarshal([]byte(got[i]), &leaves); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(leaves)
		if err != nil || string(again) != wants[i] {
			at := 0
			for at < len(again) && at < len(wants[i]) && again[at] == wants[i][at] {
				at++
			}
			t.Errorf("message %d differs at %d: Python reads %s\nwe read %s", i, at, clip(again[max(0, at-80):]), clip([]byte(wants[i][max(0, at-80):])))
		}
	}
}

// leavesOf tells type, name and content of every leaf.
func leavesOf(t *testing.T, msg string) (leaves [][3]string) {
	t.Helper()
	err := Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
		if p.Container {
			return nil
		}
		data, err := io.ReadAll(b)
		leaves = append(leaves, [3]string{p.MediaType, p.Filename, fmt.Sprintf("%x", data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaves
}

// TestRenderingMemory writes a large file in little memory.
func TestRenderingMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(200<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, target := range []Encoding{SevenBit, Binary} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := (&Draft{Attach: []File{{Path: path}}, Wire: true}).Prepare()
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.As(target)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.WriteTo(io.Discard)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err != nil || n != r.Size() || grown > 1<<20 {
			t.Errorf("%v: %d octets of %d, %d allocated, %v", target, n, r.Size(), grown, err)
		}
	}
}
