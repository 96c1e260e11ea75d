package main

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"
)

// env is everything a command may touch of the outside world.
type env struct {
	stdin  io.Reader
	stdout io.Writer // data; escapes control characters on a terminal; a failed write is an *outputError
	stderr io.Writer // words; escapes control characters on a terminal

	stdinTTY, stdoutTTY, stderrTTY bool

	// progress is standard error as it is, for progress bars alone: they move the cursor. Nothing from the network
	// goes here.
	progress io.Writer

	getenv  func(string) string
	now     func() time.Time
	openTTY func() (io.ReadWriteCloser, error) // the controlling terminal, for prompts

	tree    func(*env) []*cli.Command // makes the top-level commands; nil: all
	root    []*cli.Command            // the tree being run
	leaves  map[*cli.Command]leaf     // what each leaf of the tree was made from
	command string                    // the leaf being run: "imap fetch"
	speaks  bool                      // run as sendmail -bs: SMTP on standard input and output
	local   bool                      // run as sendmail or mailx: a sender who is not known is the user of this machine
}

// newEnv is the process's own environment.
func newEnv() *env {
	return &env{
		stdin:     os.Stdin,
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		stdinTTY:  isTerminal(os.Stdin),
		stdoutTTY: isTerminal(os.Stdout),
		stderrTTY: isTerminal(os.Stderr),
		getenv:    os.Getenv,
		now:       time.Now,
		openTTY:   openTTY,
	}
}

func isTerminal(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}

// openTTY opens the terminal the process was started from, whatever its streams are.
func openTTY() (io.ReadWriteCloser, error) {
	return os.OpenFile("/dev/tty", os.O_RDWR, 0)
}
