package interop

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// limit is a context for one test.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func endpoint(t testing.TB, proto wire.Protocol, addr string, sec wire.Security) wire.Endpoint {
	t.Helper()
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: proto, Host: host, Port: n, Security: sec}
}

// mode is one way of making a connection safe.
type mode struct {
	name string
	addr string
	sec  wire.Security
}

func (d *DovecotServer) popModes() []mode {
	return []mode{{"cleartext", d.POP3, wire.Cleartext}, {"starttls", d.POP3, wire.StartTLS}, {"implicit", d.POP3S, wire.ImplicitTLS}}
}

func (d *DovecotServer) imapModes() []mode {
	return []mode{{"cleartext", d.IMAP, wire.Cleartext}, {"starttls", d.IMAP, wire.StartTLS}, {"implicit", d.IMAPS, wire.ImplicitTLS}}
}

func (p *PostfixServer) authModes() []mode {
	return []mode{{"starttls", p.Submission, wire.StartTLS}, {"implicit", p.SMTPS, wire.ImplicitTLS}}
}

// tracer collects a conversation.
type tracer struct {
	mu    sync.Mutex
	lines []string
}

func (tr *tracer) add(_ wire.TraceKind, text []byte) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = append(tr.lines, string(text))
}

func (tr *tracer) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(tr.lines, "\n")
}

func dialSMTP(t testing.TB, ep wire.Endpoint, o smtp.Options, pool *x509.CertPool) *smtp.Client {
	t.Helper()
	if o.Wire == nil {
		o.Wire = &wire.Config{}
	}
	o.Wire.RootCAs = pool
	c, err := smtp.Dial(limit(t), ep, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func dialPOP3(t testing.TB, ep wire.Endpoint, o pop3.Options, pool *x509.CertPool) *pop3.Client {
	t.Helper()
	if o.Wire == nil {
		o.Wire = &wire.Config{}
	}
	o.Wire.RootCAs = pool
	c, err := pop3.Dial(limit(t), ep, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func credentials(u User, mech string) *auth.Credentials {
	return &auth.Credentials{User: u.Name, Password: auth.Literal(u.Password), Mechanism: mech}
}

// wantAuthError checks that err is a refusal for good of the mechanism.
func wantAuthError(t *testing.T, err error) {
	t.Helper()
	got, ok := errors.AsType[*auth.Error](err)
	if !ok || got.Temporary() {
		t.Errorf("got %v (%T), want a permanent *auth.Error", err, err)
	}
}

// saslMechanisms are what Credentials.Mechanism may ask both servers for, beside the
// name that has to show in the trace.
var saslMechanisms = []struct{ mech, shown string }{
	{"plain", "PLAIN"}, {"login", "LOGIN"}, {"cram-md5", "CRAM-MD5"},
	{"scram-sha-1", "SCRAM-SHA-1"}, {"scram-sha-256", "SCRAM-SHA-256"}, {"auto", "PLAIN"},
}

// shown is what the trace has to have: in the clear, auto keeps the password secret.
func (m mode) shown(mech, words string) string {
	if mech == "auto" && m.sec == wire.Cleartext {
		return strings.Replace(words, "PLAIN", "SCRAM-SHA-256", 1)
	}
	return words
}

func dialIMAP(t testing.TB, ep wire.Endpoint, o imap.Options, pool *x509.CertPool) *imap.Client {
	t.Helper()
	if o.Wire == nil {
		o.Wire = &wire.Config{}
	}
	o.Wire.RootCAs = pool
	c, err := imap.Dial(limit(t), ep, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
