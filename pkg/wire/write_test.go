package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// narrow takes some octets and then fails every write; what was said before can still be read.
type narrow struct {
	net.Conn
	room int
	said []byte
}

func (n *narrow) Write(p []byte) (int, error) {
	k := min(len(p), n.room)
	if n.room -= k; k < len(p) {
		return k, syscall.EPIPE
	}
	return k, nil
}

func (n *narrow) Read(p []byte) (int, error) {
	if len(n.said) == 0 {
		return 0, io.EOF
	}
	k := copy(p, n.said)
	n.said = n.said[k:]
	return k, nil
}

func (*narrow) SetDeadline(time.Time) error { return nil }

func TestSentAndQueued(t *testing.T) {
	c := NewConn(&narrow{room: 10}, nil)
	positions := func(sent, queued int64) {
		t.Helper()
		if c.Sent() != sent || c.Queued() != queued {
			t.Errorf("sent %d, queued %d; want %d and %d", c.Sent(), c.Queued(), sent, queued)
		}
	}
	positions(0, 0)
	_ = c.WriteLine("12345")
	positions(0, 7)
	_ = c.Flush()
	positions(7, 7)
	_ = c.WriteLine("89")
	_ = c.WriteLine("more")
	positions(7, 17)
	if err := c.Flush(); !errors.Is(err, syscall.EPIPE) || c.Sent() != 10 {
		t.Errorf("%v, sent %d; want EPIPE and 10", err, c.Sent())
	}
}

func TestLastWords(t *testing.T) {
	other := errors.New("another")
	for _, tc := range []struct {
		name  string
		fail  func(c *Conn)
		heard string
		give  error
		want  error
	}{
		{"a failed write", func(c *Conn) { _ = c.WriteLine("too long"); _ = c.Flush() }, "552 no", nil, syscall.EPIPE},
		{"with an error of the reader", func(c *Conn) { _ = c.WriteLine("too long"); _ = c.Flush() }, "552 no", other, other},
		{"not after a failed read", func(c *Conn) { _, _ = c.ReadLine(2) }, "", other, ErrLineTooLong},
		{"not on a living connection", func(*Conn) {}, "", other, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewConn(&narrow{said: []byte("552 no\r\n")}, nil)
			tc.fail(c)
			heard := ""
			err := c.LastWords(time.Second, func() error {
				line, _ := c.ReadLine(100)
				heard = string(line)
				return tc.give
			})
			if heard != tc.heard || !errors.Is(err, tc.want) || c.Err() != err {
				t.Errorf("heard %q, %v, afterwards %v; want %q, %v", heard, err, c.Err(), tc.heard, tc.want)
			}
		})
	}
	t.Run("not when the context has ended", func(t *testing.T) {
		c := NewConn(&narrow{said: []byte("552 no\r\n")}, nil)
		_ = c.WriteLine("too long")
		_ = c.Flush()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		defer c.Bind(ctx)()
		_ = c.LastWords(time.Second, func() error { t.Error("read was called"); return nil })
	})
}
