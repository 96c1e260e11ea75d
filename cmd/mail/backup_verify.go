package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type backupVerifyOptions struct {
	sample    float64 // 0: all
	server    bool
	mailboxes cli.StringSlice
}

// backupVerifyCommand is `mail backup verify`.
func (e *env) backupVerifyCommand() *cli.Command {
	o := &backupVerifyOptions{}
	return e.leaf(leaf{
		name:  "verify",
		usage: "prove that a backup is sound",
		about: "Reads every message in DIR and the record of them, and compares their digests. Prints one line for each thing that is " +
			"wrong: kind, mailbox, file, detail. Status 0 means that nothing is wrong, 3 that something is missing and all else is " +
			"sound, 65 that something is damaged. Files that nothing is recorded of, such as a run that was interrupted leaves, are " +
			"told of on standard error and are no damage.\n\n" +
			"With --against-server the server is compared with the record instead, and no file is read: one line for each mailbox tells how many " +
			"messages the server has and how many of those at the last run are stored, the UIDs that are on one side only, and how many " +
			"messages have other flags. Status 3 means that the server has messages that are not stored.",
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		exits:   []int{exitIncomplete},
		network: wire.IMAP,
		flags: []cli.Flag{
			percentFlag("sample", "read only that part of the messages, taken by chance: `5%`", &o.sample),
			&cli.BoolFlag{Name: "against-server", Usage: "compare with the server instead", Destination: &o.server},
			patternFlag(&o.mailboxes),
		},
		run: func(ctx context.Context, c *call) error { return c.backupVerify(ctx, o) },
	})
}

// percentFlag is a part in percent.
func percentFlag(name, usage string, dest *float64) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
		if err != nil || !(n > 0 && n <= 100) {
			return fmt.Errorf("not a part like 5%% or 0.5%%")
		}
		*dest = n / 100
		return nil
	}}}
}

func (c *call) backupVerify(ctx context.Context, o *backupVerifyOptions) (err error) {
	if !o.server && len(o.mailboxes.Value()) > 0 {
		return usagef("--mailbox goes with --against-server")
	}
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if o.server {
		return c.backupCompare(ctx, r, o.mailboxes.Value())
	}
	v := &backupVerifying{call: c, bar: c.newProgress("verifying", -1)}
	defer v.bar.clear()
	for problem, err := range r.Verify(ctx, backup.VerifyOptions{Sample: o.sample, Progress: v.progress}) {
		if err != nil {
			return err
		}
		if err := v.found(problem); err != nil {
			return err
		}
	}
	return v.result()
}

// backupVerifying counts what is wrong.
type backupVerifying struct {
	*call
	bar              *progress
	done             int64
	missing, damaged int
}

func (v *backupVerifying) progress(done, total int64) {
	v.bar.expect(total, 0)
	v.bar.add(int(done - v.done))
	v.done = done
}

// backupProblem is one problem in --json output.
type backupProblem struct {
	Kind    string `json:"kind"`
	Mailbox string `json:"mailbox,omitempty"`
	File    string `json:"file,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

func (v *backupVerifying) found(p backup.Problem) error {
	v.bar.clear()
	switch p.Kind {
	case backup.UnknownFile:
		if !v.json {
			v.note("%s: nothing is recorded of this file", p.File)
			return nil
		}
	case backup.MissingFile:
		v.missing++
	default:
		v.damaged++
	}
	if v.json {
		return v.printJSON(backupProblem{string(p.Kind), valid(p.Mailbox), valid(p.File), valid(p.Detail)})
	}
	return v.row(string(p.Kind), p.Mailbox, p.File, p.Detail)
}

func (v *backupVerifying) result() error {
	switch {
	case v.damaged > 0:
		return &coded{exitData, &damagedError{v.damaged, v.missing}}
	case v.missing > 0:
		return codef(exitIncomplete, "incomplete: %s missing", boxCount(v.missing))
	}
	return nil
}

// damagedError is a backup that is not as it was written.
type damagedError struct{ damaged, missing int }

func (e *damagedError) Error() string {
	return fmt.Sprintf("%d files or lines are damaged, %s missing", e.damaged, boxCount(e.missing))
}

// Hint is the next step for the user.
func (e *damagedError) Hint() string {
	return "`mail backup repair` puts damaged files aside, and `mail backup run` fetches again what the server has"
}

// backupCompared is one mailbox of --against-server in --json output.
type backupCompared struct {
	Mailbox     string `json:"mailbox"`
	Server      int    `json:"server"`
	Stored      int    `json:"stored"`
	NotStored   string `json:"notStored,omitempty"` // UIDs
	NotOnServer string `json:"notOnServer,omitempty"`
	Flags       int    `json:"otherFlags"` // messages
	Reset       bool   `json:"otherUids,omitempty"`
	NoMailbox   bool   `json:"noMailbox,omitempty"`
	Error       string `json:"error,omitempty"`
}

func (c *call) backupCompare(ctx context.Context, r *backup.Repo, patterns []string) error {
	server, err := c.newBackupServer(wire.IMAP)
	if err != nil {
		return err
	}
	list, err := r.CompareServer(ctx, server.imap, patterns)
	if err != nil {
		return server.label(err)
	}
	lost := 0
	for i := range list {
		d := &list[i]
		if d.Err != nil || d.Reset || !d.NotStored.Empty() {
			lost++
		}
		if err := c.printCompared(d); err != nil {
			return err
		}
	}
	if lost > 0 {
		return codef(exitIncomplete, "incomplete: not all of %d mailboxes is stored", lost)
	}
	return nil
}

func (c *call) printCompared(d *backup.Difference) error {
	o := backupCompared{Mailbox: valid(d.Mailbox), Server: d.Server, Stored: d.Stored, NotStored: d.NotStored.String(), NotOnServer: d.NotOnServer.String(),
		Flags: d.Flags, Reset: d.Reset, NoMailbox: d.NoMailbox}
	if d.Err != nil {
		o.Error = valid(d.Err.Error())
	}
	if c.json {
		return c.printJSON(o)
	}
	columns := []string{d.Mailbox, "server " + strconv.Itoa(d.Server), "stored " + strconv.Itoa(d.Stored)}
	for _, part := range []struct {
		on   bool
		text string
	}{
		{o.NotStored != "", "not stored " + o.NotStored}, {o.NotOnServer != "", "not on the server " + o.NotOnServer},
		{d.Flags > 0, fmt.Sprintf("other flags %d", d.Flags)}, {d.Reset, "other UIDs"}, {d.NoMailbox, "no such mailbox"}, {o.Error != "", "failed: " + o.Error},
	} {
		if part.on {
			columns = append(columns, part.text)
		}
	}
	return c.row(columns...)
}
