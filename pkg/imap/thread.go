package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Thread is a message and the answers to it.
type Thread struct {
	UID     UID // 0: a message that is not there (RFC 5256 §4)
	Replies []*Thread
}

// Walk calls fn for the message and everything below it, parents first, with
// the depth below the thread's first message. It does not recurse.
func (t *Thread) Walk(fn func(t *Thread, depth int)) {
	type place struct {
		t     *Thread
		depth int
	}
	stack := []place{{t, 0}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		fn(p.t, p.depth)
		for i := len(p.t.Replies) - 1; i >= 0; i-- {
			stack = append(stack, place{p.t.Replies[i], p.depth + 1})
		}
	}
}

// Threads groups the messages that fulfil all keys into threads, by an algorithm
// of RFC 5256: ORDEREDSUBJECT, REFERENCES, or another one the server knows.
//
// Errors: *[CapabilityError] for a server without THREAD=algorithm.
func (c *Client) Threads(ctx context.Context, algorithm string, keys ...SearchKey) ([]*Thread, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return nil, err
	}
	if !c.has("THREAD=" + algorithm) {
		return nil, &CapabilityError{Command: "thread", Capability: "THREAD=" + algorithm}
	}
	most := min(c.exists, maxThreaded)
	r := &threadReader{left: most, dummies: most}
	cmd := &command{label: "thread", data: func(resp imapwire.Response, d *imapwire.Decoder) bool {
		if resp.Name != "THREAD" {
			return false
		}
		r.read(d)
		return true
	}}
	if err := c.checkKeys(keys); err != nil {
		return nil, err
	}
	c.dec.SetLineLimit(maxSearchLine)
	defer c.dec.SetLineLimit(0)
	err := c.run(cmd, "UID THREAD", func(e *imapwire.Encoder) {
		e.SP().Atom(algorithm).SP().Atom(charset(keys)).SP()
		encodeKeys(e, keys)
	})
	return r.found, err
}

// threadReader reads a THREAD response (RFC 5256 §4). It keeps a stack of its
// own: threads may branch as deep as the decoder allows, and chains have no
// bound but the messages.
type threadReader struct {
	found         []*Thread
	left, dummies uint32 // messages, and places of missing ones, that may still come
}

const (
	maxThreadDepth = 10_000  // branches within branches
	maxThreaded    = 1 << 20 // messages of one answer
)

func (r *threadReader) read(d *imapwire.Decoder) {
	var stack []*Thread // what each open parenthesis answers; nil: nothing
	var at *Thread      // the message before
	for d.Err() == nil && !d.AtEnd() {
		switch {
		case d.Accept(' '):
		case d.Accept('('):
			if len(stack) >= maxThreadDepth {
				d.Fail("more than %d nested threads", maxThreadDepth)
				return
			}
			if len(stack) > 0 && at == nil { // branches without a common message
				if r.dummies == 0 {
					d.Fail("more threads than the mailbox has messages")
					return
				}
				r.dummies--
				at = &Thread{}
				r.put(stack[len(stack)-1], at)
			}
			stack, at = append(stack, at), nil
		case d.Accept(')'):
			if len(stack) == 0 {
				d.Fail("closing parenthesis without an opening one")
				return
			}
			at = stack[len(stack)-1]
			stack = stack[:len(stack)-1]
		case len(stack) == 0:
			d.Fail("message outside of a thread")
		default:
			at = r.message(d, at, stack[len(stack)-1])
		}
	}
	if len(stack) > 0 {
		d.Fail("thread without an end")
	}
}

// message reads a UID: an answer to the one before it in its parentheses, else
// to what those answer.
func (r *threadReader) message(d *imapwire.Decoder, before, parent *Thread) *Thread {
	t := &Thread{UID: UID(d.NZNumber())}
	if r.left == 0 {
		d.Fail("more messages than the mailbox has")
		return nil
	}
	r.left--
	if before != nil {
		parent = before
	}
	r.put(parent, t)
	return t
}

func (r *threadReader) put(parent, t *Thread) {
	if parent == nil {
		r.found = append(r.found, t)
		return
	}
	parent.Replies = append(parent.Replies, t)
}
