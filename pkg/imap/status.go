package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// StatusItem is a set of things to ask about a mailbox without selecting it.
type StatusItem uint16

// What can be asked (RFC 9051 §6.3.11). An item that the server does not offer
// is not asked for.
const (
	StatusMessages      StatusItem = 1 << iota // number of messages
	StatusRecent                               // messages that nobody saw yet (RFC 3501)
	StatusUIDNext                              // the UID of the next message
	StatusUIDValidity                          // changes when UIDs are given anew
	StatusUnseen                               // messages without \Seen
	StatusSize                                 // octets of all messages (RFC 8438)
	StatusHighestModSeq                        // RFC 7162
	StatusMailboxID                            // RFC 8474
)

// statusNames are in the order they are asked for. needs is the capability
// without which strict servers answer BAD.
var statusNames = [...]struct {
	item        StatusItem
	name, needs string
}{
	{StatusMessages, "MESSAGES", ""},
	{StatusRecent, "RECENT", "IMAP4REV1"},
	{StatusUIDNext, "UIDNEXT", ""},
	{StatusUIDValidity, "UIDVALIDITY", ""},
	{StatusUnseen, "UNSEEN", ""},
	{StatusSize, "SIZE", "STATUS=SIZE"},
	{StatusHighestModSeq, "HIGHESTMODSEQ", "CONDSTORE"},
	{StatusMailboxID, "MAILBOXID", "OBJECTID"},
}

// StatusData is what the server said of a mailbox. Has tells which fields.
type StatusData struct {
	Mailbox       string
	Items         StatusItem
	Messages      uint32
	Recent        uint32
	UIDNext       UID
	UIDValidity   uint32
	Unseen        uint32
	Size          int64
	HighestModSeq uint64
	MailboxID     string
}

// Has tells if the server told all the items.
func (s *StatusData) Has(items StatusItem) bool { return s != nil && s.Items&items == items }

// statusWords names the items that can be asked here, in order.
func (c *Client) statusWords(items StatusItem) []string {
	var words []string
	for _, n := range statusNames {
		if items&n.item == 0 {
			continue
		}
		if n.needs == "" || c.has(n.needs) {
			words = append(words, n.name)
		}
	}
	return words
}

// Status asks about a mailbox (RFC 9051 §6.3.11). Do not ask about the one that
// is selected: servers may answer with old numbers.
func (c *Client) Status(ctx context.Context, mailbox string, items StatusItem) (*StatusData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return nil, err
	}
	data, cmd := c.statusCommand(mailbox)
	if err := c.run(cmd, "STATUS", c.statusArgs(mailbox, items)); err != nil {
		return nil, err
	}
	return data, nil
}

func (c *Client) statusArgs(mailbox string, items StatusItem) func(e *imapwire.Encoder) {
	words := c.statusWords(items)
	return func(e *imapwire.Encoder) {
		c.putMailbox(e.SP(), mailbox).SP().List(len(words), func(i int) { e.Atom(words[i]) })
	}
}

func (c *Client) statusCommand(mailbox string) (*StatusData, *command) {
	data := &StatusData{Mailbox: mailbox}
	return data, &command{label: label("status", mailbox), data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "STATUS" {
			return false
		}
		got := decodeStatus(d)
		if sameMailbox(got.Mailbox, mailbox) {
			got.Mailbox = mailbox
			*data = *got
		}
		return true
	}}
}

// decodeStatus reads the data of a STATUS response.
func decodeStatus(d *imapwire.Decoder) *StatusData {
	s := &StatusData{}
	s.Mailbox, _ = d.Mailbox()
	d.SP()
	for i, ok := 0, d.OpenList(); ok && d.More(i); i++ {
		name := d.Keyword()
		d.SP()
		s.decodeItem(name, d)
	}
	return s
}

func (s *StatusData) decodeItem(name string, d *imapwire.Decoder) {
	item := StatusItem(0)
	for _, n := range statusNames {
		if n.name == name {
			item = n.item
		}
	}
	switch item {
	case StatusMessages:
		s.Messages = d.Number()
	case StatusRecent:
		s.Recent = d.Number()
	case StatusUIDNext:
		s.UIDNext = UID(d.MaybeZero())
	case StatusUIDValidity:
		s.UIDValidity = d.MaybeZero()
	case StatusUnseen:
		s.Unseen = d.Number()
	case StatusSize:
		s.Size = d.Number64()
	case StatusHighestModSeq:
		s.HighestModSeq = d.ModSeq()
	case StatusMailboxID:
		s.MailboxID = objectID(d)
	default:
		d.Skip()
	}
	s.Items |= item
}

// objectID reads "(id)" of RFC 8474.
func objectID(d *imapwire.Decoder) string {
	if d.Nil() {
		return ""
	}
	id := ""
	d.List(func() { id = d.AString() })
	return id
}
