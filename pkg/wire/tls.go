package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
)

// StartTLS upgrades the connection after the server agreed to it. An octet that the server sent after its agreement
// and before the handshake is a *ProtocolError: it could be an answer that an attacker put there for later. Everything
// that the engine learnt before must be forgotten by the engine. Errors: *TLSError, *ProtocolError, the context's.
func (c *Conn) StartTLS(ctx context.Context) error {
	defer c.Bind(ctx)()
	if c.err != nil {
		return c.err
	}
	if n := c.Buffered(); n > 0 {
		return c.Fail(&ProtocolError{Msg: fmt.Sprintf("%d octets came in cleartext after the agreement to start TLS", n)})
	}
	return c.handshake(ctx)
}

func (c *Conn) handshake(ctx context.Context) error {
	socket := c.nc
	err := c.shakeHands(ctx, tls.Client(socket, c.tlsConfig()), c.serverName())
	if err == nil {
		ackAtOnce(socket)
	}
	return err
}

func (c *Conn) shakeHands(ctx context.Context, t *tls.Conn, peer string) error {
	if err := c.Flush(); err != nil {
		return err
	}
	if !c.armed() {
		return c.Fail(ctx.Err())
	}
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.nc.Close()
		if e := ctx.Err(); e != nil {
			return c.Fail(e)
		}
		return c.Fail(&TLSError{Host: peer, Err: err})
	}
	c.mu.Lock()
	c.nc = t
	c.mu.Unlock()
	c.heard, c.secure = true, true
	state := t.ConnectionState()
	c.Note("%s %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	return nil
}

// AcceptTLS is the server's side of StartTLS, and of implicit TLS on a connection from NewConn: it completes the
// handshake with cfg. Octets that the client sent in cleartext before it are a *ProtocolError: they could be commands
// that somebody put there (RFC 3207 §4.2). Errors: *TLSError, *ProtocolError, the context's.
func (c *Conn) AcceptTLS(ctx context.Context, cfg *tls.Config) error {
	defer c.Bind(ctx)()
	if c.err != nil {
		return c.err
	}
	if n := c.Buffered(); n > 0 {
		return c.Fail(&ProtocolError{Msg: fmt.Sprintf("%d octets came in cleartext before TLS", n)})
	}
	return c.shakeHands(ctx, tls.Server(c.nc, cfg), c.nc.RemoteAddr().String())
}

func (c *Conn) serverName() string {
	if c.config.ServerName != "" {
		return c.config.ServerName
	}
	return c.endpoint.Host
}

func (c *Conn) tlsConfig() *tls.Config {
	cfg := &tls.Config{ServerName: c.serverName(), RootCAs: c.config.RootCAs, MinVersion: tls.VersionTLS12}
	if c.config.Certificate != nil {
		cfg.Certificates = []tls.Certificate{*c.config.Certificate}
	}
	if c.endpoint.Security == OpportunisticTLS {
		cfg.InsecureSkipVerify = true
		return cfg
	}
	if pins := c.config.Pins; len(pins) > 0 {
		cfg.InsecureSkipVerify = c.config.RootCAs == nil // the pin takes the place of the chain
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return checkPins(s, pins) }
	}
	return cfg
}

func checkPins(s tls.ConnectionState, pins [][32]byte) error {
	leaf := s.PeerCertificates[0]
	whole := sha256.Sum256(leaf.Raw)
	if slices.Contains(pins, whole) || slices.Contains(pins, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)) {
		return nil
	}
	return &PinError{Got: whole}
}
