package wire_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func endpoint(t *testing.T, addr string, s wire.Security) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: wire.SMTP, Host: host, Port: n, Security: s}
}

func TestT7_Certificates(t *testing.T) {
	ca := wiretest.CA(t)
	good := sha256.Sum256(ca.Good.Leaf.Raw)
	goodKey := sha256.Sum256(ca.Good.Leaf.RawSubjectPublicKeyInfo)
	for name, test := range map[string]struct {
		cert string
		cfg  wire.Config
		want string // part of the error; "" = must connect
		hint string
	}{
		"good":                  {"good", wire.Config{RootCAs: ca.Pool}, "", ""},
		"address in name":       {"ip-only", wire.Config{RootCAs: ca.Pool}, "", ""},
		"system roots":          {"good", wire.Config{}, "unknown authority", "--ca-file"},
		"expired":               {"expired", wire.Config{RootCAs: ca.Pool}, "expired", "renew"},
		"not yet valid":         {"not-yet-valid", wire.Config{RootCAs: ca.Pool}, "not yet valid", "clock"},
		"wrong name":            {"wrong-name", wire.Config{RootCAs: ca.Pool}, "IP SANs", "name"},
		"wrong name, asked for": {"wrong-name", wire.Config{RootCAs: ca.Pool, ServerName: "elsewhere.example.org"}, "", ""},
		"wildcard, one label":   {"wildcard", wire.Config{RootCAs: ca.Pool, ServerName: "a.example.org"}, "", ""},
		"wildcard, two labels":  {"wildcard", wire.Config{RootCAs: ca.Pool, ServerName: "a.b.example.org"}, "a.b.example.org", "name"},
		"wildcard, none":        {"wildcard", wire.Config{RootCAs: ca.Pool, ServerName: "example.org"}, "example.org", "name"},
		"common name only":      {"common-name", wire.Config{RootCAs: ca.Pool, ServerName: "localhost"}, "certificate", ""},
		"self-signed":           {"self-signed", wire.Config{RootCAs: ca.Pool}, "unknown authority", "--ca-file"},
		"pinned":                {"good", wire.Config{Pins: [][32]byte{{}, good}}, "", ""},
		"pinned key":            {"good", wire.Config{Pins: [][32]byte{goodKey}}, "", ""},
		"pinned and CA":         {"good", wire.Config{Pins: [][32]byte{goodKey}, RootCAs: ca.Pool}, "", ""},
		"pinned, other key":     {"self-signed", wire.Config{Pins: [][32]byte{goodKey}}, "pin", "key changed"},
		"pinned, CA fails":      {"good", wire.Config{Pins: [][32]byte{good}, RootCAs: x509.NewCertPool()}, "unknown authority", "--ca-file"},
		"pin fails, CA good":    {"good", wire.Config{Pins: [][32]byte{{1}}, RootCAs: ca.Pool}, "pin", "key changed"},
	} {
		t.Run(name, func(t *testing.T) {
			script := "TLSFAIL " + test.cert
			if test.want == "" {
				script = "TLS " + test.cert + "\nHANG"
			}
			addr := wiretest.Serve(t, script)
			c, err := wire.Dial(t.Context(), endpoint(t, addr, wire.ImplicitTLS), &test.cfg)
			if test.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if c.TLS() == nil || c.TLS().Version < tls.VersionTLS12 {
					t.Errorf("TLS state %+v", c.TLS())
				}
				c.Close()
				return
			}
			var te *wire.TLSError
			if !errors.As(err, &te) || !te.Certificate() || te.Temporary() || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want a certificate error with %q", err, test.want)
			}
			if !strings.Contains(te.Hint(), test.hint) {
				t.Errorf("hint %q, want it to name %q", te.Hint(), test.hint)
			}
		})
	}
}

