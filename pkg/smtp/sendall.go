package smtp

import (
	"context"
	"io"
	"iter"
)

// Message is one message for SendAll.
type Message struct {
	Envelope *Envelope
	Body     io.Reader // wire form; read once, before the next message is asked for
}

// SendAll delivers many messages over the connection and does not wait for one to be confirmed before it sends the
// next: with PIPELINING and CHUNKING many short messages are under way at once, with PIPELINING alone the envelope of
// one travels with the text of the one before. Over LMTP each is confirmed first. The outcome of each is the same as
// with Send.
//
// A message is asked for when it is about to be sent, so that the caller can make it for this server: see
// Client.Extension, Client.Takes and Client.Limit.
//
// done is called once for every message taken from messages, in order, with its number (from 0) and what Send would
// have returned. It must not use the Client. Its error ends the run: messages under way are then still reported, but no
// other is begun.
//
// The error is that of done, or the one that ended the connection; messages not taken from the sequence were not sent
// then.
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[*Message], done func(i int, m *Message, r *Result, err error) error) error {
	defer c.conn.Bind(ctx)()
	f := &flight{done: done}
	for m := range messages {
		t, err := c.begin(m.Envelope)
		if err == nil {
			err = c.transact(t, m.Body)
		}
		if err == nil && (!c.pipelining() || c.lmtp()) { // how many replies LMTP owes depends on the recipients
			err = c.settle()
		}
		if c.conn.Err() != nil && err != nil {
			err = c.lastWords(t, err)
		}
		f.add(m, t, err)
		f.land(c, c.conn.Err())
		if f.err != nil || c.conn.Err() != nil {
			break
		}
	}
	err := c.conn.Err()
	if err == nil {
		if err = c.settle(); err != nil {
			err = c.lastWords(c.newest, err)
		}
	}
	f.land(c, err)
	if f.err != nil {
		return f.err
	}
	return err
}

// flight is the messages that are under way, oldest first.
type flight struct {
	done  func(i int, m *Message, r *Result, err error) error
	queue []inFlight
	next  int // number of the oldest
	err   error
}

type inFlight struct {
	m   *Message
	t   *transaction
	err error // what transact returned
}

func (f *flight) add(m *Message, t *transaction, err error) {
	f.queue = append(f.queue, inFlight{m, t, err})
}

// land reports the messages whose outcome is known: all of them when the connection has ended with err.
func (f *flight) land(c *Client, err error) {
	for len(f.queue) > 0 {
		one := f.queue[0]
		if err == nil && one.t.owing > 0 {
			return
		}
		if one.err == nil && one.t.owing > 0 {
			one.err = err
		}
		r, e := c.finish(one.t, one.err)
		f.queue = f.queue[1:]
		if e := f.done(f.next, one.m, r, e); e != nil && f.err == nil {
			f.err = e
		}
		f.next++
	}
}
