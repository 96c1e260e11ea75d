// Package config turns flags, the environment and the configuration file into what an engine needs: where the server
// is, how to connect to it, and where the secret comes from. It reads; it never writes, connects or asks.
//
// A setting is taken from the first of these that has it: flag, environment, account, built-in default. A secret is
// special in one way: the first of them that has any, password or token, decides about both, so that a password given
// by flag is never passed over for the token of an account.
//
// A file is read completely or not at all: an unknown key, a value of the wrong kind or a URL that does not parse is
// an *Error that names the line. A file that holds a secret itself and can be read by other users is refused.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// Error is a configuration that cannot be used: exit status 78.
type Error struct {
	File string // empty when the trouble is not in a file
	Line int    // 0 when not known
	Msg  string
	Hint string // what the user can do; may be empty

	missing bool // the file is not there
}

// Is reports true for fs.ErrNotExist when the file itself is missing.
func (e *Error) Is(target error) bool { return e.missing && target == fs.ErrNotExist }

// Error names the file and the line if there are any.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// File is a configuration file. Nothing in it changes after Load.
type File struct {
	Path     string
	Default  string     // name of the default account; may be empty
	Accounts []*Account // in the order of the file

	literal string // a key whose value is a secret itself; empty: none
}

// Account is one [account.NAME] of a file, with what [defaults] says about it mixed in.
type Account struct {
	Name string
	Line int    // where it begins
	From string // an address, perhaps with a name
	User string // for servers whose URL names none

	Match       []string // senders that this account is for; "*" stands for anything
	Aliases     string   // file with aliases for recipients
	SentMailbox string   // where copies of sent messages go; "": the server knows

	IMAP, SMTP, POP string // server URLs; empty when there is none

	Password, Token Secret
	Auth, Authzid   string // mechanism ("" is auto), and whom to act as

	CAFile, ClientCert, ClientKey string // paths; relative ones in the file are relative to its folder
	Pins                          [][32]byte
	Proxy                         string
	Tunnel                        []string
	SourceIP                      string
	Timeout                       time.Duration // 0: not set
	AllowCleartextPassword        bool
}

// Secret is where a password or token comes from; the zero value is nowhere. It never holds the secret in the open.
type Secret struct {
	From    string // for people: `command "pass"`, `file "…"`, "environment variable X", "this file", "netrc", "prompt"
	Command []string
	Env     string
	File    string
	Netrc   bool
	Prompt  bool
	Literal auth.Secret
	FD      int // meaningful when UseFD
	UseFD   bool
}

// IsZero reports whether no source is configured.
func (s Secret) IsZero() bool { return s.From == "" }

// DefaultPath is where the configuration is looked for: $XDG_CONFIG_HOME/mail/config.toml, else
// ~/.config/mail/config.toml. It is "" when there is no home directory.
func DefaultPath(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification says to ignore a relative path
		home := getenv("HOME")
		if home == "" {
			home, _ = os.UserHomeDir()
		}
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "mail", "config.toml")
}

// maxFile caps a configuration file, in bytes.
const maxFile = 1 << 20

// Load reads the file at path. Errors are *Error; errors.Is(err, fs.ErrNotExist) tells a missing file.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, openError(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, openError(path, err)
	}
	if len(data) > maxFile {
		return nil, &Error{File: path, Msg: fmt.Sprintf("longer than %d bytes", maxFile)}
	}
	file, err := parse(path, string(data))
	if err != nil {
		return nil, err
	}
	open := fi.Mode().IsRegular() && fi.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows"
	if open && file.literal != "" {
		return nil, &Error{
			File: path, Msg: file.literal + " holds a secret, and other users may read this file",
			Hint: "chmod 600 " + path + ", or better use password = { command = [...] }",
		}
	}
	return file, nil
}

// openError is for a file that cannot be opened or read.
func openError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &Error{File: path, Msg: err.Error(), missing: errors.Is(err, fs.ErrNotExist)}
}

// Account returns the account called name.
func (f *File) Account(name string) (*Account, error) {
	names := make([]string, len(f.Accounts))
	for i, a := range f.Accounts {
		if a.Name == name {
			return a, nil
		}
		names[i] = a.Name
	}
	e := &Error{File: f.Path, Msg: fmt.Sprintf("there is no account %q", name)}
	switch near := nearest(name, names); {
	case near != "":
		e.Hint = fmt.Sprintf("did you mean %q", near)
	case len(names) > 0:
		e.Hint = "there is " + strings.Join(names, ", ")
	}
	return nil, e
}

// Server returns the account's URL for a protocol; LMTP is what the smtp key may hold. Empty: it has none.
func (a *Account) Server(p wire.Protocol) string {
	switch p {
	case wire.IMAP:
		return a.IMAP
	case wire.POP3:
		return a.POP
	}
	return a.SMTP
}
