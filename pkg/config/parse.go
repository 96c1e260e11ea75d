package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// loader carries what the parsing functions share.
type loader struct {
	path string
	md   toml.MetaData

	literal string // what holds a secret itself: "account.work.password"
}

// fail makes an *Error for a line of the file.
func (l *loader) fail(line int, format string, args ...any) *Error {
	return &Error{File: l.path, Line: line, Msg: fmt.Sprintf(format, args...)}
}

// parse reads the text of the file at path.
func parse(path, text string) (*File, error) {
	l := &loader{path: path}
	var top map[string]toml.Primitive
	var err error
	if l.md, err = toml.Decode(text, &top); err != nil {
		return nil, l.syntaxError(text, err)
	}
	f := &File{Path: path}
	for _, key := range l.keys(nil) {
		if known := []string{"default", "defaults", "account"}; !slices.Contains(known, key) {
			return nil, l.unknown("", key, l.read(top[key]).line, known)
		}
	}
	base := &Account{}
	if prim, ok := top["defaults"]; ok {
		if base, err = l.account("defaults", prim, base); err != nil {
			return nil, err
		}
	}
	if f.Accounts, err = l.accounts(top, base); err != nil {
		return nil, err
	}
	f.literal = l.literal
	if prim, ok := top["default"]; ok {
		return f, l.setDefault(f, prim)
	}
	return f, nil
}

// syntaxError turns the library's error into ours. A line that seems to hold a secret is not quoted.
func (l *loader) syntaxError(text string, err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return l.fail(0, "%s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	line := pe.Position.Line
	if lines := strings.Split(text, "\n"); line > 0 && line <= len(lines) {
		if s := strings.ToLower(lines[line-1] + pe.LastKey); strings.Contains(s, "password") || strings.Contains(s, "token") {
			return l.fail(line, "this is not valid TOML (the value is not shown, for it may be a secret)")
		}
	}
	return l.fail(line, "%s", pe.Message)
}

func (l *loader) setDefault(f *File, prim toml.Primitive) error {
	v := l.read(prim)
	name, err := l.text("default", v)
	if err != nil {
		return err
	}
	if _, err := f.Account(name); err != nil {
		e := l.fail(v.line, "default names an account that is not there: %q", name)
		var ae *Error
		if errors.As(err, &ae) {
			e.Hint = ae.Hint
		}
		return e
	}
	f.Default = name
	return nil
}

// accounts reads the [account.NAME] tables in the order of the file.
func (l *loader) accounts(top map[string]toml.Primitive, base *Account) ([]*Account, error) {
	prim, ok := top["account"]
	if !ok {
		return nil, nil
	}
	tables, err := l.table("account", "account.NAME", prim)
	if err != nil {
		return nil, err
	}
	var all []*Account
	for _, name := range l.keys([]string{"account"}) {
		if err := checkName(name); err != nil {
			return nil, l.fail(l.read(tables[name]).line, "account %q: %s", name, err)
		}
		a, err := l.account("account."+name, tables[name], base)
		if err != nil {
			return nil, err
		}
		a.Name = name
		all = append(all, a)
	}
	return all, nil
}

// checkName refuses names that would be trouble on a command line, in a file name or in a message.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > 64:
		return errors.New("a name has 1 to 64 octets")
	case name[0] == '-' || name[0] == '.':
		return errors.New("a name does not begin with a dash or a dot")
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '\\' || r == ':' }):
		return errors.New("a name has no blanks, slashes, colons or control characters")
	}
	return nil
}

// account reads one table into a copy of base.
func (l *loader) account(where string, prim toml.Primitive, base *Account) (*Account, error) {
	a := *base
	a.Line = l.read(prim).line
	table, err := l.table(where, where, prim)
	if err != nil {
		return nil, err
	}
	_, hasPassword := table["password"]
	if _, hasToken := table["token"]; hasPassword || hasToken {
		a.Password, a.Token = Secret{}, Secret{} // its own secret takes the place of both defaults
	}
	for _, key := range sortedKeys(table) {
		v := l.read(table[key])
		set, ok := settings[key]
		if !ok {
			return nil, l.unknown(where, key, v.line, sortedKeys(settings))
		}
		if err := set(l, &a, where+"."+key, v); err != nil {
			return nil, err
		}
	}
	return &a, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// table returns the entries of a table.
func (l *loader) table(where, write string, prim toml.Primitive) (map[string]toml.Primitive, error) {
	v := l.read(prim)
	if _, ok := v.data.(map[string]any); !ok {
		return nil, l.fail(v.line, "%s is not a table: write [%s]", where, write)
	}
	var table map[string]toml.Primitive
	if err := l.md.PrimitiveDecode(prim, &table); err != nil {
		return nil, l.fail(v.line, "%s: %s", where, strings.TrimPrefix(err.Error(), "toml: "))
	}
	return table, nil
}

// unknown is the error for a key nobody reads; a mistyped one must not be ignored.
func (l *loader) unknown(where, key string, line int, known []string) *Error {
	e := l.fail(line, "unknown key %q", key)
	if where != "" {
		e.Msg += " in [" + where + "]"
	}
	if near := nearest(key, known); near != "" {
		e.Hint = fmt.Sprintf("did you mean %q", near)
	} else if key == "keyring" {
		e.Hint = `ask the keyring by a command, such as command = ["secret-tool", "lookup", "mail", "work"]`
	} else {
		e.Hint = "known here: " + strings.Join(known, ", ")
	}
	return e
}

// keys returns the names directly below parent in the order of the file.
func (l *loader) keys(parent []string) []string {
	var names []string
	for _, k := range l.md.Keys() {
		if len(k) > len(parent) && slices.Equal(k[:len(parent)], parent) && !slices.Contains(names, k[len(parent)]) {
			names = append(names, k[len(parent)])
		}
	}
	return names
}

// value is a TOML value and the line it stands on.
type value struct {
	data any
	line int
}

// probe takes a value from the decoder and fails on purpose: only the error has the line.
type probe struct{ data any }

var errProbe = errors.New("probe")

func (p *probe) UnmarshalTOML(data any) error {
	p.data = data
	return errProbe
}

// read returns the value of prim and its line.
func (l *loader) read(prim toml.Primitive) value {
	p := &probe{}
	var pe toml.ParseError
	if err := l.md.PrimitiveDecode(prim, p); errors.As(err, &pe) {
		return value{p.data, pe.Position.Line}
	}
	return value{p.data, 0}
}
