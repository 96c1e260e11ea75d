package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"

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
		if errors.Is(err, errNoText) {
			return noMessage(), nil
		}
		if err != nil {
			return nil, err
		}
		m, err := p.prepareDraft(made)
		if err != nil {
			return nil, err
		}
		return oneMessage(m), nil
	}
	if names := o.sources.Value(); len(names) > 0 {
		return fromSources(names, p)
	}
	r, err := c.input("a message")
	if err != nil {
		return nil, err
	}
	return streamOf(store.ReadStream(r), "on standard input", p), nil
}

// fromSources is a source of the messages in files and folders, which must all be there.
func fromSources(names []string, p *preparer) (*sendSource, error) {
	var all []iter.Seq2[*store.Message, error]
	for _, name := range names {
		kind, path, _ := strings.Cut(name, ":")
		switch read := map[string]func(string) iter.Seq2[*store.Message, error]{"maildir": store.ReadMaildir, "eml": store.ReadEML, "mbox": readFile}[kind]; {
		case read != nil:
			if _, err := os.Stat(path); err != nil {
				return nil, err
			}
			all = append(all, read(path))
		default:
			files, err := findFiles([]string{name})
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				if _, err := os.Stat(f.Path); err != nil {
					return nil, err
				}
				all = append(all, readFile(f.Path))
			}
		}
	}
	return streamOf(func(yield func(*store.Message, error) bool) {
		for _, one := range all {
			for m, err := range one {
				if !yield(m, err) {
					return
				}
			}
		}
	}, "in what --message names", p), nil
}

// readFile reads the message, or the mbox, in a file.
func readFile(path string) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = f.Close() }()
		for m, err := range store.ReadStream(f) {
			if !yield(m, err) {
				return
			}
		}
	}
}

// noMessage is a source of none.
func noMessage() *sendSource {
	return &sendSource{next: func() (*outgoing, error, bool) { return nil, nil, false }, stop: func() {}}
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

// streamOf is a source of the messages of a sequence, which come from place.
func streamOf(messages iter.Seq2[*store.Message, error], place string, p *preparer) *sendSource {
	pull, stop := iter.Pull2(messages)
	n := 0
	return &sendSource{
		many: true,
		stop: stop,
		next: func() (*outgoing, error, bool) {
			got, err, ok := pull()
			switch {
			case !ok && n == 0:
				n++
				return nil, codef(exitData, "there is no message %s", place), true
			case !ok:
				return nil, nil, false
			}
			n++
			if err != nil {
				return nil, err, true
			}
			m, err := p.prepare(n, takeOver(got))
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
func (c *call) showEnvelopes(source *sendSource) error {
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
		fmt.Fprintf(c.stderr, "mail: would send to %s: <%s>, %s\n", c.errText(m.server("")), c.errText(m.id), size)
		fmt.Fprintf(c.stderr, "mail: from <%s>\n", c.errText(m.envelope.From))
		for _, addr := range m.envelope.Rcpt {
			fmt.Fprintf(c.stderr, "mail: to <%s>\n", c.errText(addr))
		}
		m.close()
	}
}
