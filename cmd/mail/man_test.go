package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// The man pages come from the command tree and from prose beside it, cmd/mail/man/PAGE.SECTION.txt. A page of a command
// has its name, synopsis, description, options and exit status from the tree; its prose adds sections, EXAMPLES at
// least. A prose file without a command is a page of its own; its NAME section is one line, what it is about.
//
// Prose is paragraphs between empty lines. A line `# TITLE` begins a section. Lines indented by four spaces are an
// example, shown as they are. A line `- ` begins an item of a list, a line that follows a term and begins with `: `
// explains the term. `code` and --options are bold, *name* is italic.
//
// To write the pages anew: go test ./cmd/mail -run Man -update

// manDate is the date of the pages: it changes with their layout only, so that pages are reproducible.
const manDate = "2026-11-22"

// manPage is one page being made.
type manPage struct {
	name     string // "mail-imap-fetch"
	section  string
	path     []*cli.Command
	leaf     *leaf // nil for a group or a page of prose
	sections []proseSection
}

type proseSection struct {
	title string
	lines []string
}

func (p *manPage) file() string { return p.name + "." + p.section }

// manPages walks the tree and adds the prose.
func manPages(t *testing.T) []*manPage {
	t.Helper()
	e, _, _ := testEnv("")
	e.grow()
	pages := []*manPage{{name: "mail", section: "1", path: nil}}
	var walk func(path []*cli.Command, commands []*cli.Command)
	walk = func(path, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden {
				continue
			}
			p := &manPage{section: "1", path: append(slices.Clone(path), c)}
			p.name = "mail-" + strings.ReplaceAll(pathName(p.path), " ", "-")
			if l, ok := e.leaves[c]; ok {
				p.leaf = &l
			}
			pages = append(pages, p)
			walk(p.path, c.Subcommands)
		}
	}
	walk(nil, e.root)
	return addProse(t, pages)
}

func addProse(t *testing.T, pages []*manPage) []*manPage {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("man", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		i := slices.IndexFunc(pages, func(p *manPage) bool { return p.file() == name })
		if i < 0 {
			dot := strings.LastIndexByte(name, '.')
			if dot < 0 || name[dot+1:] == "1" && oldNames[strings.TrimPrefix(name[:dot], "mail-")] == nil {
				t.Errorf("%s: there is no such command", file)
				continue
			}
			pages = append(pages, &manPage{name: name[:dot], section: name[dot+1:]})
			i = len(pages) - 1
		}
		pages[i].sections = parseProse(t, file, string(text))
	}
	return pages
}

func parseProse(t *testing.T, file, text string) []proseSection {
	t.Helper()
	var sections []proseSection
	for n, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if title, ok := strings.CutPrefix(line, "# "); ok {
			sections = append(sections, proseSection{title: title})
			continue
		}
		if len(sections) == 0 {
			t.Fatalf("%s:%d: text before the first section", file, n+1)
		}
		last := &sections[len(sections)-1]
		last.lines = append(last.lines, line)
	}
	return sections
}

// take removes a section and gives its lines.
func (p *manPage) take(title string) []string {
	i := slices.IndexFunc(p.sections, func(s proseSection) bool { return s.title == title })
	if i < 0 {
		return nil
	}
	lines := p.sections[i].lines
	p.sections = slices.Delete(slices.Clone(p.sections), i, i+1)
	return lines
}

// render writes the page in the man macros.
func (p *manPage) render(pages []*manPage, root []*cli.Command) string {
	r := &roff{}
	r.line(".TH %s %s %s mail", strings.ToUpper(roffWord(p.name)), p.section, manDate)
	switch {
	case p.leaf != nil:
		p.renderLeaf(r)
	case p.path != nil || p.name == "mail" && p.section == "1":
		p.renderGroup(r, root)
	default:
		r.heading("NAME")
		r.line(`%s \- %s`, roffWord(p.name), r.inline(strings.TrimSpace(strings.Join(p.take("NAME"), " "))))
	}
	also := p.take("SEE ALSO")
	for _, s := range p.sections {
		r.heading(s.title)
		r.prose(s.lines)
	}
	r.heading("SEE ALSO")
	r.references(p.related(pages, also))
	return r.String()
}

