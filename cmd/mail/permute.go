package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// parsed is a command line after addressing.
type parsed struct {
	path     []*cli.Command // from the top-level command down
	options  []option       // in the order given
	operands []string
	help     bool
	version  bool
}

// option is one option as typed and as understood.
type option struct {
	typed string // "-s", "--subject": for messages
	flag  *flagInfo
	value string
}

// flagInfo is what the command line needs to know about a flag.
type flagInfo struct {
	name  string // the name the flag is set by
	takes bool   // takes a value
	names []string
	flag  cli.Flag
}

// dashed is the name with its dashes.
func (f *flagInfo) dashed() string {
	if len(f.name) == 1 {
		return "-" + f.name
	}
	return "--" + f.name
}

// flagTable finds flags by any of their names.
type flagTable map[string]*flagInfo

func newFlagTable(flags []cli.Flag) flagTable {
	t := flagTable{}
	for _, f := range flags {
		info := &flagInfo{name: f.Names()[0], names: f.Names(), flag: f}
		if d, ok := f.(cli.DocGenerationFlag); ok {
			info.takes = d.TakesValue()
		}
		for _, n := range info.names {
			t[n] = info
		}
	}
	return t
}

// parser walks over the words once. Options may stand anywhere: those before the command is named must be shared ones.
type parser struct {
	leaves   map[*cli.Command]leaf
	commands []*cli.Command // what may be named next
	leaf     *cli.Command   // nil until it is named
	table    flagTable
	options  []option
	operands []string
	rest     []string // words not looked at yet
	ended    bool     // "--" was seen
	pending  *option  // the last word is an option whose value is missing
	out      parsed
}

func newParser(commands []*cli.Command, leaves map[*cli.Command]leaf, words []string) *parser {
	return &parser{leaves: leaves, commands: commands, table: commonTable(), rest: words}
}

// parse repairs what the library does not do: options after operands, bundles of short options, "--", options of the
// leaf given before its name, and the reports on all that is wrong.
func parse(commands []*cli.Command, leaves map[*cli.Command]leaf, argv []string) (*parsed, error) {
	p := newParser(commands, leaves, argv[min(1, len(argv)):])
	if err := p.words(); err != nil {
		return nil, err
	}
	if p.out.help || p.out.version {
		return &p.out, nil
	}
	return p.finish()
}

// commonTable holds the flags that a leaf may have besides its own.
func commonTable() flagTable {
	s := &sharedFlags{}
	return newFlagTable(s.flags(leaf{changes: true, network: "any"}))
}

