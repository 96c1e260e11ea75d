package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// backupSelection chooses messages of a backup.
type backupSelection struct {
	snapshot          string
	mailboxes, search cli.StringSlice
	since, before     time.Time
}

const backupSelectionHelp = "A message has to fulfil all conditions. --search may be given several times, with the terms of `mail imap search`, which are " +
	"looked up in the backup."

func (s *backupSelection) flags(e *env) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "snapshot", Usage: "take the mailboxes as they were in the snapshot `ID`, not as the last run has found them",
			Destination: &s.snapshot},
		patternFlag(&s.mailboxes),
		dayFlag(e, "since", "take messages that arrived on `DAY` or later: 2026-11-01, yesterday, 7d", &s.since),
		dayFlag(e, "before", "take messages that arrived before `DAY`", &s.before),
		&cli.StringSliceFlag{Name: "search", Usage: "take messages that fulfil `TERM`, such as from:bob", Destination: &s.search},
	}
}

// dayFlag is a day as search terms name it: its beginning on this machine.
func dayFlag(e *env, name, usage string, dest *time.Time) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		day, err := imap.ParseDay(s, e.now())
		if err == nil {
			*dest = time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.Local)
		}
		return err
	}}}
}

func (s *backupSelection) selection(now time.Time) (backup.Selection, error) {
	out := backup.Selection{At: s.snapshot, Patterns: s.mailboxes.Value(), Since: s.since, Before: s.before}
	query, err := backupTerms(s.search.Value(), now)
	if query != nil {
		out.Match = query.matches
	}
	return out, err
}

type backupRestoreOptions struct {
	backupSelection
	to, prefix string
}

// backupRestoreCommand is `mail backup restore`.
func (e *env) backupRestoreCommand() *cli.Command {
	o := &backupRestoreOptions{}
	return e.leaf(leaf{
		name:  "restore",
		usage: "put messages of a backup back on a server",
		about: "Puts the messages in DIR into the mailboxes that they come from, with flags, keywords and dates, on the server of the account or " +
			"of the one that --to names. Mailboxes that are missing are made and subscribed as they were. What is there already, octet for " +
			"octet, is not stored again, so the same command completes a run that was interrupted: it begins when the " +
			"mailboxes have not changed for a second, for the server may still be busy with what it was sent. Nothing on the server is changed or " +
			"deleted.\n\n" +
			"Prints for each mailbox its name, that on the server, how many messages were wanted, were there already, were restored, and " +
			"are missing, and each message that was refused, with the reason. Status 3 means that something is missing.\n\n" +
			backupSelectionHelp + " " + backupSnapshotHelp + " " + backupPatternHelp,
		args:    "DIR",
		minArgs: 1,
		maxArgs: 1,
		changes: true,
		exits:   []int{exitIncomplete},
		network: wire.IMAP,
		flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "restore to `ACCOUNT`; the same as --account", Destination: &o.to},
			&cli.StringFlag{Name: "prefix", Usage: "put all mailboxes below `MAILBOX`", Destination: &o.prefix},
		}, o.flags(e)...),
		run: func(ctx context.Context, c *call) error { return c.backupRestore(ctx, o) },
	})
}

func (c *call) backupRestore(ctx context.Context, o *backupRestoreOptions) (err error) {
	if o.to != "" {
		if c.overrides.Account+c.overrides.Server != "" {
			return usagef("--to goes with neither --account nor --server")
		}
		c.overrides.Account = o.to
	}
	selection, err := o.selection(c.now())
	if err != nil {
		return err
	}
	server, err := c.newBackupServer(wire.IMAP)
	if err != nil {
		return err
	}
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	run := &backupRestore{call: server.call, bar: c.newProgress("restoring", -1)}
	report, err := r.Restore(ctx, backup.RestoreOptions{
		Selection: selection, Dial: server.imap, Prefix: o.prefix, DryRun: c.dryRun, Event: run.event,
	})
	run.bar.clear()
	if err = server.label(err); err == nil && !c.dryRun && !report.Complete() {
		err = codef(exitIncomplete, "incomplete: %s missing", boxCount(missingOf(report)))
	}
	return errors.Join(err, run.print(report))
}

