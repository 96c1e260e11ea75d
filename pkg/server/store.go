package server

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors of stores. They come wrapped with the name they are about; compare with
// errors.Is.
var (
	// ErrNoMailbox says that there is no mailbox of that name, or that a Mailbox
	// was deleted meanwhile.
	ErrNoMailbox = errors.New("no such mailbox")
	// ErrMailboxExists says that the name of a new mailbox is taken.
	ErrMailboxExists = errors.New("mailbox already exists")
	// ErrMailboxName says that no mailbox can have that name.
	ErrMailboxName = errors.New("invalid mailbox name")
	// ErrInbox says that INBOX cannot be deleted or moved about.
	ErrInbox = errors.New("not possible with INBOX")
	// ErrHasChildren says that a name that only has children cannot be deleted.
	ErrHasChildren = errors.New("mailbox has children")
	// ErrSpecialUse says that a special use is unknown (RFC 6154 §2).
	ErrSpecialUse = errors.New("unknown special use")
	// ErrNoMessage says that there is no message of that UID.
	ErrNoMessage = errors.New("no such message")
	// ErrFlag says that a flag or keyword is no atom, or that there are too many.
	ErrFlag = errors.New("invalid flag")
	// ErrMailboxFull says that a mailbox has no UIDs left.
	ErrMailboxFull = errors.New("mailbox has no UIDs left")
	// ErrStoreInUse says that another process works on the same directory.
	ErrStoreInUse = errors.New("mail directory is in use by another process")
	// ErrStoreClosed says that the store was closed.
	ErrStoreClosed = errors.New("store is closed")
)

// Store keeps the mail of all users. It and everything that comes from it is safe
// for concurrent use.
type Store interface {
	// Account returns the account of user, the same one at every call. At first
	// use it is made, with the mailboxes INBOX, Sent (\Sent), Drafts (\Drafts),
	// Trash (\Trash), Junk (\Junk) and Archive (\Archive), all subscribed.
	Account(user string) (Account, error)
	// Close releases files and locks. Changes fail with ErrStoreClosed after it;
	// bodies that are open stay readable.
	Close() error
}

// Account is the mail of one user. The separator of mailbox names is "/", names are
// UTF-8, and INBOX is one name in any case, also as the first part of another.
type Account interface {
	// List returns all mailboxes sorted by name, INBOX first. The slice belongs to
	// the caller. A name that exists through its children alone has NoSelect set.
	List() []MailboxInfo
	// Mailbox returns the mailbox called name, or ErrNoMailbox. It stays the same
	// mailbox when it is renamed.
	Mailbox(name string) (Mailbox, error)
	// Create makes a mailbox and the parents that are missing. One "/" at the end
	// is ignored (RFC 9051 §6.3.4). specialUse is "" or an attribute like \Sent.
	// Errors: ErrMailboxExists, ErrMailboxName, ErrSpecialUse.
	Create(name string, specialUse string) error
	// Delete removes a mailbox and its messages. If it has children the name stays,
	// not selectable. Errors: ErrNoMailbox, ErrInbox, ErrHasChildren (the name is
	// not selectable already).
	Delete(name string) error
	// Rename renames a mailbox with its children, its special use and
	// subscriptions, and makes missing parents of the new name. Renaming INBOX
	// moves its messages to a new mailbox and leaves it empty, its children stay
	// (RFC 9051 §6.3.6). Errors: ErrNoMailbox, ErrMailboxExists, ErrMailboxName.
	Rename(from, to string) error
	// Subscribe sets or clears the subscription of a mailbox. A subscription
	// outlives its mailbox and can be cleared without it.
	Subscribe(name string, on bool) error
	// Subscribed returns the names that are subscribed to, sorted, also those of which
	// there is no mailbox. The slice belongs to the caller.
	Subscribed() []string
	// Copy copies messages with flags, date and ID: all or, after an error, none.
	// UIDs that do not exist are left out (RFC 9051 §6.4.7); the result is in
	// ascending order. Both mailboxes must be of this account; they may be the same.
	Copy(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error)
	// Move is Copy and Expunge in one step: no one sees a message in both.
	Move(ctx context.Context, from Mailbox, uids []uint32, to Mailbox) ([]CopiedUID, error)
	// Usage is the sum over all mailboxes, in octets of wire form and messages.
	Usage() (octets int64, messages int)
}

