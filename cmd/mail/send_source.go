package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/mail-toolkit/mail/pkg/store"
)

// sendSource gives the messages to send, one after the other, each made ready when it is asked for.
type sendSource struct {
	next func() (m *outgoing, err error, ok bool) // an err concerns one message; the next may be good
	stop func()
	many bool
}

// sendSource opens what is to be sent: a message composed from flags, or what is on standard input.
func (c *call) sendSource(o *sendOptions, p *preparer) (*sendSource, error) {
	if o.draft.wanted() {
		made, err := o.draft.compose(c, p)
		if err != nil {
			return nil, err
		}
		m, err := p.prepare(1, made.spool, made.rcpt)
		if err != nil {
			return nil, err
		}
		return oneMessage(m), nil
	}
	r, err := c.input("a message")
	if err != nil {
		return nil, err
	}
	return streamOf(r, p), nil
}

// oneMessage is a source of one.
func oneMessage(m *outgoing) *sendSource {
	given := false
	return &sendSource{
		next: func() (*outgoing, error, bool) {
			if given {
				return nil, nil, false
			}
			given = true
			return m, nil, true
		},
		stop: func() {
			if !given {
				m.close()
			}
		},
	}
}

// streamOf is a source of the messages in r.
func streamOf(r io.Reader, p *preparer) *sendSource {
	pull, stop := iter.Pull2(store.ReadStream(r))
	n := 0
	return &sendSource{
		many: true,
		stop: stop,
		next: func() (*outgoing, error, bool) {
			got, err, ok := pull()
			switch {
			case !ok && n == 0:
				n++
				return nil, codef(exitData, "there is no message on standard input"), true
			case !ok:
				return nil, nil, false
			}
			n++
			if err != nil {
				return nil, err, true
			}
			m, err := p.prepare(n, takeOver(got), nil)
			return m, err, true
		},
	}
}

// takeOver makes the spool of a message of a stream ours: the stream closes its own, an empty one, when the next
// message is asked for.
func takeOver(m *store.Message) *store.Spool {
	own := new(store.Spool)
	*own, *m.Spool = *m.Spool, store.Spool{}
	return own
}

// printMessages is --print: one message as it is, several as an mboxrd stream.
func (c *call) printMessages(ctx context.Context, source *sendSource) error {
	first, err, ok := source.next()
	second, err2, ok2 := source.next()
	sink, e := store.OpenSink("-", store.SinkOptions{Stdout: c.stdout, Many: ok2})
	if e != nil {
		return e
	}
	var errs []error
	put := func(m *outgoing, err error) {
		if err == nil {
			err = c.printMessage(ctx, sink, m)
		}
		errs = append(errs, err)
	}
	if ok {
		put(first, err)
	}
	for m, err, ok := second, err2, ok2; ok; m, err, ok = source.next() {
		put(m, err)
	}
	return errors.Join(append(errs, sink.Close())...)
}

func (c *call) printMessage(ctx context.Context, sink store.Sink, m *outgoing) error {
	defer m.close()
	r, err := m.wire()
	if err != nil {
		return err
	}
	_, err = sink.Put(ctx, r, store.Meta{Date: c.now(), From: m.envelope.From})
	return err
}

// showEnvelopes is --dry-run: what would be sent, on standard error, without a connection.
func (c *call) showEnvelopes(p *preparer, source *sendSource) error {
	var errs []error
	for {
		m, err, ok := source.next()
		if !ok {
			return errors.Join(errs...)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		size := fmt.Sprintf("%d octets", m.facts.Size)
		if m.facts.EightBit {
			size += ", 8-bit"
		}
		fmt.Fprintf(c.stderr, "mail: would send to %s: <%s>, %s\n", c.errText(p.target.Label()), c.errText(m.id), size)
		fmt.Fprintf(c.stderr, "mail: from <%s>\n", c.errText(m.envelope.From))
		for _, addr := range m.envelope.Rcpt {
			fmt.Fprintf(c.stderr, "mail: to <%s>\n", c.errText(addr))
		}
		m.close()
	}
}
