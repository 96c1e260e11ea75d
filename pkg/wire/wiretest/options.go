package wiretest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Option changes how a script is played.
type Option func(*options)

type options struct {
	cert     tls.Certificate // used by TLS steps that name none
	hasCert  bool
	implicit bool
	min, max uint16
	clients  *x509.CertPool
	timeout  time.Duration
	repeat   bool
	capture  *Captured
	vars     map[string]string
}

// defaultTimeout is the longest time one step may take.
const defaultTimeout = 60 * time.Second

func newOptions(opts []Option) *options {
	o := &options{timeout: defaultTimeout, vars: map[string]string{}}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// ImplicitTLS makes every connection begin with a TLS handshake with cert, usually
// CA(t).Good. A script whose first step is TLS or TLSFAIL decides for itself.
func ImplicitTLS(cert tls.Certificate) Option {
	return func(o *options) { o.cert, o.hasCert, o.implicit = cert, true, true }
}

// Certificate is used by the TLS steps that name no certificate; without it the
// test CA's good one is.
func Certificate(cert tls.Certificate) Option {
	return func(o *options) { o.cert, o.hasCert = cert, true }
}

// TLSVersions limits the protocol versions of the peer, for example to
// tls.VersionTLS10, tls.VersionTLS11; 0 leaves a bound as crypto/tls has it.
func TLSVersions(low, high uint16) Option {
	return func(o *options) { o.min, o.max = low, high }
}

// ClientCerts makes the peer ask for a client certificate that pool verifies.
func ClientCerts(pool *x509.CertPool) Option {
	return func(o *options) { o.clients = pool }
}

// Timeout is the longest time that one step may take.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Repeat plays the last connection's script for any number of further connections,
// none included.
func Repeat() Option { return func(o *options) { o.repeat = true } }

// Capture keeps what the client sends.
func Capture(c *Captured) Option { return func(o *options) { o.capture = c } }

// Var sets a variable before the script begins. Its value may be any bytes: SEND
// sends them as they are.
func Var(name, value string) Option { return func(o *options) { o.vars[name] = value } }

// set reads an OPT line.
func (o *options) set(text string) error {
	name, value, _ := strings.Cut(text, " ")
	var err error
	switch name {
	case "cert":
		o.cert, o.hasCert, err = tls.Certificate{}, true, nil
		o.cert, err = certificate(value)
	case "tls-min":
		o.min, err = tlsVersion(value)
	case "tls-max":
		o.max, err = tlsVersion(value)
	case "timeout":
		o.timeout, err = time.ParseDuration(value)
	case "implicit-tls":
		o.implicit = true
	case "repeat":
		o.repeat = true
	default:
		err = fmt.Errorf("unknown option %q", name)
	}
	return err
}

func tlsVersion(s string) (uint16, error) {
	versions := map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	v, ok := versions[s]
	if !ok {
		return 0, fmt.Errorf("no TLS version %q", s)
	}
	return v, nil
}

// Captured holds what the client sent. It may be read while the script runs.
type Captured struct {
	mu     sync.Mutex
	bodies [][]byte
	conns  []*[]byte
	states []tls.ConnectionState
}

// Bodies returns the messages that C. and C{n} steps received, in order: those of C.
// without dot-stuffing and without the final dot line.
func (c *Captured) Bodies() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.bodies...)
}

// Received returns everything the client of connection n (from 0) sent so far, as
// cleartext, and nil when there is no such connection.
func (c *Captured) Received(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 || n >= len(c.conns) {
		return nil
	}
	return append([]byte(nil), *c.conns[n]...)
}

// TLS returns the state of every finished handshake, in order.
func (c *Captured) TLS() []tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]tls.ConnectionState(nil), c.states...)
}

func (c *Captured) body(p []byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, p)
}

func (c *Captured) handshake(s tls.ConnectionState) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
}

// conn opens the record of one more connection; the function it returns adds to it.
func (c *Captured) conn() func(p []byte) {
	if c == nil {
		return func([]byte) {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	data := new([]byte)
	c.conns = append(c.conns, data)
	return func(p []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		*data = append(*data, p...)
	}
}
