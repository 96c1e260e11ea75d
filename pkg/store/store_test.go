//go:build unix

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

var when = time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)

// kind is a sink and the reader of what it wrote.
type kind struct {
	dest string
	read func() iter.Seq2[*Message, error]
}

// kinds are all sinks with the reader that takes back what they wrote.
func kinds(t testing.TB) map[string]kind {
	dir := memoryDir(t)
	return map[string]kind{
		"maildir": {"maildir:" + filepath.Join(dir, "md"), func() iter.Seq2[*Message, error] { return ReadMaildir(filepath.Join(dir, "md")) }},
		"eml":     {"eml:" + filepath.Join(dir, "eml"), func() iter.Seq2[*Message, error] { return ReadEML(filepath.Join(dir, "eml")) }},
		"mbox": {"mbox:" + filepath.Join(dir, "mbox"), func() iter.Seq2[*Message, error] {
			return func(yield func(*Message, error) bool) {
				f, err := os.Open(filepath.Join(dir, "mbox"))
				if err != nil {
					yield(nil, err)
					return
				}
				defer f.Close()
				readMbox(f, yield)
			}
		}},
	}
}

// memoryDir is a temporary directory where syncing costs nothing, if there is one.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "mail-store-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func open(t testing.TB, dest string, o SinkOptions) Sink {
	t.Helper()
	s, err := OpenSink(dest, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t testing.TB, s Sink, wire string, m Meta) string {
	t.Helper()
	name, err := s.Put(context.Background(), strings.NewReader(wire), m)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// wires reads all messages back.
func wires(t testing.TB, seq iter.Seq2[*Message, error]) []string {
	t.Helper()
	var out []string
	for m, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m.Wire())
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(b)) != m.WireSize() {
			t.Errorf("WireSize: got %d, want %d", m.WireSize(), len(b))
		}
		out = append(out, string(b))
	}
	return out
}

// samples are messages in wire form that are hard to keep.
func samples() []string {
	long := strings.Repeat(">", 70000)
	out := []string{
		"", "\r\n", "\n", "\r", "x", "a: b\r\n\r\nbody\r\n", "a: b\r\n\r\nbody", "a: b\r\n\r\nbody\r\n\r\n", "a: b\r\n\r\n\r\n\r\n",
		"From x\r\n", ">From x\r\n", ">>From x\r\n", "From ", ">From ", "From", ">", ">>", "a\r\n>From", "a\r\nFrom \r\n\r\nFrom ",
		"From a@b Mon Jan  1 00:00:00 2024\r\n\r\nFrom a@b Mon Jan  1 00:00:00 2024\r\n",
		"x\rFrom y", "x\nFrom y\n", "x\r\n\nFrom y\n\n", "a\r\r\n", "a\n", "a\n\n", "a\r\n\r", "\x00\xff\r\n",
		long, long + "From x\r\n", "a\r\n" + long + "From x\r\n" + long + "\r\n", strings.Repeat("From ", 30000), strings.Repeat("\r\nFrom ", 30000),
	}
	for i := 65520; i < 65550; i++ { // "From " across the borders of buffers
		out = append(out, strings.Repeat("y", i)+"\r\n>From z\r\nFrom q\r\n", strings.Repeat(">", i)+"From z\r\nFrom q")
	}
	return out
}

// TestP8_RoundTrip puts hard messages through every sink and back.
func TestP8_RoundTrip(t *testing.T) {
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) { roundTrip(t, k.dest, k.read, samples()) })
	}
}

func roundTrip(t *testing.T, dest string, read func() iter.Seq2[*Message, error], in []string) {
	s := open(t, dest, SinkOptions{})
	for _, wire := range in {
		put(t, s, wire, Meta{Date: when, From: "alice@example.org"})
	}
	compare(t, wires(t, read()), in, !strings.HasPrefix(dest, "mbox:"))
}

func compare(t *testing.T, got, want []string, anyOrder bool) {
	t.Helper()
	want = slices.Clone(want)
	if anyOrder {
		slices.Sort(got)
		slices.Sort(want)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d messages, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: got %d octets %.60q, want %d octets %.60q", i, len(got[i]), got[i], len(want[i]), want[i])
		}
	}
}

