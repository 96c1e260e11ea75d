package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/message"
)

// aliases is a file of aliases(5): names of local recipients and whom they stand for. Programs and files as recipients
// are not known here and refused.
type aliases struct {
	file  string
	names map[string][]string // by name in lower case
}

// The caps on what an alias can grow to.
const (
	maxAliasFile = 16 << 20 // octets
	maxExpanded  = 10_000   // recipients
)

// readAliases reads a file of aliases.
func readAliases(path string) (*aliases, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &config.Error{File: path, Msg: "the aliases cannot be read: " + plainReason(err)}
	}
	defer func() { _ = f.Close() }()
	a := &aliases{file: path, names: map[string][]string{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxAliasFile)
	entry, at := "", 0
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(strings.TrimSpace(line), "#"):
		case line[0] == ' ' || line[0] == '\t':
			entry += line
		default:
			if err := a.add(entry, at); err != nil {
				return nil, err
			}
			entry, at = line, n
		}
	}
	return a, errors.Join(lines.Err(), a.add(entry, at))
}

// plainReason is an error of the file system without the name, which is in the message already.
func plainReason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// add takes one entry: NAME: RECIPIENT, RECIPIENT.
func (a *aliases) add(entry string, line int) error {
	if entry == "" {
		return nil
	}
	bad := func(format string, args ...any) error {
		return &config.Error{File: a.file, Line: line, Msg: fmt.Sprintf(format, args...)}
	}
	name, list, ok := strings.Cut(entry, ":")
	name = strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`))
	if !ok || name == "" {
		return bad("an entry such as root: alice@example.org is expected")
	}
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		switch {
		case word == "":
			continue
		case strings.HasPrefix(word, "|"), strings.HasPrefix(word, `"|`), strings.HasPrefix(word, "/"), strings.HasPrefix(word, ":include:"):
			return bad("%q: programs, files and :include: are not supported as recipients", word)
		case !bareName.MatchString(word):
			addr, err := parseAddress(word)
			if err == nil {
				err = message.CheckAddress(addr.Addr)
			}
			if err != nil {
				return bad("%v", err)
			}
			word = addr.Addr
		}
		a.names[name] = append(a.names[name], word)
	}
	if len(a.names[name]) == 0 {
		return bad("%q stands for nobody", name)
	}
	return nil
}

// of gives whom a recipient stands for: a name, alone or of this machine. It is nil when that is nobody else.
func (a *aliases) of(addr string) []string {
	if a == nil {
		return nil
	}
	name, host, _ := strings.Cut(strings.ToLower(addr), "@")
	if host != "" && host != strings.ToLower(localHost()) {
		return nil
	}
	return a.names[name]
}

// expand replaces recipients of this machine by whom they stand for, again and again. A name that also stands for
// itself stays among them. A recipient without a domain that has no alias is whom "default" stands for, if the file has
// that.
func (a *aliases) expand(rcpt []string) ([]string, error) {
	if a == nil {
		return rcpt, nil
	}
	var queue, out []string
	for _, addr := range rcpt {
		fallback := a.names["default"]
		if a.of(addr) != nil || fallback == nil || strings.Contains(addr, "@") {
			queue = append(queue, addr)
		} else {
			queue = append(queue, fallback...)
		}
	}
	seen := map[string]bool{} // names that were expanded
	for len(queue) > 0 {
		addr := queue[0]
		name, _, _ := strings.Cut(strings.ToLower(addr), "@")
		queue = queue[1:]
		list := a.of(addr)
		switch {
		case list == nil, seen[name] && slices.Contains(list, addr):
			out = append(out, addr)
		case !seen[name]:
			seen[name] = true
			queue = append(slices.Clone(list), queue...)
		}
		if len(out)+len(queue) > maxExpanded {
			return nil, &config.Error{File: a.file, Msg: fmt.Sprintf("more than %d recipients", maxExpanded)}
		}
	}
	return out, nil
}
