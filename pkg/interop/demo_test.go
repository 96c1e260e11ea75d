package interop_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// TestDemo runs what `make demo` runs, with nothing but the binary and a shell.
func TestDemo(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("..", "..", "cmd", "mail", "demo.sh"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := interop.Command(t, "sh", script)
	cmd.Env = []string{"PATH=" + filepath.Dir(interop.Binary(t)) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "LC_ALL=C.UTF-8"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"the photo is the same", "got/menu du jour — été.txt", "À-lire/2026\t", "Crêpes à midi 🥞", "550 5.7.1", "status 67", "What to try next"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo never printed %q:\n%s", want, out.String())
		}
	}
}