// TestM12_MboxExhaustive: all sequences of line pieces come back from an mbox, in
// the company of others.
func TestM12_MboxExhaustive(t *testing.T) {
	pieces := []string{"\r\n", "\n", "\r", ">", "From ", "From a Mon Jan  1 00:00:00 2024", "x"}
	var in []string
	var walk func(s string, n int)
	walk = func(s string, n int) {
		in = append(in, s)
		if n == 5 {
			return
		}
		for _, p := range pieces {
			walk(s+p, n+1)
		}
	}
	walk("", 0)
	for _, crlf := range []bool{false, true} {
		var out bytes.Buffer
		s := open(t, "-", SinkOptions{Stdout: &out, Many: true, CRLF: crlf})
		for _, wire := range in {
			put(t, s, wire, Meta{Date: when})
		}
		compare(t, wires(t, ReadStream(&out)), in, false)
	}
}

func TestRoundTripCorpora(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("test data not present: ", err)
	}
	var in []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		// As it is, and as a message that came over the wire.
		in = append(in, string(data), strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", "\r\n"))
		return err
	})
	if err != nil || len(in) < 1000 {
		t.Fatalf("%d messages, %v", len(in), err)
	}
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) { roundTrip(t, k.dest, k.read, in) })
	}
	t.Run("stdout", func(t *testing.T) {
		var out bytes.Buffer
		s := open(t, "-", SinkOptions{Stdout: &out, Many: true})
		for _, wire := range in {
			put(t, s, wire, Meta{})
		}
		compare(t, wires(t, ReadStream(iotest.HalfReader(&out))), in, false)
	})
}

