package wire

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// packed compresses text as a peer does that then waits.
func packed(t testing.TB, text ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	for _, s := range text {
		_, err1 := io.WriteString(w, s)
		if err = errors.Join(err, err1, w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// connected makes a connection whose ends have the buffers of real ones.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestDeflateBothWays lets a client and a server talk: each waits for the other after every line and literal.
func TestDeflateBothWays(t *testing.T) {
	near, far := connected(t)
	var trace strings.Builder
	client := NewConn(near, &Config{Timeout: 60 * time.Second, Trace: func(_ TraceKind, text []byte) { trace.Write(append(text, '\n')) }})
	server := NewConn(far, &Config{Timeout: 60 * time.Second})
	defer client.Close()
	sizes := []int{0, 1, 100, 4096, 65535, 65536, 65537, 700_000}
	body := bytes.Repeat([]byte("From: alice@example.org\r\n"), 28_000)
	done := make(chan error, 1)
	go func() {
		defer server.Close()
		done <- func() error {
			if err := errors.Join(server.WriteLine("a OK"), server.AcceptDeflate()); err != nil {
				return err
			}
			for _, n := range sizes {
				line, err := server.ReadLine(100)
				if err != nil {
					return err
				}
				if _, err = server.WriteString(string(line) + " OK\r\n"); err != nil {
					return err
				}
				got, err := io.ReadAll(server.Literal(int64(n)))
				if err != nil || !bytes.Equal(got, body[:n]) {
					return errors.Join(err, errors.New("another literal"))
				}
				if _, err := server.WriteData(got); err != nil {
					return err
				}
				if err := server.Flush(); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	if line, err := client.ReadLine(100); err != nil || string(line) != "a OK" {
		t.Fatalf("got %q, %v, want a OK", line, err)
	}
	if err := client.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		if err := client.WriteLine("b"); err != nil {
			t.Fatal(err)
		}
		_, err := client.WriteData(body[:n])
		line, err2 := client.ReadLine(100)
		if err := errors.Join(err, err2); err != nil || string(line) != "b OK" {
			t.Fatalf("%d: got %q, %v, want b OK", n, line, err)
		}
		got := make([]byte, n)
		if err := client.ReadFull(got); err != nil || !bytes.Equal(got, body[:n]) {
			t.Fatalf("%d: got another literal, %v", n, err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReadLine(100); !errors.As(err, new(*ClosedError)) {
		t.Errorf("got %v, want a *ClosedError", err)
	}
	if got := trace.String(); !strings.Contains(got, "compression by DEFLATE\nb\n") || !strings.Contains(got, "b OK\n") {
		t.Errorf("got trace %.200q, want the lines as they are", got)
	}
}

// TestDeflateEarly: the server need not wait after its agreement, so that both come in one piece.
func TestDeflateEarly(t *testing.T) {
	data := packed(t, "* 1 EXISTS\r\n", "* 2 EXISTS\r\n")
	for cut := range data {
		nc := &chunks{pieces: [][]byte{append([]byte("a OK\r\n"), data[:cut]...), data[cut:]}}
		c := NewConn(nc, nil)
		if line, err := c.ReadLine(100); err != nil || string(line) != "a OK" {
			t.Fatalf("got %q, %v, want a OK", line, err)
		}
		if err := c.StartDeflate(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"* 1 EXISTS", "* 2 EXISTS"} {
			if line, err := c.ReadLine(100); err != nil || string(line) != want {
				t.Fatalf("cut at %d: got %q, %v, want %s", cut, line, err, want)
			}
		}
	}
}

func TestDeflateRefused(t *testing.T) {
	c := NewConn(&chunks{pieces: [][]byte{[]byte("a COMPRESS DEFLATE\r\nb NOOP\r\n")}}, nil)
	if _, err := c.ReadLine(100); err != nil {
		t.Fatal(err)
	}
	if err := c.AcceptDeflate(); !errors.As(err, new(*ProtocolError)) || c.Err() != err {
		t.Errorf("commands behind COMPRESS: got %v, want a final *ProtocolError", err)
	}
	c = NewConn(&chunks{pieces: [][]byte{packed(t, "ok\r\n")}}, nil)
	if err := c.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	if err := c.StartDeflate(); !errors.As(err, new(*ArgumentError)) {
		t.Errorf("twice: got %v, want an *ArgumentError", err)
	}
	if line, err := c.ReadLine(100); err != nil || string(line) != "ok" {
		t.Errorf("got %q, %v, want ok", line, err)
	}
	c = NewConn(&chunks{pieces: [][]byte{[]byte("* not compressed\r\n")}}, nil)
	if err := c.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadLine(100); !errors.As(err, new(*ProtocolError)) || c.Err() != err {
		t.Errorf("no compression: got %v, want a final *ProtocolError", err)
	}
}

// TestS15_Bomb decompresses what a thousandth of its size stands for.
func TestS15_Bomb(t *testing.T) {
	zeros := bytes.Repeat(packed(t, strings.Repeat("\x00", 1<<20)), 64)
	c := NewConn(&chunks{pieces: [][]byte{zeros}}, nil)
	if err := c.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadLine(1 << 20); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("got %v, want a line that is too long", err)
	}
	c = NewConn(&chunks{pieces: [][]byte{zeros}}, nil)
	if err := c.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(io.Discard, c.Literal(50<<20))
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; err != nil || n != 50<<20 || taken > 1<<20 {
		t.Errorf("got %d octets, %v, with %d octets of memory, want 50 MiB in constant memory", n, err, taken)
	}
}

// TestS15_Nothing: empty blocks without end stand for no octet, and end with the idle time.
func TestS15_Nothing(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewConn(near, &Config{Timeout: 100 * time.Millisecond})
	defer c.Close()
	go func() {
		var err error
		for err == nil {
			_, err = far.Write([]byte{0, 0, 0, 0xff, 0xff})
		}
	}()
	if err := c.StartDeflate(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadLine(100); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a *TimeoutError", err)
	}
}

// TestDeflateContext ends a read that waits, and a write.
func TestDeflateContext(t *testing.T) {
	for name, call := range map[string]func(c *Conn) error{
		"read":  func(c *Conn) error { _, err := c.ReadLine(100); return err },
		"write": func(c *Conn) error { return errors.Join(c.WriteLine("a NOOP"), c.Flush()) },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			c := NewConn(near, nil)
			defer c.Close()
			if err := c.StartDeflate(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer c.Bind(ctx)()
			time.AfterFunc(10*time.Millisecond, cancel)
			if err := call(c); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
		})
	}
}
