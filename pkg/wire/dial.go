package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

const defaultDialTimeout = 60 * time.Second

// Config says how to connect. The zero value verifies certificates against the system's roots and waits five minutes.
type Config struct {
	RootCAs      *x509.CertPool   // nil: the system's
	Pins         [][32]byte       // SHA-256 of the certificate or its SubjectPublicKeyInfo; one must match, and RootCAs too if given
	Certificate  *tls.Certificate // the client's, for SASL EXTERNAL and mutual TLS
	ServerName   string           // name to verify instead of the endpoint's host
	Proxy        *url.URL         // socks5://[user:password@]host:port or http://… (CONNECT)
	Tunnel       []string         // a command whose standard input and output are the connection; not given to a shell
	TunnelStderr io.Writer        // where its standard error goes; nil: nowhere
	SourceIP     net.IP           // local address to dial from
	Timeout      time.Duration    // idle time of one read or write; 0: five minutes
	DialTimeout  time.Duration    // time for name look-up and connecting, all addresses together; 0: one minute
	Trace        TraceFunc        // nil: no trace
}

// Dial connects to ep and, for ImplicitTLS, completes the handshake. For StartTLS the connection comes back in
// cleartext and the engine calls StartTLS when the server agreed. cfg may be nil.
//
// Errors: *net.DNSError for a name that does not resolve, other net errors for a server that cannot be reached,
// *TLSError, the context's error.
func Dial(ctx context.Context, ep Endpoint, cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	limit := cfg.DialTimeout
	if limit <= 0 {
		limit = defaultDialTimeout
	}
	dialCtx, cancel := context.WithTimeoutCause(ctx, limit, &TimeoutError{After: limit})
	defer cancel()
	nc, err := connect(dialCtx, ep, cfg)
	if err != nil {
		return nil, dialError(ctx, dialCtx, err)
	}
	c := NewConn(nc, cfg)
	c.endpoint = ep
	unbind := c.Bind(ctx)
	defer unbind()
	if p := cfg.Proxy; p != nil && strings.HasPrefix(p.Scheme, "http") {
		if err := c.connectThrough(p, ep.Address()); err != nil {
			_ = nc.Close()
			return nil, err
		}
	}
	c.Note("connected to %s (%s)", ep.Address(), nc.RemoteAddr())
	if ep.Security == ImplicitTLS {
		if err := c.handshake(ctx); err != nil {
			_ = nc.Close()
			return nil, err
		}
	}
	return c, nil
}

func dialError(ctx, dialCtx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	if dialCtx.Err() != nil {
		return fmt.Errorf("connect: %w", context.Cause(dialCtx))
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil { // the address is said by the caller already
		return fmt.Errorf("connect: %w", op.Err)
	}
	return err
}

func connect(ctx context.Context, ep Endpoint, cfg *Config) (net.Conn, error) {
	if len(cfg.Tunnel) > 0 {
		return startTunnel(cfg.Tunnel, cfg.TunnelStderr)
	}
	d := &net.Dialer{}
	if cfg.SourceIP != nil {
		d.LocalAddr = &net.TCPAddr{IP: cfg.SourceIP}
	}
	switch {
	case ep.Path != "":
		return (&net.Dialer{}).DialContext(ctx, "unix", ep.Path)
	case cfg.Proxy == nil:
		return d.DialContext(ctx, "tcp", ep.Address())
	}
	return connectProxy(ctx, ep, cfg.Proxy, d)
}

func connectProxy(ctx context.Context, ep Endpoint, p *url.URL, d *net.Dialer) (net.Conn, error) {
	switch p.Scheme {
	case "http":
		return d.DialContext(ctx, "tcp", p.Host)
	case "socks5", "socks5h":
		pd, err := proxy.FromURL(p, d)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		if cd, ok := pd.(proxy.ContextDialer); ok {
			return cd.DialContext(ctx, "tcp", ep.Address())
		}
	}
	return nil, fmt.Errorf("proxy: unknown scheme %q: known are socks5 and http", p.Scheme)
}

// connectThrough asks an HTTP proxy for a tunnel (RFC 9110 §9.3.6).
func (c *Conn) connectThrough(p *url.URL, address string) error {
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.User != nil {
		password, _ := p.User.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := c.write([]byte(request + "\r\n")); err != nil { // not traced: it may hold a password
		return err
	}
	status, err := c.ReadLine(8 << 10)
	if err != nil {
		return fmt.Errorf("proxy %s: %w", p.Host, err)
	}
	fields := strings.Fields(string(status))
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "HTTP/1.") || fields[1] != "200" {
		return fmt.Errorf("proxy %s: %w", p.Host, &ProtocolError{Msg: fmt.Sprintf("CONNECT was answered with %.100q", status)})
	}
	for range 100 {
		line, err := c.ReadLine(8 << 10)
		if err != nil {
			return fmt.Errorf("proxy %s: %w", p.Host, err)
		}
		if len(line) == 0 {
			c.heard = false
			return nil
		}
	}
	return fmt.Errorf("proxy %s: %w", p.Host, &ProtocolError{Msg: "endless header in the answer to CONNECT"})
}
