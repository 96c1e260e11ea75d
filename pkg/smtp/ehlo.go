package smtp

import (
	"math"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/wire"
)

type extension struct{ keyword, param string }

// hello says EHLO, or LHLO for LMTP. A server that refuses EHLO for good gets HELO once (RFC 5321 §4.1.1.1); then it
// has no extensions.
func (c *Client) hello(extended bool) error {
	verb := "EHLO"
	switch {
	case c.lmtp():
		verb = "LHLO" // RFC 2033 §4.1
	case !extended:
		verb = "HELO"
	}
	c.ext, c.identity = nil, ""
	r, err := c.command(verb + " " + c.opt.LocalName)
	if err != nil {
		return err
	}
	if r.class() == 5 && verb == "EHLO" {
		verb = "HELO"
		if r, err = c.command(verb + " " + c.opt.LocalName); err != nil {
			return err
		}
	}
	if r.class() != 2 {
		return c.refusal(verb, r)
	}
	c.learn(r, verb != "HELO")
	return nil
}

// learn keeps what the server says about itself (RFC 5321 §4.1.1.1).
func (c *Client) learn(r reply, extended bool) {
	name, _, _ := strings.Cut(string(r.lines[0]), " ")
	c.identity = escape([]byte(name), 255)
	if extended {
		for _, line := range r.lines[1:] {
			c.learnLine(string(line))
		}
	}
	c.window.MaxCommands = 1
	if _, ok := c.Extension("PIPELINING"); ok {
		c.window.MaxCommands = c.opt.Pipeline
		if c.opt.Pipeline <= 0 {
			c.window.MaxCommands = defaultPipeline
		}
	}
}

func (c *Client) learnLine(line string) {
	keyword, param, _ := strings.Cut(strings.TrimSpace(line), " ")
	keyword = strings.ToUpper(keyword)
	if mech, ok := strings.CutPrefix(keyword, "AUTH="); ok { // before RFC 2554: Microsoft servers and their imitators
		keyword, param = "AUTH", strings.TrimSpace(mech+" "+param)
	}
	if keyword == "" {
		return
	}
	for i, e := range c.ext {
		if e.keyword == keyword {
			c.ext[i].param = strings.TrimSpace(e.param + " " + param)
			return
		}
	}
	c.ext = append(c.ext, extension{keyword, strings.TrimSpace(param)})
}

// Extension tells whether the server offers an EHLO keyword, in any case, and gives its parameters as they came.
func (c *Client) Extension(keyword string) (param string, ok bool) {
	for _, e := range c.ext {
		if strings.EqualFold(e.keyword, keyword) {
			return e.param, true
		}
	}
	return "", false
}

// Extensions gives all EHLO keywords with their parameters, one string each, in the server's order, escaped for
// display.
func (c *Client) Extensions() []string {
	list := make([]string, 0, len(c.ext))
	for _, e := range c.ext {
		list = append(list, escape([]byte(strings.TrimSpace(e.keyword+" "+e.param)), maxShown))
	}
	return list
}

// MaxSize is the largest message in octets that the server takes (RFC 1870 §4), or 0 when it does not say.
func (c *Client) MaxSize() int64 {
	param, _ := c.Extension("SIZE")
	n, err := strconv.ParseUint(param, 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}

// Limit is the value of one limit that the server announces (RFC 9422), such as RCPTMAX or MAILMAX, or 0.
func (c *Client) Limit(name string) int {
	param, _ := c.Extension("LIMITS")
	for _, item := range strings.Fields(param) {
		key, value, _ := strings.Cut(item, "=")
		if n, err := strconv.Atoi(value); err == nil && n > 0 && strings.EqualFold(key, name) {
			return n
		}
	}
	return 0
}

// Remaining is how many more messages the server takes on this connection (RFC 9422 §4.1): math.MaxInt without a limit.
func (c *Client) Remaining() int {
	if most := c.Limit("MAILMAX"); most > 0 {
		return max(most-c.mails, 0)
	}
	return math.MaxInt
}

// checkLocalName lets a domain or an address literal through: what could end the line or begin a parameter is refused.
func checkLocalName(name string) error {
	if len(name) > 255 {
		return &wire.ArgumentError{Msg: "the name for EHLO is longer than 255 octets"}
	}
	for i := range len(name) {
		if b := name[i]; b <= ' ' || b >= 0x7f || strings.IndexByte(`<>()@,;\"`, b) >= 0 {
			return &wire.ArgumentError{Msg: "the name for EHLO has a character that no host name has: " + strconv.Quote(name)}
		}
	}
	return nil
}
