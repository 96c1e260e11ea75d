package mimetree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// hostileNames makes n names of the kinds that have fooled programs, many of which meet in one file on some system.
func hostileNames(n int) []string {
	rng := rand.New(rand.NewPCG(4, 4))
	stems := []string{"report", "straße", "STRASSE", "ﬁle", "file", "café", "cafe\u0301", "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφος", "K", "\u212a", "CON", "nul",
		"COM1", "com\u00b9", "aux.txt", "", ".", "..", "...", ".bashrc", "-rf", "~", "a\u202etxt", "a\u200bb", "ab", "a\ufe0fb", "a\u034fb", "\u115f", "a\x00b", "a\nb",
		"a\rb", "a\x1b[2Jb", "a\tb", "\xff\xfe", "\xc0\xaf", "part-1.bin", "part-1-1.bin", ".mail-0000000000000000.part", "a:b", "a|b", "日本", "\u0085", "\u2028",
		strings.Repeat("x", 300), strings.Repeat("é", 200), strings.Repeat("e\u0301", 150), strings.Repeat("x", 200) + "1", strings.Repeat(".", 300)}
	before := []string{"", "../", "../../../../tmp/", "/etc/", `..\`, `C:\`, "C:", `\\host\share\`, "//host/share/", "dir/", "./", "%2e%2e%2f", "..\u2215", "～/", "\u2066", " "}
	after := []string{"", ".txt", ".TXT", ".", "..", " ", ". .", ".txt ", ".tar.gz", "\x00.exe", ".exe\u202e", "::$DATA", ":stream", "/", "/..", "/.", ".\u200b", "~1", "?*<>|"}
	names := make([]string, n)
	for i := range names {
		stem := stems[rng.IntN(len(stems))]
		switch rng.IntN(4) {
		case 0:
			stem = strings.ToUpper(stem)
		case 1:
			stem = norm.NFD.String(stem)
		}
		names[i] = before[rng.IntN(len(before))] + stem + after[rng.IntN(len(after))]
	}
	return names
}

// sameFile gives keys that are equal for two names that are one file on Linux with case folding, on macOS or on Windows.
func sameFile(name string) []string {
	fold := cases.Fold()
	ignored := strings.NewReplacer("\u200b", "", "\ufe0f", "", "\u034f", "", "\u115f", "", "\u202e", "", "\u2066", "")
	return []string{
		"linux " + norm.NFD.String(fold.String(norm.NFD.String(ignored.Replace(name)))),
		"macos " + norm.NFC.String(fold.String(norm.NFC.String(name))),
		"windows " + strings.ToUpper(strings.TrimRight(name, ". ")),
	}
}

// TestF4_HostileNames unpacks 2,000 files of hostile names into one folder.
func TestF4_HostileNames(t *testing.T) {
	names := hostileNames(2000)
	var msg strings.Builder
	msg.WriteString(head)
	for i, n := range names {
		escaped := strings.ReplaceAll(url.QueryEscape(n), "+", "%20")
		fmt.Fprintf(&msg, "--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename*=utf-8''%s\n\n%d\n", escaped, i)
	}
	msg.WriteString("--b--\n")
	above := t.TempDir()
	dir := filepath.Join(above, "in", "side")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	number := 0
	err := Unpack(context.Background(), strings.NewReader(msg.String()), dir, nil, func(e Entry) error {
		from := names[number]
		checkName(t, from, e.Name)
		for _, key := range sameFile(e.Name) {
			if other, ok := seen[key]; ok {
				t.Errorf("%q became %q, which is the same as %q: %s", from, e.Name, other, key)
			}
			seen[key] = e.Name
		}
		if b, err := os.ReadFile(filepath.Join(dir, e.Name)); err != nil || string(b) != fmt.Sprint(number) {
			t.Errorf("%q: got %q, %v, want %d", e.Name, b, err, number)
		}
		number++
		return nil
	})
	if err != nil || number != len(names) {
		t.Fatalf("%d of %d files, %v", number, len(names), err)
	}
	count := 0
	err = filepath.WalkDir(above, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if count++; filepath.Dir(path) != dir {
				t.Errorf("outside: %s", path)
			}
		}
		return err
	})
	if err != nil || count != len(names) {
		t.Errorf("%d files, %v", count, err)
	}
}

func TestF3_FolderIsLink(t *testing.T) {
	outside, above := t.TempDir(), t.TempDir()
	link := filepath.Join(above, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	each := func(Entry) error { return nil }
	var linked *LinkError
	if err := Unpack(context.Background(), strings.NewReader("\nx"), link, nil, each); !errors.As(err, &linked) || linked.Path != link {
		t.Errorf("got %v, want a *LinkError", err)
	}
	if got := files(t, outside); got != "" {
		t.Errorf("outside: %s", got)
	}
	if err := Unpack(context.Background(), strings.NewReader("\nx"), link+string(filepath.Separator), nil, each); err != nil {
		t.Errorf("with a separator: %v", err)
	}
	if got := files(t, outside); got != "part-1.txt=x" {
		t.Errorf("with a separator: got %q", got)
	}
}

// TestF3_FolderSwapped swaps the folder for a link to the outside, and back, while messages are unpacked into it: three seconds, a
// minute with MAIL_SOAK.
func TestF3_FolderSwapped(t *testing.T) {
	outside, above := t.TempDir(), t.TempDir()
	dir, aside := filepath.Join(above, "dir"), filepath.Join(above, "aside")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(above, "link")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	lasts := 3 * time.Second
	if os.Getenv("MAIL_SOAK") != "" {
		lasts = time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	var swaps int
	var wg sync.WaitGroup
	wg.Go(func() { // what fails is tried again: the attacker is not told why
		for ; ctx.Err() == nil; swaps++ {
			_ = os.Rename(dir, aside)
			_ = os.Rename(filepath.Join(above, "link"), dir)
			_ = os.Rename(dir, filepath.Join(above, "link"))
			_ = os.Rename(aside, dir)
		}
	})
	msg := attachments("a.txt", "b/c.txt", "../d.txt")
	unpacked, refused := 0, 0
	for ctx.Err() == nil {
		var linked *LinkError
		switch err := Unpack(context.Background(), strings.NewReader(msg), dir, nil, func(Entry) error { return nil }); {
		case err == nil:
			unpacked++
		case errors.As(err, &linked):
			refused++
		case !errors.Is(err, fs.ErrNotExist):
			t.Fatal(err)
		}
	}
	wg.Wait()
	if got := files(t, outside); got != "" {
		t.Errorf("outside: %.200s", got)
	}
	if swaps == 0 || unpacked == 0 {
		t.Errorf("%d swaps, %d unpacked, %d refused: nothing was tried", swaps, unpacked, refused)
	}
	t.Logf("%d swaps, %d unpacked, %d refused", swaps, unpacked, refused)
}
