package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is a module that the program links.
type module struct{ path, version, dir string }

// linkedModules asks the go command what the program is made of, for all systems that differ in it.
func linkedModules(t *testing.T) []module {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed")
	}
	const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"
	var all []module
	for _, system := range []string{"linux", "darwin", "freebsd"} {
		cmd := exec.Command(goTool, "list", "-deps", "-tags", "urfave_cli_no_docs", "-f", format, ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v: %s", err, stderr.Bytes())
		}
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			f := strings.Split(line, "\t")
			if len(f) == 3 {
				all = append(all, module{f[0], f[1], f[2]})
			}
		}
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return slices.Compact(all)
}

// TestModulesLinked holds the list of linked modules: each new one is code of strangers in a program that handles
// passwords, so it enters by a change of testdata/modules.txt that somebody looked at.
//
// To write it and NOTICE anew: go test ./cmd/mail -run Modules -update
func TestModulesLinked(t *testing.T) {
	var list bytes.Buffer
	for _, m := range linkedModules(t) {
		fmt.Fprintln(&list, m.path)
	}
	checkFile(t, filepath.Join("testdata", "modules.txt"), list.Bytes())
}

// TestModulesNotice holds NOTICE: the licences ask that their text goes with the program.
func TestModulesNotice(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("The program mail is under the MIT licence: see LICENSE. It contains the modules below.\n")
	seen := map[string]string{}
	for _, m := range linkedModules(t) {
		fmt.Fprintf(&b, "\n%s\n%s %s\n", strings.Repeat("-", 78), m.path, m.version)
		texts := licenceTexts(t, m.dir)
		if len(texts) == 0 {
			t.Errorf("%s has no licence", m.path)
		}
		for _, text := range texts {
			if before, ok := seen[text]; ok {
				fmt.Fprintf(&b, "\nThe same text as for %s.\n", before)
				continue
			}
			seen[text] = m.path
			fmt.Fprintf(&b, "\n%s\n", text)
		}
	}
	checkFile(t, filepath.Join(repository, "NOTICE"), b.Bytes())
}

func licenceTexts(t *testing.T, dir string) (texts []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(strings.ToUpper(f.Name()), ".")
		if f.IsDir() || !slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS", "LICENSE-MIT"}, name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		clean := strings.ReplaceAll(string(text), "\r\n", "\n")
		texts = append(texts, strings.TrimSpace(clean))
	}
	return texts
}
