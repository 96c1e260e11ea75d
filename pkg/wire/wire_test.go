package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestReadLine(t *testing.T) {
	long := strings.Repeat("y", 100<<10)
	for name, test := range map[string]struct {
		pieces []string
		max    int
		want   []string
		err    error
	}{
		"CRLF":                {[]string{"a\r\nb\r\n"}, 10, []string{"a", "b"}, io.ErrUnexpectedEOF},
		"lone LF":             {[]string{"a\nb\n"}, 10, []string{"a", "b"}, io.ErrUnexpectedEOF},
		"split inside CRLF":   {[]string{"a\r", "\n", "b\r\n"}, 10, []string{"a", "b"}, io.ErrUnexpectedEOF},
		"CR inside":           {[]string{"a\rb\r\n"}, 10, []string{"a\rb"}, io.ErrUnexpectedEOF},
		"just the cap":        {[]string{"0123456789\r\n"}, 10, []string{"0123456789"}, io.ErrUnexpectedEOF},
		"one over the cap":    {[]string{"0123456789x\r\n"}, 10, nil, ErrLineTooLong},
		"endless":             {[]string{strings.Repeat("x", 50)}, 10, nil, ErrLineTooLong},
		"larger than buffer":  {[]string{long[:70000], long[70000:] + "\r\nb\r\n"}, 1 << 20, []string{long, "b"}, io.ErrUnexpectedEOF},
		"over a large cap":    {[]string{long, "\r\n"}, 99 << 10, nil, ErrLineTooLong},
		"connection cut":      {[]string{"a\r\nhalf"}, 10, []string{"a"}, io.ErrUnexpectedEOF},
		"nothing at all":      {nil, 10, nil, io.ErrUnexpectedEOF},
		"empty lines":         {[]string{"\r\n\n"}, 10, []string{"", ""}, io.ErrUnexpectedEOF},
		"TLS record in clear": {[]string{"\x15\x03\x01\x00\x02\x02\x46\n"}, 10, nil, &ProtocolError{}},
	} {
		t.Run(name, func(t *testing.T) {
			nc := &chunks{}
			for _, p := range test.pieces {
				nc.pieces = append(nc.pieces, []byte(p))
			}
			c := NewConn(nc, nil)
			var got []string
			for {
				line, err := c.ReadLine(test.max)
				if err != nil {
					var pe *ProtocolError
					if !errors.Is(err, test.err) && !(errors.As(err, &pe) && errors.As(test.err, &pe)) {
						t.Errorf("error %v, want %v", err, test.err)
					}
					if _, again := c.ReadLine(test.max); again != err {
						t.Errorf("second error %v, want the first one, %v", again, err)
					}
					break
				}
				got = append(got, string(line))
			}
			if strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("lines %q, want %q", got, test.want)
			}
		})
	}
}

func TestLiteral(t *testing.T) {
	c := NewConn(&chunks{pieces: [][]byte{[]byte("12"), []byte("345\r\nrest of it"), []byte("!next\r\nlast\r\n")}}, nil)
	var b bytes.Buffer
	if _, err := io.Copy(&b, c.Literal(5)); err != nil || b.String() != "12345" {
		t.Fatalf("literal %q, %v", b.String(), err)
	}
	if line, err := c.ReadLine(10); err != nil || len(line) != 0 {
		t.Fatalf("after the literal %q, %v", line, err)
	}
	l := c.Literal(11)
	if _, err := io.ReadFull(l, make([]byte, 4)); err != nil || l.Len() != 7 {
		t.Fatalf("left %d, %v; want 7", l.Len(), err)
	}
	if line, err := c.ReadLine(10); err != nil || string(line) != "next" {
		t.Fatalf("the rest of a literal was not skipped: %q, %v", line, err)
	}
	got, err := io.ReadAll(c.Literal(1 << 62))
	if !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "last\r\n" {
		t.Errorf("cut literal %q, %v", got, err)
	}
}

func TestWriteRefusesLineEnds(t *testing.T) {
	for _, bad := range []string{"a\r\nb", "a\rb", "a\nb", "a\x00b"} {
		nc := &sink{}
		c := NewConn(nc, nil)
		var want *ArgumentError
		if err := c.WriteLine(bad); !errors.As(err, &want) {
			t.Errorf("WriteLine(%q): %v", bad, err)
		}
		if err := c.WriteSecret("AUTH", bad); !errors.As(err, &want) {
			t.Errorf("WriteSecret(%q): %v", bad, err)
		}
		if c.Flush() != nil || len(nc.got) > 0 || c.Err() != nil {
			t.Errorf("%q: sent %q, error %v", bad, nc.got, c.Err())
		}
	}
}

func TestCancel(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := NewConn(client, nil)
	ctx, cancel := context.WithCancel(t.Context())
	unbind := c.Bind(ctx)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.ReadLine(100)
	unbind()
	if err != context.Canceled {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if err := c.WriteLine("x"); err != context.Canceled {
		t.Errorf("a cancelled connection took a command: %v", err)
	}
}

func TestBindRestores(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := NewConn(client, nil)
	ctx, cancel := context.WithCancel(t.Context())
	c.Bind(ctx)()
	cancel()
	go func() { _, _ = server.Write([]byte("hello\r\n")) }()
	if line, err := c.ReadLine(100); err != nil || string(line) != "hello" {
		t.Errorf("after a context that ended outside any call: %q, %v", line, err)
	}
}

func TestTimeout(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := NewConn(client, &Config{Timeout: 20 * time.Millisecond})
	_, err := c.ReadLine(100)
	var te *TimeoutError
	if !errors.As(err, &te) || !te.Silent || te.Hint() == "" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %#v", err)
	}
}

