package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// rate spaces messages out evenly. A nil *rate lets all pass. It is safe for concurrent use.
type rate struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time // when the next message may go
}

// parseRate reads --rate: N/s, N/min or N/h.
func parseRate(text string) (*rate, error) {
	count, unit, _ := strings.Cut(text, "/")
	per := map[string]time.Duration{"s": time.Second, "sec": time.Second, "min": time.Minute, "m": time.Minute, "h": time.Hour, "hour": time.Hour}[unit]
	n, err := strconv.ParseFloat(count, 64)
	if err != nil || per == 0 || !(n > 0 && n <= 1e6) {
		return nil, usagef("a number of messages per second, minute or hour expected, such as 30/min")
	}
	every := float64(per) / n
	if every > float64(24*time.Hour) {
		return nil, usagef("less than one message a day")
	}
	return &rate{every: time.Duration(every)}, nil
}

// pass takes the place of one message if it is due now.
func (r *rate) pass() bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(r.every)
	return true
}

// wait takes a place, when it is due. It fails with the context's error.
func (r *rate) wait(ctx context.Context) error {
	for !r.pass() {
		r.mu.Lock()
		due := time.Until(r.next)
		r.mu.Unlock()
		select {
		case <-time.After(due):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}
