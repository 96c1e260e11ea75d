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
// connection is dead.
//
// Errors: *[Error], with code TRYCREATE when the mailbox does not exist, and
// TOOBIG for a message over the server's APPENDLIMIT, of which nothing is sent;
// *[UncertainError] when the reply was lost after the whole message had left.
func (c *Client) Append(ctx context.Context, mailbox string, size int64, r io.Reader, o *AppendOptions) (*AppendData, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return nil, err
	}
	if o == nil {
		o = &AppendOptions{}
	}
	if err := c.checkAppendLimit(mailbox, size); err != nil {
		return nil, err
	}
	var data AppendData
	cmd := &command{label: label("append to", mailbox), code: func(t imapwire.Text, tagged bool) {
		if tagged {
			data.add(t)
		}
	}}
	body := &trackedReader{r: r}
	err := c.send(cmd, "APPEND", func(e *imapwire.Encoder) {
		c.putMailbox(e.SP(), mailbox).SP()
		if len(o.Flags) > 0 {
			e.Flags(o.Flags).SP()
		}
		if !o.Date.IsZero() {
			e.DateTime(o.Date).SP()
		}
		e.Literal(size, body)
	})
	if err != nil {
		return nil, appendError(err, body)
	}
	if err := c.wait(cmd); err != nil {
		return nil, &UncertainError{Command: cmd.label, Err: err}
	}
	if err := cmd.result(); err != nil {
		return nil, err
	}
	return &data, nil
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

// appendError tells a failure of the message's source from one of the server.
func appendError(err error, body *trackedReader) error {
	if body.err != nil {
		return body.err
	}
	if errors.Is(err, imapwire.ErrLiteralSize) {
		return &wire.ArgumentError{Msg: err.Error()}
	}
	return err
}

// checkAppendLimit refuses what the server would refuse (RFC 7889 §2), before
// it is sent.
func (c *Client) checkAppendLimit(mailbox string, size int64) error {
	text, ok := c.caps.Value("APPENDLIMIT")
	limit, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || size <= limit {
		return nil
	}
	return &Error{Command: label("append to", mailbox), Status: "NO", Code: "TOOBIG",
		Text: fmt.Sprintf("message of %d octets is over the server's limit of %d", size, limit)}
}

// add takes APPENDUID.
func (a *AppendData) add(t imapwire.Text) {
	if t.Code != "APPENDUID" {
		return
	}
	d := imapwire.NewTextDecoder([]byte(t.Arg))
	validity := d.NZNumber()
	d.SP()
	uids := d.UIDRanges()
	if d.End(); d.Err() == nil && len(uids) == 1 && uids[0].Start == uids[0].Stop {
		a.UIDValidity, a.UID = validity, uids[0].Start
	}
}
