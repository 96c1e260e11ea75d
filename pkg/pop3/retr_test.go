package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestS12_Retr(t *testing.T) {
	cases := []struct{ name, raw, want string }{
		{"plain", `From: a\r\n\r\nbody\r\n.\r\n`, "From: a\r\n\r\nbody\r\n"},
		{"empty", `.\r\n`, ""},
		{"only CRLF", `\r\n.\r\n`, "\r\n"},
		{"stuffed dots", `..a\r\n...\r\n..\r\n.b\r\n.\r\n`, ".a\r\n..\r\n.\r\nb\r\n"},
		{"bare LF kept", `a\nb\n\r\n.\r\n`, "a\nb\n\r\n"},
		{"LF dot LF is no end", "a\\n.\\nb\\r\\n.\\r\\n", "a\n.\nb\r\n"},
		{"LF dot CRLF is no end", `a\n.\r\nb\r\n.\r\n`, "a\n.\r\nb\r\n"},
		{"CRLF dot LF is no end", `a\r\n.\nb\r\n.\r\n`, "a\r\n\nb\r\n"},
		{"bare CR kept", `a\rb\r\r\n.\r\n`, "a\rb\r\r\n"},
		{"CR dot CR is no end", `a\r.\rb\r\n.\r\n`, "a\r.\rb\r\n"},
		{"NUL and 8 bit", `\x00\xff\x80\r\n.\r\n`, "\x00\xff\x80\r\n"},
		{"no header", `no colon here\r\n.\r\n`, "no colon here\r\n"},
		{"what looks like a reply", `-ERR no\r\n+OK\r\n.\r\n`, "-ERR no\r\n+OK\r\n"},
	}
	for _, tt := range cases {
		for _, split := range []int{0, 1, 2, 3, 5} {
			t.Run(fmt.Sprintf("%s, split %d", tt.name, split), func(t *testing.T) {
				c := login(t, fmt.Sprintf("%sC: RETR 1\nSPLIT %d\nS> \"+OK\\r\\n%s\"\nSPLIT 0\nC: NOOP\nS: +OK\nC? QUIT", loggedIn, split, tt.raw), nil)
				var msgs []got
				if err := c.Retr(within(t), []int{1}, collect(&msgs)); err != nil {
					t.Fatal(err)
				}
				if len(msgs) != 1 || msgs[0].text != tt.want {
					t.Errorf("got %v, want %q", msgs, tt.want)
				}
				if err := c.Noop(within(t)); err != nil {
					t.Errorf("the session did not go on: %v", err)
				}
			})
		}
	}
}

