package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// openPTY returns both ends of a new terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { m.Close() })
	var unlock, n int32
	for req, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &n} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, m.Fd(), req, uintptr(unsafe.Pointer(arg))); e != 0 {
			t.Skip("no terminals here: ", e)
		}
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	return m, s
}

// mode reads a terminal's settings.
func mode(t *testing.T, f *os.File) syscall.Termios {
	t.Helper()
	var m syscall.Termios
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&m))); e != 0 {
		t.Fatal(e)
	}
	return m
}

// waitFor reads the master until it has shown text.
func waitFor(t *testing.T, master *os.File, text string) []byte {
	t.Helper()
	var seen []byte
	buf := make([]byte, 256)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := master.Read(buf)
		if err != nil {
			t.Fatalf("reading the terminal: %v", err)
		}
		seen = append(seen, buf[:n]...)
	}
	return seen
}

func TestPromptTerminal(t *testing.T) {
	for _, c := range []struct{ name, typed, want string }{
		{"line", "sesame\r", "sesame"},
		{"correction", "sesamm\x7fe\r", "sesame"},
		{"control-C", "ses\x03", "error: nothing was typed"},
		{"control-D", "\x04", "error: nothing was typed"},
		{"empty", "\r", "error: nothing was typed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			master, slave := openPTY(t)
			before := mode(t, master)
			done := make(chan struct{})
			go func() {
				defer close(done)
				wantSecret(t, Prompt("password: ", func() (io.ReadWriteCloser, error) { return slave, nil }), c.want)
			}()
			seen := waitFor(t, master, "password: ")
			if _, err := master.WriteString(c.typed); err != nil {
				t.Fatal(err)
			}
			<-done
			if strings.Contains(string(seen), "ses") {
				t.Errorf("the terminal shows what is typed: %q", seen)
			}
			if after := mode(t, master); after != before {
				t.Errorf("terminal mode %+v, want %+v", after, before)
			}
		})
	}
}

func TestPromptCancelled(t *testing.T) {
	master, slave := openPTY(t)
	before := mode(t, master)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := Prompt("password: ", func() (io.ReadWriteCloser, error) { return slave, nil })(ctx)
		done <- err
	}()
	waitFor(t, master, "password: ")
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the prompt goes on waiting")
	}
	if after := mode(t, master); after != before {
		t.Errorf("terminal mode %+v, want %+v", after, before)
	}
}
