package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestScripts runs testdata/script/*.txtar: commands with the output and the exit code expected, `mail` being this
// program. Beyond the commands of testscript there are
//
//	exitcode N PROGRAM [ARG…]
//
// which runs a program like exec does (it takes the text of a preceding stdin) and fails unless it ends with N; its
// output is then there for stdout, stderr and cmp; and
//
//	serve [FLAG…]
//
// which runs `mail serve` with these flags and the user alice, whose password is secret, until the script ends or says
// serve again. It sets what `mail serve --exec` sets, and SMTP, SMTPS, LMTP, POP3, POP3S, IMAP, IMAPS and TOKEN to what
// the server's line of JSON tells. The certificate is $WORK/ca.pem. The server must end with 0 and without a word, and
// no goroutine of it may be left.
func TestScripts(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // it runs when all scripts have ended
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: setupScript,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitcode, "serve": serveScript},
	})
}

func setupScript(env *testscript.Env) error {
	for _, dir := range []string{"home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(env.WorkDir, dir), 0o700); err != nil {
			return err
		}
	}
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "home", ".config"))
	env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "home", ".local", "state"))
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "home", ".cache"))
	env.Setenv("TZ", "UTC")
	env.Setenv("LC_ALL", "C.UTF-8")
	server := &scriptServer{stop: func() error { return nil }}
	env.Values[serverOfScript{}] = server
	env.Defer(func() {
		if err := server.stop(); err != nil {
			env.T().Fatal(err)
		}
	})
	return nil
}

// serverOfScript is the key of a script's *scriptServer.
type serverOfScript struct{}

// scriptServer is the server of a script. stop ends it and waits; it may be called again.
type scriptServer struct{ stop func() error }

func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve [FLAG…]")
	}
	server := ts.Value(serverOfScript{}).(*scriptServer)
	ts.Check(server.stop())
	facts, err := server.start(append([]string{"--user", "alice:secret", "--ca-out", ts.MkAbs("ca.pem")}, args...))
	ts.Check(err)
	for _, kv := range facts.variables() {
		name, value, _ := strings.Cut(kv, "=")
		ts.Setenv(name, value)
	}
	for name, value := range map[string]string{"SMTP": facts.SMTP, "SMTPS": facts.SMTPS, "LMTP": facts.LMTP, "POP3": facts.POP3,
		"POP3S": facts.POP3S, "IMAP": facts.IMAP, "IMAPS": facts.IMAPS, "TOKEN": facts.Token} {
		ts.Setenv(name, value)
	}
}

// start runs `mail serve` in this process and waits for its line of JSON.
func (s *scriptServer) start(args []string) (*served, error) {
	r, w := io.Pipe()
	e, _, stderr := testEnv("")
	e.stdout = w
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() {
		code := run(ctx, e, append([]string{"mail", "serve"}, args...))
		_ = w.Close()
		if code != 0 || stderr.Len() > 0 {
			ended <- fmt.Errorf("mail serve ended with %d and said %q", code, stderr)
		}
		close(ended)
	}()
	s.stop = func() error { cancel(&signalError{syscall.SIGTERM}); return <-ended }
	facts := &served{from: "alice@example.org"}
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, facts)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return facts, nil
}

func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", args[1], got, want)
	}
}

// TestScriptsExist keeps the folder from being emptied by mistake.
func TestScriptsExist(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(data, []byte("mail")) {
			t.Errorf("%s runs nothing: %v", f, err)
		}
	}
}
