package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Authority is a certificate authority for tests, and the certificates it gave out.
type Authority struct {
	Pool *x509.CertPool // holds the authority, nothing else
	File string         // the same as a PEM file

	Good        tls.Certificate // localhost, *.localhost.example, 127.0.0.1, ::1
	Wildcard    tls.Certificate // *.example.org only
	IPOnly      tls.Certificate // 127.0.0.1 and ::1, no name
	Expired     tls.Certificate // ended an hour ago
	NotYetValid tls.Certificate // begins in a day
	WrongName   tls.Certificate // elsewhere.example.org
	CommonName  tls.Certificate // localhost as common name, without a subject alternative name
	SelfSigned  tls.Certificate // localhost and 127.0.0.1, signed by its own key
	Client      tls.Certificate // a client's, for "alice"
}

// CA returns the test authority of this process. It is made once: the certificates
// of TLS steps are verified by the Pool of any call. File lives as long as the test.
func CA(t testing.TB) *Authority {
	t.Helper()
	a, err := authority()
	if err != nil {
		t.Fatalf("wiretest: test authority: %v", err)
	}
	c := &Authority{Pool: a.pool.Clone(), File: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(c.File, a.pem, 0o600); err != nil {
		t.Fatalf("wiretest: test authority: %v", err)
	}
	c.Good, c.Wildcard, c.IPOnly = a.certs["good"], a.certs["wildcard"], a.certs["ip-only"]
	c.Expired, c.NotYetValid = a.certs["expired"], a.certs["not-yet-valid"]
	c.WrongName, c.CommonName = a.certs["wrong-name"], a.certs["common-name"]
	c.SelfSigned, c.Client = a.certs["self-signed"], a.certs["client"]
	return c
}

// shape says how a certificate differs from the good one.
type shape struct {
	names      []string
	ips        bool
	commonName string
	from, to   time.Duration // from now; zero: valid
	selfSigned bool
	client     bool
}

// shapes are the certificates by the names that scripts use.
var shapes = map[string]shape{
	"good":          {names: []string{"localhost", "*.localhost.example"}, ips: true},
	"wildcard":      {names: []string{"*.example.org"}},
	"ip-only":       {ips: true},
	"expired":       {names: []string{"localhost"}, ips: true, from: -48 * time.Hour, to: -time.Hour},
	"not-yet-valid": {names: []string{"localhost"}, ips: true, from: 24 * time.Hour, to: 48 * time.Hour},
	"wrong-name":    {names: []string{"elsewhere.example.org"}},
	"common-name":   {commonName: "localhost"},
	"self-signed":   {names: []string{"localhost"}, ips: true, selfSigned: true},
	"client":        {commonName: "alice", client: true},
}

type issuer struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	pem   []byte
	pool  *x509.CertPool
	certs map[string]tls.Certificate
}

var authority = sync.OnceValues(newAuthority)

// certificate returns the certificate that a script names; "" is the good one.
func certificate(name string) (tls.Certificate, error) {
	a, err := authority()
	if err != nil {
		return tls.Certificate{}, err
	}
	if name == "" {
		name = "good"
	}
	c, ok := a.certs[name]
	if !ok {
		return c, fmt.Errorf("no certificate named %q", name)
	}
	return c, nil
}

func newAuthority() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wiretest authority"},
		NotBefore: now.Add(-240 * time.Hour), NotAfter: now.Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &issuer{key: key, certs: map[string]tls.Certificate{}, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pool.AddCert(a.cert)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, s := range shapes {
		if a.certs[name], err = a.issue(s, now); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", name, err)
		}
	}
	return a, nil
}

// issue makes one certificate of the given shape.
func (a *issuer) issue(s shape, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: s.commonName, Organization: []string{"wiretest"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour), DNSNames: s.names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if s.to != 0 {
		template.NotBefore, template.NotAfter = now.Add(s.from), now.Add(s.to)
	}
	if s.ips {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if s.client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	parent, signer := a.cert, a.key
	if s.selfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
