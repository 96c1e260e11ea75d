package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/server"
)

// drainTime is how long sessions may go on after the end was asked for.
const drainTime = 10 * time.Second

// serveOptions are the flags of `mail serve`.
type serveOptions struct {
	smtp, smtps, lmtp, pop3, pop3s, imap, imaps string
	dir, caOut, script, persona, command        string
	users, domains, without                     cli.StringSlice
	readyFD                                     int
	once, allowRemote, allowCleartext           bool
	lasts                                       time.Duration
	maxMessage                                  int64
}

// serveCommand is `mail serve`, which has `mail serve wait` below it.
func (e *env) serveCommand() *cli.Command {
	o := &serveOptions{}
	wait := e.serveWaitCommand()
	cmd := e.leaf(leaf{
		name:  "serve",
		usage: "run a mail system for tests and demonstrations",
		about: "Serves SMTP, LMTP, POP3 and IMAP on this machine, with STARTTLS and with TLS from the start, until a signal " +
			"comes. Once all of them listen, one line of JSON is printed: the address of each (smtp, smtps, lmtp, pop3, pop3s, " +
			"imap, imaps), user, password and token of the first user, and ca, the file with the certificate that clients have " +
			"to trust.\n\n" +
			"Mail is kept in memory, or with --dir in Maildirs, on disk before it is acknowledged. What is addressed to nobody " +
			"goes to the first user; nothing leaves this machine.\n\n" +
			"Each address is 127.0.0.1 and a free port unless told otherwise: ADDR is HOST:PORT, :PORT on 127.0.0.1, the path " +
			"of a unix socket, or off.\n\n" +
			"With --exec, a command is run with MAIL_SMTP, MAIL_POP, MAIL_IMAP, MAIL_USER, MAIL_PASSWORD, MAIL_CA and MAIL_FROM " +
			"set, so that mail in it works without a configuration; its status is that of `mail serve`. A signal ends the " +
			"command by TERM, and the status is 128 and the signal's number.\n\n" +
			"TERM and HUP let the sessions finish what they are doing, and end with status 0; INT does too, and ends with 130. " +
			"A second signal ends at once. Status 75 means that another process works on the directory or has the port.\n\n" +
			"`mail serve wait` waits for a message.",
		flags: o.flags(),
		offers: func(_ *env, before []string) []candidate {
			if len(before) > 0 {
				return nil
			}
			return commandCandidates([]*cli.Command{wait})
		},
		run: func(ctx context.Context, c *call) error { return c.serve(ctx, o) },
	})
	cmd.Subcommands = []*cli.Command{wait}
	return cmd
}

func (o *serveOptions) flags() []cli.Flag {
	str := func(name, usage string, dest *string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Destination: dest}
	}
	many := func(name, usage string, dest *cli.StringSlice) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, Destination: dest}
	}
	return []cli.Flag{
		str("smtp", "serve SMTP with STARTTLS at `ADDR`", &o.smtp),
		str("smtps", "serve SMTP over TLS at `ADDR`", &o.smtps),
		str("lmtp", "serve LMTP at `ADDR`", &o.lmtp),
		str("pop3", "serve POP3 with STLS at `ADDR`", &o.pop3),
		str("pop3s", "serve POP3 over TLS at `ADDR`", &o.pop3s),
		str("imap", "serve IMAP with STARTTLS at `ADDR`", &o.imap),
		str("imaps", "serve IMAP over TLS at `ADDR`", &o.imaps),
		str("dir", "keep the mail in Maildirs under `DIR` instead of memory", &o.dir),
		many("user", "let `NAME:PASSWORD` log in; without it, test with a random password", &o.users),
		many("domain", "take mail for `DOMAIN` only; without it, for any", &o.domains),
		str("ca-out", "write the certificate to trust into `FILE` and leave it there", &o.caOut),
		&cli.IntFlag{Name: "ready-fd", Value: -1, DefaultText: " ", Destination: &o.readyFD,
			Usage: "write the JSON line to the open file descriptor `N` too, and close it"},
		str("exec", "run `COMMAND` by the shell, and end with it", &o.command),
		&cli.BoolFlag{Name: "once", Usage: "end when a client has come and none is left", Destination: &o.once},
		durationFlag("for", "end after `TIME`", &o.lasts, ""),
		str("script", "misbehave as the rules in `FILE` say", &o.script),
		str("persona", "behave like `NAME`: "+strings.Join(server.Personas(), ", "), &o.persona),
		many("without", "switch off the extensions in `LIST`: MOVE,PIPELINING,AUTH=PLAIN", &o.without),
		sizeFlag("max-message", "refuse a message of more than `SIZE`, such as 2G (default: 256M)", &o.maxMessage),
		&cli.BoolFlag{Name: "allow-remote", Usage: "listen where others than this machine can connect", Destination: &o.allowRemote},
		&cli.BoolFlag{Name: "allow-cleartext-login", Usage: "take passwords without TLS", Destination: &o.allowCleartext},
	}
}

