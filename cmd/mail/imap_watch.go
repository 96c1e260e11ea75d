package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

type imapWatchOptions struct {
	exec   string
	once   bool
	after  int64
	poll   time.Duration
	others string
}

// imapWatchCommand is `mail imap watch`.
func (e *env) imapWatchCommand() *cli.Command {
	o := &imapWatchOptions{after: -1}
	return e.leaf(leaf{
		name:  "watch",
		usage: "tell of new messages, or run a command for each",
		about: "Prints a line for each change in the mailbox as it happens: `new` with UID, date, sender and subject, `gone` with " +
			"UID, `flags` with UID and flags. The server tells of them (IDLE); where it cannot, it is asked now and then. It ends " +
			"with a signal, with --once, or when the time of --timeout is over.\n\n" +
			"With --exec nothing is printed; COMMAND is run for each new message, one after the other, with the message on its " +
			"standard input, and MAIL_UID, MAIL_UIDVALIDITY and MAIL_MAILBOX in its environment. It is split into words and not " +
			"given to a shell. When it fails that is told, and the next message is taken; with --once its status is that of " +
			"`mail imap watch`, else the status is 3 at the end of the time.\n\n" +
			"When the connection is lost, the server says goodbye, a token expires or the computer has slept, it connects " +
			"again, at once first and then with growing pauses up to a minute, and asks the token's command anew. What has come " +
			"meanwhile is told then: no message is missed, and none told twice. Messages that are there at the begin count as " +
			"known, but for those with UIDs above --after. Only when the mailbox was made anew (its UIDVALIDITY changed) " +
			"nobody can know what is new: what is there then counts as known, and that is told.\n\n" +
			"With --timeout, status 75 says that --once waited for nothing.",
		args:    "MAILBOX",
		minArgs: 1,
		maxArgs: 1,
		exits:   []int{exitIncomplete},
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "exec", Usage: "run `COMMAND` for each new message", Destination: &o.exec},
			&cli.BoolFlag{Name: "once", Usage: "end after the first new message", Destination: &o.once},
			&cli.Int64Flag{Name: "after", Value: -1, DefaultText: " ", Usage: "take messages with higher UIDs than `UID` as new", Destination: &o.after},
			durationFlag("poll", "ask a server without IDLE every `TIME`, such as 30s (default: 1m)", &o.poll, ""),
			choiceFlag("others", "tell of other mailboxes too (NOTIFY): inboxes, personal or subscribed ones (`WHICH`)", &o.others,
				"inboxes", "personal", "subscribed"),
		},
		run: func(ctx context.Context, c *call) error { return c.imapWatch(ctx, o) },
	})
}

const (
	watchPause    = 500 * time.Millisecond // before the second attempt to connect again
	watchMaxPause = time.Minute
	watchTries    = 3                // logins refused in a row, or sessions that a message ended
	clockStep     = 5 * time.Second  // between two looks at the clock
	clockJump     = 20 * time.Second // that a computer which slept is known by
)

var (
	errWatched   = errors.New("the message has come")
	errSuspended = errors.New("the computer has slept")
)

// imapWatching is one run of the command, over many sessions.
type imapWatching struct {
	*call
	o       *imapWatchOptions
	target  *config.Target
	command *execBatch       // nil without --exec
	state   imap.State       // what has been told of
	begun   bool             // state is known
	refused int              // logins in a row
	spoiled map[imap.UID]int // sessions that ended while this message was fetched
	status  int              // of the last command that failed
}

func (c *call) imapWatch(ctx context.Context, o *imapWatchOptions) error {
	if o.after > math.MaxUint32 {
		return usagef("%d is no UID", o.after)
	}
	c.overrides.Timeout = 0 // it is not the network's here
	t, err := c.loginTarget(wire.IMAP)
	if err != nil {
		return err
	}
	w := &imapWatching{call: c, o: o, target: t, spoiled: map[imap.UID]int{}}
	if o.exec != "" {
		words, err := execWords(o.exec)
		if err != nil {
			return err
		}
		if w.command, err = c.newExecBatch(words); err != nil {
			return err
		}
	}
	limited := ctx
	if c.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	err = w.loop(limited)
	switch {
	case errors.Is(err, errWatched):
		return endedWith(w.status)
	case ctx.Err() != nil || !errors.Is(limited.Err(), context.DeadlineExceeded):
		return err
	case o.once:
		return codef(exitTemporary, "no new message within %v", c.timeout)
	case w.status != 0:
		return silent(exitIncomplete)
	}
	return nil
}

// endedWith is the error for the status of a command.
func endedWith(status int) error {
	if status == 0 {
		return nil
	}
	return silent(status)
}

