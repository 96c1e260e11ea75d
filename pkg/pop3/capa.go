package pop3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Caps is what a server announced in answer to CAPA (RFC 2449 §5).
type Caps struct {
	// Lines are the announced lines in the server's order, as they came.
	Lines []string
	// Supported is false when the server refused CAPA; then nothing is known of its capabilities.
	Supported bool
}

// Has tells whether the capability name was announced. Names compare without case.
func (c *Caps) Has(name string) bool {
	_, ok := c.Params(name)
	return ok
}

// Params returns the words behind the capability name: the mechanisms of SASL, the days of EXPIRE.
func (c *Caps) Params(name string) ([]string, bool) {
	if c == nil {
		return nil, false
	}
	for _, line := range c.Lines {
		words := strings.Fields(line)
		if len(words) > 0 && strings.EqualFold(words[0], name) {
			return words[1:], true
		}
	}
	return nil, false
}

// Caps returns the capabilities in the present state, and asks for them when they are not known. They are forgotten
// after STLS and after Auth, as they may differ then.
func (c *Client) Caps(ctx context.Context) (*Caps, error) {
	defer c.conn.Bind(ctx)()
	if c.state == closed {
		return nil, errClosed
	}
	if err := c.needCaps(); err != nil {
		return nil, err
	}
	return &Caps{Lines: slices.Clone(c.caps.Lines), Supported: c.caps.Supported}, nil
}

// needCaps makes sure that c.caps is set.
func (c *Client) needCaps() error {
	if c.caps != nil {
		return nil
	}
	if !c.owedCapa {
		if err := c.conn.WriteLine("CAPA"); err != nil {
			return fmt.Errorf("CAPA: %w", err)
		}
	}
	c.owedCapa = false
	return c.readCapa()
}

func (c *Client) forgetCaps() {
	c.caps, c.owedCapa, c.pipeline = nil, false, false
}

// renewCaps forgets the capabilities after login. When the server takes several commands at once, the new question
// travels with the next command and costs no round trip.
func (c *Client) renewCaps() error {
	ahead := c.pipeline && c.opts.Depth > 1
	c.caps = nil
	if !ahead {
		return nil
	}
	c.owedCapa = true
	return c.conn.WriteLine("CAPA")
}

func (c *Client) readCapa() error {
	caps := &Caps{}
	_, err := c.readReply("CAPA")
	var refused *Error
	switch {
	case errors.As(err, &refused): // RFC 1939 servers do not know CAPA: ask once, go on without
	case err != nil:
		return err
	default:
		caps.Supported = true
		err = c.readListing("CAPA", maxCapaLines, func(line []byte) error {
			caps.Lines = append(caps.Lines, string(line))
			return nil
		})
		if err != nil {
			return err
		}
	}
	c.caps = caps
	c.pipeline = caps.Has("PIPELINING")
	return nil
}

// readListing reads the lines of a multi-line reply up to its dot (RFC 1939 §3) and gives each to line, without
// dot-stuffing. An error of line is returned once the rest has been skipped. A cap that is passed ends the connection, and
// so does a server that breaks off with -ERR, as no end would come.
func (c *Client) readListing(verb string, maxLines int, line func([]byte) error) error {
	var first error
	total := 0
	for n := 0; ; n++ {
		p, err := c.readLine(verb)
		if err != nil {
			return err
		}
		if len(p) > 0 && p[0] == '.' {
			if len(p) == 1 {
				return first
			}
			p = p[1:]
		}
		total += len(p)
		if n >= maxLines || total > maxListing {
			return c.fail(verb, fmt.Sprintf("listing of more than %d lines or %d octets", maxLines, maxListing))
		}
		if ok, _, err := parseReply(p); err == nil && !ok {
			return c.fail(verb, fmt.Sprintf("listing broken off by %q", clip(p, 80)))
		}
		if first == nil {
			first = line(p)
		}
	}
}

// fail ends the connection with a protocol error.
func (c *Client) fail(verb, msg string) error {
	return fmt.Errorf("%s: %w", verb, c.conn.Fail(&wire.ProtocolError{Msg: msg}))
}
