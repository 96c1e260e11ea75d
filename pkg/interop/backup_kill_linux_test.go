package interop_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killRounds is how often a test kills: MAIL_SOAK=1 makes it longer.
func killRounds() int {
	switch {
	case os.Getenv("MAIL_SOAK") != "":
		return 300
	case testing.Short():
		return 8
	}
	return 40
}

// killSome runs commands, which next gives, and kills them at random moments; it returns how often one was not faster. It
// goes on until that are a quarter of the rounds.
func killSome(t *testing.T, s *shell, rounds int, next func(i int) []string) int {
	t.Helper()
	killed, took := 0, 100*time.Millisecond
	for i := 0; i < rounds || killed < rounds/4 && i < 10*rounds; i++ {
		args := next(i)
		var words strings.Builder
		cmd := s.command(args...)
		cmd.Stderr = &words
		begun := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(time.Duration(rand.Int64N(int64(took))), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		end.Stop()
		switch {
		case err == nil: // it was faster
			took = (3*took + time.Since(begun)) / 4
		case cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled():
			killed++
			took += took / 10
		case cmd.ProcessState.ExitCode() == 75: // a login process of Dovecot aborts when a client vanishes, and others with it
		default:
			t.Fatalf("mail %q: %v: %s", args, err, words.String())
		}
	}
	return killed
}

// runLater is run for a command that may have to be tried again.
func (s *shell) runLater(args ...string) {
	s.t.Helper()
	var r result
	for range 10 {
		if r = s.try(nil, args...); r.code != 75 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if r.code != 0 {
		s.t.Fatalf("mail %q: %v", args, r)
	}
}

// TestP5_BackupKilled kills `backup run` at random moments while the account changes: after a run that is left alone
// everything is stored, sound, and once; what has been restored from it is the same, though that was killed too.
func TestP5_BackupKilled(t *testing.T) {
	onDovecot := func(t *testing.T, _ ...string) (account, account) { return dovecotAccount(t), dovecotAccount(t) }
	for name, c := range map[string]struct {
		accounts func(*testing.T, ...string) (account, account)
		format   string
	}{"serve": {served, "maildir"}, "dovecot": {onDovecot, "maildir"}, "mbox": {served, "mbox"}} {
		t.Run(name, func(t *testing.T) {
			a, other := c.accounts(t)
			s := a.shell(t, t.TempDir())
			rounds := killRounds()
			killed := killSome(t, s, rounds, func(i int) []string {
				if _, err := os.Stat(filepath.Join(s.dir, "mail", ".mail-backup", "settings.json")); i%8 == 0 && err == nil {
					s.run(nil, "backup", "verify", "mail")
				}
				a.change(t, 40, backupBoxes...)
				return []string{"backup", "run", "mail", "-q", "--format", c.format, "-j", fmt.Sprint(1 + i%3)}
			})
			s.runLater("backup", "run", "mail", "--format", c.format)
			checkBackup(t, s, a, "mail")
			want := a.contents(t)
			restore := other.shell(t, s.dir)
			restored := killSome(t, restore, max(rounds/4, 3), func(int) []string { return []string{"backup", "restore", "mail", "-q"} })
			restore.runLater("backup", "restore", "mail")
			compareMessages(t, "restored", other.contents(t), want)
			if t.Logf("%d kills while backing up, %d while restoring, %d messages", killed, restored, len(want)); killed < rounds/4 {
				t.Errorf("got %d kills in %d rounds", killed, rounds)
			}
		})
	}
}

// TestP5_BackupForgetKilled kills `backup forget --prune` at random moments: what is kept stays whole.
func TestP5_BackupForgetKilled(t *testing.T) {
	a, _ := served(t)
	s := a.shell(t, t.TempDir())
	killed := killSome(t, s, killRounds(), func(int) []string {
		a.change(t, 20, backupBoxes...)
		s.run(nil, "backup", "run", "mail", "-q")
		s.run(nil, "backup", "verify", "mail")
		return []string{"backup", "forget", "mail", "-q", "--keep-last", "2", "--prune"}
	})
	s.run(nil, "backup", "forget", "mail", "--keep-last", "1", "--prune")
	checkBackup(t, s, a, "mail")
	if kept := strings.Count(s.run(nil, "backup", "list", "mail"), "\n"); kept != 1 {
		t.Errorf("%d snapshots are kept, want 1", kept)
	}
	t.Logf("%d kills", killed)
}

// TestL1_BackupDiskFull backs up to a file system that is too small, and then has room.
func TestL1_BackupDiskFull(t *testing.T) {
	for name, a := range map[string]account{"serve": firstOf(served(t)), "dovecot": dovecotAccount(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			small := filepath.Join(dir, "small")
			if err := os.Mkdir(small, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
				t.Skipf("cannot mount a small file system: %v", err)
			}
			defer func() { _ = syscall.Unmount(small, 0) }()
			s := a.shell(t, dir)
			a.change(t, 3, backupBoxes...)
			s.run(nil, "backup", "run", "small/mail")
			for range 12 {
				a.change(t, 60, backupBoxes...)
			}
			for range 2 {
				if r := s.try(nil, "backup", "run", "small/mail"); r.code != 74 || !strings.Contains(r.stderr, "no space left") {
					t.Fatalf("on a full disk: %v", r)
				}
				s.run(nil, "backup", "verify", "small/mail")
			}
			if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				t.Skipf("cannot make the file system larger: %v", err)
			}
			s.run(nil, "backup", "run", "small/mail")
			checkBackup(t, s, a, "small/mail")
		})
	}
}

func firstOf(a, _ account) account { return a }
