package imap

import (
	"context"
	"strings"
)

// Capabilities are what a server offers, in upper case and in its own order.
type Capabilities []string

// maxCaps bounds the capabilities that are kept.
const maxCaps = 1000

func parseCaps(text string) Capabilities {
	words := strings.Fields(text)
	if len(words) > maxCaps {
		words = words[:maxCaps]
	}
	caps := make(Capabilities, 0, len(words))
	for _, w := range words {
		caps = append(caps, strings.ToUpper(clip(w)))
	}
	return caps
}

// Has tells if name is offered.
func (c Capabilities) Has(name string) bool {
	for _, have := range c {
		if strings.EqualFold(have, name) {
			return true
		}
	}
	return false
}

// Value returns what stands behind "name=", such as the number of
// APPENDLIMIT=35651584.
func (c Capabilities) Value(name string) (string, bool) {
	for _, have := range c {
		if key, value, ok := strings.Cut(have, "="); ok && strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// Auth lists the SASL mechanisms offered.
func (c Capabilities) Auth() []string {
	var names []string
	for _, have := range c {
		if name, ok := strings.CutPrefix(have, "AUTH="); ok {
			names = append(names, name)
		}
	}
	return names
}

// rev2 are the extensions that IMAP4rev2 includes (RFC 9051 Appendix E).
var rev2 = Capabilities{"UIDPLUS", "MOVE", "ESEARCH", "SASL-IR", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE",
	"LITERAL-", "NAMESPACE", "UNSELECT", "ENABLE", "IDLE", "STATUS=SIZE", "CHILDREN", "SEARCHRES", "BINARY"}

// has tells if an extension can be used: it is listed, or is part of another one
// that is (RFC 7162 §3.2.3), or the server speaks IMAP4rev2 only, which includes it.
func (c *Client) has(name string) bool {
	switch {
	case c.caps.Has(name), name == "CONDSTORE" && c.caps.Has("QRESYNC"):
		return true
	}
	return c.caps.Has("IMAP4REV2") && !c.caps.Has("IMAP4REV1") && rev2.Has(name)
}

func (c *Client) setCaps(caps Capabilities) {
	c.caps, c.asked = caps, true
	c.setUTF8(c.enc.UTF8)
}

// setUTF8 sets how mailbox names are written: plain UTF-8 once it is enabled
// (RFC 9755 §3), and always with a server that speaks IMAP4rev2 only.
func (c *Client) setUTF8(enabled bool) {
	on := enabled || (c.caps.Has("IMAP4REV2") && !c.caps.Has("IMAP4REV1"))
	c.enc.UTF8, c.dec.UTF8 = on, on
}

// forgetCaps drops what the server said in another state of the connection.
func (c *Client) forgetCaps() { c.caps, c.asked = nil, false }

// Capability asks for the capabilities (RFC 9051 §6.1.1) unless the server has
// told them since the last change of state, and returns them.
func (c *Client) Capability(ctx context.Context) (Capabilities, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(notAuthenticated); err != nil {
		return nil, err
	}
	if err := c.needCaps(); err != nil {
		return nil, err
	}
	return append(Capabilities(nil), c.caps...), nil
}

// needCaps asks once; a refusal is an error and is not asked again.
func (c *Client) needCaps() error {
	if err := c.settle(); err != nil || c.asked {
		return err
	}
	return c.noCaps(c.run(&command{}, "CAPABILITY", nil))
}

// noCaps adds to the outcome of CAPABILITY that it must have told them.
func (c *Client) noCaps(err error) error {
	if err == nil && !c.asked {
		err = c.protocolError("the server answers CAPABILITY without its capabilities")
	}
	return err
}
