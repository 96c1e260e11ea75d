package auth

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// users is a Verifier with alice (password sesame, token tok) and the user of the RFCs' examples.
func users() Verifier {
	passwords := map[string]string{"alice": "sesame", "tim": "tanstaaftanstaaf", "mrose": "tanstaaf", "user": "pencil", "päm=,": "🔑 é", "nobody yet": ""}
	return Verifier{
		Password: func(user string) (string, bool) { p, ok := passwords[user]; return p, ok },
		Token: func(user, token string) bool {
			return user == "alice" && token == "tok" || user == "päm=," && token == "tok2"
		},
		Keys: NewKeys(),
	}
}

// link is a Transport whose other end is a Server. A challenge is copied, as it would be on a wire.
type link struct {
	srv       Server
	challenge []byte
	done      bool
	err       error
	log       []string
}

func (l *link) step(response []byte) error {
	l.challenge, l.done, l.err = l.srv.Next(response)
	l.log = append(l.log, string(response), string(l.challenge))
	return nil
}

func (l *link) Start(_ string, ir []byte) error { return l.step(ir) }
func (l *link) Respond(resp []byte) error       { return l.step(resp) }
func (l *link) Cancel() error                   { l.err = errors.New("cancelled"); return nil }
func (l *link) Challenge() ([]byte, bool, error) {
	if l.err != nil {
		return nil, false, &Error{Text: l.err.Error()}
	}
	return bytes.Clone(l.challenge), !l.done, nil
}

// TestServerAgainstClients runs every mechanism of the client against the server's, with and without initial
// response, with the right and the wrong secret, over each kind of channel.
func TestServerAgainstClients(t *testing.T) {
	type channel struct {
		name           string
		client, server Channel
	}
	channels := []channel{{"cleartext", Channel{Host: "localhost", Loopback: true}, Channel{Host: "localhost"}}}
	for name, version := range map[string]uint16{"tls 1.2": tls.VersionTLS12, "tls 1.3": tls.VersionTLS13} {
		p := tlsPair(t, version)
		channels = append(channels, channel{name, Channel{Host: "localhost", Port: 995, TLS: &p.client}, Channel{Host: "localhost", TLS: &p.server}})
	}
	v := users()
	for _, ch := range channels {
		offered := Mechanisms(v, ch.server, true)
		if want := 9; ch.server.TLS == nil && len(offered) != want-2 || ch.server.TLS != nil && len(offered) != want {
			t.Fatalf("%s: offers %q", ch.name, offered)
		}
		for _, mech := range offered {
			for _, user := range []string{"alice", "päm=,", "eve", ""} {
				for _, secret := range []string{"sesame", "tok", "🔑 é", "tok2", "sesame "} {
					for _, initial := range []bool{true, false} {
						good := user == "alice" && (secret == "tok" && isOAuth(mech) || secret == "sesame" && !isOAuth(mech)) ||
							user == "päm=," && (secret == "tok2" && isOAuth(mech) || secret == "🔑 é" && !isOAuth(mech))
						cr := &Credentials{User: user, Password: Literal(secret), Mechanism: mech}
						m, err := Choose(t.Context(), offered, cr, ch.client)
						if err != nil {
							continue // a token with a space in it
						}
						srv, err := NewServer(strings.ToLower(mech), v, ch.server)
						if err != nil {
							t.Fatal(err)
						}
						l := &link{srv: srv}
						err = Exchange(t.Context(), m, l, initial)
						if good != (err == nil) || good && srv.User() != user || !good && srv.User() != "" {
							t.Errorf("%s, %s, %q with %q, initial response %t: got %v and user %q, want success %t; log %q", ch.name, mech, user, secret, initial, err, srv.User(), good, l.log)
						}
						if !good && user != "" && !errors.Is(l.err, ErrRefused) {
							t.Errorf("%s, %q with %q: server said %v, want a refusal", mech, user, secret, l.err)
						}
						if _, _, err := srv.Next([]byte{}); err == nil {
							t.Errorf("%s: goes on after the end", mech)
						}
					}
				}
			}
		}
	}
}

