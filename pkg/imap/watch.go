package imap

import (
	"context"
	"errors"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// WatchOptions say how to watch; nil means the defaults.
type WatchOptions struct {
	// Known are the messages that the caller knows, such as those of
	// [Changes.State] or of an earlier Watch: what has come or gone since comes
	// first. nil: only what changes from now on.
	Known *UIDSet
	// Refresh is after how long an IDLE is renewed, and how often a silent
	// connection is asked for a sign of life; 0 means 9 minutes, which is below
	// what most gateways forget a connection after, and 29 minutes is the most.
	Refresh time.Duration
	// Poll is how often to ask a server that has no IDLE; 0 means a minute.
	Poll time.Duration
	// For ends the watch after so long; 0 means never.
	For time.Duration
	// Others are groups of further mailboxes to watch (RFC 5465), which needs
	// NOTIFY: [EventMailbox] and [EventList] tell of them. The selected mailbox
	// is watched in any case.
	Others []NotifyGroup
	// NoIdle polls although the server offers IDLE.
	NoIdle bool
}

// ErrStop is what the callback of a Watch returns to end it without an error.
var ErrStop = errors.New("stop")

// errWatchMoved is a callback that selected another mailbox.
var errWatchMoved = errors.New("watch: another mailbox was selected")

// Watch tells fn of every change in the selected mailbox as it happens, until
// fn returns an error, ctx ends, o.For is over or the connection breaks. It
// uses IDLE (RFC 2177), NOTIFY (RFC 5465) where o.Others wants it, else NOOP.
// fn may use the Client, say, to fetch the messages that have come, but not
// select another mailbox. An error of fn is returned, [ErrStop] as nil; the
// Client can be used further then. When ctx ends, the connection is dead.
//
// Messages are named by UID whatever the server tells. After a message has
// come, EventNew tells of it once, and EventGone once when it is gone; a
// message that came and went in between is not told of. Flag changes may be
// told more than once.
//
// Errors: *[CapabilityError] for Others without NOTIFY, *[Error] with status
// BYE when the server ends the session: both [Error.Temporary] and the errors
// of the connection mean to connect again, call [Client.Resync] and watch on.
func (c *Client) Watch(ctx context.Context, o *WatchOptions, fn func(Event) error) error {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return err
	}
	w := newWatcher(c, o)
	c.watched = w.t
	defer func() { c.watched = nil }()
	err := w.run(fn)
	if w.o.Others != nil && c.dead() == nil {
		if e := c.notify(nil); err == nil {
			err = e
		}
	}
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

type watcher struct {
	c    *Client
	o    WatchOptions
	t    *tracker
	ends time.Time
}

func newWatcher(c *Client, o *WatchOptions) *watcher {
	w := &watcher{c: c, t: &tracker{mailbox: c.selected}}
	if o != nil {
		w.o = *o
	}
	if w.o.Refresh <= 0 {
		w.o.Refresh = 9 * time.Minute
	}
	w.o.Refresh = min(w.o.Refresh, maxIdling)
	if w.o.Poll <= 0 {
		w.o.Poll = time.Minute
	}
	if w.o.For > 0 {
		w.ends = time.Now().Add(w.o.For)
	}
	return w
}

func (w *watcher) run(fn func(Event) error) error {
	if len(w.o.Others) > 0 {
		if err := w.c.notify(w.notifications()); err != nil {
			return err
		}
	}
	if err := w.look(w.o.Known); err != nil {
		return err
	}
	for {
		if err := w.deliver(fn); err != nil {
			return err
		}
		if w.t.lost {
			known := w.t.known()
			if err := w.look(&known); err != nil {
				return err
			}
			continue
		}
		if w.t.unknown() {
			if err := w.arrived(); err != nil {
				return err
			}
			continue
		}
		left := w.left()
		if left <= 0 {
			return nil
		}
		if err := w.wait(left); err != nil {
			return err
		}
	}
}

// left is how much longer to watch.
func (w *watcher) left() time.Duration {
	if w.ends.IsZero() {
		return maxIdling
	}
	return time.Until(w.ends)
}

// deliver gives the queued events to fn.
func (w *watcher) deliver(fn func(Event) error) error {
	events := w.t.events
	w.t.events = nil
	for _, e := range events {
		if err := fn(e); err != nil {
			return err
		}
		if err := w.c.dead(); err != nil {
			return err
		}
		if w.c.selected != w.t.mailbox {
			return errWatchMoved
		}
	}
	return nil
}

// maxLooks bounds the attempts to find as many messages as the server counts.
const maxLooks = 5

// look asks for all UIDs and compares them with those known; nil compares with
// nothing.
func (w *watcher) look(known *UIDSet) error {
	c := w.c
	for range maxLooks {
		c.watched = nil
		found, err := c.searchUIDs(nil)
		c.watched = w.t
		if err != nil {
			return err
		}
		if found.Count() > maxWatched {
			return c.protocolError("more than %d messages to watch", maxWatched)
		}
		if found.Count() != uint64(c.exists) { // one has come or gone meanwhile
			if err := c.run(&command{}, "NOOP", nil); err != nil {
				return err
			}
			continue
		}
		w.t.set(found)
		w.t.compare(known, found)
		return nil
	}
	return c.protocolError("the server counts %d messages and does not find as many", c.exists)
}

// compare queues what is different between two sets of messages.
func (t *tracker) compare(known *UIDSet, found UIDSet) {
	if known == nil {
		return
	}
	if gone := known.Minus(found); !gone.Empty() {
		t.add(Event{Kind: EventGone, UIDs: gone})
	}
	if come := found.Minus(*known); !come.Empty() {
		t.add(Event{Kind: EventNew, UIDs: come})
	}
}

// arrived asks for the UIDs of messages that have come.
func (w *watcher) arrived() error {
	var set UIDSet
	set.AddRange(w.t.last()+1, imapwire.Star)
	err := w.c.run(&command{label: "fetch", data: w.t.data}, "UID FETCH", func(e *imapwire.Encoder) {
		e.SP().UIDSet(set).SP().Raw("(UID)")
	})
	w.t.lost = w.t.lost || w.t.unknown()
	return err
}

// wait waits for something to happen.
func (w *watcher) wait(left time.Duration) error {
	c, t := w.c, w.t
	news := func() bool { return t.lost || t.unknown() || len(t.events) > 0 }
	every := w.o.Poll
	switch {
	case len(w.o.Others) > 0: // the server speaks when it likes
		every = w.o.Refresh
	case c.has("IDLE") && !w.o.NoIdle:
		_, err := c.idleFor(min(left, w.o.Refresh), news)
		var refused *Error
		if !errors.As(err, &refused) || c.dead() != nil {
			return err
		}
		w.o.NoIdle = true
		return nil
	}
	end := time.Now().Add(min(left, every))
	for !news() || c.conn.Buffered() > 0 {
		some, err := c.conn.Wait(max(time.Until(end), 0))
		if err != nil {
			return c.deadOr(err)
		}
		if !some {
			return c.run(&command{}, "NOOP", nil)
		}
		if err := c.step(); err != nil {
			return err
		}
		if err := c.dead(); err != nil {
			return err
		}
	}
	return nil
}

// notifications asks for everything about the selected mailbox, and for what
// the caller wants besides.
func (w *watcher) notifications() *NotifyOptions {
	selected := NotifyGroup{Filter: "selected",
		Events: []NotifyEvent{NotifyMessageNew, NotifyMessageExpunge, NotifyFlagChange}}
	return &NotifyOptions{Groups: append([]NotifyGroup{selected}, w.o.Others...)}
}
