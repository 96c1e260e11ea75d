package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
)

// TestPopFetch fetches from Dovecot into every kind of store: once, then what is new, then everything is deleted.
func TestPopFetch(t *testing.T) {
	for _, kind := range []string{"maildir", "mbox", "eml"} {
		t.Run(kind, func(t *testing.T) {
			s, d, user, messages := popShell(t)
			dest := kind + ":" + filepath.Join(s.dir, "box")
			if paths := strings.Fields(s.run(nil, "pop", "fetch", "-o", dest, "--limit", "3")); len(paths) != 3 {
				t.Errorf("got %q, want three paths", paths)
			}
			late := []byte("Subject: late\r\n\r\nFrom here\r\n")
			d.Put(t, user, late)
			if paths := strings.Fields(s.run(nil, "pop", "fetch", "-o", dest, "--keep-days", "1")); len(paths) != 2 {
				t.Errorf("got %q, want two paths", paths)
			}
			if got := s.run(nil, "pop", "stat"); !strings.HasPrefix(got, "5 ") {
				t.Errorf("got %q, want all on the server", got)
			}
			if out := s.run(nil, "pop", "fetch", "-o", dest, "--delete", "--json"); strings.Count(out, `"deleted":true}`) != 5 || strings.Contains(out, "path") {
				t.Errorf("got %q, want five deleted", out)
			}
			if got := s.run(nil, "pop", "stat"); got != "0 0\n" {
				t.Errorf("got %q, want nothing on the server", got)
			}
			if out := s.run(nil, "pop", "fetch", "-o", dest, "--delete"); out != "" {
				t.Errorf("got %q, want nothing", out)
			}
			got, want := fetchedTexts(t, kind, filepath.Join(s.dir, "box")), []string{string(late)}
			for _, m := range messages {
				want = append(want, string(m))
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// fetchedTexts are the messages at a destination in wire form, sorted; none when it is not there.
func fetchedTexts(t *testing.T, kind, path string) []string {
	t.Helper()
	messages := store.ReadMaildir(path)
	switch kind {
	case "eml":
		messages = store.ReadEML(path)
	case "mbox":
		f, err := os.ReadFile(path)
		if err != nil || len(f) == 0 {
			return nil
		}
		messages = store.ReadMbox(bytes.NewReader(f))
	}
	var texts []string
	for m, err := range messages {
		if errors.Is(err, os.ErrNotExist) {
			break
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

// maildrop is our own server with alice's maildrop, which the test fills and looks into.
type maildrop struct {
	srv   *server.Server
	inbox server.Mailbox
	env   []string
	sent  []string
}

func newMaildrop(t *testing.T) *maildrop {
	t.Helper()
	srv, err := server.Start(context.Background(), server.Options{
		Users: []server.User{{Name: "alice", Password: "sesame"}}, POP3: "127.0.0.1:0", AllowCleartextLogin: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	account, err := srv.Store().Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	m := &maildrop{srv: srv, env: []string{"PATH=" + os.Getenv("PATH"), "MAIL_PASSWORD=sesame", "MAIL_POP=pop3+plain://alice@" + srv.Addr("pop3")}}
	if m.inbox, err = account.Mailbox("INBOX"); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *maildrop) add(t *testing.T, n int) {
	t.Helper()
	var added []server.NewMessage
	for range n {
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s", len(m.sent), strings.Repeat(".line\r\n", rand.IntN(1<<rand.IntN(14))))
		m.sent = append(m.sent, text)
		added = append(added, server.NewMessage{Body: strings.NewReader(text)})
	}
	if _, err := m.inbox.Append(context.Background(), added); err != nil {
		t.Fatal(err)
	}
}

// left are the messages on the server.
func (m *maildrop) left(t *testing.T) map[string]bool {
	t.Helper()
	left := map[string]bool{}
	for _, info := range m.inbox.Messages() {
		body, err := m.inbox.Open(info.UID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		left[string(text)] = true
	}
	return left
}

// checkFetched checks that every message is on the server or stored, and with all that all are stored once and deleted.
func (m *maildrop) checkFetched(t *testing.T, kind, path string, all bool) {
	t.Helper()
	stored, left := fetchedTexts(t, kind, path), m.left(t)
	for _, text := range m.sent {
		if _, found := slices.BinarySearch(stored, text); !found && !left[text] {
			t.Errorf("%.20q is lost", text)
		}
	}
	want := slices.Sorted(slices.Values(m.sent))
	if all && (len(left) > 0 || !slices.Equal(stored, want)) {
		t.Errorf("%d messages are stored and %d left, want %d, each once", len(stored), len(left), len(want))
	}
}

// fetch starts `mail pop fetch --delete`.
func (m *maildrop) fetch(t *testing.T, words *strings.Builder, args ...string) *exec.Cmd {
	t.Helper()
	cmd := interop.Command(t, interop.Binary(t), append([]string{"pop", "fetch", "--delete"}, args...)...)
	cmd.Env, cmd.Stderr = m.env, words
	return cmd
}

// TestP5_PopFetchKilled kills `pop fetch --delete` at random moments: nothing is lost, and nothing is stored twice.
// MAIL_SOAK=1 makes it longer.
func TestP5_PopFetchKilled(t *testing.T) {
	rounds := 60
	switch {
	case os.Getenv("MAIL_SOAK") != "":
		rounds = 2000
	case testing.Short():
		rounds = 8
	}
	for _, kind := range []string{"maildir", "mbox", "eml"} {
		t.Run(kind, func(t *testing.T) {
			m, dir := newMaildrop(t), t.TempDir()
			box := filepath.Join(dir, "box")
			args := []string{"-o", kind + ":" + box, "--state", filepath.Join(dir, "state")}
			var words strings.Builder
			killed, took := 0, 100*time.Millisecond
			for i := 0; i < rounds || killed < rounds/4 && i < 10*rounds; i++ {
				m.add(t, 1+rand.IntN(20))
				cmd := m.fetch(t, &words, args...)
				begun := time.Now()
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				signal := []os.Signal{os.Kill, os.Kill, syscall.SIGTERM}[rand.IntN(3)]
				end := time.AfterFunc(time.Duration(rand.Int64N(int64(took))), func() { _ = cmd.Process.Signal(signal) })
				err := cmd.Wait()
				end.Stop()
				switch code := cmd.ProcessState.ExitCode(); {
				case err == nil: // it was faster
					took = (3*took + time.Since(begun)) / 4
				case cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled(), signal == syscall.SIGTERM && code == 143:
					killed++
				case code != 75: // the session of the last one may not have ended
					t.Fatalf("status %d: %s", code, words.String())
				}
				m.checkFetched(t, kind, box, false)
			}
			for range 100 {
				words.Reset()
				if err := m.fetch(t, &words, args...).Run(); err == nil {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			m.checkFetched(t, kind, box, true)
			if t.Logf("%d kills, %d messages", killed, len(m.sent)); killed < rounds/4 {
				t.Errorf("got %d kills in %d rounds", killed, rounds)
			}
		})
	}
}

// TestL1_PopFetchDiskFull fetches to file systems that are too small, for the messages or for the state, and then have
// room: nothing is deleted before it is stored, and nothing is stored twice.
func TestL1_PopFetchDiskFull(t *testing.T) {
	for _, kind := range []string{"maildir", "mbox", "eml"} {
		for _, full := range []string{"box", "state"} {
			t.Run(kind+" "+full, func(t *testing.T) {
				m, dir := newMaildrop(t), t.TempDir()
				small := filepath.Join(dir, "small")
				if err := os.Mkdir(small, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
					t.Skipf("cannot mount a small file system: %v", err)
				}
				defer func() { _ = syscall.Unmount(small, 0) }()
				m.add(t, 40)
				paths := map[string]string{"box": filepath.Join(dir, "box"), "state": filepath.Join(dir, "state")}
				paths[full] = filepath.Join(small, full)
				if full == "state" { // no room at all
					if err := os.WriteFile(filepath.Join(small, "fill"), make([]byte, 60<<10), 0o600); err != nil {
						t.Fatal(err)
					}
					m.add(t, 300)
				} else {
					m.sent = append(m.sent, "Subject: big\r\n\r\n"+strings.Repeat("x\r\n", 40000))
					if _, err := m.inbox.Append(context.Background(), []server.NewMessage{{Body: strings.NewReader(m.sent[40])}}); err != nil {
						t.Fatal(err)
					}
				}
				args := []string{"-o", kind + ":" + paths["box"], "--state", paths["state"]}
				for range 2 {
					var words strings.Builder
					cmd := m.fetch(t, &words, args...)
					_ = cmd.Run()
					if code := cmd.ProcessState.ExitCode(); code != 74 || !strings.Contains(words.String(), "no space left") {
						t.Fatalf("status %d: %s", code, words.String())
					}
					if left := len(m.left(t)); left != len(m.sent) {
						t.Errorf("%d of %d messages are left on the server", left, len(m.sent))
					}
				}
				if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
					t.Skipf("cannot make the file system larger: %v", err)
				}
				var words strings.Builder
				if err := m.fetch(t, &words, args...).Run(); err != nil {
					t.Fatalf("%v: %s", err, words.String())
				}
				m.checkFetched(t, kind, paths["box"], true)
			})
		}
	}
}
