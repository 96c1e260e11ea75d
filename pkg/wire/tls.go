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
	if err := c.Flush(); err != nil {
		return err
	}
	t := tls.Client(c.nc, c.tlsConfig())
	if !c.armed() {
		return c.Fail(ctx.Err())
	}
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.nc.Close()
		if e := ctx.Err(); e != nil {
			return c.Fail(e)
		}
		return c.Fail(&TLSError{Host: c.serverName(), Err: err})
	}
	c.mu.Lock()
	c.nc = t
	c.mu.Unlock()
	c.heard, c.secure = true, true
	state := t.ConnectionState()
	c.Note("%s %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	return nil
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
