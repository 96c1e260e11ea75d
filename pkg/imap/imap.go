// Package imap is the IMAP client engine: IMAP4rev1 (RFC 3501) and IMAP4rev2
// (RFC 9051) with the extensions that save round trips, each used only where
// the server offers it. It has no opinion on where messages go: bodies stream
// from the socket into a callback, and from a reader into APPEND.
//
// Rules:
//
//   - A Client belongs to one goroutine; it starts none. Parallel work opens
//     more connections. A callback must not call the Client it runs under; that
//     of [Client.Watch] may.
//   - Every method takes a context; when it ends, the connection is dead.
//   - Messages are named by UID only.
//   - A refusal (NO, BAD) is an *[Error] and the session goes on. A reply that
//     cannot be framed, a tagged reply for a tag that is not outstanding, or a
//     failed read or write ends the connection, and every later call says so.
//   - What makes a step safe comes before the step: see [Client.Move].
//   - Untagged data that nobody asked for is skipped, never trusted.
//   - What a server does not offer is a *[CapabilityError] and not sent, unless
//     the same can be had in another way: the method says which.
//
// States (RFC 9051 §3): Dial gives a client that is not authenticated, or is
// when the server said PREAUTH under TLS; Auth authenticates; Select and
// Examine select a mailbox. Beyond one method for each command there are:
// [Client.Resync] to learn what has changed since an earlier session,
// [Client.VisitAll] to do that, and to fetch what is new, in many mailboxes at once,
// [Client.Watch] to learn it as it happens, and [Client.AppendAll] to store many
// messages.
package imap

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// The vocabulary that the grammar package defines.
type (
	UID     = imapwire.UID
	UIDSet  = imapwire.UIDSet
	SeqSet  = imapwire.SeqSet
	Flag    = imapwire.Flag
	Section = imapwire.Section
)

// Options say how to connect; nil and the zero value mean the defaults.
type Options struct {
	Wire   *wire.Config     // how to dial; nil: the defaults
	Limits *imapwire.Limits // caps on what the server sends; nil: the defaults
	// Depth is how many commands are in flight at most where one call needs
	// several; 0 means 512, 1 waits for each reply. Their octets are bounded
	// besides, so that a server may answer without reading on.
	Depth int
	// Enable names extensions to switch on (RFC 5161) where they are offered,
	// ID what the server is told of the client (RFC 2971). Both travel behind
	// the login together with the next command and cost no round trip.
	Enable []string
	ID     []IDField
	// MinRate is how many octets of a message a minute the server must send, on
	// average after five minutes of waiting for it; 0 means 1,000, negative
	// values mean any.
	MinRate int64
	// Tag begins every tag; "" picks letters that the server cannot guess.
	Tag string
}

// Client is a connection to an IMAP server. See the package comment.
type Client struct {
	conn    *wire.Conn
	source  *source
	dec     *imapwire.Decoder
	enc     *imapwire.Encoder
	out     *output
	depth   int
	tag     string
	greets  hello // what is sent behind the login
	tags    int
	pending []*command // sent and not yet answered, oldest first
	waiting bool       // for a continuation request
	busy    bool       // a callback runs

	caps     Capabilities
	asked    bool         // caps are the server's, in this state of the connection
	asking   *command     // a CAPABILITY that nobody has waited for yet
	enabled  Capabilities // what the server says is switched on
	enabling *command     // the last ENABLE that nobody has waited for
	serverID []IDField    // what the server said of itself
	watched  *tracker     // wants to hear of every change in the mailbox
	coremail bool         // the server is Coremail, see introduce
	state    state
	selected string // name of the selected mailbox
	exists   uint32 // messages in it, as last told
	bye      *Error
	leaving  bool              // LOGOUT was sent
	rawNames map[string]string // mailbox names that are not modified UTF-7, as the server writes them
	idle     int               // untagged responses in a row that nobody wanted
}

type state uint8

const (
	notAuthenticated state = iota
	authenticated
	selectedState
)

const (
	defaultDepth = 512
	// windowOctets bounds the octets of commands in flight. A server that does
	// not read while it answers is not in our way then: they fit into what the
	// operating systems hold on the way.
	windowOctets = 32 << 10
	// maxIdle bounds the responses nobody asked for while a command waits.
	maxIdle = 250_000
)

