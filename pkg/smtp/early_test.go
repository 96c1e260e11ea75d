package smtp

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// impatient is a server on loopback that answers before the text has ended. It keeps the rules up to the text, reads
// some octets of that, and then does what last says.
type impatient struct {
	keywords []string
	cert     *tls.Certificate // nil: cleartext
	swallow  int64            // octets of text read before the answer
	last     func(c net.Conn)
}

func (s *impatient) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
		s.play(nc)
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// play answers every command with success until enough of the text has come.
func (s *impatient) play(nc net.Conn) {
	if s.cert != nil {
		nc = tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{*s.cert}})
	}
	defer func() { _ = nc.Close() }()
	in := bufio.NewReader(nc)
	say("220 ready")(nc)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var chunk int64
		_, _ = fmt.Sscanf(line, "BDAT %d", &chunk)
		switch {
		case strings.HasPrefix(line, "EHLO"):
			say("250-mx\r\n250-" + strings.Join(s.keywords, "\r\n250-") + "\r\n250 8BITMIME")(nc)
			continue
		case strings.HasPrefix(line, "DATA"):
			say("354 go")(nc)
			chunk = s.swallow
		}
		n, err := io.CopyN(io.Discard, in, min(chunk, s.swallow))
		if s.swallow -= n; err != nil || s.swallow == 0 {
			s.last(nc)
			return
		}
		say("250 ok")(nc)
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func say(line string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, line+"\r\n") }
}

// readOn takes what comes and throws it away.
func readOn(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func inTurn(steps ...func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		for _, step := range steps {
			step(c)
		}
	}
}

func halfClose(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
}

func pause(net.Conn) { time.Sleep(100 * time.Millisecond) }

// TestS11_RefusedInTheMiddleOfTheText holds that a server's reason is found wherever it can be, and that nothing is
// accepted in any case.
func TestS11_RefusedInTheMiddleOfTheText(t *testing.T) {
	const big, soon, gone = "552 5.3.4 too big", "452 4.3.1 disk full", "421 4.3.2 shutting down"
	for _, tc := range []struct {
		name string
		last func(net.Conn)
		code int // 0: the reason may be lost, then it is temporary
	}{
		{"closes after reading on", inTurn(say(big), halfClose, readOn), 552},
		{"stops reading", inTurn(say(soon), halfClose, func(net.Conn) { time.Sleep(600 * time.Millisecond) }), 452},
		{"closes with octets unread", say(big), -552},
		{"says 421 and closes", inTurn(say(gone), halfClose, readOn), 421},
		{"resets a little later", inTurn(say(big), pause, reset), -552},
		{"resets at once", inTurn(say(big), reset), -552},
		{"resets without a word", reset, 0},
		{"closes without a word", func(net.Conn) {}, 0},
		{"accepts what it has not got", inTurn(say("250 2.0.0 queued"), halfClose, pause), 0},
		{"says half a reply", func(c net.Conn) { _, _ = io.WriteString(c, "552-too"); pause(c) }, 0},
		{"says what is no reply", inTurn(say("what"), pause), 0},
	} {
		for _, keywords := range [][]string{{"PIPELINING"}, {"PIPELINING", "CHUNKING"}, {"CHUNKING"}} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/tls %v", tc.name, strings.Join(keywords, "+"), secure), func(t *testing.T) {
					t.Parallel()
					s := &impatient{keywords: keywords, swallow: 300 << 10, last: tc.last}
					if secure {
						s.cert = &wiretest.CA(t).Good
					}
					c := dialImpatient(t, s)
					size := int64(16 << 20)
					if len(keywords) == 1 {
						size = 0
					}
					env := envelope("a@example.org", "b@example.org")
					env.Size = size
					r, err := c.Send(bg(t), env, io.LimitReader(&lines{}, 16<<20))
					_ = c.Close()
					checkEarly(t, r, err, tc.code)
				})
			}
		}
	}
}

// TestS11_SendAllRefusedInTheMiddle has the third of five messages refused in the middle of its text by a server that
// hangs up then: what became of the two before it is known, and the one after it is certainly not sent.
func TestS11_SendAllRefusedInTheMiddle(t *testing.T) {
	s := &impatient{keywords: []string{"PIPELINING", "CHUNKING"}, swallow: 300 << 10, last: inTurn(say("552 5.3.4 too big"), halfClose, readOn)}
	c := dialImpatient(t, s)
	var got strings.Builder
	taken := 0
	messages := func(yield func(*Message) bool) {
		for m := range numbered(5) {
			if taken++; taken == 3 {
				m.Body = io.LimitReader(&lines{}, 16<<20)
			}
			if !yield(m) {
				return
			}
		}
	}
	err := c.SendAll(bg(t), messages, func(_ int, _ *Message, r *Result, _ error) error {
		got.WriteString(outcome(r))
		return nil
	})
	_ = c.Close()
	if err == nil || got.String() != "++pt" || taken != 4 {
		t.Errorf("%v; outcomes %q of %d taken, want ++pt of 4", err, got.String(), taken)
	}
}

func dialImpatient(t *testing.T, s *impatient) *Client {
	t.Helper()
	sec := wire.Cleartext
	if s.cert != nil {
		sec = wire.ImplicitTLS
	}
	wait := Timeouts{Block: 300 * time.Millisecond}
	c, err := Dial(bg(t), endpoint(t, s.serve(t), sec), &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool}, Timeouts: &wait})
	if err != nil {
		t.Fatal(err)
	}
	c.lastWait = 2 * time.Second
	return c
}

// checkEarly wants the refusal with that code; with a negative code the network may have lost it.
func checkEarly(t *testing.T, r *Result, err error, code int) {
	t.Helper()
	if n := len(r.Accepted()); n > 0 || err == nil {
		t.Fatalf("%d accepted, error %v", n, err)
	}
	for _, one := range r.Rcpt {
		if one.Lost || kind(err) == "uncertain" {
			t.Errorf("%+v, %v: uncertain, and the end was not sent", one, err)
		}
		if p := one.Phase(); p != PhaseBody && p != PhaseFinal { // the latter where the server reads on
			t.Errorf("phase is %s, want %s (%v)", p, PhaseBody, one.Err)
		}
	}
	var e *Error
	got := 0
	if errors.As(err, &e) {
		got = e.Code
	}
	switch {
	case code > 0 && got != code, code == 0 && got != 0, code < 0 && got != 0 && got != -code:
		t.Errorf("error is %v, want code %d", err, code)
	case got == 0 && !r.Rcpt[0].Err.Temporary():
		t.Errorf("%v is not temporary", r.Rcpt[0].Err)
	}
}

// lines is an endless text.
type lines struct{ at int }

func (l *lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"[l.at&63]
		l.at++
	}
	return len(p), nil
}