func TestRetr_ReaderShapes(t *testing.T) {
	const want = "a\r\n.dot\r\n\r\n..\r\nlast\r\n"
	shapes := map[string]func(io.Reader) ([]byte, error){
		"io.Copy":         func(r io.Reader) ([]byte, error) { var b bytes.Buffer; _, err := io.Copy(&b, r); return b.Bytes(), err },
		"Read":            func(r io.Reader) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{r}) },
		"one octet":       func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		"half buffers":    func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.HalfReader(r)) },
		"data with error": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.DataErrReader(r)) },
		"read, then copy": func(r io.Reader) ([]byte, error) {
			p := make([]byte, 4)
			n, err := r.Read(p)
			if err != nil {
				return nil, err
			}
			b := bytes.NewBuffer(p[:n])
			_, err = io.Copy(b, r)
			return b.Bytes(), err
		},
		"past the end": func(r io.Reader) ([]byte, error) {
			b, err := io.ReadAll(r)
			for range 3 {
				if n, e := r.Read(make([]byte, 10)); n != 0 || e != io.EOF {
					return b, fmt.Errorf("got %d, %v after the end, want 0, EOF", n, e)
				}
			}
			if n, e := io.Copy(io.Discard, r); n != 0 || e != nil {
				return b, fmt.Errorf("got %d, %v after the end, want 0, nil", n, e)
			}
			return b, err
		},
	}
	for name, read := range shapes {
		t.Run(name, func(t *testing.T) {
			c := login(t, loggedIn+`C: RETR 1
				S> "+OK\r\na\r\n..dot\r\n\r\n...\r\nlast\r\n.\r\n"
				C: NOOP
				S: +OK
				C? QUIT`, nil)
			err := c.Retr(within(t), []int{1}, func(_ int, _ int64, r io.Reader) error {
				b, err := read(r)
				if string(b) != want {
					t.Errorf("got %q, want %q", b, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if err := c.Noop(within(t)); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
		})
	}
}

func TestS8_SizesAreHints(t *testing.T) {
	c := login(t, loggedIn+lines("C: LIST", "S: +OK", "S: 1 5", "S: 2 99999", "S: .",
		"C: CAPA", "S: -ERR",
		"C: RETR 1", "S: +OK 3 octets", "S: much longer than five", "S: .",
		"C: RETR 2", "S: +OK", "S: short", "S: .",
		"C: RETR 3", "S: +OK 120 octets", "S: x", "S: .",
		"C: RETR 4", "S: +OK follows", "S: x", "S: .", "C? QUIT"), nil)
	if _, err := c.List(within(t)); err != nil {
		t.Fatal(err)
	}
	var msgs []got
	if err := c.Retr(within(t), []int{1, 2, 3, 4}, collect(&msgs)); err != nil {
		t.Fatal(err)
	}
	want := []got{{1, 5, "much longer than five\r\n"}, {2, 99999, "short\r\n"}, {3, 120, "x\r\n"}, {4, -1, "x\r\n"}}
	if !reflect.DeepEqual(msgs, want) {
		t.Errorf("got %v, want %v", msgs, want)
	}
}

func TestRetr_Pipelined(t *testing.T) {
	c := login(t, pipelining+pipeCapa+`
		C> "RETR 1\r\nRETR 2\r\nRETR 3\r\n"
		S> "+OK\r\none\r\n.\r\n-ERR gone\r\n+OK\r\nthree\r\n.\r\n"
		C? QUIT`, nil)
	var msgs []got
	err := c.Retr(within(t), []int{1, 2, 3}, collect(&msgs))
	want := []got{{1, -1, "one\r\n"}, {3, -1, "three\r\n"}}
	if !reflect.DeepEqual(msgs, want) {
		t.Errorf("got %v, want %v", msgs, want)
	}
	var partial *PartialError
	if !errors.As(err, &partial) || !reflect.DeepEqual(partial.Done, []int{1, 3}) || partial.Refused[0].Number != 2 {
		t.Fatalf("got %#v, want a *PartialError about 2", err)
	}
	var refused *Error
	if !errors.As(err, &refused) || refused.Text != "gone" {
		t.Errorf("got %v, want the *Error inside", err)
	}
	if got, want := err.Error(), "message 2: RETR: -ERR gone"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRetr_Depth1(t *testing.T) {
	// without PIPELINING, or with Depth 1, the next RETR waits for the end of the message before
	step := func(n int) string {
		return fmt.Sprintf("C: RETR %d\nS: +OK\nQUIET 20ms\nS: %d\nQUIET 20ms\nS: .\n", n, n)
	}
	scripts := map[string]string{
		"not offered": loggedIn + plainCapa + step(1) + step(2) + "C? QUIT",
		"Depth 1": greeted + "C: CAPA\n" + pipeCapa + "C: USER alice\nQUIET 20ms\nS: +OK\nC: PASS *\nS: +OK\n" +
			step(1) + step(2) + "C? QUIT",
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			var o *Options
			if name == "Depth 1" {
				o = &Options{Depth: 1}
			}
			c := login(t, script, o)
			var msgs []got
			if err := c.Retr(within(t), []int{1, 2}, collect(&msgs)); err != nil || len(msgs) != 2 {
				t.Errorf("got %v, %v; want two messages", msgs, err)
			}
		})
	}
}

func TestRetr_Window(t *testing.T) {
	// four at a time, refilled when half is read
	script := pipelining + pipeCapa + `
		C> "RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\n"
		QUIET 20ms
		S> "+OK\r\n.\r\n"
		QUIET 20ms
		S> "+OK\r\n.\r\n"
		C> "RETR 5\r\nRETR 6\r\n"
		S> "+OK\r\n.\r\n+OK\r\n.\r\n+OK\r\n.\r\n+OK\r\n.\r\n"
		C? QUIT`
	c := login(t, script, &Options{Depth: 4})
	var msgs []got
	if err := c.Retr(within(t), []int{1, 2, 3, 4, 5, 6}, collect(&msgs)); err != nil || len(msgs) != 6 {
		t.Errorf("got %v, %v; want six messages", msgs, err)
	}
	// announced octets bound it too: 600 and 600 pass 1000, the third has to wait
	script = pipelining + pipeCapa + `
		C: LIST
		S> "+OK\r\n1 600\r\n2 600\r\n3 600\r\n4 5000\r\n.\r\n"
		C> "RETR 1\r\nRETR 2\r\n"
		QUIET 20ms
		S> "+OK\r\n.\r\n"
		C: RETR 3
		S> "+OK\r\n.\r\n"
		C: RETR 4
		S> "+OK\r\n.\r\n+OK\r\n.\r\n"
		C? QUIT`
	c = login(t, strings.Replace(script, pipeCapa+"\n\t\tC: LIST", "C: LIST\n"+pipeCapa, 1), &Options{WindowBytes: 1000})
	msgs = nil
	if _, err := c.List(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Retr(within(t), []int{1, 2, 3, 4}, collect(&msgs)); err != nil || len(msgs) != 4 {
		t.Errorf("got %v, %v; want four messages", msgs, err)
	}
}

func TestRetr_CallbackLeavesTheRest(t *testing.T) {
	for _, read := range []int{0, 1, 3, 5} {
		c := login(t, pipelining+pipeCapa+`
			C> "RETR 1\r\nRETR 2\r\n"
			S> "+OK\r\nabc\r\n..def\r\n.\r\n+OK\r\nxyz\r\n.\r\n"
			C? QUIT`, nil)
		var heads []string
		var kept io.Reader
		err := c.Retr(within(t), []int{1, 2}, func(_ int, _ int64, r io.Reader) error {
			kept = r
			p := make([]byte, read)
			n, err := io.ReadFull(r, p)
			heads = append(heads, string(p[:n]))
			return err
		})
		if want := []string{"abc\r\n"[:read], "xyz\r\n"[:read]}; err != nil || !reflect.DeepEqual(heads, want) {
			t.Errorf("got %q, %v; want %q", heads, err, want)
		}
		if _, err := kept.Read(make([]byte, 1)); !errors.Is(err, ErrBodyClosed) {
			t.Errorf("got %v from a reader after its callback, want ErrBodyClosed", err)
		}
		if _, err := io.Copy(io.Discard, kept); !errors.Is(err, ErrBodyClosed) {
			t.Errorf("got %v from a copy after its callback, want ErrBodyClosed", err)
		}
	}
}

var errDisk = errors.New("disk full")

type failingWriter struct{ after int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after < len(p) {
		return w.after, errDisk
	}
	w.after -= len(p)
	return len(p), nil
}

func TestRetr_CallbackError(t *testing.T) {
	fail := map[string]BodyFunc{
		"before reading": func(int, int64, io.Reader) error { return errDisk },
		"in the middle":  func(_ int, _ int64, r io.Reader) error { _, _ = r.Read(make([]byte, 2)); return errDisk },
		"at the end":     func(_ int, _ int64, r io.Reader) error { _, _ = io.Copy(io.Discard, r); return errDisk },
		"while writing":  func(_ int, _ int64, r io.Reader) error { _, err := io.Copy(&failingWriter{3}, r); return err },
	}
	for name, fn := range fail {
		t.Run(name, func(t *testing.T) {
			c := login(t, pipelining+pipeCapa+`
				C> "RETR 1\r\nRETR 2\r\nRETR 3\r\n"
				S> "+OK\r\nabc\r\n..def\r\n.\r\n-ERR gone\r\n+OK\r\nxyz\r\n.\r\n"
				C: NOOP
				S: +OK
				C? QUIT`, nil)
			calls := 0
			err := c.Retr(within(t), []int{1, 2, 3}, func(n int, size int64, r io.Reader) error {
				calls++
				return fn(n, size, r)
			})
			if err != errDisk || calls != 1 {
				t.Errorf("got %v after %d calls, want %v after 1", err, calls, errDisk)
			}
			if err := c.Noop(within(t)); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
		})
	}
	t.Run("no more commands are sent", func(t *testing.T) {
		c := login(t, pipelining+pipeCapa+`
			C> "RETR 1\r\nRETR 2\r\n"
			S> "+OK\r\nabc\r\n.\r\n+OK\r\nxyz\r\n.\r\n"
			C: QUIT
			S: +OK`, &Options{Depth: 2})
		if err := c.Retr(within(t), []int{1, 2, 3}, fail["in the middle"]); err != errDisk {
			t.Errorf("got %v, want %v", err, errDisk)
		}
		if err := c.Quit(within(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a long rest is not waited for", func(t *testing.T) {
		c := login(t, loggedIn+`C: RETR 1
			S: +OK
			FLOOD "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"`, &Options{WindowBytes: 100_000})
		if err := c.Retr(within(t), []int{1}, fail["in the middle"]); err != errDisk {
			t.Errorf("got %v, want %v", err, errDisk)
		}
		if c.conn.Err() == nil {
			t.Error("the session lives, want it closed")
		}
	})
	t.Run("a long next message is not waited for", func(t *testing.T) {
		c := login(t, pipelining+pipeCapa+`C> "RETR 1\r\nRETR 2\r\n"
			S> "+OK\r\n.\r\n+OK\r\n"
			FLOOD "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"`, &Options{WindowBytes: 100_000})
		if err := c.Retr(within(t), []int{1, 2}, fail["at the end"]); err != errDisk {
			t.Errorf("got %v, want %v", err, errDisk)
		}
		if c.conn.Err() == nil {
			t.Error("the session lives, want it closed")
		}
	})
}

func TestRetr_SwallowedError(t *testing.T) {
	c := login(t, loggedIn+"C: RETR 1\nS: +OK\nS: half\nCLOSE", nil)
	err := c.Retr(within(t), []int{1}, func(_ int, _ int64, r io.Reader) error {
		_, _ = io.Copy(io.Discard, r)
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF although the callback dropped it", err)
	}
}

func TestMaxMessage(t *testing.T) {
	for _, tt := range []struct {
		limit int64
		ok    bool
	}{{12, false}, {13, false}, {14, true}, {15, true}, {-1, true}, {0, true}} {
		for _, way := range []string{"copy", "read", "none"} {
			c := login(t, loggedIn+`C: RETR 1
				S> "+OK\r\n..0123456\r\n12\r\n.\r\n"
				C? QUIT`, &Options{MaxMessage: tt.limit})
			err := c.Retr(within(t), []int{1}, func(_ int, _ int64, r io.Reader) error {
				var err error
				switch way {
				case "copy":
					_, err = io.Copy(io.Discard, r)
				case "read":
					_, err = io.ReadAll(struct{ io.Reader }{r})
				}
				return err
			})
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrTooLarge) {
				t.Errorf("limit %d, %s: got %v, want ok %v", tt.limit, way, err, tt.ok)
			}
		}
	}
}

func TestS10_SlowBody(t *testing.T) {
	for _, way := range []string{"copy", "read"} {
		for _, tt := range []struct {
			step time.Duration // of the clock, at every look
			ok   bool
		}{{time.Second, true}, {time.Hour, false}} {
			c := login(t, loggedIn+"C: RETR 1\nS: +OK\nS: body\nS: .\nC? QUIT", nil)
			if _, err := c.roundTrip("RETR", "RETR 1"); err != nil {
				t.Fatal(err)
			}
			clock := time.Unix(0, 0)
			b := &body{dot: c.conn.DotReader(), conn: c.conn, limit: -1, now: func() time.Time { clock = clock.Add(tt.step); return clock }}
			var err error
			if way == "copy" {
				_, err = io.Copy(io.Discard, b)
			} else {
				_, err = io.ReadAll(struct{ io.Reader }{b})
			}
			var te *wire.TimeoutError
			if tt.ok != (err == nil) || !tt.ok && !errors.As(err, &te) {
				t.Errorf("%s at %v an octet: got %v, want ok %v", way, tt.step, err, tt.ok)
			}
		}
	}
}

func TestS10_SlowCallbackIsNoSlowServer(t *testing.T) {
	c := login(t, loggedIn+"C: RETR 1\nS: +OK\nS: body\nS: .\nC? QUIT", nil)
	if _, err := c.roundTrip("RETR", "RETR 1"); err != nil {
		t.Fatal(err)
	}
	clock := time.Unix(0, 0)
	b := &body{dot: c.conn.DotReader(), conn: c.conn, limit: -1, now: func() time.Time { return clock }}
	_, err := io.Copy(writerFunc(func(p []byte) (int, error) { clock = clock.Add(time.Hour); return len(p), nil }), b)
	if err != nil {
		t.Errorf("got %v after an hour of writing, want none", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestTop(t *testing.T) {
	c := login(t, pipelining+pipeCapa+`
		C> "TOP 1 0\r\nTOP 2 0\r\n"
		S> "+OK 120 octets\r\nSubject: one\r\n\r\n.\r\n+OK\r\nSubject: two\r\n\r\n.\r\n"
		C: TOP 3 10
		S: -ERR unknown command
		C: TOP 4 0
		S: +OK
		S: .
		C? QUIT`, nil)
	var msgs []got
	if err := c.Top(within(t), []int{1, 2}, 0, collect(&msgs)); err != nil {
		t.Fatal(err)
	}
	if want := []got{{1, -1, "Subject: one\r\n\r\n"}, {2, -1, "Subject: two\r\n\r\n"}}; !reflect.DeepEqual(msgs, want) {
		t.Errorf("got %v, want %v", msgs, want)
	}
	var refused *Error
	if err := c.Top(within(t), []int{3}, 10, collect(&msgs)); !errors.As(err, &refused) || refused.Command != "TOP" {
		t.Errorf("got %v, want an *Error of TOP", err)
	}
	if err := c.Top(within(t), []int{4}, -5, collect(&msgs)); err != nil { // a negative count is none
		t.Error(err)
	}
}

func TestRetr_Nothing(t *testing.T) {
	c := login(t, loggedIn+"C? QUIT", nil)
	if err := c.Retr(within(t), nil, nil); err != nil {
		t.Errorf("got %v, want nil for no messages", err)
	}
}

// TestS12_AnySplit sends messages made of the octets that matter in any pieces, and compares with what was stuffed.
func TestS12_AnySplit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"\r\n", "\r\n", ".", ".", "\r", "\n", "x"}
	for i := range 300 {
		var msg strings.Builder
		for range rnd.IntN(12) {
			msg.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		if s := msg.String(); s != "" && !strings.HasSuffix(s, "\r\n") {
			msg.WriteString("\r\n")
		}
		want := msg.String()
		stuffed := strings.ReplaceAll("\r\n"+want, "\r\n.", "\r\n..")[2:]
		script := fmt.Sprintf("%sC: RETR 1\nSPLIT %d\nS> %q\nC? QUIT", loggedIn, rnd.IntN(5), "+OK\r\n"+stuffed+".\r\n")
		conn := wire.NewConn(wiretest.Pipe(t, script), nil)
		c, err := New(within(t), conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		cr := alice()
		cr.AllowCleartext = true
		if err := c.Auth(within(t), cr); err != nil {
			t.Fatal(err)
		}
		var msgs []got
		if err := c.Retr(within(t), []int{1}, collect(&msgs)); err != nil || msgs[0].text != want {
			t.Errorf("%d: got %v, %v; want %q", i, msgs, err, want)
		}
		_ = c.Close()
	}
}
