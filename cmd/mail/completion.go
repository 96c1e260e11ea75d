package main

import (
	"context"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
)

// candidate is one word that completion offers.
type candidate struct{ word, about string }

// operandOffers gives what may stand as the next operand, after those in before.
type operandOffers func(e *env, before []string) []candidate

// What a shell does when no word is offered.
const (
	offerNothing = ":none"
	offerFiles   = ":files"
	offerDirs    = ":dirs"
)

// complete answers the completion scripts. words are the words after the program's name up to the cursor, the last one
// being completed, exactly as typed: nothing of them is evaluated. The answer is a line for each word to offer, with
// its explanation after a tab, then a line that begins with a colon: what the shell offers when there is none.
func (e *env) complete(words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	p := newParser(e.root, e.leaves, before)
	if err := p.words(); (err != nil && p.pending == nil) || p.out.help || p.out.version {
		return e.offer(nil, offerNothing)
	}
	name, value, given := strings.Cut(current, "=")
	switch {
	case p.pending != nil:
		return e.offerValue(p, p.pending.flag, "", current)
	case p.ended || current == "" || current[0] != '-':
		return e.offerWord(p, current)
	case given:
		if info := p.table[strings.TrimLeft(name, "-")]; info != nil {
			return e.offerValue(p, info, name+"=", value)
		}
		return e.offer(nil, offerNothing)
	}
	return e.offer(withPrefix(flagCandidates(p), current), offerNothing)
}

// offerWord offers commands, or operands of a leaf.
func (e *env) offerWord(p *parser, current string) error {
	if p.leaf == nil {
		return e.offer(withPrefix(commandCandidates(p.commands), current), offerNothing)
	}
	l := e.leaves[p.leaf]
	if l.offers != nil {
		return e.offer(withPrefix(l.offers(e, p.operands), current), offerNothing)
	}
	if l.maxArgs >= 0 && len(p.operands) >= l.maxArgs {
		return e.offer(nil, offerNothing)
	}
	return e.offer(nil, shellKind(l.args))
}

// offerValue offers values of a flag; prefix is what stands before the value in the same word.
func (e *env) offerValue(p *parser, info *flagInfo, prefix, current string) error {
	var words []candidate
	if g, ok := info.flag.(*cli.GenericFlag); ok {
		if v, ok := g.Value.(*value); ok {
			for _, c := range v.choices {
				words = append(words, candidate{word: c})
			}
		}
	}
	if info.name == "account" {
		words = e.accountCandidates(p)
	}
	words = withPrefix(words, current)
	for i := range words {
		words[i].word = prefix + words[i].word
	}
	return e.offer(words, shellKind(describeFlag(info.flag).holder))
}

var (
	fileWords = regexp.MustCompile(`\b(FILE|GLOB|DEST|SRC)\b`)
	dirWords  = regexp.MustCompile(`\b(DIR)\b`)
)

// shellKind tells from the names of operands whether the shell should offer files.
func shellKind(holders string) string {
	switch {
	case fileWords.MatchString(holders):
		return offerFiles
	case dirWords.MatchString(holders):
		return offerDirs
	}
	return offerNothing
}

func commandCandidates(commands []*cli.Command) []candidate {
	var words []candidate
	for _, c := range commands {
		if !c.Hidden {
			words = append(words, candidate{c.Name, c.Usage})
		}
	}
	return words
}

// flagCandidates gives the options that may stand here, in the order of the help.
func flagCandidates(p *parser) []candidate {
	flags := (&sharedFlags{}).every()
	if p.leaf != nil {
		flags = p.leaf.Flags
	}
	var words []candidate
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		t := describeFlag(f)
		for _, n := range t.names {
			words = append(words, candidate{n, t.usage})
		}
	}
	words = append(words, candidate{"--help", "show help"})
	if len(p.out.path) == 0 {
		words = append(words, candidate{"--version", "show the version"})
	}
	return words
}

func withPrefix(words []candidate, prefix string) []candidate {
	return slices.DeleteFunc(words, func(c candidate) bool { return !strings.HasPrefix(c.word, prefix) })
}

func (e *env) offer(words []candidate, otherwise string) error {
	var b strings.Builder
	for _, c := range words {
		b.WriteString(escapeText(c.word))
		if c.about != "" {
			b.WriteString("\t" + escapeText(c.about))
		}
		b.WriteByte('\n')
	}
	b.WriteString(otherwise + "\n")
	_, err := io.WriteString(e.stdout, b.String())
	return err
}