func TestStdout(t *testing.T) {
	tests := []struct {
		name, wire string
		o          SinkOptions
		want       string
	}{
		{"plain", "a: b\r\n\r\nFrom c\r\n", SinkOptions{}, "a: b\n\nFrom c\n"},
		{"CRLF", "a: b\r\n\r\nc\r\n", SinkOptions{CRLF: true}, "a: b\r\n\r\nc\r\n"},
		{"bare CR", "a: b\r\n\r\nc\rd\r\n", SinkOptions{}, "a: b\r\n\r\nc\rd\r\n"},
		{"no end", "a", SinkOptions{}, "a"},
		{"many", "a: b\r\n\r\nFrom c\r\n>From d", SinkOptions{Many: true}, "From x@y Sat Feb  3 04:05:06 2024 noeol\na: b\n\n>From c\n>>From d\n\n"},
		{"many, bare CR", "a\rb\r\n", SinkOptions{Many: true}, "From x@y Sat Feb  3 04:05:06 2024 wire\na\rb\r\n\n"},
		{"many CRLF", "a\r\n", SinkOptions{Many: true, CRLF: true}, "From x@y Sat Feb  3 04:05:06 2024 wire\na\r\n\n"},
		{"many, flags", "a\r\n", SinkOptions{Many: true, Flags: true}, "From x@y Sat Feb  3 04:05:06 2024 flags=\\Seen,work\na\n\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		tt.o.Stdout = &out
		put(t, open(t, "-", tt.o), tt.wire, Meta{Date: when, From: "x@y", Flags: []string{`\Seen`, "work", "no word", "a,b"}})
		if got := out.String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestStdoutErrors(t *testing.T) {
	var out bytes.Buffer
	s := open(t, "-", SinkOptions{Stdout: &out})
	if _, err := s.Put(context.Background(), iotest.ErrReader(errors.New("broken")), Meta{}); err == nil || out.Len() > 0 {
		t.Errorf("broken message: got error %v and %q written", err, out.String())
	}
	put(t, s, "a", Meta{})
	if _, err := s.Put(context.Background(), strings.NewReader("b"), Meta{}); err == nil || out.String() != "a" {
		t.Errorf("second plain message: got error %v and %q written", err, out.String())
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full: ", err)
	}
	defer full.Close()
	if _, err := open(t, "-", SinkOptions{Stdout: full}).Put(context.Background(), strings.NewReader("a"), Meta{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: got %v", err)
	}
}

func TestReadStream(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"plain LF", "a: b\n\nc\n", []string{"a: b\r\n\r\nc\r\n"}},
		{"plain CRLF", "a: b\r\n\r\nc\r\n", []string{"a: b\r\n\r\nc\r\n"}},
		{"plain, From inside", "a: b\n\nFrom c\n>From d\n", []string{"a: b\r\n\r\nFrom c\r\n>From d\r\n"}},
		{"plain, short", "Fro", []string{"Fro"}},
		{"one with From line", "From bob\na: b\n\nc\n", []string{"a: b\r\n\r\nc\r\n"}},
		{"From line only", "From bob", []string{""}},
		{"mboxrd", "From bob Mon Jan  1 00:00:00 2024\na\n>From x\n>>From y\n\nFrom eve Mon Jan  1 00:00 2024\nb\n\n", []string{"a\r\nFrom x\r\n>From y\r\n", "b\r\n"}},
		{"no final newline", "From bob\na\n\nFrom eve Mon Jan  1 00:00:00 2024\nb", []string{"a\r\n", "b"}},
		{"no blank line between", "From bob\na\nFrom eve Mon Jan  1 00:00:00 2024\nb\n", []string{"a\r\n", "b\r\n"}},
		{"not stuffed text", "From bob\na\n\nFrom now on\n\nb\n", []string{"a\r\n\r\nFrom now on\r\n\r\nb\r\n"}},
		{"time zone", "From bob Mon Jan  1 00:00:00 2024\na\n\nFrom eve Mon Jan  1 00:00:00 CET 2024\nb\n\nFrom x Mon Jan  1 00:00:00 2024 +0100\nc\n", []string{"a\r\n", "b\r\n", "c\r\n"}},
		{"CRLF mbox", "From bob\r\na\r\n\r\nFrom eve Mon Jan  1 00:00:00 2024\r\nb\r\n\r\n", []string{"a\r\n", "b\r\n"}},
	}
	for _, tt := range tests {
		for name, r := range map[string]io.Reader{"pipe": iotest.OneByteReader(strings.NewReader(tt.in)), "file": tempFile(t, tt.in)} {
			if got := wires(t, ReadStream(r)); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: got %q, want %q", tt.name, name, got, tt.want)
			}
		}
	}
}

// TestReadMboxEmpty: an mbox without messages is no error.
func TestReadMboxEmpty(t *testing.T) {
	for _, in := range []string{"", "\n", "\n\n"} {
		if got := wires(t, ReadMbox(strings.NewReader(in))); len(got) > 0 {
			t.Errorf("%q: got %q, want nothing", in, got)
		}
	}
}

func tempFile(t *testing.T, s string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString("before " + s); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(7, io.SeekStart); err != nil { // not at its start
		t.Fatal(err)
	}
	return f
}

func TestReadStreamError(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "a", "a: b\n", "From x\n", "From x\na\n\nFrom eve Mon Jan  1 00:00:00 2024\nb\n"} {
		var last error
		n := 0
		for m, err := range ReadStream(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken))) {
			last = err
			if m != nil {
				n++
			}
		}
		if !errors.Is(last, broken) || n != strings.Count(in, "eve") {
			t.Errorf("%q: got %d messages and %v", in, n, last)
		}
	}
}

func TestMetaRoundTrip(t *testing.T) {
	for name, k := range kinds(t) {
		s := open(t, k.dest, SinkOptions{})
		put(t, s, "a\r\n", Meta{Date: when, Flags: []string{`\seen`, `\Flagged`, "$Forwarded", "junk"}, From: "alice@example.org"})
		for m, err := range k.read() {
			if err != nil {
				t.Fatal(err)
			}
			if !m.Meta.Date.Equal(when) {
				t.Errorf("%s: date: got %v, want %v", name, m.Meta.Date, when)
			}
			if want := []string{`\Flagged`, "$Forwarded", `\Seen`, "junk"}; name == "maildir" && !slices.Equal(m.Meta.Flags, want) {
				t.Errorf("%s: flags: got %q, want %q", name, m.Meta.Flags, want)
			}
			if name == "mbox" && m.Meta.From != "alice@example.org" {
				t.Errorf("%s: from: got %q", name, m.Meta.From)
			}
		}
	}
}

