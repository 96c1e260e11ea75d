package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// listedAccount is one account of a list of many. Empty fields leave it to the flags and the configuration.
type listedAccount struct {
	name                          string // names its folder
	user                          string // at the server
	imap, pop                     string // URLs
	passwordFile, passwordCommand string
	tokenCommand                  string
}

// server is the account's own server for a protocol; "": none.
func (a listedAccount) server(p wire.Protocol) string {
	if p == wire.POP3 {
		return a.pop
	}
	return a.imap
}

// listedKeys are the columns of a list of accounts.
var listedKeys = []string{"name", "user", "imap", "pop", "password-file", "password-command", "token-command"}

// set fills in the column called key.
func (a *listedAccount) set(key, value string) {
	switch key {
	case "name":
		a.name = value
	case "user":
		a.user = value
	case "imap":
		a.imap = value
	case "pop":
		a.pop = value
	case "password-file":
		a.passwordFile = value
	case "password-command":
		a.passwordCommand = value
	case "token-command":
		a.tokenCommand = value
	}
}

// The caps on a list of accounts.
const (
	maxAccountList = 64 << 20 // octets
	maxAccountLine = 64 << 10
)

// accountList is a list being read.
type accountList struct {
	file  string
	list  []listedAccount
	lines map[string]int // by name
}

// readAccounts reads a list of accounts: JSON objects, one a line, or CSV with a line of names first.
func readAccounts(file string, r io.Reader) ([]listedAccount, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxAccountList+1))
	if err != nil {
		return nil, err
	}
	l := &accountList{file: file, lines: map[string]int{}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(data) > maxAccountList:
		return nil, l.errorf(0, "longer than %d octets", maxAccountList)
	case !utf8.Valid(data):
		return nil, l.errorf(0, "not UTF-8")
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		err = l.readJSON(data)
	default:
		err = l.readCSV(data)
	}
	if err == nil && len(l.list) == 0 {
		err = l.errorf(0, "there is no account in it")
	}
	return l.list, err
}

func (l *accountList) errorf(line int, format string, args ...any) error {
	return &config.Error{File: l.file, Line: line, Msg: fmt.Sprintf(format, args...)}
}

func (l *accountList) readJSON(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxAccountLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var fields map[string]string
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil {
			return l.errorf(n, "not a JSON object of strings: %v", err)
		}
		var a listedAccount
		for key, value := range fields {
			if err := l.checkKey(n, key); err != nil {
				return err
			}
			a.set(key, value)
		}
		if err := l.add(n, a); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return l.errorf(n+1, "%v", err)
	}
	return nil
}

func (l *accountList) readCSV(data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment, r.TrimLeadingSpace = '#', true
	keys, err := r.Read()
	if err != nil {
		return l.csvError(err)
	}
	keys = slices.Clone(keys)
	for i, key := range keys {
		if keys[i] = strings.TrimSpace(key); slices.Contains(keys[:i], keys[i]) {
			return l.errorf(1, "two columns are called %q", keys[i])
		}
		if err := l.checkKey(1, keys[i]); err != nil {
			return err
		}
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return l.csvError(err)
		}
		var a listedAccount
		for i, value := range row {
			a.set(keys[i], strings.TrimSpace(value))
		}
		line, _ := r.FieldPos(0)
		if err := l.add(line, a); err != nil {
			return err
		}
	}
}

func (l *accountList) csvError(err error) error {
	var bad *csv.ParseError
	switch {
	case err == io.EOF:
		return l.errorf(0, "it is empty")
	case errors.As(err, &bad):
		return l.errorf(bad.Line, "%v", bad.Err)
	}
	return err
}

func (l *accountList) checkKey(line int, key string) error {
	if slices.Contains(listedKeys, key) {
		return nil
	}
	e := &config.Error{File: l.file, Line: line, Msg: fmt.Sprintf("unknown column %q", key), Hint: "there are " + strings.Join(listedKeys, ", ")}
	if key == "password" {
		e.Msg, e.Hint = "a password does not belong into a list", "use password-file or password-command"
	}
	return e
}

func (l *accountList) add(line int, a listedAccount) error {
	if a.name == "" {
		a.name = a.user
	}
	if a.user == "" {
		a.user = a.name
	}
	switch {
	case a.name == "":
		return l.errorf(line, "an account needs a name or a user")
	case len(accountFolder(a.name)) > maxAccountFolder:
		return l.errorf(line, "the name %.20q… is too long", a.name)
	}
	if before, twice := l.lines[a.name]; twice {
		return l.errorf(line, "account %q is in line %d already", a.name, before)
	}
	l.lines[a.name] = line
	l.list = append(l.list, a)
	return nil
}

// openAccounts reads the list in a file, or on standard input for "-".
func (c *call) openAccounts(file string) ([]listedAccount, error) {
	if file == "-" {
		in, err := c.input("a list of accounts")
		if err != nil {
			return nil, err
		}
		return readAccounts("standard input", in)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	return readAccounts(file, f)
}

// accountFolder is the name of an account's folder: letters in lower case, digits and a few marks stay, other octets are
// %XX. No two accounts have the same, also where case does not count.
func accountFolder(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch ch := name[i]; {
		case 'a' <= ch && ch <= 'z', '0' <= ch && ch <= '9', strings.IndexByte("@_-+", ch) >= 0,
			ch == '.' && i > 0 && i < len(name)-1:
			b.WriteByte(ch)
		default:
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	return b.String()
}

// maxAccountFolder leaves room in a file name.
const maxAccountFolder = 240

// shard is one of several equal parts of a list, by the names in it.
type shard struct{ part, of uint64 } // part counts from 1; of 0: all

// maxShards is more than anybody needs.
const maxShards = 1 << 20

// shardFlag is I/N.
func shardFlag(dest *shard) cli.Flag {
	return &cli.GenericFlag{Name: "shard", Usage: "with --accounts, take only part `I/N` of them, such as 3/8: those whose names " +
		"fall there, always the same", Value: &value{set: func(s string) error {
		part, of, ok := strings.Cut(s, "/")
		i, err1 := strconv.ParseUint(part, 10, 32)
		n, err2 := strconv.ParseUint(of, 10, 32)
		if !ok || err1 != nil || err2 != nil || i < 1 || i > n || n > maxShards {
			return fmt.Errorf("I/N expected, with I from 1 to N: 3/8")
		}
		*dest = shard{i, n}
		return nil
	}}}
}

// has tells if the account belongs to the part. It goes by the 64-bit FNV-1a hash of the name.
func (s shard) has(name string) bool {
	if s.of == 0 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return h.Sum64()%s.of == s.part-1
}