// accountCandidates gives the accounts of the configuration; one that cannot be read offers nothing.
func (e *env) accountCandidates(p *parser) (words []candidate) {
	o := config.Overrides{Getenv: e.getenv}
	for _, given := range p.options {
		if given.flag.name == "config" {
			o.ConfigFile = given.value
		}
	}
	file, err := config.OpenFile(o)
	if err != nil {
		return nil
	}
	for _, a := range file.Accounts {
		words = append(words, candidate{a.Name, a.From})
	}
	return words
}

// completionCommand is `mail completion SHELL`.
func (e *env) completionCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "completion",
		usage: "print the completion script of a shell",
		about: "Prints a script that completes commands, options, accounts and files. The script asks this program " +
			"what may follow and evaluates nothing that was typed.",
		args:    "bash|zsh|fish|powershell",
		minArgs: 1,
		maxArgs: 1,
		offers: func(_ *env, before []string) (words []candidate) {
			for _, s := range completionScripts {
				if len(before) == 0 {
					words = append(words, candidate{word: s.shell})
				}
			}
			return words
		},
		run: func(_ context.Context, c *call) error {
			for _, s := range completionScripts {
				if s.shell == c.args[0] {
					_, err := io.WriteString(c.stdout, s.text)
					return err
				}
			}
			return usagef("no script for %q: bash, zsh, fish or powershell expected", c.args[0])
		},
	})
}

// completionScripts are the scripts and the files they are installed as. Each passes the words as they were typed, one
// argument each, to `mail __complete`: see env.complete.
var completionScripts = []struct{ shell, file, text string }{
	{"bash", "mail.bash", bashScript},
	{"zsh", "_mail", zshScript},
	{"fish", "mail.fish", fishScript},
	{"powershell", "mail.ps1", powershellScript},
}

// bashScript puts words together again that bash takes apart at = and :, and cuts the answers accordingly.
const bashScript = `# bash completion for mail. Printed by: mail completion bash
_mail() {
    local -a words=()
    local i word line prefix join=
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ( $join || $word == [=:]* ) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        [[ $word == *[=:] ]] && join=1 || join=
    done
    word=${words[${#words[@]}-1]}
    prefix=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files) [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default 2>/dev/null ;;
        :dirs) [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o dirnames 2>/dev/null ;;
        :*) ;;
        *)
            line=${line%%$'\t'*}
            line=${line#"$prefix"}
            [[ $line == *[!A-Za-z0-9_@%+=:,./-]* ]] && printf -v line %q "$line"
            COMPREPLY+=("$line")
            ;;
        esac
    done < <(command mail __complete "${words[@]}" 2>/dev/null)
}
complete -F _mail mail
`

const zshScript = `#compdef mail
# zsh completion for mail. Printed by: mail completion zsh
_mail() {
    local -a found
    local line word kind=:none
    while IFS= read -r line; do
        if [[ $line == :* ]]; then
            kind=$line
        else
            word=${line%%$'\t'*}
            if [[ $line == *$'\t'* ]]; then
                found+=("${word//:/\\:}:${line#*$'\t'}")
            else
                found+=("${word//:/\\:}")
            fi
        fi
    done < <(command mail __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then
        _describe 'mail' found
    elif [[ $kind == :files ]]; then
        _files
    elif [[ $kind == :dirs ]]; then
        _files -/
    fi
}
if [[ $funcstack[1] == _mail ]]; then
    _mail "$@"
else
    compdef _mail mail
fi
`

const fishScript = `# fish completion for mail. Printed by: mail completion fish
function __mail_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found
    for line in (command mail __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files'
                test -z "$found"; and __fish_complete_path "$current"
            case ':dirs'
                test -z "$found"; and __fish_complete_directories "$current"
            case ':*'
            case '*'
                set found 1
                printf '%s\n' $line
        end
    end
end
complete -c mail -f -k -a '(__mail_complete)'
`

const powershellScript = `# PowerShell completion for mail. Printed by: mail completion powershell
Register-ArgumentCompleter -Native -CommandName mail -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -le $cursorPosition } | ForEach-Object { $_.Extent.Text })
    if ($wordToComplete -eq '') {
        $words += if ($PSVersionTable.PSVersion -ge [version]'7.3') { '' } else { '""' }
    }
    & mail __complete @words 2>$null | Where-Object { $_ -notlike ':*' } | ForEach-Object {
        $word, $about = $_ -split [char]9, 2
        if (-not $about) { $about = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $about)
    }
}
`
