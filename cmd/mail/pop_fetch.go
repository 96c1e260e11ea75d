package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/popfetch"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type popFetchOptions struct {
	output   string
	exec     string
	state    string
	delete   bool
	keepDays int // -1: not given
	maxSize  int64
	limit    int
	argv     []string // of exec
}

// popFetchCommand is `mail pop fetch`.
func (e *env) popFetchCommand() *cli.Command {
	o := &popFetchOptions{keepDays: -1, maxSize: pop3.DefaultMaxMessage}
	return e.leaf(leaf{
		name:  "fetch",
		usage: "fetch what is new since the last time",
		about: "Stores the messages that were not fetched before, prints the path of each once it is safely on disk, and " +
			"remembers their unique ids in a file. With --delete or --keep-days the server is then told to delete what is " +
			"stored, in this run or in an earlier one; status 0 means that it said it has. Without -o and --exec the new " +
			"messages are printed as an mboxrd stream, also when it is one.\n\n" +
			"Status 3 means that some messages were refused, by the server or by --exec; the next run tries them again. " +
			"Messages that --max-size or --limit leave do not count as refused. Status 75 means that the connection was " +
			"lost, that the deletion is not confirmed, or that another run is at work; what was stored is remembered in " +
			"any case, and the next run goes on from there.",
		changes: true,
		exits:   []int{exitIncomplete, exitCreate},
		network: wire.POP3,
		flags: []cli.Flag{
			destFlag("o", "store in `DEST`: maildir:DIR, mbox:FILE, eml:DIR, or - for standard output", &o.output),
			&cli.StringFlag{Name: "exec", Destination: &o.exec, Usage: "run `COMMAND` for each message, which is its standard " +
				"input; status 0 means that it is stored"},
			&cli.BoolFlag{Name: "delete", Usage: "delete on the server what is stored", Destination: &o.delete},
			countFlag("keep-days", "delete on the server what was stored `N` days ago or earlier", maxKeepDays, &o.keepDays),
			sizeFlag("max-size", "leave messages of more than `SIZE` on the server (default: 2G)", &o.maxSize),
			countFlag("limit", "fetch at most `N` messages", popLast, &o.limit),
			&cli.StringFlag{Name: "state", Destination: &o.state, Usage: "remember in `FILE` what was fetched (default: one for " +
				"each account below $XDG_STATE_HOME/mail/pop)"},
		},
		run: func(ctx context.Context, c *call) error {
			c.maxMessage = max(o.maxSize, pop3.DefaultMaxMessage) // sizes that are told may be a little wrong
			return c.popFetch(ctx, *o)
		},
	})
}

// maxKeepDays keeps the time from overflowing.
const maxKeepDays = 36500

// countFlag is a whole number from 0 to limit.
func countFlag(name, usage string, limit uint64, dest *int) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || n > limit {
			return fmt.Errorf("not a number from 0 to %d", limit)
		}
		*dest = int(n)
		return nil
	}}}
}

// check completes the options.
func (o *popFetchOptions) check(c *call) (err error) {
	switch {
	case o.exec != "" && o.output != "":
		return usagef("-o and --exec exclude each other")
	case o.delete && o.keepDays >= 0:
		return usagef("--delete and --keep-days exclude each other")
	case o.exec != "":
		o.argv, err = execWords(o.exec)
		return err
	case o.output == "":
		o.output = "-"
	}
	if o.output == "-" && c.json {
		return usagef("--json describes stored messages: it needs --exec, or -o with a folder or file")
	}
	return nil
}

func (c *call) popFetch(ctx context.Context, o popFetchOptions) error {
	if err := o.check(c); err != nil {
		return err
	}
	st, err := c.openPopState(o.state)
	if err != nil {
		return err
	}
	err = c.popSession(ctx, func(client *pop3.Client) error {
		f := &popFetch{call: c, o: o}
		defer f.close()
		return f.run(ctx, client, st)
	})
	if e := st.Close(); err == nil {
		err = e
	}
	return err
}

// popFetch is one run of the command.
type popFetch struct {
	*call
	o    popFetchOptions
	sink store.Sink
	bar  *progress
}

