package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// TestMain makes `mail` a command of the scripts: this test binary, started under that name, is the program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mail": main, "mail-test": mailTest})
}

// result is what one invocation did.
type result struct {
	code           int
	stdout, stderr string
}

// testEnv is an env without terminals, files or environment.
func testEnv(stdin string) (*env, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	return &env{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		getenv:  func(string) string { return "" },
		now:     func() time.Time { return time.Unix(1_800_000_000, 0).UTC() },
		openTTY: func() (io.ReadWriteCloser, error) { return nil, errors.New("no terminal") },
	}, &stdout, &stderr
}

// echo is a leaf that prints what it was given.
func echo(e *env) *cli.Command {
	var subject, from string
	var to cli.StringSlice
	var max int64
	var wait time.Duration
	var long, two bool
	return e.leaf(leaf{
		name: "echo", usage: "print what was given", args: "[WORD…]", maxArgs: -1, changes: true, network: wire.SMTP,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "subject", Aliases: []string{"s"}, Destination: &subject, Usage: "the `SUBJECT`"},
			&cli.StringFlag{Name: "f", Destination: &from, Usage: "from `ADDRESS`"},
			&cli.StringSliceFlag{Name: "to", Destination: &to, Usage: "to `ADDRESS`"},
			&cli.BoolFlag{Name: "l", Destination: &long, Usage: "long"},
			&cli.BoolFlag{Name: "2", Destination: &two, Usage: "two"},
			sizeFlag("max-size", "at most `SIZE`", &max),
			durationFlag("wait", "wait for `TIME`", &wait, ""),
		},
		run: func(_ context.Context, c *call) error {
			fmt.Fprintf(c.stdout, "s=%q f=%q to=%q l=%v 2=%v max=%d wait=%v v=%d q=%v json=%v dry=%v a=%q args=%q\n",
				subject, from, to.Value(), long, two, max, wait, c.verbose, c.quiet, c.json, c.dryRun,
				c.overrides.Account, c.args)
			return nil
		},
	})
}

// testTree is a small tree with every kind of command.
func testTree(e *env) []*cli.Command {
	fail := func(name string, err error) *cli.Command {
		return e.leaf(leaf{name: name, usage: "fail", run: func(context.Context, *call) error { return err }})
	}
	return []*cli.Command{
		echo(e),
		e.group("box", "boxes of words", echo(e),
			e.leaf(leaf{name: "none", usage: "take no operand", run: func(context.Context, *call) error { return nil }}),
			e.leaf(leaf{name: "one", usage: "take one operand", args: "NAME", minArgs: 1, maxArgs: 1,
				run: func(_ context.Context, c *call) error { return c.row("one", c.args[0]) }}),
			e.leaf(leaf{name: "exec", usage: "run a program", args: "PROGRAM [ARG…]", minArgs: 1, maxArgs: -1, rawTail: true,
				run: func(_ context.Context, c *call) error { return c.row(c.args...) }}),
			fail("list", nil)),
		fail("wrapped", fmt.Errorf("work: select %q: %w", "a\x1b[2J", notFoundf("no such mailbox"))),
		fail("silent", silent(exitNo)),
		e.leaf(leaf{name: "panic", usage: "panic", run: func(context.Context, *call) error { panic("bad\x07state") }}),
		e.leaf(leaf{name: "read", usage: "read", run: func(_ context.Context, c *call) error {
			_, err := c.input("a message")
			return err
		}}),
		e.helpCommand(),
	}
}

func runWords(t *testing.T, words ...string) result {
	t.Helper()
	e, stdout, stderr := testEnv("")
	e.tree = testTree
	code := run(context.Background(), e, append([]string{"mail"}, words...))
	return result{code, stdout.String(), stderr.String()}
}