func TestT10_Versions(t *testing.T) {
	ca := wiretest.CA(t)
	for _, test := range []struct {
		max  string
		want uint16 // 0 = refused
	}{{"1.0", 0}, {"1.1", 0}, {"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}} {
		t.Run(test.max, func(t *testing.T) {
			script := "OPT tls-min 1.0\nOPT tls-max " + test.max + "\n"
			if test.want == 0 {
				script += "TLSFAIL\n"
			} else {
				script += "TLS\nHANG\n"
			}
			addr := wiretest.Serve(t, script)
			c, err := wire.Dial(t.Context(), endpoint(t, addr, wire.ImplicitTLS), &wire.Config{RootCAs: ca.Pool})
			if test.want == 0 {
				var te *wire.TLSError
				if !errors.As(err, &te) || te.Certificate() {
					t.Errorf("error %v, want a handshake error", err)
				}
				return
			}
			if err != nil || c.TLS().Version != test.want {
				t.Fatalf("%v", err)
			}
			c.Close()
		})
	}
}

func TestT12_Handshake(t *testing.T) {
	for name, test := range map[string]struct {
		script   string
		temp     bool
		security wire.Security
		want     string
	}{
		"closed before":          {"CLOSE", true, wire.ImplicitTLS, "EOF"},
		"reset before":           {"RESET", true, wire.ImplicitTLS, "reset"},
		"greeting instead":       {"S: 220 mx.example.org ESMTP\nHANG", false, wire.ImplicitTLS, "TLS handshake"},
		"garbage instead":        {`S> "\x16\x03\x03\xff\xff\x00\x00garbage garbage garbage"` + "\nHANG", false, wire.ImplicitTLS, "tls"},
		"silent":                 {"HANG", true, wire.ImplicitTLS, "timeout"},
		"alert in cleartext":     {`S> "\x15\x03\x01\x00\x02\x02\x28"` + "\nHANG", false, wire.Cleartext, "speaks TLS on this port"},
		"silent in cleartext":    {"HANG", true, wire.Cleartext, "no answer within"},
		"reset in the cleartext": {"RESET", true, wire.Cleartext, ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, test.script)
			c, err := wire.Dial(t.Context(), endpoint(t, addr, test.security), &wire.Config{Timeout: 100 * time.Millisecond})
			if err == nil {
				_, err = c.ReadLine(100)
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			var te *wire.TLSError
			if errors.As(err, &te) && (te.Temporary() != test.temp || te.Certificate()) {
				t.Errorf("%v: temporary %v, want %v", err, te.Temporary(), test.temp)
			}
		})
	}
}

func TestT1_OctetsBeforeHandshake(t *testing.T) {
	ca := wiretest.CA(t)
	for name, test := range map[string]struct{ script string }{
		"one octet":               {`S> "220 go\r\n2"`},
		"half a line":             {`S> "220 go\r\n250 in"`},
		"a reply":                 {`S> "220 go\r\n250 injected\r\n"`},
		"many replies":            {`S> "220 go\r\n250 a\r\n250 b\r\n250 c\r\n"`},
		"in a write of their own": {"S: 220 go\nS: 250 injected"},
		"a little later":          {"S: 220 go\nSLEEP 30ms\nS: 250 injected"},
	} {
		t.Run(name, func(t *testing.T) {
			var captured wiretest.Captured
			addr := wiretest.Serve(t, test.script+"\nHANG", wiretest.Capture(&captured))
			c, err := wire.Dial(t.Context(), endpoint(t, addr, wire.StartTLS), &wire.Config{RootCAs: ca.Pool, Timeout: 60 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.ReadLine(100); err != nil {
				t.Fatal(err)
			}
			err = c.StartTLS(t.Context())
			var pe *wire.ProtocolError
			var te *wire.TLSError
			if !errors.As(err, &pe) && !errors.As(err, &te) {
				t.Fatalf("error %v, want a protocol or TLS error", err)
			}
			if err2 := c.WriteLine("AUTH"); err2 == nil {
				t.Error("the connection still takes commands")
			}
			if c.TLS() != nil {
				t.Error("the connection claims TLS")
			}
		})
	}
}

func TestDialCancelled(t *testing.T) {
	addr := wiretest.Serve(t, "HANG")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	_, err := wire.Dial(ctx, endpoint(t, addr, wire.ImplicitTLS), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestDialNoSuchHost(t *testing.T) {
	_, err := wire.Dial(t.Context(), wire.Endpoint{Host: "nowhere.invalid", Port: 25, Security: wire.Cleartext}, nil)
	var de *net.DNSError
	if !errors.As(err, &de) {
		t.Errorf("error %v, want a DNS error", err)
	}
}

// relay is a proxy that accepts one connection, calls greet and then copies both ways.
func relay(t *testing.T, greet func(r *bufio.Reader, w io.Writer) (target string, err error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		r := bufio.NewReader(client)
		target, err := greet(r, client)
		if err != nil || target == "" {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			t.Errorf("proxy: %v", err)
			return
		}
		wg.Go(func() { _, _ = io.Copy(server, r); server.Close() })
		_, _ = io.Copy(client, server)
	})
	return l.Addr().String()
}

func connectProxy(r *bufio.Reader, w io.Writer) (string, error) {
	var target string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if f := strings.Fields(line); len(f) > 1 && f[0] == "CONNECT" {
			target = f[1]
		}
		if line == "\r\n" {
			_, err := io.WriteString(w, "HTTP/1.1 200 established\r\nVia: test\r\n\r\n")
			return target, err
		}
	}
}

func socksProxy(r *bufio.Reader, w io.Writer) (string, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	if _, err := r.Discard(int(head[1])); err != nil {
		return "", err
	}
	if _, err := w.Write([]byte{5, 0}); err != nil {
		return "", err
	}
	request := make([]byte, 10) // version, connect, 0, IPv4, address, port
	if _, err := io.ReadFull(r, request); err != nil || request[3] != 1 {
		return "", fmt.Errorf("request %x: %w", request, err)
	}
	target := net.JoinHostPort(net.IP(request[4:8]).String(), strconv.Itoa(int(request[8])<<8|int(request[9])))
	_, err := w.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 1})
	return target, err
}

