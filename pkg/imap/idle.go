package imap

import (
	"context"
	"time"
)

const (
	// maxIdling is how long one IDLE lasts: servers may end a session that was
	// silent for 30 minutes (RFC 2177 §3).
	maxIdling = 29 * time.Minute
	// doneTimeout is how long the reply to DONE may take. A peer that is gone is
	// found that way.
	doneTimeout = time.Minute
)

// Idle waits until the server tells of a change in the selected mailbox, for at
// most so long (IDLE, RFC 2177); 0 and more than 29 minutes mean 29 minutes. It
// tells if there was one: to learn what it was, and to wait for more, use
// [Client.Watch]. When ctx ends, the connection is dead, as ever.
//
// Errors: *[CapabilityError] without IDLE, *[Error] for a refusal.
func (c *Client) Idle(ctx context.Context, most time.Duration) (changed bool, err error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(selectedState); err != nil {
		return false, err
	}
	if !c.has("IDLE") {
		return false, &CapabilityError{Command: "idle", Capability: "IDLE"}
	}
	if c.watched == nil {
		c.watched = &tracker{mailbox: c.selected}
		defer func() { c.watched = nil }()
	}
	t := c.watched
	t.heard = false
	return c.idleFor(most, func() bool { return t.heard })
}

// idleFor sends IDLE, reads until news tells that there are some and nothing
// more is at hand, and ends it.
func (c *Client) idleFor(most time.Duration, news func() bool) (bool, error) {
	if most <= 0 || most > maxIdling {
		most = maxIdling
	}
	begun := false
	cmd := &command{challenge: func([]byte) { begun = true }}
	if err := c.send(cmd, "IDLE", nil); err != nil {
		return false, err
	}
	for !begun && !cmd.done {
		if err := c.step(); err != nil {
			return false, err
		}
	}
	end := time.Now().Add(most)
	for !cmd.done && (!news() || c.conn.Buffered() > 0) {
		some, err := c.conn.Wait(time.Until(end))
		if err != nil {
			return false, c.deadOr(err)
		}
		if !some {
			break
		}
		if err := c.step(); err != nil {
			return false, err
		}
	}
	if err := c.done(cmd); err != nil {
		return false, err
	}
	return news(), cmd.result()
}

// done ends IDLE and waits for its reply.
func (c *Client) done(cmd *command) error {
	if cmd.done { // refused, or ended by the server
		return nil
	}
	if err := c.conn.WriteLine("DONE"); err != nil {
		return c.deadOr(err)
	}
	cmd.challenge = nil
	usual := c.conn.Timeout()
	c.conn.SetTimeout(min(usual, doneTimeout))
	defer c.conn.SetTimeout(usual)
	return c.wait(cmd)
}

// deadOr is the reason why the connection is dead, else err.
func (c *Client) deadOr(err error) error {
	if dead := c.dead(); dead != nil {
		return dead
	}
	return err
}