// echoed runs the echo command and gives the parts of its output that are not zero.
func echoed(t *testing.T, words ...string) string {
	t.Helper()
	r := runWords(t, words...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("mail %q: code %d, stderr %q", words, r.code, r.stderr)
	}
	zero := []string{`s=""`, `f=""`, `to=[]`, `l=false`, `2=false`, `max=0`, `wait=0s`, `v=0`, `q=false`, `json=false`,
		`dry=false`, `a=""`, `args=[]`}
	out := strings.TrimSuffix(r.stdout, "\n")
	for _, z := range zero {
		out = strings.Replace(" "+out+" ", " "+z+" ", " ", 1)
		out = strings.TrimSpace(out)
	}
	return out
}

func checkEcho(t *testing.T, cases map[string]struct {
	words []string
	want  string
}) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := echoed(t, c.words...); got != c.want {
				t.Errorf("mail %q:\n got %s\nwant %s", c.words, got, c.want)
			}
		})
	}
}

type echoCase = struct {
	words []string
	want  string
}

func TestFlagsAfterOperands(t *testing.T) {
	checkEcho(t, map[string]echoCase{
		"after":         {[]string{"echo", "to@x", "-s", "subj"}, `s="subj" args=["to@x"]`},
		"between":       {[]string{"echo", "a", "--subject=x", "b"}, `s="x" args=["a" "b"]`},
		"before leaf":   {[]string{"--account", "work", "box", "-v", "echo", "a"}, `v=1 a="work" args=["a"]`},
		"last wins":     {[]string{"echo", "-s", "a", "--subject", "b"}, `s="b"`},
		"both names":    {[]string{"echo", "-v", "--verbose", "-v"}, `v=3`},
		"dash operand":  {[]string{"echo", "-", "-s", "x"}, `s="x" args=["-"]`},
		"empty operand": {[]string{"echo", "", "-l"}, `l=true args=[""]`},
		"empty value":   {[]string{"echo", "-s", "", "a"}, `args=["a"]`},
	})
}

func TestShortBundles(t *testing.T) {
	checkEcho(t, map[string]echoCase{
		"value after":    {[]string{"echo", "-vs", "SUBJ", "a"}, `s="SUBJ" v=1 args=["a"]`},
		"value attached": {[]string{"echo", "-vsSUBJ", "a"}, `s="SUBJ" v=1 args=["a"]`},
		"bools":          {[]string{"echo", "-vvql"}, `l=true v=2 q=true`},
		"equals":         {[]string{"echo", "-s=SUBJ"}, `s="SUBJ"`},
		"bundle equals":  {[]string{"echo", "-vs=a=b"}, `s="a=b" v=1`},
		"digit":          {[]string{"echo", "-2l"}, `l=true 2=true`},
	})
	for word, want := range map[string]string{"-vz": "unknown option -z in -vz", "-subject": "unknown option -subject"} {
		if r := runWords(t, "echo", word); r.code != 64 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: got %+v, want 64 and %q", word, r, want)
		}
	}
}

func TestDoubleDash(t *testing.T) {
	checkEcho(t, map[string]echoCase{
		"flags are operands": {[]string{"echo", "-l", "--", "-s", "--to", "--"}, `l=true args=["-s" "--to" "--"]`},
		"number":             {[]string{"echo", "--", "-5"}, `args=["-5"]`},
		"as a value":         {[]string{"echo", "-s", "--", "-l"}, `s="--" l=true`},
		"dash value":         {[]string{"echo", "-s", "-x", "--to", "-1"}, `s="-x" to=["-1"]`},
		"help after":         {[]string{"echo", "--", "--help"}, `args=["--help"]`},
	})
	r := runWords(t, "echo", "-5")
	if r.code != 64 || !strings.Contains(r.stderr, "mail echo -- -5") {
		t.Errorf("-5: got %+v, want 64 and a hint to --", r)
	}
	if r := runWords(t, "box", "exec", "sh", "-c", "-v", "--", "x"); r.stdout != "sh\t-c\t-v\t--\tx\n" {
		t.Errorf("raw tail: got %+v", r)
	}
}

