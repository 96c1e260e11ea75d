package smtp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// stubborn is a server that does not read while it writes, over sockets with small buffers. Its replies are long.
type stubborn struct{ reply string }

func (s *stubborn) play(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	in := bufio.NewReaderSize(nc, 1<<10)
	_, _ = io.WriteString(nc, "220 ready\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		reply := s.reply
		if strings.HasPrefix(line, "EHLO") {
			reply = "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n"
		}
		var n int64
		if _, err := fmt.Sscanf(line, "BDAT %d", &n); err == nil {
			if _, err := io.CopyN(io.Discard, in, n); err != nil {
				return
			}
		}
		if _, err := io.WriteString(nc, reply); err != nil {
			return
		}
	}
}

// TestPipeline_NoDeadlock sends many messages, and one to many recipients, to a server whose replies do not fit the
// buffers of the sockets: the window has to keep both ends from waiting for each other (RFC 2920 §3.1).
func TestPipeline_NoDeadlock(t *testing.T) {
	for _, reply := range []string{"250 ok\r\n", "250 " + strings.Repeat("x", 500) + "\r\n", strings.Repeat("250-"+strings.Repeat("x", 500)+"\r\n", 3) + "250 ok\r\n"} {
		t.Run(fmt.Sprint(len(reply)), func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				nc, err := l.Accept()
				if err != nil {
					return
				}
				_ = nc.(*net.TCPConn).SetReadBuffer(16 << 10)
				_ = nc.(*net.TCPConn).SetWriteBuffer(16 << 10)
				(&stubborn{reply}).play(nc)
			}()
			t.Cleanup(func() { _ = l.Close(); <-ended })
			nc, err := net.Dial("tcp4", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.(*net.TCPConn).SetWriteBuffer(16 << 10)
			c := clientOf(t, nc, wire.SMTP)
			defer func() { _ = c.Close() }()
			accepted := 0
			messages := func(yield func(*Message) bool) {
				for i := range 400 {
					env, size := envelope(fmt.Sprintf("u%d@example.org", i)), int64(1600)
					if i%100 == 50 {
						env = envelope(slices.Repeat([]string{"someone.with.a.long.name@example.org"}, 1000)...)
					}
					if !yield(&Message{Envelope: env, Body: io.LimitReader(&lines{}, size)}) {
						return
					}
				}
			}
			err = c.SendAll(bg(t), messages, func(_ int, _ *Message, r *Result, err error) error {
				accepted += len(r.Accepted())
				return err
			})
			if want := 396 + 4*1000; err != nil || accepted != want {
				t.Errorf("%d accepted, want %d; %v", accepted, want, err)
			}
		})
	}
}