// served is a running server and what a client has to know of it: the JSON line.
type served struct {
	SMTP     string `json:"smtp,omitempty"`
	SMTPS    string `json:"smtps,omitempty"`
	LMTP     string `json:"lmtp,omitempty"`
	POP3     string `json:"pop3,omitempty"`
	POP3S    string `json:"pop3s,omitempty"`
	IMAP     string `json:"imap,omitempty"`
	IMAPS    string `json:"imaps,omitempty"`
	User     string `json:"user"`
	Password string `json:"password"`
	Token    string `json:"token"`
	CA       string `json:"ca"`

	from string
	srv  *server.Server
}

// serve runs the server until something ends it. The context's end does not cut sessions: they are drained.
func (c *call) serve(ctx context.Context, o *serveOptions) (err error) {
	options, err := c.serveSettings(o)
	if err != nil {
		return err
	}
	if o.dir != "" {
		if options.Store, err = server.OpenMaildir(o.dir); err != nil {
			if errors.Is(err, server.ErrStoreInUse) {
				err = codef(exitTemporary, "%s", err.Error()) // it wraps two errors, of which neither has a code
			}
			return err
		}
		defer func() {
			if e := options.Store.Close(); e != nil && err == nil {
				err = e
			}
		}()
	}
	srv, err := server.Start(context.WithoutCancel(ctx), *options)
	switch {
	case errors.Is(err, server.ErrNotLoopback):
		return &usageError{msg: err.Error(), hint: "others could connect there; say --allow-remote if that is wanted"}
	case err != nil:
		return err
	}
	defer srv.Close()
	ca, forget, err := serveCA(o.caOut, srv.CA())
	if err != nil {
		return err
	}
	defer forget()
	s := newServed(srv, options, ca)
	if err := c.serveReady(s, o); err != nil {
		return err
	}
	err = c.serveUntil(ctx, s, o)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if e := srv.Shutdown(drain); e != nil {
		c.note("sessions were cut after %v", drainTime)
	}
	return err
}

// newServed gathers the facts.
func newServed(srv *server.Server, o *server.Options, ca string) *served {
	first := o.Users[0]
	s := &served{
		SMTP: srv.Addr("smtp"), SMTPS: srv.Addr("smtps"), LMTP: srv.Addr("lmtp"), POP3: srv.Addr("pop3"), POP3S: srv.Addr("pop3s"),
		IMAP: srv.Addr("imap"), IMAPS: srv.Addr("imaps"),
		User: first.Name, Password: first.Password, Token: first.Token, CA: ca, from: first.Name, srv: srv,
	}
	if !strings.Contains(s.from, "@") {
		domain := "localhost"
		if len(o.Domains) > 0 {
			domain = o.Domains[0]
		}
		s.from += "@" + domain
	}
	return s
}

// serveSettings turns the flags into the server's options.
func (c *call) serveSettings(o *serveOptions) (*server.Options, error) {
	users, err := serveUsers(o.users.Value())
	if err != nil {
		return nil, err
	}
	if o.command != "" && o.once {
		return nil, usagef("--exec ends with the command: it does not go with --once")
	}
	out := &server.Options{
		Users: users, Domains: o.domains.Value(), AllowRemote: o.allowRemote, AllowCleartextLogin: o.allowCleartext, MaxMessage: o.maxMessage, Log: c.serveLog(),
	}
	for _, list := range o.without.Value() {
		for _, name := range strings.Split(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out.Without = append(out.Without, name)
			}
		}
	}
	on := false
	for _, l := range []struct {
		name, proto, given string
		to                 *string
	}{
		{"smtp", "smtp", o.smtp, &out.SMTP}, {"smtps", "smtp", o.smtps, &out.SMTPS}, {"lmtp", "lmtp", o.lmtp, &out.LMTP},
		{"pop3", "pop3", o.pop3, &out.POP3}, {"pop3s", "pop3", o.pop3s, &out.POP3S},
		{"imap", "imap", o.imap, &out.IMAP}, {"imaps", "imap", o.imaps, &out.IMAPS},
	} {
		if l.given == "" && !server.Serves(l.proto) {
			continue
		}
		if *l.to, err = serveAddress(l.given); err != nil {
			return nil, usagef("--%s: %v", l.name, err)
		}
		on = on || *l.to != ""
	}
	if !on {
		return nil, usagef("all of the addresses are off")
	}
	if err := o.readScript(out); err != nil {
		return nil, err
	}
	return out, o.impersonate(out)
}

