// Package smtp is the client side of SMTP (RFC 5321), message submission (RFC 6409) and LMTP (RFC 2033): it takes
// complete messages in wire form with an envelope and brings back the reply of every recipient. It does not build or
// change messages, choose servers, or retry.
//
// Rules:
//
//   - A Client belongs to one goroutine; parallel work opens more Clients. Every method that waits takes a context, and
//     when that ends the connection is dead.
//   - Commands are pipelined (RFC 2920) where the server offers it, and the body travels with them in BDAT chunks (RFC
//     3030) where it offers that. Options turn either off.
//   - The body is an io.Reader in wire form (CRLF line ends). When it fails, or holds a CR or LF that stands alone,
//     the connection is closed in the middle of the text, so that the server commits nothing.
//   - What the server announces in SIZE and LIMITS is kept to: what is beyond is refused here, before it is sent.
//   - A refusal leaves the connection usable: the next Send begins with RSET where the server needs it. An I/O error, a
//     reply that cannot be framed, and 421 end it; every later call gives the same error.
//   - When the whole text was sent and its reply did not come, the message may have been delivered or not: that is an
//     *UncertainError and nothing else is (RFC 1047).
//
// States of a connection: greeting → EHLO → (STARTTLS → EHLO) → (AUTH) → any number of transactions → closed. What the
// server said before STARTTLS is forgotten.
package smtp

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Options says how to speak to a server. The zero value, and nil, mean the defaults.
type Options struct {
	Wire      *wire.Config // how to connect; nil: defaults
	LocalName string       // our name in EHLO: a domain or an address literal such as [192.0.2.1]; "": localhost
	Timeouts  *Timeouts    // nil: those of RFC 5321 §4.5.3.2, or Wire.Timeout for every step when that is set

	// Pipeline is the number of commands that may be under way. 0: 300. 1: each waits for its reply, even when the
	// server offers PIPELINING.
	Pipeline int
	// NoChunking sends bodies by DATA even when the server offers CHUNKING.
	NoChunking bool
}

// Timeouts is how long one read or write may wait for the server at each step (RFC 5321 §4.5.3.2). Zero fields mean the
// value of that section.
type Timeouts struct {
	Greeting time.Duration // 5 minutes
	Command  time.Duration // MAIL, RCPT and all others: 5 minutes
	Data     time.Duration // reply to DATA: 2 minutes
	Block    time.Duration // one write of the body: 3 minutes
	Final    time.Duration // reply to the end of the body: 10 minutes
}

func (o *Options) timeouts() Timeouts {
	var t Timeouts
	if o.Timeouts != nil {
		t = *o.Timeouts
	}
	fill := func(d *time.Duration, byDefault time.Duration) {
		switch {
		case *d > 0:
		case o.Wire != nil && o.Wire.Timeout > 0:
			*d = o.Wire.Timeout
		default:
			*d = byDefault
		}
	}
	fill(&t.Greeting, 5*time.Minute)
	fill(&t.Command, 5*time.Minute)
	fill(&t.Data, 2*time.Minute)
	fill(&t.Block, 3*time.Minute)
	fill(&t.Final, 10*time.Minute)
	return t
}

// defaultPipeline keeps a server busy over 50 ms of round trip with messages of four commands each, while the replies
// that nobody has read yet, of some 100 octets each, fit the smallest socket buffers in use.
const defaultPipeline = 300

// Client is a connection to one server, past its greeting and EHLO. See Dial.
type Client struct {
	conn     *wire.Conn
	endpoint wire.Endpoint
	opt      Options
	wait     Timeouts

	ext      []extension
	identity string // the name in the server's reply to EHLO
	authed   bool

	owed      []owed // replies under way, oldest first
	window    wire.Window
	expect    int // octets that the next reply may have
	newest    *transaction
	mails     int    // messages begun
	needsRset bool   // the server may hold an unfinished transaction
	chunk     []byte // buffer for BDAT, made when needed

	heard      time.Time     // when the last reply came
	probeAfter time.Duration // see probe
	lastWait   time.Duration // see lastWords
}

// Dial connects to ep, reads the greeting and says EHLO (or HELO to a server that does not know EHLO, LHLO for LMTP).
// When ep asks for STARTTLS, TLS is up when Dial returns without error: a server that does not offer it, refuses it or
// answers more than was asked ends the connection. To a server that hangs up on EHLO it connects once more and says
// HELO (RFC 5321 §3.2), unless the endpoint asks for STARTTLS, which HELO cannot have.
//
// Errors: those of wire.Dial, *Error for a refusal, *CapabilityError for missing STARTTLS, *wire.ProtocolError.
func Dial(ctx context.Context, ep wire.Endpoint, o *Options) (*Client, error) {
	c, err := dial(ctx, ep, o, true)
	if err != nil && ep.Protocol != wire.LMTP && ep.Security != wire.StartTLS && hungUpOnEHLO(err) && ctx.Err() == nil {
		if old, again := dial(ctx, ep, o, false); again == nil {
			return old, nil
		}
	}
	return c, err
}

