// Package pop3 is a POP3 client (RFC 1939) with the extensions that servers have: CAPA and response codes (RFC 2449),
// STLS (RFC 2595), SASL (RFC 5034), SYS and AUTH codes (RFC 3206), UTF8 and LANG (RFC 6856). It moves messages as
// bytes; it does not look into them, keeps no state between sessions, and never deletes what it was not told to delete.
//
// Rules:
//
//   - A Client belongs to one goroutine, and that goroutine reads the socket. Parallel work opens more clients.
//   - The states are RFC 1939's: AUTHORIZATION after Dial, TRANSACTION after Auth, UPDATE by Quit. A verb in the wrong
//     state is refused before anything is sent.
//   - Dele only marks. Nothing is deleted unless Quit succeeds; Close after Dele deletes nothing.
//   - Retr and Top hand every message to a callback as an io.Reader that is valid during the call. The end of a message
//     is the dot line and nothing else; announced sizes are hints.
//   - Plural verbs pipeline when the server offers it, within a window (Options.Depth, Options.WindowBytes).
//   - The first I/O or framing error ends the client: every later call returns it. A refusal (-ERR) does not.
package pop3

import (
	"context"
	"errors"
	"fmt"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// Caps on what a server may send. All are far above what honest servers need.
const (
	maxLine      = 64 << 10  // octets of a reply line or of a line in a listing
	maxCapaLines = 1000      // capabilities
	maxEntries   = 1_000_000 // messages in a maildrop
	maxListing   = 128 << 20 // octets of one listing
	maxNumber    = 1<<31 - 1 // the largest message number
	maxKeptText  = 512       // octets of a server's words that an error keeps
)

// Defaults of Options.
const (
	DefaultDepth       = 64      // commands
	DefaultWindowBytes = 4 << 20 // octets
	DefaultMaxMessage  = 2 << 30 // octets
)

// Options tunes a Client. The zero value and nil mean the defaults.
type Options struct {
	// Wire says how to connect: TLS, proxy, time-outs, trace.
	Wire *wire.Config
	// Depth is the largest number of commands under way at once when the server offers PIPELINING; 1 turns
	// pipelining off, 0 means DefaultDepth.
	Depth int
	// WindowBytes bounds the announced octets of the replies under way; 0 means DefaultWindowBytes. One message is
	// always allowed, whatever its size.
	WindowBytes int64
	// MaxMessage is the largest message, in octets, that Retr and Top read; a longer one ends the connection with
	// ErrTooLarge. 0 means DefaultMaxMessage, negative means no bound.
	MaxMessage int64
}

func (o *Options) orDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.Depth <= 0 {
		v.Depth = DefaultDepth
	}
	if v.WindowBytes <= 0 {
		v.WindowBytes = DefaultWindowBytes
	}
	if v.MaxMessage == 0 {
		v.MaxMessage = DefaultMaxMessage
	}
	return v
}

type state int

const (
	authorization state = iota // greeted
	transaction                // logged in
	closed                     // Quit or Close was called
)

func (s state) String() string {
	return [...]string{"not logged in", "logged in", "closed"}[s]
}

// Client is one session with a POP3 server. It is made by Dial or New.
type Client struct {
	conn      *wire.Conn
	opts      Options
	state     state
	timestamp string // APOP's, from the greeting

	caps     *Caps // nil: not asked since the last change of state
	owedCapa bool  // CAPA is written and its reply comes before the next one
	pipeline bool  // PIPELINING was offered on this side of TLS

	listed listing // the last listing of all messages: the window's estimate
	marked []int   // accepted DELEs, in order
}

var errClosed = errors.New("pop3: the session is closed")

// ready reports whether a verb may be sent now.
func (c *Client) ready(verb string, want state) error {
	if err := c.conn.Err(); err != nil && c.state != closed {
		return fmt.Errorf("%s: %w", verb, err)
	}
	switch {
	case c.state == closed:
		return errClosed
	case c.state != want:
		return fmt.Errorf("pop3: %s: the session is %v", verb, c.state)
	}
	return nil
}

// Conn is the connection, for its TLS state, endpoint and sticky error. Reading or writing on it breaks the client.
func (c *Client) Conn() *wire.Conn { return c.conn }

// Marked returns the numbers of the messages that Dele marked and Quit will delete.
func (c *Client) Marked() []int { return append([]int(nil), c.marked...) }

// simple sends one command that is answered by one line, and returns the text after +OK.
func (c *Client) simple(ctx context.Context, verb, line string) ([]byte, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(verb, transaction); err != nil {
		return nil, err
	}
	return c.roundTrip(verb, line)
}

func (c *Client) roundTrip(verb, line string) ([]byte, error) {
	if err := c.conn.WriteLine(line); err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return c.readReply(verb)
}
