package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write man/ and completions/ anew")

// repository is the root of the source tree, seen from this package.
var repository = filepath.Join("..", "..")

// completed gives what is offered after words, the last one being completed.
func completed(t *testing.T, words ...string) string {
	t.Helper()
	e, stdout, stderr := testEnv("")
	e.tree = testTree
	if code := run(context.Background(), e, append([]string{"mail", "__complete"}, words...)); code != 0 || stderr.Len() > 0 {
		t.Fatalf("%q: got %d, %s", words, code, stderr)
	}
	var offered []string
	for _, line := range strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n") {
		word, _, _ := strings.Cut(line, "\t")
		offered = append(offered, word)
	}
	return strings.Join(offered, " ")
}

func TestComplete(t *testing.T) {
	cases := map[string]struct {
		words []string
		want  string
	}{
		"nothing":        {nil, "echo box wrapped silent panic read help :none"},
		"commands":       {[]string{""}, "echo box wrapped silent panic read help :none"},
		"prefix":         {[]string{"e"}, "echo :none"},
		"group":          {[]string{"box", ""}, "echo none one exec list :none"},
		"flags":          {[]string{"echo", "--s"}, "--subject --server :none"},
		"long and short": {[]string{"box", "none", "-"}, "-a --account --config --server --json -q --quiet -v --verbose --timeout --help :none"},
		"after operand":  {[]string{"echo", "x", "--su"}, "--subject :none"},
		"root flags":     {[]string{"--v"}, "--verbose --version :none"},
		"value":          {[]string{"echo", "-s", ""}, ":none"},
		"file value":     {[]string{"echo", "--config", ""}, ":files"},
		"file equals":    {[]string{"echo", "--config=x"}, ":files"},
		"bundle value":   {[]string{"echo", "-vs", ""}, ":none"},
		"after dashes":   {[]string{"echo", "--", "--s"}, ":none"},
		"unknown":        {[]string{"nosuch", ""}, ":none"},
		"unknown flag":   {[]string{"echo", "--nosuch", ""}, ":none"},
		"full":           {[]string{"box", "one", "a", ""}, ":none"},
		"help":           {[]string{"help", "box", "o"}, "one :none"},
		"substitution":   {[]string{"echo", "$(touch x)", "--su"}, "--subject :none"},
	}
	for name, c := range cases {
		if got := completed(t, c.words...); got != c.want {
			t.Errorf("%s %q:\n got %s\nwant %s", name, c.words, got, c.want)
		}
	}
}

func TestCompleteAccounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	text := "[account.work]\nimap = \"imaps://alice@imap.example.org\"\n[account.wiki]\nfrom = \"bob@example.org\"\n[account.home]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := completed(t, "echo", "--config", file, "-a", "w"), "work wiki :none"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := completed(t, "--config="+file, "echo", "--account=h"), "--account=home :none"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := completed(t, "--config", file+".none", "echo", "-a", ""); got != ":none" {
		t.Errorf("without a file: got %s", got)
	}
}

// TestCompletionFiles compares completions/ with what the program prints: `go test ./cmd/mail -run Completion -update`.
func TestCompletionFiles(t *testing.T) {
	for _, s := range completionScripts {
		e, stdout, stderr := testEnv("")
		if code := run(context.Background(), e, []string{"mail", "completion", s.shell}); code != 0 {
			t.Fatalf("%s: got %d, %s", s.shell, code, stderr)
		}
		checkFile(t, filepath.Join(repository, "completions", s.file), stdout.Bytes())
	}
}

// checkFile compares a generated file of the repository, or writes it with -update.
func checkFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the tree says (%v): run go test ./cmd/mail -run 'Man|Completion' -update", path, err)
	}
}

