package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// cutConn ends a connection after a number of octets in one direction.
type cutConn struct {
	net.Conn
	in, out int // octets left; negative: no cut
	reset   bool
	stall   chan struct{} // not nil: instead of ending, nothing goes on until it is closed
}

func (c *cutConn) cut() error {
	switch {
	case c.stall != nil:
		<-c.stall
	case c.reset:
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	}
	_ = c.Conn.Close()
	return net.ErrClosed
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.out < 0 || len(p) < c.out {
		if c.out >= 0 {
			c.out -= len(p)
		}
		return c.Conn.Write(p)
	}
	_, _ = c.Conn.Write(p[:c.out])
	return 0, c.cut()
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.in == 0 {
		return 0, c.cut()
	}
	if c.in > 0 && len(p) > c.in {
		p = p[:c.in]
	}
	n, err := c.Conn.Read(p)
	if c.in > 0 {
		c.in -= n
	}
	return n, err
}

// session does everything once. It returns what was fetched and the first error.
func session(ctx context.Context, ep wire.Endpoint, o *Options) (fetched []string, err error) {
	c, err := Dial(ctx, ep, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(ctx, alice()); err != nil {
		return nil, err
	}
	if _, err := c.Stat(ctx); err != nil {
		return nil, err
	}
	if _, err := c.List(ctx); err != nil {
		return nil, err
	}
	if _, err := c.Uidl(ctx); err != nil {
		return nil, err
	}
	err = c.Retr(ctx, []int{1, 2}, func(_ int, _ int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err == nil {
			fetched = append(fetched, string(b))
		}
		return err
	})
	if err != nil {
		return fetched, err
	}
	if err := c.Top(ctx, []int{2}, 0, func(int, int64, io.Reader) error { return nil }); err != nil {
		return fetched, err
	}
	if err := c.Dele(ctx, []int{1, 2}); err != nil {
		return fetched, err
	}
	return fetched, c.Quit(ctx)
}

var cutMessages = []string{"Subject: one\r\n\r\n..dot\r\n", "Subject: two\r\n\r\n\r\n"}

func newFake(pipelined bool) *fake {
	f := &fake{greeting: "+OK ready", caps: []string{"USER", "UIDL", "TOP"}, messages: cutMessages}
	if pipelined {
		f.caps = append(f.caps, "PIPELINING")
	}
	return f
}

// count plays a whole session and returns how many octets went each way.
func count(t *testing.T, pipelined bool) (in, out int) {
	t.Helper()
	var counter *countConn
	f := newFake(pipelined)
	addr, wait := f.start(t, func(c net.Conn) net.Conn { counter = &countConn{Conn: c}; return counter })
	fetched, err := session(within(t), endpointOf(t, addr, wire.Cleartext), nil)
	wait()
	if err != nil || len(fetched) != 2 || fetched[0] != "Subject: one\r\n\r\n.dot\r\n" || !f.commit {
		t.Fatalf("uncut: got %q, %v, commit %v", fetched, err, f.commit)
	}
	return counter.in, counter.out
}

type countConn struct {
	net.Conn
	in, out int
}

func (c *countConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out += n
	return n, err
}
func (c *countConn) Read(p []byte) (int, error) { n, err := c.Conn.Read(p); c.in += n; return n, err }

// checkCut runs the session over a connection that is cut, and checks what must hold at every cut.
func checkCut(t *testing.T, f *fake, cut *cutConn, o *Options) {
	t.Helper()
	addr, wait := f.start(t, func(c net.Conn) net.Conn { cut.Conn = c; return cut })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fetched, err := session(ctx, endpointOf(t, addr, wire.Cleartext), o)
	if cut.stall != nil {
		close(cut.stall)
	}
	wait()
	if err == nil {
		t.Errorf("got no error from a session that was cut")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the session hung: %v", err)
	}
	for i, m := range fetched {
		if want := bytes.ReplaceAll([]byte(cutMessages[i]), []byte("\r\n.."), []byte("\r\n.")); m != string(want) {
			t.Errorf("message %d: got %q, want %q", i+1, m, want)
		}
	}
	var ce *CommitError
	if f.commit && (!errors.As(err, &ce) || ce.Outcome != Unknown) {
		t.Errorf("the server deleted, got %v, want a *CommitError with outcome Unknown", err)
	}
	if errors.As(err, &ce) && ce.Outcome == NotCommitted && f.commit {
		t.Errorf("got %v, but the server deleted", err)
	}
}

func TestS11_CutAtEveryOctet(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		in, out := count(t, pipelined)
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("server's octets, pipelined %v, reset %v", pipelined, reset), func(t *testing.T) {
				for n := range out {
					checkCut(t, newFake(pipelined), &cutConn{in: -1, out: n, reset: reset}, nil)
				}
			})
			t.Run(fmt.Sprintf("client's octets, pipelined %v, reset %v", pipelined, reset), func(t *testing.T) {
				for n := range in {
					checkCut(t, newFake(pipelined), &cutConn{in: n, out: -1, reset: reset}, nil)
				}
			})
		}
	}
}

func TestS11_StallAtAnyOctet(t *testing.T) {
	_, out := count(t, true)
	o := &Options{Wire: &wire.Config{Timeout: 30 * time.Millisecond}}
	step := 5
	if testing.Short() {
		step = 50
	}
	for n := 0; n < out; n += step {
		checkCut(t, newFake(true), &cutConn{in: -1, out: n, stall: make(chan struct{})}, o)
	}
}
