package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// leaf describes one leaf command. The shared flags, the help text, the man page, the completions and the repairs of
// the command line come from it. The man page also needs prose, man/mail-PATH.1.txt, with examples: see man_test.go.
type leaf struct {
	name    string
	aliases []string
	usage   string // one line: what it does, lower case, no full stop
	about   string // help and man: a paragraph or more, separated by empty lines
	args    string // the operands: "MAILBOX SET"
	minArgs int
	maxArgs int // -1: any number
	flags   []cli.Flag
	network wire.Protocol // "": none; else the flags of servers and secrets are added
	changes bool          // changes a server or a disk: adds --dry-run
	exits   []int         // exit codes beyond the usual ones: exitNo, exitIncomplete, …
	offers  operandOffers // what completion offers for the operands; nil: files where args says so
	rawTail bool          // the first operand ends the options: the rest belongs to another program
	hidden  bool
	run     func(ctx context.Context, c *call) error
}

// leaf makes the command. One tree is run once: the flags' destinations belong to it.
func (e *env) leaf(l leaf) *cli.Command {
	shared := &sharedFlags{passwordFD: -1}
	l.flags = append(l.flags, shared.flags(l)...)
	cmd := &cli.Command{
		Name:            l.name,
		Aliases:         l.aliases,
		Usage:           l.usage,
		Description:     l.about,
		ArgsUsage:       l.args,
		Flags:           l.flags,
		Hidden:          l.hidden,
		HideHelp:        true,
		HideHelpCommand: true,
		Action: func(cc *cli.Context) error {
			return e.runLeaf(cc, l, shared)
		},
	}
	e.leaves[cmd] = l
	return cmd
}

// group makes a command that holds others.
func (e *env) group(name, usage string, sub ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		Subcommands:     sub,
		HideHelp:        true,
		HideHelpCommand: true,
	}
}

// runLeaf checks the operands and runs the command.
func (e *env) runLeaf(cc *cli.Context, l leaf, shared *sharedFlags) error {
	c := shared.call(e)
	c.name = e.command
	c.args = cc.Args().Slice()
	if err := checkArgs(l, c.args); err != nil {
		return err
	}
	return c.do(cc.Context, l)
}

// do runs the command and writes out what it printed.
func (c *call) do(ctx context.Context, l leaf) error {
	if c.timeout > 0 && l.network == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	err := l.run(ctx, c)
	if e := c.flush(); e != nil && err == nil {
		err = e
	}
	return err
}

