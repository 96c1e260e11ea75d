package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/imap"
)

// backupListCommand is `mail backup list`.
func (e *env) backupListCommand() *cli.Command {
	var mailboxes cli.StringSlice
	return e.leaf(leaf{
		name:  "list",
		usage: "list snapshots, mailboxes or messages of a backup",
		about: "Prints the snapshots in DIR, the oldest first: id, mailboxes, messages, size, and whether the run was complete. With " +
			"SNAPSHOT it prints the mailboxes of that one: name, messages, size, folder. With --mailbox it prints the messages: mailbox, " +
			"UID (of POP3, the id), size, date, flags and file (of a backup in mboxes the mbox, `@` and the octet where the message begins); " +
			"those of SNAPSHOT, or without it all that the last run has found, complete or not.\n\n" + backupSnapshotHelp + "\n\n" + backupPatternHelp,
		args:    "DIR [SNAPSHOT]",
		minArgs: 1,
		maxArgs: 2,
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "mailbox", Usage: "print the messages of mailboxes that `PATTERN` fits", Destination: &mailboxes},
		},
		run: func(ctx context.Context, c *call) error { return c.backupList(ctx, mailboxes.Value()) },
	})
}

func (c *call) backupList(ctx context.Context, patterns []string) (err error) {
	r, err := c.openBackup(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	at := ""
	if len(c.args) > 1 {
		at = c.args[1]
	}
	switch {
	case len(patterns) > 0:
		return c.backupMessages(ctx, r, at, patterns)
	case at != "":
		return c.backupMailboxes(ctx, r, at)
	}
	for _, s := range r.Snapshots() {
		if err := c.printSnapshot(s, ""); err != nil {
			return err
		}
	}
	return nil
}

// backupSnapshot is one snapshot in --json output.
type backupSnapshot struct {
	ID        string `json:"id"`
	Time      string `json:"time"`
	Complete  bool   `json:"complete"`
	Mailboxes int    `json:"mailboxes"`
	Messages  int    `json:"messages"`
	Size      int64  `json:"size"`
	Action    string `json:"action,omitempty"` // keep or forget
	DryRun    bool   `json:"dryRun,omitempty"`
}

// printSnapshot prints a snapshot, in front what is done with it.
func (c *call) printSnapshot(s backup.Snapshot, action string) error {
	if c.json {
		return c.printJSON(backupSnapshot{s.ID, s.Time.UTC().Format(time.RFC3339), s.Complete, s.Mailboxes, s.Messages, s.Size, action, c.dryRun})
	}
	state := "complete"
	if !s.Complete {
		state = "incomplete"
	}
	columns := []string{s.ID, strconv.Itoa(s.Mailboxes), strconv.Itoa(s.Messages), strconv.FormatInt(s.Size, 10), state}
	if action != "" {
		columns = append([]string{action}, columns...)
	}
	return c.row(columns...)
}

// backupMailbox is one mailbox in --json output; the names are those of `mail imap list`.
type backupMailbox struct {
	Name       string   `json:"name"`
	Delimiter  string   `json:"delimiter,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
	Subscribed bool     `json:"isSubscribed"`
	ID         string   `json:"id,omitempty"`
	Messages   int      `json:"totalEmails"`
	Size       int64    `json:"size"`
	Folder     string   `json:"folder"`
}

func (c *call) backupMailboxes(ctx context.Context, r *backup.Repo, at string) error {
	boxes, damage := r.Mailboxes(at)
	for i := range boxes {
		b := &boxes[i]
		o := backupMailbox{Name: valid(b.Name), Delimiter: valid(b.Delim), Subscribed: b.Subscribed, ID: valid(b.ID), Folder: b.Dir}
		for _, attr := range b.Attrs {
			o.Attributes = append(o.Attributes, valid(attr))
		}
		for m, err := range r.Messages(at, b.Name) {
			if err := cmp.Or(err, ctx.Err()); err != nil {
				return err
			}
			o.Messages++
			o.Size += m.Size
		}
		err := error(nil)
		if c.json {
			err = c.printJSON(o)
		} else {
			err = c.row(b.Name, strconv.Itoa(o.Messages), strconv.FormatInt(o.Size, 10), b.Dir)
		}
		if err != nil {
			return err
		}
	}
	return damage
}

// backupMessage is one message in --json output.
type backupMessage struct {
	imapObject
	UIDL   string `json:"id,omitempty"` // of POP3
	SHA256 string `json:"sha256"`       // of the file
	Change string `json:"change,omitempty"`
}

func newBackupMessage(m *backup.Message, path string) backupMessage {
	flags := make([]imap.Flag, len(m.Flags))
	for i, f := range m.Flags {
		flags[i] = imap.Flag(f)
	}
	from := &imap.Message{UID: imap.UID(m.UID), Size: m.Size, Flags: flags, InternalDate: m.Date, EmailID: m.EmailID, ThreadID: m.ThreadID,
		Labels: m.Labels, GmailID: m.GmailID, GmailThread: m.GmailThread}
	o := backupMessage{imapObject: imapObjectOf(from), UIDL: valid(m.UIDL), SHA256: hex.EncodeToString(m.Digest[:])}
	o.Mailbox, o.UIDValidity, o.Path = valid(m.Mailbox.Name), m.UIDValidity, valid(path)
	return o
}

// backupID is what names a message in its mailbox.
func backupID(m *backup.Message) string { return cmp.Or(m.UIDL, strconv.FormatUint(uint64(m.UID), 10)) }

func (c *call) backupMessages(ctx context.Context, r *backup.Repo, at string, patterns []string) error {
	boxes, damage := r.Mailboxes(at)
	found := false
	for i := range boxes {
		if !backup.MatchMailbox(patterns, &boxes[i]) {
			continue
		}
		found = true
		for m, err := range r.Messages(at, boxes[i].Name) {
			if err := cmp.Or(err, ctx.Err()); err != nil {
				return err
			}
			path, err := r.Path(m)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := c.printBackupMessage(m, path); err != nil {
				return err
			}
		}
	}
	if !found && damage == nil {
		return notFoundf("no mailbox fits %q", patterns)
	}
	return damage
}

func (c *call) printBackupMessage(m *backup.Message, path string) error {
	if c.json {
		return c.printJSON(newBackupMessage(m, path))
	}
	return c.row(append(backupColumns(m), path)...)
}

// backupColumns are mailbox, id, size, date and flags.
func backupColumns(m *backup.Message) []string {
	date := ""
	if !m.Date.IsZero() {
		date = m.Date.Format(time.RFC3339)
	}
	return []string{m.Mailbox.Name, backupID(m), strconv.FormatInt(m.Size, 10), date, strings.Join(m.Flags, " ")}
}