func TestCommasInAddresses(t *testing.T) {
	checkEcho(t, map[string]echoCase{
		"comma":  {[]string{"echo", "--to", `"Doe, John" <j@example.org>`, "--to", "b@x"}, `to=["\"Doe, John\" <j@example.org>" "b@x"]`},
		"spaces": {[]string{"echo", "--to", " a "}, `to=[" a "]`},
	})
}

func TestUsageErrorsOnStderr(t *testing.T) {
	cases := map[string]struct {
		words []string
		want  string
	}{
		"unknown long":        {[]string{"echo", "--sbuject", "x"}, "mail: echo: unknown option --sbuject\nmail: hint: did you mean --subject?\n"},
		"unknown short":       {[]string{"box", "none", "-x"}, "mail: box none: unknown option -x\nmail: hint: see `mail box none --help`\n"},
		"missing value":       {[]string{"echo", "a", "-s"}, "mail: echo: option -s needs a value\n"},
		"missing long value":  {[]string{"echo", "--to"}, "mail: echo: option --to needs a value\n"},
		"bad bool":            {[]string{"echo", "--json=maybe"}, "mail: echo: invalid value \"maybe\" for --json\nmail: hint: see `mail echo --help`\n"},
		"bad duration":        {[]string{"echo", "--wait", "soon"}, "mail: echo: invalid value \"soon\" for --wait: not a time like"},
		"bad text":            {[]string{"echo", "--wait", `for -x: "y"---`}, `invalid value "for -x: \"y\"---" for --wait: not a time`},
		"bad size":            {[]string{"echo", "--max-size", "big"}, "for --max-size: not a size like"},
		"bad number":          {[]string{"echo", "--password-fd", "x"}, "invalid value \"x\" for --password-fd"},
		"one dash":            {[]string{"echo", "-to", "x"}, "write long options with two dashes: --to"},
		"too few":             {[]string{"box", "one"}, "mail: box one: 1 operand expected: NAME\n"},
		"too many":            {[]string{"box", "one", "a", "b"}, "unexpected operand \"b\""},
		"none":                {[]string{"box", "none", "a"}, "this command takes none"},
		"flag of another":     {[]string{"--pin", "x", "box", "none"}, "unknown option --pin"},
		"unknown command":     {[]string{"ehco"}, "mail: unknown command \"ehco\"\nmail: hint: did you mean `mail echo`?\n"},
		"far command":         {[]string{"nosuchthing"}, "mail: unknown command \"nosuchthing\"\nmail: hint: see `mail --help`\n"},
		"unknown subcommand":  {[]string{"box", "lsit"}, "mail: box: unknown command \"lsit\"\nmail: hint: did you mean `mail box list`?\n"},
		"control characters":  {[]string{"\x1b[2J"}, `unknown command "\x1b[2J"`},
		"control in option":   {[]string{"echo", "--\x1b]0;x\x07"}, `unknown option --\x1b]0;x\x07`},
		"help of nothing":     {[]string{"help", "ehco"}, "did you mean `mail echo`?"},
		"help of nothing sub": {[]string{"box", "help", "x"}, "unknown command \"x\""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := runWords(t, c.words...)
			if r.code != 64 || r.stdout != "" || !strings.Contains(r.stderr, c.want) {
				t.Errorf("mail %q: code %d, stdout %q, stderr\n%swant 64, nothing, and\n%s", c.words, r.code, r.stdout, r.stderr, c.want)
			}
		})
	}
}

func TestGroupWithoutSubcommand(t *testing.T) {
	for _, words := range [][]string{{"box"}, {}, {"box", "--json"}} {
		r := runWords(t, words...)
		if r.code != 64 || r.stdout != "" || !strings.Contains(r.stderr, "a command is missing") ||
			!strings.Contains(r.stderr, "\n  echo ") {
			t.Errorf("mail %q: got %+v, want 64 and the list on stderr", words, r)
		}
	}
}

