package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// cut says where a connection ends.
type cut struct {
	upload bool // after so many octets of the client's; else of the server's
	at     int
	reset  bool
	stall  bool // it does not end there, only nothing goes on
}

// relay passes one connection on to a server until it is cut.
type relay struct {
	cut
	client, server net.Conn
	happened       bool          // there was an octet to cut off; read it after wait
	over           chan struct{} // closed by the test: a stall may end
	done           sync.WaitGroup
}

// startRelay listens for one client of the server at addr.
func startRelay(t *testing.T, addr string, c cut) (r *relay, listens string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &relay{cut: c, over: make(chan struct{})}
	r.done.Go(func() {
		defer l.Close()
		if r.client, err = l.Accept(); err != nil {
			return
		}
		if r.server, err = net.Dial("tcp4", addr); err == nil {
			r.done.Go(func() { r.pass(r.server, r.client, r.upload) })
			r.pass(r.client, r.server, !r.upload)
			_, _ = io.Copy(io.Discard, r.server) // it has ended its session when it closes
			_ = r.server.Close()
		}
	})
	return r, l.Addr().String()
}

// pass copies until the end of in, or until the cut if it is in this direction. Either is the end for both sides.
func (r *relay) pass(out, in net.Conn, cuts bool) {
	defer func() { _, _ = r.client.Close(), r.server.(*net.TCPConn).CloseWrite() }()
	if !cuts {
		_, _ = io.Copy(out, in)
		return
	}
	_, err := io.CopyN(out, in, int64(r.at))
	if err == nil {
		_, err = io.ReadFull(in, make([]byte, 1))
	}
	if err != nil {
		return
	}
	r.happened = true
	if r.stall {
		<-r.over
	}
	if r.reset {
		_ = r.client.(*net.TCPConn).SetLinger(0)
	}
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

var cutMessages = []string{"Subject: one\r\n\r\n.dot\r\n", "Subject: two\r\n\r\n\r\n"}

// checkCut runs the session over a connection that is cut, and checks what must hold at every cut. It reports whether
// the cut was before the end.
func checkCut(t *testing.T, b *box, c cut, o *Options) bool {
	t.Helper()
	b.fill(t, cutMessages)
	r, addr := startRelay(t, b.Addr("pop3"), c)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	fetched, err := session(ctx, endpointOf(t, addr, wire.Cleartext), o)
	close(r.over)
	r.done.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v: the session hung: %v", c, err)
	}
	for i, m := range fetched {
		if m != cutMessages[i] {
			t.Errorf("%+v: message %d: got %q, want %q", c, i+1, m, cutMessages[i])
		}
	}
	deleted := len(b.inbox.Messages()) == 0
	var ce *CommitError
	var late *wire.TimeoutError
	switch {
	case !r.happened && c.stall && errors.As(err, &late): // on a busy machine
		return true
	case !r.happened && (err != nil || len(fetched) != 2 || !deleted):
		t.Errorf("%+v, uncut: got %q, %v, deleted %v", c, fetched, err, deleted)
	case r.happened && err == nil:
		t.Errorf("%+v: got no error from a session that was cut", c)
	case r.happened && deleted && (!errors.As(err, &ce) || ce.Outcome != Unknown):
		t.Errorf("%+v: the server deleted, got %v, want a *CommitError with outcome Unknown", c, err)
	}
	return r.happened
}

func TestS11_CutAtEveryOctet(t *testing.T) {
	for _, without := range []string{"PIPELINING", ""} {
		for _, upload := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("without %q, upload %v, reset %v", without, upload, reset), func(t *testing.T) {
					t.Parallel()
					b := serveBox(t, without)
					n := 0
					for checkCut(t, b, cut{upload: upload, at: n, reset: reset}, nil) {
						n++
					}
					if n < 50 {
						t.Errorf("the session was over after %d octets", n)
					}
				})
			}
		}
	}
}

func TestS11_StallAtAnyOctet(t *testing.T) {
	o := &Options{Wire: &wire.Config{Timeout: 50 * time.Millisecond}}
	step := 40
	if testing.Short() {
		step = 200
	}
	for first := 0; first < step; first += step / 4 {
		t.Run(fmt.Sprintf("%d and every %d", first, step), func(t *testing.T) {
			t.Parallel()
			b := serveBox(t)
			n := first
			for checkCut(t, b, cut{at: n, stall: true}, o) {
				n += step
			}
			if n < 100 {
				t.Errorf("the session was over after %d octets", n)
			}
		})
	}
}
