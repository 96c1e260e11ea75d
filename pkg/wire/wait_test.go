package wire_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// TestWait waits for a peer that speaks when it likes: a silence does not end the connection, under TLS neither.
func TestWait(t *testing.T) {
	for name, opts := range map[string][]wiretest.Option{"cleartext": nil, "TLS": {wiretest.ImplicitTLS(wiretest.CA(t).Good)}} {
		t.Run(name, func(t *testing.T) {
			security := wire.Cleartext
			if opts != nil {
				security = wire.ImplicitTLS
			}
			addr := wiretest.Serve(t, "S> \"hi\\r\\n\"\nC: next\nS> \"a\\r\\nb\\r\\n\"\nC: last\nCLOSE", opts...)
			c, err := wire.Dial(t.Context(), endpoint(t, addr, security), &wire.Config{RootCAs: wiretest.CA(t).Pool})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			line := func(want string) {
				t.Helper()
				if some, err := c.Wait(5 * time.Second); !some || err != nil {
					t.Fatalf("before %q: got %v, %v", want, some, err)
				}
				if got, err := c.ReadLine(100); string(got) != want || err != nil {
					t.Fatalf("got %q, %v, want %q", got, err, want)
				}
			}
			line("hi")
			for range 3 {
				if some, err := c.Wait(10 * time.Millisecond); some || err != nil {
					t.Fatalf("silence: got %v, %v", some, err)
				}
			}
			c.WriteLine("next")
			line("a")
			line("b")
			c.WriteLine("last")
			var closed *wire.ClosedError
			if some, err := c.Wait(5 * time.Second); some || !errors.As(err, &closed) || c.Err() == nil {
				t.Errorf("at the end: got %v, %v", some, err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		c := wire.NewConn(wiretest.Pipe(t, "HANG"), nil)
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer c.Bind(ctx)()
		time.AfterFunc(20*time.Millisecond, cancel)
		if some, err := c.Wait(5 * time.Second); some || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", some, err)
		}
	})
}
