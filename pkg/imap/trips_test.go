package imap

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// relay passes connections on and counts turns: how often the client speaks after it has listened. Over a long link
// each costs a round trip; the TCP connection costs one more.
type relay struct {
	addr string

	mu       sync.Mutex
	turns    int
	speaking bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			srv, err := net.Dial("tcp4", to)
			if err != nil {
				client.Close()
				return
			}
			wg.Add(2)
			go func() { defer wg.Done(); r.pump(srv, client, true) }()
			go func() { defer wg.Done(); r.pump(client, srv, false) }()
		}
	}()
	return r
}

func (r *relay) pump(to, from net.Conn, client bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !client { // what the client has sent already is no answer to this
				time.Sleep(10 * time.Millisecond)
			}
			r.mu.Lock()
			if client && !r.speaking {
				r.turns++
			}
			r.speaking = client
			r.mu.Unlock()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) trips() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turns + 1
}

// TestRoundTrips counts what a session costs over a long link.
func TestRoundTrips(t *testing.T) {
	selects := func(ctx context.Context, c *Client) error { _, err := c.Select(ctx, "INBOX", nil); return err }
	lists := func(ctx context.Context, c *Client) error {
		list, err := c.List(ctx, &ListOptions{Status: StatusMessages | StatusUnseen})
		for _, m := range list {
			if m.Selectable() && !m.Status.Has(StatusMessages|StatusUnseen) {
				return fmt.Errorf("no counts for %q", m.Name)
			}
		}
		if err == nil && len(list) < 301 {
			return fmt.Errorf("%d mailboxes", len(list))
		}
		return err
	}
	scrams := []string{"AUTH=SCRAM-SHA-256", "AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-256-PLUS", "AUTH=SCRAM-SHA-1-PLUS", "AUTH=CRAM-MD5"}
	for _, tt := range []struct {
		name     string
		security wire.Security
		without  []string
		o        Options
		run      func(context.Context, *Client) error
		want     int
	}{
		{"TLS, login, select", wire.ImplicitTLS, nil, Options{}, selects, 5},
		{"with ENABLE and ID", wire.ImplicitTLS, nil, Options{Enable: []string{"QRESYNC", "UTF8=ACCEPT"}, ID: []IDField{{"name", "mail"}}}, selects, 5},
		{"STARTTLS", wire.StartTLS, nil, Options{}, selects, 6},
		{"300 mailboxes with counts", wire.ImplicitTLS, nil, Options{}, lists, 5},
		{"without LIST-STATUS", wire.ImplicitTLS, []string{"LIST-STATUS"}, Options{}, lists, 6},
		{"STARTTLS, without LIST-STATUS", wire.StartTLS, []string{"LIST-STATUS"}, Options{}, lists, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, err := server.Start(context.Background(), server.Options{Users: []server.User{{Name: "alice", Password: canary}},
				IMAPS: "127.0.0.1:0", IMAP: "127.0.0.1:0", Without: append(tt.without, scrams...)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(srv.Close)
			listener := "imaps"
			if tt.security == wire.StartTLS {
				listener = "imap"
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(srv.CA())
			tt.o.Wire = &wire.Config{RootCAs: pool}
			login := func(addr string) *Client {
				c, err := Dial(within(t), endpointOf(t, addr, tt.security), &tt.o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if err := c.Auth(within(t), alice()); err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := login(srv.Addr(listener))
			for i := range 300 {
				if err := c.Create(within(t), fmt.Sprintf("box %d", i)); err != nil {
					t.Fatal(err)
				}
			}
			r := newRelay(t, srv.Addr(listener))
			c = login(r.addr)
			if err := tt.run(within(t), c); err != nil {
				t.Fatal(err)
			}
			if got := r.trips(); got != tt.want {
				t.Errorf("got %d round trips, want %d", got, tt.want)
			}
			for _, name := range tt.o.Enable {
				if !c.Enabled().Has(name) {
					t.Errorf("%s is not enabled: %v", name, c.Enabled())
				}
			}
			if len(tt.o.ID) > 0 && len(c.ServerID()) == 0 {
				t.Error("the server did not say who it is")
			}
		})
	}
}

// TestCapabilitiesTravelWithTheNextCommand has a server whose reply to the login does not tell them.
func TestCapabilitiesTravelWithTheNextCommand(t *testing.T) {
	c, err := dial(t, `S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi
		C: $a AUTHENTICATE PLAIN *
		S: $a OK in
		C: $b CAPABILITY
		C: $c SELECT INBOX
		S: * CAPABILITY IMAP4rev1 ENABLE QRESYNC CONDSTORE ID
		S: $b OK done
		S: * 3 EXISTS
		S: $c OK done
		C: $d ID ("name" "mail")
		C: $e ENABLE QRESYNC
		C: $f UID SEARCH ALL
		S: * ID ("name" "theirs")
		S: $d OK done
		S: * ENABLED QRESYNC
		S: $e OK done
		S: * SEARCH 4 5 6
		S: $f OK done
		C? * LOGOUT`, wire.Cleartext, &Options{Enable: []string{"QRESYNC", "UTF8=ACCEPT"}, ID: []IDField{{"name", "mail"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Select(within(t), "INBOX", nil); err != nil || s.Exists != 3 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if found, err := c.Search(within(t)); err != nil || found.String() != "4:6" {
		t.Errorf("got %v, %v", found, err)
	}
	if id := c.ServerID(); len(id) != 1 || id[0].Value != "theirs" || !c.Enabled().Has("QRESYNC") {
		t.Errorf("got %v, enabled %v", id, c.Enabled())
	}
}
