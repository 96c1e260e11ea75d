package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Source fetches a secret when it is needed. Its errors are *SourceError or the context's.
type Source func(ctx context.Context) (Secret, error)

// maxSecret caps what a source may give, in bytes; OAuth2 tokens have been seen with 4 KiB.
const maxSecret = 64 << 10

// Literal is a secret that is already known.
func Literal(s string) Source {
	sec := NewSecret(s)
	return func(context.Context) (Secret, error) { return sec, nil }
}

// Once asks src until it has answered once without error, then repeats that answer. It may be shared by goroutines.
func Once(src Source) Source {
	var mu sync.Mutex
	var kept *Secret
	return func(ctx context.Context) (Secret, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept != nil {
			return *kept, nil
		}
		s, err := src(ctx)
		if err == nil {
			kept = &s
		}
		return s, err
	}
}

// Env reads the environment variable name. One that is not set is an error.
func Env(name string) Source {
	return func(context.Context) (Secret, error) {
		v, ok := os.LookupEnv(name)
		if !ok {
			return Secret{}, &SourceError{Source: "environment variable " + name, Err: errors.New("not set")}
		}
		return NewSecret(v), nil
	}
}

// Command runs argv[0] with the other elements as its arguments, without a shell, and takes the first line of what it
// prints; the line end does not belong to the secret. Its stdin is empty, for ours may be a message; its stderr is
// ours, so that it can say what is wrong or ask for a key to be touched. It is killed when ctx ends.
func Command(argv []string) Source {
	return func(ctx context.Context) (Secret, error) {
		if len(argv) == 0 || argv[0] == "" {
			return Secret{}, &SourceError{Source: "command", Err: errors.New("it is empty")}
		}
		where := fmt.Sprintf("command %q", argv[0])
		out := &cappedBuffer{}
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, os.Stderr, time.Second
		if err := cmd.Run(); err != nil {
			return Secret{}, commandError(ctx, where, err)
		}
		if out.over {
			return Secret{}, &SourceError{Source: where, Err: fmt.Errorf("it printed more than %d bytes", maxSecret)}
		}
		return firstLine(where, out.buf.Bytes())
	}
}

// commandError tells an ended context, a missing program and a failed one apart.
func commandError(ctx context.Context, where string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &SourceError{Source: where, Err: err}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		e.Err = errors.New("no such program")
		e.Advice = `a command is a list of words and runs without a shell: command = ["pass", "show", "mail/work"]`
	}
	return e
}

// cappedBuffer keeps the first maxSecret bytes and swallows the rest, so that the writer need not fail.
type cappedBuffer struct {
	buf  bytes.Buffer
	over bool
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if room := maxSecret - b.buf.Len(); len(p) > room {
		b.over = true
		b.buf.Write(p[:room])
	} else {
		b.buf.Write(p)
	}
	return len(p), nil
}

// firstLine cuts the secret out of what a source gave. Password managers keep notes below the first line.
func firstLine(where string, b []byte) (Secret, error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return Secret{}, &SourceError{Source: where, Err: errors.New("it gave nothing")}
	}
	return NewSecret(string(line)), nil
}

// File takes the first line of the file at path; a leading "~/" is the home directory. A regular file that group or
// others may read is refused.
func File(path string) Source {
	return func(context.Context) (Secret, error) {
		where := fmt.Sprintf("file %q", path)
		b, private, err := readPrivate(path, maxSecret)
		if err != nil {
			return Secret{}, &SourceError{Source: where, Err: plainPathError(err)}
		}
		if !private {
			return Secret{}, exposed(where, path)
		}
		return firstLine(where, b)
	}
}

// FD takes the first line of what can be read from the open file descriptor n, and closes it. It can be asked once;
// further calls repeat the answer.
func FD(n int) Source {
	return Once(func(context.Context) (Secret, error) {
		where := fmt.Sprintf("file descriptor %d", n)
		var f *os.File
		if n >= 0 {
			f = os.NewFile(uintptr(n), where)
		}
		if f == nil {
			return Secret{}, &SourceError{Source: where, Err: errors.New("not a file descriptor")}
		}
		defer f.Close()
		b, err := readCapped(f, maxSecret)
		if err != nil {
			return Secret{}, &SourceError{Source: where, Err: plainPathError(err), Advice: fmt.Sprintf("open it in the shell: mail … %d<FILE", n)}
		}
		return firstLine(where, b)
	})
}

// exposed is the refusal of a file with a secret that others may read.
func exposed(where, path string) error {
	return &SourceError{Source: where, Err: errors.New("other users may read it"), Advice: "chmod 600 " + path}
}

// readPrivate reads at most max bytes of the file at path and says whether only its owner may read it. What is not a
// regular file, such as a pipe from the shell, counts as private. The check is done on the file that is then read.
func readPrivate(path string, max int) (b []byte, private bool, err error) {
	f, err := os.Open(expandHome(path))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	private = !fi.Mode().IsRegular() || fi.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows"
	b, err = readCapped(f, max)
	return b, private, err
}

// readCapped reads everything, up to max bytes; more is an error.
func readCapped(r io.Reader, max int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	if err == nil && len(b) > max {
		err = fmt.Errorf("longer than %d bytes", max)
	}
	return b, err
}

// plainPathError drops the operation and the path from err: the message names the path already.
func plainPathError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// expandHome replaces a leading "~/".
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
