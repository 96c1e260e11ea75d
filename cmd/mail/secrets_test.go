package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// The password of these tests; the blank, quote and backslash try the quoting of every protocol. The part in front is
// what is looked for.
const (
	canaryPart     = "C4nary-Zzq9-Xk7"
	canaryPassword = canaryPart + `" \pw`
	canaryToken    = canaryPart + "-t0ken"
)

// canaryForms lists how the canary could show up: as it is, in hex, and in base64 with anything around it.
func canaryForms() []string {
	forms := []string{canaryPart, hex.EncodeToString([]byte(canaryPart)), fmt.Sprint([]byte(canaryPart))}
	for pad := range 3 {
		e := base64.RawStdEncoding.EncodeToString(append(make([]byte, pad), canaryPart...))
		forms = append(forms, e[(pad+2)/3*4:(pad+len(canaryPart))/3*4])
	}
	return forms
}

// How a server answers to authentication.
const (
	accepts    = "accepts"
	refuses    = "refuses"
	reflects   = "reflects"   // refuses, repeating what it was sent
	challenges = "challenges" // sends back what it was sent as another challenge
	garbage    = "garbage"    // answers with what is no reply
	cuts       = "cuts"       // closes the connection
)

// leaky is a server that offers one mechanism and answers in one of these ways.
type leaky struct {
	protocol, mechanism, way string
	r                        *bufio.Reader
	w                        io.Writer
	last                     string   // the last line with a secret in it
	heard                    []string // all of them
}

func (s *leaky) say(format string, args ...any) { fmt.Fprintf(s.w, format+"\r\n", args...) }

func (s *leaky) hear() (string, bool) {
	line, err := s.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err == nil
}

// secret remembers a line that carries a secret.
func (s *leaky) secret(line string) {
	if s.last = line; len(line) > 12 {
		s.heard = append(s.heard, line)
	}
}

// challenge sends a challenge and reads the answer.
func (s *leaky) challenge(text string) (string, bool) {
	word := "+"
	if s.protocol == "smtp" {
		word = "334"
	}
	s.say("%s %s", word, base64.StdEncoding.EncodeToString([]byte(text)))
	line, ok := s.hear()
	if !ok || line == "*" {
		return "", false
	}
	s.secret(line)
	b, _ := base64.StdEncoding.DecodeString(line)
	return string(b), true
}

// sasl plays the server's part of an exchange; line is the initial response in base64, or "".
func (s *leaky) sasl(line string) bool {
	s.secret(line)
	first := ""
	ok := true
	if line == "" {
		greeting := ""
		if s.mechanism == "CRAM-MD5" {
			greeting = "<1.2@example.org>"
		}
		if first, ok = s.challenge(greeting); !ok {
			return false
		}
	} else {
		b, _ := base64.StdEncoding.DecodeString(line)
		first = string(b)
	}
	switch {
	case s.way == challenges:
		for range 4 {
			if first, ok = s.challenge(first + s.last); !ok {
				return false
			}
		}
	case strings.HasPrefix(s.mechanism, "SCRAM"):
		return s.scram(first)
	case s.mechanism == "LOGIN":
		_, ok = s.challenge("Password:")
	case s.way != accepts && (s.mechanism == "XOAUTH2" || s.mechanism == "OAUTHBEARER"):
		_, ok = s.challenge(`{"status":"401","scope":"` + first + s.last + `"}`)
	}
	return ok
}

// scram plays the server's part of RFC 5802.
func (s *leaky) scram(first string) bool {
	parts := strings.SplitN(first, ",", 3)
	if len(parts) < 3 {
		return false
	}
	bare := parts[2]
	_, nonce, _ := strings.Cut(bare, ",r=")
	serverFirst := "r=" + nonce + "srv,s=c2FsdA==,i=4096"
	final, ok := s.challenge(serverFirst)
	if !ok {
		return false
	}
	if s.way != accepts {
		return true
	}
	newHash := sha256.New
	if strings.HasPrefix(s.mechanism, "SCRAM-SHA-1") {
		newHash = sha1.New
	}
	salted, _ := pbkdf2.Key(newHash, canaryPassword, []byte("salt"), 4096, newHash().Size())
	without, _, _ := strings.Cut(final, ",p=")
	signature := mac(newHash, mac(newHash, salted, "Server Key"), bare+","+serverFirst+","+without)
	_, ok = s.challenge("v=" + base64.StdEncoding.EncodeToString(signature))
	return ok
}

