package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corpora is where real messages may lie, beside the repository.
var corpora = filepath.Join(repository, "..", "shared", "corpora")

// sendDry looks at a message as a whole and says what it would do.
var sendDry = []string{"send", "--dry-run", "--server", "smtp+plain://127.0.0.1:9", "-f", "alice@example.org", "bob@example.org"}

// showOnTerminal runs a command whose output and errors go to a terminal.
func showOnTerminal(t *testing.T, message string, words []string) string {
	t.Helper()
	e, stdout, stderr := testEnv(message)
	e.stdoutTTY, e.stderrTTY = true, true
	if code := run(context.Background(), e, append([]string{"mail"}, words...)); code == exitBug {
		t.Errorf("mail %q: a bug: %s", words, stderr)
	}
	return stdout.String() + stderr.String()
}

func checkShown(t *testing.T, name, message string, commands ...[]string) {
	t.Helper()
	for _, words := range commands {
		seen := showOnTerminal(t, message, words)
		for _, r := range seen {
			if unsafeRune(r) && r != '\n' && r != '\t' {
				i := strings.IndexRune(seen, r)
				t.Errorf("%s: mail %q: the terminal received %q", name, words, seen[max(0, i-20):min(i+20, len(seen))])
				break
			}
		}
	}
}

// TestO1_CorpusOnTerminal sends every message of the corpora, as far as --dry-run goes; TestO1_MimeOnTerminal reads
// them.
func TestO1_CorpusOnTerminal(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(corpora, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".txt", ".eml", ".msg", ".raw", ".bin":
		default:
			return nil
		}
		message, err := os.ReadFile(path)
		if err != nil || len(message) > 1<<20 {
			return err
		}
		if files++; testing.Short() && files%10 != 0 {
			return nil
		}
		checkShown(t, path, string(message), sendDry)
		return nil
	})
	if err != nil || files == 0 {
		t.Skipf("no corpora beside the repository: %v", err)
	}
	t.Logf("%d messages", files)
}

func TestO1_CraftedOnTerminal(t *testing.T) {
	t.Parallel()
	texts := hostileTexts()
	if len(texts) < 500 {
		t.Fatalf("only %d texts", len(texts))
	}
	if testing.Short() {
		texts = texts[:200]
	}
	for some := range slices.Chunk(texts, 10) {
		var plain, words, parts strings.Builder
		for _, s := range some {
			fmt.Fprintf(&plain, "From: %s <alice@example.org>\nSubject: %s\nX-%s: x\n", s, s, s)
			fmt.Fprintf(&words, "Subject: =?utf-8?q?%s?=\n", percent(s, '='))
			fmt.Fprintf(&parts, "--b\nContent-Type: text/plain; charset=%q; name=\"a%sb.txt\"\n\n%s\n", s, s, s)
			fmt.Fprintf(&parts, "--b\nContent-Disposition: attachment; filename*=utf-8''%s\n\n%s\n", percent(s, '%'), s)
		}
		body := "To: bob@example.org\nContent-Type: multipart/mixed; boundary=b\n\n" + parts.String() + "--b--\n"
		for _, header := range []string{plain.String(), words.String()} {
			checkShown(t, fmt.Sprintf("%q", some), header+body, sendDry, []string{"mime", "tree"}, []string{"mime", "headers"},
				[]string{"mime", "headers", "subject"}, []string{"mime", "cat", "--raw", "TEXT"}, []string{"mime", "unpack", "--list"})
		}
	}
}

// percent writes every byte as mark and two hexadecimal digits.
func percent(s string, mark byte) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%c%02X", mark, c)
	}
	return b.String()
}
