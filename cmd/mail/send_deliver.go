package main

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// dialSMTP connects to the server and logs in.
func (c *call) dialSMTP(ctx context.Context, t *config.Target, o *smtp.Options) (*smtp.Client, error) {
	o.Wire = &t.Wire
	client, err := smtp.Dial(ctx, t.Endpoint, o)
	if err != nil {
		return nil, err
	}
	if err := client.Auth(ctx, &t.Credentials); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// delivery sends the messages of a source over one or more connections.
type delivery struct {
	c      *call
	o      *sendOptions
	feed   *feed
	report *sendReport
	up     func() // the first connection is there and logged in; called again it does nothing
}

// run sends everything. The other connections are opened when the first one is known to work, so that a wrong password
// is tried once.
func (d *delivery) run(ctx context.Context) error {
	ready := make(chan struct{})
	d.up = sync.OnceFunc(func() { close(ready) })
	errs := make(chan error, d.o.connections)
	first := make(chan struct{})
	var wg sync.WaitGroup
	work := func() {
		w := &worker{delivery: d, ctx: ctx}
		errs <- w.run()
	}
	wg.Go(func() {
		defer close(first)
		work()
	})
	select {
	case <-ready:
		for range d.o.connections - 1 {
			wg.Go(work)
		}
	case <-first:
	}
	wg.Wait()
	close(errs)
	d.settle(errs)
	return d.report.end()
}

// settle reports what ended connections, and what was not sent because of it. When others could do the work it was no
// failure.
func (d *delivery) settle(errs <-chan error) {
	left, more := d.feed.drain()
	for err := range errs {
		if err == nil {
			continue
		}
		if left == 0 && !more {
			d.c.note("%v", err)
			continue
		}
		d.report.fail(err)
		if d.feed.source.many && (left > 1 || more) {
			d.report.fail(codef(exitTemporary, "the connection ended: the rest of the messages was not sent"))
		}
		return
	}
}

// worker is one connection at a time.
type worker struct {
	*delivery
	ctx    context.Context
	target *config.Target // of this connection
	first  *job           // goes before what the feed has
	under  []*job         // given to the connection, not yet reported, oldest first
	begun  int            // messages given to this connection
	worked bool           // this connection has answered for a message
	direct exchanges      // with --mx
}

// run ends when there is nothing left to send, or with an error that another connection would not help against.
func (w *worker) run() error {
	defer w.direct.close()
	for {
		j := w.feed.next(nil)
		if j == nil {
			return nil
		}
		if err := w.o.rate.wait(w.ctx); err != nil || w.report.broken() {
			w.feed.putBack(j)
			return err
		}
		session := w.session
		if w.o.mx {
			session = w.deliverDirectly
		}
		if err := session(w.ctx, j); err != nil {
			return err
		}
	}
}

// session is one connection. Its error means that another one would not help.
func (w *worker) session(ctx context.Context, first *job) error {
	w.target = first.m.route.target
	if err := w.report.ready(w.target); err != nil {
		w.feed.putBack(first)
		return err
	}
	client, err := w.c.dialSMTP(ctx, w.target, &smtp.Options{LocalName: w.o.helo, NoChunking: w.o.noChunking})
	if err != nil {
		w.feed.putBack(first)
		return w.c.label(w.target, err)
	}
	w.up()
	if _, ok := client.Extension("DSN"); !ok && w.o.dsnGiven {
		w.c.note("%s: the server sends no reports on request (DSN); --dsn, --ret and --envid have no effect", w.target.Label())
	}
	w.first, w.begun, w.worked = first, 0, false
	for w.first != nil && w.begun < most(client) && err == nil && !w.report.broken() {
		err = client.SendAll(ctx, w.messages(client), w.done)
		if w.first == nil && err == nil && w.begun < most(client) {
			if w.first = w.feed.next(w.target); w.first != nil {
				err = w.o.rate.wait(ctx)
			}
		}
	}
	if w.first != nil {
		w.feed.putBack(w.first)
	}
	_ = client.Close()
	if err != nil && (ctx.Err() != nil || !w.worked) {
		return w.c.label(w.target, err)
	}
	return nil
}

// most is how many messages the server takes on one connection (RFC 9422 §4.1).
func most(client *smtp.Client) int {
	if limit := client.Limit("MAILMAX"); limit > 0 {
		return limit
	}
	return math.MaxInt
}

// messages gives the connection what is to be sent.
func (w *worker) messages(client *smtp.Client) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for ; w.begun < most(client); w.begun++ {
			j := w.first
			w.first = nil
			if j == nil && w.o.rate.pass() {
				j = w.feed.next(w.target)
			}
			if j == nil {
				return
			}
			form, err := j.m.fit(client, w.o.noChunking)
			if err != nil {
				_ = w.report.outcome(w.ctx, j.m, failed(j.m, "", err), err)
				j.m.close()
				continue
			}
			j.tries++
			w.under = append(w.under, j)
			body := &lazyReader{open: form.open}
			more := yield(&smtp.Message{Envelope: form.envelope, Body: w.report.bar.counting(body)})
			body.close()
			if !more {
				return
			}
		}
	}
}

// done takes the outcome of the oldest message under way.
func (w *worker) done(_ int, _ *smtp.Message, r *smtp.Result, err error) error {
	j := w.under[0]
	w.under = w.under[1:]
	if connectionLost(err) && (j.tries < 2 || !w.worked) { // without progress settle reports it, with all others
		w.feed.putBack(j)
		return nil
	}
	if loginMissing(err) {
		w.feed.putBack(j)
		return err
	}
	w.worked = true
	rest, r, err := tooMany(r, err)
	if len(rest) > 0 {
		w.feed.putBack(&job{m: j.m.to(rest)})
	} else {
		defer j.m.close()
	}
	return w.report.outcome(w.ctx, j.m, r, err)
}

// loginMissing is true for a server that takes nothing without a login (RFC 4954 §6): that says nothing about the message, and
// the next one would fare no better.
func loginMissing(err error) bool {
	var refused *smtp.Error
	return errors.As(err, &refused) && refused.Code == 530 && refused.Phase == smtp.PhaseMail
}

// connectionLost is true for errors that say nothing about the message: it was not sent.
func connectionLost(err error) bool {
	var (
		partial    *smtp.PartialError
		none       *smtp.NoRecipientError
		uncertain  *smtp.UncertainError
		capability *smtp.CapabilityError
		body       *smtp.BodyError
		refused    *smtp.Error
		argument   *wire.ArgumentError
	)
	switch {
	case err == nil, errors.As(err, &partial), errors.As(err, &none), errors.As(err, &uncertain), errors.As(err, &capability),
		errors.As(err, &body), errors.As(err, &argument), errors.Is(err, wire.ErrBareLineEnd):
		return false
	case errors.As(err, &refused):
		return refused.Code == 421
	}
	return true
}