// MailboxInfo is what List tells about a mailbox.
type MailboxInfo struct {
	Name        string // UTF-8, parts separated by "/"
	SpecialUse  string // attribute like \Sent, "" for none
	Subscribed  bool
	HasChildren bool
	NoSelect    bool // there is no such mailbox, only mailboxes below it
	Lost        bool // there is nothing of that name but a subscription; never set by List
}

// CopiedUID maps the UID of a message to that of its copy.
type CopiedUID struct{ From, To uint32 }

// Mailbox is one mailbox. After it was deleted, changes fail with ErrNoMailbox and
// it looks empty.
type Mailbox interface {
	// Name is the present name.
	Name() string
	// State returns the counters, after a look for changes made by other programs.
	State() MailboxState
	// Messages returns a snapshot in ascending order of UIDs. It never changes and
	// is shared: the caller only reads it, the flags included.
	Messages() []MessageInfo
	// Open returns the body of a message, or ErrNoMessage. It stays readable until
	// Close even if the message is expunged.
	Open(uid uint32) (Body, error)
	// Append adds messages: all or, after an error, none. The bodies are read to
	// their end, one after the other and before the mailbox is locked; limits on
	// their size are those of the readers, an error of which is returned as it is.
	// A zero Date is the present time. In a Maildir the messages are on disk when
	// it returns.
	Append(ctx context.Context, messages []NewMessage) ([]MessageInfo, error)
	// SetFlags calls change for each of the messages that exist, in ascending order
	// and under the lock of the mailbox, which change must not use. With ok the
	// message gets the flags returned. Messages whose flags did change get one new
	// mod-sequence and are returned. After an error nothing has changed.
	SetFlags(uids []uint32, change func(MessageInfo) (flags []string, ok bool)) ([]MessageInfo, error)
	// Expunge removes the messages that exist among uids and returns their UIDs in
	// ascending order. It does not look at \Deleted.
	Expunge(uids []uint32) ([]uint32, error)
	// Vanished returns the UIDs of messages expunged after mod-sequence since, in
	// ascending order (RFC 7162 §3.2.10).
	Vanished(since uint64) []uint32
	// Watch returns a channel that gets a value after changes of the mailbox by
	// anyone; values do not queue up. stop ends it and does not close the channel.
	Watch() (changed <-chan struct{}, stop func())
}

// MailboxState is what STATUS and SELECT tell about a mailbox.
type MailboxState struct {
	UIDValidity   uint32
	UIDNext       uint32
	HighestModSeq uint64 // at least 1
	ID            string // OBJECTID (RFC 8474 §4.1); survives renaming
	Messages      int
	Unseen        int   // messages without \Seen
	Deleted       int   // messages with \Deleted
	Size          int64 // sum of wire octets
}

// MessageInfo is what is known about a message beside its octets.
type MessageInfo struct {
	UID    uint32
	ModSeq uint64
	Flags  []string  // canonical case, sorted, without \Recent; read-only
	Date   time.Time // internal date
	Size   int64     // octets in wire form
	ID     string    // OBJECTID (RFC 8474 §5.1), equal for copies
}

// NewMessage is a message to be appended.
type NewMessage struct {
	Body  io.Reader // wire form, exact octets
	Flags []string  // in any order and case; \Recent is ignored
	Date  time.Time // internal date, zero for now
}

// Body is the octets of a message in wire form. ReadAt may be called by several
// goroutines. A Body may also be an io.WriterTo, which writes all of it.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64
}
