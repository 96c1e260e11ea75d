package main

import (
	"fmt"
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// call is one run of a leaf command: its operands and what the shared flags say.
type call struct {
	*env
	name       string // "imap fetch"
	args       []string
	json       bool
	quiet      bool
	dryRun     bool
	verbose    int
	timeout    time.Duration // 0: not given
	overrides  config.Overrides
	maxMessage int64 // octets of a message that is fetched; 0: the engines' default
	depth      int   // commands in flight at most; 0: the engine's default
	lines      *lines
}

// call gathers what was parsed.
func (s *sharedFlags) call(e *env) *call {
	return &call{
		env:     e,
		json:    s.json,
		quiet:   s.quiet,
		dryRun:  s.dryRun,
		verbose: max(s.verbose, 0), // the library counts one less for each alias of a flag that was not given
		timeout: s.timeout,
		lines:   newLines(e.stdout, e.stdoutTTY),
		overrides: config.Overrides{
			Account: s.account, ConfigFile: s.config, Server: s.server, User: s.user, CAFile: s.caFile, Auth: s.auth,
			PasswordFile: s.passwordFile, PasswordCommand: s.passwordCommand, PasswordFD: s.passwordFD,
			TokenCommand: s.tokenCommand, Pin: s.pin, Proxy: s.proxy, Timeout: s.timeout, NoInput: s.noInput,
			AllowCleartextPassword: s.allowCleartext, Getenv: e.getenv, OpenTTY: e.openTTY,
		},
	}
}

// input is standard input, where data is expected: what names it ("a message"). A terminal there is an error with one
// line of help, not silence.
func (c *call) input(what string) (io.Reader, error) {
	if c.stdinTTY {
		return nil, &usageError{
			msg:  fmt.Sprintf("%s is expected on standard input, which is a terminal", what),
			hint: fmt.Sprintf("write `mail %s … <FILE`, or pipe the output of another command into it", c.name),
		}
	}
	return c.stdin, nil
}

// target finds the server for a protocol, and how to log in, from flags, environment and configuration. What -v asks
// for is set up in its Wire.
func (c *call) target(p wire.Protocol) (*config.Target, error) {
	t, err := config.Resolve(p, c.overrides)
	if err != nil {
		return nil, err
	}
	t.Wire.Trace = c.trace()
	t.Wire.TunnelStderr = c.stderr
	return t, nil
}

// accountTarget finds a server of the account, or with account "" the one that the environment names, whatever
// --server says about another protocol.
func (c *call) accountTarget(account string, p wire.Protocol) (*config.Target, error) {
	other := *c
	other.overrides.Server = ""
	if account != "" {
		other.overrides.Account = account
	}
	return other.loginTarget(p)
}

// loginTarget is target for a protocol without anonymous use: a user must be known. A tunnel may end at a server that
// asks for no login.
func (c *call) loginTarget(p wire.Protocol) (*config.Target, error) {
	t, err := c.target(p)
	if err != nil {
		return nil, err
	}
	if t.Credentials.User == "" && len(t.Wire.Tunnel) == 0 {
		return nil, &config.Error{
			Msg:  "no user name for " + t.Label(),
			Hint: fmt.Sprintf("give one by --user, MAIL_USER, or in the URL: %ss://USER@%s", p, t.Endpoint.Host),
		}
	}
	return t, nil
}

// label puts the account and the server in front of an error: `work (imap.example.org:993): `.
func (c *call) label(t *config.Target, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", t.Label(), err)
}

// note writes words to standard error; -q silences it.
func (c *call) note(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.stderr, "mail: %s\n", escapeText(fmt.Sprintf(format, args...)))
	}
}

// row prints one line of columns: separated by tabs, with control characters escaped; aligned on a terminal.
func (c *call) row(columns ...string) error { return c.lines.row(columns...) }

// printJSON prints v as one line.
func (c *call) printJSON(v any) error { return c.lines.json(v) }

// flush writes out the rows and objects printed so far. The end of the command does it too; a command that prints
// events as they come, or that writes to c.stdout after printing rows, must do it itself.
func (c *call) flush() error { return c.lines.flush() }

// text makes s fit for one line on standard output: on a terminal its control characters become visible escapes.
func (c *call) text(s string) string {
	if c.stdoutTTY {
		return escapeText(s)
	}
	return s
}

// errText makes s fit for one line on standard error, terminal or not: logs are looked at on terminals too.
func (c *call) errText(s string) string { return escapeText(s) }

// trace gives the function that shows a conversation as -v asks: once, remarks and our lines; twice, the server's
// lines; three times, the octets of messages. It is nil without -v.
func (c *call) trace() wire.TraceFunc {
	if c.verbose == 0 {
		return nil
	}
	marks := [...]string{wire.TraceNote: "*", wire.TraceCommand: "C:", wire.TraceReply: "S:", wire.TraceData: "|"}
	least := [...]int{wire.TraceNote: 1, wire.TraceCommand: 1, wire.TraceReply: 2, wire.TraceData: 3}
	return func(kind wire.TraceKind, text []byte) {
		if int(kind) < len(least) && c.verbose >= least[kind] {
			fmt.Fprintf(c.stderr, "mail: %s %s\n", marks[kind], escapeText(string(text)))
		}
	}
}
