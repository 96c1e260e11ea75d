package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
)

// oldProgram turns the words after its name into a command line of `mail send`, or does all there is to do itself and
// gives none.
type oldProgram func(e *env, ctx context.Context, words []string) ([]string, error)

// oldNames are the programs that this one takes the place of, under their names or as `mail NAME`.
var oldNames = map[string]oldProgram{
	"sendmail":   (*env).sendmail,
	"mailx":      (*env).mailx,
	"mailq":      (*env).mailq,
	"newaliases": (*env).newaliases,
}

// oldName finds out which old program is meant: by the name of ours, by the first word, or by the shape of what follows
// `mail`; nil for none.
func (e *env) oldName(argv []string) (program oldProgram, words []string) {
	if len(argv) == 0 {
		return nil, nil
	}
	name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe")
	if program := oldNames[name]; program != nil {
		return program, argv[1:]
	}
	if len(argv) > 1 && oldNames[argv[1]] != nil {
		return oldNames[argv[1]], argv[2:]
	}
	if e.looksLikeMailx(argv[1:]) {
		return oldNames["mailx"], argv[1:]
	}
	return nil, nil
}

// looksLikeMailx tells `mail -s SUBJECT ADDRESS` from a command of ours: it begins with an address or with an option of
// one letter that mailx has, has no long option, and names no command.
func (e *env) looksLikeMailx(words []string) bool {
	if len(words) == 0 {
		return false
	}
	first := words[0]
	if !strings.HasPrefix(first, "-") {
		return strings.Contains(first, "@")
	}
	options, operands, _, err := getopt(words, mailxOptions)
	if err != nil || slices.ContainsFunc(words, func(w string) bool { return len(w) > 2 && strings.HasPrefix(w, "--") }) {
		return false
	}
	known := slices.ContainsFunc(e.root, func(c *cli.Command) bool { return len(operands) > 0 && c.HasName(operands[0]) })
	sends := slices.ContainsFunc(options, func(o letter) bool { return strings.IndexByte("stEcbrq", o.name) >= 0 })
	return !known && (sends || len(operands) > 0 && strings.Contains(operands[0], "@"))
}

// letter is one option of one letter, with its value if it takes one.
type letter struct {
	name  byte
	value string
}

// getopt takes words apart as getopt(3) does, options after operands too. In spec a letter that takes a value has ":"
// behind it, one whose value must follow at once "::". tail is what follows "--".
func getopt(words []string, spec string) (options []letter, operands, tail []string, err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			return options, operands, words, nil
		case len(word) < 2 || word[0] != '-':
			operands = append(operands, word)
			continue
		}
		for word = word[1:]; word != ""; {
			o := letter{name: word[0]}
			word = word[1:]
			at := strings.IndexByte(spec, o.name)
			if at < 0 || o.name == ':' {
				return nil, nil, nil, usagef("unknown option -%c", o.name)
			}
			switch takes := spec[at+1:]; {
			case strings.HasPrefix(takes, "::"):
				o.value, word = word, ""
			case strings.HasPrefix(takes, ":") && word != "":
				o.value, word = word, ""
			case strings.HasPrefix(takes, ":") && len(words) == 0:
				return nil, nil, nil, usagef("option -%c needs a value", o.name)
			case strings.HasPrefix(takes, ":"):
				o.value, words = words[0], words[1:]
			}
			options = append(options, o)
		}
	}
	return options, operands, nil, nil
}

const mailxOptions = "s:c:b:a:A:r:q:S:tEnNiIvdFf::eHu:"

// mailx is the sending side of POSIX mailx, with what the versions of BSD, GNU and S-nail added.
func (e *env) mailx(_ context.Context, words []string) ([]string, error) {
	options, operands, tail, err := getopt(words, mailxOptions)
	if err != nil {
		return nil, err
	}
	out := []string{"mail", "send"}
	headers, subject := false, false
	version, text := "--text", ""
	for _, o := range options {
		switch o.name {
		case 's':
			subject = true
			out = append(out, "--subject", o.value)
		case 'c':
			out = append(out, "--cc", o.value)
		case 'b':
			out = append(out, "--bcc", o.value)
		case 'a':
			if isHTML(o.value) {
				version = "--html"
			} else {
				out = append(out, attachmentOrField(o.value)...)
			}
		case 'A':
			out = append(out, "--attach", o.value)
		case 'r':
			out = append(out, "--from", o.value, "-f", o.value)
		case 'q':
			text = o.value
		case 'S':
			if from, ok := strings.CutPrefix(o.value, "from="); ok {
				out = append(out, "--from", from)
			}
		case 't':
			headers = true
		case 'E':
			out = append(out, "--skip-empty")
		case 'v':
			out = append(out, "-v")
		case 'd':
			out = append(out, "--dry-run")
		case 'f', 'e', 'H', 'u', 'F':
			return nil, &usageError{msg: fmt.Sprintf("option -%c reads mail, which this mailx does not", o.name), hint: "see `mail imap` and `mail pop`"}
		}
	}
	if version == "--html" || text != "" {
		out = append(out, version, cmp.Or(text, "-"))
	}
	out = append(out, delivererOptions(tail)...)
	for _, rcpt := range operands {
		out = append(out, "--to", rcpt)
	}
	e.local = true
	switch {
	case headers:
		return append(out, "-t"), nil
	case len(operands) == 0:
		return nil, &usageError{msg: "no recipient", hint: "write `mail -s SUBJECT ADDRESS <FILE`; reading mail is `mail imap` and `mail pop`"}
	case e.stdinTTY:
		return e.mailxDialogue(out, subject)
	}
	return out, nil
}

