package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type backupRunOptions struct {
	mailboxes        cli.StringSlice
	connections      int // 0: not given
	format           string
	budget           int64 // 0: none
	full, pop        bool
	accounts, master string
	shard            shard
	maxMessage       int64
}

// From manyMessages on, garbage is at most so many percent of what is in use. Most of that is the index of what is
// stored then, which has no pointers: to collect often costs little.
const (
	manyMessages  = 100_000
	backupGarbage = 10
)

// maxBackupConnections is more than servers allow.
const maxBackupConnections = 64

// backupRunCommand is `mail backup run`.
func (e *env) backupRunCommand() *cli.Command {
	o := &backupRunOptions{}
	return e.leaf(leaf{
		name:  "run",
		usage: "store what is new in an account",
		about: "Stores all mailboxes of an IMAP account in DIR, which is made if it is missing: a Maildir for each, that other programs can " +
			"read, with a record of flags and dates. Only what is new or has changed is fetched. What is deleted on the server stays, and " +
			"each run leaves a snapshot of what there was; see `mail backup forget`. With --pop it is a POP3 maildrop.\n\n" +
			"Nothing is recorded before it is safely on disk: a run that is interrupted, at any moment, is completed by the next one.\n\n" +
			"At its end a receipt is printed: for each mailbox, how many messages the server has, how many of them are stored, how many are " +
			"new, are links to a message that was stored already, are gone from the server; and each message that is missing, with the " +
			"reason. Status 0 means that nothing is missing, 3 that something is. A mailbox or message that fails does not stop the " +
			"others. Status 75 means that another run is at work in DIR, that the connection was lost or the server asks to wait for " +
			"long, or that the --budget of the day is used up; what came is stored.\n\n" +
			"With --accounts, every account in FILE is stored in a directory of its own in DIR. One that fails does not stop the others; the " +
			"status is that of the worst.\n\n" + backupPatternHelp,
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		exits:   []int{exitIncomplete, exitCreate},
		network: wire.IMAP,
		flags: []cli.Flag{
			patternFlag(&o.mailboxes),
			connectionsFlag(&o.connections),
			choiceFlag("format", "store messages as `FORMAT`: maildir (default), eml or mbox, when DIR is new", &o.format, backup.FormatMaildir, backup.FormatEML, backup.FormatMbox),
			sizeFlag("budget", "fetch at most `SIZE` in a day, such as 2G", &o.budget),
			&cli.BoolFlag{Name: "full", Usage: "compare every flag and UID, whatever the server says about changes", Destination: &o.full},
			&cli.BoolFlag{Name: "pop", Usage: "store a POP3 maildrop", Destination: &o.pop},
			&cli.StringFlag{Name: "accounts", Usage: "store all accounts in `FILE`: CSV or JSON Lines, - for standard input", Destination: &o.accounts},
			&cli.StringFlag{Name: "master", Usage: "with --accounts, log in as `USER` and act as each account", Destination: &o.master},
			shardFlag(&o.shard),
			maxMessageFlag(&o.maxMessage),
		},
		run: func(ctx context.Context, c *call) error {
			c.maxMessage = o.maxMessage
			return c.backupRun(ctx, o)
		},
	})
}

// connectionsFlag is -j.
func connectionsFlag(dest *int) cli.Flag {
	return &cli.GenericFlag{Name: "j", Usage: "use `N` connections (default: 4)", Value: &value{set: func(s string) error {
		err := countFlag("j", "", maxBackupConnections, dest).(*cli.GenericFlag).Value.Set(s)
		if err == nil && *dest == 0 {
			err = fmt.Errorf("not a number from 1 to %d", maxBackupConnections)
		}
		return err
	}}}
}

func (o *backupRunOptions) check() error {
	switch {
	case o.accounts == "" && (o.master != "" || o.shard.of > 0):
		return usagef("--master and --shard go with --accounts")
	case o.pop && (len(o.mailboxes.Value()) > 0 || o.connections > 0 || o.full):
		return usagef("a POP3 maildrop has one mailbox without flags: --pop goes with none of --mailbox, -j and --full")
	}
	return nil
}

func (o *backupRunOptions) protocol() wire.Protocol {
	if o.pop {
		return wire.POP3
	}
	return wire.IMAP
}

func (c *call) backupRun(ctx context.Context, o *backupRunOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	one := *c
	one.env = c.env.concurrent()
	b := &backupRun{call: &one, o: o, dir: c.args[0]}
	if o.accounts != "" {
		return b.many(ctx)
	}
	return b.run(ctx)
}

// backupRun is the backup of one account.
type backupRun struct {
	*call
	o       *backupRunOptions
	dir     string
	account string // name in a list; "" without one
	authzid string // whom a master acts as
	shared  *auth.Source
	bar     *progress
}

// many backs up the accounts of a list, one after another.
func (b *backupRun) many(ctx context.Context) error {
	list, err := b.openAccounts(b.o.accounts)
	if err != nil {
		return err
	}
	if !b.dryRun {
		if err := os.MkdirAll(b.dir, 0o700); err != nil {
			return err
		}
	}
	worst := exitOK
	var password auth.Source
	for _, a := range list {
		if !b.o.shard.has(a.name) {
			continue
		}
		one := b.of(a)
		if one.overrides.PasswordFD >= 0 || b.o.master != "" {
			one.shared = &password
		}
		err := one.run(ctx)
		var output *outputError
		if ctx.Err() != nil || errors.As(err, &output) {
			return err
		}
		if err != nil {
			b.report(fmt.Errorf("%s: %w", a.name, err))
			worst = worseCode(worst, exitCode(err))
		}
	}
	if worst != exitOK {
		return silent(worst)
	}
	return nil
}