func TestProxy(t *testing.T) {
	ca := wiretest.CA(t)
	for name, greet := range map[string]func(*bufio.Reader, io.Writer) (string, error){"http": connectProxy, "socks5": socksProxy} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, "S: 220 hello\nHANG", wiretest.ImplicitTLS(ca.Good))
			cfg := &wire.Config{RootCAs: ca.Pool, Proxy: &url.URL{Scheme: name, Host: relay(t, greet)}}
			c, err := wire.Dial(t.Context(), endpoint(t, addr, wire.ImplicitTLS), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if line, err := c.ReadLine(100); err != nil || string(line) != "220 hello" {
				t.Errorf("got %q, %v", line, err)
			}
		})
	}
}

func TestProxyRefuses(t *testing.T) {
	addr := relay(t, func(r *bufio.Reader, w io.Writer) (string, error) {
		_, err := io.WriteString(w, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		_, _ = r.ReadString('\n')
		return "", err
	})
	cfg := &wire.Config{Proxy: &url.URL{Scheme: "http", Host: addr, User: url.UserPassword("alice", "canary")}}
	_, err := wire.Dial(t.Context(), wire.Endpoint{Host: "127.0.0.1", Port: 1, Security: wire.Cleartext}, cfg)
	if err == nil || !strings.Contains(err.Error(), "407") || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v, want the proxy's 407 and no password", err)
	}
}

// A connection belongs to whoever dialled it, with the settings it was dialled with: while one is open, dialling the
// same server with other settings checks these from the start.
func TestT8_NoReuseAcrossSettings(t *testing.T) {
	ca := wiretest.CA(t)
	addr := wiretest.Serve(t, "TLS\nS: 220 first\nHANG\nCONN\nTLSFAIL\nCONN\nTLSFAIL\nCONN\nTLS\nS: 220 last\nHANG")
	ep := endpoint(t, addr, wire.ImplicitTLS)
	trusting := &wire.Config{RootCAs: ca.Pool}
	first, err := wire.Dial(t.Context(), ep, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.ReadLine(100); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*wire.Config{"no authority": {RootCAs: x509.NewCertPool()}, "other pin": {Pins: [][32]byte{{1}}}} {
		var te *wire.TLSError
		if c, err := wire.Dial(t.Context(), ep, cfg); !errors.As(err, &te) || !te.Certificate() {
			t.Errorf("%s: got %v, %v; want a certificate error", name, c, err)
		}
	}
	last, err := wire.Dial(t.Context(), ep, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if line, err := last.ReadLine(100); err != nil || string(line) != "220 last" {
		t.Errorf("got %q, %v; want a connection of its own", line, err)
	}
	if last.TLS().DidResume {
		t.Error("the TLS session of another connection was resumed")
	}
}

func TestT9_AcceptTLS(t *testing.T) {
	ca := wiretest.CA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Good}}
	for name, early := range map[string]string{"clean": "", "a command too early": "NOOP\r\n"} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			server := wire.NewConn(near, &wire.Config{Timeout: 60 * time.Second})
			var wg sync.WaitGroup
			defer wg.Wait()
			defer server.Close()
			wg.Go(func() {
				defer far.Close()
				if _, err := io.WriteString(far, "STARTTLS\r\n"+early); err != nil || early != "" {
					return
				}
				client := tls.Client(far, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"})
				_, _ = io.WriteString(client, "NOOP\r\n")
			})
			if line, err := server.ReadLine(100); err != nil || string(line) != "STARTTLS" {
				t.Fatalf("got %q, %v", line, err)
			}
			err := server.AcceptTLS(t.Context(), cfg)
			var pe *wire.ProtocolError
			if early != "" {
				if !errors.As(err, &pe) || server.TLS() != nil {
					t.Errorf("error %v, want a protocol error and no TLS", err)
				}
				return
			}
			if err != nil || server.TLS() == nil {
				t.Fatalf("error %v, TLS %v", err, server.TLS())
			}
			if line, err := server.ReadLine(100); err != nil || string(line) != "NOOP" {
				t.Errorf("got %q, %v", line, err)
			}
		})
	}
}
