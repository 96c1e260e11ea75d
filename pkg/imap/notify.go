package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// NotifyEvent is a kind of change that NOTIFY can tell of (RFC 5465 §5).
type NotifyEvent string

// The kinds of changes.
const (
	NotifyMessageNew         NotifyEvent = "MessageNew"
	NotifyMessageExpunge     NotifyEvent = "MessageExpunge"
	NotifyFlagChange         NotifyEvent = "FlagChange"
	NotifyMailboxName        NotifyEvent = "MailboxName"
	NotifySubscriptionChange NotifyEvent = "SubscriptionChange"
)

// NotifyGroup is a set of mailboxes and what to tell of them.
type NotifyGroup struct {
	// Filter is one of selected, selected-delayed, inboxes, personal,
	// subscribed, subtree, mailboxes (RFC 5465 §6). The last two take Mailboxes.
	Filter    string
	Mailboxes []string
	Events    []NotifyEvent // none at all: NONE
}

// NotifyOptions are what Notify asks for.
type NotifyOptions struct {
	// Status makes the server tell the state of every mailbox at once.
	Status bool
	Groups []NotifyGroup
}

// Notify asks the server to tell of changes in many mailboxes, at any time and
// without IDLE (NOTIFY, RFC 5465); nil ends that. Each call replaces what was
// asked for before. What comes is given by [Client.Watch], which is the usual
// way to use this, and skipped at other times.
//
// Errors: *[CapabilityError]; *[Error], with code BADEVENT or NOTIFICATIONOVERFLOW.
func (c *Client) Notify(ctx context.Context, o *NotifyOptions) error {
	defer c.conn.Bind(ctx)()
	var names []string
	if o != nil {
		for _, g := range o.Groups {
			names = append(names, g.Mailboxes...)
		}
	}
	if err := c.ready(authenticated, names...); err != nil {
		return err
	}
	return c.notify(o)
}

func (c *Client) notify(o *NotifyOptions) error {
	if !c.has("NOTIFY") {
		return &CapabilityError{Command: "notify", Capability: "NOTIFY"}
	}
	return c.run(&command{}, "NOTIFY", func(e *imapwire.Encoder) {
		if o == nil {
			e.SP().Atom("NONE")
			return
		}
		e.SP().Atom("SET")
		if o.Status {
			e.SP().Atom("STATUS")
		}
		for _, g := range o.Groups {
			e.SP().Raw("(")
			c.notifyGroup(e, g)
			e.Raw(")")
		}
	})
}

func (c *Client) notifyGroup(e *imapwire.Encoder, g NotifyGroup) {
	e.Atom(g.Filter)
	switch {
	case len(g.Mailboxes) == 1:
		c.putMailbox(e.SP(), g.Mailboxes[0])
	case len(g.Mailboxes) > 1:
		e.SP().List(len(g.Mailboxes), func(i int) { c.putMailbox(e, g.Mailboxes[i]) })
	}
	if len(g.Events) == 0 {
		e.SP().Atom("NONE")
		return
	}
	e.SP().List(len(g.Events), func(i int) { e.Atom(string(g.Events[i])) })
}
