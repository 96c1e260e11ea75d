package imap

import (
	"context"
	"slices"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Enable switches extensions on (RFC 5161) and returns those that the server
// says are on now because of it; some servers switch on and do not say so.
// Names that the server does not list among its capabilities are not sent, and
// with none left, or without ENABLE, nothing is. See [Client.Enabled] for all
// that is on, and [Options] for enabling without a round trip.
func (c *Client) Enable(ctx context.Context, names ...string) (Capabilities, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated); err != nil {
		return nil, err
	}
	before := len(c.enabled)
	cmd, err := c.sendEnable(names)
	if err != nil || cmd == nil {
		return nil, err
	}
	if err := c.wait(cmd); err != nil {
		return nil, err
	}
	return append(Capabilities(nil), c.enabled[before:]...), cmd.result()
}

// Enabled lists the extensions that the server said are on (RFC 5161 §3.2). It
// waits for nothing: what is on its way is not in it.
func (c *Client) Enabled() Capabilities { return append(Capabilities(nil), c.enabled...) }

// sendEnable sends ENABLE for the names that can be enabled here; nil when there
// are none.
func (c *Client) sendEnable(names []string) (*command, error) {
	var words []string
	for _, name := range names {
		offered := c.has(name) || name == "UTF8=ACCEPT" && c.has("UTF8=ONLY") // RFC 9755 §6
		if offered && !c.enabled.Has(name) {
			words = append(words, name)
		}
	}
	if len(words) == 0 || !c.has("ENABLE") {
		return nil, nil
	}
	cmd := &command{data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "ENABLED" {
			return false
		}
		c.noteEnabled(parseCaps(string(d.Rest())))
		return true
	}}
	return cmd, c.send(cmd, "ENABLE", func(e *imapwire.Encoder) {
		for _, name := range words {
			e.SP().Atom(name)
		}
	})
}

func (c *Client) noteEnabled(names Capabilities) {
	for _, name := range names {
		if !c.enabled.Has(name) && len(c.enabled) < maxCaps {
			c.enabled = append(c.enabled, name)
		}
	}
	if c.utf8On() || c.enabled.Has("IMAP4REV2") {
		c.setUTF8(true)
	}
}

// hello is what a client sends behind its login.
type hello struct {
	id     []IDField
	enable []string
}

// sendHello sends what Options want behind the login. Nobody waits for the
// replies: they are taken with those of the next command.
func (c *Client) sendHello() error {
	if len(c.greets.id) > 0 && c.has("ID") && c.serverID == nil {
		cmd, err := c.sendID(c.greets.id)
		if err != nil {
			return err
		}
		cmd.later = true
	}
	cmd, err := c.sendEnable(c.greets.enable)
	if err != nil || cmd == nil {
		return err
	}
	cmd.later, c.enabling = true, cmd
	return nil
}

// settle waits for capabilities that were asked for behind the login.
func (c *Client) settle() error {
	cmd := c.asking
	if cmd == nil {
		return nil
	}
	c.asking = nil
	if err := c.wait(cmd); err != nil {
		return err
	}
	if err := c.noCaps(cmd.result()); err != nil {
		return err
	}
	return c.sendHello()
}

// settleNames waits until it is known how the mailbox names given are written:
// ENABLE UTF8=ACCEPT changes that for all but plain ASCII.
func (c *Client) settleNames(names []string) error {
	if slices.ContainsFunc(names, func(name string) bool { return !plainName(name) }) {
		return c.settleEnabled()
	}
	return nil
}

// settleEnabled waits until it is known what is switched on.
func (c *Client) settleEnabled() error {
	if err := c.settle(); err != nil {
		return err
	}
	cmd := c.enabling
	if cmd == nil {
		return nil
	}
	c.enabling = nil
	return c.wait(cmd)
}

// utf8On tells if UTF8=ACCEPT is on (RFC 6855 §3).
func (c *Client) utf8On() bool { return c.enabled.Has("UTF8=ACCEPT") || c.enabled.Has("UTF8=ONLY") }

// plainName tells if a name is written in the same way in UTF-8 and in modified
// UTF-7.
func plainName(name string) bool {
	for i := range len(name) {
		if name[i] < 0x20 || name[i] >= 0x7f || name[i] == '&' {
			return false
		}
	}
	return true
}

// waitedFor tells if a reply is owed that somebody waits for.
func (c *Client) waitedFor() bool {
	for _, cmd := range c.pending {
		if !cmd.later {
			return true
		}
	}
	return false
}
