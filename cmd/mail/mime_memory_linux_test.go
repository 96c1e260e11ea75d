package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
)

const (
	mimeMemory  = 16 << 20   // octets of resident memory to pack and unpack a message,
	ownMemory   = 10 << 20   // of a program that has so much when it does nothing: that is the system's doing
	programSize = 15_000_000 // octets of the program on linux/amd64
)

// buildProgram builds the program as `make build` does.
func buildProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program")
	}
	program := filepath.Join(t.TempDir(), "mail")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w -buildid=", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("go build: %v\n%s", err, out)
	}
	return program
}

// TestProgramSize holds the size of the program. Whatever looks for a method by its name, as text/template does, keeps the linker from
// dropping any method of any type.
func TestProgramSize(t *testing.T) {
	octets, err := os.ReadFile(buildProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(octets) > programSize {
		t.Errorf("the program has %d octets, want at most %d", len(octets), programSize)
	}
	if bytes.Contains(octets, []byte("text/template.(*state).evalField")) {
		t.Error("text/template can be reached, and with it every method")
	}
}

// TestP6_MimeMemory packs and unpacks a message of one large part and one of many small parts.
func TestP6_MimeMemory(t *testing.T) {
	program := buildProgram(t)
	if err := exec.Command(program, "--version").Run(); err != nil {
		t.Skip("the program does not run here:", err)
	}
	most := int64(mimeMemory)
	if own := peakOf(t, os.DevNull, program, []string{"--version"}); own > ownMemory {
		t.Logf("the program alone has %d KiB", own>>10)
		most += own - ownMemory
	}
	for _, c := range []struct {
		name        string
		files, size int
	}{
		{"one file of 64 MB", 1, 64 << 20},
		{"10,000 files", 10000, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for i := range c.files {
				content := bytes.Repeat([]byte{byte(i), byte(i >> 8), 0xff}, c.size/3)
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%05d.bin", i)), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			packed := filepath.Join(t.TempDir(), "packed.eml")
			for _, args := range [][]string{
				{"pack", "--attach", filepath.Join(dir, "*.bin")},
				{"unpack", "--max-parts", "20000", "-C", filepath.Join(t.TempDir(), "unpacked"), packed},
			} {
				peak := int64(1) << 62
				for range 3 { // a busy machine adds to it
					peak = min(peak, peakOf(t, packed, program, append([]string{"mime"}, args...)))
				}
				t.Logf("%s: %d KiB", args[0], peak>>10)
				if peak == 0 || peak > most {
					t.Errorf("%s took %d KiB of memory, want at most %d", args[0], peak>>10, most>>10)
				}
			}
		})
	}
}

// peakOf is the most memory that a program had, in octets. What it prints goes to the file out if that is not there yet.
func peakOf(t *testing.T, out, program string, args []string) (peak int64) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		defer f.Close() //nolint:errcheck // read by the next command
		cmd.Stdout = f
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		peak = max(peak, interop.Memory(cmd.Process.Pid, "VmHWM"))
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%q: %v", args, err)
			}
			return peak
		case <-time.After(time.Millisecond):
		}
	}
}