func TestOperandCalledHelp(t *testing.T) {
	checkEcho(t, map[string]echoCase{
		"help":         {[]string{"echo", "help"}, `args=["help"]`},
		"h":            {[]string{"box", "echo", "h"}, `args=["h"]`},
		"dashes":       {[]string{"echo", "--", "help"}, `args=["help"]`},
		"flag's name":  {[]string{"echo", "--json", "json"}, `json=true args=["json"]`},
		"completion":   {[]string{"echo", "--", "--generate-bash-completion"}, `args=["--generate-bash-completion"]`},
		"command name": {[]string{"box", "echo", "list"}, `args=["list"]`},
	})
	if r := runWords(t, "box", "one", "help"); r.stdout != "one\thelp\n" {
		t.Errorf("box one help: got %+v", r)
	}
}

func TestSharedFlagsOnEveryLeaf(t *testing.T) {
	e, _, _ := testEnv("")
	e.grow()
	if len(e.leaves) == 0 {
		t.Fatal("the tree has no leaves")
	}
	for cmd, l := range e.leaves {
		seen := map[string]bool{}
		for _, f := range cmd.Flags {
			for _, n := range f.Names() {
				if seen[n] {
					t.Errorf("%s: flag %s is there twice", cmd.Name, n)
				}
				seen[n] = true
			}
		}
		want := []string{"account", "a", "config", "server", "json", "quiet", "q", "verbose", "v", "timeout"}
		if l.changes {
			want = append(want, "dry-run")
		}
		if l.network != "" {
			want = append(want, "user", "password-fd", "ca-file")
		}
		for _, n := range want {
			if !seen[n] {
				t.Errorf("%s: no flag %s", cmd.Name, n)
			}
		}
		if seen["password-fd"] && l.network == "" {
			t.Errorf("%s: a local command has network flags", cmd.Name)
		}
	}
	if got := echoed(t, "echo", "-a", "work", "--json", "--dry-run", "-q", "-vv"); got != `v=2 q=true json=true dry=true a="work"` {
		t.Errorf("got %s", got)
	}
}

func TestExitCodeThroughWrapping(t *testing.T) {
	r := runWords(t, "wrapped")
	want := "mail: work: select \"a\\x1b[2J\": no such mailbox\n"
	if r.code != 66 || r.stderr != want || r.stdout != "" {
		t.Errorf("got %+v, want 66 and %q", r, want)
	}
	if r := runWords(t, "silent"); r != (result{code: 1}) {
		t.Errorf("silent: got %+v", r)
	}
}

