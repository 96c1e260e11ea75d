package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
)

const (
	idleSessions = 1000
	idleLimit    = int64(200e6) // octets of VmRSS
	idleChild    = "MAIL_TEST_IDLE_SERVER"
)

// idleUser is the user of the nth session: a maildrop is open in one of POP3 at a time.
func idleUser(n int) string { return "user" + strconv.Itoa(n) }

// TestV_IdleSessionsRSS holds the resident memory of a server process with 1,000 idle sessions, under TLS and logged
// in, below 200 MB.
func TestV_IdleSessionsRSS(t *testing.T) {
	if os.Getenv(idleChild) != "" {
		serveIdle(t)
		return
	}
	if testing.Short() {
		t.Skip("opens thousands of TLS sessions")
	}
	for _, proto := range []string{"smtps", "pop3s", "imaps"} {
		t.Run(proto, func(t *testing.T) {
			addr, pid := startIdle(t, proto)
			before := interop.Memory(pid, "VmRSS")
			for n := range idleSessions {
				idleSession(t, proto, addr, idleUser(n))
			}
			got := interop.Memory(pid, "VmRSS")
			t.Logf("%d sessions: %d MB, %d MB before them", idleSessions, got/1e6, before/1e6)
			if min(before, got) == 0 || got > idleLimit {
				t.Errorf("%d idle sessions: VmRSS is %d MB after %d, want at most %d", idleSessions, got/1e6, before/1e6, idleLimit/1e6)
			}
		})
	}
}

// serveIdle is the server process: it tells its addresses and serves until its standard input ends.
func serveIdle(t *testing.T) {
	o := Options{SMTPS: "127.0.0.1:0", POP3S: "127.0.0.1:0", IMAPS: "127.0.0.1:0"}
	for n := range idleSessions {
		o.Users = append(o.Users, User{Name: idleUser(n), Password: "sesame"})
	}
	srv, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	fmt.Println("listening", srv.Addr("smtps"), srv.Addr("pop3s"), srv.Addr("imaps"))
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// startIdle runs the server as a process of its own, for the length of the test.
func startIdle(t *testing.T, proto string) (addr string, pid int) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestV_IdleSessionsRSS$")
	cmd.Env = append(os.Environ(), idleChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 4 || words[0] != "listening" {
		t.Fatalf("the server says %q (%v)", line, err)
	}
	return words[map[string]int{"smtps": 1, "pop3s": 2, "imaps": 3}[proto]], cmd.Process.Pid
}

// idleSession logs a user in and leaves the connection open.
func idleSession(t *testing.T, proto, addr, user string) {
	t.Helper()
	nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.NetConn().Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00sesame"))
	commands := map[string]string{"smtps": "EHLO x\r\nAUTH PLAIN " + plain + "\r\n", "pop3s": "AUTH PLAIN " + plain + "\r\n",
		"imaps": "1 AUTHENTICATE PLAIN " + plain + "\r\n2 SELECT INBOX\r\n"}
	if _, err := nc.Write([]byte(commands[proto])); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(nc, 512)
	done := map[string]string{"smtps": "235 ", "pop3s": "+OK maildrop", "imaps": "2 OK"}
	for line := ""; !strings.HasPrefix(line, done[proto]); {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}
