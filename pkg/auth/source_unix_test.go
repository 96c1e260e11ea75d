//go:build unix

package auth

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// pipeWith returns a descriptor that text can be read from. It belongs to no os.File: who reads it closes it.
func pipeWith(t *testing.T, text string) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fmt.Fprint(w, text)
	fd, err := syscall.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestFD(t *testing.T) {
	src := FD(pipeWith(t, "sesame\n"))
	wantSecret(t, src, "sesame")
	wantSecret(t, src, "sesame") // read once, repeated from memory
	wantSecret(t, FD(pipeWith(t, "")), "error: gave nothing")
	wantSecret(t, FD(-1), "error: not a file descriptor")
	wantSecret(t, FD(987654), "error: bad file descriptor")
}
