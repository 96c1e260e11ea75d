package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is where help texts are wrapped.
const helpWidth = 80

// helpCommand is `mail help [COMMAND…]`.
func (e *env) helpCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "help",
		usage:   "show the help of a command",
		args:    "[COMMAND…]",
		maxArgs: -1,
		offers: func(e *env, before []string) []candidate {
			path, err := findCommand(e.root, before)
			if err != nil {
				return nil
			}
			commands := e.root
			if len(path) > 0 {
				commands = path[len(path)-1].Subcommands
			}
			return commandCandidates(commands)
		},
		run: func(_ context.Context, c *call) error {
			path, err := findCommand(e.root, c.args)
			if err != nil {
				return err
			}
			return e.printHelp(c.stdout, path)
		},
	})
}

// findCommand walks down the tree.
func findCommand(commands []*cli.Command, words []string) (path []*cli.Command, err error) {
	for _, w := range words {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(w) })
		if i < 0 {
			p := &parser{commands: commands}
			p.out.path = path
			return nil, p.unknownCommand(w)
		}
		path = append(path, commands[i])
		commands = commands[i].Subcommands
	}
	return path, nil
}

// printHelp writes the help of the command at the end of path; an empty path is the program.
func (e *env) printHelp(w io.Writer, path []*cli.Command) error {
	var b strings.Builder
	name := strings.TrimSpace("mail " + pathName(path))
	cmd := &cli.Command{Usage: about, Subcommands: e.root}
	if len(path) > 0 {
		cmd = path[len(path)-1]
	}
	fmt.Fprintf(&b, "%s - %s\n\n", name, cmd.Usage)
	if l, ok := e.leaves[cmd]; ok {
		helpLeaf(&b, name, l)
	} else {
		fmt.Fprintf(&b, "USAGE\n  %s COMMAND …\n  %s COMMAND --help\n\nCOMMANDS\n%s\n", name, name,
			commandList(cmd.Subcommands))
	}
	helpExits(&b, exitCodes(e.leaves[cmd]))
	_, err := io.WriteString(w, b.String())
	return err
}

func helpLeaf(b *strings.Builder, name string, l leaf) {
	fmt.Fprintf(b, "USAGE\n  %s [OPTION…]", name)
	if l.args != "" {
		b.WriteString(" " + l.args)
	}
	b.WriteString("\n\n")
	if l.about != "" {
		for _, par := range strings.Split(l.about, "\n\n") {
			b.WriteString(fold(par, "", helpWidth) + "\n\n")
		}
	}
	for _, section := range []struct{ title, category string }{
		{"OPTIONS", ""}, {"SERVER OPTIONS", serverOptions}, {"SHARED OPTIONS", sharedOptions},
	} {
		helpFlags(b, section.title, flagsIn(l.flags, section.category))
	}
}

// flagsIn gives the visible flags of a category.
func flagsIn(flags []cli.Flag, category string) []flagText {
	var in []flagText
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		have := ""
		if c, ok := f.(cli.CategorizableFlag); ok {
			have = c.GetCategory()
		}
		if have == category {
			in = append(in, describeFlag(f))
		}
	}
	return in
}

// flagText is a flag in words.
type flagText struct {
	names  []string // with dashes, short ones first
	holder string   // "FILE"; empty for a flag without value
	usage  string
	many   bool // may be given several times
}

func describeFlag(f cli.Flag) flagText {
	var t flagText
	for _, n := range f.Names() {
		if len(n) == 1 {
			t.names = append([]string{"-" + n}, t.names...)
		} else {
			t.names = append(t.names, "--"+n)
		}
	}
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return t
	}
	t.usage = d.GetUsage()
	if before, rest, found := strings.Cut(t.usage, "`"); found {
		word, after, _ := strings.Cut(rest, "`")
		t.holder, t.usage = word, before+word+after
	}
	switch {
	case !d.TakesValue():
		t.holder = ""
	case t.holder == "":
		t.holder = "VALUE"
	}
	if text := strings.TrimSpace(d.GetDefaultText()); d.TakesValue() && text != "" && text != `""` {
		t.usage += " (default: " + strings.Trim(text, `"`) + ")"
	}
	if s, ok := f.(cli.DocGenerationSliceFlag); ok && s.IsSliceFlag() {
		t.many = true
		t.usage += "; may be given several times"
	}
	return t
}

func (t flagText) left() string {
	left := strings.Join(t.names, ", ")
	if !strings.HasPrefix(t.names[0], "--") && len(t.names) == 1 || len(t.names[0]) == 2 {
		left = strings.Join(t.names, ", ")
	} else {
		left = "    " + left
	}
	if t.holder != "" {
		left += " " + t.holder
	}
	return left
}

func helpFlags(b *strings.Builder, title string, flags []flagText) {
	if len(flags) == 0 {
		return
	}
	b.WriteString(title + "\n")
	for _, f := range flags {
		helpItem(b, f.left(), f.usage, 26)
	}
	b.WriteString("\n")
}

// helpItem writes a term and its text in two columns.
func helpItem(b *strings.Builder, left, text string, column int) {
	pad := strings.Repeat(" ", column)
	folded := fold(text, pad, helpWidth)
	if len([]rune(left))+4 > column {
		fmt.Fprintf(b, "  %s\n%s\n", left, folded)
		return
	}
	fmt.Fprintf(b, "  %-*s%s\n", column-2, left, strings.TrimPrefix(folded, pad))
}

func commandList(commands []*cli.Command) string {
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	var b strings.Builder
	for _, c := range commands {
		if !c.Hidden {
			helpItem(&b, c.Name, c.Usage, width+6)
		}
	}
	return b.String()
}

// exitCodes are the codes that a command can end with, in order.
func exitCodes(l leaf) []int {
	codes := []int{exitOK, exitUsage}
	if l.name != "" {
		codes = append(codes, exitData, exitNoInput, exitBug, exitIO)
		codes = append(codes, l.exits...)
	}
	if l.changes {
		codes = append(codes, exitCreate)
	}
	if l.network != "" {
		codes = append(codes, exitNoHost, exitRefused, exitTemporary, exitProtocol, exitNoPerm, exitConfig)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func exitMeaning(code int) string {
	for _, m := range exitMeanings {
		if m.code == code {
			return m.text
		}
	}
	return ""
}

func helpExits(b *strings.Builder, codes []int) {
	b.WriteString("EXIT STATUS\n")
	for _, code := range codes {
		helpItem(b, fmt.Sprint(code), exitMeaning(code), 6)
	}
}

// fold wraps text at spaces, each line after the indent.
func fold(text, indent string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
