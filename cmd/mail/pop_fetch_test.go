package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/popfetch"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// fetchBox is our own server with alice's maildrop.
type fetchBox struct {
	*server.Server
	inbox server.Mailbox
}

func serveFetch(t *testing.T, without ...string) *fetchBox {
	t.Helper()
	srv, err := server.Start(context.Background(), server.Options{
		Users: []server.User{{Name: "alice", Password: "s3kret"}}, POP3: "127.0.0.1:0", AllowCleartextLogin: true,
		Without: append(without, "SASL", "APOP", "UTF8", "LANG"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	account, err := srv.Store().Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	b := &fetchBox{Server: srv}
	if b.inbox, err = account.Mailbox("INBOX"); err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes these messages, and no others, be in the maildrop.
func (b *fetchBox) fill(t *testing.T, messages []string) {
	t.Helper()
	var old []uint32
	for _, m := range b.inbox.Messages() {
		old = append(old, m.UID)
	}
	added := make([]server.NewMessage, len(messages))
	for i, m := range messages {
		added[i] = server.NewMessage{Body: strings.NewReader(m), Date: time.Unix(1_800_000_000, 0)}
	}
	_, err := b.inbox.Expunge(old)
	if err == nil {
		_, err = b.inbox.Append(context.Background(), added)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// texts are the messages on the server.
func (b *fetchBox) texts(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, m := range b.inbox.Messages() {
		body, err := b.inbox.Open(m.UID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// fetchFrom runs `mail pop fetch` against the server at addr, again while that has not seen the end of the session before.
func fetchFrom(addr string, words ...string) (code int, stdout, stderr string) {
	words = append([]string{"mail", "pop", "fetch", "--server", "pop3+plain://alice@" + addr}, words...)
	for range 200 {
		e, out, errs := testEnv("")
		e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.popCommand()} }
		e.getenv = func(name string) string { return map[string]string{"MAIL_PASSWORD": "s3kret"}[name] }
		code = run(context.Background(), e, words)
		if stdout, stderr = out.String(), errs.String(); code != 75 || !strings.Contains(stderr, "IN-USE") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return code, stdout, stderr
}

// memoryDir is a folder without a disk below it, where there is one: thousands of syncs take their time.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mail-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// wireTexts are the messages of a Maildir, sorted.
func wireTexts(t *testing.T, dir string) []string {
	t.Helper()
	var texts []string
	for m, err := range store.ReadMaildir(dir) {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m.Wire())
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	return texts
}

// fetchMessages have the same text twice: only their ids tell the two apart.
var fetchMessages = []string{"Subject: one\r\n\r\n.dot\r\n", "Subject: three\r\n\r\nx\r\n", "Subject: two\r\n\r\n\r\n", "Subject: two\r\n\r\n\r\n"}

// checkFetchCut runs `fetch --delete` over a connection that is cut, then over a whole one, and checks that nothing is
// lost and nothing stored twice. It reports whether the cut was before the end.
func checkFetchCut(t *testing.T, b *fetchBox, dir string, c wiretest.Cut) bool {
	t.Helper()
	b.fill(t, fetchMessages)
	r, where := c.Relay(t, b.Addr("pop3")), fmt.Sprintf("%+v", c)
	box, args := filepath.Join(dir, "box"), []string{"--delete", "--state", filepath.Join(dir, "state"), "-o", "maildir:" + filepath.Join(dir, "box")}
	defer func() {
		if err := errors.Join(os.RemoveAll(box), os.Remove(filepath.Join(dir, "state"))); err != nil {
			t.Error(err)
		}
	}()
	code, _, words := fetchFrom(r.Addr, args...)
	happened := r.Wait()
	if want := map[bool]int{true: 75, false: 0}[happened]; code != want {
		t.Errorf("%s: status %d, want %d: %s", where, code, want, words)
	}
	stored, left := wireTexts(t, box), b.texts(t)
	for _, m := range fetchMessages {
		if !slices.Contains(stored, m) && !slices.Contains(left, m) {
			t.Errorf("%s: %q is lost", where, m)
		}
	}
	if !happened && len(left) > 0 || len(left) < len(fetchMessages) && !slices.Equal(stored, fetchMessages) {
		t.Errorf("%s: the server has %q, the Maildir %q", where, left, stored)
	}
	if code, _, words := fetchFrom(b.Addr("pop3"), args...); code != 0 || strings.Contains(words, "mail:") {
		t.Errorf("%s: the next run ended with %d: %s", where, code, words)
	}
	if stored, left := wireTexts(t, box), b.texts(t); !slices.Equal(stored, fetchMessages) || len(left) > 0 {
		t.Errorf("%s: after the next run the Maildir has %q, the server %q", where, stored, left)
	}
	return happened
}

// TestR1_FetchCutAtEveryOctet cuts the connection of `fetch --delete` after each octet of either side.
func TestR1_FetchCutAtEveryOctet(t *testing.T) {
	for _, without := range []string{"PIPELINING", "UIDL", ""} {
		for _, upload := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("without %q, upload %v, reset %v", without, upload, reset), func(t *testing.T) {
					t.Parallel()
					b, dir := serveFetch(t, without), memoryDir(t)
					step := 1
					if testing.Short() {
						step = 7
					}
					n := 0
					for checkFetchCut(t, b, dir, wiretest.Cut{Upload: upload, At: n, Reset: reset}) {
						n += step
					}
					if n < 90 {
						t.Errorf("the session was over after %d octets", n)
					}
				})
			}
		}
	}
}

// TestR9_FetchTwiceAtOnce has a second run come while the first is at work.
func TestR9_FetchTwiceAtOnce(t *testing.T) {
	b, state := serveFetch(t), filepath.Join(t.TempDir(), "state")
	st, err := popfetch.OpenState(state)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, words := fetchFrom(b.Addr("pop3"), "--state", state); code != 75 || !strings.Contains(words, "another run") {
		t.Errorf("got %d, %q; want 75", code, words)
	}
	if code, _, words := fetchFrom(b.Addr("pop3"), "--state", state, "--dry-run"); code != 0 || words != "" {
		t.Errorf("a dry run beside it: got %d, %q; want 0", code, words)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	if code, _, words := fetchFrom(b.Addr("pop3"), "--state", state); code != 0 {
		t.Errorf("after it: got %d, %q; want 0", code, words)
	}
}

// TestO7_FetchToBrokenOutput takes messages whose output failed for not fetched.
func TestO7_FetchToBrokenOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	defer func() { _ = full.Close() }()
	b, state := serveFetch(t), filepath.Join(t.TempDir(), "state")
	b.fill(t, fetchMessages)
	e, _, words := testEnv("")
	e.stdout = full
	e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.popCommand()} }
	e.getenv = func(name string) string { return map[string]string{"MAIL_PASSWORD": "s3kret"}[name] }
	code := run(context.Background(), e, []string{"mail", "pop", "fetch", "--delete", "--state", state, "--server", "pop3+plain://alice@" + b.Addr("pop3")})
	if left := b.texts(t); code != 74 || len(left) != len(fetchMessages) || !strings.Contains(words.String(), "no space left") {
		t.Errorf("got %d, %q, and %d messages left; want 74 and all", code, words, len(left))
	}
	code, stdout, _ := fetchFrom(b.Addr("pop3"), "--delete", "--state", state)
	if left := b.texts(t); code != 0 || strings.Count(stdout, "\nSubject: ") != len(fetchMessages) || len(left) > 0 {
		t.Errorf("the next run: got %d, %q, and %d messages left; want all printed", code, stdout, len(left))
	}
}

func TestPopStateName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, tt := range map[string]struct {
		account, user, host string
		port                int
		want                string
	}{
		"account":   {"work", "alice", "POP.example.org", 995, "work,alice@pop.example.org"},
		"no name":   {"", "alice@example.org", "pop.example.org", 110, "alice@example.org@pop.example.org"},
		"port":      {"", "alice", "localhost", 10995, "alice@localhost,10995"},
		"path":      {"../../etc", "a/b", "::1", 995, "%2E.%2F..%2Fetc,a%2Fb@%3A%3A1"},
		"no prefix": {".hidden", "é", "h", 995, "%2Ehidden,%C3%A9@h"},
		"long":      {long, "alice", "h", 995, ""},
	} {
		target := &config.Target{Account: tt.account, Endpoint: wire.Endpoint{Host: tt.host, Port: tt.port}, Credentials: auth.Credentials{User: tt.user}}
		got := popStateName(target)
		if tt.want != "" && got != tt.want || len(got) > 230 || strings.ContainsAny(got, "/\x00") {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
