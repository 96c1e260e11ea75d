// Package server is a small mail system in one process: SMTP submission, LMTP, POP3 and IMAP over one store, for
// demonstrations, for tests and for continuous integration, where it can also misbehave on command (see Faults). It is
// not for the open internet: it listens on loopback addresses unless told otherwise, and it relays nothing.
//
// Rules:
//
//   - One goroutine serves a session and owns its connection. A panic in a session ends that session alone.
//   - What was acknowledged (a 250 after the text, an APPEND's OK) is durable before the acknowledgement leaves, as far
//     as the Store is.
//   - Grammar is strict and every size and count that a client sends has a cap: a test server that is tolerant hides
//     the mistakes that a test is there to find.
//   - Start takes no ownership of Options.Store; the store that it makes itself is closed with the server.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
)

const (
	defaultMaxMessage  = 256 << 20
	defaultMaxSessions = 2000
	idleBeforeDrain    = 250 * time.Millisecond // a session that waits for its client this long is not in the middle of anything
	handshakeTime      = 30 * time.Second
)

// Options says what a server offers. At least one listen address is needed; the rest may be zero.
//
// A listen address is host:port, where port 0 takes a free one and the host must be a loopback address unless
// AllowRemote, or the absolute path of a unix socket.
type Options struct {
	Store    Store    // nil: a new one in memory
	Users    []User   // the first of them gets what is addressed to nobody; none: one called "test" who has no password
	Domains  []string // the domains mail is taken for; empty: any
	Hostname string   // what the server calls itself; empty: localhost

	SMTP, SMTPS, LMTP, POP3, POP3S, IMAP, IMAPS string // listen addresses, empty: off

	Certificate         *tls.Certificate // nil: made on the spot, for localhost, 127.0.0.1, ::1 and Hostname
	AllowRemote         bool             // listen on other addresses than loopback ones
	AllowCleartextLogin bool             // offer mechanisms that show the password, without TLS
	RequireLogin        bool             // SMTP takes mail from known users only
	Without             []string         // extensions switched off in all protocols: "MOVE", "PIPELINING", …

	MaxMessage  int64 // octets of one message; 0: 256 MiB
	MaxSessions int   // at once, all protocols together; 0: 2,000
	MaxRcpt     int   // RCPT commands of one SMTP transaction; 0: 1,000
	MaxMail     int   // MAIL commands of one SMTP session; 0: 100,000

	Timeout time.Duration // how long a session may be silent; 0: five minutes

	// Submit, when it is not nil, gets what SMTP clients send, before its 250 and instead of the store; recipients are
	// then not looked up. An error is the reply: see Refusal. It is called by all sessions at once.
	Submit func(context.Context, *Submission) error

	Faults Faults           // nil: none
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
}

// User is somebody who can log in.
type User struct {
	Name     string // a local part, or a whole address
	Password string // empty: no login by password
	Token    string // OAuth bearer token; empty: no login by token
}

// Server is a running mail system. Its methods may be called from any goroutine.
type Server struct {
	options   Options
	store     Store
	ownStore  bool
	labels    bool // mailboxes are labels: see Labeller
	log       *slog.Logger
	tls       *tls.Config
	keys      *auth.Keys // SCRAM keys, worked out once for each user
	ca        []byte
	protocols map[string]protocol
	without   map[string]bool
	memory    atomic.Int64 // octets of messages being received
	recent    imapRecent
	pool      pieces

	ctx       context.Context
	cancel    context.CancelFunc
	detach    func() bool
	draining  atomic.Bool
	listeners []*listener
	work      sync.WaitGroup // accept loops and sessions

	mu       sync.Mutex // guards the fields below
	sessions map[int64]*session
	lastID   int64
	closed   bool
}

// listener is one listening socket.
type listener struct {
	net.Listener
	name     string // "smtps"
	proto    string // "smtp"
	implicit bool   // TLS from the first octet
}

