package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// backupCommand is `mail backup`.
func (e *env) backupCommand() *cli.Command {
	return e.group("backup", "back up mailboxes, prove that they are complete, put them back",
		e.backupRunCommand(),
		e.backupVerifyCommand(),
		e.backupListCommand(),
		e.backupDiffCommand(),
		e.backupRestoreCommand(),
		e.backupExportCommand(),
		e.backupForgetCommand(),
		e.backupPruneCommand(),
		e.backupRepairCommand(),
		e.backupSumsCommand(),
	)
}

// backupSnapshotHelp is the part of the help about naming snapshots.
const backupSnapshotHelp = "A snapshot is named by its id, by the beginning of it if no other begins so, or as latest."

// backupPatternHelp is the part of the help about choosing mailboxes.
const backupPatternHelp = "PATTERN is the name of a mailbox, in which `*` stands for anything and `%` for anything within one level; with `!` " +
	"in front, mailboxes that it fits are left out."

// patternFlag chooses mailboxes.
func patternFlag(dest *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{Name: "mailbox", Usage: "take only mailboxes that `PATTERN` fits", Destination: dest}
}

// openBackup opens the backup that the first operand names, for changes or only to read.
func (c *call) openBackup(write bool) (*backup.Repo, error) {
	r, err := backup.Open(c.args[0], backup.OpenOptions{Write: write})
	if err != nil {
		return r, noBackup(err)
	}
	if s := r.Snapshots(); len(s) == 0 || s[len(s)-1].Messages >= manyMessages {
		debug.SetGCPercent(backupGarbage)
	}
	return r, nil
}

// noBackup gives the error of a directory that is no backup its exit code.
func noBackup(err error) error {
	var bad *store.Error
	if errors.As(err, &bad) {
		return codef(exitNoInput, "%w", bad)
	}
	return err
}

// backupServer is the server of an account, to which several connections are made at once.
type backupServer struct {
	call   *call
	target *config.Target
}

// newBackupServer finds the server. A secret is asked for once.
func (c *call) newBackupServer(p wire.Protocol) (*backupServer, error) {
	one := *c
	one.env = c.env.concurrent()
	t, err := one.loginTarget(p)
	if err != nil {
		return nil, err
	}
	if t.Credentials.Password != nil {
		t.Credentials.Password = auth.Once(t.Credentials.Password)
	}
	return &backupServer{&one, t}, nil
}

// imap connects and logs in.
func (s *backupServer) imap(ctx context.Context) (*imap.Client, error) {
	return s.call.loginIMAP(ctx, s.target)
}

// pop connects and logs in.
func (s *backupServer) pop(ctx context.Context) (*pop3.Client, error) {
	return s.call.loginPOP(ctx, s.target)
}

// label puts the account and the server in front of an error that came from there.
func (s *backupServer) label(err error) error {
	for _, classify := range []func(error) int{authCode, popCode, imapCode, wireCode, networkCode} {
		if classify(err) != exitOK {
			return s.call.label(s.target, err)
		}
	}
	return err
}

// concurrent is the env with a standard error that several goroutines may write to.
func (e *env) concurrent() *env {
	safe := *e
	if _, ok := e.stderr.(*lockedWriter); !ok {
		safe.stderr = &lockedWriter{w: e.stderr}
	}
	return &safe
}

// lockedWriter lets one goroutine write at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
