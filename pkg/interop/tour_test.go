package interop_test

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// labEnv is the file that a shell reads to work with the servers.
func labEnv(t *testing.T, dir, binary string) string {
	t.Helper()
	d, p := interop.Dovecot(t), interop.Postfix(t)
	user := d.AddUser(t)
	config := filepath.Join(dir, "lab.toml")
	if err := os.WriteFile(config, accountFile(user, d, p), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "lab.env")
	text := fmt.Sprintf("export MAIL_CONFIG='%s' LAB_PASSWORD='%s' ME='%s' NOBODY='%s' PATH='%s':\"$PATH\"\n",
		config, user.Password, user.Address, interop.Refused, filepath.Dir(binary))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLab keeps the servers up for a person at a shell, until it is interrupted: `make lab`.
func TestLab(t *testing.T) {
	binary := os.Getenv("MAIL_LAB")
	if binary == "" {
		t.Skip("MAIL_LAB, the path of the binary, is not set: see `make lab`")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	file := labEnv(t, filepath.Dir(binary), binary)
	defer os.Remove(filepath.Join(filepath.Dir(binary), "lab.toml"))
	defer os.Remove(file)
	fmt.Printf("ready: in another shell `. %s`; Ctrl-C ends it\n", file)
	<-stop
}

// tour takes the commands of the README's tour out of it.
func tour(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- tour -->")
	if !ok {
		t.Fatal("the README has no tour")
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var script strings.Builder
	for i, part := range strings.Split(rest, "```") {
		if i%2 == 1 {
			script.WriteString(strings.TrimPrefix(part, "sh\n"))
		}
	}
	return script.String()
}

// TestReadmeTour runs the README's tour as it is written. One command in it has to fail, and says so.
func TestReadmeTour(t *testing.T) {
	binary := interop.Binary(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	labEnv(t, filepath.Join(dir, "bin"), binary)
	script := "set -o pipefail\ntrap 'echo \"line $LINENO failed: $BASH_COMMAND\"' ERR\n" + tour(t)
	cmd := interop.Command(t, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + t.TempDir(), "LC_ALL=C.UTF-8"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v", err)
	}
	text := out.String()
	for line := range strings.Lines(text) {
		if strings.Contains(line, " failed: ") && !strings.Contains(line, "Who is there?") {
			t.Errorf("%s", line)
		}
	}
	for _, want := range []string{"季度报告", "status 4", "Übersicht 2026.pdf", "报告/2026", "550", "lab"} {
		if !strings.Contains(text, want) {
			t.Errorf("the tour never printed %q", want)
		}
	}
	if sums := sumsOf(text); len(sums) != 2 || sums[0] != sums[1] {
		t.Errorf("checksums %q, want two equal ones", sums)
	}
	if t.Failed() {
		t.Logf("the whole output:\n%s", text)
	}
}

// sumsOf finds the lines of sha256sum.
func sumsOf(text string) (sums []string) {
	for line := range strings.Lines(text) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && len(sum) == 64 && strings.HasSuffix(name, "data.bin") {
			sums = append(sums, sum)
		}
	}
	return sums
}
