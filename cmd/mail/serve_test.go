package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// startServe starts `mail serve` as a process and reads its line of JSON.
func startServe(t *testing.T, args ...string) (*exec.Cmd, *served, *strings.Builder) {
	t.Helper()
	cmd := exec.Command("mail", append([]string{"serve"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	s := &served{}
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		t.Fatalf("got %q, %v; stderr %q", line, err, stderr.String())
	}
	return cmd, s, &stderr
}

func TestL3_ServeSignals(t *testing.T) {
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 0, syscall.SIGHUP: 0} {
		cmd, facts, stderr := startServe(t)
		idle, err := net.Dial("tcp", facts.POP3) // a client that waits does not keep the server
		if err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(idle).ReadString('\n')
		began := time.Now()
		send(t, cmd, s)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != want || stderr.String() != "" {
			t.Errorf("%v: got %d and %q, want %d and silence", s, got, stderr, want)
		}
		if d := time.Since(began); d > drainTime/2 {
			t.Errorf("%v: the end took %v", s, d)
		}
		if _, err := os.Stat(facts.CA); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: the certificate is still there: %v", s, err)
		}
		_ = idle.Close()
	}
}

func TestServeOnce(t *testing.T) {
	cmd, facts, stderr := startServe(t, "--once", "--for", "30s")
	conn, err := net.Dial("tcp", facts.POP3)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "QUIT\r\n")
	said, _ := io.ReadAll(conn)
	_ = conn.Close()
	began := time.Now()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 0 || stderr.String() != "" || !strings.HasSuffix(string(said), "+OK bye\r\n") {
		t.Errorf("got %d, %q, and %q from the server", got, stderr, said)
	}
	if d := time.Since(began); d > 60*time.Second {
		t.Errorf("it went on for %v after its only client", d)
	}
}

func TestServeReadyFD(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mail", "serve", "--ready-fd", "3", "--for", "200ms")
	cmd.ExtraFiles = []*os.File{w}
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	line, err := io.ReadAll(r) // to its end: the descriptor is closed before the server ends
	running := cmd.Process.Signal(syscall.Signal(0)) == nil
	if e := cmd.Wait(); e != nil || err != nil || !running {
		t.Errorf("got %v, %v, running %t", e, err, running)
	}
	if string(line) != stdout.String() || !json.Valid(line) {
		t.Errorf("descriptor got %q, standard output %q", line, stdout.String())
	}
}

// TestServeInProcess holds that the command leaves no goroutine and no file behind, however it ends.
func TestServeInProcess(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	before := goleak.IgnoreCurrent()
	run := func(ctx context.Context, args ...string) (int, string) {
		e, stdout, stderr := testEnv("")
		code := run(ctx, e, append([]string{"mail", "serve"}, args...))
		if stderr.Len() > 0 {
			t.Errorf("%q: stderr %q", args, stderr)
		}
		return code, stdout.String()
	}
	if code, out := run(t.Context(), "--for", "50ms", "--dir", filepath.Join(t.TempDir(), "box")); code != 0 || !strings.HasPrefix(out, `{"smtp":`) {
		t.Errorf("got %d and %q", code, out)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(&signalError{syscall.SIGTERM}) })
	if code, _ := run(ctx); code != 0 {
		t.Errorf("TERM: got %d, want 0", code)
	}
	if code, out := run(t.Context(), "--exec", "echo $MAIL_FROM", "--user", "alice:x", "--domain", "example.org"); code != 0 || out != "alice@example.org\n" {
		t.Errorf("got %d and %q", code, out)
	}
	goleak.VerifyNone(t, before)
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestServeTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, _, stderr := testEnv("")
	code := run(t.Context(), e, []string{"mail", "serve", "--smtp", l.Addr().String(), "--for", "1s"})
	if code != exitTemporary || !strings.Contains(stderr.String(), "in use") {
		t.Errorf("a port that is taken: got %d and %q, want %d", code, stderr, exitTemporary)
	}
}

func TestServeAddress(t *testing.T) {
	for text, want := range map[string]string{
		"": "127.0.0.1:0", "off": "", ":25": "127.0.0.1:25", "[::1]:0": "[::1]:0", "localhost:2525": "localhost:2525", "/run/x": "/run/x",
	} {
		if got, err := serveAddress(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"25", "localhost", ":x", ":", ":65536", "a:b:1", ":-1"} {
		if got, err := serveAddress(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
}

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "x", false}, {"*", "", true}, {"*", "anything", true}, {"a", "A", true}, {"a", "ab", false},
		{"a*", "abc", true}, {"*c", "abc", true}, {"*b*", "abc", true}, {"a*c", "ac", true}, {"a*a", "a", false}, {"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false}, {"*ab*ab*", "abab", true}, {"*ab*ab", "ab", false}, {"[x]*", "[x] y", true}, {"É*", "été", true},
	} {
		if got := matchGlob(c.pattern, c.text); got != c.want {
			t.Errorf("%q, %q: got %t, want %t", c.pattern, c.text, got, c.want)
		}
	}
}
