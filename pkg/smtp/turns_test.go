package smtp

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// relay passes on what comes over TCP and counts how often the direction turns to the client: each is a round trip.
type relay struct {
	mu    sync.Mutex
	ours  bool // the client spoke last
	turns int
}

func (r *relay) spoke(client bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ours && !client {
		r.turns++
	}
	r.ours = client
}

func (r *relay) pass(to, from net.Conn, client bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			r.spoke(client)
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// listen relays one connection to addr.
func (r *relay) listen(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp4", addr)
		if err != nil {
			_ = in.Close()
			return
		}
		ended.Go(func() { r.pass(out, in, true) })
		r.pass(in, out, false)
	})
	t.Cleanup(func() { _ = l.Close(); ended.Wait() })
	return l.Addr().String()
}

// TestRoundTrips_OneMessage counts what one message costs: SMTPS, TLS 1.3, AUTH PLAIN with the first response in the
// command. Connecting takes one round trip that a relay does not see; QUIT is not waited for.
func TestRoundTrips_OneMessage(t *testing.T) {
	const login = "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250-8BITMIME\nS: 250-AUTH PLAIN\nS: 250-PIPELINING\n"
	for _, tc := range []struct {
		name, script string
		want         int
	}{
		{"CHUNKING", login + "S: 250 CHUNKING\nC: AUTH PLAIN *\nS: 235 ok\nC: MAIL *\nC: RCPT *\nC: BDAT *\nC{28}\nS> \"250 a\\r\\n250 b\\r\\n250 c\\r\\n\"\nC: QUIT\n", 6},
		{"PIPELINING alone", login + "S: 250 HELP\nC: AUTH PLAIN *\nS: 235 ok\nC: MAIL *\nC: RCPT *\nC: DATA\nS> \"250 a\\r\\n250 b\\r\\n354 c\\r\\n\"\nC.\nS: 250 d\nC: QUIT\n", 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &relay{}
			addr := r.listen(t, wiretest.Serve(t, tc.script, wiretest.ImplicitTLS(wiretest.CA(t).Good)))
			c, err := Dial(bg(t), endpoint(t, addr, wire.ImplicitTLS), &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool}})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Auth(bg(t), &auth.Credentials{User: "alice", Password: auth.Literal("secret")}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Send(bg(t), envelope("bob@example.org"), io.MultiReader(strings.NewReader(testBody))); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			got := r.turns + 1
			r.mu.Unlock()
			_ = c.Close()
			if got != tc.want {
				t.Errorf("%d round trips, want %d", got, tc.want)
			}
		})
	}
}
