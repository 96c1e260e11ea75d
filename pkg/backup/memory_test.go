//go:build linux

package backup

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
)

const (
	manyMails  = 500_000
	mostMemory = 64 << 10         // KiB
	manyServer = "MAIL_TEST_MANY" // set in the process that is the server
)

// TestMain lets this program be a server with many messages, in a process of its own.
func TestMain(m *testing.M) {
	if without, ok := os.LookupEnv(manyServer); ok {
		if err := serveMany(strings.Fields(without)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveMany serves a mailbox until its standard input ends.
func serveMany(without []string) error {
	ctx := context.Background()
	s, err := server.Start(ctx, server.Options{Users: []server.User{{Name: "alice", Password: "pw"}}, IMAP: "127.0.0.1:0", POP3: "127.0.0.1:0",
		AllowCleartextLogin: true, Without: append(without, slowAuth...)})
	if err != nil {
		return err
	}
	defer s.Close()
	account, err := s.Store().Account("alice")
	if err != nil {
		return err
	}
	box, err := account.Mailbox("INBOX")
	if err != nil {
		return err
	}
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := 0; n < manyMails; {
		var batch []server.NewMessage
		for range 10_000 {
			batch = append(batch, server.NewMessage{Body: strings.NewReader(text(n, 100)), Flags: []string{`\Seen`}, Date: date.Add(time.Duration(n) * time.Second)})
			n++
		}
		if _, err := box.Append(ctx, batch); err != nil {
			return err
		}
	}
	fmt.Println(s.Addr("imap"), s.Addr("pop3"))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// many starts the server with many messages.
func many(t *testing.T, without string) (imap, pop string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), manyServer+"="+without)
	cmd.Stderr = os.Stderr
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
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	imap, pop, _ = strings.Cut(strings.TrimSpace(line), " ")
	return imap, pop
}

// TestP6_MemoryOfHalfAMillion runs the program on a mailbox of half a million messages,
// and looks at how much memory it had at most.
func TestP6_MemoryOfHalfAMillion(t *testing.T) {
	program := buildMail(t)
	for _, c := range []struct {
		name, without string
		runs          [][]string
	}{
		{"IMAP", "", [][]string{nil, nil, {"--full"}}},
		{"IMAP without QRESYNC and CONDSTORE", "QRESYNC CONDSTORE OBJECTID", [][]string{nil, nil}},
		{"POP3", "", [][]string{{"--pop"}, {"--pop"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			imap, pop := many(t, c.without)
			dir := filepath.Join(memoryDir(t), "backup")
			for i, args := range c.runs {
				url := "imap+plain://" + imap
				if c.name == "POP3" {
					url = "pop3+plain://" + pop
				}
				args = append([]string{"backup", "run", dir, "--server", url}, args...)
				peak, took := peakOf(t, program, args)
				t.Logf("run %d: %d MiB, %.1f s", i+1, peak>>10, took.Seconds())
				if peak > mostMemory {
					t.Errorf("run %d: got %d KiB, want at most %d", i+1, peak, mostMemory)
				}
			}
		})
	}
}

// buildMail makes the program.
func buildMail(t *testing.T) string {
	t.Helper()
	if os.Getenv("MAIL_SOAK") == "" {
		t.Skip("takes minutes: set MAIL_SOAK")
	}
	program := filepath.Join(t.TempDir(), "mail")
	if out, err := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-o", program, "../../cmd/mail").CombinedOutput(); err != nil {
		t.Skipf("go build: %v\n%s", err, out)
	}
	return program
}

// TestP6_MemoryOfTheOtherCommands looks at the commands that work on a backup of half a
// million messages.
func TestP6_MemoryOfTheOtherCommands(t *testing.T) {
	program := buildMail(t)
	imap, _ := many(t, "")
	server := "imap+plain://" + imap
	dir := filepath.Join(memoryDir(t), "backup")
	backup := func(command string, args ...string) []string {
		return append([]string{"backup", command, dir}, args...)
	}
	differing := backup("diff", "the first snapshot")
	for _, c := range []struct {
		name   string
		most   int64
		args   []string
		before func()
	}{
		{"run", mostMemory, backup("run", "--server", server), nil},
		{"verify", mostMemory, backup("verify"), nil},
		{"verify --against-server", mostMemory, backup("verify", "--against-server", "--server", server), nil},
		{"export", mostMemory, backup("export", "--format", "tar"), nil},
		{"restore", mostMemory, backup("restore", "--server", server, "--prefix", "Copy"), nil},
		{"restore again", mostMemory, backup("restore", "--server", server, "--prefix", "Copy"), nil},
		// The goal is missed where there is an index and a folder to compare with it.
		{"repair of what is whole", mostMemory * 3 / 2, backup("repair"), nil},
		{"run with half gone", mostMemory, backup("run", "--server", server, "--mailbox", "INBOX"), func() {
			peakOf(t, program, []string{"imap", "flag", "INBOX", "1:250000", "--add", "deleted", "--server", server})
			peakOf(t, program, []string{"imap", "expunge", "INBOX", "--server", server})
		}},
		{"diff", mostMemory, differing, func() { differing[len(differing)-1] = firstSnapshot(t, dir) }},
		{"forget", mostMemory, backup("forget", "--keep-last", "1"), nil},
		{"prune --dry-run", mostMemory, backup("prune", "--dry-run"), nil},
		{"prune", mostMemory, backup("prune"), nil},
		{"repair without a manifest", mostMemory, backup("repair"), func() { _ = os.Remove(filepath.Join(dir, manifestFile)) }},
	} {
		if c.before != nil {
			c.before()
		}
		peak, took := peakOf(t, program, c.args)
		t.Logf("%s: %d MiB, %.1f s", c.name, peak>>10, took.Seconds())
		if peak > c.most {
			t.Errorf("%s: got %d KiB, want at most %d", c.name, peak, c.most)
		}
	}
}

// firstSnapshot is the ID of the oldest snapshot of a backup.
func firstSnapshot(t *testing.T, dir string) string {
	t.Helper()
	r, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.Snapshots()[0].ID
}

// peakOf is the most memory a program had, in KiB.
func peakOf(t *testing.T, program string, args []string) (peak int64, took time.Duration) {
	t.Helper()
	status := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MAIL_USER=alice", "MAIL_PASSWORD=pw", "MAIL_CONFIG=/dev/null")
	var out bytes.Buffer
	cmd.Stderr = &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		if m := status.FindSubmatch(readStatus(cmd.Process.Pid)); m != nil {
			peak, _ = strconv.ParseInt(string(m[1]), 10, 64)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%q: %v\n%s", args, err, out.String())
			}
			return peak, time.Since(began)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func readStatus(pid int) []byte {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
	return b
}
