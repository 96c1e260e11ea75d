package server

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestScriptReference holds that both descriptions of the script language, the manual page's and the documentation of
// ParseScript, name every moment, action and lie, and that their examples are scripts.
func TestScriptReference(t *testing.T) {
	page, err := os.ReadFile("../../cmd/mail/man/mail-serve.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("script.go")
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(source), "// ParseScript reads")
	comment, _, _ = strings.Cut(comment, "\nfunc ")
	for name, text := range map[string]string{"manual": string(page), "comment": strings.ReplaceAll(comment, "\n//", "\n")} {
		words := []string{"CONNECT", "GREETING", "EOM", "LITERAL", "UNKNOWN", "delay", "split", "pause", "garbage", "reply", "drop",
			"reset", "drop at byte N", "reset at byte N", "lie NAME", "after N", "after N of M", "N of M", "N times", "once"}
		for _, lie := range scriptLies() {
			words = append(words, lie.name)
		}
		for _, word := range words {
			if !regexp.MustCompile(`(?m)(^|[\s,])` + regexp.QuoteMeta(word) + `($|[\s,:;.])`).MatchString(text) {
				t.Errorf("%s: %q is not described", name, word)
			}
		}
		examples := regexp.MustCompile(`(?m)^[ \t]+((?:on|hide) (?:SMTP|LMTP|POP3|IMAP|\*) .*)$`).FindAllStringSubmatch(text, -1)
		if len(examples) < 8 {
			t.Errorf("%s: found only %d examples", name, len(examples))
		}
		for _, example := range examples {
			if _, err := ParseScript(strings.NewReader(example[1])); err != nil {
				t.Errorf("%s: %s: %v", name, example[1], err)
			}
		}
	}
}

// TestScriptLies holds that there is a command for every lie in each of its protocols.
func TestScriptLies(t *testing.T) {
	for _, lie := range scriptLies() {
		for _, protocol := range lie.protocols {
			if !slices.ContainsFunc(lie.commands, func(c string) bool { return slices.Contains(scriptCommands(protocol), c) }) {
				t.Errorf("%s: %s has none of %v", lie.name, protocol, lie.commands)
			}
		}
	}
}