func checkArgs(l leaf, args []string) error {
	switch n := len(args); {
	case n < l.minArgs:
		return usagef("%s expected: %s", plural(l.minArgs, "operand"), l.args)
	case l.maxArgs == 0 && n > 0:
		return usagef("unexpected operand %q: this command takes none", args[0])
	case l.maxArgs > 0 && n > l.maxArgs:
		return usagef("unexpected operand %q: %s expected: %s", args[l.maxArgs], plural(l.maxArgs, "operand"), l.args)
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// run is one whole invocation: it builds the tree, runs argv in it, reports the error and gives the exit code. It may
// be called many times in one process, each time with an env of its own.
func run(ctx context.Context, outer *env, argv []string) (code int) {
	inner, finish := outer.guarded()
	defer func() {
		if r := recover(); r != nil {
			inner.reportBug(r)
			code = exitBug
		}
	}()
	err := inner.invoke(ctx, argv)
	if e := finish(); e != nil && err == nil {
		err = e
	}
	if cause := (*signalError)(nil); err != nil && errors.As(context.Cause(ctx), &cause) {
		err = cause
	}
	inner.report(err)
	return exitCode(err)
}

// guarded copies e with streams that escape control characters on a terminal and remember failures. finish ends the
// streams and tells whether standard output took everything.
func (e *env) guarded() (inner *env, finish func() error) {
	inner = &env{}
	*inner = *e
	inner.leaves, inner.root = nil, nil
	if inner.progress == nil {
		inner.progress = e.stderr
	}
	var escapers []*escapeWriter
	escape := func(w io.Writer, tty bool) io.Writer {
		if !tty {
			return w
		}
		esc := &escapeWriter{w: w}
		escapers = append(escapers, esc)
		return esc
	}
	out := &outWriter{w: escape(e.stdout, e.stdoutTTY)}
	inner.stdout, inner.stderr = out, escape(e.stderr, e.stderrTTY)
	return inner, func() error {
		for _, esc := range escapers {
			if err := esc.finish(); err != nil && out.err == nil {
				out.err = &outputError{err}
			}
		}
		if out.err == nil && out.written > 0 {
			out.err = closeOutput(e.stdout)
		}
		return out.err
	}
}

// about is what the program is, in one line.
const about = "the whole of e-mail as Unix commands"

// invoke addresses the command in argv and runs it.
func (e *env) invoke(ctx context.Context, argv []string) error {
	e.grow()
	if len(argv) > 1 && argv[1] == "__complete" {
		return e.complete(argv[2:])
	}
	if program, words := e.oldName(argv); program != nil {
		translated, err := program(e, ctx, words)
		if err != nil || translated == nil {
			return err
		}
		argv = translated
	}
	p, err := parse(e.root, e.leaves, argv)
	switch {
	case err != nil:
		return err
	case p.version:
		_, err = fmt.Fprintf(e.stdout, "mail %s\n", version)
		return err
	case p.help:
		return e.printHelp(e.stdout, p.path)
	}
	e.command = pathName(p.path)
	if p.path[0].Name != "help" {
		e.root, e.leaves = nil, nil // nothing else shows the tree, a quarter of a megabyte
	}
	err = start(ctx, p)
	var usage *usageError
	if errors.As(err, &usage) && usage.command == "" {
		usage.command = e.command
		if usage.hint == "" {
			usage.hint = fmt.Sprintf("see `mail %s --help`", e.command)
		}
	}
	return err
}

// grow makes the tree.
func (e *env) grow() {
	tree := e.tree
	if tree == nil {
		tree = (*env).commands
	}
	e.leaves = map[*cli.Command]leaf{}
	e.root = tree(e)
}

// start gives the flags of the leaf their values and calls its action. What the library's own Run does besides is done
// by parse, or not wanted: help, versions, completion, errors and exit codes of its own. The templates of that help would
// also keep the linker from dropping any method, a tenth of the program.
func start(ctx context.Context, p *parsed) error {
	leaf := p.path[len(p.path)-1]
	set := flag.NewFlagSet(leaf.Name, flag.ContinueOnError)
	for _, f := range leaf.Flags {
		if err := f.Apply(set); err != nil {
			return err
		}
		if b, ok := f.(*cli.BoolFlag); ok && b.Count != nil {
			*b.Count = 0 // Run would count each alias
		}
	}
	lists := map[*cli.StringSliceFlag][]string{}
	for _, o := range p.options {
		if f, ok := o.flag.flag.(*cli.StringSliceFlag); ok {
			lists[f] = append(lists[f], o.value) // as it is: the library would cut it at commas
		} else if err := set.Set(o.flag.name, o.value); err != nil {
			msg := fmt.Sprintf("invalid value %q for %s: %v", o.value, o.flag.dashed(), err)
			return &usageError{msg: strings.TrimSuffix(msg, ": parse error")}
		}
	}
	for f, values := range lists {
		*f.Destination = *cli.NewStringSlice(values...)
	}
	if err := set.Parse(append([]string{"--"}, p.operands...)); err != nil {
		return err
	}
	return leaf.Action(cli.NewContext(nil, set, &cli.Context{Context: ctx}))
}

// report writes an error for the user: one line for each of several joined ones, then the next step where one is
// known.
func (e *env) report(err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok && halvesCode(err) == exitOK {
		for _, one := range many.Unwrap() {
			e.report(one)
		}
		return
	}
	var (
		signal *signalError
		output *outputError
		c      *coded
		group  *groupError
	)
	switch {
	case errors.As(err, &signal), errors.As(err, &c) && c.err == nil:
		return
	case errors.As(err, &output) && exitCode(err) != exitIO:
		return
	}
	fmt.Fprintf(e.stderr, "mail: %s\n", escapeText(err.Error()))
	if errors.As(err, &group) {
		fmt.Fprint(e.stderr, group.list)
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(e.stderr, "mail: hint: %s\n", escapeText(hint))
	}
}

// hintOf is the next step that an error knows, or "".
func hintOf(err error) string {
	var (
		refused  *auth.Error
		settings *config.Error
		damage   *backup.DamageError
		hinter   interface{ Hint() string }
	)
	switch {
	case errors.As(err, &refused) && refused.Hint != "":
		return refused.Hint
	case errors.As(err, &settings):
		return settings.Hint
	case errors.As(err, &hinter):
		return hinter.Hint()
	case errors.As(err, &damage):
		return "see `mail backup verify` and `mail backup repair`"
	case errors.Is(err, pop3.ErrTooLarge), errors.Is(err, imap.ErrTooLarge):
		return "--max-message takes larger ones"
	}
	return ""
}

// reportBug writes what is needed to report a panic, and no more.
func (e *env) reportBug(r any) {
	fmt.Fprintf(e.stderr, "mail: internal error: %s (version %s, %s/%s, at %s)\n",
		escapeText(shorten(fmt.Sprint(r), 500)), version, runtime.GOOS, runtime.GOARCH, panicPlace())
	fmt.Fprintln(e.stderr, "mail: hint: this is a bug, please report it with the command that was run")
}

// panicPlace is the innermost place of ours on the stack of a panic being recovered.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
