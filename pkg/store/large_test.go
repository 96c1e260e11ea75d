//go:build linux

package store

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// endlessMbox is an mbox of a given size that is made while it is read.
type endlessMbox struct {
	message string
	left    int64
	at      int
}

// Read implements io.Reader.
func (e *endlessMbox) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.message[e.at:])
	e.at = (e.at + n) % len(e.message)
	e.left -= int64(n)
	return n, nil
}

// TestS5_LargeMbox: an mbox of 200 MB is read in the memory of one message; 10 GB
// with MAIL_SOAK set.
func TestS5_LargeMbox(t *testing.T) {
	size := int64(200 << 20)
	if os.Getenv("MAIL_SOAK") != "" {
		size = 10 << 30
	}
	if testing.Short() || underRace {
		t.Skip("takes long, and counts allocations")
	}
	message := fmt.Sprintf("From alice@example.org Mon Jan  1 00:00:00 2024\nSubject: x\n\n%s\n", strings.Repeat("one line of many, >From here\n>From there\n", 2500))
	size -= size % int64(len(message))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := int64(0)
	var peak uint64
	for m, err := range ReadMbox(&endlessMbox{message: message, left: size}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%1000 == 0 {
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapInuse)
		}
		if _, err := io.Copy(io.Discard, m.Open()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	total := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d messages in %d octets: %d octets allocated, %d in use at most", n, size, total, peak)
	if want := size / int64(len(message)); n != want {
		t.Errorf("got %d messages, want %d", n, want)
	}
	if limit := uint64(16<<20 + n*3000); total > limit {
		t.Errorf("allocated %d octets, want at most %d", total, limit)
	}
	if peak > before.HeapInuse+32<<20 {
		t.Errorf("%d octets in use, want at most 32 MiB more than %d", peak, before.HeapInuse)
	}
}