func TestExitCodes(t *testing.T) {
	cases := map[string]struct {
		err  error
		want int
	}{
		"nil":         {nil, 0},
		"usage":       {usagef("x"), 64},
		"not found":   {notFoundf("x"), 66},
		"dns":         {&net.DNSError{IsNotFound: true}, 68},
		"dns later":   {&net.DNSError{IsTemporary: true}, 75},
		"refused":     {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, 75},
		"reset":       {syscall.ECONNRESET, 75},
		"eof":         {io.ErrUnexpectedEOF, 75},
		"closed":      {&wire.ClosedError{}, 75},
		"timeout":     {&wire.TimeoutError{}, 75},
		"deadline":    {context.DeadlineExceeded, 75},
		"protocol":    {&wire.ProtocolError{Msg: "x"}, 76},
		"line":        {wire.ErrLineTooLong, 76},
		"bare":        {wire.ErrBareLineEnd, 65},
		"tls":         {&wire.TLSError{Err: errors.New("x")}, 76},
		"tls pin":     {&wire.TLSError{Err: &wire.PinError{}}, 78},
		"tls cut":     {&wire.TLSError{Err: io.EOF}, 75},
		"no file":     {&fs.PathError{Op: "open", Err: syscall.ENOENT}, 66},
		"full":        {&fs.PathError{Op: "write", Err: syscall.ENOSPC}, 74},
		"mkdir":       {&fs.PathError{Op: "mkdir", Err: syscall.EACCES}, 73},
		"exists":      {&fs.PathError{Op: "open", Err: syscall.EEXIST}, 73},
		"stdout":      {&outputError{syscall.ENOSPC}, 74},
		"closed pipe": {&outputError{syscall.EPIPE}, 141},
		"signal":      {&signalError{syscall.SIGTERM}, 143},
		"joined":      {errors.Join(&wire.TimeoutError{}, notFoundf("x")), 66},
		"joined bad":  {errors.Join(&wire.ClosedError{}, &auth.Error{}), 77},
		"secret":      {&auth.SourceError{Err: fs.ErrNotExist}, 78},
		"config":      {&config.Error{}, 78},
		"auth":        {&auth.Error{Err: &smtp.Error{Code: 535}}, 77},
		"auth later":  {&auth.Error{Temp: true}, 75},
		"smtp 4yz":    {&smtp.Error{Code: 451}, 75},
		"smtp 5yz":    {&smtp.Error{Code: 554}, 69},
		"smtp limit":  {&smtp.LimitError{Name: "MAILMAX", Max: 1}, 75},
		"smtp cause":  {&smtp.Error{Cause: &wire.ProtocolError{Msg: "x"}}, 76},
		"lost reply":  {&smtp.UncertainError{Err: &wire.ProtocolError{Msg: "x"}}, 75},
		"lacks":       {&smtp.CapabilityError{}, 76},
		"body":        {&smtp.BodyError{}, 65},
		"some":        {&smtp.PartialError{}, 4},
		"nobody":      {&smtp.NoRecipientError{Refused: []smtp.RcptResult{{Err: &smtp.Error{Code: 550}}}}, 67},
		"nobody now":  {&smtp.NoRecipientError{Refused: []smtp.RcptResult{{Err: &smtp.Error{Code: 450}}}}, 75},
		"pop no such": {&pop3.Error{Command: "RETR"}, 66},
		"pop in use":  {&pop3.Error{Command: "PASS", Code: "IN-USE"}, 75},
		"pop refused": {&pop3.Error{Command: "STAT"}, 69},
		"pop halves":  {&pop3.PartialError{Done: []int{1}, Refused: []pop3.Refusal{{Number: 2, Err: &pop3.Error{}}}}, 3},
		"pop commit":  {&pop3.CommitError{Err: &wire.ClosedError{}}, 75},
		"imap no":     {&imap.Error{Status: "NO"}, 69},
		"imap bad":    {&imap.Error{Status: "BAD"}, 76},
		"imap bye":    {&imap.Error{Status: "BYE"}, 75},
		"no mailbox":  {&imap.Error{Status: "NO", Code: "NONEXISTENT"}, 66},
		"mailbox is":  {&imap.Error{Status: "NO", Code: "ALREADYEXISTS"}, 73},
		"not allowed": {&imap.Error{Status: "NO", Code: "NOPERM"}, 77},
		"in use":      {&imap.Error{Status: "NO", Code: "INUSE"}, 75},
		"grammar":     {&imapwire.SyntaxError{}, 76},
		"term":        {&imap.TermError{}, 64},
		"append lost": {&imap.UncertainError{Err: &imapwire.SyntaxError{}}, 75},
		"move lacks":  {&imap.NotExpungedError{}, 3},
		"imap lacks":  {&imap.CapabilityError{}, 76},
		"message":     {&message.Error{}, 65},
		"destination": {&store.Error{}, 73},
		"too large":   {&mimetree.LimitError{}, 65},
		"empty draft": {mimetree.ErrEmptyDraft, 64},
		"argument":    {&wire.ArgumentError{}, 65},
		"joined temp": {errors.Join(&wire.TimeoutError{}, &wire.ClosedError{}), 75},
		"unknown":     {errors.New("x"), 70},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("work (h:1): %w", c.err)} {
				if c.err == nil {
					err = nil
				}
				if got := exitCode(err); got != c.want {
					t.Errorf("%v: got %d, want %d", err, got, c.want)
				}
			}
		})
	}
}

