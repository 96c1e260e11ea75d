package interop_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// TestFullDisk fetches to a device without room and to a file system of 64 kB.
func TestFullDisk(t *testing.T) {
	user := interop.Dovecot(t).AddUser(t)
	s := newShell(t, user)
	big := "Subject: big\n\n" + strings.Repeat(strings.Repeat("x", 76)+"\n", 20000)
	s.run(strings.NewReader(big), "imap", "append", "INBOX")
	for _, args := range [][]string{{"imap", "fetch", "INBOX", "1"}, {"pop", "retr", "1"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skipf("no /dev/full: %v", err)
		}
		cmd := interop.Command(t, s.path, args...)
		cmd.Dir, cmd.Env, cmd.Stdout = s.dir, s.env, full
		var words strings.Builder
		cmd.Stderr = &words
		_ = cmd.Run()
		full.Close()
		if code := cmd.ProcessState.ExitCode(); code != 74 || !strings.Contains(words.String(), "no space left") {
			t.Errorf("mail %q: status %d, %s", args, code, words.String())
		}
	}
	small := filepath.Join(s.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	defer func() { _ = syscall.Unmount(small, 0) }()
	for _, dest := range []string{"maildir:small/box", "mbox:small/file", "eml:small/eml"} {
		for _, args := range [][]string{{"imap", "fetch", "INBOX", "1"}, {"pop", "retr", "1"}} {
			r := s.try(nil, append(args, "-o", dest)...)
			if r.code != 74 || r.stdout != "" || !strings.Contains(r.stderr, "no space left") {
				t.Errorf("mail %q -o %s: %v", args, dest, r)
			}
			if left := filesUnder(t, small); left != "" {
				t.Errorf("mail %q -o %s left %s", args, dest, left)
			}
		}
	}
}

// filesUnder lists the files with content.
func filesUnder(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 0 {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