func (p *manPage) renderLeaf(r *roff) {
	l := p.leaf
	command := "mail " + pathName(p.path)
	r.heading("NAME")
	r.line(`%s \- %s`, roffWord(p.name), r.inline(l.usage))
	r.heading("SYNOPSIS")
	r.line(`.B %s`, roffWord(command))
	r.line(`%s`, roffWord(strings.TrimSpace("[OPTION…] "+l.args)))
	r.heading("DESCRIPTION")
	text := l.about
	if text == "" {
		text = strings.ToUpper(l.usage[:1]) + l.usage[1:] + "."
	}
	r.prose(strings.Split(text, "\n"))
	if more := p.take("DESCRIPTION"); more != nil {
		r.line(".PP")
		r.prose(more)
	}
	for _, s := range []struct{ title, category string }{
		{"OPTIONS", ""}, {"SERVER OPTIONS", serverOptions}, {"SHARED OPTIONS", sharedOptions},
	} {
		flags := flagsIn(l.flags, s.category)
		if s.title == "SHARED OPTIONS" {
			flags = append(flags, flagText{names: []string{"-h", "--help"}, usage: "show help"})
		}
		if len(flags) > 0 {
			r.heading(s.title)
		}
		for _, f := range flags {
			r.line(".TP")
			r.flag(f)
			r.line("%s", r.inline(sentence(f.usage)))
		}
		if more := p.take(s.title); more != nil {
			r.line(".PP")
			r.prose(more)
		}
	}
	r.exits(*l)
}

func (p *manPage) renderGroup(r *roff, root []*cli.Command) {
	usage, command, sub := about, "mail", root
	if len(p.path) > 0 {
		c := p.path[len(p.path)-1]
		usage, command, sub = c.Usage, "mail "+pathName(p.path), c.Subcommands
	}
	r.heading("NAME")
	r.line(`%s \- %s`, roffWord(p.name), r.inline(usage))
	r.heading("SYNOPSIS")
	r.line(".B %s", roffWord(command))
	r.line("%s", roffWord("COMMAND [OPTION…] [OPERAND…]"))
	if d := p.take("DESCRIPTION"); d != nil {
		r.heading("DESCRIPTION")
		r.prose(d)
	}
	r.heading("COMMANDS")
	for _, c := range sub {
		if c.Hidden {
			continue
		}
		r.line(".TP")
		r.line(".BR %s (1)", roffWord(p.name+"-"+c.Name))
		r.line("%s", r.inline(sentence(c.Usage)))
	}
	r.exits(leaf{})
}

// related names the pages above, beside and below, and those that the prose names: "crontab(5), jq(1)".
func (p *manPage) related(pages []*manPage, prose []string) []string {
	set := map[string]bool{"mail(7)": true, "mail-config(5)": true, "mail(1)": true}
	for _, q := range pages {
		up := len(p.path) > 0 && len(q.path) == len(p.path)-1 && slices.Equal(q.path, p.path[:len(q.path)]) && q.section == "1"
		beside := p.leaf != nil && len(p.path) > 1 && len(q.path) == len(p.path) && slices.Equal(q.path[:len(q.path)-1], p.path[:len(p.path)-1])
		if up || beside {
			set[q.name+"("+q.section+")"] = true
		}
	}
	for _, word := range strings.Split(strings.Join(prose, " "), ",") {
		if word = strings.TrimSpace(word); word != "" {
			set[word] = true
		}
	}
	delete(set, p.name+"("+p.section+")")
	var names []string
	for n := range set {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		nameA, sectionA, _ := strings.Cut(a, "(")
		nameB, sectionB, _ := strings.Cut(b, "(")
		return strings.Compare(sectionA+nameA, sectionB+nameB)
	})
	return names
}

// sentence makes a flag's text one: with a capital letter and a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "…") {
		s += "."
	}
	return s
}

// roff gathers lines of a man page.
type roff struct {
	strings.Builder
	fresh bool // a heading or paragraph was just begun: another one would be too much
}

// line writes one line; its arguments are escaped already.
func (r *roff) line(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	if r.fresh {
		text = strings.TrimPrefix(strings.TrimPrefix(text, ".PP"), "\n")
	}
	if strings.TrimSpace(text) != "" {
		r.WriteString(text + "\n")
		r.fresh = text == ".PP" || strings.HasPrefix(text, ".SH")
	}
}

