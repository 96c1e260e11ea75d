package imap

import (
	"context"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// SelectOptions say how to open a mailbox.
type SelectOptions struct {
	// CondStore asks for mod-sequences (RFC 7162 §3.1) where they are offered.
	CondStore bool

	qresync *qresync // see Resync
}

// SelectData is the state of a mailbox when it was opened (RFC 9051 §7.3).
type SelectData struct {
	Mailbox        string
	ReadOnly       bool
	Exists         uint32
	Recent         uint32 // IMAP4rev1 only
	FirstUnseen    uint32 // sequence number of the first message without \Seen, 0 when not told
	UIDValidity    uint32 // 0 when not told: UIDs must not be kept then
	UIDNext        UID    // 0 when not told
	HighestModSeq  uint64 // 0 when not told
	MailboxID      string // RFC 8474
	Flags          []Flag // those that messages here have
	PermanentFlags []Flag // those that can be changed; with \* new ones can be made
	CanChange      bool   // PermanentFlags was told
}

// Select opens a mailbox for reading and writing (RFC 9051 §6.3.2). When it
// fails, no mailbox is selected.
func (c *Client) Select(ctx context.Context, mailbox string, o *SelectOptions) (*SelectData, error) {
	return c.open(ctx, "SELECT", mailbox, o)
}

// Examine opens a mailbox for reading only (RFC 9051 §6.3.3).
func (c *Client) Examine(ctx context.Context, mailbox string, o *SelectOptions) (*SelectData, error) {
	return c.open(ctx, "EXAMINE", mailbox, o)
}

func (c *Client) open(ctx context.Context, verb, mailbox string, o *SelectOptions) (*SelectData, error) {
	defer c.conn.Bind(ctx)()
	if o == nil {
		o = &SelectOptions{}
	}
	// A plain SELECT needs to know nothing, and goes together with CAPABILITY.
	if err := c.allowed(authenticated); err != nil {
		return nil, err
	}
	if o.CondStore {
		if err := c.settle(); err != nil {
			return nil, err
		}
	}
	if err := c.settleNames([]string{mailbox}); err != nil {
		return nil, err
	}
	s, cmd, err := c.sendOpen(verb, mailbox, o)
	if err != nil {
		return nil, err
	}
	if err := c.opened(s, cmd); err != nil {
		return nil, err
	}
	return s, nil
}

// sendOpen sends SELECT or EXAMINE. From here on no mailbox is selected.
func (c *Client) sendOpen(verb, mailbox string, o *SelectOptions) (*SelectData, *command, error) {
	s := &SelectData{Mailbox: mailbox, ReadOnly: verb == "EXAMINE"}
	c.state, c.selected, c.exists = authenticated, "", 0
	cmd := &command{label: label(strings.ToLower(verb), mailbox), data: s.data, code: s.code}
	if o.qresync != nil {
		cmd.data, cmd.vanished = o.qresync.dataWith(s), o.qresync.vanish
	}
	return s, cmd, c.send(cmd, verb, func(e *imapwire.Encoder) {
		c.putMailbox(e.SP(), mailbox)
		switch {
		case o.qresync != nil:
			o.qresync.args(e)
		case o.CondStore && c.has("CONDSTORE"):
			e.SP().Raw("(CONDSTORE)")
		}
	})
}

// opened waits for the reply to SELECT or EXAMINE, and for the capabilities if
// they are on their way.
func (c *Client) opened(s *SelectData, cmd *command) error {
	if err := c.wait(cmd); err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	if err := cmd.result(); err != nil {
		return err
	}
	c.state, c.selected = selectedState, s.Mailbox
	return nil
}

// data takes the untagged responses of SELECT.
func (s *SelectData) data(r imapwire.Response, d *imapwire.Decoder) bool {
	switch r.Name {
	case "EXISTS":
		s.Exists = r.Num
	case "RECENT":
		s.Recent = r.Num
	case "FLAGS":
		s.Flags = d.Flags()
	default:
		return false
	}
	return true
}

// code takes the response codes of SELECT. What cannot be read counts as not
// told.
func (s *SelectData) code(t imapwire.Text, tagged bool) {
	number := func(bits int) uint64 {
		n, _ := strconv.ParseUint(strings.TrimSpace(t.Arg), 10, bits)
		return n
	}
	switch t.Code {
	case "READ-ONLY":
		s.ReadOnly = true
	case "READ-WRITE":
		s.ReadOnly = s.ReadOnly && !tagged
	case "UNSEEN":
		s.FirstUnseen = uint32(number(32))
	case "UIDVALIDITY":
		s.UIDValidity = uint32(number(32))
	case "UIDNEXT":
		s.UIDNext = UID(number(32))
	case "HIGHESTMODSEQ":
		s.HighestModSeq = number(63)
	case "NOMODSEQ":
		s.HighestModSeq = 0
	case "PERMANENTFLAGS":
		d := imapwire.NewTextDecoder([]byte(t.Arg))
		if flags := d.Flags(); d.Err() == nil {
			s.PermanentFlags, s.CanChange = flags, true
		}
	case "MAILBOXID":
		s.MailboxID = objectID(imapwire.NewTextDecoder([]byte(t.Arg)))
	}
}

// Unselect leaves the mailbox without expunging anything: UNSELECT (RFC 9051
// §6.4.2) where it is offered, else EXAMINE of a name that cannot exist, which
// RFC 3501 §6.3.2 defines to deselect.
func (c *Client) Unselect(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return err
	}
	if c.has("UNSELECT") {
		err := c.run(&command{}, "UNSELECT", nil)
		if err == nil {
			c.state, c.selected = authenticated, ""
		}
		return err
	}
	c.state, c.selected = authenticated, ""
	_ = c.run(&command{}, "EXAMINE", func(e *imapwire.Encoder) { e.SP().String("") }) // its NO is the purpose
	return c.dead()
}

// CloseMailbox leaves the mailbox and expunges every message marked \Deleted in
// it (RFC 9051 §6.4.1), unless it was opened by Examine. Only a caller who
// means that should use it; see [Client.Unselect].
func (c *Client) CloseMailbox(ctx context.Context) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return err
	}
	err := c.run(&command{}, "CLOSE", nil)
	if err == nil {
		c.state, c.selected = authenticated, ""
	}
	return err
}
