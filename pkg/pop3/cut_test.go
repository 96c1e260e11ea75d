package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// session does everything once. It returns what was fetched and the first error.
func session(ctx context.Context, ep wire.Endpoint, o *Options) (fetched []string, err error) {
	c, err := Dial(ctx, ep, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(ctx, alice()); err != nil {
		return nil, err
	}
	if _, err := c.Stat(ctx); err != nil {
		return nil, err
	}
	if _, err := c.List(ctx); err != nil {
		return nil, err
	}
	if _, err := c.Uidl(ctx); err != nil {
		return nil, err
	}
	err = c.Retr(ctx, []int{1, 2}, func(_ int, _ int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err == nil {
			fetched = append(fetched, string(b))
		}
		return err
	})
	if err != nil {
		return fetched, err
	}
	if err := c.Top(ctx, []int{2}, 0, func(int, int64, io.Reader) error { return nil }); err != nil {
		return fetched, err
	}
	if err := c.Dele(ctx, []int{1, 2}); err != nil {
		return fetched, err
	}
	return fetched, c.Quit(ctx)
}

var cutMessages = []string{"Subject: one\r\n\r\n.dot\r\n", "Subject: two\r\n\r\n\r\n"}

// checkCut runs the session over a connection that is cut, and checks what must hold at every cut. It reports whether
// the cut was before the end.
func checkCut(t *testing.T, b *box, c wiretest.Cut, o *Options) bool {
	t.Helper()
	b.fill(t, cutMessages)
	r := c.Relay(t, b.Addr("pop3"))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	fetched, err := session(ctx, endpointOf(t, r.Addr, wire.Cleartext), o)
	happened := r.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v: the session hung: %v", c, err)
	}
	for i, m := range fetched {
		if m != cutMessages[i] {
			t.Errorf("%+v: message %d: got %q, want %q", c, i+1, m, cutMessages[i])
		}
	}
	deleted := len(b.inbox.Messages()) == 0
	var ce *CommitError
	var late *wire.TimeoutError
	switch {
	case !happened && c.Stall && errors.As(err, &late): // on a busy machine
		return true
	case !happened && (err != nil || len(fetched) != 2 || !deleted):
		t.Errorf("%+v, uncut: got %q, %v, deleted %v", c, fetched, err, deleted)
	case happened && err == nil:
		t.Errorf("%+v: got no error from a session that was cut", c)
	case happened && deleted && (!errors.As(err, &ce) || ce.Outcome != Unknown):
		t.Errorf("%+v: the server deleted, got %v, want a *CommitError with outcome Unknown", c, err)
	}
	return happened
}

func TestS11_CutAtEveryOctet(t *testing.T) {
	for _, without := range []string{"PIPELINING", ""} {
		for _, upload := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("without %q, upload %v, reset %v", without, upload, reset), func(t *testing.T) {
					t.Parallel()
					b := serveBox(t, without)
					n := 0
					for checkCut(t, b, wiretest.Cut{Upload: upload, At: n, Reset: reset}, nil) {
						n++
					}
					if n < 50 {
						t.Errorf("the session was over after %d octets", n)
					}
				})
			}
		}
	}
}

func TestS11_StallAtAnyOctet(t *testing.T) {
	o := &Options{Wire: &wire.Config{Timeout: 50 * time.Millisecond}}
	step := 40
	if testing.Short() {
		step = 200
	}
	for first := 0; first < step; first += step / 4 {
		t.Run(fmt.Sprintf("%d and every %d", first, step), func(t *testing.T) {
			t.Parallel()
			b := serveBox(t)
			n := first
			for checkCut(t, b, wiretest.Cut{At: n, Stall: true}, o) {
				n += step
			}
			if n < 100 {
				t.Errorf("the session was over after %d octets", n)
			}
		})
	}
}
