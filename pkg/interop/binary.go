package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Binary builds cmd/mail, static as it is installed, once in a test process, and
// returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	binary.once.Do(buildBinary)
	require(t, binary.err)
	return binary.path
}

// Command is a program that is killed when it runs for two minutes (ten with
// MAIL_SOAK, whose cases are longer) or the test ends.
// Its Wait does not wait for what the program has started and left behind with its
// streams.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	limit := 2 * time.Minute
	if os.Getenv("MAIL_SOAK") != "" {
		limit *= 5
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func buildBinary() {
	goTool, err := exec.LookPath("go")
	if err != nil {
		binary.err = &notInstalled{"the go tool is not installed"}
		return
	}
	if binary.dir, binary.err = os.MkdirTemp("", "mail-binary-"); binary.err != nil {
		return
	}
	if binary.err = keep(binary.dir); binary.err != nil {
		return
	}
	binary.path = filepath.Join(binary.dir, "mail")
	cmd := exec.Command(goTool, "build", "-trimpath", "-o", binary.path, "github.com/mail-toolkit/mail/cmd/mail")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		binary.err = fmt.Errorf("go build cmd/mail: %w\n%s", err, out)
	}
}

// keep puts dir in the care of a watcher that has no real server: it removes the
// folder when the test process ends.
func keep(dir string) error {
	p, err := watch(dir, os.DevNull, "sleep", "100000")
	if err == nil {
		started.push(p)
	}
	return err
}
