package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// How long, and for how many octets, a connection that ends in order is read after its last reply.
const (
	lingerTime   = 200 * time.Millisecond
	lingerOctets = 1 << 20
)

// A login that was refused makes the next refusal slower by loginPause, and after maxFailures the session ends.
const (
	maxFailures = 10
	loginPause  = 25 * time.Millisecond
)

// session is what the protocols share of one connection. It belongs to the goroutine that serves it.
type session struct {
	srv      *Server
	conn     *wire.Conn
	raw      *shaper
	proto    string // "smtp", "lmtp", "pop3", "imap"
	id       int64
	ctx      context.Context // ends with the server, or when an idle session is drained
	cancel   context.CancelFunc
	user     *User   // nil before login
	account  Account // nil before login
	input    []byte  // the line that readLine has read last
	hit      strike  // the fault of the command in hand
	cutDrop  bool    // a fault that cuts a body closes the connection and does not reset it
	failures int     // logins refused
	log      *slog.Logger
}

func newSession(srv *Server, l *listener, nc net.Conn, id int64) *session {
	s := &session{srv: srv, proto: l.proto, id: id}
	s.ctx, s.cancel = context.WithCancel(srv.ctx)
	s.raw = &shaper{Conn: nc, ctx: s.ctx}
	s.conn = wire.NewConn(s.raw, &wire.Config{Timeout: srv.options.Timeout})
	s.log = srv.log.With("session", id, "protocol", l.name, "remote", nc.RemoteAddr().String())
	return s
}

// run serves the connection from its first octet to its end.
func (s *session) run(implicit bool) {
	defer s.cancel()
	defer func() { _ = s.raw.Close() }()
	defer s.recover()
	defer s.conn.Bind(s.ctx)()
	if s.strike("CONNECT", s.raw.RemoteAddr().String()); s.conn.Err() != nil {
		return
	}
	if implicit {
		if err := s.startTLS(); err != nil {
			s.log.Info("tls failed", "error", err)
			return
		}
	}
	s.log.Debug("open")
	err := s.srv.protocols[s.proto].serve(s.srv, s)
	if e := s.conn.Flush(); err == nil && e != nil && !errors.Is(e, errStruck) {
		err = e
	}
	if isClosed(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStruck) {
		s.log.Debug("closed", "error", err)
	} else {
		s.log.Info("ended", "error", err)
	}
	s.hangUp()
}

// startTLS completes the server's side of a handshake, for implicit TLS and for STARTTLS.
func (s *session) startTLS() error {
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTime)
	defer cancel()
	return s.conn.AcceptTLS(ctx, s.srv.tlsConfig())
}

func (s *session) recover() {
	if p := recover(); p != nil {
		s.log.Error("panic in session", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// hangUp closes the connection so that the peer gets what was sent.
func (s *session) hangUp() {
	s.raw.linger.Store(!s.raw.cut.Load() && s.ctx.Err() == nil)
	_ = s.conn.Close()
}

// has reports whether an extension is there: neither Options.Without nor a fault took it away.
func (s *session) has(extension string) bool {
	if s.srv.without[strings.ToUpper(extension)] {
		return false
	}
	h, ok := s.srv.options.Faults.(Hider)
	return !ok || !h.Hidden(s.proto, strings.ToUpper(extension))
}

// draining reports that the server wants the session to end after the command in hand.
func (s *session) draining() bool { return s.srv.draining.Load() }

// secure reports whether TLS is up.
func (s *session) secure() bool { return s.conn.TLS() != nil }

// login makes user the session's, by the name that was proved.
func (s *session) login(name string) error {
	u := s.srv.lookup(name)
	if u == nil {
		return fmt.Errorf("no such user: %q", name)
	}
	account, err := s.srv.store.Account(u.Name)
	if err != nil {
		return err
	}
	s.user, s.account = u, account
	s.log = s.log.With("user", u.Name)
	s.log.Info("logged in")
	return nil
}

// loginFailed counts a login that was refused, and waits a little longer each time, so that guessing takes time. The
// refusal still has to be sent; over says that the session ends with it.
func (s *session) loginFailed() (over bool) {
	s.failures++
	s.log.Info("login refused", "failures", s.failures)
	_ = s.conn.Flush() // what is owed for earlier commands is not late
	sleep(s.ctx, time.Duration(s.failures-1)*loginPause)
	return s.failures >= maxFailures
}

// verifier is what the mechanisms know of the users.
func (s *session) verifier() auth.Verifier {
	v, names := s.srv.verifier(), s.mechanisms()
	v.NoBinding = !auth.HasMechanism(names, auth.ScramSHA256Plus) && !auth.HasMechanism(names, auth.ScramSHA1Plus)
	if s.hit.lie == lieExpiredToken {
		v.Token = func(string, string) bool { return false }
	}
	return v
}

// channel describes the connection to package auth.
func (s *session) channel() auth.Channel {
	tcp, ok := s.raw.RemoteAddr().(*net.TCPAddr)
	return auth.Channel{
		Host: s.srv.options.Hostname, Protocol: s.proto, TLS: s.conn.TLS(), Loopback: !ok || tcp.IP.IsLoopback(),
	}
}

// mechanisms are the SASL mechanisms on offer now.
func (s *session) mechanisms() []string {
	if !s.has("AUTH") {
		return nil
	}
	var names []string
	for _, m := range auth.Mechanisms(s.srv.verifier(), s.channel(), s.srv.options.AllowCleartextLogin) {
		if s.has("AUTH=" + m) {
			names = append(names, m)
		}
	}
	return names
}

// shaper is the socket with the faults that work on octets, and knows whether its reader waits.
type shaper struct {
	net.Conn
	ctx    context.Context // of the session
	split  atomic.Int64    // octets of one write; 0: all
	pause  atomic.Int64    // nanoseconds between two of them
	cut    atomic.Bool     // ended by a fault
	linger atomic.Bool     // see Close
	since  atomic.Int64    // when the Read in progress began, in nanoseconds; 0: none is
}

func (c *shaper) Read(p []byte) (int, error) {
	c.since.Store(time.Now().UnixNano())
	defer c.since.Store(0)
	return c.Conn.Read(p)
}

// waiting reports that a Read has been in progress for d.
func (c *shaper) waiting(d time.Duration) bool {
	t := c.since.Load()
	return t != 0 && time.Now().UnixNano()-t >= int64(d)
}

func (c *shaper) Write(p []byte) (int, error) {
	n := int(c.split.Load())
	if n <= 0 {
		return c.Conn.Write(p)
	}
	total := 0
	for len(p) > 0 {
		k, err := c.Conn.Write(p[:min(n, len(p))])
		total += k
		if err != nil {
			return total, err
		}
		if p = p[k:]; len(p) > 0 && !sleep(c.ctx, time.Duration(c.pause.Load())) {
			return total, c.ctx.Err()
		}
	}
	return total, nil
}

// Close closes the socket. With linger it first waits for the peer to close, as long as that takes no time worth
// mentioning: closing a socket with unread input resets it, and a reset throws away what the peer has not read yet.
func (c *shaper) Close() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && c.linger.Swap(false) {
		_ = tcp.CloseWrite()
		_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, tcp, lingerOctets)
	}
	return c.Conn.Close()
}

// reset ends the connection with an RST where the transport has one.
func (c *shaper) reset() {
	c.cut.Store(true)
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Conn.Close()
}

// drop ends the connection without a word.
func (c *shaper) drop() {
	c.cut.Store(true)
	_ = c.Conn.Close()
}