func TestTrace(t *testing.T) {
	var got []string
	cfg := &Config{Trace: func(kind TraceKind, text []byte) { got = append(got, "NCRD"[kind:kind+1]+" "+string(text)) }}
	nc := &chunks{pieces: [][]byte{[]byte("+ c2VjcmV0\r\nOK done\r\n")}}
	c := NewConn(nc, cfg)
	c.Note("hello %d", 1)
	_ = c.WriteSecret("AUTH PLAIN", "AUTH PLAIN canary")
	c.HideReplies(true)
	_, _ = c.ReadLine(100)
	c.HideReplies(false)
	_, _ = c.WriteString("A1 LOGIN ")
	c.HideCommands(true)
	_, _ = c.WriteString("canary")
	_, _ = c.WriteString(" canary")
	c.HideCommands(false)
	_, _ = c.WriteString("\r\nA2 NOOP")
	_, _ = c.WriteString("\r\n")
	_, _ = c.ReadLine(100)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "N hello 1|C AUTH PLAIN [secret]|R [hidden]|C A1 LOGIN [secret]|C A2 NOOP|R OK done"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("trace\n got %s\nwant %s", s, want)
	}
	if sent := string(nc.got); sent != "AUTH PLAIN canary\r\nA1 LOGIN canary canary\r\nA2 NOOP\r\n" {
		t.Errorf("sent %q", sent)
	}
}

func TestTunnel(t *testing.T) {
	c, err := Dial(t.Context(), Endpoint{Protocol: SMTP, Host: "tunnel.test", Security: Cleartext}, &Config{Tunnel: []string{"cat"}})
	if err != nil {
		t.Skipf("no cat: %v", err)
	}
	if err := c.WriteLine("echo"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.ReadLine(100); err != nil || string(line) != "echo" {
		t.Errorf("got %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	unbind := c.Bind(ctx)
	if _, err := c.ReadLine(100); err != context.DeadlineExceeded {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
	unbind()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestDialClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = Dial(t.Context(), Endpoint{Host: "127.0.0.1", Port: port, Security: Cleartext}, nil)
	if err == nil || err.Error() != "connect: connect: connection refused" && err.Error() != "connect: connection refused" {
		t.Errorf("error %v", err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for raw, want := range map[string]Endpoint{
		"imaps://ann@imap.example.org":         {Protocol: IMAP, Host: "imap.example.org", Port: 993, User: "ann"},
		"smtp://ann@smtp.example.org:2587":     {Protocol: SMTP, Host: "smtp.example.org", Port: 2587, Security: StartTLS, User: "ann"},
		"pop3://pop.example.org/":              {Protocol: POP3, Host: "pop.example.org", Port: 110, Security: StartTLS},
		"smtp+plain://127.0.0.1:25":            {Protocol: SMTP, Host: "127.0.0.1", Port: 25, Security: Cleartext},
		"imaps://ann%40example.org@[::1]:9993": {Protocol: IMAP, Host: "::1", Port: 9993, User: "ann@example.org"},
		"imaps://ann@example.org@imap.test":    {Protocol: IMAP, Host: "imap.test", Port: 993, User: "ann@example.org"},
		"lmtp+unix:///run/dovecot/lmtp":        {Protocol: LMTP, Path: "/run/dovecot/lmtp", Security: Cleartext},
		"IMAPS://Bücher.example":               {Protocol: IMAP, Host: "xn--bcher-kva.example", Port: 993},
		"lmtp://mail.example.org":              {Protocol: LMTP, Host: "mail.example.org", Port: 24, Security: StartTLS},
	} {
		got, err := ParseEndpoint(raw)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", raw, got, err, want)
		}
		if again, err := ParseEndpoint(got.String()); err != nil || again != got {
			t.Errorf("%s: String gives %s, which reads as %+v, %v", raw, got, again, err)
		}
	}
	for _, raw := range []string{"", "imap.example.org", "imaps://", "http://x", "imaps://x:0", "imaps://x:65536", "imaps://x:y",
		"imaps://ann:canary@x", "imaps://ann:canary%@x", "imaps://x/INBOX", "imaps://x?y=z", "imaps://x#y", "lmtp+unix://x/y", "lmtp+unix:x",
		"imaps://a%0d%0ab@x", "imaps://%00@x", "imaps://a b", "imaps://x_\x7f"} {
		if got, err := ParseEndpoint(raw); err == nil {
			t.Errorf("%q: accepted as %+v", raw, got)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the error shows the password: %v", raw, err)
		}
	}
	for raw, want := range map[string]bool{"imap+plain://localhost": true, "imap+plain://127.9.9.9": true, "imap+plain://[::1]": true,
		"lmtp+unix:///x": true, "imap+plain://example.org": false, "imap+plain://10.0.0.1": false, "imap+plain://localhost.example.org": false} {
		if ep, err := ParseEndpoint(raw); err != nil || ep.Loopback() != want {
			t.Errorf("%s: loopback %v, %v; want %v", raw, ep.Loopback(), err, want)
		}
	}
}

func TestWindow(t *testing.T) {
	w := Window{MaxCommands: 3, MaxBytes: 100}
	if w.Full() {
		t.Error("empty window is full")
	}
	w.Sent(500)
	if !w.Full() {
		t.Error("500 of 100 octets under way, and not full")
	}
	w.Got(500)
	for range 3 {
		if w.Full() {
			t.Error("full too early")
		}
		w.Sent(1)
	}
	if !w.Full() || w.Pending() != 3 {
		t.Errorf("3 of 3 under way: full %v, pending %d", w.Full(), w.Pending())
	}
}

func BenchmarkLiteral(b *testing.B) {
	c := NewConn(&endless{text: bytes.Repeat([]byte{'x'}, 1<<20)}, nil)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Literal(1 << 20).WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
