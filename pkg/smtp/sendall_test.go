package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, cancel
}

func isCanceled(err error) bool { return errors.Is(err, context.Canceled) }

func numbered(n int) iter.Seq[*Message] {
	return func(yield func(*Message) bool) {
		for i := range n {
			text := fmt.Sprintf("Subject: %d\r\n\r\n.\r\n", i)
			if !yield(&Message{Envelope: envelope(fmt.Sprintf("u%d@example.org", i)), Body: strings.NewReader(text)}) {
				return
			}
		}
	}
}

// turns counts how often the client waited: a read after a write.
type turns struct {
	*server
	n     int
	wrote bool
}

func (c *turns) Write(p []byte) (int, error) { c.wrote = true; return c.server.Write(p) }

func (c *turns) Read(p []byte) (int, error) {
	if c.wrote {
		c.n++
		c.wrote = false
	}
	return c.server.Read(p)
}

func (c *turns) Close() error { return nil }

func client(t testing.TB, nc *turns) *Client { return clientOf(t, nc, wire.SMTP) }

func clientOf(t testing.TB, nc net.Conn, p wire.Protocol) *Client {
	t.Helper()
	c, err := New(bg(t), wire.NewConn(nc, nil), wire.Endpoint{Protocol: p, Host: "127.0.0.1", Security: wire.Cleartext}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSendAll_RoundTrips(t *testing.T) {
	const n = 1000
	for _, tc := range []struct {
		name     string
		keywords []string
		most     float64 // round trips a message
	}{
		{"CHUNKING and PIPELINING", []string{"PIPELINING", "CHUNKING"}, 0.1},
		{"PIPELINING", []string{"PIPELINING"}, 1.01},
		{"CHUNKING", []string{"CHUNKING"}, 4.01},
		{"neither", nil, 5.01},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc := &turns{server: newServer(tc.keywords...)}
			c := client(t, nc)
			next := 0
			err := c.SendAll(bg(t), numbered(n), func(i int, m *Message, r *Result, err error) error {
				if i != next || err != nil || outcome(r) != "+" || r.Rcpt[0].Addr != fmt.Sprintf("u%d@example.org", i) {
					t.Errorf("message %d (want %d): %+v %v", i, next, r, err)
				}
				next++
				return nil
			})
			if err != nil || next != n || len(nc.texts) != n {
				t.Fatalf("%d reported, %d committed, %v", next, len(nc.texts), err)
			}
			for i, text := range nc.texts {
				if want := fmt.Sprintf("Subject: %d\r\n\r\n.\r\n", i); text != want {
					t.Fatalf("text %d is %q, want %q", i, text, want)
				}
			}
			if got := float64(nc.n) / n; got > tc.most {
				t.Errorf("%.3f round trips a message, want at most %.2f", got, tc.most)
			}
		})
	}
}

func TestSend_RoundTripsOfOneMessage(t *testing.T) {
	// TCP and TLS 1.3 take two and the greeting one; with EHLO and AUTH that leaves 1.5 of the 6.5 for the message.
	for _, tc := range []struct {
		keywords []string
		most     int
	}{{[]string{"PIPELINING", "CHUNKING"}, 1}, {[]string{"PIPELINING"}, 2}} {
		nc := &turns{server: newServer(tc.keywords...)}
		c := client(t, nc)
		nc.n = 0
		if _, err := send(t, c, envelope("a@example.org", "b@example.org")); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if nc.n > tc.most {
			t.Errorf("%v: %d round trips, want at most %d", tc.keywords, nc.n, tc.most)
		}
	}
}

func TestSendAll_Outcomes(t *testing.T) {
	for _, keywords := range [][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {"CHUNKING"}, nil} {
		t.Run(strings.Join(keywords, "+"), func(t *testing.T) {
			nc := &turns{server: newServer(keywords...)}
			nc.refuse = func(line string) string {
				switch {
				case strings.Contains(line, "RCPT TO:<u3@") || strings.Contains(line, "RCPT TO:<u5@"):
					return "550 no"
				case strings.Contains(line, "RCPT TO:<u4@"):
					return "450 later"
				}
				return ""
			}
			c := client(t, nc)
			var got strings.Builder
			messages := func(yield func(*Message) bool) {
				for m := range numbered(8) {
					if strings.HasPrefix(m.Envelope.Rcpt[0], "u6") {
						m.Envelope.UTF8 = true // not offered
					}
					if !yield(m) {
						return
					}
				}
			}
			err := c.SendAll(bg(t), messages, func(i int, _ *Message, r *Result, err error) error {
				got.WriteString(outcome(r))
				if want := map[string]string{"+": "ok", "p": "none", "t": "none"}[outcome(r)]; kind(err) != want && i != 6 {
					t.Errorf("message %d: error is %v, want %s", i, err, want)
				}
				return nil
			})
			if err != nil || got.String() != "+++ptpp+" {
				t.Errorf("outcomes %s, %v; want +++ptpp+", got.String(), err)
			}
		})
	}
}