func TestFromLineHarmless(t *testing.T) {
	for _, from := range []string{"", "a b", "x\nFrom y", "x\r", "\x00", "é@b", strings.Repeat("x", 5000), "wire", "noeol wire"} {
		line := fromLine{sender: from, date: when}.String()
		f, ok := parseFromLine([]byte(strings.TrimSuffix(line, "\n")))
		if !ok || strings.Count(line, "\n") != 1 || !f.date.Equal(when) || f.wire || f.noEOL {
			t.Errorf("%.20q: line %.60q read as %+v, %v", from, line, f, ok)
		}
	}
}

func TestMaildirLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	s := open(t, "maildir:"+dir, SinkOptions{})
	unseen := put(t, s, "a\r\nb\r\n", Meta{Date: when})
	seen := put(t, s, "a\rb\r\n", Meta{Flags: []string{`\Seen`, `\Answered`}})
	if !strings.HasPrefix(unseen, filepath.Join(dir, "new")+"/") || !strings.HasSuffix(unseen, ",S=4,W=6") {
		t.Errorf("unseen: got %q", unseen)
	}
	if !strings.HasPrefix(seen, filepath.Join(dir, "cur")+"/") || !strings.HasSuffix(seen, ",S=5,W=5,X=wire:2,RS") {
		t.Errorf("seen: got %q", seen)
	}
	if st, err := os.Stat(unseen); err != nil || !st.ModTime().Equal(when) {
		t.Errorf("time: got %v, %v", st.ModTime(), err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestF6_SpecialTargets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	other := filepath.Join(dir, "other")
	fifo := filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, []byte("hello"), 0o600), os.Mkdir(other, 0o700),
		os.WriteFile(filepath.Join(other, "x"), nil, 0o600), syscall.Mkfifo(fifo, 0o600),
		os.Symlink("nowhere", filepath.Join(dir, "dangling"))); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"", "x", "maildir:", "mbox:", "foo:bar", "maildir:a\x00b",
		"maildir:" + file, "maildir:" + other, "maildir:" + filepath.Join(dir, "no", "parent"), "maildir:" + fifo,
		"mbox:" + file, "mbox:" + other, "mbox:" + fifo, "mbox:/dev/null", "mbox:" + filepath.Join(dir, "dangling"),
		"eml:" + file, "eml:" + fifo, "eml:" + filepath.Join(dir, "no", "parent")} {
		done := make(chan error, 1)
		go func() {
			s, err := OpenSink(dest, SinkOptions{})
			if err == nil {
				_ = s.Close()
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%q opened", dest)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("%q hangs", dest)
		}
	}
	if data, err := os.ReadFile(file); string(data) != "hello" {
		t.Errorf("file changed: %q, %v", data, err)
	}
}

// TestF3_Symlinks: a tmp, new or cur that leads elsewhere is not written through.
func TestF3_Symlinks(t *testing.T) {
	for _, sub := range maildirSubs {
		dir := t.TempDir()
		away := filepath.Join(dir, "away")
		md := filepath.Join(dir, "md")
		if err := errors.Join(os.Mkdir(away, 0o700), os.Mkdir(md, 0o700)); err != nil {
			t.Fatal(err)
		}
		for _, s := range maildirSubs {
			if s == sub {
				_ = os.Symlink("../away", filepath.Join(md, s))
			} else {
				_ = os.Mkdir(filepath.Join(md, s), 0o700)
			}
		}
		if s, err := OpenSink("maildir:"+md, SinkOptions{}); err == nil {
			_ = s.Close()
			t.Errorf("%s is a link: opened", sub)
		}
		if left, _ := os.ReadDir(away); len(left) > 0 {
			t.Errorf("%s is a link: written through it", sub)
		}
	}
}

