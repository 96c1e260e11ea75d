package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxNetrc caps a netrc file, in bytes, and maxNetrcEntries its machines.
const (
	maxNetrc        = 1 << 20
	maxNetrcEntries = 10_000
)

// netrcEntry is one "machine" or "default" of a netrc file.
type netrcEntry struct {
	machine  string // lower case; empty for default
	login    string
	password Secret
}

// NetrcPath returns the netrc file to use: path if given, else what the environment variable NETRC names, else
// ~/.netrc (on Windows ~/_netrc if there is no such file).
func NetrcPath(path string, getenv func(string) string) string {
	if path != "" {
		return expandHome(path)
	}
	if p := getenv("NETRC"); p != "" {
		return p
	}
	home := getenv("HOME")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	p := filepath.Join(home, ".netrc")
	if _, err := os.Stat(p); err != nil && runtime.GOOS == "windows" {
		return filepath.Join(home, "_netrc")
	}
	return p
}

// Netrc takes the password of user at host out of the netrc file at path, or at NetrcPath when path is empty. The
// first entry wins that names the host, and the user if both name one; else the default entry. A file that group or
// others may read is refused.
func Netrc(path, host, user string) Source {
	return func(context.Context) (Secret, error) {
		login, err := LookupNetrc(NetrcPath(path, os.Getenv), host, user)
		if err != nil {
			return Secret{}, err
		}
		return login.Password, nil
	}
}

// NetrcLogin is what a netrc file knows about a host.
type NetrcLogin struct {
	User     string // empty when the entry names none
	Password Secret
	Default  bool // from the default entry: nobody meant this very host
}

// ErrNoNetrcEntry is wrapped in the *SourceError of LookupNetrc when the file is missing or does not know the host.
var ErrNoNetrcEntry = errors.New("no entry")

// LookupNetrc looks for host in the netrc file at path; user may be empty, then any will do. The error is a
// *SourceError.
func LookupNetrc(path, host, user string) (NetrcLogin, error) {
	where := fmt.Sprintf("netrc %q", path)
	data, private, err := readPrivate(path, maxNetrc)
	if errors.Is(err, fs.ErrNotExist) {
		return NetrcLogin{}, &SourceError{Source: where, Err: fmt.Errorf("%w for %s: no such file", ErrNoNetrcEntry, host)}
	}
	if err != nil {
		return NetrcLogin{}, &SourceError{Source: where, Err: plainPathError(err)}
	}
	entries, err := parseNetrc(string(data))
	if err != nil {
		return NetrcLogin{}, &SourceError{Source: where, Err: err}
	}
	e := findNetrc(entries, strings.ToLower(host), user)
	if e == nil {
		return NetrcLogin{}, &SourceError{Source: where, Err: fmt.Errorf("%w for %s", ErrNoNetrcEntry, strings.TrimPrefix(user+"@"+host, "@"))}
	}
	if !private {
		return NetrcLogin{}, exposed(where, path)
	}
	return NetrcLogin{User: e.login, Password: e.password, Default: e.machine == ""}, nil
}

// findNetrc returns the entry for host (lower case) and user, or nil. Default stands in for hosts without an entry.
func findNetrc(entries []netrcEntry, host, user string) *netrcEntry {
	for _, machine := range []string{host, ""} {
		for i := range entries {
			e := &entries[i]
			if e.machine == machine && !e.password.IsZero() && (user == "" || e.login == "" || e.login == user) {
				return e
			}
		}
	}
	return nil
}

// parseNetrc reads the dialect most programs accept: tokens between blanks and line ends; a token that begins with a
// double quote runs to the next one and may hold \" \\ \n \r \t; "#" at the start of a token where a keyword is
// expected begins a comment, anywhere else it is a character; macdef is skipped up to an empty line; account, port
// and protocol are read and ignored.
func parseNetrc(s string) ([]netrcEntry, error) {
	p := &netrcParser{rest: s, line: 1}
	for {
		word, ok, err := p.token()
		if err != nil || !ok {
			return p.entries, err
		}
		if err := p.keyword(word); err != nil {
			return nil, err
		}
	}
}

type netrcParser struct {
	rest    string
	line    int
	entries []netrcEntry
}

func (p *netrcParser) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", p.line, fmt.Sprintf(format, args...))
}

// keyword acts on one keyword, reading its value if it has one.
func (p *netrcParser) keyword(word string) error {
	switch word {
	case "default":
		return p.add(netrcEntry{})
	case "macdef":
		p.skipMacro()
		return nil
	case "machine", "login", "user", "password", "account", "port", "protocol":
	default:
		if strings.HasPrefix(word, "#") {
			p.skipLine()
			return nil
		}
		return p.errorf("unknown keyword") // not shown: it may be a piece of a password
	}
	value, ok, err := p.token()
	if err != nil {
		return err
	}
	if !ok {
		return p.errorf("%s without a value", word)
	}
	return p.set(word, value)
}

// set stores the value of a keyword.
func (p *netrcParser) set(word, value string) error {
	if word == "machine" {
		if value == "" {
			return p.errorf("machine without a name")
		}
		return p.add(netrcEntry{machine: strings.ToLower(value)})
	}
	if len(p.entries) == 0 {
		return p.errorf("%s before any machine", word)
	}
	e := &p.entries[len(p.entries)-1]
	switch word {
	case "login", "user":
		e.login = value
	case "password":
		e.password = NewSecret(value)
	}
	return nil
}

func (p *netrcParser) add(e netrcEntry) error {
	if len(p.entries) == maxNetrcEntries {
		return p.errorf("more than %d machines", maxNetrcEntries)
	}
	p.entries = append(p.entries, e)
	return nil
}

// token returns the next token; ok is false at the end of the file.
func (p *netrcParser) token() (tok string, ok bool, err error) {
	for p.rest != "" && strings.IndexByte(" \t\r\n", p.rest[0]) >= 0 {
		p.skip(1)
	}
	if p.rest == "" {
		return "", false, nil
	}
	if p.rest[0] == '"' {
		tok, err = p.quoted()
		return tok, err == nil, err
	}
	end := strings.IndexAny(p.rest, " \t\r\n")
	if end < 0 {
		end = len(p.rest)
	}
	tok = p.rest[:end]
	p.skip(end)
	return tok, true, nil
}

// quoted reads a quoted string, which must end on its line.
func (p *netrcParser) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.skip(i + 1)
			return b.String(), nil
		case '\n':
			return "", p.errorf("quoted string without an end")
		case '\\':
			i++
			if i < len(p.rest) {
				b.WriteByte(unescape(p.rest[i]))
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorf("quoted string without an end")
}

// unescape returns what a backslash and c stand for.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// skip drops n bytes and counts the line ends among them.
func (p *netrcParser) skip(n int) {
	p.line += strings.Count(p.rest[:n], "\n")
	p.rest = p.rest[n:]
}

func (p *netrcParser) skipLine() {
	if i := strings.IndexByte(p.rest, '\n'); i >= 0 {
		p.skip(i + 1)
		return
	}
	p.rest = ""
}

// skipMacro drops a macro's lines, up to an empty one or the end of the file.
func (p *netrcParser) skipMacro() {
	p.skipLine()
	for p.rest != "" {
		line, _, _ := strings.Cut(p.rest, "\n")
		p.skipLine()
		if strings.TrimSuffix(line, "\r") == "" {
			return
		}
	}
}
