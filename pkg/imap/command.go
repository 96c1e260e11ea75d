package imap

import (
	"errors"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// byeTimeout is how long a tagged reply may take that follows a BYE.
const byeTimeout = 5 * time.Second

// command is one command in flight.
type command struct {
	tag   string
	label string // for errors: `select "Archive"`
	// data is offered every untagged response that is not a status and tells
	// if it took it. It must not consume anything of one it does not take.
	data func(r imapwire.Response, d *imapwire.Decoder) bool
	// code gets the code of every status response of this command: the tagged
	// one, and untagged ones while it is the oldest in flight.
	code func(t imapwire.Text, tagged bool)
	// challenge, when set, takes continuation requests.
	challenge func(text []byte)
	// vanished gets the UIDs of VANISHED responses (RFC 7162 §3.2.10).
	vanished func(set UIDSet, earlier bool)

	later bool // nobody waits for it: its reply is taken when it comes
	done  bool
	text  imapwire.Text
	err   *Error // the refusal, nil for OK
}

// result is the command's outcome after its reply came.
func (cmd *command) result() error {
	if cmd.err != nil {
		return cmd.err
	}
	return nil
}

// label names a command and its mailbox for errors.
func label(name, mailbox string) string {
	return name + ` "` + printable(clip(mailbox)) + `"`
}

// ready tells if a command can be sent in at least the state given, and waits
// for the capabilities where they are on their way. Names are the mailboxes the
// command will name: see [Client.settleNames].
func (c *Client) ready(at state, names ...string) error {
	if err := c.allowed(at); err != nil || at == notAuthenticated {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	return c.settleNames(names)
}

// allowed is ready without waiting for anything.
func (c *Client) allowed(at state) error {
	switch {
	case c.busy:
		return ErrBusy
	case c.dead() != nil:
		return c.dead()
	case at == selectedState && c.state < selectedState:
		return ErrNotSelected
	case c.state < at:
		return errors.New("not logged in")
	}
	return nil
}

// run sends one command and waits for its reply.
func (c *Client) run(cmd *command, verb string, args func(e *imapwire.Encoder)) error {
	if err := c.send(cmd, verb, args); err != nil {
		return err
	}
	if err := c.wait(cmd); err != nil {
		return err
	}
	return cmd.result()
}

// send writes one command. An error means that there will be no reply; a
// refused literal means that the reply is there already.
func (c *Client) send(cmd *command, verb string, args func(e *imapwire.Encoder)) error {
	c.begin(cmd, verb)
	if args != nil {
		args(c.enc)
	}
	return c.end(cmd)
}

// begin starts a command, whose arguments the caller writes.
func (c *Client) begin(cmd *command, verb string) {
	cmd.tag = c.nextTag()
	if cmd.label == "" {
		cmd.label = strings.ToLower(verb)
	}
	c.enc.Literals = c.literals()
	c.enc.Begin(cmd.tag, verb)
	c.pending = append(c.pending, cmd)
}

// end ends a command; see send.
func (c *Client) end(cmd *command) error {
	err := c.enc.End()
	switch {
	case err == nil:
		return nil
	case c.dead() != nil:
		return c.dead()
	case cmd.done: // a literal was refused
		return nil
	case c.enc.Sent(): // the server waits for what we do not have
		for len(c.pending) > 0 && c.pending[0] != cmd && c.step() == nil {
		}
		return c.conn.Fail(err)
	}
	c.forget(cmd)
	var argument *wire.ArgumentError
	if !errors.As(err, &argument) {
		err = &wire.ArgumentError{Msg: cmd.label + ": " + err.Error()}
	}
	return err
}

func (c *Client) forget(cmd *command) {
	for i, p := range c.pending {
		if p == cmd {
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			return
		}
	}
}

// literals is what the server offers of RFC 7888.
func (c *Client) literals() imapwire.LiteralMode {
	switch {
	case c.caps.Has("LITERAL+"):
		return imapwire.LiteralPlus
	case c.caps.Has("LITERAL-"), c.has("LITERAL-"):
		return imapwire.LiteralMinus
	}
	return imapwire.LiteralSync
}

// wait reads until cmd has its reply.
func (c *Client) wait(cmd *command) error {
	for !cmd.done {
		if err := c.step(); err != nil {
			return err
		}
	}
	return nil
}

// errRefused ends the encoding of a command whose literal was refused.
var errRefused = errors.New("literal refused")

// awaitContinue waits for the server to ask for a literal (RFC 9051 §4.3). The
// literal's command is the last one pending.
func (c *Client) awaitContinue() error {
	cmd := c.pending[len(c.pending)-1]
	c.waiting = true
	for c.waiting {
		if err := c.step(); err != nil {
			return err
		}
		if cmd.done {
			c.waiting = false
			if cmd.err == nil {
				return c.protocolError("the server reports success before it has the command")
			}
			return errRefused
		}
	}
	return nil
}

// step reads one response and hands it on.
func (c *Client) step() error {
	r := c.dec.Response()
	if err := c.decodeError(); err != nil {
		return err
	}
	switch r.Kind {
	case imapwire.Continue:
		return c.onContinue()
	case imapwire.Tagged:
		return c.onTagged(r)
	}
	if r.Status() && r.Num == 0 {
		return c.onStatus(r)
	}
	return c.onData(r)
}

// decodeError makes a failure of the decoder one of the connection.
func (c *Client) decodeError() error {
	err := c.dec.Err()
	if err == nil {
		return nil
	}
	var syntax *imapwire.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.TooLarge:
		err = c.conn.Fail(ErrTooLarge)
	case syntax != nil:
		err = c.conn.Fail(&wire.ProtocolError{Msg: "bad reply: " + syntax.Error()})
	}
	if dead := c.dead(); dead != nil {
		return dead
	}
	return err
}

func (c *Client) onContinue() error {
	line := c.dec.Rest()
	if c.waiting {
		c.waiting = false
		return nil
	}
	if n := len(c.pending); n > 0 && c.pending[n-1].challenge != nil {
		c.pending[n-1].challenge(line)
		return nil
	}
	return c.protocolError("the server asks to continue a command that is complete")
}

// onTagged takes a command's reply. One for a tag that is not outstanding is
// fatal: it may have been put there to be believed later (CVE-2026-42246).
func (c *Client) onTagged(r imapwire.Response) error {
	text := c.dec.RespText()
	if err := c.decodeError(); err != nil {
		return err
	}
	for _, cmd := range c.pending {
		if cmd.tag == r.Tag {
			return c.finish(cmd, r.Name, text)
		}
	}
	return c.protocolError("reply for tag %q, which is not in use", clip(r.Tag))
}

func (c *Client) finish(cmd *command, status string, text imapwire.Text) error {
	switch status {
	case "OK":
	case "NO", "BAD":
		cmd.err = newError(cmd.label, status, text)
	default:
		return c.protocolError("reply %q to a command", clip(status))
	}
	cmd.done, cmd.text = true, text
	c.idle = 0
	c.forget(cmd)
	c.onCode(text)
	if cmd.code != nil && status == "OK" {
		cmd.code(text, true)
	}
	return nil
}

// onCode acts on codes that concern the connection as a whole.
func (c *Client) onCode(text imapwire.Text) {
	if text.Code == "CAPABILITY" {
		c.setCaps(parseCaps(text.Arg))
	}
}

func (c *Client) onStatus(r imapwire.Response) error {
	text := c.dec.RespText()
	if err := c.decodeError(); err != nil {
		return err
	}
	switch {
	case r.Name == "BYE":
		if !c.leaving && c.bye == nil {
			c.bye = newError(c.current(), "BYE", text)
			c.conn.SetTimeout(byeTimeout)
		}
		return nil
	case r.Name == "PREAUTH":
		return c.protocolError("PREAUTH in the middle of the session")
	}
	c.onCode(text)
	if text.Code == "ALERT" {
		c.conn.Note("alert from the server: %s", printable(clip(text.Text)))
	}
	if r.Name == "OK" {
		for _, cmd := range c.pending {
			if cmd.code != nil {
				cmd.code(text, false)
				break
			}
		}
	}
	return c.countIdle()
}

// current names the command that the server is likely to work on.
func (c *Client) current() string {
	if len(c.pending) > 0 {
		return c.pending[0].label
	}
	return "connection"
}

// countIdle bounds a stream of responses that lead nowhere.
func (c *Client) countIdle() error {
	if c.idle++; c.idle > maxIdle {
		return c.protocolError("more than %d responses that nobody asked for", maxIdle)
	}
	return nil
}

func (c *Client) onData(r imapwire.Response) error {
	if r.Name == "CAPABILITY" {
		c.setCaps(parseCaps(string(c.dec.Rest())))
		return c.decodeError()
	}
	switch r.Name {
	case "EXISTS":
		if c.watched != nil && r.Num != c.exists {
			c.watched.heard = true
		}
		c.exists = r.Num
	case "EXPUNGE":
		c.exists -= min(c.exists, 1)
	case "VANISHED":
		return c.onVanished()
	}
	if c.watched != nil {
		c.watched.count(r)
	}
	for _, cmd := range c.pending {
		if cmd.data != nil && cmd.data(r, c.dec) {
			c.idle = 0
			if err := c.conn.Err(); err != nil {
				return c.dead()
			}
			c.dec.End()
			return c.decodeError()
		}
	}
	if c.watched == nil || !c.watched.data(r, c.dec) {
		c.dec.SkipRest()
	}
	if err := c.decodeError(); err != nil {
		return err
	}
	return c.countIdle()
}

// onVanished reads the UIDs of messages that are gone (RFC 7162 §3.2.10) and
// tells everybody who wants to know.
func (c *Client) onVanished() error {
	earlier := false
	if c.dec.Is('(') {
		c.dec.Skip()
		c.dec.SP()
		earlier = true
	}
	set := c.dec.UIDSet()
	c.dec.End()
	if err := c.decodeError(); err != nil {
		return err
	}
	if !earlier {
		c.exists -= uint32(min(set.Count(), uint64(c.exists)))
		if c.watched != nil {
			c.watched.vanished(set)
		}
	}
	for _, cmd := range c.pending {
		if cmd.vanished != nil {
			c.idle = 0
			cmd.vanished(set, earlier)
			return nil
		}
	}
	return c.countIdle()
}

// pipeline runs n commands with at most depth, and windowOctets, in flight.
// send starts number i; done gets each one's outcome in order, and its error
// ends the sending. All replies that are owed are read.
func (c *Client) pipeline(n, depth int, send func(i int) (*command, error), done func(i int, err error) error) error {
	var flight []*command
	var sizes []int64
	var first error
	window := wire.Window{MaxCommands: depth, MaxBytes: windowOctets}
	next, ended := 0, 0
	for {
		for first == nil && next < n && !window.Full() {
			before := c.written()
			cmd, err := send(next)
			if err != nil {
				if c.dead() != nil {
					return err
				}
				first = err
				break
			}
			flight, sizes = append(flight, cmd), append(sizes, c.written()-before)
			window.Sent(sizes[len(sizes)-1])
			next++
		}
		if len(flight) == 0 {
			return first
		}
		if err := c.wait(flight[0]); err != nil {
			return err
		}
		if err := done(ended, flight[0].result()); err != nil && first == nil {
			first = err
		}
		window.Got(sizes[0])
		flight, sizes = flight[1:], sizes[1:]
		ended++
	}
}

// written counts the octets given to the connection so far.
func (c *Client) written() int64 { return c.conn.Queued() }
