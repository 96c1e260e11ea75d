package backup

import (
	"time"
)

// Receipt is the account of a run: what the server has, what is stored, and what is
// missing.
type Receipt struct {
	Snapshot  string           // ID of the snapshot, "" when there is none
	Mailboxes []MailboxReceipt // by their names
	Bytes     int64            // octets of messages that came
	Took      time.Duration
	Warnings  []string // what the user should know and what is no failure, at most maxWarnings
}

// MailboxReceipt is the account of one mailbox.
type MailboxReceipt struct {
	Name       string
	Server     int   // messages that the server has
	Stored     int   // of these are stored, of this run or before
	New        int   // messages of which this run has stored a file
	Linked     int   // messages that were stored already, in another place or under another UID, and are another name of that file now
	Recognised int   // messages that have other UIDs now and were not fetched again
	Changed    int   // messages with other flags or labels
	Gone       int   // messages that the server has no more
	Size       int64 // octets on the wire of what was fetched
	Missing    []Missing
	Err        error // why the mailbox is not complete, beside Missing
}

// Missing is a message that the server says it has and that is not stored.
type Missing struct {
	UID  uint32
	UIDL string // POP3, in place of UID
	Why  string
}

// Caps on what a receipt holds.
const (
	maxMissing  = 10_000 // of a mailbox; more are an error of it
	maxWarnings = 1000
)

// Complete reports whether all that the server has is stored.
func (r *Receipt) Complete() bool {
	for i := range r.Mailboxes {
		if m := &r.Mailboxes[i]; m.Err != nil || len(m.Missing) > 0 || m.Stored < m.Server {
			return false
		}
	}
	return true
}

// EventKind says what an Event tells of.
type EventKind string

// The kinds.
const (
	EventPlan    EventKind = "plan"    // what is to be done is known, or more of it: Total and TotalBytes
	EventMessage EventKind = "message" // a message is stored: UID or UIDL, Bytes
	EventMailbox EventKind = "mailbox" // a mailbox is done: Receipt
	EventWait    EventKind = "wait"    // the server asked for a pause, or could not be reached: Wait, Err
	EventWarning EventKind = "warning" // Text
	EventDone    EventKind = "done"    // the run is over
)

// Event tells how a run goes on. A function that takes Events is called by one
// goroutine at a time, and must not take long.
type Event struct {
	Kind       EventKind
	Mailbox    string
	UID        uint32
	UIDL       string
	Bytes      int64 // octets of the message
	Linked     bool  // it was stored already
	Messages   int   // stored so far in this run
	TotalBytes int64 // octets that are to come in this run, as far as known
	Total      int   // messages that are to come in this run, as far as known
	Wait       time.Duration
	Receipt    *MailboxReceipt // valid during the call
	Text       string
	Err        error
}

// BudgetError says that the octets of the day are used up. The next run, on another
// day, goes on.
type BudgetError struct{ Budget int64 }

// Error implements error.
func (e *BudgetError) Error() string { return "the budget of the day is used up" }

// Temporary reports that the same may succeed later.
func (e *BudgetError) Temporary() bool { return true }

// UIDValidityError says that a mailbox keeps changing its UIDs while it is read.
type UIDValidityError struct{ Mailbox string }

// Error implements error.
func (e *UIDValidityError) Error() string { return "the UIDs change during the run" }
