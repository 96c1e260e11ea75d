package wiretest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Cut says where a connection ends.
type Cut struct {
	Upload bool // after At octets of the client's; else of the server's
	At     int
	Reset  bool // the client sees a reset
	Stall  bool // it does not end there, only nothing goes on
}

// CutRelay passes one connection on to a server until it is cut.
type CutRelay struct {
	Addr string // where it listens

	cut            Cut
	client, server net.Conn
	happened       bool
	over           chan struct{} // closed: a stall may end
	done           sync.WaitGroup
}

// Relay listens for one client of the server at addr. [CutRelay.Wait] must follow.
func (c Cut) Relay(t testing.TB, addr string) *CutRelay {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("wiretest: %v", err)
	}
	r := &CutRelay{Addr: l.Addr().String(), cut: c, over: make(chan struct{})}
	r.done.Go(func() {
		defer func() { _ = l.Close() }()
		if r.client, err = l.Accept(); err != nil {
			return
		}
		if r.server, err = net.Dial("tcp4", addr); err == nil {
			r.done.Go(func() { r.pass(r.server, r.client, c.Upload) })
			r.pass(r.client, r.server, !c.Upload)
			_, _ = io.Copy(io.Discard, r.server) // it has ended its session when it closes
			_ = r.server.Close()
		}
	})
	return r
}

// pass copies until the end of in, or until the cut if it is in this direction. Either is the end for both sides.
func (r *CutRelay) pass(out, in net.Conn, cuts bool) {
	defer func() { _, _ = r.client.Close(), r.server.(*net.TCPConn).CloseWrite() }()
	if !cuts {
		_, _ = io.Copy(out, in)
		return
	}
	_, err := io.CopyN(out, in, int64(r.cut.At))
	if err == nil {
		_, err = io.ReadFull(in, make([]byte, 1))
	}
	if err != nil {
		return
	}
	r.happened = true
	if r.cut.Stall {
		<-r.over
	}
	if r.cut.Reset {
		_ = r.client.(*net.TCPConn).SetLinger(0)
	}
}

// Wait ends a stall, waits for the end of the server's session and tells if there was an octet to cut off. The client
// must have connected.
func (r *CutRelay) Wait() (happened bool) {
	close(r.over)
	r.done.Wait()
	return r.happened
}