func TestSendAll_ConnectionLost(t *testing.T) {
	for n := range 190 {
		s := newServer("PIPELINING", "CHUNKING")
		nc := &cutConn{server: s, reads: 100 + 11*n, writes: -1, err: &timeout{}}
		c, err := New(bg(t), wire.NewConn(nc, nil), wire.Endpoint{Protocol: wire.SMTP, Security: wire.Cleartext}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var results []*Result
		var errs []error
		err = c.SendAll(bg(t), numbered(60), func(i int, _ *Message, r *Result, err error) error {
			if i != len(results) {
				t.Errorf("message %d reported as number %d", len(results), i)
			}
			results, errs = append(results, r), append(errs, err)
			return nil
		})
		if err == nil {
			t.Errorf("cut after %d octets: no error", 100+11*n)
		}
		believed, doubtful := 0, 0
		for i := range results {
			switch outcome(results[i]) {
			case "+":
				believed++
			case "?":
				doubtful++
			}
		}
		if got := len(s.texts); got < believed || got > believed+doubtful {
			t.Errorf("cut after %d octets: %d committed, %d believed, %d doubtful", 100+11*n, got, believed, doubtful)
		}
	}
}

func TestSendAll_BrokenBodySparesTheOthers(t *testing.T) {
	for _, keywords := range [][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}} {
		nc := &turns{server: newServer(keywords...)}
		c := client(t, nc)
		var got strings.Builder
		messages := func(yield func(*Message) bool) {
			for m := range numbered(8) {
				if strings.HasPrefix(m.Envelope.Rcpt[0], "u4") {
					m.Body = strings.NewReader("bare\nLF\r\n")
				}
				if !yield(m) {
					return
				}
			}
		}
		err := c.SendAll(bg(t), messages, func(i int, _ *Message, r *Result, err error) error {
			got.WriteString(outcome(r))
			return nil
		})
		if !errors.Is(err, wire.ErrBareLineEnd) || got.String() != "++++p" || len(nc.texts) != 4 {
			t.Errorf("%v: outcomes %s, %d committed, %v", keywords, got.String(), len(nc.texts), err)
		}
	}
}

func TestSendAll_DoneStops(t *testing.T) {
	nc := &turns{server: newServer("PIPELINING", "CHUNKING")}
	c := client(t, nc)
	enough := errors.New("enough")
	n := 0
	err := c.SendAll(bg(t), numbered(1000), func(i int, _ *Message, r *Result, err error) error {
		n++
		if i >= 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != len(nc.texts) || n > 100 {
		t.Errorf("%v; %d reported, %d committed", err, n, len(nc.texts))
	}
}

// once fails the test when it is read after its end, or after its message was done with.
type once struct {
	t     *testing.T
	r     io.Reader
	ended bool
}

func (o *once) Read(p []byte) (int, error) {
	if o.ended {
		o.t.Error("the body is read after its end")
	}
	n, err := o.r.Read(p)
	o.ended = err != nil
	return n, err
}

// TestSendAll_AsksWhenConnected has the messages made for the server at hand: binary ones where it takes them, and they
// go by BDAT. Each body is read once, and before the next message is asked for.
func TestSendAll_AsksWhenConnected(t *testing.T) {
	const text = "Subject: x\r\n\r\n\x00\xff\n.\r"
	for _, p := range []wire.Protocol{wire.SMTP, wire.LMTP} {
		for _, keywords := range [][]string{{"PIPELINING", "CHUNKING", "BINARYMIME"}, {"CHUNKING", "BINARYMIME"}, {"PIPELINING", "8BITMIME"}, nil} {
			s := newServer(keywords...)
			var said []string
			s.refuse = func(line string) string { said = append(said, line); return "" }
			c := clientOf(t, &turns{server: s}, p)
			var before *once
			messages := func(yield func(*Message) bool) {
				for range 3 {
					if before != nil && !before.ended {
						t.Error("the next message is asked for before the body was read to its end")
					}
					env := envelope("bob@example.org")
					before = &once{t: t, r: strings.NewReader("Subject: x\r\n\r\nencoded\r\n")}
					if c.Takes(BodyBinary) {
						env.Body, before.r = BodyBinary, strings.NewReader(text)
					}
					if !yield(&Message{Envelope: env, Body: before}) {
						return
					}
				}
			}
			err := c.SendAll(bg(t), messages, func(_ int, _ *Message, _ *Result, err error) error { return err })
			if err != nil || len(s.texts) != 3 {
				t.Fatalf("%s %v: %v, %d committed", p, keywords, err, len(s.texts))
			}
			all := strings.Join(said, "\n")
			if binary := slices.Contains(keywords, "BINARYMIME"); strings.Contains(all, " BODY=BINARYMIME\n") != binary || binary && (strings.Contains(all, "DATA") || s.texts[2] != text) {
				t.Errorf("%s %v: said %q, committed %q", p, keywords, said, s.texts)
			}
		}
	}
}
