package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// watcher is the shell program that owns a server. Its arguments are the server's
// folder and the server. When its standard input ends it ends the server, waits for it
// and removes the folder. When the server ends by itself, the watcher ends too and
// leaves the folder, for its log. Signals of a terminal are not for either.
const watcher = `trap '' INT HUP QUIT
dir=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & pid=$!
{ read -r end; : >"$dir/stop"; kill "$pid"; } <&3 2>/dev/null &
reader=$!
wait "$pid"
kill "$reader" 2>/dev/null
[ ! -e "$dir/stop" ] || rm -rf -- "$dir"`

// process is one watched server.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the watcher has ended
}

// watch starts a server in the foreground under the watcher; output goes to log.
func watch(dir, log string, argv ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("/bin/sh", append([]string{"-c", watcher, "sh", dir}, argv...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, "/"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	return p, nil
}

// stopLimit bounds the end of a server. Dovecot gives its processes 5 s to end and
// another 5 s to be killed.
const stopLimit = 30 * time.Second

// stop ends the server and waits for it.
func (p *process) stop() error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopLimit):
		return errors.New("the server does not stop")
	}
}

// stack holds what Main has to stop.
type stack struct {
	mu    sync.Mutex
	procs []*process
}

var started stack

func (s *stack) push(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = append(s.procs, p)
}

// stopAll stops all servers of this process.
func (s *stack) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		_ = p.stdin.Close() // so that all end at the same time
	}
	for _, p := range s.procs {
		if err := p.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
		}
	}
	s.procs = nil
}

// Main runs the tests of a package and then stops the servers that they started. Use
// it as the whole of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	started.stopAll()
	os.Exit(code)
}

// notInstalled is the reason to skip a test.
type notInstalled struct{ reason string }

func (e *notInstalled) Error() string { return e.reason }

// require turns the error of a start into a skip or a failure.
func require(t testing.TB, err error) {
	t.Helper()
	if missing, ok := errors.AsType[*notInstalled](err); ok {
		t.Skip(missing.reason)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// program finds an executable in PATH or among the system's own folders, which an
// ordinary user's PATH often lacks.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &notInstalled{name + " is not installed"}
}

// maxDir keeps the paths of unix sockets, 108 octets at most on Linux, inside the
// limit: the longest one below the folder has about 50.
const maxDir = 55

// tempDir makes a folder that other users can pass through.
func tempDir(pattern string) (string, error) {
	base := os.TempDir()
	if len(base)+len(pattern)+12 > maxDir {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, pattern)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// freePorts returns n loopback addresses that nobody listens on at the moment.
func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all are held until all are chosen
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// startLimit bounds the start of a server.
const startLimit = 15 * time.Second

// awaitGreeting waits until addr sends a line that begins with prefix, or the server
// ends.
func awaitGreeting(p *process, addr, prefix string) error {
	var last error
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		if last = greeting(addr, prefix); last == nil {
			return nil
		}
		select {
		case <-p.ended:
			return errors.New("the server ended at once")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %w", addr, last)
}

func greeting(addr, prefix string) error {
	c, err := net.DialTimeout("tcp4", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(startLimit))
	got := make([]byte, len(prefix))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != prefix {
		return fmt.Errorf("it greets with %q, not %q", got, prefix)
	}
	return nil
}

// tail returns the last lines of a log, for reports.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
