package interop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// shell runs the binary as a script would, with one account of a user on both servers.
type shell struct {
	t    testing.TB
	path string
	dir  string // working folder
	env  []string
}

func newShell(t testing.TB, user interop.User) *shell {
	t.Helper()
	d, p := interop.Dovecot(t), interop.Postfix(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, accountFile(user, d, p), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "MAIL_CONFIG=" + config, "LAB_PASSWORD=" + user.Password, "LC_ALL=C.UTF-8"}
	return &shell{t: t, path: interop.Binary(t), dir: dir, env: env}
}

// accountFile is a configuration with the account "lab"; the password comes from LAB_PASSWORD.
func accountFile(user interop.User, d *interop.DovecotServer, p *interop.PostfixServer) []byte {
	return fmt.Appendf(nil, `default = "lab"

[account.lab]
from     = "%s"
smtp     = "smtp://%s@%s"
imap     = "imap://%s@%s"
pop      = "pop3s://%s@%s"
password = { env = "LAB_PASSWORD" }
ca-file  = "%s"
`, user.Address, user.Name, p.Submission, user.Name, d.IMAP, user.Name, d.POP3S, d.CAFile)
}

// result is what a command left behind.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("status %d\nstdout: %.2000q\nstderr: %.2000s", r.code, r.stdout, r.stderr)
}

// try runs `mail args…`.
func (s *shell) try(stdin io.Reader, args ...string) result {
	s.t.Helper()
	cmd := interop.Command(s.t, s.path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = s.dir, s.env, stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("mail %q: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// run is try for what must succeed; it returns standard output.
func (s *shell) run(stdin io.Reader, args ...string) string {
	s.t.Helper()
	r := s.try(stdin, args...)
	if r.code != 0 {
		s.t.Fatalf("mail %q: %v", args, r)
	}
	return r.stdout
}

// await runs a command until its output has want, for mail that is still being delivered.
func (s *shell) await(want string, args ...string) string {
	s.t.Helper()
	var r result
	for range 100 {
		if r = s.try(nil, args...); strings.Contains(r.stdout, want) {
			return r.stdout
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("mail %q never printed %q: %v", args, want, r)
	return ""
}

func (s *shell) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) read(name string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}