func TestO4_ModesAndUmask(t *testing.T) {
	for _, mask := range []int{0, 0o777} {
		old := syscall.Umask(mask)
		for name, k := range kinds(t) {
			s, err := OpenSink(k.dest, SinkOptions{})
			if err != nil {
				t.Errorf("umask %o, %s: %v", mask, name, err)
				continue
			}
			_, err = s.Put(context.Background(), strings.NewReader("a"), Meta{})
			path := strings.SplitN(k.dest, ":", 2)[1]
			werr := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				st, err := d.Info()
				if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && st.Mode().Perm() != want {
					t.Errorf("umask %o: %s: mode %v, want %v", mask, p, st.Mode().Perm(), want)
				}
				return err
			})
			if err := errors.Join(err, werr, s.Close()); err != nil {
				t.Errorf("umask %o, %s: %v", mask, name, err)
			}
		}
		syscall.Umask(old)
	}
}

// TestPutErrors: a message that ends in an error leaves nothing behind, at whatever
// octet it ends, and the sink goes on.
func TestL1_PutErrors(t *testing.T) {
	for name, k := range kinds(t) {
		s := open(t, k.dest, SinkOptions{})
		put(t, s, "first\r\n", Meta{})
		before := listing(t, k.dest)
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		for _, n := range []int{0, 1, 1000, 70000, spoolMemory + 1} {
			r := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(errors.New("broken")))
			if _, err := s.Put(context.Background(), r, Meta{}); err == nil || !strings.Contains(err.Error(), "broken") {
				t.Errorf("%s: cut at %d: got %v", name, n, err)
			}
			if _, err := s.Put(canceled, strings.NewReader(strings.Repeat("x", n)), Meta{}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: canceled: got %v", name, err)
			}
		}
		if after := listing(t, k.dest); after != before {
			t.Errorf("%s: left behind: %s\nbefore: %s", name, after, before)
		}
		put(t, s, "last\r\n", Meta{})
		compare(t, wires(t, k.read()), []string{"first\r\n", "last\r\n"}, true)
	}
}

