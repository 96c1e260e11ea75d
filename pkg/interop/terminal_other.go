//go:build !linux

package interop

import (
	"os/exec"
	"testing"
)

// OnTerminal skips the test: pseudo terminals are opened on Linux only.
func OnTerminal(t testing.TB, _ *exec.Cmd) ([]byte, error) {
	t.Helper()
	t.Skip("no pseudo terminals on this system")
	return nil, nil
}
