package smtp

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

const cutMessages = 5

func cutEnvelope(i int) *Envelope {
	return envelope(fmt.Sprintf("a%d@example.org", i), fmt.Sprintf("b%d@example.org", i), fmt.Sprintf("c%d@example.org", i))
}

// cutRun sends five messages over nc and gives the results of those that were reported. The server refuses one
// recipient of each, and over LMTP another one in the end.
func cutRun(t *testing.T, at string, nc *cutConn, p wire.Protocol) (results []*Result, errs []error, last error) {
	t.Helper()
	nc.refuse = func(line string) string {
		return map[bool]string{true: "550 no"}[strings.HasPrefix(line, "RCPT TO:<b")]
	}
	nc.final = func(rcpt string) string {
		return map[bool]string{true: "452 full"}[strings.HasPrefix(rcpt, "c")]
	}
	c, err := New(bg(t), wire.NewConn(nc, nil), wire.Endpoint{Protocol: p, Host: "127.0.0.1", Security: wire.Cleartext}, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = c.Close() }()
	var messages iter.Seq[*Message] = func(yield func(*Message) bool) {
		for i := range cutMessages {
			if !yield(&Message{Envelope: cutEnvelope(i), Body: strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n.hello\r\n", i))}) {
				return
			}
		}
	}
	last = c.SendAll(bg(t), messages, func(i int, _ *Message, r *Result, err error) error {
		if i != len(results) {
			t.Errorf("%s: message %d is reported as number %d", at, i, len(results))
		}
		results, errs = append(results, r), append(errs, err)
		return nil
	})
	return results, errs, last
}

// judgeEach holds what the client says about each recipient of each message against what the server keeps. The server
// acts on everything that it gets at once, so that a doubt about what it does not keep is a doubt without need.
func judgeEach(t *testing.T, at string, s *server, results []*Result, errs []error, deafToo bool) {
	t.Helper()
	for i := range cutMessages {
		if i >= len(results) {
			for _, addr := range cutEnvelope(i).Rcpt {
				if slices.Contains(s.kept, fmt.Sprintf("Subject: %d %s", i, addr)) {
					t.Errorf("%s: message %d was never reported, and the server keeps it for %s", at, i, addr)
				}
			}
			continue
		}
		shape := outcome(results[i])
		for j, one := range results[i].Rcpt {
			kept := slices.Contains(s.kept, fmt.Sprintf("Subject: %d %s", i, one.Addr))
			switch shape[j] {
			case '+':
				if !kept {
					t.Errorf("%s: message %d is called accepted for %s, and the server does not keep it", at, i, one.Addr)
				}
			case 't', 'p':
				if kept {
					t.Errorf("%s: message %d is called not sent to %s (%v), and the server keeps it", at, i, one.Addr, one.Err)
				}
			case '?':
				if !deafToo {
					t.Errorf("%s: message %d is called uncertain for %s, and all replies could be read", at, i, one.Addr)
				}
				if !strings.Contains(strings.Join(s.kept, "\n"), fmt.Sprintf("Subject: %d ", i)) {
					t.Errorf("%s: message %d is called uncertain for %s, and its end did not reach the server", at, i, one.Addr)
				}
			}
		}
		if strings.Contains(shape, "?") != (kind(errs[i]) == "uncertain") {
			t.Errorf("%s: message %d with outcome %s has the error %v", at, i, shape, errs[i])
		}
	}
}

// TestD6_SendAllCutAtEachOctet breaks a session of five messages after every octet that is read or written.
func TestD6_SendAllCutAtEachOctet(t *testing.T) {
	for _, m := range modes {
		for _, p := range []wire.Protocol{wire.SMTP, wire.LMTP} {
			t.Run(string(p)+" "+m.name, func(t *testing.T) {
				keywords := append([]string{"8BITMIME"}, m.keywords...)
				whole := &cutConn{server: newServer(keywords...), reads: 1 << 30, writes: 1 << 30}
				results, errs, err := cutRun(t, "whole", whole, p)
				if err != nil || len(results) != cutMessages || len(whole.kept) != len(whole.texts)*map[bool]int{true: 1, false: 2}[whole.lmtp] {
					t.Fatalf("without a cut: %v, %d reported, the server keeps %q", err, len(results), whole.kept)
				}
				judgeEach(t, "whole", whole.server, results, errs, false)
				cutReads(t, keywords, p, 1<<30-whole.reads)
				cutWrites(t, keywords, p, 1<<30-whole.writes-len("QUIT\r\n"))
			})
		}
	}
}

// stride is one octet, or more in the short run.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}

func cutReads(t *testing.T, keywords []string, p wire.Protocol, total int) {
	for n := 0; n < total; n += stride() {
		for _, how := range []error{io.EOF, syscall.ECONNRESET} {
			nc := &cutConn{server: newServer(keywords...), reads: n, writes: -1, err: how, one: n%2 == 0}
			at := fmt.Sprintf("%v after %d octets read", how, n)
			results, errs, err := cutRun(t, at, nc, p)
			if err == nil {
				t.Errorf("%s: no error", at)
			}
			judgeEach(t, at, nc.server, results, errs, true)
		}
	}
}

func cutWrites(t *testing.T, keywords []string, p wire.Protocol, total int) {
	for n := 0; n < total; n += stride() {
		for _, deaf := range []bool{false, true} {
			nc := &cutConn{server: newServer(keywords...), reads: -1, writes: n, deaf: deaf, err: syscall.ECONNRESET}
			at := fmt.Sprintf("write cut after %d octets, reading fails too: %v", n, deaf)
			results, errs, err := cutRun(t, at, nc, p)
			if err == nil {
				t.Errorf("%s: no error", at)
			}
			judgeEach(t, at, nc.server, results, errs, deaf)
		}
	}
	t.Logf("%d octets written", total)
}