// readScript takes the faults from a file.
func (o *serveOptions) readScript(out *server.Options) error {
	if o.script == "" {
		return nil
	}
	f, err := os.Open(o.script)
	if err != nil {
		return err
	}
	defer f.Close()
	faults, err := server.ParseScript(f)
	var bad *server.ScriptError
	switch {
	case errors.As(err, &bad):
		return codef(exitData, "%s: %w", o.script, err)
	case err != nil:
		return err
	}
	out.Faults = faults
	return nil
}

// impersonate takes on the quirks of a provider, beside those of the script.
func (o *serveOptions) impersonate(out *server.Options) error {
	if o.persona == "" {
		return nil
	}
	without, faults, err := server.Persona(o.persona)
	if err != nil {
		return usagef("--persona: %v", err)
	}
	out.Without = append(out.Without, without...)
	out.Faults = server.JoinFaults(out.Faults, faults)
	return nil
}

// serveAddress completes a listen address; "" is any free port, "off" is none.
func serveAddress(text string) (string, error) {
	switch {
	case text == "off":
		return "", nil
	case text == "":
		return "127.0.0.1:0", nil
	case strings.HasPrefix(text, "/"):
		return text, nil
	}
	host, port, err := net.SplitHostPort(text)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n > 65535 {
		return "", fmt.Errorf("%q is not HOST:PORT, :PORT, a path or off", text)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// serveUsers reads NAME:PASSWORD; each gets a token, and without any there is one called test.
func serveUsers(list []string) ([]server.User, error) {
	if len(list) == 0 {
		list = []string{"test:" + rand.Text()}
	}
	users := make([]server.User, 0, len(list))
	for _, text := range list {
		name, password, _ := strings.Cut(text, ":")
		if name == "" || password == "" {
			return nil, usagef("--user is NAME:PASSWORD, and neither is empty")
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, usagef("--user has a control character")
		}
		for _, u := range users {
			if u.Name == name {
				return nil, usagef("--user %s is there twice", name)
			}
		}
		users = append(users, server.User{Name: name, Password: password, Token: rand.Text()})
	}
	return users, nil
}

// serveLog is what -v shows of the sessions; nil without it.
func (c *call) serveLog() *slog.Logger {
	if c.verbose == 0 {
		return nil
	}
	level := slog.LevelInfo
	if c.verbose > 1 {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level}))
}

// serveCA writes the certificate into the file asked for, or into a new one that forget removes.
func serveCA(name string, pem []byte) (path string, forget func(), err error) {
	dir := ""
	if name != "" {
		dir = filepath.Dir(name)
	}
	f, err := os.CreateTemp(dir, "mail-serve-*.pem")
	if err != nil {
		return "", nil, err
	}
	forget = func() { _ = os.Remove(f.Name()) }
	_, err = f.Write(pem)
	err = errors.Join(err, f.Chmod(0o644), f.Close()) // it is no secret
	if err == nil && name != "" {
		err = os.Rename(f.Name(), name) // whole or not at all
	}
	switch {
	case err != nil:
		forget()
		return "", nil, err
	case name != "":
		return name, func() {}, nil
	}
	return f.Name(), forget, nil
}

// serveReady tells that the server listens. Standard output belongs to the command of --exec, if there is one.
func (c *call) serveReady(s *served, o *serveOptions) error {
	if o.readyFD >= 0 {
		f := os.NewFile(uintptr(o.readyFD), "descriptor "+strconv.Itoa(o.readyFD))
		if _, err := f.Stat(); err != nil {
			return usagef("--ready-fd %d is not open", o.readyFD)
		}
		out := newLines(f, false)
		err := errors.Join(out.json(s), out.flush())
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	if o.command != "" {
		return nil
	}
	if err := c.printJSON(s); err != nil {
		return err
	}
	return c.flush()
}

// serveUntil waits for the end: a signal, the time of --for, the last client with --once, or the command of --exec.
func (c *call) serveUntil(ctx context.Context, s *served, o *serveOptions) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if o.lasts > 0 {
		limited, cancel = context.WithTimeout(ctx, o.lasts)
	}
	defer cancel()
	switch {
	case o.command != "":
		return c.serveExec(limited, s, o.command)
	case o.once:
		_ = s.srv.WaitIdle(limited)
	default:
		<-limited.Done()
	}
	var signal *signalError
	switch err := context.Cause(ctx); {
	case err == nil: // --for or --once
		return nil
	case errors.As(err, &signal) && signal.signal != syscall.SIGINT:
		return nil
	default:
		return err
	}
}
