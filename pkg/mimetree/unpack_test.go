package mimetree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestF4_SafeName(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "report.pdf", "report.pdf"},
		{"blanks inside", "my report 1.pdf", "my report 1.pdf"},
		{"traversal", "../../etc/passwd", "passwd"},
		{"absolute", "/etc/passwd", "passwd"},
		{"windows path", `C:\dir\a.txt`, "a.txt"},
		{"drive", "C:a.txt", "C_a.txt"},
		{"percent slash stays text", "..%2f..%2fa", "_.%2f..%2fa"},
		{"only dots", "...", ""},
		{"dot dot slash", "../..", ""},
		{"empty", "", ""},
		{"nothing but marks", "-", ""},
		{"marks in front of what is cut off", strings.Repeat("\x1b", 300) + " a", ""},
		{"hidden", ".bashrc", "_bashrc"},
		{"option", "-rf", "_rf"},
		{"controls", "a\x00b\x1bc\x7f\u0085.txt", "a_b_c__.txt"},
		{"NUL before extension", "foo.txt\x00.exe", "foo.txt_.exe"},
		{"bidi", "a\u202egpj.exe", "a_gpj.exe"},
		{"isolates and marks", "a\u2066\u200f\u061cb", "a___b"},
		{"line separator", "a\u2028b", "a_b"},
		{"full-width slash", "a\uff0fb", "a_b"},
		{"reserved", `a<b>:"|?*c`, "a_b______c"},
		{"trailing dot and blank", "a.txt. . ", "a.txt"},
		{"device", "NUL", "_NUL"},
		{"device with extension", "con.tar.gz", "_con.tar.gz"},
		{"device with superscript", "COM\u00b9.txt", "_COM\u00b9.txt"},
		{"no device", "COM10", "COM10"},
		{"invalid UTF-8", "a\xff\xfeb.txt", "a_b.txt"},
		{"unicode", "Übersicht 日本語.pdf", "Übersicht 日本語.pdf"},
		{"line break", "a\r\nX: y", "a__X_ y"},
		{"long", strings.Repeat("x", 4096) + ".pdf", strings.Repeat("x", 196) + ".pdf"},
		{"long characters", strings.Repeat("é", 4096) + ".pdf", strings.Repeat("é", 98) + ".pdf"},
		{"long extension", "a." + strings.Repeat("x", 4096), "a." + strings.Repeat("x", 198)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SafeName(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// checkName fails when name is not one harmless component anywhere.
func checkName(t *testing.T, from, name string) {
	t.Helper()
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\:*?\"<>|") || name == "" ||
		strings.ContainsAny(name[:1], ".- ") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || isDevice(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.Is(unicode.C, r) }) || !filepath.IsLocal(name) {
		t.Errorf("%q became %q", from, name)
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("../a\u202e.txt\x00", 3)
	f.Add("nul .", 200)
	f.Fuzz(func(t *testing.T, in string, n int) {
		name := SafeName(in)
		if name == "" {
			return
		}
		checkName(t, in, name)
		if again := SafeName(name); again != name {
			t.Errorf("%q became %q, and that became %q", in, name, again)
		}
		checkName(t, in, numberedName(name, n&0xffff))
	})
}

// files gives what is in a folder, as "name=content" in order.
func files(t *testing.T, dir string) string {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if e.Type().IsRegular() && info.Mode() != 0o600 && info.Mode() != 0o644 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		b, err := os.ReadFile(path)
		got = append(got, fmt.Sprintf("%s=%s", e.Name(), b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(got)
	return strings.Join(got, " ")
}

func attachments(names ...string) string {
	var b strings.Builder
	b.WriteString(head)
	for i, n := range names {
		fmt.Fprintf(&b, "--b\nContent-Disposition: attachment; filename=\"%s\"\n\n%d\n", n, i)
	}
	b.WriteString("--b--\n")
	return b.String()
}

func TestUnpack(t *testing.T) {
	message := head + "--b\nContent-Type: text/html\n\n<p>\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\nhello\n--b--\n"
	tests := []struct {
		name, in string
		o        UnpackOptions
		want     string
	}{
		{"names", attachments("a.txt", "../b.txt", "c/../../.x"), UnpackOptions{}, "_x=2 a.txt=0 b.txt=1"},
		{"duplicates", attachments("a.txt", "a.txt", "A.TXT", "a-1.txt", "a.tar.gz", "a.tar.gz"), UnpackOptions{},
			"A-2.TXT=2 a-1-1.txt=3 a-1.tar.gz=5 a-1.txt=1 a.tar.gz=4 a.txt=0"},
		{"no names", message, UnpackOptions{}, "part-1.html=<p> part-2.1.txt=hello"},
		{"messages", message, UnpackOptions{Messages: true}, "part-1.html=<p> part-2.eml=Subject: in\n\nhello"},
		{"not a multipart", "Subject: x\n\nhello\n", UnpackOptions{}, "part-1.txt=hello\n"},
		{"list", attachments("a.txt", "a.txt"), UnpackOptions{List: true}, ""},
		{"CRLF", "Subject: x\r\n\r\nhello\r\n", UnpackOptions{}, "part-1.txt=hello\n"},
		{"unused boundary", "Content-Type: multipart/mixed\n\nx", UnpackOptions{}, "part-1.bin=x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var told []string
			err := Unpack(context.Background(), strings.NewReader(tt.in), dir, &tt.o, func(e Entry) error {
				told = append(told, e.Name)
				if info, err := os.Stat(filepath.Join(dir, e.Name)); !tt.o.List && (err != nil || info.Size() != e.Size) {
					t.Errorf("told %s with %d octets: %v", e.Name, e.Size, err)
				}
				return nil
			})
			if got := files(t, dir); err != nil || got != tt.want {
				t.Errorf("got %s, %v\nwant %s\ntold %q", got, err, tt.want, told)
			}
			if tt.o.List && fmt.Sprint(told) != "[a.txt a-1.txt]" {
				t.Errorf("told %q", told)
			}
		})
	}
}

// TestUnpackNames unpacks several messages: names are numbered on, and what is there already is found once.
func TestUnpackNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "a-1.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &UnpackOptions{Names: new(Names)}
	for range 3 {
		if err := Unpack(context.Background(), strings.NewReader(attachments("a.txt", "A.txt")), dir, o, func(Entry) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := "A-3.txt=1 A-5.txt=1 A-7.txt=1 a-1.txt=old a-2.txt=0 a-4.txt=0 a-6.txt=0 a.txt=old"
	if got := files(t, dir); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if n := o.Names.next[o.Names.hash("a.txt")]; n != 8 {
		t.Errorf("the next number is %d, want 8", n)
	}
}

func TestUnpackErrors(t *testing.T) {
	run := func(dir, in string, o *UnpackOptions) error {
		return Unpack(context.Background(), strings.NewReader(in), dir, o, func(Entry) error { return nil })
	}
	t.Run("F5 octets", func(t *testing.T) {
		dir := t.TempDir()
		var over *LimitError
		err := run(dir, attachments("a", "b", "c"), &UnpackOptions{MaxBytes: 2})
		if got := files(t, dir); !errors.As(err, &over) || got != "a=0 b=1" {
			t.Errorf("got %v and %s", err, got)
		}
	})
	t.Run("F5 parts", func(t *testing.T) {
		dir := t.TempDir()
		err := run(dir, attachments("a", "b", "c"), &UnpackOptions{Limits: Limits{Parts: 2}})
		if got := files(t, dir); err != nil || !strings.HasPrefix(got, "a=0 part-2.bin=Content-") {
			t.Errorf("got %v and %s", err, got)
		}
	})
	t.Run("F6 no such folder", func(t *testing.T) {
		if err := run(filepath.Join(t.TempDir(), "none"), "\nx", nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("F6 folder is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(file, "\nx", nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("keep names", func(t *testing.T) {
		dir := t.TempDir()
		if err := run(dir, attachments("../a"), &UnpackOptions{Keep: true}); err == nil || files(t, dir) != "" {
			t.Errorf("got %v and %s", err, files(t, dir))
		}
		if err := run(dir, attachments("a"), &UnpackOptions{Keep: true}); err != nil || files(t, dir) != "a=0" {
			t.Errorf("got %v and %s", err, files(t, dir))
		}
		for what, in := range map[string]string{"in the folder": attachments("a"), "in the message": attachments("b", "B")} {
			if err := run(dir, in, &UnpackOptions{Keep: true, List: what == "in the message"}); !errors.Is(err, fs.ErrExist) || files(t, dir) != "a=0" {
				t.Errorf("the same name %s: got %v and %s", what, err, files(t, dir))
			}
		}
		if err := run(dir, head+"--b\n\n0\n--b\n\n1\n--b--\n", &UnpackOptions{Keep: true}); err != nil || files(t, dir) != "a=0 part-1.txt=0 part-2.txt=1" {
			t.Errorf("no names: got %v and %s", err, files(t, dir))
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		dir := t.TempDir()
		in := io.MultiReader(strings.NewReader(head+"--b\n\n0\n--b\n\n"), &repeat{unit: strings.Repeat("x\n", 4096), n: 1 << 30})
		err := Unpack(ctx, in, dir, nil, func(Entry) error { cancel(); return nil })
		if got := files(t, dir); !errors.Is(err, context.Canceled) || got != "part-1.txt=0" {
			t.Errorf("got %v and %.100s", err, got)
		}
	})
	t.Run("reader breaks", func(t *testing.T) {
		dir := t.TempDir()
		broken := errors.New("broken")
		in := io.MultiReader(strings.NewReader(head+"--b\n\n0\n--b\n\nhalf"), &failing{broken})
		err := Unpack(context.Background(), in, dir, nil, func(Entry) error { return nil })
		if got := files(t, dir); !errors.Is(err, broken) || got != "part-1.txt=0" {
			t.Errorf("got %v and %s", err, got)
		}
	})
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestF3_Links(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	target := filepath.Join(outside, "target")
	if err := os.WriteFile(target, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"a.txt": target, "b.txt": filepath.Join(outside, "new"), "c.txt": dir} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "d.txt"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	var told []string
	err := Unpack(context.Background(), strings.NewReader(attachments("a.txt", "b.txt", "c.txt", "d.txt")), dir, nil, func(e Entry) error {
		told = append(told, e.Name)
		return nil
	})
	if want := "[a-1.txt b-1.txt c-1.txt d-1.txt]"; err != nil || fmt.Sprint(told) != want {
		t.Errorf("told %v, %v, want %s", told, err, want)
	}
	if got := files(t, outside); got != "target=mine" {
		t.Errorf("outside: %s", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "d.txt")); string(b) != "old" {
		t.Errorf("d.txt has %q, %v", b, err)
	}
}

// TestF3_Race swaps the names that will be used for links to the outside while messages are unpacked.
func TestF3_Race(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(dir, fmt.Sprintf("a%d", i%50))
			os.Remove(name)                                    //nolint:errcheck // an attacker does not care
			os.Symlink(filepath.Join(outside, "stolen"), name) //nolint:errcheck // an attacker does not care
		}
	})
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("a%d", i))
	}
	for range 20 {
		err := Unpack(context.Background(), strings.NewReader(attachments(names...)), dir, nil, func(Entry) error { return nil })
		if err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if got := files(t, outside); got != "" {
		t.Errorf("outside: %s", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".mail-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestUnpackCorpora unpacks every file there is.
func TestUnpackCorpora(t *testing.T) {
	dir := t.TempDir()
	n := 0
	for _, name := range corpusFiles(t) {
		err := Unpack(context.Background(), bytes.NewReader(readFile(t, name)), dir, nil, func(e Entry) error {
			n++
			checkName(t, e.Part.Filename, e.Name)
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != n {
		t.Errorf("%d parts, %d files, %v", n, len(entries), err)
	}
}

// TestUnpackMemory unpacks a large attachment in little memory.
func TestUnpackMemory(t *testing.T) {
	row := strings.Repeat("QUJD", 19) + "\n"
	in := io.MultiReader(strings.NewReader(head+"--b\nContent-Transfer-Encoding: base64\n\n"),
		&repeat{unit: strings.Repeat(row, 1000), n: 1000}, strings.NewReader("--b--\n"))
	var size int64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Unpack(context.Background(), in, t.TempDir(), nil, func(e Entry) error { size = e.Size; return nil })
	runtime.ReadMemStats(&after)
	if err != nil || size != 57*1_000_000 {
		t.Errorf("%d octets, %v", size, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("allocated %d octets in all", grown)
	}
}

func BenchmarkUnpack(b *testing.B) {
	_, enc := benchData(b)
	dir := b.TempDir()
	path := filepath.Join(dir, "in")
	msg := append([]byte(head+"--b\nContent-Transfer-Encoding: base64\n\n"), enc...)
	if err := os.WriteFile(path, append(msg, "--b--\n"...), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		err = Unpack(context.Background(), f, dir, nil, func(e Entry) error { return os.Remove(filepath.Join(dir, e.Name)) })
		if err = errors.Join(err, f.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
