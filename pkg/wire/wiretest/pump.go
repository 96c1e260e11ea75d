package wiretest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxPump caps what a pump holds; beyond it the client's writes block.
const maxPump = 64 << 20

// pump is the server's end of a memory connection. It takes in at once what the
// client writes, so that a client that writes while the script sends cannot lock up
// with it, as it could on a bare net.Pipe.
type pump struct {
	net.Conn
	mu       sync.Mutex
	wake     *sync.Cond
	data     []byte
	err      error
	deadline time.Time
	timer    *time.Timer
	done     chan struct{}
}

func newPump(c net.Conn) *pump {
	p := &pump{Conn: c, done: make(chan struct{})}
	p.wake = sync.NewCond(&p.mu)
	go p.fill()
	return p
}

// fill reads until the connection ends.
func (p *pump) fill() {
	defer close(p.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := p.Conn.Read(buf)
		p.mu.Lock()
		p.data = append(p.data, buf[:n]...)
		p.err = err
		p.wake.Broadcast()
		for p.err == nil && len(p.data) > maxPump {
			p.wake.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Read gives out what has come, and waits for it until the deadline.
func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 {
		if p.err != nil {
			return 0, io.EOF
		}
		if !p.deadline.IsZero() && !time.Now().Before(p.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		p.wake.Wait()
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	p.wake.Broadcast()
	return n, nil
}

// SetDeadline bounds reads and writes.
func (p *pump) SetDeadline(t time.Time) error {
	if err := p.SetReadDeadline(t); err != nil {
		return err
	}
	return p.Conn.SetWriteDeadline(t)
}

// SetReadDeadline bounds reads from the pump, not the pump's own.
func (p *pump) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.timer != nil {
		p.timer.Stop()
	}
	if !t.IsZero() {
		p.timer = time.AfterFunc(time.Until(t), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.wake.Broadcast()
		})
	}
	p.wake.Broadcast()
	return nil
}

// Close ends the connection and the pump.
func (p *pump) Close() error {
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.err == nil {
		p.err = net.ErrClosed
	}
	p.wake.Broadcast()
	p.mu.Unlock()
	err := p.Conn.Close()
	<-p.done
	return err
}
