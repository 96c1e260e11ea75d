package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// wantSecret runs src and compares; a want that begins with "error: " is looked for in the error's text.
func wantSecret(t *testing.T, src Source, want string) {
	t.Helper()
	got, err := src(context.Background())
	if words, ok := strings.CutPrefix(want, "error: "); ok {
		var se *SourceError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), words) {
			t.Errorf("got %q, %v, want a SourceError with %q", got.Reveal(), err, words)
		}
		return
	}
	if err != nil || got.Reveal() != want {
		t.Errorf("got %q, %v, want %q", got.Reveal(), err, want)
	}
}

func needShell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs sh")
	}
}

func TestCommand(t *testing.T) {
	needShell(t)
	t.Setenv("MAIL_TEST_SHOWN", "from env")
	for _, c := range []struct {
		name string
		argv []string
		want string
	}{
		{"one line", []string{"printf", `sesame\n`}, "sesame"},
		{"no line end", []string{"printf", "sesame"}, "sesame"},
		{"crlf", []string{"printf", `sesame\r\n`}, "sesame"},
		{"blanks belong to it", []string{"printf", `  ses ame \n`}, "  ses ame "},
		{"notes below", []string{"printf", `sesame\nuser: alice\n`}, "sesame"},
		{"nothing", []string{"true"}, "error: gave nothing"},
		{"empty line first", []string{"printf", `\nsesame\n`}, "error: gave nothing"},
		{"fails", []string{"sh", "-c", "echo sesame; exit 3"}, "error: exit status 3"},
		{"no such program", []string{"mail-test-no-such-program"}, "error: no such program"},
		{"no such path", []string{"/nonexistent/program"}, "error: no such program"},
		{"empty", nil, "error: it is empty"},
		{"empty word", []string{""}, "error: it is empty"},
		{"I6 no shell", []string{"printf", "%s", "$(echo pwned); `id` | cat > /dev/null"}, "$(echo pwned); `id` | cat > /dev/null"},
		{"stdin is empty", []string{"sh", "-c", "cat; echo sesame"}, "sesame"},
		{"environment", []string{"sh", "-c", `echo "$MAIL_TEST_SHOWN"`}, "from env"},
		{"long", []string{"sh", "-c", "head -c 60000 /dev/zero | tr '\\0' x"}, strings.Repeat("x", 60000)},
		{"too long", []string{"sh", "-c", "head -c 70000 /dev/zero | tr '\\0' x"}, "error: more than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) { wantSecret(t, Command(c.argv), c.want) })
	}
}

func TestCommandCancelled(t *testing.T) {
	needShell(t)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Command([]string{"sh", "-c", "exec sleep 30"})(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 60*time.Second {
		t.Errorf("got %v after %v, want the deadline", err, time.Since(began))
	}
}

func TestEnv(t *testing.T) {
	t.Setenv("MAIL_TEST_SECRET", "sesame")
	wantSecret(t, Env("MAIL_TEST_SECRET"), "sesame")
	wantSecret(t, Env("MAIL_TEST_NOT_SET"), "error: not set")
}

func write(t *testing.T, name, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	wantSecret(t, File(write(t, "p", "sesame\n", 0o600)), "sesame")
	wantSecret(t, File(write(t, "p", "sesame", 0o400)), "sesame")
	wantSecret(t, File(write(t, "p", "", 0o600)), "error: gave nothing")
	wantSecret(t, File(filepath.Join(t.TempDir(), "none")), "error: no such file")
	wantSecret(t, File(t.TempDir()), "error: directory")
	wantSecret(t, File(write(t, "p", strings.Repeat("x", 70000), 0o600)), "error: longer than")
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.WriteFile(filepath.Join(home, "p"), []byte("at home"), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		wantSecret(t, File("~/p"), "at home")
	}
}

func TestO4_FileModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	for mode := range fs.FileMode(0o1000) {
		if mode&0o400 == 0 && os.Geteuid() != 0 {
			continue
		}
		path := write(t, "p", "sesame\n", mode)
		_, err := File(path)(context.Background())
		var se *SourceError
		if refused := errors.As(err, &se); refused != (mode&0o077 != 0) {
			t.Errorf("mode %o: got %v, want refused = %v", mode, err, mode&0o077 != 0)
		} else if refused && se.Hint() != "chmod 600 "+path {
			t.Errorf("mode %o: hint %q", mode, se.Hint())
		}
	}
}

func TestOnce(t *testing.T) {
	n := 0
	src := Once(func(context.Context) (Secret, error) {
		n++
		if n == 1 {
			return Secret{}, &SourceError{Source: "test", Err: errors.New("first time fails")}
		}
		return NewSecret(fmt.Sprint(n)), nil
	})
	wantSecret(t, src, "error: first time")
	wantSecret(t, src, "2")
	wantSecret(t, src, "2")
}

// fakeTTY answers reads from in and keeps what is written.
type fakeTTY struct {
	io.Reader
	out    strings.Builder
	closed bool
}

func (f *fakeTTY) Write(p []byte) (int, error) { return f.out.Write(p) }
func (f *fakeTTY) Close() error                { f.closed = true; return nil }

func TestPrompt(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"sesame\n", "sesame"}, {"sesame\r\n", "sesame"}, {"sesame", "sesame"}, {"se same \nmore\n", "se same "},
		{"", "error: nothing was typed"}, {"\n", "error: nothing was typed"},
	} {
		tty := &fakeTTY{Reader: strings.NewReader(c.typed)}
		wantSecret(t, Prompt("password: ", func() (io.ReadWriteCloser, error) { return tty, nil }), c.want)
		if tty.out.String() != "password: " || !tty.closed {
			t.Errorf("terminal shows %q, closed %v, want the prompt and true", tty.out.String(), tty.closed)
		}
	}
	wantSecret(t, Prompt("", func() (io.ReadWriteCloser, error) { return nil, fs.ErrNotExist }), "error: none to ask on")
}