// attachmentOrField reads -a, which is a header field to some programs of this name and an attachment to others.
func attachmentOrField(value string) []string {
	name, text, ok := strings.Cut(value, ":")
	isField := ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' })
	if _, err := os.Lstat(value); err == nil || !isField {
		return []string{"--attach", value}
	}
	switch option := strings.ToLower(name); option {
	case "from", "to", "cc", "bcc", "reply-to", "subject":
		return []string{"--" + option, strings.TrimSpace(text)}
	case "mime-version", "content-type", "content-transfer-encoding": // which follow from the text
		return nil
	}
	return []string{"--header", value}
}

// isHTML is true for a field that says so of the text.
func isHTML(field string) bool {
	name, kind, _ := strings.Cut(strings.ToLower(field), ":")
	return name == "content-type" && strings.HasPrefix(strings.TrimSpace(kind), "text/html")
}

// delivererOptions are options for sendmail, which some programs take behind "--": -f and -F, and addresses.
func delivererOptions(tail []string) (out []string) {
	options, operands, _, err := getopt(tail, "f:r:F:")
	if err != nil {
		operands = tail
	}
	for _, o := range options {
		if o.name == 'F' {
			out = append(out, "--full-name", o.value)
		} else {
			out = append(out, "-f", o.value)
		}
	}
	for _, rcpt := range operands {
		out = append(out, "--to", rcpt)
	}
	return out
}

// mailxDialogue asks for what is missing. The text ends with a line that has a dot only, or with the end of input.
func (e *env) mailxDialogue(out []string, subject bool) ([]string, error) {
	in := bufio.NewReader(e.stdin)
	if !subject {
		fmt.Fprint(e.stderr, "Subject: ")
		line, err := in.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		out = append(out, "--subject", strings.TrimRight(line, "\r\n"))
	}
	e.stdin, e.stdinTTY = &dotEnded{r: in}, false
	return out, nil
}

// sendmailOptions are those of Sendmail and Postfix; -q takes a value only at once.
const sendmailOptions = "A:B:C:D:F:GIL:M:N:O:R:TUV:X:b:d::f:h:imno:p:q::r:stvx"

// sendmail is the program that others send by.
func (e *env) sendmail(ctx context.Context, words []string) ([]string, error) {
	options, operands, tail, err := getopt(words, sendmailOptions)
	if err != nil {
		return nil, err
	}
	out := []string{"mail", "send"}
	dots, queue := true, false
	for _, o := range options {
		switch o.name {
		case 't', 'v':
			out = append(out, "-"+string(o.name))
		case 'i':
			dots = false
		case 'o':
			dots = dots && !strings.HasPrefix(o.value, "i")
		case 'f', 'r':
			out = append(out, "-f", o.value)
		case 'F':
			out = append(out, "--full-name", o.value)
		case 'N':
			out = append(out, "--dsn", o.value)
		case 'R':
			out = append(out, "--ret", strings.ToLower(o.value))
		case 'V':
			out = append(out, "--envid", o.value)
		case 'X':
			out = append(out, "--results", o.value)
		case 'C':
			out = append(out, "--config", o.value)
		case 'b':
			switch o.value {
			case "m":
			case "p":
				return e.mailq(ctx, nil)
			case "i":
				return e.newaliases(ctx, nil)
			case "v":
				out = append(out, "--dry-run")
			case "s":
				e.speaks = true
			default:
				return nil, usagef("-b%s is not done here: there is no daemon and no queue", o.value)
			}
		case 'q':
			queue = true
		}
	}
	operands = append(operands, tail...)
	if queue && len(operands) == 0 {
		return nil, nil // running a queue that is always empty
	}
	e.local = true
	if dots && !e.speaks {
		e.stdin = &dotEnded{r: bufio.NewReader(e.stdin)}
	}
	return append(append(out, "--"), operands...), nil
}

// mailq lists the queue. Messages are sent at once or not at all, so it is always empty.
func (e *env) mailq(context.Context, []string) ([]string, error) {
	_, err := fmt.Fprintln(e.stdout, "Mail queue is empty")
	return nil, err
}

// newaliases checks the files of aliases that the configuration names: they are read as they are, so there is nothing
// to build.
func (e *env) newaliases(context.Context, []string) ([]string, error) {
	f, err := config.OpenFile(config.Overrides{Getenv: e.getenv, PasswordFD: -1})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{"": true}
	for _, account := range f.Accounts {
		if seen[account.Aliases] {
			continue
		}
		seen[account.Aliases] = true
		if _, err := readAliases(account.Aliases); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// dotEnded reads a text up to a line that has a dot only.
type dotEnded struct {
	r    *bufio.Reader
	line []byte
	mid  bool // the line began in an earlier piece
	err  error
}

func (d *dotEnded) Read(p []byte) (int, error) {
	for len(d.line) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		piece, err := d.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			d.err = err
		}
		if text := strings.TrimRight(string(piece), "\r\n"); !d.mid && text == "." && err != bufio.ErrBufferFull {
			d.err = io.EOF
			continue
		}
		d.mid = err == bufio.ErrBufferFull
		d.line = piece
	}
	n := copy(p, d.line)
	d.line = d.line[n:]
	return n, nil
}