// Dial connects to ep, reads the greeting and, where ep asks for it, upgrades
// to TLS. When the server does not let it, or greets with PREAUTH before TLS,
// that is an error and nothing was disclosed.
//
// Errors: those of [wire.Dial], *wire.TLSError, *wire.ProtocolError, and
// *[Error] with status BYE for a server that refuses connections.
func Dial(ctx context.Context, ep wire.Endpoint, o *Options) (*Client, error) {
	var cfg *wire.Config
	if o != nil {
		cfg = o.Wire
	}
	conn, err := wire.Dial(ctx, ep, cfg)
	if err != nil {
		return nil, err
	}
	return start(ctx, conn, ep.Security == wire.StartTLS, o)
}

// NewClient takes over a connection that is established, and encrypted if it
// should be, and reads the greeting. On an error conn is closed.
func NewClient(ctx context.Context, conn *wire.Conn, o *Options) (*Client, error) {
	return start(ctx, conn, false, o)
}

func start(ctx context.Context, conn *wire.Conn, startTLS bool, o *Options) (*Client, error) {
	c, err := newClient(conn, o)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer conn.Bind(ctx)()
	if err = c.greet(startTLS); err == nil && startTLS {
		err = c.startTLS(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func newClient(conn *wire.Conn, o *Options) (*Client, error) {
	if o == nil {
		o = &Options{}
	}
	c := &Client{conn: conn, depth: o.Depth, tag: o.Tag, out: &output{conn: conn}, greets: hello{o.ID, o.Enable}}
	if c.depth <= 0 {
		c.depth = defaultDepth
	}
	if c.tag == "" {
		c.tag = rand.Text()[:5]
	}
	c.source = &source{conn, pace{cmp.Or(o.MinRate, defaultRate), time.Now}}
	c.dec = imapwire.NewDecoder(c.source, o.Limits)
	c.enc = imapwire.NewEncoder(c.out)
	c.enc.Wait = c.awaitContinue
	return c, nil
}

// greet reads the greeting (RFC 9051 §7.1). Anything but OK, PREAUTH or BYE
// ends the connection.
func (c *Client) greet(startTLS bool) error {
	r := c.dec.Response()
	if err := c.decodeError(); err != nil {
		return err
	}
	if r.Kind != imapwire.Untagged || !r.Status() || r.Num != 0 {
		return c.protocolError("the server does not greet as IMAP servers do")
	}
	text := c.dec.RespText()
	if err := c.decodeError(); err != nil {
		return err
	}
	c.coremail = strings.Contains(text.Text, "Coremail")
	switch r.Name {
	case "OK":
	case "PREAUTH":
		if startTLS { // CVE-2020-12398: it would make us skip TLS
			return c.protocolError("the server greets with PREAUTH, which rules out TLS")
		}
		c.state = authenticated
	case "BYE":
		return c.conn.Fail(newError("greeting", "BYE", text))
	default:
		return c.conn.Fail(newError("greeting", r.Name, text))
	}
	if text.Code == "CAPABILITY" {
		c.setCaps(parseCaps(text.Arg))
	}
	if c.state == authenticated {
		if err := c.needCaps(); err != nil {
			return err
		}
		return c.sendHello()
	}
	return nil
}

// Close leaves: it sends LOGOUT if that is possible at once, and closes the
// connection without waiting for the reply. Closing twice is harmless.
func (c *Client) Close() error {
	if c.dead() == nil && !c.waitedFor() {
		unbind := c.conn.Bind(context.Background())
		c.enc.Begin(c.nextTag(), "LOGOUT")
		if c.enc.End() == nil {
			c.conn.Flush()
		}
		unbind()
	}
	return c.conn.Close()
}

// Err is the error that ended the connection, or nil while it lives.
func (c *Client) Err() error { return c.dead() }

// Conn is the connection underneath, for its TLS state and endpoint.
func (c *Client) Conn() *wire.Conn { return c.conn }

// Mailbox is the name of the selected mailbox, "" when none is.
func (c *Client) Mailbox() string { return c.selected }

// Preauthenticated tells if the server takes this connection as logged in.
func (c *Client) Preauthenticated() bool { return c.state != notAuthenticated }

// Quirks are the defects of the server's grammar that were met and accepted.
func (c *Client) Quirks() imapwire.Quirks { return c.dec.Quirks() }

func (c *Client) nextTag() string {
	c.tags++
	return c.tag + strconv.Itoa(c.tags)
}

// dead is the reason why no command can be sent any more.
func (c *Client) dead() error {
	if err := c.conn.Err(); err != nil {
		if c.bye != nil && !c.leaving {
			return c.bye
		}
		return err
	}
	if c.bye != nil {
		return c.bye
	}
	return nil
}

func (c *Client) protocolError(format string, args ...any) error {
	return c.conn.Fail(&wire.ProtocolError{Msg: fmt.Sprintf(format, args...)})
}
