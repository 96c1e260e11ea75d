// Package backup keeps copies of the mailboxes of an account on disk, and proves
// that they are complete.
//
// A repository is a directory with a folder for each mailbox, Maildir or .eml
// files, which other programs can read, and ".mail-backup" with the manifest: a
// log in which every line is a fact with a checksum. A line is written after what
// it tells of is durable. What is lost with a process that dies is what it had not
// recorded; the next run finds the files by their names and takes them over.
//
// A snapshot is a place in the manifest: what each mailbox held is what the lines
// up to there say. Nothing that a snapshot names is removed; see [Repo.Forget] and
// [Repo.Prune].
//
// Identical messages are hard links of one file.
package backup

import (
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// Mailbox is a mailbox of the account.
type Mailbox struct {
	Name       string   // as the server has it, in UTF-8
	Delim      string   // what separates the levels of Name, "" when there are none
	Dir        string   // the folder, relative to the repository, with slashes; see [EncodeName]
	Attrs      []string // of LIST (RFC 9051 §7.3.1), such as \Sent
	Subscribed bool
	ID         string // MAILBOXID (RFC 8474), "" when the server has none
}

// Message is one message in one mailbox.
type Message struct {
	Mailbox     *Mailbox
	UIDValidity uint32 // generation of the UIDs
	UID         uint32
	UIDL        string       // POP3: the unique id, in place of UIDValidity and UID
	File        string       // name of the file in the folder, without what follows ":2,"
	Size        int64        // octets on the wire
	Digest      store.Digest // SHA-256 of the octets of the file
	Date        time.Time    // INTERNALDATE, zero when the server told none
	Flags       []string     // system flags and keywords, without \Recent, sorted
	EmailID     string       // OBJECTID (RFC 8474)
	ThreadID    string
	GmailID     uint64 // X-GM-MSGID
	GmailThread uint64
	Labels      []string // of Gmail
}

// Snapshot is the state of the repository at the end of a run.
type Snapshot struct {
	ID        string    // its time in UTC, as 2026-11-22T120000Z
	Time      time.Time // when the run began
	Complete  bool      // the receipt had nothing missing
	Mailboxes int
	Messages  int
	Size      int64 // octets on the wire of all messages
}