func (r *roff) heading(title string) { r.line(".SH %s", roffWord(title)) }

var roffSpecial = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", `\&...`, `"`, `\(dq`)

// roffWord escapes words that are shown as typed: options, commands, examples.
func roffWord(s string) string { return guard(unicodeRoff(roffSpecial.Replace(s))) }

// roffText escapes running text: hyphens stay hyphens.
func roffText(s string) string {
	return unicodeRoff(strings.NewReplacer(`\`, `\e`, "…", `\&...`, "--", `\-\-`).Replace(s))
}

func unicodeRoff(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// guard keeps a line from being a request.
func guard(s string) string {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}

var inlineMarks = regexp.MustCompile("`([^`]+)`|(?:^|\\B)\\*([A-Za-z~$][^*`]*)\\*|\\B(--?[A-Za-z][A-Za-z0-9-]*)")

// inline turns `code`, *name* and --options into fonts.
func (r *roff) inline(text string) string {
	var b strings.Builder
	for {
		m := inlineMarks.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		b.WriteString(roffText(text[:m[0]]))
		switch {
		case m[2] >= 0:
			b.WriteString(`\fB` + roffWord(text[m[2]:m[3]]) + `\fR`)
		case m[4] >= 0:
			b.WriteString(`\fI` + roffWord(text[m[4]:m[5]]) + `\fR`)
		default:
			b.WriteString(`\fB` + roffWord(text[m[6]:m[7]]) + `\fR`)
		}
		text = text[m[1]:]
	}
	b.WriteString(roffText(text))
	return guard(b.String())
}

// flag writes the names of an option, bold, with its value in italics.
func (r *roff) flag(f flagText) {
	var parts []string
	for _, n := range f.names {
		part := `\fB` + roffWord(n) + `\fR`
		if f.holder != "" {
			part += ` \fI` + roffWord(f.holder) + `\fR`
		}
		parts = append(parts, part)
	}
	r.line("%s", strings.Join(parts, ", "))
}

func (r *roff) exits(l leaf) {
	r.heading("EXIT STATUS")
	for _, code := range exitCodes(l) {
		r.line(".TP")
		r.line(".B %d", code)
		r.line("%s", r.inline(sentence(exitMeaning(code))))
	}
}

func (r *roff) references(names []string) {
	for i, n := range names {
		name, section, _ := strings.Cut(n, "(")
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		r.line(".BR %s (%s%s", roffWord(name), section, comma)
	}
}

// prose writes paragraphs, examples, lists and terms.
func (r *roff) prose(lines []string) {
	open := "" // "text", "example", "list"
	begin := func(kind, macro string) {
		if open == "example" && kind != "example" {
			r.line(".fi\n.RE")
		}
		if kind == "text" && open != "text" && open != "" {
			r.line(".PP")
		}
		if macro != "" {
			r.line("%s", macro)
		}
		open = kind
	}
	for i, line := range lines {
		code, isCode := strings.CutPrefix(line, "    ")
		item, isItem := strings.CutPrefix(line, "- ")
		explained, isExplained := strings.CutPrefix(line, ": ")
		isTerm := i+1 < len(lines) && strings.HasPrefix(lines[i+1], ": ") && !isExplained
		switch {
		case strings.TrimSpace(line) == "":
			if next := nextLine(lines[i:]); open == "example" && strings.HasPrefix(next, "    ") {
				r.WriteString(".sp\n")
			} else if open == "text" || open == "list" {
				open = "gap"
			}
		case isCode && open == "example":
			r.line("%s", roffWord(code))
		case isCode:
			begin("example", ".PP\n.RS 4\n.nf")
			r.line("%s", roffWord(code))
		case isItem:
			begin("list", `.IP \(bu 2`)
			r.line("%s", r.inline(item))
		case isTerm:
			begin("list", ".TP")
			r.line("%s", r.inline(line))
		case isExplained:
			r.line("%s", r.inline(explained))
		default:
			if open != "list" {
				begin("text", "")
			}
			r.line("%s", r.inline(strings.TrimSpace(line)))
		}
	}
	begin("end", "")
}

func nextLine(lines []string) string {
	for _, l := range lines {
		if strings.TrimSpace(l) != "" {
			return l
		}
	}
	return ""
}

// TestManFiles compares man/ with the tree and the prose.
func TestManFiles(t *testing.T) {
	e, _, _ := testEnv("")
	e.grow()
	pages := manPages(t)
	known := map[string]bool{}
	for _, p := range pages {
		known[p.file()] = true
		checkFile(t, filepath.Join(repository, "man", p.file()), []byte(p.render(pages, e.root)))
	}
	files, err := filepath.Glob(filepath.Join(repository, "man", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch {
		case known[filepath.Base(f)]:
		case *update:
			_ = os.Remove(f)
		default:
			t.Errorf("%s is the page of no command", f)
		}
	}
}

// TestManExamples holds that the page of each leaf teaches with examples, and that the examples use commands and
// options that exist.
func TestManExamples(t *testing.T) {
	for _, p := range manPages(t) {
		examples := 0
		for _, s := range p.sections {
			for _, line := range s.lines {
				code, ok := strings.CutPrefix(line, "    ")
				if !ok {
					continue
				}
				for _, words := range shellCommands(code) {
					if words[0] != "mail" && oldNames[words[0]] == nil {
						continue
					}
					examples++
					checkExample(t, p.file()+": "+code, words)
				}
			}
		}
		if p.leaf != nil && examples == 0 {
			t.Errorf("%s: no example: write cmd/mail/man/%s.txt with a section EXAMPLES", p.name, p.file())
		}
	}
}

func checkExample(t *testing.T, where string, words []string) {
	t.Helper()
	e, _, _ := testEnv("")
	e.grow()
	if program, rest := e.oldName(words); program != nil {
		var err error
		if words, err = program(e, t.Context(), rest); err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
	}
	p, err := parse(e.root, e.leaves, words)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if p.help || p.version {
		return
	}
	operands := len(p.operands)
	l := e.leaves[p.path[len(p.path)-1]]
	if operands < l.minArgs || l.maxArgs >= 0 && operands > l.maxArgs {
		t.Errorf("%s: %d operands, want %d to %d", where, operands, l.minArgs, l.maxArgs)
	}
}

// shellCommands takes a line of shell apart, well enough for examples: quotes, pipes, lists, redirections, comments.
func shellCommands(line string) [][]string {
	var commands [][]string
	var words []string
	var word strings.Builder
	inWord, skip := false, false
	endWord := func() {
		if inWord && !skip {
			words = append(words, word.String())
		}
		if inWord {
			skip = false
		}
		inWord = false
		word.Reset()
	}
	endCommand := func() {
		endWord()
		for len(words) > 0 && (slices.Contains([]string{"if", "while", "do", "then", "!", "exec", "time"}, words[0]) ||
			regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	var quote rune
	runes := []rune(line)
	for i, c := range runes {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			endWord()
		case c == '#' && !inWord:
			endCommand()
			return commands
		case c == '|' || c == ';' || c == '&' || c == '(' || c == ')' || c == '`':
			endCommand()
		case c == '<' || c == '>':
			if !inWord || !strings.ContainsAny(word.String(), "012") || word.Len() > 1 {
				endWord()
			}
			inWord, skip = false, true
			word.Reset()
		default:
			if c == '\\' && i == len(runes)-1 {
				continue
			}
			word.WriteRune(c)
			inWord = true
		}
	}
	endCommand()
	return commands
}

// TestManRoff runs the pages through the formatters.
func TestManRoff(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository, "man", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, tool := range [][]string{{"groff", "-man", "-ww", "-z"}, {"mandoc", "-T", "lint", "-W", "warning"}} {
		t.Run(tool[0], func(t *testing.T) {
			path, err := exec.LookPath(tool[0])
			if err != nil {
				t.Skipf("%s is not installed", tool[0])
			}
			for _, f := range files {
				out, err := exec.CommandContext(context.Background(), path, append(tool[1:], f)...).CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("%s: %v\n%s", f, err, out)
				}
			}
		})
	}
}

// TestManExitCodes holds that mail(7) lists every exit code.
func TestManExitCodes(t *testing.T) {
	for _, p := range manPages(t) {
		if p.file() != "mail.7" {
			continue
		}
		lines := p.take("EXIT STATUS")
		for _, m := range exitMeanings {
			if !slices.Contains(lines, fmt.Sprint(m.code)) {
				t.Errorf("mail(7) does not list exit code %d", m.code)
			}
		}
	}
}
