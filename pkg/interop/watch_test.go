package interop

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWatchStops shows that the end of a watched process also removes its folder.
func TestWatchStops(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder with 'quotes'")
	log := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := watch(dir, log, "sh", "-c", "echo started; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); !strings.Contains(tail(log), "started") && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	begin := time.Now()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 60*time.Second {
		t.Errorf("it took %v to stop", d)
	}
	if got := tail(log); !strings.Contains(got, "started") {
		t.Errorf("got log %q, want started in it", got)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the folder gone", err)
	}
}

// TestWatchEnds shows that a server which ends by itself is noticed at once.
func TestWatchEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := watch(dir, os.DevNull, "false")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := awaitGreeting(p, "127.0.0.1:1", "x"); err == nil || time.Since(begin) > startLimit/3 {
		t.Errorf("got %v after %v, want an error soon", err, time.Since(begin))
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := program("no-such-mail-server")
	missing, ok := errors.AsType[*notInstalled](err)
	if want := "no-such-mail-server is not installed"; !ok || missing.reason != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestGreetingOfAnother tells a server that took our port from our own.
func TestGreetingOfAnother(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("SSH-2.0 hello\r\n"))
		_ = c.Close()
	}()
	if err := greeting(l.Addr().String(), "220 "); err == nil || !strings.Contains(err.Error(), `"SSH-"`) {
		t.Errorf("got %v, want an error that quotes the greeting", err)
	}
}

// TestSharedServers gives every caller the same server.
func TestSharedServers(t *testing.T) {
	if a, b := Dovecot(t), Dovecot(t); a != b {
		t.Errorf("got two servers, %s and %s", a.IMAP, b.IMAP)
	}
	p := Postfix(t)
	if p.CA != Dovecot(t).CA || Postfix(t) != p {
		t.Error("got another server or authority at the second call")
	}
	a, b := Dovecot(t).AddUser(t), Dovecot(t).AddUser(t)
	if a.Name == b.Name {
		t.Errorf("got the user %s twice", a.Name)
	}
}
