package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// mailTest is a program of its own for tests that need a process: commands that wait, flood and panic.
func mailTest() {
	ctx, stop := signalContext()
	e := newEnv()
	e.tree = processTree
	code := run(ctx, e, os.Args)
	stop()
	os.Exit(code)
}

func processTree(e *env) []*cli.Command {
	command := func(name string, run func(ctx context.Context, c *call) error) *cli.Command {
		return e.leaf(leaf{name: name, usage: name, run: run})
	}
	return []*cli.Command{
		command("wait", func(ctx context.Context, c *call) error {
			fmt.Fprintln(c.stdout, "ready")
			<-ctx.Done()
			return fmt.Errorf("work (imap.example.org:993): fetch: %w", ctx.Err())
		}),
		command("stubborn", func(ctx context.Context, c *call) error {
			fmt.Fprintln(c.stdout, "ready")
			<-ctx.Done()
			fmt.Fprintln(c.stdout, "ready")
			time.Sleep(time.Minute)
			return nil
		}),
		command("flood", func(_ context.Context, c *call) error {
			for {
				if err := c.row("line"); err != nil {
					return err
				}
			}
		}),
		command("hostile", func(_ context.Context, c *call) error {
			for _, s := range hostileTexts() {
				fmt.Fprintf(c.stdout, "%s\n", s)
				fmt.Fprintf(c.stderr, "%s\n", s)
				c.note("%s", s)
				if err := errors.Join(c.row(s, s), c.printJSON(s), c.flush()); err != nil {
					return err
				}
			}
			return errors.New(strings.Join(hostileTexts(), ""))
		}),
	}
}

// startTest starts a mail-test process and waits for its first line.
func startTest(t *testing.T, name string, args ...string) (*exec.Cmd, *bufio.Reader, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(name, args...)
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
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q, %v; stderr %q", line, err, stderr.String())
	}
	return cmd, r, &stderr
}

func send(t *testing.T, cmd *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestL3_Signals(t *testing.T) {
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		cmd, _, stderr := startTest(t, "mail-test", "wait")
		send(t, cmd, s)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != want || stderr.String() != "" {
			t.Errorf("%v: got %d and %q, want %d and silence", s, got, stderr, want)
		}
	}
}

func TestL3_SecondSignalKills(t *testing.T) {
	cmd, r, _ := startTest(t, "mail-test", "stubborn")
	send(t, cmd, syscall.SIGTERM)
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	send(t, cmd, syscall.SIGTERM)
	_ = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("got %v, want death by SIGTERM", cmd.ProcessState)
	}
}

func TestL3_IgnoredSignalsStayIgnored(t *testing.T) {
	cmd, _, _ := startTest(t, "sh", "-c", `trap "" HUP INT; exec mail-test wait`)
	send(t, cmd, syscall.SIGHUP)
	send(t, cmd, syscall.SIGINT)
	time.Sleep(50 * time.Millisecond)
	send(t, cmd, syscall.SIGTERM)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("got %d, want 143 from the signal that was not ignored", got)
	}
}

func TestL3_StopAndContinue(t *testing.T) {
	cmd, _, _ := startTest(t, "mail-test", "wait")
	send(t, cmd, syscall.SIGSTOP)
	time.Sleep(20 * time.Millisecond)
	send(t, cmd, syscall.SIGCONT)
	send(t, cmd, syscall.SIGTERM)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("got %d, want 143", got)
	}
}

// shell runs a script and gives its output; bash is needed for PIPESTATUS.
func shell(t *testing.T, script string) (stdout, stderr string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.Command(bash, "-c", script)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String()
}

func TestO7_ClosedPipeIsQuiet(t *testing.T) {
	for name, script := range map[string]string{
		"default": `mail-test flood | head -n 1; echo ${PIPESTATUS[0]}`,
		"message": `(echo; yes line | head -c 1000000) | mail mime cat 1 | head -n 1; echo ${PIPESTATUS[1]}`,
		"ignored": `trap "" PIPE; mail-test flood | head -n 1; echo ${PIPESTATUS[0]}`,
	} {
		stdout, stderr := shell(t, script)
		if stdout != "line\n141\n" || stderr != "" {
			t.Errorf("%s: got %q and %q, want one line, 141 and silence", name, stdout, stderr)
		}
	}
}

func TestO7_FullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	for _, words := range []string{
		"mail-test flood", "mail --version", "mail --help", "mail help help", "mail completion bash",
		"echo text | mail mime pack --text -", "(echo; echo text) | mail mime tree", "(echo; echo text) | mail mime cat 1",
		"echo Subject: x | mail mime headers",
	} {
		stdout, stderr := shell(t, words+" >/dev/full; echo $?")
		if stdout != "74\n" || stderr != "mail: standard output: write /dev/stdout: no space left on device\n" {
			t.Errorf("%s: got %q and %q, want 74 and the reason", words, stdout, stderr)
		}
	}
}

func TestO7_ClosedOutput(t *testing.T) {
	stdout, _ := shell(t, "mail help >&-; echo $?; mail --nonsense >&-; echo $?")
	if stdout != "0\n64\n" && stdout != "74\n64\n" {
		t.Errorf("got %q", stdout)
	}
}

// hostileTexts holds every control character in the ways it can come, and what terminals are known to obey.
func hostileTexts() []string {
	all := []string{
		"\x1b]0;title\x07", "\x1b]8;;http://example.org\x1b\\x\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1bP$q\"p\x1b\\",
		"\x1b_never ends", "\x1b[2J\x1b[H", "over\rwritten", "\u009b31m", "\xc2\x9d0;x\xc2\x9c", "\u202egpj.exe", "\u2067x",
		"\xe2\x80", "\xff\xfe", "\xc0\x9b[2J", "\xe0\x82\x9b", "\xed\xa0\x80", "\x1b", "a\x00b",
	}
	for b := range 256 {
		all = append(all, string([]byte{'<', byte(b), '>'}), string([]byte{0xc2, byte(b)}), string(rune(b)))
	}
	return all
}
