package imap

import (
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// A server that sends a few octets now and then never runs into the idle
// time-out. After paceGrace spent waiting for it, a literal must have come at
// the minimum rate on average.
const (
	paceGrace   = 5 * time.Minute
	defaultRate = 1000 // octets a minute
)

// pace is the minimum rate of a connection.
type pace struct {
	rate int64 // octets a minute, negative: none
	now  func() time.Time
}

// paced is a literal that may not crawl. Only the time spent waiting for the
// server counts, not that of whoever takes the octets.
type paced struct {
	*pace
	lit    *wire.Literal
	conn   *wire.Conn
	n      int64
	since  time.Time // when the wait for the server began
	waited time.Duration
}

// Read reads from the literal.
func (p *paced) Read(b []byte) (int, error) {
	p.since = p.now()
	n, err := p.lit.Read(b)
	if e := p.account(n); e != nil {
		return n, e
	}
	return n, err
}

// WriteTo passes the octets to w without copying them.
func (p *paced) WriteTo(w io.Writer) (int64, error) {
	p.since = p.now()
	return p.lit.WriteTo(&paceMeter{p, w})
}

// account counts n octets that were waited for since p.since.
func (p *paced) account(n int) error {
	p.n += int64(n)
	p.waited += p.now().Sub(p.since)
	if p.rate < 0 || p.waited <= paceGrace || float64(p.n) >= float64(p.rate)*p.waited.Minutes() {
		return nil
	}
	return p.conn.Fail(&wire.TimeoutError{After: p.waited.Round(time.Second)})
}

// paceMeter stands between a literal and who takes it.
type paceMeter struct {
	p *paced
	w io.Writer
}

// Write counts and passes on.
func (m *paceMeter) Write(b []byte) (int, error) {
	if err := m.p.account(len(b)); err != nil {
		return 0, err
	}
	n, err := m.w.Write(b)
	m.p.since = m.p.now()
	return n, err
}
