package pop3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "s3kret-canary"

// endpointOf is the endpoint of a scripted peer.
func endpointOf(t testing.TB, addr string, sec wire.Security) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: wire.POP3, Host: host, Port: n, Security: sec}
}

// within is a context that ends before the scripted peer's time-out.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func trusting(t testing.TB) *Options {
	return &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool}}
}

func alice() *auth.Credentials {
	return &auth.Credentials{User: "alice", Password: auth.Literal(canary)}
}

// dialScript plays script in cleartext and dials it.
func dialScript(t testing.TB, script string, o *Options) (*Client, error) {
	t.Helper()
	addr := wiretest.Serve(t, script)
	c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), o)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

const (
	greeted   = "S: +OK ready\n"
	plainCapa = "C: CAPA\nS: +OK\nS: USER\nS: UIDL\nS: TOP\nS: .\n"
	loggedIn  = greeted + plainCapa + "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: +OK\n"

	// with PIPELINING the second CAPA travels with the next command
	pipeCapa   = "S: +OK\nS: USER\nS: PIPELINING\nS: UIDL\nS: TOP\nS: .\n"
	pipelining = greeted + "C: CAPA\n" + pipeCapa +
		"C: USER alice\nC: PASS " + canary + "\nS: +OK\nS: +OK\nC: CAPA\n"
)

// login plays loggedIn or pipelining and what follows.
func login(t testing.TB, script string, o *Options) *Client {
	t.Helper()
	c, err := dialScript(t, script, o)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Fatalf("auth: %v", err)
	}
	return c
}

// got is one message that a callback received.
type got struct {
	n    int
	size int64
	text string
}

func collect(into *[]got) BodyFunc {
	return func(n int, size int64, r io.Reader) error {
		var b bytes.Buffer
		_, err := io.Copy(&b, r)
		*into = append(*into, got{n, size, b.String()})
		return err
	}
}

// wantProtocol checks for exit status 76.
func wantProtocol(t testing.TB, err error) {
	t.Helper()
	var pe *wire.ProtocolError
	if !errors.As(err, &pe) {
		t.Errorf("got error %v (%T), want a *wire.ProtocolError", err, err)
	}
}

// noSecret fails when the canary, or its base64 form, was sent.
func noSecret(t testing.TB, sent []byte) {
	t.Helper()
	if bytes.Contains(sent, []byte(canary)) || bytes.Contains(sent, []byte("PASS")) || bytes.Contains(sent, []byte("AUTH")) {
		t.Errorf("credentials were sent: %q", sent)
	}
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }
