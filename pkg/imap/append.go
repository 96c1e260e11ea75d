package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// AppendOptions say what to store with a message.
type AppendOptions struct {
	Flags []Flag
	Date  time.Time // INTERNALDATE; zero: the server's clock
	UTF8  bool      // see AppendItem
}

// AppendData tells where a message went, as far as the server tells (UIDPLUS,
// RFC 4315 §3): zeros when it does not.
type AppendData struct {
	UIDValidity uint32
	UID         UID
}

// Append stores a message of size octets, in wire form (CRLF), at the end of a
// mailbox (RFC 9051 §6.3.12). The octets stream from r, which must give exactly
// that many: if it fails, ends early or has more, nothing is stored and the
// connection is dead. For many messages see [Client.AppendAll].
//
// Errors: *[Error], with code TRYCREATE when the mailbox does not exist, and
// TOOBIG for a message over the server's APPENDLIMIT, of which nothing is sent;
// *[UncertainError] when the reply was lost after the whole message had left.
func (c *Client) Append(ctx context.Context, mailbox string, size int64, r io.Reader, o *AppendOptions) (*AppendData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return nil, err
	}
	b := &appendBatch{label: label("append to", mailbox), items: []AppendItem{o.item(size, r)}}
	return c.appendOne(b, mailbox, "APPEND", nil)
}

// item is the message that the options belong to.
func (o *AppendOptions) item(size int64, r io.Reader) AppendItem {
	if o == nil {
		o = &AppendOptions{}
	}
	return AppendItem{Size: size, Body: r, Flags: o.Flags, Date: o.Date, UTF8: o.UTF8}
}

// appendOne sends a batch of one message and waits for the reply.
func (c *Client) appendOne(b *appendBatch, mailbox, verb string, args func(*imapwire.Encoder)) (*AppendData, error) {
	if err := c.checkAppend(b.label, b.items[0]); err != nil {
		return nil, err
	}
	c.startBatch(b, mailbox, verb, args)
	c.putMessage(b, b.items[0])
	if err := c.endBatch(b); err != nil {
		return nil, err
	}
	if err := c.batchReply(b); err != nil {
		return nil, err
	}
	return &b.data(1)[0], nil
}

// appendBatch is one APPEND under way, of one message or, with MULTIAPPEND, of
// several.
type appendBatch struct {
	label    string
	items    []AppendItem
	first    int // number of the first message in an AppendAll
	untagged bool
	octets   int64
	cmd      *command
	source   error // of a message's reader
	end      int64 // what had been written when the command was complete
	validity uint32
	uids     []imapwire.Range[UID]
}

// startBatch begins the command.
func (c *Client) startBatch(b *appendBatch, mailbox, verb string, args func(*imapwire.Encoder)) {
	b.cmd = &command{label: b.label, code: func(t imapwire.Text, tagged bool) {
		if tagged || b.untagged {
			b.take(t)
		}
	}}
	c.begin(b.cmd, verb)
	if args != nil {
		args(c.enc)
	}
	c.putMailbox(c.enc.SP(), mailbox)
}

// putMessage writes one message of the command (RFC 9051 §6.3.12, RFC 3502).
func (c *Client) putMessage(b *appendBatch, m AppendItem) {
	e := c.enc.SP()
	if len(m.Flags) > 0 {
		e.Flags(m.Flags).SP()
	}
	if !m.Date.IsZero() {
		e.DateTime(m.Date).SP()
	}
	body := &trackedReader{r: m.Body}
	if m.UTF8 {
		e.Raw("UTF8 (~").Literal(m.Size, body).Raw(")") // RFC 6855 §4
	} else {
		e.Literal(m.Size, body)
	}
	b.octets += m.Size
	b.source = body.err
}

// endBatch ends the command. After an error nothing of it will be stored.
func (c *Client) endBatch(b *appendBatch) error {
	err := c.end(b.cmd)
	b.end = c.written()
	switch {
	case err == nil:
		return nil
	case b.source != nil:
		return b.source
	case errors.Is(err, imapwire.ErrLiteralSize):
		return &wire.ArgumentError{Msg: err.Error()}
	}
	return err
}

// batchReply waits for the reply. One that was lost says nothing about the
// messages, unless a part of the command never left.
func (c *Client) batchReply(b *appendBatch) error {
	if err := c.wait(b.cmd); err != nil {
		if c.conn.Sent() < b.end {
			return err
		}
		return &UncertainError{Command: b.label, Err: err}
	}
	return b.cmd.result()
}

// take takes APPENDUID (RFC 4315 §3).
func (b *appendBatch) take(t imapwire.Text) {
	if t.Code != "APPENDUID" {
		return
	}
	d := imapwire.NewTextDecoder([]byte(t.Arg))
	validity := d.NZNumber()
	d.SP()
	uids := d.UIDRanges()
	if d.End(); d.Err() == nil && total(uids) == uint64(len(b.items)) {
		b.validity, b.uids = validity, uids
	}
}

// data tells where each of n messages went.
func (b *appendBatch) data(n int) []AppendData {
	list := make([]AppendData, n)
	i := 0
	for _, r := range b.uids {
		for uid := uint64(r.Start); uid <= uint64(r.Stop) && i < n; uid++ {
			list[i] = AppendData{b.validity, UID(uid)}
			i++
		}
	}
	return list
}

// trackedReader remembers the reader's own failure.
type trackedReader struct {
	r   io.Reader
	err error
}

func (t *trackedReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// checkAppend refuses what the server would refuse, before it is sent: UTF-8
// where that is not on, and too many octets (RFC 7889 §2).
func (c *Client) checkAppend(label string, m AppendItem) error {
	if m.UTF8 {
		if err := c.settleEnabled(); err != nil {
			return err
		}
		if !c.utf8On() {
			return &CapabilityError{Command: label, Capability: "UTF8=ACCEPT"}
		}
	}
	text, ok := c.caps.Value("APPENDLIMIT")
	limit, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || m.Size <= limit {
		return nil
	}
	return &Error{Command: label, Status: "NO", Code: "TOOBIG",
		Text: fmt.Sprintf("message of %d octets is over the server's limit of %d", m.Size, limit)}
}
