package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
)

// backupDiffCommand is `mail backup diff`.
func (e *env) backupDiffCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "diff",
		usage: "tell what is different between two snapshots",
		about: "Prints one line for each message that is in one of two snapshots only, or has other flags: added, removed or flags, then " +
			"mailbox, UID (of POP3, the id), size, date and flags as they are in B. Without B, A is compared with what the last run has " +
			"found. Status 1 means that there is no difference.\n\n" + backupSnapshotHelp,
		args:    "DIR A [B]",
		minArgs: 2,
		maxArgs: 3,
		exits:   []int{exitNo},
		run:     func(ctx context.Context, c *call) error { return c.backupDiff(ctx) },
	})
}

func (c *call) backupDiff(ctx context.Context) (err error) {
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	to := ""
	if len(c.args) > 2 {
		to = c.args[2]
	}
	found := false
	for change, err := range r.Diff(c.args[1], to) {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		found = true
		if err := c.printChange(change); err != nil {
			return err
		}
	}
	if !found {
		return silent(exitNo)
	}
	return nil
}

func (c *call) printChange(change backup.Change) error {
	if c.json {
		o := newBackupMessage(change.Message, "")
		o.Change = string(change.Kind)
		return c.printJSON(o)
	}
	return c.row(append([]string{string(change.Kind)}, backupColumns(change.Message)...)...)
}
