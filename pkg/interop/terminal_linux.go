package interop

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal opens a pseudo terminal whose output is not changed on its way. The test
// is skipped where there are none.
func Terminal(t testing.TB) (control, terminal *os.File) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { _ = control.Close() })
	fd := int(control.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	modes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require(t, err)
	modes.Oflag &^= unix.OPOST
	require(t, unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, modes))
	return control, terminal
}

// OnTerminal runs a command with a terminal of its own, on which no key is pressed,
// as all its streams, and returns what the terminal received.
func OnTerminal(t testing.TB, cmd *exec.Cmd) (seen []byte, err error) {
	t.Helper()
	control, terminal := Terminal(t)
	var out bytes.Buffer
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(&out, control) // ends with EIO when the other side is closed
		close(done)
	}()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Run()
	_ = terminal.Close()
	<-done
	return out.Bytes(), err
}
