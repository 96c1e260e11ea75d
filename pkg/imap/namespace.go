package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Namespace is a prefix under which mailboxes stand (RFC 2342).
type Namespace struct {
	Prefix string // in UTF-8
	Delim  string // hierarchy separator, "" for a flat namespace
}

// Namespaces are the three kinds.
type Namespaces struct{ Personal, OtherUsers, Shared []Namespace }

// Namespace asks for the namespaces. Without the extension it is one personal
// namespace without a prefix whose separator is not known.
func (c *Client) Namespace(ctx context.Context) (*Namespaces, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated); err != nil {
		return nil, err
	}
	if !c.has("NAMESPACE") {
		return &Namespaces{Personal: []Namespace{{}}}, nil
	}
	var ns Namespaces
	cmd := &command{data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		if r.Name != "NAMESPACE" {
			return false
		}
		ns.Personal = decodeNamespaces(d)
		d.SP()
		ns.OtherUsers = decodeNamespaces(d)
		d.SP()
		ns.Shared = decodeNamespaces(d)
		return true
	}}
	if err := c.run(cmd, "NAMESPACE", nil); err != nil {
		return nil, err
	}
	return &ns, nil
}

func decodeNamespaces(d *imapwire.Decoder) []Namespace {
	var list []Namespace
	if d.Nil() {
		return nil
	}
	d.List(func() {
		var n Namespace
		for i, ok := 0, d.OpenList(); ok && d.More(i); i++ {
			switch i {
			case 0:
				n.Prefix, _ = d.Mailbox()
			case 1:
				n.Delim, _ = d.NString()
			default:
				d.Skip()
			}
		}
		list = append(list, n)
	})
	return list
}
