package server

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// idle answers IDLE (RFC 9051 §6.3.13): changes are told as they happen, until DONE.
func (s *imapSession) idle(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	if err := s.line("+ idling"); err != nil {
		return err
	}
	line, err := s.idleLine()
	if err != nil {
		return err
	}
	s.c.tail = s.c.tail[:0]
	if !strings.EqualFold(line, "DONE") {
		return imapBad("", "DONE expected")
	}
	return nil
}

// idleLine waits for the client's next line and tells about changes meanwhile.
func (s *imapSession) idleLine() (string, error) {
	if s.view != nil {
		if err := s.sync(true); err != nil {
			return "", err
		}
		stop := s.interruptible(func() error {
			if err := s.sync(true); err != nil {
				return err
			}
			return s.c.Flush()
		})
		defer stop()
	}
	line, err := s.c.ReadLine(100)
	return string(line), err
}

// interruptible lets tell run whenever the mailbox changes while the session waits for its client. It runs in the
// session's own goroutine, in the middle of the read that waits, so that the connection still belongs to one goroutine.
func (s *imapSession) interruptible(tell func() error) (stop func()) {
	socket := s.raw.Conn
	idler := &imapIdler{Conn: socket, tell: tell}
	s.swap(idler)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-s.view.changed:
				idler.wake()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		s.swap(socket)
	}
}

// swap puts another socket under the connection. A connection sets deadlines from other goroutines only for the context
// bound last, under a lock that Bind takes too: with another one bound nobody else is there.
func (s *imapSession) swap(socket net.Conn) {
	unbind := s.conn.Bind(context.Background())
	s.raw.Conn = socket
	unbind()
}

// imapIdler is a socket on which a Read that waits can be woken to run tell.
type imapIdler struct {
	net.Conn
	tell func() error

	mu    sync.Mutex
	until time.Time // the deadline that was set from above
	woken bool
}

// wake makes the Read in progress, or the next one, run tell.
func (c *imapIdler) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// SetDeadline sets both deadlines; that of a Read about to be woken stays.
func (c *imapIdler) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	if c.woken {
		return c.Conn.SetWriteDeadline(t)
	}
	return c.Conn.SetDeadline(t)
}

// calm takes the wake-up back and tells if there was one.
func (c *imapIdler) calm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.woken {
		return false
	}
	c.woken = false
	_ = c.Conn.SetReadDeadline(c.until)
	return true
}

// Read reads, and runs tell each time it is woken.
func (c *imapIdler) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !c.calm() {
			return n, err
		}
		if err := c.tell(); err != nil {
			return 0, err
		}
	}
}
