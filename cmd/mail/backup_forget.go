package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
)

// maxKept is more snapshots than anybody has.
const maxKept = 1 << 20

type backupForgetOptions struct {
	backup.ForgetPolicy
	prune bool
}

// backupForgetCommand is `mail backup forget`.
func (e *env) backupForgetCommand() *cli.Command {
	o := &backupForgetOptions{}
	return e.leaf(leaf{
		name:  "forget",
		usage: "forget snapshots, and remove what only they had",
		about: "Forgets the snapshots named, or with --keep-… all that none of these keeps, and prints each snapshot with keep or forget in " +
			"front. --keep-daily 7 keeps the last snapshot of each of the last seven days that have one; the others likewise. What is on the " +
			"server is always kept.\n\n" +
			"The messages that only forgotten snapshots had stay on disk until `mail backup prune`, or --prune, removes them.\n\n" + backupSnapshotHelp,
		args:    "DIR [SNAPSHOT…]",
		minArgs: 1,
		maxArgs: -1,
		changes: true,
		flags: []cli.Flag{
			countFlag("keep-last", "keep the last `N` snapshots", maxKept, &o.KeepLast),
			countFlag("keep-hourly", "keep the last one of each of `N` hours", maxKept, &o.KeepHourly),
			countFlag("keep-daily", "keep the last one of each of `N` days", maxKept, &o.KeepDaily),
			countFlag("keep-weekly", "keep the last one of each of `N` weeks", maxKept, &o.KeepWeekly),
			countFlag("keep-monthly", "keep the last one of each of `N` months", maxKept, &o.KeepMonthly),
			countFlag("keep-yearly", "keep the last one of each of `N` years", maxKept, &o.KeepYearly),
			ageFlag("keep-within", "keep those of the last `AGE`, such as 48h, 14d or 8w", &o.KeepWithin),
			&cli.BoolFlag{Name: "prune", Usage: "remove what no snapshot has any more", Destination: &o.prune},
		},
		run: func(ctx context.Context, c *call) error { return c.backupForget(ctx, *o) },
	})
}

// ageFlag is an age as search terms have it.
func ageFlag(name, usage string, dest *time.Duration) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		if s == "" {
			return fmt.Errorf("not an age like 48h, 14d or 8w")
		}
		age, err := parseAge(s)
		if err == nil {
			*dest = age
		}
		return err
	}}}
}

func (c *call) backupForget(ctx context.Context, o backupForgetOptions) (err error) {
	o.IDs = c.args[1:]
	kept := o.KeepLast + o.KeepHourly + o.KeepDaily + o.KeepWeekly + o.KeepMonthly + o.KeepYearly
	switch rules := kept > 0 || o.KeepWithin > 0; {
	case rules && len(o.IDs) > 0:
		return usagef("snapshots are named, or chosen by --keep-…, not both")
	case !rules && len(o.IDs) == 0:
		return usagef("nothing says which snapshots to forget: name them, or give --keep-daily or the like")
	}
	r, err := c.openBackup(!c.dryRun)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	keep, removed, err := r.Forget(o.ForgetPolicy, c.dryRun)
	if err != nil {
		return err
	}
	for _, s := range keep {
		if err := c.printSnapshot(s, "keep"); err != nil {
			return err
		}
	}
	for _, s := range removed {
		if err := c.printSnapshot(s, "forget"); err != nil {
			return err
		}
	}
	if !o.prune || c.dryRun {
		return nil
	}
	return c.prune(ctx, r)
}
