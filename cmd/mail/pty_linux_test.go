package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// onTerminal runs a command with all streams on a terminal and gives what the terminal received.
func onTerminal(t *testing.T, name string, args ...string) (seen []byte, code int) {
	t.Helper()
	cmd := interop.Command(t, name, args...)
	seen, _ = interop.OnTerminal(t, cmd) // the code tells
	return seen, cmd.ProcessState.ExitCode()
}

// checkTerminalSafe fails when a terminal received anything it could obey.
func checkTerminalSafe(t *testing.T, what string, seen []byte) {
	t.Helper()
	for i, r := range string(seen) {
		if unsafeRune(r) && r != '\n' && r != '\t' || r == '\uFFFD' && seen[i] != 0xef {
			t.Errorf("%s: the terminal received %q in %q", what, seen[i:min(i+3, len(seen))], seen[max(0, i-20):min(i+20, len(seen))])
			return
		}
	}
}

func TestO1_TerminalNeverReceivesControls(t *testing.T) {
	seen, code := onTerminal(t, "mail-test", "hostile")
	if code != exitBug || !bytes.Contains(seen, []byte(`\x1b]0;title`)) {
		t.Fatalf("got %d and %d bytes", code, len(seen))
	}
	checkTerminalSafe(t, "hostile", seen)
	for _, words := range [][]string{{"\x1b[2J"}, {"help", "\u009b1m"}, {"--\x1b"}, {"help", "help", "\x07"}} {
		seen, code := onTerminal(t, "mail", words...)
		if code != exitUsage {
			t.Errorf("mail %q: got %d", words, code)
		}
		checkTerminalSafe(t, fmt.Sprintf("mail %q", words), seen)
	}
}

// interactive is a shell on a terminal.
type interactive struct {
	t       *testing.T
	control *os.File
	mu      sync.Mutex
	out     bytes.Buffer
	dir     string
}

func startInteractive(t *testing.T, name string, args ...string) *interactive {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	control, terminal := interop.Terminal(t)
	s := &interactive{t: t, control: control, dir: t.TempDir()}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "ZDOTDIR="+s.dir, "TERM=dumb", "PS1=@@ ", "HISTFILE=", "COMPLETIONS="+completionDir(t))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := control.Read(buf)
			s.mu.Lock()
			s.out.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-read
	})
	return s
}

// types sends keys and waits until the shell has shown the texts, one after the other.
func (s *interactive) types(keys string, texts ...string) {
	s.t.Helper()
	if keys != "" {
		s.mu.Lock()
		s.out.Reset()
		s.mu.Unlock()
	}
	if _, err := io.WriteString(s.control, keys); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		rest, found := s.out.String(), true
		for _, text := range texts {
			_, after, ok := strings.Cut(rest, text)
			rest, found = after, found && ok
		}
		s.mu.Unlock()
		if found {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Fatalf("after %q no %q but %q", keys, texts, s.out.String())
}

func TestCompletionZsh(t *testing.T) {
	s := startInteractive(t, "zsh", "-f", "-i")
	s.types("", "@@ ")
	// The Tab key of zsh expands substitutions by itself: here only completion is looked at.
	s.types("autoload -U compinit; compinit -u -D; bindkey '^I' complete-word; source $COMPLETIONS/_mail; print do''ne\n", "done", "@@ ")
	for keys, want := range map[string]string{
		"mail comp\t":         "mail completion ",
		"mail completion z\t": "mail completion zsh ",
		"mail help --acc\t":   "mail help --account ",
		"mail help $(touch evil) `touch evil2` --acc\t": "--account ",
		"mail help $(touch evil)x\t\t":                  "",
		"mail completion \t":                            "powershell",
	} {
		s.types(keys, want)
		s.types("\x15echo do''ne\n", "done", "@@ ")
	}
	nothingRan(t, s.dir)
}

func TestCompletionBashInteractive(t *testing.T) {
	s := startInteractive(t, "bash", "--norc", "--noprofile", "-i")
	s.types("", "@@ ")
	s.types("source $COMPLETIONS/mail.bash; echo do''ne\n", "done", "@@ ")
	for keys, want := range map[string]string{
		"mail comp\t":                     "mail completion ",
		"mail help --acc\t":               "mail help --account ",
		"mail help --account=x comp\t":    "completion ",
		"mail help $(touch evil) --acc\t": "--account ",
		"mail help `touch evil2`\t\t":     "",
		"mail completion \t\t":            "powershell",
	} {
		s.types(keys, want)
		s.types("\x15echo do''ne\n", "done", "@@ ")
	}
	nothingRan(t, s.dir)
}
