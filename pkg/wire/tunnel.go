package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// tunnel makes a net.Conn of a command's standard input and output, such as `ssh host nc localhost 143`.
type tunnel struct {
	command *exec.Cmd
	in      *os.File // what the command prints
	out     *os.File // what the command reads
}

func startTunnel(argv []string, stderr io.Writer) (net.Conn, error) {
	childOut, err := newPipe()
	if err != nil {
		return nil, err
	}
	childIn, err := newPipe()
	if err != nil {
		childOut.close()
		return nil, err
	}
	command := exec.Command(argv[0], argv[1:]...)
	command.Stdin, command.Stdout, command.Stderr = childIn.r, childOut.w, stderr
	err = command.Start()
	_ = childIn.r.Close()
	_ = childOut.w.Close()
	if err != nil {
		_ = childIn.w.Close()
		_ = childOut.r.Close()
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	return &tunnel{command: command, in: childOut.r, out: childIn.w}, nil
}

type pipe struct{ r, w *os.File }

func newPipe() (p pipe, err error) {
	p.r, p.w, err = os.Pipe()
	return p, err
}

func (p pipe) close() {
	_ = p.r.Close()
	_ = p.w.Close()
}

func (t *tunnel) Read(p []byte) (int, error) { return t.in.Read(p) }

func (t *tunnel) Write(p []byte) (int, error) { return t.out.Write(p) }

// Close closes both ends, which ends a well-behaved command, and kills one that does not end.
func (t *tunnel) Close() error {
	err := errors.Join(t.out.Close(), t.in.Close())
	kill := time.AfterFunc(time.Second, func() { _ = t.command.Process.Kill() })
	defer kill.Stop()
	_ = t.command.Wait() // its status says nothing that the protocol has not said
	return err
}

func (t *tunnel) SetDeadline(d time.Time) error {
	return errors.Join(t.in.SetReadDeadline(d), t.out.SetWriteDeadline(d))
}

func (t *tunnel) SetReadDeadline(d time.Time) error  { return t.in.SetReadDeadline(d) }
func (t *tunnel) SetWriteDeadline(d time.Time) error { return t.out.SetWriteDeadline(d) }
func (t *tunnel) LocalAddr() net.Addr                { return tunnelAddr("pipe") }
func (t *tunnel) RemoteAddr() net.Addr               { return tunnelAddr(strings.Join(t.command.Args, " ")) }

type tunnelAddr string

func (tunnelAddr) Network() string  { return "pipe" }
func (a tunnelAddr) String() string { return string(a) }