// worseCode is the worse one of two exit codes: one that a retry will not mend, then something missing, then one that a retry
// may mend. Of equals the first stays.
func worseCode(a, b int) int {
	rank := func(code int) int {
		switch code {
		case exitOK:
			return 0
		case exitTemporary:
			return 1
		case exitIncomplete:
			return 2
		}
		return 3
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// of is the backup of one account of a list.
func (b *backupRun) of(a listedAccount) *backupRun {
	c := *b.call
	one := &backupRun{call: &c, o: b.o, dir: filepath.Join(b.dir, accountFolder(a.name)), account: a.name}
	o := &c.overrides
	if o.User = a.user; b.o.master != "" {
		o.User, one.authzid = b.o.master, a.user
	}
	if url := a.server(b.o.protocol()); url != "" {
		o.Server, o.Account = url, ""
	}
	if a.passwordFile+a.passwordCommand+a.tokenCommand != "" {
		o.PasswordFile, o.PasswordCommand, o.TokenCommand, o.PasswordFD = a.passwordFile, a.passwordCommand, a.tokenCommand, -1
	}
	return one
}

// run backs the account up and prints the receipt.
func (b *backupRun) run(ctx context.Context) error {
	server, err := b.newBackupServer(b.o.protocol())
	if err != nil {
		return err
	}
	if b.authzid != "" {
		server.target.Credentials.Authzid = b.authzid
	}
	server.share(b.shared)
	repo, forget, err := b.openRun()
	if err != nil {
		return err
	}
	defer forget()
	receipt, err := b.backup(ctx, repo, server)
	b.bar.clear()
	if err != nil {
		err = server.label(err)
	}
	if receipt != nil {
		if err == nil {
			err = b.incomplete(receipt)
		}
		err = errors.Join(err, b.printReceipt(receipt), b.flush())
	}
	return errors.Join(err, repo.Close())
}

// share makes the password that of the account before, which has been asked for, or leaves it to the next one.
func (s *backupServer) share(password *auth.Source) {
	switch {
	case password == nil:
	case *password == nil:
		*password = s.target.Credentials.Password
	default:
		s.target.Credentials.Password = *password
	}
}

// openRun opens the backup, or makes it. A dry run without one has an empty one elsewhere, which forget removes.
func (b *backupRun) openRun() (repo *backup.Repo, forget func(), err error) {
	dir, forget := b.dir, func() {}
	o := backup.OpenOptions{Create: &backup.Settings{Format: b.o.format}, Write: true}
	if b.dryRun {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			repo, err = backup.Open(dir, backup.OpenOptions{Write: true})
			return repo, forget, noBackup(err)
		}
		if dir, err = os.MkdirTemp("", "mail-backup-"); err != nil {
			return nil, nil, err
		}
		forget = func() { _ = os.RemoveAll(dir) }
	}
	repo, err = backup.Open(dir, o)
	if err != nil {
		forget()
	}
	return repo, forget, err
}

func (b *backupRun) backup(ctx context.Context, repo *backup.Repo, server *backupServer) (*backup.Receipt, error) {
	if f := repo.Settings().Format; b.o.format != "" && f != b.o.format {
		return nil, usagef("%s is of the format %s, not %s", b.dir, f, b.o.format)
	}
	b.bar = b.newProgress("backing up", -1)
	if b.o.pop { // its listing is in memory
		debug.SetGCPercent(backupGarbage)
		return repo.RunPOP(ctx, backup.POPOptions{Dial: server.pop, Budget: b.o.budget, DryRun: b.dryRun, Event: b.event})
	}
	return repo.Run(ctx, backup.RunOptions{
		Dial: server.imap, Connections: b.o.connections, Patterns: b.o.mailboxes.Value(), Budget: b.o.budget, Full: b.o.full,
		DryRun: b.dryRun, Event: b.event,
	})
}

// event shows what happens.
func (b *backupRun) event(e backup.Event) {
	o := backupEvent{Event: string(e.Kind), Account: valid(b.account), DryRun: b.dryRun}
	switch e.Kind {
	case backup.EventPlan:
		if e.Total >= manyMessages {
			debug.SetGCPercent(backupGarbage)
		}
		return
	case backup.EventMessage:
		b.bar.expect(e.TotalBytes, e.Total)
		b.bar.add(int(e.Bytes))
		b.bar.message()
		return
	case backup.EventWait:
		o.Seconds = e.Wait.Seconds()
		if e.Err != nil {
			o.Error = valid(e.Err.Error())
		}
		b.say("%s", waitText(e.Wait, e.Err))
	case backup.EventWarning:
		o.Text = valid(e.Text)
		b.say("%s", e.Text)
	default:
		return
	}
	if b.json {
		_ = b.printJSON(o) // the error of the stream stays
		_ = b.flush()
	}
}

// waitText tells of a pause.
func waitText(pause time.Duration, why error) string {
	text := "waiting " + pause.Round(time.Millisecond).String()
	if why != nil {
		text += ": " + why.Error()
	}
	return text
}

// say writes words beside the progress bar.
func (b *backupRun) say(format string, args ...any) {
	b.bar.clear()
	text := fmt.Sprintf(format, args...)
	if b.account != "" {
		text = b.account + ": " + text
	}
	b.note("%s", text)
}