func TestO6_PanicIsABug(t *testing.T) {
	r := runWords(t, "panic")
	if r.code != 70 || r.stdout != "" || !strings.Contains(r.stderr, `bad\x07state`) || !strings.Contains(r.stderr, "please report") ||
		!strings.Contains(r.stderr, "main_test") && !strings.Contains(r.stderr, "testTree") {
		t.Errorf("got %+v", r)
	}
	if n := strings.Count(r.stderr, "\n"); n != 2 {
		t.Errorf("%d lines, want 2: no stack trace", n)
	}
}

func TestSignalWins(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	e, stdout, stderr := testEnv("")
	e.tree = func(e *env) []*cli.Command {
		return []*cli.Command{e.leaf(leaf{name: "wait", usage: "wait", run: func(ctx context.Context, c *call) error {
			cancel(&signalError{syscall.SIGINT})
			<-ctx.Done()
			return fmt.Errorf("work (h:1): fetch: %w", ctx.Err())
		}})}
	}
	code := run(ctx, e, []string{"mail", "wait"})
	if code != 130 || stdout.Len() != 0 || stderr.Len() != 0 {
		t.Errorf("got %d %q %q, want 130 and silence", code, stdout, stderr)
	}
}

func TestTerminalWhereDataWasExpected(t *testing.T) {
	e, stdout, stderr := testEnv("")
	e.tree, e.stdinTTY = testTree, true
	code := run(context.Background(), e, []string{"mail", "read"})
	if code != 64 || stdout.Len() != 0 || !strings.Contains(stderr.String(), "a message is expected on standard input") {
		t.Errorf("got %d %q %q", code, stdout, stderr)
	}
}

func TestHelp(t *testing.T) {
	cases := map[string]struct {
		words []string
		want  []string
	}{
		"program":        {[]string{"--help"}, []string{"mail - the whole", "COMMANDS", "  echo"}},
		"short":          {[]string{"-h"}, []string{"mail - the whole"}},
		"leaf":           {[]string{"echo", "--help"}, []string{"mail echo - print", "-s, --subject SUBJECT", "--to ADDRESS", "--dry-run"}},
		"leaf, late":     {[]string{"box", "one", "x", "-h"}, []string{"mail box one - take", "[OPTION…] NAME"}},
		"group":          {[]string{"box", "--help"}, []string{"mail box - boxes", "  none"}},
		"group's help":   {[]string{"box", "help", "one"}, []string{"mail box one - take"}},
		"help command":   {[]string{"help", "box", "one"}, []string{"mail box one - take"}},
		"help":           {[]string{"help"}, []string{"mail - the whole"}},
		"help of itself": {[]string{"help", "--help"}, []string{"mail help - show"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := runWords(t, c.words...)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("mail %q: got %+v", c.words, r)
			}
			for _, w := range append(c.want, "EXIT STATUS\n  0   done\n") {
				if !strings.Contains(r.stdout, w) {
					t.Errorf("mail %q: no %q in\n%s", c.words, w, r.stdout)
				}
			}
			if i := strings.Index(r.stdout, "EXIT STATUS"); strings.Contains(r.stdout[i:], "OPTIONS") {
				t.Errorf("mail %q: the exit status is not at the end", c.words)
			}
			for _, line := range strings.Split(r.stdout, "\n") {
				if len([]rune(line)) > helpWidth {
					t.Errorf("line of %d columns: %s", len([]rune(line)), line)
				}
			}
		})
	}
	if r := runWords(t, "--version"); r.code != 0 || r.stdout != "mail "+version+"\n" {
		t.Errorf("--version: got %+v", r)
	}
}

