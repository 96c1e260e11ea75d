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
	var theirs []IDField
	cmd := &command{data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "ID" {
			return false
		}
		theirs = decodeID(d)
		return true
	}}
	err := c.run(cmd, "ID", func(e *imapwire.Encoder) {
		e.SP().List(2*len(fields), func(i int) {
			if f := fields[i/2]; i%2 == 0 {
				e.String(f.Name)
			} else {
				e.String(f.Value)
			}
		})
	})
	return theirs, err
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
	if !c.coremail || !c.has("ID") {
		return nil
	}
	_, err := c.id([]IDField{{"name", "mail"}})
	if c.dead() != nil {
		return err
	}
	return nil
}
