package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on the terminal how far long work has come: octets and, when there are several, messages. Work that
// is done at once shows nothing. The methods of a nil *progress do nothing. It is safe for concurrent use.
type progress struct {
	mu       sync.Mutex
	bar      *progressbar.ProgressBar
	since    time.Time
	what     string
	octets   int64
	messages int
	shown    bool
}

// progressAfter is how long work takes before anything is shown.
const progressAfter = 700 * time.Millisecond

// newProgress makes a bar for total octets, -1 when that is not known. It is nil unless standard error is a terminal
// that shows nothing else.
func (c *call) newProgress(what string, total int64) *progress {
	if !c.stderrTTY || c.quiet || c.json || c.verbose > 0 {
		return nil
	}
	return &progress{since: time.Now(), what: what, bar: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(c.env.progress),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetRenderBlankState(false),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSpinnerType(14),
	)}
}

// add counts octets that went through.
func (p *progress) add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.octets += int64(n)
	p.show()
}

// message counts a message that is settled.
func (p *progress) message() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages++
	p.show()
}

func (p *progress) show() {
	if time.Since(p.since) < progressAfter {
		return
	}
	p.shown = true
	if p.messages > 1 {
		p.bar.Describe(fmt.Sprintf("%s, %d messages", p.what, p.messages))
	}
	_ = p.bar.Set64(p.octets)
}

// clear takes the bar away, because words are coming; the next count brings it back.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		_ = p.bar.Clear()
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
