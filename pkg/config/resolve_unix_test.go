//go:build unix

package config

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

func TestPasswordByFD(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fmt.Fprintln(w, "from-fd")
	w.Close()
	fd, err := syscall.Dup(int(r.Fd())) // the source closes what it reads
	if err != nil {
		t.Fatal(err)
	}
	target, err := Resolve(wire.IMAP, world(t, Overrides{Server: "imaps://alice@h", PasswordFD: fd}))
	if err != nil || reveal(target.Credentials.Password) != "from-fd" {
		t.Errorf("got %v, %v, want from-fd", target, err)
	}
}
