package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// progress shows on the terminal how far long work has come: octets and, when there are several, messages. Work that
// is done at once shows nothing. The methods of a nil *progress do nothing. It is safe for concurrent use.
type progress struct {
	w     io.Writer
	what  string
	total int64 // octets; -1: not known
	count int   // messages; 0: not known
	begun time.Time

	mu       sync.Mutex
	octets   int64
	messages int
	drawn    time.Time // zero: nothing is shown
}

const (
	progressAfter = 700 * time.Millisecond // how long work takes before anything is shown
	progressEvery = 100 * time.Millisecond
	progressWidth = 20 // cells of the bar
)

// newProgress makes a bar for total octets, -1 when that is not known. It is nil unless standard error is a terminal
// that shows nothing else.
func (c *call) newProgress(what string, total int64) *progress {
	if !c.stderrTTY || c.quiet || c.json || c.verbose > 0 {
		return nil
	}
	return &progress{w: c.env.progress, what: what, total: total, begun: time.Now()}
}

// expect tells how much there will be, now that more is known. Nothing known is 0.
func (p *progress) expect(octets int64, messages int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.count = octets, messages
}

// add counts octets that went through.
func (p *progress) add(n int) { p.went(int64(n), 0) }

// message counts a message that is settled.
func (p *progress) message() { p.went(0, 1) }

func (p *progress) went(octets int64, messages int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.octets += octets
	p.messages += messages
	if now := time.Now(); now.Sub(p.begun) >= progressAfter && now.Sub(p.drawn) >= progressEvery {
		p.drawn = now
		fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(now.Sub(p.begun)))
	}
}

// line is what is shown after a time.
func (p *progress) line(took time.Duration) string {
	words := []string{p.what}
	switch {
	case p.count > 1:
		words = append(words, fmt.Sprintf("%d of %d messages", p.messages, max(p.count, p.messages)))
	case p.messages > 1:
		words = append(words, fmt.Sprintf("%d messages", p.messages))
	}
	rate := float64(p.octets) / took.Seconds()
	words = append(words, humanize.Bytes(uint64(p.octets)), humanize.Bytes(uint64(rate))+"/s")
	if part := p.part(); part > 0 {
		full := int(part * progressWidth)
		left := time.Duration(float64(took) * (1 - part) / part)
		words = append(words, fmt.Sprintf("[%s%s] %d %%", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), int(part*100)),
			max(left, 0).Round(time.Second).String()+" left")
	}
	return strings.Join(words, "  ")
}

// part is how much is done, between 0 and 1; 0 also when that is not known.
func (p *progress) part() float64 {
	switch {
	case p.total > 0:
		return min(float64(p.octets)/float64(p.total), 1)
	case p.count > 0:
		return min(float64(p.messages)/float64(p.count), 1)
	}
	return 0
}

// clear takes the bar away, because words are coming; the next count brings it back.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}

// counting counts what is read from r.
func (p *progress) counting(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &progressReader{r: r, p: p}
}

type progressReader struct {
	r io.Reader
	p *progress
}

func (c *progressReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.add(n)
	return n, err
}
