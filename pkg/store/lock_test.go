//go:build linux

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lockedMbox is an mbox sink that waits for a short time.
func lockedMbox(t *testing.T) (*mbox, string) {
	path := filepath.Join(t.TempDir(), "mbox")
	m := open(t, "mbox:"+path, SinkOptions{}).(*mbox)
	m.wait = 3 * lockPause
	return m, path
}

func tryPut(m *mbox) error {
	_, err := m.Put(context.Background(), strings.NewReader("a\r\n"), Meta{})
	return err
}

// TestDotLock: a lock file of another program is respected, unless it is stale.
func TestDotLock(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		name, holder string
		lockAge      time.Duration
		boxAge       time.Duration
		locked       bool
	}{
		{"empty", "", 0, 0, true},
		{"living process", fmt.Sprintf("%d:%s\n", os.Getppid(), hostName()), 0, 0, true},
		{"other host", "1:other.example.org\n", 0, 0, true},
		{"process id only", "99999999\n", 0, 0, true},
		{"dead process", fmt.Sprintf("%d:%s\n", dead.Process.Pid, hostName()), 0, 0, false},
		{"own process that does not hold it", fmt.Sprintf("%d:%s\n", os.Getpid(), hostName()), 0, 0, false},
		{"forgotten", "", time.Hour, time.Hour, false},
		{"old, but the mbox is written to", "", time.Hour, 0, true},
	} {
		m, path := lockedMbox(t)
		lock := writeFile(t, path+".lock", tt.holder)
		now := time.Now()
		if err := errors.Join(os.Chtimes(lock, now, now.Add(-tt.lockAge)), os.Chtimes(path, now, now.Add(-tt.boxAge))); err != nil {
			t.Fatal(err)
		}
		err := tryPut(m)
		var locked *LockError
		if tt.locked != (errors.As(err, &locked) && locked.Temporary() && errors.Is(err, os.ErrDeadlineExceeded)) || !tt.locked && err != nil {
			t.Errorf("%s: got %v, want locked: %v", tt.name, err, tt.locked)
		}
		if _, err := os.Stat(lock); (err == nil) != tt.locked {
			t.Errorf("%s: lock file left: %v, want %v", tt.name, err == nil, tt.locked)
		}
	}
}

// TestFcntlLock: the lock of fcntl as another process takes it, and ours as it sees
// it.
func TestFcntlLock(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3: ", err)
	}
	m, path := lockedMbox(t)
	run := func(script string) *exec.Cmd {
		return exec.Command(python, "-c", "import fcntl,sys\nf=open(sys.argv[1],'r+')\n"+script, path)
	}
	cmd := run("fcntl.lockf(f,fcntl.LOCK_EX)\nprint('locked',flush=True)\nsys.stdin.read()")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	var locked *LockError
	if err := tryPut(m); !errors.As(err, &locked) {
		t.Errorf("locked by another process: got %v", err)
	}
	src, _ := OpenSource("mbox:" + path)
	ctx, cancel := context.WithTimeout(context.Background(), 3*lockPause)
	for _, err := range src.Messages(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read while locked: got %v", err)
		}
	}
	cancel()
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	err = m.locked(context.Background(), func() error {
		if _, err := os.Stat(path + ".lock"); err != nil {
			t.Errorf("no lock file while locked: %v", err)
		}
		if run("fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)").Run() == nil {
			t.Error("another process got the lock that is held")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := run("fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)").Run(); err != nil {
		t.Errorf("not unlocked: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*lock*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestMboxReplaced: a program that puts a new file in the place of the mbox does not
// make messages vanish with the old one.
func TestMboxReplaced(t *testing.T) {
	m, path := lockedMbox(t)
	if err := tryPut(m); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(writeFile(t, path+".new", "From bob\nb\n"), path); err != nil {
		t.Fatal(err)
	}
	if err := tryPut(m); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := readAll(t, path); len(got) != 2 || got[0] != "b\r\n" {
		t.Errorf("replaced: got %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := tryPut(m); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := readAll(t, path); len(got) != 1 {
		t.Errorf("removed: got %q", got)
	}
}