// listing lists all files beside and below a destination with their sizes, but for
// an empty journal.
func listing(t testing.TB, dest string) string {
	var b strings.Builder
	path := strings.SplitN(dest, ":", 2)[1]
	root := path
	if strings.HasPrefix(dest, "mbox:") {
		root = filepath.Dir(path)
	}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil && !(strings.HasSuffix(p, "-journal") && st.Size() == 0) {
			fmt.Fprintf(&b, "%s %d\n", p, st.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMboxAppendsToOthers(t *testing.T) {
	for in, want := range map[string][]string{
		"From bob\na\n":         {"a\r\n", "new\r\n"},
		"From bob\na\n\n":       {"a\r\n", "new\r\n"},
		"From bob\na":           {"a\r\n", "new\r\n"},
		"From bob\r\na\r\n\r\n": {"a\r\n", "new\r\n"},
		"From bob\na\n\n\n":     {"a\r\n\r\n", "new\r\n"},
		"From bob\n":            {"", "new\r\n"},
		"":                      {"new\r\n"},
	} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, []byte(in), 0o644); err != nil {
			t.Fatal(err)
		}
		name := put(t, open(t, "mbox:"+path, SinkOptions{}), "new\r\n", Meta{})
		if at, _ := strconv.Atoi(strings.TrimPrefix(name, path+"@")); at < len(in) || at > len(in)+2 {
			t.Errorf("%q: got name %q", in, name)
		} else if got := readNamed(t, name); got != "new\r\n" {
			t.Errorf("%q: at %q is %q", in, name, got)
		}
		data, _ := os.ReadFile(path)
		if got := wires(t, ReadMbox(bytes.NewReader(data))); !slices.Equal(got, want) || !bytes.HasPrefix(data, []byte(in)) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestMboxLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	a, b := open(t, "mbox:"+path, SinkOptions{}), open(t, "mbox:"+path, SinkOptions{})
	errs := make(chan error)
	for _, s := range []Sink{a, b} {
		go func() {
			var err error
			for i := range 20 {
				_, perr := s.Put(context.Background(), strings.NewReader(strings.Repeat("x", 1000*i)+"\r\n"), Meta{})
				err = errors.Join(err, perr)
			}
			errs <- err
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(path)
	defer f.Close()
	if got := wires(t, ReadMbox(f)); len(got) != 40 {
		t.Errorf("got %d messages, want 40", len(got))
	}
	if ok, err := tryLock(f, false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := a.Put(ctx, strings.NewReader("x"), Meta{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked by another: got %v", err)
	}
	_ = unlock(f)
	put(t, a, "x", Meta{})
}

func TestReadMaildirSkips(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	put(t, open(t, "maildir:"+dir, SinkOptions{}), "a\r\n", Meta{})
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(dir, "new", "1")), os.Mkdir(filepath.Join(dir, "cur", "2"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "cur", "3"), 0o600), os.WriteFile(filepath.Join(dir, "cur", ".hidden"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "tmp", "4"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := wires(t, ReadMaildir(dir)); !slices.Equal(got, []string{"a\r\n"}) {
		t.Errorf("got %q", got)
	}
}

func TestCleanTemp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	_ = open(t, "maildir:"+dir, SinkOptions{}).Close()
	old := time.Now().Add(-40 * time.Hour)
	for name, date := range map[string]time.Time{
		fmt.Sprintf("%d.Q1Rabc.host", old.Unix()):         old,        // goes
		fmt.Sprintf("%d.Q1Rnew.host", old.Unix()):         time.Now(), // written to
		fmt.Sprintf("%d.Q1Rdate.host", time.Now().Unix()): old,        // of a message of old
		"foreign": old,
	} {
		path := filepath.Join(dir, "tmp", name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, date, date)); err != nil {
			t.Fatal(err)
		}
	}
	_ = open(t, "maildir:"+dir, SinkOptions{}).Close()
	left, _ := os.ReadDir(filepath.Join(dir, "tmp"))
	if len(left) != 3 {
		t.Errorf("left: %v", left)
	}
}

// TestEML_NamesInOrder has a clock that is set back: names are in the order in which messages came.
func TestEML_NamesInOrder(t *testing.T) {
	e := open(t, "eml:"+filepath.Join(t.TempDir(), "mail"), SinkOptions{}).(*emlFolder)
	e.name.second = time.Now().Unix() + 100
	var names []string
	for _, ahead := range []int64{100, 100, -1} {
		e.name.second = max(e.name.second, time.Now().Unix()+ahead)
		name, err := e.Put(context.Background(), strings.NewReader("a: b\r\n\r\nx\r\n"), Meta{})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	want := time.Unix(e.name.second, 0).UTC().Format("20060102T150405Z")
	if !slices.IsSorted(names) || !strings.HasPrefix(filepath.Base(names[2]), want) {
		t.Errorf("got %q, want them in order and from %s", names, want)
	}
}

// readNamed reads the message with a name that a sink gave, in wire form.
func readNamed(t *testing.T, name string) string {
	t.Helper()
	path, at, mbox := strings.Cut(name, "@")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !mbox {
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", "\r\n")
	}
	off, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return wires(t, ReadMbox(io.NewSectionReader(f, off, 1<<40)))[0]
}

// TestLineEndsAnywhere: messages of several chunks with a bare CR or LF at any place, which shows when a part of the
// file is written, come back octet for octet.
func TestLineEndsAnywhere(t *testing.T) {
	lines := bytes.Repeat([]byte("a line of a message\r\n"), 3*stageChunk/21)
	var want []string
	for _, bad := range []string{"\r", "\n", "\r\r\n", "\n\r", ""} {
		for _, at := range []int{0, 1, 20, 21, 1000, stageChunk/2 - 1, stageChunk / 2, stageChunk - 1, stageChunk, stageChunk + 1, 2*stageChunk + 77, len(lines)} {
			want = append(want, string(lines[:at])+bad+string(lines[at:]))
		}
	}
	for name, k := range kinds(t) {
		s := open(t, k.dest, SinkOptions{})
		b := s.Batch()
		for i, wire := range want {
			var r io.Reader = strings.NewReader(wire) // an io.WriterTo
			if i%2 == 0 {
				r = struct{ io.Reader }{iotest.OneByteReader(strings.NewReader(wire))}
			}
			if err := b.Add(context.Background(), r, Meta{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := wires(t, k.read())
		if len(got) != len(want) {
			t.Fatalf("%s: %d messages, want %d", name, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: message %d of %d octets differs, which has %d", name, i, len(got[i]), len(want[i]))
			}
		}
	}
}
