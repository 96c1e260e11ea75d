package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
)

// backupRepairCommand is `mail backup repair`.
func (e *env) backupRepairCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "repair",
		usage: "make the record of a backup fit to its files",
		about: "Reads all messages in DIR and makes the record fit to them: every line that is good is kept, and what is not recorded is taken from " +
			"the names of the files. A message whose file is gone is recorded no more, and a file that does not hold what its name says is " +
			"moved to .mail-backup/damaged, so that the next `mail backup run` fetches both again if the server has them; it compares everything " +
			"with the server. `mail backup verify` tells before what is wrong.",
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		run:     func(ctx context.Context, c *call) error { return c.backupRepair(ctx) },
	})
}

// backupRepaired is what a repair has done, in --json output.
type backupRepaired struct {
	BadLines  int `json:"badLines"`
	Mailboxes int `json:"mailboxes"`
	Rebuilt   int `json:"rebuilt"`
	Lost      int `json:"missingMessages"`
	Damaged   int `json:"damaged"`
}

func (c *call) backupRepair(ctx context.Context) (err error) {
	r, err := c.openBackup(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	done, err := r.Repair(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(backupRepaired(done))
	}
	if done == (backup.RepairResult{}) {
		c.note("nothing was wrong")
		return nil
	}
	c.note("%d damaged lines dropped, %d mailboxes and %s recorded anew; %s missing, %d damaged files put aside", done.BadLines, done.Mailboxes,
		boxCount(done.Rebuilt), boxCount(done.Lost), done.Damaged)
	return nil
}