// backupRestore is one run of the command.
type backupRestore struct {
	*call
	bar *progress
}

func (r *backupRestore) event(e backup.RestoreEvent) {
	switch e.Kind {
	case backup.EventMessage:
		r.bar.expect(0, e.Total)
		r.bar.add(int(e.Bytes))
		r.bar.message()
	case backup.EventWait:
		r.bar.clear()
		r.note("%s", waitText(e.Wait, e.Err))
	}
}

func missingOf(report *backup.RestoreReport) int {
	n := 0
	for i := range report.Mailboxes {
		n += report.Mailboxes[i].Missing()
	}
	return n
}

// backupRestored is one mailbox in --json output.
type backupRestored struct {
	Mailbox  string          `json:"mailbox"`
	Dest     string          `json:"restoredTo"`
	Created  bool            `json:"created,omitempty"`
	Wanted   int             `json:"wanted"`
	Present  int             `json:"present"`
	Restored int             `json:"restored"`
	Labelled int             `json:"labelled,omitempty"` // they are in another mailbox of Gmail
	Lost     int             `json:"missingMessages"`
	Size     int64           `json:"size"`
	Refused  []backupMissing `json:"refused,omitempty"`
	Flags    []string        `json:"flagsLost,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Error    string          `json:"error,omitempty"`
	DryRun   bool            `json:"dryRun,omitempty"`
}

// print tells of each mailbox that had something in it.
func (r *backupRestore) print(report *backup.RestoreReport) error {
	for i := range report.Mailboxes {
		m := &report.Mailboxes[i]
		if m.Wanted == 0 && !m.Created && m.Err == nil {
			continue
		}
		var err error
		if r.json {
			err = r.printJSON(r.object(m))
		} else if !r.quiet {
			err = r.printRestored(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *backupRestore) object(m *backup.RestoredMailbox) backupRestored {
	o := backupRestored{Mailbox: valid(m.Name), Dest: valid(m.Dest), Created: m.Created, Wanted: m.Wanted, Present: m.Present, Restored: m.Appended,
		Labelled: m.Merged, Lost: m.Missing(), Size: m.Size, DryRun: r.dryRun}
	for _, refused := range m.Refused {
		o.Refused = append(o.Refused, backupMissing{refused.UID, valid(refused.UIDL), valid(refused.Err.Error())})
	}
	for _, flag := range m.Flags {
		o.Flags = append(o.Flags, valid(flag))
	}
	for _, warning := range m.Warnings {
		o.Warnings = append(o.Warnings, valid(warning))
	}
	if m.Err != nil {
		o.Error = valid(m.Err.Error())
	}
	return o
}

func (r *backupRestore) printRestored(m *backup.RestoredMailbox) error {
	err := r.row(m.Name, m.Dest, "wanted "+strconv.Itoa(m.Wanted), "present "+strconv.Itoa(m.Present+m.Merged), "restored "+strconv.Itoa(m.Appended),
		"missing "+strconv.Itoa(m.Missing()))
	for _, refused := range m.Refused {
		id := refused.UIDL
		if id == "" {
			id = strconv.FormatUint(uint64(refused.UID), 10)
		}
		err = errors.Join(err, r.row(m.Name, m.Dest, "refused", id, refused.Err.Error()))
	}
	if m.Err != nil {
		err = errors.Join(err, r.row(m.Name, m.Dest, "failed", m.Err.Error()))
	}
	if len(m.Flags) > 0 {
		r.note("%s does not keep the flags %q", m.Dest, m.Flags)
	}
	for _, warning := range m.Warnings {
		r.note("%s: %s", m.Dest, warning)
	}
	return err
}
