package mimetree

import (
	"testing"
	"time"
)

// linear runs f on n and 2n octets and fails when the time grows by far more than the double. The best of a few runs counts, since
// other work on the machine only ever adds.
func linear(t *testing.T, name string, f func(n int)) {
	t.Helper()
	if testing.Short() {
		t.Skip("ratios of time say nothing under the race detector")
	}
	best := func(n int) time.Duration {
		least := time.Duration(1 << 62)
		for range 3 {
			start := time.Now()
			f(n)
			least = min(least, time.Since(start))
		}
		return least
	}
	const size = 256 << 10
	// Below noise a measurement says nothing on a busy machine; a quadratic reader takes seconds for this much.
	const noise = 30 * time.Millisecond
	var one, two time.Duration
	for range 4 {
		one, two = best(size), best(2*size)
		if two < max(one*26/10, noise) {
			return
		}
	}
	t.Errorf("%s: %v for %d octets, %v for the double", name, one, size, two)
}