func dial(ctx context.Context, ep wire.Endpoint, o *Options, extended bool) (*Client, error) {
	var cfg *wire.Config
	if o != nil {
		cfg = o.Wire
	}
	conn, err := wire.Dial(ctx, ep, cfg)
	if err != nil {
		return nil, PhaseConnect.in(err)
	}
	return start(ctx, conn, ep, o, extended)
}

func hungUpOnEHLO(err error) bool {
	return PhaseOf(err) == PhaseEHLO && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// New is Dial over a connection that exists already, at the point where the server's greeting is due. It owns conn and
// closes it when it fails.
func New(ctx context.Context, conn *wire.Conn, ep wire.Endpoint, o *Options) (*Client, error) {
	return start(ctx, conn, ep, o, true)
}

func start(ctx context.Context, conn *wire.Conn, ep wire.Endpoint, o *Options, extended bool) (*Client, error) {
	c := &Client{conn: conn, endpoint: ep, probeAfter: probeAfter, lastWait: lastWait}
	if o != nil {
		c.opt = *o
	}
	c.wait = c.opt.timeouts()
	c.window = wire.Window{MaxCommands: 1, MaxBytes: maxUnread}
	c.expect = maxReplyExpected
	if err := c.open(ctx, extended); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// open goes through the states up to the first message. To a server that is not spoken to in the extended way it says
// HELO at once.
func (c *Client) open(ctx context.Context, extended bool) error {
	defer c.conn.Bind(ctx)()
	if c.opt.LocalName == "" {
		c.opt.LocalName = "localhost"
	}
	if err := checkLocalName(c.opt.LocalName); err != nil {
		return err
	}
	if err := c.greeting(); err != nil {
		return PhaseGreeting.in(err)
	}
	if err := c.hello(extended); err != nil {
		return PhaseEHLO.in(err)
	}
	_, offered := c.Extension("STARTTLS")
	if s := c.endpoint.Security; s != wire.StartTLS && (s != wire.OpportunisticTLS || !offered) {
		return nil
	}
	if err := c.startTLS(ctx); err != nil {
		return PhaseStartTLS.in(err)
	}
	return PhaseEHLO.in(c.hello(extended))
}

// greeting reads what the server says first (RFC 5321 §4.3.1).
func (c *Client) greeting() error {
	c.conn.SetTimeout(c.wait.Greeting)
	r, err := readReply(c.conn)
	if err != nil {
		return err
	}
	if r.class() != 2 {
		return c.refusal("greeting", r)
	}
	return nil
}

// Endpoint is what was dialled.
func (c *Client) Endpoint() wire.Endpoint { return c.endpoint }

// Conn is the connection underneath, for its TLS state and its sticky error.
func (c *Client) Conn() *wire.Conn { return c.conn }

// Identity is the name that the server gave itself in the reply to EHLO, escaped for display; it may be empty.
func (c *Client) Identity() string { return c.identity }

// Close says QUIT and closes the connection without waiting for the reply, which could change nothing. After an error
// it only closes. Closing twice is harmless.
func (c *Client) Close() error {
	if c.conn.Err() == nil && len(c.owed) == 0 {
		c.conn.SetTimeout(2 * time.Second)
		if c.conn.WriteLine("QUIT") == nil {
			_ = c.conn.Flush()
		}
	}
	return c.conn.Close()
}

func (c *Client) lmtp() bool { return c.endpoint.Protocol == wire.LMTP }

// command sends one line and reads its reply; nothing may be owed.
func (c *Client) command(line string) (reply, error) {
	c.conn.SetTimeout(c.wait.Command)
	if err := c.conn.WriteLine(line); err != nil {
		return reply{}, err
	}
	return c.replyNow()
}

func (c *Client) replyNow() (reply, error) {
	if err := c.conn.Flush(); err != nil {
		return reply{}, err
	}
	c.heard = time.Now()
	return readReply(c.conn)
}

// refusal makes the error for a reply that is not the wanted one. 421 announces the end of the connection at any time
// (RFC 5321 §3.8); a reply of the first or third class where none belongs cannot be framed.
func (c *Client) refusal(command string, r reply) error {
	if k := r.class(); k != 4 && k != 5 {
		return c.conn.Fail(&wire.ProtocolError{Msg: command + " was answered with " + r.quote()})
	}
	e := r.toError(command)
	if r.Code == 421 {
		return c.conn.Fail(e)
	}
	return e
}
