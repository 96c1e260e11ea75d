package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

func TestEscapeText(t *testing.T) {
	cases := map[string][2]string{
		"plain":        {"Grüße, 世界 🎉", "Grüße, 世界 🎉"},
		"escape":       {"\x1b[2Jx", `\x1b[2Jx`},
		"line ends":    {"a\r\nb\tc", `a\r\nb\tc`},
		"delete":       {"a\x7f", `a\x7f`},
		"C1 as UTF-8":  {"a\u009b31m", `a\u009b31m`},
		"C1 raw":       {"a\x9b31m", `a\x9b31m`},
		"bidi":         {"a\u202etxt.exe", `a\u202etxt.exe`},
		"isolates":     {"\u2066x\u2069", `\u2066x\u2069`},
		"separators":   {"a\u2028b", `a\u2028b`},
		"not UTF-8":    {"caf\xe9", `caf\xe9`},
		"replacement":  {"a\ufffdb", "a\ufffdb"},
		"cut sequence": {"a\xe2\x80", `a\xe2\x80`},
	}
	for name, c := range cases {
		if got := escapeText(c[0]); got != c[1] {
			t.Errorf("%s: got %s, want %s", name, got, c[1])
		}
	}
}

// TestEscapeWriterAnyCut writes a text in two pieces, cut at every place.
func TestEscapeWriterAnyCut(t *testing.T) {
	in := "a\tb\r\nü\x1b]0;x\x07\u009b\u202e世\r\rz\xc3(\xe2\x80\xff🎉\r"
	want := "a\tb\nü\\x1b]0;x\\x07\\u009b\\u202e世\\r\\rz\\xc3(\\xe2\\x80\\xff🎉\\r"
	for cut := range len(in) + 1 {
		var b bytes.Buffer
		w := &escapeWriter{w: &b}
		for _, piece := range []string{in[:cut], in[cut:]} {
			if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("cut at %d:\n got %q\nwant %q", cut, b.String(), want)
		}
	}
}

// FuzzO1_EscapeWriter holds that nothing which a terminal obeys passes, and that text without it passes unchanged.
func FuzzO1_EscapeWriter(f *testing.F) {
	f.Add([]byte("a\x1b[2J\r\n\u009b"), 3)
	f.Add([]byte("\xe2\x80\xae\xe2\x80"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var b bytes.Buffer
		w := &escapeWriter{w: &b}
		cut = min(max(cut, 0), len(in))
		_, _ = w.Write(in[:cut])
		_, _ = w.Write(in[cut:])
		_ = w.finish()
		if !utf8.Valid(b.Bytes()) {
			t.Fatalf("not UTF-8: %q", b.Bytes())
		}
		for _, r := range b.String() {
			if unsafeRune(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q passes in %q", r, b.String())
			}
		}
		safe := func(r rune) bool { return unsafeRune(r) && r != '\n' && r != '\t' }
		if utf8.Valid(in) && bytes.IndexFunc(in, safe) < 0 && !bytes.Equal(in, b.Bytes()) {
			t.Fatalf("safe text changed: %q to %q", in, b.Bytes())
		}
	})
}

