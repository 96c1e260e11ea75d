package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
)

// backupPruneCommand is `mail backup prune`.
func (e *env) backupPruneCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "prune",
		usage: "remove messages that no snapshot has",
		about: "Removes the messages that no snapshot has and that the server did not have at the last run, and makes the record of them " +
			"smaller. Files that `mail backup` has not made stay. A run that is interrupted, at any moment, is completed by the next " +
			"command that changes DIR.",
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		run: func(ctx context.Context, c *call) (err error) {
			r, err := c.openBackup(!c.dryRun)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			return c.prune(ctx, r)
		},
	})
}

// backupPruned is what a prune has removed, in --json output.
type backupPruned struct {
	Messages int   `json:"messages"`
	Files    int   `json:"files"`
	Size     int64 `json:"size"`
	DryRun   bool  `json:"dryRun,omitempty"`
}

func (c *call) prune(ctx context.Context, r *backup.Repo) error {
	done, err := r.Prune(ctx, c.dryRun)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(backupPruned{done.Messages, done.Files, done.Size, c.dryRun})
	}
	word := "removed"
	if c.dryRun {
		word = "would remove"
	}
	c.note("%s %s: %d files, %s", word, boxCount(done.Messages), done.Files, octetText(done.Size))
	return nil
}
