package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// serveExec runs the command of --exec and ends with its status. When ctx ends first, the command gets TERM, and is
// killed if that does not help.
func (c *call) serveExec(ctx context.Context, s *served, command string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(serveEnviron(os.Environ()), s.variables()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if !c.stdinTTY { // a group of its own, so that what the shell has started ends too; on a terminal it could not read
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	}
	cmd.WaitDelay = drainTime
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded:
		return context.Cause(ctx)
	case ctx.Err() != nil:
		return codef(exitTemporary, "the command was ended: the time of --for or --timeout is over")
	case errors.As(err, &ended):
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return silent(exitSignal + int(status.Signal()))
		}
		return silent(ended.ExitCode())
	case err != nil:
		return fmt.Errorf("cannot run the command: %w", err)
	}
	return nil
}

// serveEnviron leaves out what would lead a command to another server or another login.
func serveEnviron(environ []string) []string {
	var kept []string
	for _, kv := range environ {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "MAIL_SMTP", "MAIL_POP", "MAIL_IMAP", "MAIL_USER", "MAIL_PASSWORD", "MAIL_TOKEN", "MAIL_CA", "MAIL_FROM", "MAIL_ACCOUNT":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}

// variables are what `mail` in the command goes by.
func (s *served) variables() []string {
	vars := []string{"MAIL_USER=" + s.User, "MAIL_PASSWORD=" + s.Password, "MAIL_CA=" + s.CA, "MAIL_FROM=" + s.from}
	for _, v := range []struct{ name, scheme, implicit, started string }{
		{"MAIL_SMTP", "smtp", s.SMTPS, s.SMTP}, {"MAIL_POP", "pop3", s.POP3S, s.POP3}, {"MAIL_IMAP", "imap", s.IMAPS, s.IMAP},
	} {
		switch {
		case v.implicit != "":
			vars = append(vars, v.name+"="+v.scheme+"s://"+v.implicit)
		case v.started != "":
			vars = append(vars, v.name+"="+v.scheme+"://"+v.started)
		}
	}
	return vars
}