func TestTarget(t *testing.T) {
	var label string
	tree := func(e *env) []*cli.Command {
		return []*cli.Command{e.leaf(leaf{name: "where", usage: "where", network: wire.IMAP,
			run: func(_ context.Context, c *call) error {
				target, err := c.target(wire.IMAP)
				if err != nil {
					return err
				}
				label = target.Label()
				if (target.Wire.Trace != nil) != (c.verbose > 0) {
					t.Error("the trace does not follow -v")
				}
				return c.label(target, &wire.ClosedError{})
			}})}
	}
	cases := map[string]struct {
		words []string
		code  int
		want  string
	}{
		"server":     {[]string{"where", "--server", "imaps://alice@imap.example.org", "-v"}, 75, "mail: imap.example.org:993: connection closed"},
		"no account": {[]string{"where", "--config", "/nonexistent/mail.toml", "-a", "work"}, 78, "mail: /nonexistent/mail.toml: "},
	}
	for name, c := range cases {
		e, stdout, stderr := testEnv("")
		e.tree = tree
		code := run(context.Background(), e, append([]string{"mail"}, c.words...))
		if code != c.code || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), c.want) {
			t.Errorf("%s: got %d %q, want %d %q", name, code, stderr, c.code, c.want)
		}
	}
	if label != "imap.example.org:993" {
		t.Errorf("label %q", label)
	}
}

// TestHelpOfEveryCommand looks at the whole tree.
func TestHelpOfEveryCommand(t *testing.T) {
	tree, _, _ := testEnv("")
	tree.grow()
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			words := append(slices.Clone(path), c.Name)
			checkHelp(t, words, c)
			walk(words, c.Subcommands)
		}
	}
	walk(nil, tree.root)
}

func checkHelp(t *testing.T, words []string, c *cli.Command) {
	t.Helper()
	e, stdout, stderr := testEnv("")
	code := run(context.Background(), e, append(append([]string{"mail"}, words...), "--help"))
	text := stdout.String()
	if code != 0 || stderr.Len() > 0 {
		t.Errorf("%v: got %d, %s", words, code, stderr)
	}
	i := strings.LastIndex(text, "\n\n")
	if !strings.HasPrefix(text[max(i, 0):], "\n\nEXIT STATUS\n") {
		t.Errorf("%v: the help does not end with the exit status", words)
	}
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(line)) > helpWidth {
			t.Errorf("%v: a line of %d columns: %s", words, len([]rune(line)), line)
		}
	}
	usages := map[string]string{"the command": c.Usage}
	for _, f := range c.Flags {
		d, _ := f.(cli.DocGenerationFlag)
		usages["--"+f.Names()[0]] = d.GetUsage()
	}
	for what, usage := range usages {
		if usage == "" || strings.HasSuffix(usage, ".") || strings.ToLower(usage[:1]) != usage[:1] && strings.ToUpper(usage[:2]) != usage[:2] {
			t.Errorf("%v: %s: usage %q is to be a phrase, lower case, no full stop", words, what, usage)
		}
	}
}

// FuzzParse holds that any words are either refused or turned into words that mean the same when parsed again.
func FuzzParse(f *testing.F) {
	f.Add("echo\x00-vs\x00a\x00b\x00--\x00-c")
	f.Add("box\x00one\x00--account=x\x00-\x00-q")
	f.Add("--help\x00-s")
	f.Fuzz(func(t *testing.T, joined string) {
		e, _, _ := testEnv("")
		e.tree = testTree
		e.grow()
		first, err := parse(e.root, e.leaves, append([]string{"mail"}, strings.Split(joined, "\x00")...))
		if err != nil {
			if exitCode(err) != exitUsage {
				t.Fatalf("%v is no usage error", err)
			}
			return
		}
		if first.help || first.version {
			return
		}
		words := wordsOf(first)
		second, err := parse(e.root, e.leaves, words)
		if err != nil || !slices.Equal(wordsOf(second), words) {
			t.Fatalf("%q becomes %q, then %v (%v)", joined, words, second, err)
		}
	})
}

// wordsOf writes a command line in one way only.
func wordsOf(p *parsed) []string {
	words := append([]string{"mail"}, strings.Fields(pathName(p.path))...)
	for _, o := range p.options {
		words = append(words, o.flag.dashed()+"="+o.value)
	}
	return append(append(words, "--"), p.operands...)
}