// inShell runs a script in an empty folder with the completion script sourced, and gives what it printed.
func inShell(t *testing.T, shell string, args ...string) (stdout, dir string) {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("%s is not installed", shell)
	}
	dir = t.TempDir()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "COMPLETIONS="+completionDir(t))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", shell, err, errs.Bytes())
	}
	if errs.Len() > 0 {
		t.Errorf("%s wrote to standard error: %s", shell, errs.Bytes())
	}
	return out.String(), dir
}

func completionDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(repository, "completions"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// nothingRan fails when the file that the typed command substitution would create is there.
func nothingRan(t *testing.T, dir string) {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(dir, "evil*")); len(found) > 0 {
		t.Errorf("completion ran what was typed: %v", found)
	}
}

// shellCase is what is typed after the program's name, and what is offered.
type shellCase struct {
	words []string
	want  string
}

var shellCases = map[string]shellCase{
	"commands":     {[]string{"comp"}, "completion"},
	"shells":       {[]string{"completion", ""}, "bash zsh fish powershell"},
	"prefix":       {[]string{"completion", "z"}, "zsh"},
	"flags":        {[]string{"help", "--acc"}, "--account"},
	"help":         {[]string{"help", "comp"}, "completion"},
	"unknown":      {[]string{"nosuch", ""}, ""},
	"substitution": {[]string{"help", "$(touch evil)", "`touch evil2`", "--acc"}, "--account"},
	"in the word":  {[]string{"help", "$(touch evil)"}, ""},
}

func TestCompletionBash(t *testing.T) {
	script := `source "$COMPLETIONS/mail.bash"
COMP_WORDS=(mail "$@"); COMP_CWORD=$#; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
_mail mail "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>&1; echo "${COMPREPLY[*]}"`
	for name, c := range shellCases {
		t.Run(name, func(t *testing.T) {
			out, dir := inShell(t, "bash", append([]string{"--norc", "-c", script, "bash"}, c.words...)...)
			if got := strings.TrimSpace(out); got != c.want {
				t.Errorf("%q: got %q, want %q", c.words, got, c.want)
			}
			nothingRan(t, dir)
		})
	}
	// bash takes words apart at = and at colons
	out, _ := inShell(t, "bash", "--norc", "-c", script, "bash", "help", "--account", "=", "x", "comp")
	if got := strings.TrimSpace(out); got != "completion" {
		t.Errorf("after --account=x: got %q", got)
	}
}

func TestCompletionFish(t *testing.T) {
	for name, c := range shellCases {
		t.Run(name, func(t *testing.T) {
			words := strings.NewReplacer("$(touch evil)", "(touch evil)", "`touch evil2`", "(touch evil2)")
			line := words.Replace("mail " + strings.Join(c.words, " "))
			out, dir := inShell(t, "fish", "--no-config", "-c", `source $COMPLETIONS/mail.fish; complete -C $argv[1]`, line)
			var got []string
			for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
				word, _, _ := strings.Cut(l, "\t")
				got = append(got, word)
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("%q: got %q, want %q", line, g, c.want)
			}
			nothingRan(t, dir)
		})
	}
}

// TestCompletionPowerShell reads the script where PowerShell is not there to run it.
func TestCompletionPowerShell(t *testing.T) {
	for _, word := range []string{"Invoke-Expression", "iex", "[scriptblock]::Create"} {
		if strings.Contains(powershellScript, word) {
			t.Errorf("the script uses %s", word)
		}
	}
	path, err := exec.LookPath("pwsh")
	if err != nil {
		t.Skip("pwsh is not installed")
	}
	for _, c := range shellCases {
		line := "mail " + strings.Join(c.words, " ")
		script := `. "$env:COMPLETIONS/mail.ps1"; $l = $args[0]
(TabExpansion2 -inputScript $l -cursorColumn $l.Length).CompletionMatches.CompletionText -join ' '`
		cmd := exec.Command(path, "-NoProfile", "-Command", script, line)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "COMPLETIONS="+completionDir(t))
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%q: got %q (%v), want %q", line, got, err, c.want)
		}
		nothingRan(t, cmd.Dir)
	}
}
