package imap

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// AppendItem is one message of an AppendAll.
type AppendItem struct {
	Size  int64     // octets
	Body  io.Reader // gives exactly Size octets, in wire form (CRLF)
	Flags []Flag
	Date  time.Time // INTERNALDATE; zero: the server's clock
	// UTF8 says that the header has UTF-8 in it (RFC 6855 §4), which a server takes
	// only after UTF8=ACCEPT was enabled: else it is a *[CapabilityError].
	UTF8 bool
}

// AppendResult is what became of one message of an AppendAll.
type AppendResult struct {
	AppendData
	// Err is nil when the message is stored; *[Error] when the server refused
	// it; *[UncertainError] when it left in full and the reply was lost; any
	// other error means that it is not stored.
	Err error
}

const (
	// The messages that go together in one command with MULTIAPPEND: a server
	// stores all of them or none, and may have to keep them until it knows.
	maxBatch       = 50
	maxBatchOctets = 1 << 20
	// appendDepth is how many APPEND commands are in flight at most.
	appendDepth = 64
)

// AppendAll stores messages at the end of a mailbox, in the order given, as fast
// as the server lets: without waiting for each reply (LITERAL+ and LITERAL-, RFC
// 7888), and several small ones in one command (MULTIAPPEND, RFC 3502). fn is
// called once for each message that was taken from items, by its number from 0,
// when its outcome is known. It must not use the Client.
//
// What the server refuses in one command together is sent again one by one,
// behind what is under way, if all the Bodies are io.Seekers; else every one of
// those messages is refused.
//
// The error is that of items, of fn, or what ended the connection: nothing more
// is taken from items then, and what is under way comes to its end first, as far
// as that is possible. When a Body fails, ends early or has more than Size
// octets, its message is not stored, nor are others of the same command, and the
// connection is dead. Refused messages are no error.
func (c *Client) AppendAll(ctx context.Context, mailbox string, items iter.Seq2[AppendItem, error],
	fn func(n int, r AppendResult) error) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, mailbox); err != nil {
		return err
	}
	next, stop := iter.Pull2(items)
	defer stop()
	a := &appender{c: c, mailbox: mailbox, label: label("append to", mailbox), fn: fn, next: next}
	a.many = c.has("MULTIAPPEND") && c.literals() > 0 && c.depth > 1
	return a.run()
}

// appender is one AppendAll.
type appender struct {
	c       *Client
	mailbox string
	label   string
	fn      func(int, AppendResult) error
	next    func() (AppendItem, error, bool)
	many    bool // several messages in one command
	taken   int  // messages from next
	held    *AppendItem
	ended   bool // nothing more is to be taken
	flight  []*appendBatch
	again   []AppendItem // refused together, to be sent one by one
	numbers []int        // of those
	err     error        // the first one
}

func (a *appender) run() error {
	for {
		for len(a.flight) < min(a.c.depth, appendDepth) && a.c.dead() == nil && a.send() {
		}
		if len(a.flight) == 0 {
			return a.err
		}
		b := a.flight[0]
		a.flight = a.flight[1:]
		a.outcome(b, a.c.batchReply(b))
		if err := a.c.dead(); err != nil {
			a.fail(err)
		}
	}
}

// fail remembers the first error and takes nothing more.
func (a *appender) fail(err error) {
	a.ended, a.held = true, nil
	if a.err == nil {
		a.err = err
	}
}

// tell passes an outcome on.
func (a *appender) tell(n int, r AppendResult) {
	a.c.busy = true
	err := a.fn(n, r)
	a.c.busy = false
	if err != nil {
		a.fail(err)
	}
}

// take gets the next message that may be sent, with its number.
func (a *appender) take() (AppendItem, int, bool) {
	if a.held != nil {
		m := *a.held
		a.held = nil
		return m, a.taken - 1, true
	}
	for !a.ended {
		m, err, ok := a.next()
		if !ok || err != nil {
			if a.ended = true; err != nil {
				a.fail(err)
			}
			break
		}
		n := a.taken
		a.taken++
		err = a.c.checkAppend(a.label, m)
		if err == nil {
			err = m.check()
		}
		if err != nil {
			if a.tell(n, AppendResult{Err: err}); a.c.dead() != nil {
				a.fail(err)
			}
			continue
		}
		return m, n, true
	}
	return AppendItem{}, 0, false
}

// check refuses what cannot be sent, before a command has begun that would have
// to be broken off.
func (m *AppendItem) check() error {
	e := imapwire.NewEncoder(nil).Begin("APPEND").SP().Flags(m.Flags).SP()
	if !m.Date.IsZero() {
		e.DateTime(m.Date)
	}
	err := e.Err()
	if err == nil && m.Size < 0 {
		err = errors.New("negative size")
	}
	if err != nil {
		return &wire.ArgumentError{Msg: err.Error()}
	}
	return nil
}

// send sends one command; false when there is nothing to send.
func (a *appender) send() bool {
	if len(a.again) > 0 {
		b := &appendBatch{label: a.label, first: a.numbers[0], items: a.again[:1]}
		a.again, a.numbers = a.again[1:], a.numbers[1:]
		a.sendBatch(b)
		return true
	}
	m, n, ok := a.take()
	if !ok {
		return false
	}
	a.sendBatch(&appendBatch{label: a.label, first: n, items: []AppendItem{m}})
	return true
}

// sendBatch sends the batch's message and, where that is allowed, those behind
// it that fit in.
func (a *appender) sendBatch(b *appendBatch) {
	c := a.c
	again := len(a.again) > 0 || b.first < a.taken-1
	c.startBatch(b, a.mailbox, "APPEND", nil)
	c.putMessage(b, b.items[0])
	for a.many && !again && c.enc.Err() == nil && len(b.items) < maxBatch {
		m, n, ok := a.take()
		if !ok {
			break
		}
		if n != b.first+len(b.items) || b.octets+m.Size > maxBatchOctets {
			a.held = &m
			break
		}
		b.items = append(b.items, m)
		c.putMessage(b, m)
	}
	if err := c.endBatch(b); err != nil {
		a.outcome(b, err)
		if c.dead() != nil {
			a.fail(err)
		}
		return
	}
	a.flight = append(a.flight, b)
}

// outcome tells what became of a batch.
func (a *appender) outcome(b *appendBatch, err error) {
	var refused *Error
	if len(b.items) > 1 && errors.As(err, &refused) && refused.Status != "BYE" && a.c.dead() == nil && rewind(b.items) {
		if refused.Status == "BAD" {
			a.many = false
		}
		for i, m := range b.items {
			a.again, a.numbers = append(a.again, m), append(a.numbers, b.first+i)
		}
		return
	}
	data := b.data(len(b.items))
	for i := range b.items {
		if err != nil {
			data[i] = AppendData{}
		}
		a.tell(b.first+i, AppendResult{AppendData: data[i], Err: err})
	}
}

// rewind takes messages back to their beginning; false when one cannot be.
func rewind(items []AppendItem) bool {
	for _, m := range items {
		s, ok := m.Body.(io.Seeker)
		if !ok {
			return false
		}
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			return false
		}
	}
	return true
}
