package interop_test

import (
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// memoryGoal is what one message of any size may take, in octets of resident memory.
const memoryGoal = 32 << 20

// measured is one command over a large message.
type measured struct {
	name  string
	stdin string // file
	args  []string
	out   string // file for standard output; "" = thrown away
}

// largeMessage is what one message goes through. It needs big.bin in the shell's folder.
func largeMessage(s *shell, user interop.User) []measured {
	return []measured{
		{"pack", "", []string{"mime", "pack", "-s", "big", "--from", user.Address, "--to", user.Address, "--attach", "big.bin"}, "big.eml"},
		{"unpack", "big.eml", []string{"mime", "unpack", "-C", "unpacked", "--max-bytes", "4G"}, ""},
		{"send", "big.eml", []string{"send", "alice@" + interop.DiscardDomain}, ""},
		{"append", "big.eml", []string{"imap", "append", "INBOX"}, ""},
		{"fetch", "", []string{"imap", "fetch", "INBOX", "1"}, "fetched.eml"},
		{"fetch to a maildir", "", []string{"imap", "fetch", "INBOX", "1", "-o", "maildir:box"}, ""},
		{"fetch one part", "", []string{"imap", "fetch", "INBOX", "1", "--part", "1"}, "part.bin"},
		{"retr", "", []string{"pop", "retr", "1"}, "retrieved.eml"},
	}
}

// measure runs one command and returns its largest resident set in octets, and its time. The kernel's accounting of a
// finished child counts what its parent had in memory when it started the child, so the high-water mark is read while
// the command runs.
func (s *shell) measure(tb testing.TB, m measured) (memory int64, took time.Duration) {
	tb.Helper()
	cmd := interop.Command(tb, s.path, m.args...)
	cmd.Dir, cmd.Env, cmd.Stderr = s.dir, s.env, os.Stderr
	if m.stdin != "" {
		in, err := os.Open(filepath.Join(s.dir, m.stdin))
		if err != nil {
			tb.Fatal(err)
		}
		defer in.Close()
		cmd.Stdin = struct{ io.Reader }{in} // a pipe, as in a pipeline
	}
	if m.out != "" {
		out, err := os.Create(filepath.Join(s.dir, m.out))
		if err != nil {
			tb.Fatal(err)
		}
		defer out.Close()
		cmd.Stdout = out
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil || memory == 0 {
				tb.Fatalf("mail %q: %v, memory %d", m.args, err, memory)
			}
			return memory, time.Since(start)
		case <-time.After(2 * time.Millisecond):
			memory = max(memory, interop.Memory(cmd.Process.Pid, "VmHWM"))
		}
	}
}

// writeRandom makes a file that does not compress.
func writeRandom(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{2}), size); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

func sameFiles(tb testing.TB, a, b string) {
	tb.Helper()
	if out, err := exec.Command("cmp", a, b).CombinedOutput(); err != nil {
		tb.Errorf("%s%v", out, err)
	}
}

// checkLarge compares what came back.
func (s *shell) checkLarge(tb testing.TB) {
	tb.Helper()
	in := func(name string) string { return filepath.Join(s.dir, name) }
	sameFiles(tb, in("big.bin"), in("unpacked/big.bin"))
	sameFiles(tb, in("big.bin"), in("part.bin"))
	sameFiles(tb, in("big.eml"), in("fetched.eml"))
}

// TestMemory moves a message of 86 MB through every command that carries messages.
func TestMemory(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	writeRandom(t, filepath.Join(s.dir, "big.bin"), 64<<20)
	for _, m := range largeMessage(s, user) {
		if memory, _ := s.measure(t, m); memory > memoryGoal {
			t.Errorf("%s took %d MB of memory, want at most %d", m.name, memory>>20, memoryGoal>>20)
		}
	}
	s.checkLarge(t)
}

// BenchmarkGigabyte does the same with a message of 1 GB and prints what it took.
func BenchmarkGigabyte(b *testing.B) {
	const size = 740_000_000 // 1,000 MB as base64
	user := interop.Dovecot(b).AddUser(b)
	s := newShell(b, user)
	writeRandom(b, filepath.Join(s.dir, "big.bin"), size)
	for _, m := range largeMessage(s, user) {
		b.Run(m.name, func(b *testing.B) {
			var memory int64
			var took time.Duration
			for b.Loop() {
				memory, took = s.measure(b, m)
			}
			b.ReportMetric(float64(memory)/(1<<20), "MB-memory")
			b.ReportMetric(1000/took.Seconds(), "MB/s")
			if memory > memoryGoal {
				b.Errorf("%s took %d MB of memory, want at most %d", m.name, memory>>20, memoryGoal>>20)
			}
		})
	}
	s.checkLarge(b)
}
