package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/popfetch"
	"github.com/mail-toolkit/mail/pkg/store"
)

// execBatch gives each message to a command, which has stored it when it ends with 0.
type execBatch struct {
	argv   []string
	env    []string
	stdout io.Writer
	stderr io.Writer
	n      int
	octets int64
}

// execWords splits a command and makes sure that its program is there.
func execWords(command string) ([]string, error) {
	words, err := config.SplitWords(command)
	if err != nil {
		return nil, usagef("--exec: %v", err)
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, codef(exitNoInput, "--exec: %w", err)
	}
	return words, nil
}

func (c *call) newExecBatch(argv []string) (*execBatch, error) {
	secret, err := c.secretVariables()
	if err != nil {
		return nil, err
	}
	b := &execBatch{argv: argv, stdout: c.stdout, stderr: c.stderr}
	if c.json { // standard output has the events
		b.stdout = c.stderr
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !secret[name] {
			b.env = append(b.env, kv)
		}
	}
	return b, nil
}

// secretVariables are the names of the environment variables that have passwords and tokens, of any account.
func (c *call) secretVariables() (map[string]bool, error) {
	names := map[string]bool{"MAIL_PASSWORD": true, "MAIL_TOKEN": true}
	file, err := config.OpenFile(c.overrides)
	if errors.Is(err, os.ErrNotExist) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	for _, a := range file.Accounts {
		names[a.Password.Env], names[a.Token.Env] = true, true
	}
	return names, nil
}

// Add implements store.Batch. The command starts when the whole message is there.
func (b *execBatch) Add(ctx context.Context, wire io.Reader, _ store.Meta) error {
	sp, err := store.NewWireSpool(wire)
	if err != nil {
		return err
	}
	defer func() { _ = sp.Close() }()
	text := sp.LF()
	if !sp.Facts().Reversible() {
		text = sp.Wire()
	}
	if err := b.run(ctx, text); err != nil {
		return err
	}
	b.n++
	b.octets += sp.WireSize()
	return nil
}

func (b *execBatch) run(ctx context.Context, text io.Reader) error {
	cmd := exec.CommandContext(ctx, b.argv[0], b.argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = b.env, text, b.stdout, b.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drainTime
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // 0, and something in the background that still has our streams
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &ended):
		return &popfetch.RefusedError{Err: fmt.Errorf("%s: %w", b.argv[0], err)}
	}
	return fmt.Errorf("cannot run the command: %w", err)
}

// Staged implements store.Batch.
func (b *execBatch) Staged() (int, int64) { return b.n, b.octets }

// Commit implements store.Batch. Messages have no names.
func (b *execBatch) Commit(context.Context) ([]string, error) {
	names := make([]string, b.n)
	b.n, b.octets = 0, 0
	return names, nil
}

// Close implements store.Batch.
func (b *execBatch) Close() error { return nil }
