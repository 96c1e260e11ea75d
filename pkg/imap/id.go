package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// IDField is one thing that a client or server says of itself (RFC 2971 §3.3):
// name, version, vendor, support-url.
type IDField struct{ Name, Value string }

// maxIDFields is what RFC 2971 §3.3 allows.
const maxIDFields = 30

// ID tells the server who we are and returns what it says of itself. At least
// one field must be given: servers disagree on how to write none.
func (c *Client) ID(ctx context.Context, fields []IDField) ([]IDField, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(notAuthenticated); err != nil {
		return nil, err
	}
	if !c.has("ID") {
		return nil, &CapabilityError{Command: "id", Capability: "ID"}
	}
	return c.id(fields)
}

func (c *Client) id(fields []IDField) ([]IDField, error) {
	cmd, err := c.sendID(fields)
	if err != nil {
		return nil, err
	}
	if err := c.wait(cmd); err != nil {
		return nil, err
	}
	return c.serverID, cmd.result()
}

// ServerID is what the server last said of itself, nil when it was not asked:
// see [Client.ID] and [Options].
func (c *Client) ServerID() []IDField { return append([]IDField(nil), c.serverID...) }

func (c *Client) sendID(fields []IDField) (*command, error) {
	c.serverID = nil
	cmd := &command{data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "ID" {
			return false
		}
		c.serverID = decodeID(d)
		return true
	}}
	return cmd, c.send(cmd, "ID", func(e *imapwire.Encoder) {
		e.SP().List(2*len(fields), func(i int) {
			if f := fields[i/2]; i%2 == 0 {
				e.String(f.Name)
			} else {
				e.String(f.Value)
			}
		})
	})
}

func decodeID(d *imapwire.Decoder) []IDField {
	var fields []IDField
	if d.Nil() {
		return nil
	}
	name, n := "", 0
	d.List(func() {
		if n++; n%2 == 1 {
			name = d.String()
			return
		}
		value, _ := d.NString()
		if len(fields) < maxIDFields {
			fields = append(fields, IDField{name, value})
		}
	})
	return fields
}

// introduce sends ID to Coremail (126, 163), which refuses SELECT from a client
// that did not (https://github.com/pimalaya/himalaya/issues/729). It also
// offers SASL-IR and refuses it, see authenticate. Other servers are not told
// anything.
func (c *Client) introduce() error {
	if !c.coremail {
		return nil
	}
	if err := c.settle(); err != nil || !c.has("ID") {
		return err
	}
	_, err := c.id([]IDField{{"name", "mail"}})
	if c.dead() != nil {
		return err
	}
	return nil
}
