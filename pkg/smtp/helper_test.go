package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testBody = "Subject: hi\r\n\r\n.dot\r\nhello\r\n"

// hello is the server's side up to the first command, with the given extensions.
func hello(keywords ...string) string {
	lines := append([]string{"mx.example.org"}, keywords...)
	s := "S: 220 mx.example.org ESMTP\nC: EHLO localhost\n"
	for i, k := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		s += "S: 250" + sep + k + "\n"
	}
	return s
}

func endpoint(t testing.TB, addr string, s wire.Security) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return wire.Endpoint{Protocol: wire.SMTP, Host: host, Port: n, Security: s}
}

func bg(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open connects over memory, in cleartext.
func open(t testing.TB, script string, o *Options, opts ...wiretest.Option) (*Client, error) {
	t.Helper()
	return openAs(t, wire.SMTP, script, o, opts...)
}

func openAs(t testing.TB, p wire.Protocol, script string, o *Options, opts ...wiretest.Option) (*Client, error) {
	t.Helper()
	conn := wire.NewConn(wiretest.Pipe(t, script, opts...), nil)
	c, err := New(bg(t), conn, wire.Endpoint{Protocol: p, Host: "127.0.0.1", Security: wire.Cleartext}, o)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func mustOpen(t testing.TB, script string, o *Options, opts ...wiretest.Option) *Client {
	t.Helper()
	c, err := open(t, script, o, opts...)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

func envelope(rcpt ...string) *Envelope {
	return &Envelope{From: "alice@example.org", Rcpt: rcpt, Body: Body7Bit}
}

func send(t testing.TB, c *Client, env *Envelope) (*Result, error) {
	t.Helper()
	r, err := c.Send(bg(t), env, strings.NewReader(testBody))
	if r == nil {
		t.Fatal("Send gave no result")
	}
	if len(r.Rcpt) != len(env.Rcpt) {
		t.Fatalf("result has %d recipients, want %d", len(r.Rcpt), len(env.Rcpt))
	}
	return r, err
}

// outcome is the shape of a result: one letter for each recipient, + accepted, t refused for now, p refused for good,
// ? unknown.
func outcome(r *Result) string {
	var b strings.Builder
	for _, one := range r.Rcpt {
		switch {
		case one.Err == nil:
			b.WriteByte('+')
		case one.Lost:
			b.WriteByte('?')
		case one.Err.Temporary():
			b.WriteByte('t')
		default:
			b.WriteByte('p')
		}
	}
	return b.String()
}

// kind names the type of an error of Send.
func kind(err error) string {
	var (
		partial    *PartialError
		none       *NoRecipientError
		uncertain  *UncertainError
		capability *CapabilityError
		argument   *wire.ArgumentError
		protocol   *wire.ProtocolError
		body       *BodyError
		tlsErr     *wire.TLSError
		refusal    *Error
	)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &uncertain):
		return "uncertain"
	case errors.As(err, &partial):
		return "partial"
	case errors.As(err, &none):
		return "none"
	case errors.As(err, &capability):
		return "capability"
	case errors.As(err, &argument):
		return "argument"
	case errors.As(err, &body):
		return "body"
	case errors.As(err, &protocol):
		return "protocol"
	case errors.As(err, &tlsErr):
		return "tls"
	case errors.As(err, &refusal):
		return "error"
	case errors.Is(err, wire.ErrBareLineEnd):
		return "bare"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return "other"
}

func wantKind(t testing.TB, err error, want string) {
	t.Helper()
	if got := kind(err); got != want {
		t.Errorf("error is %s (%v), want %s", got, err, want)
	}
}

func wantOutcome(t testing.TB, r *Result, want string) {
	t.Helper()
	if got := outcome(r); got != want {
		t.Errorf("outcome of the recipients is %q, want %q", got, want)
	}
}
