package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

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

// delivery sends the messages of a source, over one connection as long as it holds.
type delivery struct {
	c      *call
	o      *sendOptions
	target *config.Target
	source *sendSource

	under    []*job // given to the connection, not yet reported, oldest first
	again    []*job // lost their connection before they were sent
	ahead    *job   // taken from the source to see whether there is one
	ended    bool   // the source is empty
	progress bool   // this connection has answered for a message
	begun    int    // messages given to this connection
	last     int    // number of the last message taken from the source

	accepted int   // recipients
	code     int   // exit code so far
	output   error // standard output failed
}

// job is a message on its way.
type job struct {
	m     *outgoing
	tries int
}

func (d *delivery) run(ctx context.Context) error {
	for d.more() {
		err := d.session(ctx)
		if d.output != nil {
			return d.output
		}
		if err != nil {
			d.dropAll(err)
			break
		}
	}
	if d.accepted > 0 && (d.code == exitNoUser || d.code == exitRefused) {
		d.code = exitPartial
	}
	if d.code != exitOK {
		return silent(d.code)
	}
	return nil
}

// more is true when there is something left to send. It takes a message from the source, so that what is wrong with the
// first is known before the server is connected to.
func (d *delivery) more() bool {
	if len(d.again) > 0 || d.ahead != nil {
		return true
	}
	d.ahead = d.take()
	return d.ahead != nil
}

// take gives the next message of the source that can be sent, reporting those that cannot.
func (d *delivery) take() *job {
	for !d.ended {
		m, err, ok := d.source.next()
		switch {
		case !ok:
			d.ended = true
		case err != nil:
			d.fail(err)
		default:
			d.last = m.number
			return &job{m: m}
		}
	}
	return nil
}

// session is one connection. Its error means that another one would not help.
func (d *delivery) session(ctx context.Context) error {
	client, err := d.c.dialSMTP(ctx, d.target, &smtp.Options{LocalName: d.o.helo, NoChunking: d.o.noChunking})
	if err != nil {
		return err
	}
	if _, ok := client.Extension("DSN"); !ok && d.o.dsnGiven {
		d.c.note("%s: the server sends no reports on request (DSN); --dsn, --ret and --envid have no effect", d.target.Label())
	}
	d.progress, d.begun = false, 0
	for err == nil && d.begun < d.most(client) && d.more() { // done may have put something back
		err = client.SendAll(ctx, d.messages(client), d.done)
	}
	_ = client.Close()
	if err != nil && (ctx.Err() != nil || !d.progress) {
		return err
	}
	return nil
}

// most is how many messages the server takes on one connection (RFC 9422 §4.1).
func (d *delivery) most(client *smtp.Client) int {
	if limit := client.Limit("MAILMAX"); limit > 0 {
		return limit
	}
	return math.MaxInt
}

// messages gives the connection what is to be sent.
func (d *delivery) messages(client *smtp.Client) iter.Seq[*smtp.Message] {
	return func(yield func(*smtp.Message) bool) {
		for ; d.begun < d.most(client); d.begun++ {
			j := d.nextJob()
			if j == nil {
				return
			}
			j.tries++
			d.under = append(d.under, j)
			if !yield(&smtp.Message{Envelope: j.m.envelope, Body: &lazyReader{open: j.m.wire}}) {
				return
			}
		}
	}
}

func (d *delivery) nextJob() *job {
	if len(d.again) > 0 {
		j := d.again[0]
		d.again = d.again[1:]
		return j
	}
	if j := d.ahead; j != nil {
		d.ahead = nil
		return j
	}
	return d.take()
}

// done takes the outcome of the oldest message under way.
func (d *delivery) done(_ int, _ *smtp.Message, r *smtp.Result, err error) error {
	j := d.under[0]
	d.under = d.under[1:]
	if connectionLost(err) && (j.tries < 2 || !d.progress) { // without progress dropAll reports it, with all others
		d.again = append(d.again, j)
		return nil
	}
	d.progress = true
	rest, r, err := tooMany(r, err)
	if len(rest) > 0 {
		d.again = append(d.again, &job{m: j.m.to(rest)})
	} else {
		defer j.m.close()
	}
	d.output = d.outcome(j.m, r, err)
	return d.output
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

// dropAll reports err, which ends the run, and what was not sent because of it.
func (d *delivery) dropAll(err error) {
	d.fail(d.c.label(d.target, err))
	left := len(d.again)
	for _, j := range d.again {
		j.m.close()
	}
	if d.ahead != nil {
		d.ahead.m.close()
		left++
	}
	if !d.source.many || left == 0 && d.ended {
		return
	}
	if left > 1 || !d.ended && d.sourceHasMore() {
		d.fail(codef(exitTemporary, "the connection ended: the rest of the messages was not sent"))
	}
}

func (d *delivery) sourceHasMore() bool {
	m, _, ok := d.source.next()
	if m != nil {
		m.close()
	}
	return ok
}

// fail prints an error and remembers its code: one that a retry does not mend wins.
func (d *delivery) fail(err error) {
	d.c.report(err)
	if code := exitCode(err); d.code == exitOK || d.code == exitTemporary {
		d.code = code
	}
}

// lazyReader opens a message when it is first read.
type lazyReader struct {
	open func() (io.Reader, error)
	r    io.Reader
}

func (l *lazyReader) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, fmt.Errorf("reading the message again: %w", err)
		}
		l.r = r
	}
	return l.r.Read(p)
}
