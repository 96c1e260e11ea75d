package server

import (
	"errors"
	"io"
	"time"
)

// Faults decides where the server misbehaves. It is asked before every command, by all sessions at once. It may also be
// a Hider and a Labeller.
type Faults interface {
	Strike(Event) Strike
}

// Hider takes extensions away: what is hidden is neither announced nor served.
type Hider interface {
	Hidden(protocol, extension string) bool
}

// Event is a moment at which a fault can strike. Beside the protocol's own commands there are CONNECT (before TLS and
// greeting, Arg is the client's address), GREETING, and EOM: the whole text has arrived. In SMTP its Arg is the
// reverse-path; in LMTP there is one for each recipient, with its address.
type Event struct {
	Protocol string // "smtp", "lmtp", "pop3", "imap"
	Command  string // in capitals: "RCPT", "UID FETCH"
	Arg      string // of RCPT and MAIL the bare address, otherwise the rest of the line; never a secret
	Session  int64  // number of the session, from 1
}

// Strike is what happens then, in the order of the fields. The zero value is nothing.
type Strike struct {
	Delay   time.Duration // before anything else
	Split   int           // from now on send at most so many octets in one write
	Pause   time.Duration // with Split: between two writes
	Garbage []byte        // sent as it is
	Reply   string        // sent instead of executing the command; lines separated by LF; without the tag in IMAP
	Drop    bool          // close the connection
	Reset   bool          // close it by RST
	CutAt   int64         // reset after so many octets of the literal or body in hand, sent or received
	CutDrop bool          // with CutAt: close the connection instead
	Lie     string        // a protocol's own kind of misbehaviour, by name
}

// lieExpiredToken, as the Lie of a Strike at AUTH or AUTHENTICATE, finds that every bearer token has expired.
const lieExpiredToken = "expired-token"

// errStruck is the end of a connection that a fault has cut.
var errStruck = errors.New("cut by a fault")

// strike is what a Strike leaves to the protocol.
type strike struct {
	reply string // send this instead of executing the command; empty: go on
	cutAt int64  // cut the body in hand after so many octets (see cutWriter); 0: do not
	lie   string
	dead  bool // the connection is gone: return s.conn.Err()
}

// strike asks the Faults about a command, waits, sends garbage and cuts the connection as they want. What is left for
// the protocol to do is in s.hit too.
func (s *session) strike(command, arg string) strike {
	if s.srv.options.Faults != nil {
		s.hit = s.execute(s.srv.options.Faults.Strike(Event{Protocol: s.proto, Command: command, Arg: arg, Session: s.id}))
	}
	return s.hit
}

// execute does what is the same in all protocols.
func (s *session) execute(f Strike) strike {
	if f.Delay > 0 {
		_ = s.conn.Flush() // what is owed for earlier commands is not late
		if !sleep(s.ctx, f.Delay) {
			_ = s.conn.Fail(s.ctx.Err())
			return strike{dead: true}
		}
	}
	if f.Split > 0 {
		s.raw.pause.Store(int64(f.Pause))
		s.raw.split.Store(int64(f.Split))
	}
	if len(f.Garbage) > 0 {
		_, _ = s.conn.Write(f.Garbage)
		_ = s.conn.Flush()
	}
	if f.Drop || f.Reset {
		if f.Reply != "" {
			_, _ = s.conn.WriteString(replyLines(f.Reply))
		}
		_ = s.cutNow(f.Reset)
		return strike{dead: true}
	}
	if f.CutAt > 0 {
		s.cutDrop = f.CutDrop
	}
	return strike{reply: f.Reply, cutAt: f.CutAt, lie: f.Lie, dead: s.conn.Err() != nil}
}

// cutNow sends what is buffered and ends the connection as a fault.
func (s *session) cutNow(reset bool) error {
	_ = s.conn.Flush()
	if reset {
		s.raw.reset()
	} else {
		s.raw.drop()
	}
	return s.conn.Fail(errStruck)
}

// cutWriter passes octets on to w and cuts the connection after the first n of them; n <= 0 returns w itself. It
// serves both directions: with w the connection, and with w where a received body goes.
func (s *session) cutWriter(w io.Writer, n int64) io.Writer {
	if n <= 0 {
		return w
	}
	return &cutWriter{s: s, w: w, left: n}
}

type cutWriter struct {
	s    *session
	w    io.Writer
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		n, err := c.w.Write(p)
		c.left -= int64(n)
		return n, err
	}
	n, err := c.w.Write(p[:c.left])
	if err != nil {
		return n, err
	}
	return n, c.s.cutNow(!c.s.cutDrop)
}
