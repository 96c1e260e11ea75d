package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"
)

// backupSumsCommand is `mail backup sums`.
func (e *env) backupSumsCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "sums",
		usage: "print the digests of all files of a backup, for sha256sum",
		about: "Prints the SHA-256 of every message in DIR and its file, relative to DIR, as `sha256sum -c` takes it. They are the digests " +
			"that were recorded when the messages were stored: the files are not read. Of a backup in mboxes it prints the digest of every mbox, " +
			"after it has compared each message in it with the recorded digest; an mbox in which one is missing or changed is an error.",
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		run:     func(ctx context.Context, c *call) error { return c.backupSums(ctx) },
	})
}

func (c *call) backupSums(ctx context.Context) (err error) {
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Sums(ctx, c.stdout)
}