func printed(t *testing.T, tty bool, f func(*lines) error) string {
	t.Helper()
	var b bytes.Buffer
	l := newLines(&b, tty)
	if err := errors.Join(f(l), l.flush()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestO2_Rows(t *testing.T) {
	rows := func(l *lines) error {
		return errors.Join(l.row("1", "世界", "a\tb\nc"), l.row("100", `C:\x`, "\x1b[1m"))
	}
	if got, want := printed(t, false, rows), "1\t世界\ta\\tb\\nc\n100\tC:\\\\x\t\\x1b[1m\n"; got != want {
		t.Errorf("pipe:\n got %q\nwant %q", got, want)
	}
	if got, want := printed(t, true, rows), "1    世界  a\\tb\\nc\n100  C:\\x  \\x1b[1m\n"; got != want {
		t.Errorf("terminal:\n got %q\nwant %q", got, want)
	}
	many := printed(t, true, func(l *lines) error {
		for range 2*maxAligned + 1 {
			if err := l.row("x", "y"); err != nil {
				return err
			}
		}
		return nil
	})
	if n := strings.Count(many, "x  y\n"); n != 2*maxAligned+1 {
		t.Errorf("%d rows came out", n)
	}
}

func TestO2_JSON(t *testing.T) {
	in := map[string]string{"subject": "<a&b> \u202e\u009b\x1b\x7f\n世"}
	got := printed(t, false, func(l *lines) error { return l.json(in) })
	if want := "{\"subject\":\"<a&b> \\u202e\\u009b\\u001b\\u007f\\n世\"}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(got), &back); err != nil || back["subject"] != in["subject"] {
		t.Errorf("came back as %q, %v", back, err)
	}
}

// failingWriter fails like a full disk, or like a pipe nobody reads.
type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestO7_FailedOutput(t *testing.T) {
	tree := func(e *env) []*cli.Command {
		return []*cli.Command{
			e.leaf(leaf{name: "rows", usage: "rows", run: func(_ context.Context, c *call) error { return c.row("x") }}),
			e.leaf(leaf{name: "bytes", usage: "bytes", run: func(_ context.Context, c *call) error {
				_, _ = c.stdout.Write([]byte("x")) // forgotten errors are found at the end
				return nil
			}}),
		}
	}
	cases := map[string]struct {
		err    error
		code   int
		stderr string
	}{
		"full disk":   {syscall.ENOSPC, 74, "mail: standard output: no space left on device\n"},
		"closed pipe": {syscall.EPIPE, 141, ""},
	}
	for name, c := range cases {
		for _, words := range [][]string{{"rows"}, {"bytes"}, {"--version"}, {"--help"}} {
			for _, tty := range []bool{false, true} {
				e, _, stderr := testEnv("")
				e.tree, e.stdout, e.stdoutTTY = tree, failingWriter{c.err}, tty
				code := run(context.Background(), e, append([]string{"mail"}, words...))
				if code != c.code || stderr.String() != c.stderr {
					t.Errorf("%s, %v, terminal %v: got %d %q, want %d %q", name, words, tty, code, stderr, c.code, c.stderr)
				}
			}
		}
	}
}

func TestO1_StreamsOfATerminal(t *testing.T) {
	e, stdout, stderr := testEnv("")
	e.stdoutTTY, e.stderrTTY = true, true
	e.tree = func(e *env) []*cli.Command {
		return []*cli.Command{e.leaf(leaf{name: "raw", usage: "raw", run: func(_ context.Context, c *call) error {
			_, _ = c.stdout.Write([]byte("body\x1b[2J\r\n"))
			_, _ = c.stderr.Write([]byte("trace\x1b[2J\r"))
			c.trace()
			return errors.New("server said \x1b]0;x\x07\nmail: forged")
		}})}
	}
	run(context.Background(), e, []string{"mail", "raw"})
	if want := "body\\x1b[2J\n"; stdout.String() != want {
		t.Errorf("stdout: got %q, want %q", stdout, want)
	}
	if want := "trace\\x1b[2J\\rmail: server said \\x1b]0;x\\x07\\nmail: forged\n"; stderr.String() != want {
		t.Errorf("stderr: got %q, want %q", stderr, want)
	}
}

func TestSizes(t *testing.T) {
	cases := map[string]int64{"4096": 4096, "500k": 500 << 10, "10M": 10 << 20, "1GiB": 1 << 30, "2mb": 2 << 20, "0": 0,
		"x": -1, "": -1, "-1": -1, "1e30": -1}
	for in, want := range cases {
		got, err := parseSize(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d (%v), want %d", in, got, err, want)
		}
	}
}
