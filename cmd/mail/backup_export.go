package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
)

type backupExportOptions struct {
	backupSelection
	format string
}

// backupExportCommand is `mail backup export`.
func (e *env) backupExportCommand() *cli.Command {
	o := &backupExportOptions{format: backup.ExportMbox}
	return e.leaf(leaf{
		name:  "export",
		usage: "write the messages of a backup to standard output",
		about: "Writes the messages in DIR as an mboxrd stream, with their flags in the `From ` lines, or as a tar archive: unpacked, each " +
			"mailbox is a Maildir, with flags, keywords (26 of each mailbox, as Dovecot has them) and dates. The same snapshot always gives the same octets. Status 66 means that there was nothing to write, 3 that " +
			"some messages are damaged or missing, and were left out.\n\n" +
			backupSelectionHelp + " " + backupSnapshotHelp + " " + backupPatternHelp,
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		exits:   []int{exitIncomplete},
		flags: append([]cli.Flag{
			choiceFlag("format", "write `FORMAT`: mbox (default), tar or tar.zst", &o.format, backup.ExportMbox, backup.ExportTar, backup.ExportTarZst),
		}, o.flags(e)...),
		run: func(ctx context.Context, c *call) error { return c.backupExport(ctx, o) },
	})
}

func (c *call) backupExport(ctx context.Context, o *backupExportOptions) (err error) {
	if c.stdoutTTY && o.format != backup.ExportMbox {
		return &usageError{msg: "an archive is not written to a terminal", hint: "write `mail backup export … >FILE`"}
	}
	selection, err := o.selection(c.now())
	if err != nil {
		return err
	}
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	done, err := r.Export(ctx, c.stdout, backup.ExportOptions{Selection: selection, Format: o.format})
	for _, m := range done.Missing {
		c.note("%s: %v", m.File, m.Err)
	}
	switch {
	case err != nil:
		return err
	case done.Failed > 0:
		return codef(exitIncomplete, "%s left out", boxCount(done.Failed))
	case done.Messages == 0:
		return notFoundf("there is no such message")
	}
	return nil
}
