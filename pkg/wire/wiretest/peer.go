package wiretest

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// grace is how long the end of a test waits for a connection that the script counts
// on but that has not been accepted yet.
const grace = 2 * time.Second

// Serve plays script on a fresh loopback listener and returns its address,
// "127.0.0.1:port". A client that differs from the script is an error of the test. All
// is closed when the test ends, which waits for the scripts to finish.
func Serve(t testing.TB, script string, opts ...Option) string {
	t.Helper()
	p := newPeer(t, script, opts)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("wiretest: %v", err)
	}
	p.listener = l.(*net.TCPListener)
	p.running.Add(1)
	go p.accept()
	t.Cleanup(p.finish)
	return l.Addr().String()
}

// Pipe plays script, which must be for one connection, over memory and returns the
// client's end. The client's writes never block. HALFCLOSE and RESET are not to be
// had here.
func Pipe(t testing.TB, script string, opts ...Option) net.Conn {
	t.Helper()
	p := newPeer(t, script, opts)
	if len(p.scripts) != 1 {
		t.Fatalf("wiretest: a pipe is one connection, the script has %d", len(p.scripts))
	}
	for _, s := range p.scripts[0] {
		if s.verb == "HALFCLOSE" || s.verb == "RESET" {
			t.Fatalf("wiretest: script line %d: %s on a pipe", s.line, s.verb)
		}
	}
	client, server := net.Pipe()
	p.accepted = 1
	p.play(newPump(server), 0)
	t.Cleanup(p.finish)
	return client
}

// peer is one listener with its scripts.
type peer struct {
	t        testing.TB
	opts     *options
	scripts  [][]step
	listener *net.TCPListener // nil for a pipe

	running sync.WaitGroup

	mu       sync.Mutex
	accepted int
	open     map[net.Conn]struct{}
}

func newPeer(t testing.TB, script string, opts []Option) *peer {
	t.Helper()
	o := newOptions(opts)
	scripts, err := parse(script, o)
	if err != nil {
		t.Fatalf("wiretest: %v", err)
	}
	if !o.hasCert {
		if o.cert, err = certificate(""); err != nil {
			t.Fatalf("wiretest: %v", err)
		}
	}
	return &peer{t: t, opts: o, scripts: scripts, open: map[net.Conn]struct{}{}}
}

// accept gives every connection its script until the listener is closed.
func (p *peer) accept() {
	defer p.running.Done()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		n := p.accepted
		p.accepted++
		p.mu.Unlock()
		if n >= len(p.scripts) && !p.opts.repeat {
			p.t.Errorf("wiretest: connection %d: the script has %d only", n+1, len(p.scripts))
			_ = c.Close()
			continue
		}
		p.play(c, n)
	}
}

// play runs the script of connection n on c in the background.
func (p *peer) play(c net.Conn, n int) {
	p.mu.Lock()
	p.open[c] = struct{}{}
	p.mu.Unlock()
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		s := newSession(c, p.opts)
		err := s.run(p.scripts[min(n, len(p.scripts)-1)])
		if err != nil {
			p.t.Errorf("wiretest: connection %d: %v\n%s", n+1, err, s.transcript())
		}
		s.closeAll()
		p.mu.Lock()
		delete(p.open, c)
		p.mu.Unlock()
	}()
}

// finish ends the peer: it gives late connections a moment, lets running scripts come
// to their end (each step has its time-out) and reports what is missing.
func (p *peer) finish() {
	if p.listener != nil {
		if p.count() < p.wanted() {
			_ = p.listener.SetDeadline(time.Now().Add(grace))
			for end := time.Now().Add(grace); p.count() < p.wanted() && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
		}
		_ = p.listener.Close()
	}
	p.running.Wait()
	if got := p.count(); got < p.wanted() {
		p.t.Errorf("wiretest: %d connections came, the script has %d", got, p.wanted())
	}
}

// wanted is the number of connections that have to come.
func (p *peer) wanted() int {
	if p.opts.repeat {
		return len(p.scripts) - 1
	}
	return len(p.scripts)
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// deviation is a client that does not keep to the script.
type deviation struct {
	step step
	msg  string
}

func (d *deviation) Error() string {
	return fmt.Sprintf("script line %d: %s: %s", d.step.line, d.step.text, d.msg)
}
