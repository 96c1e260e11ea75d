package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestI2_PackHeaders: no value given by a flag starts a field of its own.
func TestI2_PackHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "note.txt")
	if err := os.WriteFile(file, []byte("a note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
	}{
		{"subject", []string{"-s", "one\nX-Evil: two"}, exitOK},
		{"subject folded", []string{"-s", "one\r\n X-Evil: two\r\nX-Evil: three"}, exitOK},
		{"header", []string{"--header", "X-A: b\nX-Evil: c"}, exitData},
		{"header name", []string{"--header", "X-A\r\nX-Evil: c"}, exitData},
		{"header not ASCII", []string{"--header", "X-A: é\nX-Evil: c"}, exitOK},
		{"to", []string{"--to", "bob@example.org\nX-Evil: c"}, exitData},
		{"to name", []string{"--to", "\"bob\nX-Evil: c\" <bob@example.org>"}, exitData},
		{"from", []string{"--from", "bob@example.org>\r\nX-Evil: <c"}, exitData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, stdout, stderr := testEnv("")
			code := run(context.Background(), e, append([]string{"mail", "mime", "pack", "--text", file}, tt.args...))
			if strings.Contains(stdout.String(), "\nX-Evil") || strings.Contains(stdout.String(), "\rX-Evil") {
				t.Errorf("a field was let in:\n%s", stdout)
			}
			if code != tt.code || code != exitOK && stdout.Len() > 0 {
				t.Errorf("status %d, want %d: %s%s", code, tt.code, stderr, stdout)
			}
		})
	}
}

// TestO1_MimeOnTerminal shows everything in the corpora on a terminal: no control character gets through.
func TestO1_MimeOnTerminal(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the corpora are not here:", err)
	}
	n := 0
	for _, name := range []string{"mime-tools", "flanker", "postal-mime", "ruby-mail", "enmime", "cpython-email", "mox"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			if info, err := d.Info(); err != nil || info.Size() > 100_000 {
				return err
			}
			if n++; testing.Short() && n%10 != 0 {
				return nil
			}
			for _, args := range [][]string{{"tree"}, {"tree", "--json"}, {"cat", "1"}, {"headers"}, {"headers", "Subject"}, {"unpack", "--list"}} {
				if code := terminalRun(t, args, path); code == exitBug {
					t.Errorf("%v %s: status %d", args, path, code)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 300 {
		t.Errorf("only %d files", n)
	}
}

// terminalRun runs a command on a file with terminals for its output.
func terminalRun(t *testing.T, args []string, path string) int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	e, stdout, stderr := testEnv("")
	e.stdin, e.stdoutTTY, e.stderrTTY = file, true, true
	code := run(context.Background(), e, append([]string{"mail", "mime"}, args...))
	for name, out := range map[string]string{"stdout": stdout.String(), "stderr": stderr.String()} {
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && r != '\t' && unsafeRune(r) }); i >= 0 {
			t.Errorf("%v %s: %s has %q", args, path, name, out[i:min(len(out), i+20)])
		}
	}
	return code
}
