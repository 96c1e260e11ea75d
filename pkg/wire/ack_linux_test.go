package wire_test

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// TestAcknowledgedAtOnce looks at the socket after the handshake: the last thing that happened on it was that we sent
// something, after which the kernel delays acknowledgements by itself.
func TestAcknowledgedAtOnce(t *testing.T) {
	ca := wiretest.CA(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.Good}, SessionTicketsDisabled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if nc, err := l.Accept(); err == nil {
			defer nc.Close()
			_ = nc.(*tls.Conn).HandshakeContext(t.Context()) // the client tells
			_, _ = nc.Read(make([]byte, 1))                  // its end
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wire.NewConn(nc, &wire.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"})
	defer c.Close()
	if err := c.StartTLS(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on int
	if e := raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if on != 1 {
		t.Errorf("got TCP_QUICKACK %d after the handshake, want 1", on)
	}
}