func mac(newHash func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(newHash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// outcome ends an exchange, or a login by the protocol's own command. It reports whether the session goes on.
func (s *leaky) outcome(tag string, inStep bool) bool {
	yes, no := map[string]string{"imap": "OK", "pop3": "+OK", "smtp": "235 2.7.0"}[s.protocol], map[string]string{"imap": "NO", "pop3": "-ERR", "smtp": "535 5.7.8"}[s.protocol]
	if s.protocol == "imap" {
		yes, no = tag+" "+yes, tag+" "+no
	}
	decoded, _ := base64.StdEncoding.DecodeString(s.last)
	clean := strings.Map(func(r rune) rune {
		if r < ' ' {
			return '_'
		}
		return r
	}, string(decoded))
	switch s.way {
	case accepts:
		s.say("%s done", yes)
	case garbage:
		s.say("what? %s %s", s.last, clean)
		return false
	case cuts:
		return false
	case reflects:
		s.say("%s wrong: %s %s", no, s.last, clean)
	default:
		s.say("%s wrong", no)
	}
	return inStep || s.way != challenges
}

// session speaks just enough of a protocol to be logged in to.
func (s *leaky) session() {
	s.greet()
	for {
		line, ok := s.hear()
		if !ok {
			return
		}
		tag := ""
		if s.protocol == "imap" {
			tag, line, _ = strings.Cut(line, " ")
		}
		word, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(word) {
		case "EHLO":
			s.say("250-mx")
			s.say("250 AUTH %s", s.mechanism)
		case "CAPA":
			s.say("+OK\r\nUSER\r\nSASL %s\r\n.", s.mechanism)
		case "CAPABILITY":
			s.say("* CAPABILITY %s\r\n%s OK", s.capabilities(), tag)
		case "AUTH", "AUTHENTICATE":
			_, ir, _ := strings.Cut(rest, " ")
			if !s.outcome(tag, s.sasl(strings.TrimPrefix(ir, "="))) {
				return
			}
		case "LOGIN", "PASS", "APOP":
			s.secret(rest)
			if !s.outcome(tag, true) {
				return
			}
		case "USER":
			s.say("+OK")
		case "LOGOUT":
			s.say("* BYE\r\n%s OK", tag)
		default:
			return
		}
	}
}

func (s *leaky) greet() {
	switch s.protocol {
	case "imap":
		s.say("* OK [CAPABILITY %s] ready", s.capabilities())
	case "pop3":
		s.say("+OK <1896.697170952@example.org>")
	default:
		s.say("220 mx ESMTP")
	}
}

func (s *leaky) capabilities() string {
	if s.mechanism == "" {
		return "IMAP4rev1"
	}
	return "IMAP4rev1 SASL-IR AUTH=" + s.mechanism
}

// serveLeaky runs one session of s and gives its address; stop waits for it.
func serveLeaky(t *testing.T, s *leaky, cert tls.Certificate) (addr string, stop func()) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
		s.r, s.w = bufio.NewReader(nc), nc
		s.session()
	})
	return l.Addr().String(), func() { l.Close(); done.Wait() }
}

// TestO3_CanaryInTrace logs in by every mechanism of every protocol to servers that accept, refuse, repeat what they
// were told or break off, at every level of -v, and looks for the password in all that is printed. What travelled as
// a secret must not be printed either, unless the server itself says it.
func TestO3_CanaryInTrace(t *testing.T) {
	ca := wiretest.CA(t)
	sasl := []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER"}
	flows := map[string][]string{
		"imap": append([]string{"login-command"}, sasl...),
		"pop3": append([]string{"user", "apop"}, sasl...),
		"smtp": sasl,
	}
	for _, protocol := range []string{"imap", "pop3", "smtp"} {
		for _, mechanism := range flows[protocol] {
			t.Run(protocol+"/"+mechanism, func(t *testing.T) {
				for _, way := range []string{accepts, refuses, reflects, challenges, garbage, cuts} {
					for verbose := range 4 {
						if testing.Short() && verbose == 1 { // what it shows, 2 shows too
							continue
						}
						checkLeaks(t, ca, leaky{protocol: protocol, mechanism: mechanism, way: way}, verbose)
					}
				}
			})
		}
	}
}

func checkLeaks(t *testing.T, ca *wiretest.Authority, s leaky, verbose int) {
	t.Helper()
	named := s.mechanism
	if named == strings.ToLower(named) { // a command of the protocol
		s.mechanism = ""
	}
	addr, stop := serveLeaky(t, &s, ca.Good)
	words := []string{"account", "check", "--server", s.protocol + "s://alice@" + addr, "--auth", named}
	for range verbose {
		words = append(words, "-v")
	}
	secret := "MAIL_PASSWORD=" + canaryPassword
	if strings.Contains(named, "OAUTH") || strings.Contains(named, "OAuth") {
		secret = "MAIL_TOKEN=" + canaryToken
	}
	got := runIn(t, []string{secret, "MAIL_CA=" + ca.File}, words...)
	stop()
	if (got.code == 0) != (s.way == accepts) {
		t.Errorf("%s, -v %d: code %d, stderr %s", s.way, verbose, got.code, got.stderr)
	}
	if len(s.heard) == 0 {
		t.Errorf("%s, -v %d: the server was told nothing: %s", s.way, verbose, got.stderr)
	}
	if verbose >= 1 && !strings.Contains(got.stderr, "[secret]") {
		t.Errorf("%s, -v %d: the trace does not show that a secret was sent: %s", s.way, verbose, got.stderr)
	}
	forbidden := canaryForms()
	if s.way != reflects && s.way != garbage && s.way != challenges {
		forbidden = append(forbidden, s.heard...)
	}
	output := got.stdout + got.stderr
	for _, form := range forbidden {
		if strings.Contains(output, form) {
			t.Errorf("%s, -v %d: the output shows %q:\n%s%s", s.way, verbose, form, got.stdout, got.stderr)
		}
	}
}

// runIn runs mail with an environment of NAME=VALUE.
func runIn(t *testing.T, vars []string, words ...string) result {
	t.Helper()
	e, stdout, stderr := testEnv("")
	values := map[string]string{"HOME": t.TempDir()}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	e.getenv = func(name string) string { return values[name] }
	code := run(context.Background(), e, append([]string{"mail"}, words...))
	return result{code, stdout.String(), stderr.String()}
}