func TestServerOffers(t *testing.T) {
	st := tlsPair(t, 0).server
	onlyToken, onlyPassword := users(), users()
	onlyToken.Password, onlyPassword.Token = nil, nil
	unbound := users()
	unbound.NoBinding = true
	for _, c := range []struct {
		name string
		v    Verifier
		ch   Channel
		open bool
		want string
	}{
		{"O5 cleartext", users(), Channel{}, false, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"},
		{"O5 cleartext on loopback", users(), Channel{Loopback: true}, false, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"},
		{"cleartext allowed", onlyPassword, Channel{}, true, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"},
		{"tls", users(), Channel{TLS: &st}, false, "OAUTHBEARER XOAUTH2 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"},
		{"no binding", unbound, Channel{TLS: &st}, false, "OAUTHBEARER XOAUTH2 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"},
		{"only tokens", onlyToken, Channel{TLS: &st}, false, "OAUTHBEARER XOAUTH2"},
		{"nothing", Verifier{}, Channel{TLS: &st}, true, ""},
	} {
		if got := strings.Join(Mechanisms(c.v, c.ch, c.open), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if _, err := NewServer("GSSAPI", users(), Channel{}); !errors.Is(err, ErrNoMechanism) {
		t.Errorf("GSSAPI: got %v, want ErrNoMechanism", err)
	}
}

// TestServerVectors plays what the documents of the mechanisms print.
func TestServerVectors(t *testing.T) {
	v := users()
	t.Run("RFC 2195", func(t *testing.T) {
		s := &server{name: CramMD5, v: v}
		s.step = s.cram("<1896.697170952@postoffice.reston.mci.net>")
		play(t, s, nil, "<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890", "done tim")
	})
	t.Run("RFC 1939", func(t *testing.T) {
		const stamp = "<1896.697170952@dbc.mtview.ca.us>"
		for digest, want := range map[string]bool{"c4c9334bac560ecc979e58001b3e22fb": true, "C4C9334BAC560ECC979E58001B3E22FB": true, "c4c9334bac560ecc979e58001b3e22fc": false, "": false, "zz": false} {
			if got := v.CheckAPOP(stamp, "mrose", digest); got != want {
				t.Errorf("digest %q: got %t, want %t", digest, got, want)
			}
		}
		if v.CheckAPOP(stamp, "eve", "c4c9334bac560ecc979e58001b3e22fb") {
			t.Error("eve has no password and came in")
		}
	})
	t.Run("RFC 4616", func(t *testing.T) {
		play(t, newServer(t, Plain, v), "\x00tim\x00tanstaaftanstaaf", "done tim")
		play(t, newServer(t, Plain, v), "tim\x00tim\x00tanstaaftanstaaf", "done tim")
		play(t, newServer(t, Plain, v), nil, "", "\x00tim\x00tanstaaftanstaaf", "done tim")
		play(t, newServer(t, Plain, v), "Ursel\x00tim\x00tanstaaftanstaaf", "refused")
	})
	t.Run("LOGIN", func(t *testing.T) {
		play(t, newServer(t, Login, v), nil, "Username:", "alice", "Password:", "sesame", "done alice")
		play(t, newServer(t, Login, v), "alice", "Password:", "sesame", "done alice")
		play(t, newServer(t, Login, v), "alice", "Password:", "", "refused")
	})
	t.Run("RFC 7628", func(t *testing.T) {
		const bad = `{"status":"invalid_token","scope":"mail"}`
		play(t, newServer(t, OAuthBearer, v), "n,a=alice,\x01host=server.example.com\x01port=143\x01auth=Bearer tok\x01\x01", "done alice")
		play(t, newServer(t, OAuthBearer, v), "n,a=alice,\x01auth=Bearer old\x01\x01", bad, "\x01", "refused")
		play(t, newServer(t, OAuthBearer, v), "n,,\x01auth=Bearer tok\x01\x01", bad, "\x01", "refused")
		play(t, newServer(t, OAuthBearer, v), "y,a=p\xc3\xa4m=3D=2C,\x01auth=bearer tok2\x01\x01", "done päm=,")
		play(t, newServer(t, XOAuth2, v), "user=alice\x01auth=Bearer tok\x01\x01", "done alice")
		play(t, newServer(t, XOAuth2, v), "user=alice\x01auth=Bearer x\x01\x01", `{"status":"401","schemes":"bearer","scope":"mail"}`, "", "refused")
	})
}

func TestServerScramVectors(t *testing.T) {
	for _, c := range []struct{ name, nonce, salt, first, final, verify string }{
		{ScramSHA1, "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{ScramSHA256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		t.Run(c.name, func(t *testing.T) {
			hash := scram.SHA256
			if c.name == ScramSHA1 {
				hash = scram.SHA1
			}
			stored, err := derive(hash, "user", "pencil", mustBase64(c.salt))
			if err != nil {
				t.Fatal(err)
			}
			lib, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
			if err != nil {
				t.Fatal(err)
			}
			conv := lib.WithNonceGenerator(func() string { return c.nonce }).NewConversation()
			if _, err := conv.Step(c.first); err != nil {
				t.Fatal(err)
			}
			if got, err := conv.Step(c.final); err != nil || got != c.verify {
				t.Errorf("got %q, %v, want %q", got, err, c.verify)
			}
		})
	}
}

func mustBase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newServer(t testing.TB, name string, v Verifier) Server {
	t.Helper()
	s, err := NewServer(name, v, Channel{Host: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play alternates responses (nil: none) and what the server must say to them: a challenge, "done NAME", "refused" or
// "malformed".
func play(t *testing.T, s Server, steps ...any) {
	t.Helper()
	for i := 0; i < len(steps); i += 2 {
		var response []byte
		if text, ok := steps[i].(string); ok {
			response = append([]byte{}, text...)
		}
		challenge, done, err := s.Next(response)
		got := string(challenge)
		switch {
		case errors.Is(err, ErrRefused):
			got = "refused"
		case errors.Is(err, ErrMalformed):
			got = "malformed"
		case err != nil:
			got = err.Error()
		case done:
			got = "done " + s.User()
		}
		if got != steps[i+1] {
			t.Errorf("step %d, to %q: got %q, want %q", i/2, response, got, steps[i+1])
		}
	}
}

func TestServerMalformed(t *testing.T) {
	v, long := users(), strings.Repeat("x", maxResponse+1)
	for mech, list := range map[string][]string{
		Plain:       {"", "\x00", "\x00\x00", "alice", "\x00alice\x00", "\x00\x00sesame", "\x00alice\x00sesame\x00", long},
		Login:       {"", "al\x00ice", long},
		CramMD5:     {"alice sesame"}, // an initial response
		OAuthBearer: {"", "n,,", "p=x,a=alice,\x01auth=Bearer tok\x01\x01", "n,a=alice\x01auth=Bearer tok\x01\x01", "n,a=al=ice,\x01auth=Bearer tok\x01\x01", "n,b=alice,\x01auth=Bearer tok\x01\x01", "n,a=alice,\x01auth=Bearer \x01\x01", "n,a=alice,\x01auth=Bearer tok\x01", "n,a=alice,\x01\x01", "n,a=alice,\x01noequals\x01\x01", long},
		XOAuth2:     {"", "user=alice", "alice\x01auth=Bearer tok\x01\x01", "user=alice\x01auth=tok\x01\x01", long},
		ScramSHA256: {"", "n", "n,,", "n,,n=user", "n,,r=abc", "n,,n=us\x00er,r=abc", "n,,n=us=er,r=abc", "x,,n=user,r=abc", "p=tls-exporter,,n=user,r=abc", "n,,m=1,n=user,r=abc", "n,,n=,r=abc", long},
	} {
		for _, response := range list {
			play(t, newServer(t, mech, v), response, "malformed", "", "malformed")
		}
	}
	// The final message of SCRAM.
	for name, final := range map[string]string{
		"empty": "", "rubbish": "rubbish", "other nonce": "c=biws,r=abcdef,p=AAAA", "binding": "c=eSws,r=$,p=AAAA", "short proof": "c=biws,r=$,p=AAAA", "no proof": "c=biws,r=$",
	} {
		s := newServer(t, ScramSHA256, v)
		first, _, err := s.Next([]byte("n,,n=user,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		nonce, _, _ := strings.Cut(strings.TrimPrefix(string(first), "r="), ",")
		if _, _, err := s.Next([]byte(strings.Replace(final, "$", nonce, 1))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// TestServerUnknownUser compares what a name that exists and one that does not see and wait for.
func TestServerUnknownUser(t *testing.T) {
	for _, keys := range []*Keys{nil, NewKeys()} {
		v := users()
		v.Keys = keys
		first := func(user string) (salt, count string) {
			challenge, _, err := newServer(t, ScramSHA256, v).Next([]byte("n,,n=" + user + ",r=abc"))
			parts := strings.Split(string(challenge), ",")
			if err != nil || len(parts) != 3 {
				t.Fatalf("%s: got %q, %v", user, challenge, err)
			}
			return parts[1], parts[2]
		}
		for _, user := range []string{"alice", "eve"} {
			salt, count := first(user)
			again, _ := first(user)
			if count != "i=4096" || len(salt) < 2+22 || (salt == again) != (keys != nil) {
				t.Errorf("%s: got %s %s, then %s; keys %t", user, salt, count, again, keys != nil)
			}
		}
		cost := func(user string) time.Duration {
			best := time.Hour
			for range 5 {
				began := time.Now()
				first(user)
				best = min(best, time.Since(began))
			}
			return best
		}
		if a, b := cost("alice"), cost("eve"); a > 20*b+time.Millisecond || b > 20*a+time.Millisecond {
			t.Errorf("keys %t: a user takes %v, nobody takes %v", keys != nil, a, b)
		}
	}
	var texts []string
	for _, c := range [][2]string{{"alice", "wrong"}, {"eve", "sesame"}} {
		s := newServer(t, Plain, users())
		_, _, err := s.Next([]byte("\x00" + c[0] + "\x00" + c[1]))
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] {
		t.Errorf("a wrong password gives %q, a wrong user %q", texts[0], texts[1])
	}
}

func TestServerDowngrade(t *testing.T) {
	p := tlsPair(t, 0)
	v := users()
	for _, c := range []struct {
		name      string
		noBinding bool
		ok        bool
	}{{"plus taken out on the way", false, false}, {"plus not offered", true, true}} {
		v.NoBinding = c.noBinding
		m, err := Choose(t.Context(), []string{ScramSHA256}, creds(""), Channel{TLS: &p.client})
		if err != nil {
			t.Fatal(err)
		}
		srv, _ := NewServer(ScramSHA256, v, Channel{TLS: &p.server})
		if err := Exchange(t.Context(), m, &link{srv: srv}, true); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want success %t", c.name, err, c.ok)
		}
	}
	other := tlsPair(t, 0)
	m, _ := Choose(t.Context(), []string{ScramSHA256Plus}, creds(""), Channel{TLS: &p.client})
	srv, _ := NewServer(ScramSHA256Plus, users(), Channel{TLS: &other.server})
	if err := Exchange(t.Context(), m, &link{srv: srv}, true); err == nil || !strings.Contains(err.Error(), "channel-bindings") {
		t.Errorf("relayed to another connection: got %v", err)
	}
}

func TestKeysConcurrent(t *testing.T) {
	v := users()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, mech := range []string{ScramSHA1, ScramSHA256} {
				srv, _ := NewServer(mech, v, Channel{})
				m, _ := Choose(t.Context(), []string{mech}, creds(mech), Channel{})
				if err := Exchange(t.Context(), m, &link{srv: srv}, true); err != nil {
					t.Errorf("%s: %v", mech, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(v.Keys.known); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	stored, _ := v.stored(scram.SHA256, ScramSHA256, "alice")
	v.Password = func(string) (string, bool) { return "changed", true }
	if now, _ := v.stored(scram.SHA256, ScramSHA256Plus, "alice"); bytes.Equal(now.StoredKey, stored.StoredKey) || now.Salt != stored.Salt {
		t.Error("a changed password keeps its keys, or changes its salt")
	}
	for i := range maxKeys { // fill by hand: deriving so many takes seconds
		v.Keys.known[v.Keys.digest(string(rune(i)))] = derived{}
	}
	_, _ = v.stored(scram.SHA256, ScramSHA256, "bob")
	if n := len(v.Keys.known); n > maxKeys {
		t.Errorf("%d entries, cap %d", n, maxKeys)
	}
}

func TestTimestamp(t *testing.T) {
	for _, host := range []string{"localhost", "", "a b", "x@y", "ä", strings.Repeat("h", 600)} {
		a, b := Timestamp(host), Timestamp(host)
		if !validTimestamp(a) || a == b {
			t.Errorf("host %q: got %q and %q", host, a, b)
		}
	}
}

// FuzzServer lets a client say anything to every mechanism: no panic, an end in time, and in only with the password.
func FuzzServer(f *testing.F) {
	f.Add("\x00alice\x00x", "", "", uint8(7), false)
	f.Add("n,,n=alice,r=abc", "c=biws,r=abc,p=AAAA", "", uint8(3), false)
	f.Add("n,a=alice,\x01auth=Bearer x\x01\x01", "\x01", "", uint8(0), true)
	f.Add("alice 00112233445566778899aabbccddeeff", "", "", uint8(6), true)
	f.Add("alice", "sesam", "", uint8(8), true)
	st := tlsPair(f, 0).server
	v := users()
	f.Fuzz(func(t *testing.T, a, b, c string, which uint8, wait bool) {
		if strings.Contains(a+b+c, "sesame") || strings.Contains(a+b+c, "tok") {
			return
		}
		name := serverNames[int(which)%len(serverNames)]
		s, err := NewServer(name, v, Channel{Host: "localhost", TLS: &st})
		if err != nil {
			t.Fatal(err)
		}
		if wait {
			_, _, _ = s.Next(nil)
		}
		for _, response := range []string{a, b, c, a, b, c, a} {
			_, done, err := s.Next([]byte(response))
			if done || s.User() != "" {
				t.Fatalf("%s: %q came in", name, s.User())
			}
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Mechanism != name) {
				t.Errorf("%s: got %v, want an *Error that names it", name, err)
			}
		}
		if _, _, err := s.Next([]byte{}); err == nil {
			t.Errorf("%s goes on for ever", name)
		}
	})
}

func BenchmarkServerScram(b *testing.B) {
	v := users()
	for _, keys := range []struct {
		name string
		k    *Keys
	}{{"cached", NewKeys()}, {"derived", nil}} {
		b.Run(keys.name, func(b *testing.B) {
			v.Keys = keys.k
			for b.Loop() {
				s := newServer(b, ScramSHA256, v)
				if _, _, err := s.Next([]byte("n,,n=alice,r=abc")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestHasMechanism(t *testing.T) {
	if list := Mechanisms(users(), Channel{}, false); !HasMechanism(list, "cram-md5") || HasMechanism(list, "plain") || !slices.Contains(list, CramMD5) {
		t.Errorf("got %q", list)
	}
}