// words goes over what was typed until the end, or until help or the version is asked for.
func (p *parser) words() error {
	for len(p.rest) > 0 && !p.out.help && !p.out.version {
		word := p.rest[0]
		p.rest = p.rest[1:]
		if err := p.word(word); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) word(word string) error {
	switch {
	case p.ended || word == "-" || word == "" || word[0] != '-':
		return p.plain(word)
	case word == "--":
		p.ended = true
		return nil
	case strings.HasPrefix(word, "--"):
		return p.long(word)
	}
	return p.short(word)
}

// plain takes the name of a command, or an operand.
func (p *parser) plain(word string) error {
	sub := slices.IndexFunc(p.commands, func(c *cli.Command) bool { return c.HasName(word) })
	if p.leaf != nil && (sub < 0 || p.ended || len(p.operands) > 0) { // a leaf may have leaves below it: serve wait
		p.operands = append(p.operands, word)
		if p.leaves[p.leaf].rawTail {
			p.operands = append(p.operands, p.rest...)
			p.rest = nil
		}
		return nil
	}
	if sub >= 0 {
		return p.descend(p.commands[sub])
	}
	if word == "help" && len(p.out.path) > 0 {
		return p.helpFor(p.rest)
	}
	return p.unknownCommand(word)
}

func (p *parser) descend(c *cli.Command) error {
	p.out.path = append(p.out.path, c)
	p.commands = c.Subcommands
	if _, ok := p.leaves[c]; !ok {
		return nil
	}
	p.leaf = c
	p.table = newFlagTable(c.Flags)
	for i, o := range p.options {
		info := p.table[o.flag.name]
		if info == nil {
			return p.unknownOption(o.typed, o.flag.name)
		}
		p.options[i].flag = info
	}
	return nil
}

// helpFor handles `mail imap help fetch`.
func (p *parser) helpFor(words []string) error {
	for _, w := range words {
		i := slices.IndexFunc(p.commands, func(c *cli.Command) bool { return c.HasName(w) })
		if i < 0 {
			return p.unknownCommand(w)
		}
		p.out.path = append(p.out.path, p.commands[i])
		p.commands = p.commands[i].Subcommands
	}
	p.out.help = true
	return nil
}

// long takes --name, --name=value or --name value.
func (p *parser) long(word string) error {
	name, value, given := strings.Cut(word[2:], "=")
	switch {
	case name == "help" && !given:
		p.out.help = true
		return nil
	case name == "version" && !given && len(p.out.path) == 0:
		p.out.version = true
		return nil
	}
	info := p.table[name]
	if info == nil || len(name) == 1 {
		return p.unknownOption("--"+name, name)
	}
	return p.take(info, "--"+name, value, given)
}

// short takes -x, -x value, -xvalue, -x=value and bundles of them.
func (p *parser) short(word string) error {
	bundle := word[1:]
	if p.isLong(bundle) {
		return p.usage("unknown option "+word, "write long options with two dashes: -"+word)
	}
	for len(bundle) > 0 {
		_, size := utf8.DecodeRuneInString(bundle)
		letter := bundle[:size]
		bundle = bundle[size:]
		if letter == "h" && p.table["h"] == nil {
			p.out.help = true
			return nil
		}
		info := p.table[letter]
		if info == nil {
			return p.unknownShort(letter, word)
		}
		typed := "-" + letter
		if value, given := strings.CutPrefix(bundle, "="); given {
			return p.take(info, typed, value, true)
		}
		if info.takes && bundle != "" {
			return p.take(info, typed, bundle, true)
		}
		if err := p.take(info, typed, "", false); err != nil {
			return err
		}
	}
	return nil
}

// isLong tells whether the words after one dash name a long option, as in -subject.
func (p *parser) isLong(text string) bool {
	name, _, _ := strings.Cut(text, "=")
	return len(name) > 1 && (p.table[name] != nil || name == "help" || name == "version")
}

// take records an option, with the next word as its value where one is needed.
func (p *parser) take(info *flagInfo, typed, value string, given bool) error {
	switch {
	case given:
	case info.takes && len(p.rest) == 0:
		p.pending = &option{typed: typed, flag: info}
		return p.usage("option "+typed+" needs a value", "")
	case info.takes:
		value, p.rest = p.rest[0], p.rest[1:]
	default:
		value = "true"
	}
	p.options = append(p.options, option{typed, info, value})
	return nil
}

// finish ends the parsing of a command that is to be run.
func (p *parser) finish() (*parsed, error) {
	if p.leaf == nil {
		return nil, p.missingCommand()
	}
	p.out.options, p.out.operands = p.options, p.operands
	return &p.out, nil
}

func (p *parser) command() string { return pathName(p.out.path) }

// pathName is "imap fetch".
func pathName(path []*cli.Command) string {
	names := make([]string, len(path))
	for i, c := range path {
		names[i] = c.Name
	}
	return strings.Join(names, " ")
}

// usage makes the error; without a hint the help is named.
func (p *parser) usage(msg, hint string) error {
	if hint == "" {
		hint = fmt.Sprintf("see `%s --help`", strings.TrimSpace("mail "+p.command()))
	}
	return &usageError{command: p.command(), msg: msg, hint: hint}
}

func (p *parser) unknownOption(typed, name string) error {
	var known []string
	for n := range p.table {
		if len(n) > 1 {
			known = append(known, n)
		}
	}
	if near := closest(name, append(known, "help")); near != "" {
		return p.usage("unknown option "+typed, "did you mean --"+near+"?")
	}
	return p.usage("unknown option "+typed, p.afterDashes(typed))
}

func (p *parser) unknownShort(letter, word string) error {
	msg := "unknown option -" + letter
	if word != "-"+letter {
		msg += " in " + word
	}
	if len(p.out.path) == 0 {
		return p.usage(msg, "`mail help` lists the commands")
	}
	return p.usage(msg, p.afterDashes(word))
}

// afterDashes explains how to write a negative number or a name that begins with a dash.
func (p *parser) afterDashes(word string) string {
	if p.leaf != nil && p.leaves[p.leaf].maxArgs != 0 {
		return fmt.Sprintf("if it is no option but an operand, write it after --: mail %s -- %s", p.command(), word)
	}
	return ""
}

func (p *parser) unknownCommand(word string) error {
	var known []string
	for _, c := range p.commands {
		if !c.Hidden {
			known = append(known, c.Names()...)
		}
	}
	hint := ""
	if near := closest(word, known); near != "" {
		hint = "did you mean `" + strings.TrimSpace("mail "+p.command()) + " " + near + "`?"
	}
	return p.usage(fmt.Sprintf("unknown command %q", word), hint)
}

// groupError is a group without a subcommand: a usage error that carries the list.
type groupError struct {
	usageError
	list string
}

// Unwrap lets errors.As find the usage error.
func (e *groupError) Unwrap() error { return &e.usageError }

func (p *parser) missingCommand() error {
	err := p.usage("a command is missing; there are", "").(*usageError)
	return &groupError{*err, commandList(p.commands)}
}

// closest gives the known word that word was most likely meant to be, or "".
func closest(word string, known []string) string {
	best, distance := "", max(1, len(word)/3)+1
	slices.Sort(known)
	for _, k := range known {
		if d := editDistance(word, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, changes and swaps of neighbours between two short words.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	var before, row []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row = append([]int{i}, make([]int, len(b))...)
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