// loop keeps a session up.
func (w *imapWatching) loop(ctx context.Context) error {
	pause := time.Duration(0)
	for {
		began := time.Now()
		err := w.session(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errWatched) || !w.begun || !w.again(err):
			return w.sessionError(w.target, err)
		}
		var refused *imap.Error
		after := time.Duration(0)
		if errors.As(err, &refused) {
			after = refused.RetryAfter()
		}
		if errors.Is(err, errSuspended) || time.Since(began) > watchMaxPause {
			pause = 0
		}
		pause = max(pause, after)
		w.note("%v; connecting again", w.label(w.target, err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(max(2*pause, watchPause), watchMaxPause)
	}
}

// again tells if another session may go better.
func (w *imapWatching) again(err error) bool {
	var (
		ours   *localError
		output *outputError
		source *auth.SourceError
	)
	if err == nil || lacksExtension(err) || errors.As(err, &output) || errors.As(err, &ours) {
		return false
	}
	switch code := exitCode(err); {
	case errors.Is(err, errSuspended), errors.As(err, &source): // the command may need the network too
		return true
	case code == exitNoPerm:
		w.refused++
		return w.refused < watchTries
	default:
		return code == exitTemporary || code == exitNoHost || code == exitProtocol
	}
}

// session connects, catches up, and watches until something ends it.
func (w *imapWatching) session(outer context.Context) error {
	ctx, cancel := context.WithCancelCause(outer)
	var looking sync.WaitGroup
	looking.Go(func() { watchClock(ctx, clock{w.now, clockStep}, func() { cancel(errSuspended) }) })
	defer looking.Wait()
	defer cancel(nil)
	err := w.watch(ctx, outer)
	if errors.Is(context.Cause(ctx), errSuspended) {
		return errSuspended
	}
	return err
}

// clock is what a sleep of the computer is seen by.
type clock struct {
	now  func() time.Time
	step time.Duration
}

// watchClock calls slept when the clock on the wall has gone on and the process has not: the computer has slept, or the
// process was stopped. The connection may be dead then, of which a client that waits learns nothing. It ends with ctx.
func watchClock(ctx context.Context, c clock, slept func()) {
	tick := time.NewTicker(c.step)
	defer tick.Stop()
	for wall := c.now().Round(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := c.now().Round(0)
		if now.Sub(wall) > c.step+clockJump {
			slept()
			return
		}
		wall = now
	}
}

func (w *imapWatching) watch(ctx, outer context.Context) error {
	client, err := w.loginIMAP(ctx, w.target)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	w.refused = 0
	ch, err := client.Resync(ctx, w.args[0], w.state, nil)
	if err != nil {
		return noMailbox(err)
	}
	if err := w.begin(ch); err != nil {
		return err
	}
	known := w.state.Known.Clone()
	options := &imap.WatchOptions{Known: &known, Poll: w.o.poll}
	if w.o.others != "" {
		options.Others = []imap.NotifyGroup{{Filter: w.o.others, Events: []imap.NotifyEvent{
			imap.NotifyMessageNew, imap.NotifyMessageExpunge, imap.NotifyMailboxName}}}
	}
	return client.Watch(ctx, options, func(e imap.Event) error {
		if err := w.event(outer, client, e); err != nil {
			return err
		}
		return w.flush()
	})
}

// begin takes over what is in the mailbox.
func (w *imapWatching) begin(ch *imap.Changes) error {
	validity := ch.State.UIDValidity
	switch {
	case w.begun && (!ch.Reset || validity == 0 && w.state.UIDValidity == 0):
		w.state.ModSeq = ch.State.ModSeq
		return nil
	case w.begun:
		w.note("mailbox %q was made anew: what is there counts as known", w.args[0])
		if w.json {
			if err := w.printJSON(imapEvent{Event: "reset", imapObject: imapObject{Mailbox: valid(w.args[0]), UIDValidity: validity}}); err != nil {
				return err
			}
		}
	case w.o.after >= 0 && w.o.after < math.MaxUint32:
		var fresh imap.UIDSet
		fresh.AddRange(imap.UID(w.o.after+1), math.MaxUint32)
		ch.State.Known = ch.State.Known.Minus(fresh)
	}
	w.state, w.begun = ch.State, true
	return w.flush()
}

// imapEvent is an event in --json output.
type imapEvent struct {
	Event string `json:"event"`
	imapObject
	Status      *int         `json:"status,omitempty"` // of the command
	OtherStatus *imapMailbox `json:"state,omitempty"`  // of another mailbox
}

// event tells of a change.
func (w *imapWatching) event(ctx context.Context, client *imap.Client, e imap.Event) error {
	switch e.Kind {
	case imap.EventNew:
		return w.arrived(ctx, client, e.UIDs)
	case imap.EventGone:
		w.state.Known = w.state.Known.Minus(e.UIDs)
		for uid := range e.UIDs.All() {
			if err := w.tell(imapEvent{Event: "gone", imapObject: imapObject{UID: uid}}, uidText(uid)); err != nil {
				return err
			}
		}
	case imap.EventFlags:
		for uid := range e.UIDs.All() {
			out := imapEvent{Event: "flags", imapObject: imapObject{UID: uid, Keywords: jmapKeywords(e.Flags)}}
			if err := w.tell(out, uidText(uid), strings.Join(flagWords(e.Flags), " ")); err != nil {
				return err
			}
		}
	case imap.EventMailbox, imap.EventList:
		return w.other(e)
	}
	return nil
}

// tell prints an event; with --exec, in JSON only.
func (w *imapWatching) tell(e imapEvent, columns ...string) error {
	e.Mailbox = valid(w.args[0])
	switch {
	case w.json:
		return w.printJSON(e)
	case w.command != nil:
		return nil
	}
	return w.row(append([]string{e.Event}, columns...)...)
}

// other tells of another mailbox.
func (w *imapWatching) other(e imap.Event) error {
	if w.json {
		out := imapEvent{Event: e.Kind.String(), imapObject: imapObject{Mailbox: valid(e.Mailbox)}, OtherStatus: &imapMailbox{Name: valid(e.Mailbox)}}
		out.OtherStatus.addStatus(e.Status)
		if e.Listed != nil {
			out.OtherStatus.Attributes = flagWords(e.Listed.Attrs)
		}
		return w.printJSON(out)
	}
	if w.command != nil {
		return nil
	}
	columns := []string{e.Kind.String(), e.Mailbox}
	if e.Listed != nil {
		columns = append(columns, strings.Join(flagWords(e.Listed.Attrs), " "))
	}
	return w.row(columns...)
}

// arrived deals with new messages, in the order of their UIDs; with --once with the first one that is still there.
func (w *imapWatching) arrived(ctx context.Context, client *imap.Client, set imap.UIDSet) error {
	if w.command == nil && !w.o.once {
		_, err := w.describe(ctx, client, set)
		return err
	}
	for uid := range set.All() {
		var one imap.UIDSet
		one.Add(uid)
		take := w.describe
		if w.command != nil {
			take = w.pass
		}
		switch there, err := take(ctx, client, one); {
		case err != nil:
			return err
		case there && w.o.once:
			return errWatched
		}
	}
	return nil
}

// describe tells of messages.
func (w *imapWatching) describe(ctx context.Context, client *imap.Client, set imap.UIDSet) (there bool, err error) {
	items := &imap.FetchOptions{Envelope: true, Flags: true, InternalDate: true, Size: true}
	var told imap.UIDSet
	_, err = client.Fetch(ctx, set, items, func(m *imap.Message) error {
		out := imapEvent{Event: "new", imapObject: imapObjectOf(m)}
		out.addEnvelope(m.Envelope)
		if err := w.tell(out, out.columns()...); err != nil {
			return err
		}
		told.Add(m.UID)
		return nil
	})
	w.state.Known.AddSet(told)
	if err == nil { // those that did not come are gone again
		w.state.Known.AddSet(set)
	}
	return !told.Empty(), err
}

// pass gives one message to the command. A message that ends one session after the other is left out.
func (w *imapWatching) pass(ctx context.Context, client *imap.Client, one imap.UIDSet) (there bool, err error) {
	var uid imap.UID
	var sp *store.Spool
	for uid = range one.All() {
	}
	_, err = client.Fetch(ctx, one, &imap.FetchOptions{Sections: []imap.Section{{}}}, func(m *imap.Message) error {
		body, err := m.Next()
		if err == nil {
			sp, err = store.NewWireSpool(body)
		}
		return err
	})
	if err != nil {
		if w.spoiled[uid]++; w.spoiled[uid] == watchTries && ctx.Err() == nil {
			w.note("message %d of %q cannot be fetched: it is left out: %v", uid, w.args[0], err)
			w.state.Known.Add(uid)
			w.status = exitIncomplete
		}
		return false, err
	}
	delete(w.spoiled, uid)
	if sp == nil {
		w.state.Known.Add(uid)
		return false, nil
	}
	defer func() { _ = sp.Close() }()
	status, err := w.run(ctx, uid, sp)
	if err != nil {
		return true, &localError{err}
	}
	w.state.Known.Add(uid)
	if status != 0 {
		w.status = status
		w.note("message %d of %q: %s ended with status %d", uid, w.args[0], w.command.argv[0], status)
	}
	return true, w.tell(imapEvent{Event: "new", imapObject: imapObject{UID: uid, Size: sp.WireSize()}, Status: &status})
}

// run runs the command and gives its status.
func (w *imapWatching) run(ctx context.Context, uid imap.UID, sp *store.Spool) (status int, err error) {
	var text io.Reader = sp.LF()
	if !sp.Facts().Reversible() {
		text = sp.Wire()
	}
	command := *w.command
	command.env = append(slices.Clip(command.env), "MAIL_UID="+uidText(uid), "MAIL_MAILBOX="+w.args[0],
		"MAIL_UIDVALIDITY="+strconv.FormatUint(uint64(w.state.UIDValidity), 10))
	err = command.run(ctx, text)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() == nil && errors.As(err, &ended):
		return exitStatus(ended), nil
	}
	return 0, err
}

// exitStatus is the status of a command as a shell gives it: 128 and the number of the signal that ended it.
func exitStatus(ended *exec.ExitError) int {
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return ended.ExitCode()
}
