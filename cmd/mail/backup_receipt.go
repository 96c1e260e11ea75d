package main

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/mail-toolkit/mail/pkg/backup"
)

// backupEvent is one line of `mail backup run --json`. Event says which of its members count.
type backupEvent struct {
	Event   string `json:"event"` // wait, warning, mailbox, receipt
	Account string `json:"account,omitempty"`
	DryRun  bool   `json:"dryRun,omitempty"`

	Mailbox *string `json:"mailbox,omitempty"`
	Text    string  `json:"text,omitempty"`  // warning
	Error   string  `json:"error,omitempty"` // of a mailbox; what a wait is for
	Seconds float64 `json:"seconds,omitempty"`

	*backupCounts
	Missing   []backupMissing `json:"missing,omitempty"`
	Snapshot  string          `json:"snapshot,omitempty"`
	Complete  *bool           `json:"complete,omitempty"`
	Mailboxes int             `json:"mailboxes,omitempty"`
}

// backupCounts are the numbers of a receipt.
type backupCounts struct {
	Server     int   `json:"server"`
	Stored     int   `json:"stored"`
	New        int   `json:"new"`
	Linked     int   `json:"linked"`
	Recognised int   `json:"recognised"`
	Changed    int   `json:"changed"`
	Gone       int   `json:"gone"`
	Lost       int   `json:"missingMessages"`
	Size       int64 `json:"size"`
}

// backupMissing is a message that is not stored.
type backupMissing struct {
	UID  uint32 `json:"uid,omitempty"`
	UIDL string `json:"id,omitempty"`
	Why  string `json:"why"`
}

// newBackupCounts counts what a mailbox came to. What a dry run would fetch is not missing.
func (b *backupRun) newBackupCounts(m *backup.MailboxReceipt) *backupCounts {
	lost := len(m.Missing)
	if !b.dryRun {
		lost = max(lost, m.Server-m.Stored)
	}
	return &backupCounts{
		Server: m.Server, Stored: m.Stored, New: m.New, Linked: m.Linked, Recognised: m.Recognised, Changed: m.Changed, Gone: m.Gone,
		Lost: lost, Size: m.Size,
	}
}

func (t *backupCounts) add(c *backupCounts) {
	t.Server += c.Server
	t.Stored += c.Stored
	t.New += c.New
	t.Linked += c.Linked
	t.Recognised += c.Recognised
	t.Changed += c.Changed
	t.Gone += c.Gone
	t.Lost += c.Lost
	t.Size += c.Size
}

// columns are the numbers as they are printed.
func (t *backupCounts) columns() []string {
	return []string{
		"server " + strconv.Itoa(t.Server), "stored " + strconv.Itoa(t.Stored), "new " + strconv.Itoa(t.New),
		"linked " + strconv.Itoa(t.Linked+t.Recognised), "gone " + strconv.Itoa(t.Gone), "missing " + strconv.Itoa(t.Lost),
	}
}

// printReceipt prints what a run came to, unless -q is given without --json.
func (b *backupRun) printReceipt(r *backup.Receipt) error {
	total := &backupCounts{}
	for i := range r.Mailboxes {
		m := &r.Mailboxes[i]
		counts := b.newBackupCounts(m)
		total.add(counts)
		if err := b.printMailbox(m, counts); err != nil {
			return err
		}
	}
	if b.json {
		e := backupEvent{Event: "receipt", Account: valid(b.account), DryRun: b.dryRun, Snapshot: r.Snapshot, Mailboxes: len(r.Mailboxes),
			Seconds: r.Took.Seconds(), backupCounts: total}
		if !b.dryRun {
			e.Complete = new(r.Complete())
		}
		return b.printJSON(e)
	}
	if b.quiet {
		return nil
	}
	if err := b.line(append([]string{"total"}, total.columns()...)...); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	return b.line(b.verdict(r, total))
}

// line prints one line, in front the account where there are many.
func (b *backupRun) line(columns ...string) error {
	if b.account != "" {
		columns = append([]string{b.account}, columns...)
	}
	return b.row(columns...)
}

func (b *backupRun) printMailbox(m *backup.MailboxReceipt, counts *backupCounts) error {
	if b.json {
		e := backupEvent{Event: "mailbox", Account: valid(b.account), DryRun: b.dryRun, Mailbox: new(valid(m.Name)), backupCounts: counts}
		if m.Err != nil {
			e.Error = valid(m.Err.Error())
		}
		for _, lost := range m.Missing {
			e.Missing = append(e.Missing, backupMissing{lost.UID, valid(lost.UIDL), valid(lost.Why)})
		}
		return b.printJSON(e)
	}
	if b.quiet {
		return nil
	}
	if err := b.line(append([]string{m.Name}, counts.columns()...)...); err != nil {
		return err
	}
	for _, lost := range m.Missing {
		id := cmp.Or(lost.UIDL, strconv.FormatUint(uint64(lost.UID), 10))
		if err := b.line(m.Name, "missing", id, lost.Why); err != nil {
			return err
		}
	}
	if m.Err != nil {
		return b.line(m.Name, "failed", m.Err.Error())
	}
	return nil
}

// verdict is the last line of a receipt.
func (b *backupRun) verdict(r *backup.Receipt, total *backupCounts) string {
	if b.dryRun {
		return fmt.Sprintf("dry run: %s in %d mailboxes would be stored, %s", boxCount(total.New), len(r.Mailboxes), octetText(total.Size))
	}
	word := "complete"
	if !r.Complete() {
		word = "incomplete"
	}
	text := fmt.Sprintf("%s: %s in %d mailboxes, %s fetched in %v", word, boxCount(total.Stored), len(r.Mailboxes), octetText(r.Bytes),
		r.Took.Round(10*time.Millisecond))
	if r.Snapshot != "" {
		text += ", snapshot " + r.Snapshot
	}
	return text
}

// octetText is a number of octets for people.
func octetText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// incomplete is the error of a receipt that has something missing; nil without. It is one for now if nothing but that was in
// the way.
func (b *backupRun) incomplete(r *backup.Receipt) error {
	if b.dryRun || r.Complete() {
		return nil
	}
	lost, failed := 0, 0
	var first error
	code := exitTemporary
	for i := range r.Mailboxes {
		m := &r.Mailboxes[i]
		n := b.newBackupCounts(m).Lost
		if lost += n; m.Err != nil {
			failed++
			first = cmp.Or(first, m.Err)
		}
		if n > 0 && m.Err == nil || len(m.Missing) > 0 || m.Err != nil && exitCode(m.Err) != exitTemporary {
			code = exitIncomplete
		}
	}
	if code == exitTemporary {
		return codef(code, "incomplete: %s missing: %w", boxCount(lost), first)
	}
	return codef(code, "incomplete: %s missing, %d mailboxes failed", boxCount(lost), failed)
}
