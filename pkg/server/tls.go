package server

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
	"net/netip"
	"time"
)

const certificateLife = 365 * 24 * time.Hour

// serverTLS is the configuration for handshakes and the PEM form of what clients have to trust: the authority made
// here, or the last certificate in the chain that was given.
func serverTLS(given *tls.Certificate, hostname string, now time.Time) (*tls.Config, []byte, error) {
	if given == nil {
		made, err := makeCertificate(hostname, now)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot make a certificate: %w", err)
		}
		given = made
	}
	if len(given.Certificate) == 0 {
		return nil, nil, fmt.Errorf("the certificate is empty")
	}
	last := given.Certificate[len(given.Certificate)-1]
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: last})
	return &tls.Config{Certificates: []tls.Certificate{*given}, MinVersion: tls.VersionTLS12}, ca, nil
}

// makeCertificate makes an authority whose key is forgotten at once, and a certificate by it for this machine.
func makeCertificate(hostname string, now time.Time) (*tls.Certificate, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := template("mail serve authority", now)
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := template("localhost", now)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if _, err := netip.ParseAddr(hostname); err != nil && hostname != "localhost" {
		leaf.DNSNames = append(leaf.DNSNames, hostname)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, nil
}

func template(name string, now time.Time) *x509.Certificate {
	serial := new(big.Int).SetBytes([]byte(rand.Text()[:16])) // positive, and within the 20 octets of RFC 5280 §4.1.2.2
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // for clocks that are a little behind
		NotAfter:     now.Add(certificateLife),
	}
}
