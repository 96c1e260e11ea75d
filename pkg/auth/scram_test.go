package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

func TestScramVectors(t *testing.T) {
	for _, c := range []struct{ name, nonce, first, server, final, verify string }{
		{ScramSHA1, "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{ScramSHA256, "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := testScram(t, c.name, c.nonce)
			p := &peer{replies: []reply{challenge(c.server), challenge(c.verify), success()}}
			if err := Exchange(context.Background(), m, p, true); err != nil {
				t.Fatalf("Exchange: %v", err)
			}
			p.wantLog(t, "AUTH "+c.name+" > "+c.first, "> "+c.final, "> ")

			m = testScram(t, c.name, c.nonce) // the verifier may come with the success
			p = &peer{replies: []reply{challenge(c.server), {data: c.verify}}}
			if err := Exchange(context.Background(), m, p, true); err != nil {
				t.Errorf("verifier with the success: %v", err)
			}
		})
	}
}

// testScram makes the client of the RFCs' examples.
func testScram(t testing.TB, name, nonce string) Mechanism {
	t.Helper()
	m, err := newScram(scramOptions{name: name, user: "user", password: NewSecret("pencil"), nonce: nonce})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestT11_IterationCount(t *testing.T) {
	for _, c := range []struct{ count, want string }{
		{"0", "fewer than 4096"}, {"1", "fewer than 4096"}, {"4095", "fewer than 4096"},
		{"4096", ""}, {"1000000", ""},
		{"1000001", "more than 1000000"}, {"2147483647", "more than 1000000"}, {"9223372036854775808", "more than 1000000"},
		{"99999999999999999999999999", "more than 1000000"},
		{"-1", "malformed"}, {"", "malformed"}, {"4096x", "malformed"}, {"0x2000", "malformed"},
	} {
		t.Run(c.count, func(t *testing.T) {
			m := testScram(t, ScramSHA256, "abc")
			if _, _, err := m.Start(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			resp, err := m.Next([]byte("r=abcdef,s=c2FsdA==,i=" + c.count))
			if c.want == "" {
				if err != nil || len(resp) == 0 {
					t.Errorf("got %q, %v, want an answer", resp, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || len(resp) > 0 {
				t.Errorf("got %q, %v, want an error with %q", resp, err, c.want)
			}
			if d := time.Since(began); d > 500*time.Millisecond {
				t.Errorf("refusal took %v: the hash was computed first", d)
			}
		})
	}
}

func TestT11_ScramServerMisbehaves(t *testing.T) {
	const ok = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
	for _, c := range []struct {
		name    string
		replies []reply
		want    string
	}{
		{"nonce is not ours", []reply{challenge("r=other,s=QSXCR+Q6sek8bf92,i=4096"), refusal("no")}, "does not extend ours"},
		{"nonce is only ours", []reply{challenge("r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096"), refusal("no")}, "does not extend ours"},
		{"nonce cut", []reply{challenge("r=fyko,s=QSXCR+Q6sek8bf92,i=4096"), refusal("no")}, "does not extend ours"},
		{"empty salt", []reply{challenge("r=fyko+d2lbbFgONRv9qkxdawLx,s=,i=4096"), refusal("no")}, "malformed salt"},
		{"salt is not base64", []reply{challenge("r=fyko+d2lbbFgONRv9qkxdawLx,s=***,i=4096"), refusal("no")}, "malformed salt"},
		{"mandatory extension", []reply{challenge("m=x," + ok), refusal("no")}, "malformed first"},
		{"fields in another order", []reply{challenge("s=QSXCR+Q6sek8bf92,r=fyko+d2lbbFgONRv9qkxdawLx,i=4096"), refusal("no")}, "malformed first"},
		{"empty", []reply{challenge(""), refusal("no")}, "malformed first"},
		{"error at once", []reply{challenge("e=unknown-user"), refusal("no")}, "unknown-user"},
		{"wrong signature", []reply{challenge(ok), challenge("v=cm1GOXBxVjhTN3N1QW9aV2phNGQ="), refusal("no")}, "server validation failed"},
		{"wrong signature with success", []reply{challenge(ok), {data: "v=cm1GOXBxVjhTN3N1QW9aV2phNGQ="}}, "server validation failed"},
		{"empty signature", []reply{challenge(ok), challenge("v="), success()}, "server validation failed"},
		{"success without a signature", []reply{challenge(ok), success()}, "without proving"},
		{"success at once", []reply{success()}, "without proving"},
		{"error in the end", []reply{challenge(ok), challenge("e=invalid-proof"), refusal("no")}, "invalid-proof"},
		{"refused", []reply{challenge(ok), refusal("535 wrong password")}, "535 wrong password"},
		{"third challenge", []reply{challenge(ok), challenge("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), challenge("more"), refusal("no")}, "already completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &peer{replies: c.replies}
			err := Exchange(context.Background(), testScram(t, ScramSHA1, "fyko+d2lbbFgONRv9qkxdawL"), p, true)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "authentication with SCRAM-SHA-1 failed: ") {
				t.Errorf("got %v, want an error of SCRAM-SHA-1 with %q", err, c.want)
			}
		})
	}
}

// pair holds both ends' view of one TLS connection.
type pair struct{ client, server tls.ConnectionState }

// tlsPair shakes hands over a pipe, with at most version max (0: the newest).
func tlsPair(t testing.TB, max uint16) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	srv := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: max, SessionTicketsDisabled: true})
	cli := tls.Client(b, &tls.Config{InsecureSkipVerify: true, MaxVersion: max})
	done := make(chan error, 1)
	go func() { done <- srv.Handshake() }()
	if err := cli.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return pair{cli.ConnectionState(), srv.ConnectionState()}
}

// scramPeer answers with the library's server side.
type scramPeer struct {
	peer
	conv *scram.ServerConversation
}

func (p *scramPeer) Start(mech string, ir []byte) error {
	_ = p.peer.Start(mech, ir)
	return p.Respond(ir)
}

func (p *scramPeer) Respond(b []byte) error {
	_ = p.peer.Respond(b)
	p.replies = []reply{success()}
	if !p.conv.Done() {
		s, err := p.conv.Step(string(b))
		if err != nil && s == "" {
			s = "e=" + err.Error()
		}
		p.replies = []reply{challenge(s), refusal("no")}
	}
	return nil
}

func scramServer(t *testing.T, hash scram.HashGeneratorFcn) *scram.Server {
	t.Helper()
	c, err := hash.NewClient("alice", "sesame", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salty", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

func TestScramChannelBinding(t *testing.T) {
	for _, c := range []struct {
		name    string
		version uint16
		offered string
		mech    string
		flag    string // beginning of the client's first message
		bind    func(*tls.ConnectionState) (scram.ChannelBinding, error)
	}{
		{"tls 1.3", tls.VersionTLS13, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "auto", "p=tls-exporter,,", scram.NewTLSExporterBinding},
		{"tls 1.3, sha-1", tls.VersionTLS13, "SCRAM-SHA-1 SCRAM-SHA-1-PLUS", "auto", "p=tls-exporter,,", scram.NewTLSExporterBinding},
		{"tls 1.2", tls.VersionTLS12, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "", "p=tls-unique,,", func(st *tls.ConnectionState) (scram.ChannelBinding, error) {
			return scram.NewTLSUniqueBinding(st.TLSUnique), nil
		}},
		{"server without plus", tls.VersionTLS13, "SCRAM-SHA-256 SCRAM-SHA-1", "", "y,,", nil},
		{"plus offered, not wanted", tls.VersionTLS13, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "scram-sha-256", "n,,", nil},
		{"plus offered for the other hash", tls.VersionTLS13, "SCRAM-SHA-256 SCRAM-SHA-1-PLUS", "", "n,,", nil},
		{"no tls", 0, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "", "n,,", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch := Channel{Host: "localhost", Protocol: "imap"}
			hash := scram.SHA256
			if strings.HasPrefix(c.offered, "SCRAM-SHA-1 ") {
				hash = scram.SHA1
			}
			p := &scramPeer{conv: scramServer(t, hash).NewConversation()}
			if c.version != 0 {
				tp := tlsPair(t, c.version)
				ch.TLS = &tp.client
				if c.bind != nil {
					server := tp.server
					cb, err := c.bind(&server)
					if err != nil {
						t.Fatal(err)
					}
					p.conv = scramServer(t, hash).NewConversationWithChannelBindingRequired(cb)
				}
			}
			m, err := Choose(context.Background(), strings.Fields(c.offered), creds(c.mech), ch)
			if err != nil {
				t.Fatal(err)
			}
			if err := Exchange(context.Background(), m, p, true); err != nil {
				t.Fatalf("Exchange: %v", err)
			}
			if want := "AUTH " + m.Name() + " > " + c.flag; !strings.HasPrefix(p.log[0], want) {
				t.Errorf("first message %q, want it to begin %q", p.log[0], want)
			}
			if !p.conv.Valid() {
				t.Error("the server is not convinced")
			}
		})
	}
}

// Somebody in the middle who ends one TLS connection and begins another cannot pass the exchange on.
func TestScramBindingMismatch(t *testing.T) {
	mine, other := tlsPair(t, 0), tlsPair(t, 0)
	cb, err := scram.NewTLSExporterBinding(&other.server)
	if err != nil {
		t.Fatal(err)
	}
	p := &scramPeer{conv: scramServer(t, scram.SHA256).NewConversationWithChannelBindingRequired(cb)}
	m, err := Choose(context.Background(), []string{ScramSHA256Plus}, creds(""), Channel{TLS: &mine.client})
	if err != nil {
		t.Fatal(err)
	}
	if err := Exchange(context.Background(), m, p, true); err == nil {
		t.Error("exchange over another connection succeeded")
	}
}

// A -PLUS taken out of the list on the way is noticed by the server.
func TestScramDowngrade(t *testing.T) {
	tp := tlsPair(t, 0)
	cb, err := scram.NewTLSExporterBinding(&tp.server)
	if err != nil {
		t.Fatal(err)
	}
	p := &scramPeer{conv: scramServer(t, scram.SHA256).NewConversationWithChannelBinding(cb)}
	m, err := Choose(context.Background(), []string{ScramSHA256}, creds(""), Channel{TLS: &tp.client})
	if err != nil {
		t.Fatal(err)
	}
	if err := Exchange(context.Background(), m, p, true); err == nil || !strings.Contains(err.Error(), "channel-binding") {
		t.Errorf("got %v, want the server to notice", err)
	}
}

func TestScramServerEndPoint(t *testing.T) {
	st := tlsPair(t, tls.VersionTLS12).client
	st.TLSUnique = nil // as after a resumed session
	if cb := channelBinding(&st); cb.Type != scram.ChannelBindingTLSServerEndpoint || !cb.IsSupported() {
		t.Errorf("got %q, want tls-server-end-point", cb.Type)
	}
}

func TestScramPasswords(t *testing.T) {
	for name, password := range map[string]string{"latin": "pässwörd", "emoji": "🔑🔒", "comma": "a,b=c"} {
		t.Run(name, func(t *testing.T) {
			c, err := scram.SHA256.NewClient("alice", password, "")
			if err != nil {
				c, err = scram.SHA256.NewClientUnprepped("alice", password, "")
			}
			if err != nil {
				t.Fatal(err)
			}
			stored, _ := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salty", Iters: 4096})
			srv, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
			if err != nil {
				t.Fatal(err)
			}
			m := choose(t, []string{ScramSHA256}, &Credentials{User: "ali,ce=", Password: Literal(password)})
			p := &scramPeer{conv: srv.NewConversation()}
			if err := Exchange(context.Background(), m, p, true); err != nil {
				t.Errorf("Exchange: %v", err)
			}
			if p.conv.Username() != "ali,ce=" {
				t.Errorf("server read the user name %q, want %q", p.conv.Username(), "ali,ce=")
			}
		})
	}
}

func BenchmarkScram(b *testing.B) {
	for b.Loop() {
		m := testScram(b, ScramSHA256, "abc")
		_, _, _ = m.Start()
		if _, err := m.Next([]byte("r=abcdef,s=c2FsdA==,i=4096")); err != nil {
			b.Fatal(err)
		}
	}
}
