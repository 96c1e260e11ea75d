package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
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
