package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/popfetch"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// openPopState opens what is remembered of the maildrop, in the file given or in one that belongs to the account, the
// user and the server.
func (c *call) openPopState(path string) (*popfetch.State, error) {
	if path == "" {
		t, err := c.loginTarget(wire.POP3)
		if err != nil {
			return nil, err
		}
		folder := c.stateFolder()
		if folder == "" {
			return nil, &config.Error{Msg: "there is no folder for the state: HOME is not set", Hint: "give a file by --state"}
		}
		path = filepath.Join(folder, "mail", "pop", popStateName(t))
	}
	if c.dryRun {
		return popfetch.ReadState(path)
	}
	st, err := popfetch.OpenState(path)
	if errors.Is(err, popfetch.ErrLocked) {
		return nil, codef(exitTemporary, "%w", err)
	}
	return st, err
}

// stateFolder is $XDG_STATE_HOME, else ~/.local/state; "" without a home directory.
func (c *call) stateFolder() string {
	if dir := c.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if home := c.getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state")
	}
	return ""
}

// popStateName is one component of a path: ACCOUNT,USER@HOST with the port where it is not the usual one. Characters
// beyond letters, digits and a few marks are written as %XX.
func popStateName(t *config.Target) string {
	name := t.Credentials.User + "@" + strings.ToLower(t.Endpoint.Host)
	if t.Account != "" {
		name = t.Account + "," + name
	}
	if p := t.Endpoint.Port; p != 110 && p != 995 {
		name += "," + strconv.Itoa(p)
	}
	var b strings.Builder
	for i := range len(name) {
		switch ch := name[i]; {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', strings.IndexByte("@,_-", ch) >= 0, ch == '.' && i > 0:
			b.WriteByte(ch)
		default:
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	if s := b.String(); len(s) <= maxStateName {
		return s
	}
	return fmt.Sprintf("%s-%x", b.String()[:maxStateName], sha256.Sum256([]byte(name)))
}

// maxStateName leaves room in a file name for a digest and an ending.
const maxStateName = 150
