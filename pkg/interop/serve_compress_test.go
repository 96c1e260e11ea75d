package interop

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// TestIMAPCompress takes messages of many sizes up and down through COMPRESS=DEFLATE, with Dovecot and with our own
// server.
func TestIMAPCompress(t *testing.T) {
	run := func(name string, start func(t *testing.T) (addr string, u User, pool *wire.Config)) {
		t.Run(name, func(t *testing.T) {
			addr, u, cfg := start(t)
			for _, depth := range []int{1, 8} {
				var tr tracer
				cfg := &wire.Config{RootCAs: cfg.RootCAs, Trace: tr.add}
				c := dialIMAP(t, endpoint(t, wire.IMAP, addr, wire.ImplicitTLS), imap.Options{Wire: cfg, Depth: depth}, cfg.RootCAs)
				do(t, c.Auth(limit(t), credentials(u, "")), c.Compress(limit(t)))
				compressed(t, c, fmt.Sprintf("depth %d", depth))
				if !strings.Contains(tr.String(), "compression by DEFLATE") || c.Conn().TLS() == nil {
					t.Errorf("want compression over TLS, got TLS %v and trace\n%.2000s", c.Conn().TLS() != nil, tr.String())
				}
			}
		})
	}
	run("dovecot", func(t *testing.T) (string, User, *wire.Config) {
		d := Dovecot(t)
		return d.IMAPS, d.AddUser(t), &wire.Config{RootCAs: d.CA}
	})
	run("ours", func(t *testing.T) (string, User, *wire.Config) {
		m := serveAll(t, nil)
		return m.Addr("imaps"), User{Name: "alice", Password: "ses ame"}, &wire.Config{RootCAs: m.pool}
	})
}

// compressed uses a connection that is.
func compressed(t *testing.T, c *imap.Client, mailbox string) {
	t.Helper()
	if e, ok := errors.AsType[*imap.Error](c.Compress(limit(t))); !ok || e.Code != "COMPRESSIONACTIVE" {
		t.Errorf("a second COMPRESS: got %v, want COMPRESSIONACTIVE", e)
	}
	do(t, c.Create(limit(t), mailbox))
	lines := bytes.Repeat([]byte("Subject: crêpes\r\n\r\nfarine, œufs, lait\r\n"), 70_000)
	want := [][]byte{noise(3_000_000)}
	for _, n := range []int{100, 4095, 4096, 4097, 65_536, 131_072, len(lines)} {
		want = append(want, lines[:n])
	}
	for i, text := range want {
		if _, err := c.Append(limit(t), mailbox, int64(len(text)), iotest.HalfReader(bytes.NewReader(text)), nil); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	got := fetchAll(t, c, mailbox)
	if len(got) != len(want) {
		t.Errorf("got %d messages, want %d", len(got), len(want))
	}
	for i, text := range want {
		if m := got[imap.UID(i+1)]; !bytes.Equal(m, text) {
			t.Errorf("message %d: got %d octets, want %d", i, len(m), len(text))
		}
	}
	do(t, c.Noop(limit(t)), c.Logout(limit(t)))
}

// noise is a message of about n octets that are not worth compressing.
func noise(n int) []byte {
	out := []byte("Subject: noise\r\n\r\n")
	for i := uint64(1); len(out) < n; i++ {
		out = fmt.Appendf(out, "%016x%016x\r\n", i*0x9e3779b97f4a7c15, i*i*0xbf58476d1ce4e5b9)
	}
	return out
}

// commandLog lists the IMAP commands that a server was given.
type commandLog struct {
	mu       sync.Mutex
	commands []string
}

func (l *commandLog) Strike(e server.Event) server.Strike {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Protocol == "imap" {
		l.commands = append(l.commands, e.Command)
	}
	return server.Strike{}
}

// take returns the list and begins a new one.
func (l *commandLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.commands
	l.commands = nil
	return list
}

const mbsyncrc = `
IMAPAccount a
Host localhost
Port $imaps
User alice
Pass "ses ame"
SSLType IMAPS
CertificateFile $ca
Timeout 10
PipelineDepth %d

IMAPStore far
Account a

MaildirStore near
Path $dir/near/
Inbox $dir/near/INBOX

Channel c
Far :far:
Near :near:
Patterns INBOX
Sync All
SyncState *
`

// TestServeMbsyncCompressed has mbsync pull and push with COMPRESS=DEFLATE. It flushes partially, and then waits for
// the answer with up to seven bits of the flush unsent. Messages of many lengths try all of their numbers, with a wait
// after each message, before each literal, and with none.
func TestServeMbsyncCompressed(t *testing.T) {
	for _, c := range []struct {
		depth   int
		without []string
	}{{1, nil}, {1, []string{"LITERAL+", "LITERAL-"}}, {10, nil}} {
		t.Run(fmt.Sprintf("depth %d without %v", c.depth, c.without), func(t *testing.T) {
			log := &commandLog{}
			m := serveAll(t, func(o *server.Options) { o.Faults, o.Without = log, c.without })
			rc := m.config("mbsyncrc", fmt.Sprintf(mbsyncrc, c.depth))
			m.maildir("near/INBOX")
			want := letters()
			m.put("INBOX", want...)
			m.run("", "mbsync", "-c", rc, "c")
			sameTexts(t, "pulled", withoutTUID(m.files("near/INBOX/*/*")), want)
			wantCompressed(t, log.take(), "UID FETCH", len(want))
			for i := range 150 {
				text := fmt.Sprintf("From: Bob <bob@example.org>\r\nTo: alice@example.org\r\nSubject: number %d\r\n\r\n%s\r\n", i, noise(50 + 37*i)[20:])
				m.write(fmt.Sprintf("near/INBOX/new/%d.1.example", i+1), strings.ReplaceAll(text, "\r\n", "\n"))
				want = append(want, text)
			}
			m.run("", "mbsync", "-c", rc, "c")
			wantCompressed(t, log.take(), "APPEND", 150)
			sameTexts(t, "pushed", withoutTUID(m.texts("INBOX")), want)
		})
	}
}

// wantCompressed checks that COMPRESS came before at least n of a command, and a LOGOUT behind them.
func wantCompressed(t *testing.T, used []string, command string, n int) {
	t.Helper()
	used = used[max(0, slices.Index(used, "COMPRESS")):]
	got := 0
	for _, name := range used {
		if name == command {
			got++
		}
	}
	if used[0] != "COMPRESS" || used[len(used)-1] != "LOGOUT" || got < n {
		t.Errorf("got commands %q, want COMPRESS, %d %s and LOGOUT", used, n, command)
	}
}

// withoutTUID takes out the lines by which mbsync finds what it pushed.
func withoutTUID(texts []string) []string {
	for i, text := range texts {
		if before, rest, ok := strings.Cut(text, "X-TUID: "); ok {
			_, rest, _ = strings.Cut(rest, "\n")
			texts[i] = before + rest
		}
	}
	return texts
}