// Start opens all listening sockets and serves them until ctx ends, Shutdown or Close. After an error nothing listens.
func Start(ctx context.Context, o Options) (*Server, error) {
	srv, err := newServer(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := srv.listen(); err != nil {
		srv.Close()
		return nil, err
	}
	for _, l := range srv.listeners {
		srv.work.Add(1)
		go srv.accept(l)
	}
	srv.detach = context.AfterFunc(ctx, srv.stopListening)
	return srv, nil
}

func newServer(ctx context.Context, o Options) (*Server, error) {
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if len(o.Users) == 0 {
		o.Users = []User{{Name: "test"}}
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = defaultMaxSessions
	}
	if o.MaxRcpt <= 0 {
		o.MaxRcpt = defaultMaxRcpt
	}
	if o.MaxMail <= 0 {
		o.MaxMail = defaultMaxMail
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	srv := &Server{options: o, store: o.Store, log: o.Log, sessions: map[int64]*session{}, protocols: protocols(),
		keys: auth.NewKeys()}
	if srv.log == nil {
		srv.log = slog.New(slog.DiscardHandler)
	}
	srv.without = map[string]bool{}
	for _, name := range o.Without {
		srv.without[strings.ToUpper(name)] = true
	}
	var err error
	if srv.tls, srv.ca, err = serverTLS(o.Certificate, o.Hostname, o.Now()); err != nil {
		return nil, err
	}
	if srv.store == nil {
		srv.store, srv.ownStore = NewMemory(), true
	}
	if l, ok := o.Faults.(Labeller); ok && l.Labels() {
		base, ok := srv.store.(*localStore)
		if !ok {
			return nil, errLabelStore
		}
		srv.store, srv.labels = newLabelStore(base), true
	}
	srv.ctx, srv.cancel = context.WithCancel(ctx)
	return srv, nil
}

func (srv *Server) listen() error {
	o := &srv.options
	for _, l := range []struct{ name, proto, address string }{
		{"smtp", "smtp", o.SMTP}, {"smtps", "smtp", o.SMTPS}, {"lmtp", "lmtp", o.LMTP},
		{"pop3", "pop3", o.POP3}, {"pop3s", "pop3", o.POP3S}, {"imap", "imap", o.IMAP}, {"imaps", "imap", o.IMAPS},
	} {
		if l.address == "" {
			continue
		}
		if _, ok := srv.protocols[l.proto]; !ok {
			return fmt.Errorf("%s is not served", l.proto)
		}
		nl, err := listenOn(srv.ctx, l.address, o.AllowRemote)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		srv.listeners = append(srv.listeners, &listener{Listener: nl, name: l.name, proto: l.proto, implicit: l.name != l.proto})
	}
	if len(srv.listeners) == 0 {
		return errors.New("no address to listen on")
	}
	return nil
}

// ErrNotLoopback is a listen address that others than this machine could reach.
var ErrNotLoopback = errors.New("not a loopback address")

func listenOn(ctx context.Context, address string, remote bool) (net.Listener, error) {
	var lc net.ListenConfig
	if strings.HasPrefix(address, "/") {
		return lc.Listen(ctx, "unix", address)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if !remote && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: %q", ErrNotLoopback, address)
	}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	// The name localhost is whatever the machine's resolver makes of it.
	if tcp, ok := l.Addr().(*net.TCPAddr); !remote && (!ok || !tcp.IP.IsLoopback()) {
		_ = l.Close()
		return nil, fmt.Errorf("%w: %q", ErrNotLoopback, address)
	}
	return l, nil
}

// Addr is the address that a listener ("smtp", "smtps", "lmtp", "pop3", "pop3s", "imap", "imaps") was given, empty when
// it is off.
func (srv *Server) Addr(name string) string {
	for _, l := range srv.listeners {
		if l.name == name {
			return l.Listener.Addr().String()
		}
	}
	return ""
}

// CA is the certificate that clients have to trust, in PEM.
func (srv *Server) CA() []byte { return slices.Clone(srv.ca) }

// Store is where the mail is.
func (srv *Server) Store() Store { return srv.store }

func (srv *Server) accept(l *listener) {
	defer srv.work.Done()
	for wait := time.Duration(0); ; {
		nc, err := l.Accept()
		if err == nil {
			wait = 0
			srv.open(l, nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) || srv.ctx.Err() != nil {
			return
		}
		// Out of file descriptors, most likely; it passes when sessions end.
		wait = min(wait+10*time.Millisecond, time.Second)
		srv.log.Warn("cannot accept", "listener", l.name, "error", err)
		if !sleep(srv.ctx, wait) {
			return
		}
	}
}

// open starts a session, or turns the client away when there are too many.
func (srv *Server) open(l *listener, nc net.Conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed || srv.draining.Load() {
		_ = nc.Close()
		return
	}
	if len(srv.sessions) >= srv.options.MaxSessions {
		srv.log.Warn("too many sessions", "listener", l.name)
		if !l.implicit { // one short line into an empty socket buffer does not block
			_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = nc.Write([]byte(srv.protocols[l.proto].tooMany + "\r\n"))
		}
		_ = nc.Close()
		return
	}
	srv.lastID++
	s := newSession(srv, l, nc, srv.lastID)
	srv.sessions[s.id] = s
	srv.work.Add(1)
	go func() {
		defer srv.work.Done()
		s.run(l.implicit)
		srv.mu.Lock()
		delete(srv.sessions, s.id)
		srv.mu.Unlock()
	}()
}

func (srv *Server) stopListening() {
	for _, l := range srv.listeners {
		_ = l.Close()
	}
}

func (srv *Server) current() []*session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.Collect(maps.Values(srv.sessions))
}

// Shutdown stops listening, lets every session finish what it is doing, and closes. A session that waits for its client
// is ended at once. When ctx ends first, the sessions that are left are cut and the error is the context's.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.draining.Store(true)
	srv.stopListening()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := srv.current()
		for _, s := range left {
			if s.raw.waiting(idleBeforeDrain) {
				s.cancel()
			}
		}
		if len(left) == 0 {
			srv.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			srv.Close()
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// WaitIdle waits until there has been a session and none is left, or until ctx ends, whose error it returns then.
func (srv *Server) WaitIdle(ctx context.Context) error {
	for {
		srv.mu.Lock()
		idle := srv.lastID > 0 && len(srv.sessions) == 0
		srv.mu.Unlock()
		if idle {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// Close stops listening, cuts all sessions and waits until their goroutines have ended. Closing twice is harmless.
func (srv *Server) Close() {
	srv.mu.Lock()
	first := !srv.closed
	srv.closed = true
	srv.mu.Unlock()
	srv.cancel()
	if srv.detach != nil {
		srv.detach()
	}
	srv.stopListening()
	srv.work.Wait()
	if first && srv.ownStore {
		if err := srv.store.Close(); err != nil {
			srv.log.Warn("cannot close the store", "error", err)
		}
	}
}

// tlsConfig is for AcceptTLS.
func (srv *Server) tlsConfig() *tls.Config { return srv.tls }

// sleep waits for d; it is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isClosed tells ends of connections that are nobody's mistake from those worth a warning.
func isClosed(err error) bool {
	return err == nil || errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}