func (f *popFetch) run(ctx context.Context, client *pop3.Client, st *popfetch.State) error {
	err := popfetch.Run(ctx, client, st, popfetch.Options{
		Open: f.open, Existing: existing(f.o.output), Delete: f.o.delete || f.o.keepDays >= 0,
		KeepFor: time.Duration(max(f.o.keepDays, 0)) * 24 * time.Hour, MaxSize: f.o.maxSize, Limit: f.o.limit, Batch: f.batch(),
		DryRun: f.dryRun, Event: f.event, Note: f.say, Now: f.now,
		Begin: func(_ int, octets int64) { f.bar = f.newProgress("fetching", octets) },
		Read:  func(n int) { f.bar.add(n) },
	})
	var ours *popfetch.LocalError
	var incomplete *popfetch.IncompleteError
	switch {
	case errors.As(err, &ours):
		return &localError{ours.Err}
	case errors.As(err, &incomplete):
		return codef(exitIncomplete, "%w", err)
	}
	return err
}

// batch is how many messages are made durable together. A command's work is remembered at once.
func (f *popFetch) batch() int {
	if f.o.argv != nil {
		return 1
	}
	return popfetch.DefaultBatch
}

func (f *popFetch) open() (store.Batch, error) {
	if f.o.argv != nil {
		return f.newExecBatch(f.o.argv)
	}
	var err error
	f.sink, err = store.OpenSink(f.o.output, store.SinkOptions{Stdout: f.stdout, Many: true})
	if err != nil {
		return nil, err
	}
	if f.o.output == "-" {
		return &outputBatch{f.sink.Batch(), f.stdout}, nil
	}
	return f.sink.Batch(), nil
}

func (f *popFetch) close() {
	f.bar.clear()
	if f.sink != nil {
		_ = f.sink.Close() // what is stored has been committed
	}
}

// outputBatch is standard output. What went to a file is synced before it is remembered.
type outputBatch struct {
	store.Batch
	w io.Writer
}

// Commit implements store.Batch.
func (b *outputBatch) Commit(ctx context.Context) ([]string, error) {
	names, err := b.Batch.Commit(ctx)
	if err == nil {
		err = syncOutput(b.w)
	}
	return names, err
}

// syncOutput makes durable what was written, if it went to a file.
func syncOutput(w io.Writer) error {
	if out, ok := w.(*outWriter); ok {
		w = out.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	if err := f.Sync(); err != nil {
		return &outputError{err}
	}
	return nil
}

// existing reads a destination back; it is nil when that is not possible.
func existing(dest string) func() iter.Seq2[*store.Message, error] {
	kind, path, _ := strings.Cut(dest, ":")
	switch kind {
	case "maildir":
		return func() iter.Seq2[*store.Message, error] { return store.ReadMaildir(path) }
	case "eml":
		return func() iter.Seq2[*store.Message, error] { return store.ReadEML(path) }
	case "mbox":
		return func() iter.Seq2[*store.Message, error] { return readMboxFile(path) }
	}
	return nil
}

// readMboxFile reads an mbox; an empty file has no messages.
func readMboxFile(path string) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = f.Close() }()
		if st, err := f.Stat(); err == nil && st.Size() == 0 {
			return
		}
		store.ReadMbox(f)(yield)
	}
}

// say writes words beside the progress bar.
func (f *popFetch) say(format string, args ...any) {
	f.bar.clear()
	f.note(format, args...)
}

// event tells what became of a message.
func (f *popFetch) event(e popfetch.Event) error {
	o := popMessage{number: e.Number, size: e.Size, uid: e.UID}.object()
	o.DryRun = f.dryRun
	switch e.Kind {
	case popfetch.Stored:
		f.bar.message()
		if o.Path = e.Name; f.dryRun && !f.json {
			f.say("would fetch message %d (%d octets)", e.Number, e.Size)
		}
		if !f.json && !f.dryRun && e.Name != "" && e.Name != "-" {
			if f.stdoutTTY {
				f.bar.clear()
			}
			return errors.Join(f.lines.put(escapeText(e.Name)), f.flush())
		}
	case popfetch.Present:
		o.Present = true
		if f.verbose > 0 {
			f.say("message %d is stored already", e.Number)
		}
	case popfetch.Skipped:
		o.Skipped = true
		f.say("message %d is left on the server: %d octets are more than --max-size", e.Number, e.Size)
	case popfetch.Refused:
		o.Error = valid(e.Err.Error())
		f.say("message %d: %v", e.Number, e.Err)
	case popfetch.Deleted:
		if o.Deleted = !f.dryRun; f.dryRun && !f.json {
			f.say("would delete message %d", e.Number)
		}
	}
	if !f.json {
		return nil
	}
	return errors.Join(f.printJSON(o), f.flush())
}
