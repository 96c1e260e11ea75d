package backup

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEncodeName(t *testing.T) {
	long := strings.Repeat("abcd", 60)
	for _, c := range []struct{ name, delim, want string }{
		{"Sent", "/", "Sent"},
		{"lists", "/", "lists~"},
		{"TODO", "/", "TODO~f"},
		{"eBay", "", "eBay~2"},
		{"2026", "/", "2026"},
		{"2026-Q1", "/", "2026-Q1"},
		{"2026-q1", "/", "2026-q1~"},
		{"INBOX", "/", "INBOX"},
		{"inbox", "/", "INBOX"},
		{"InBox/Sub", "/", "INBOX/Sub"},
		{"Work/INBOX", "/", "Work/INBOX~1f"},
		{"Work/Inbox", "/", "Work/Inbox"},
		{"INBOX.a.b", ".", "INBOX/a~/b~"},
		{"a.b", "/", "a%2Eb~"},
		{"a/b", "", "a%2Fb~"},
		{"Entwürfe/2026", "/", "Entw%C3%BCrfe/2026"},
		{"cur", "/", "cur~"},
		{"Cur", "/", "Cur~1"},
		{"Work/New", "/", "Work/New~1"},
		{"Con", "/", "Con~1"},
		{"Lpt9", "/", "Lpt9~1"},
		{"Com", "/", "Com"},
		{"Dovecot-keywords", "/", "Dovecot-keywords~1"},
		{"..", "/", "%2E%2E"},
		{"/", "/", "~/~"},
		{"a//b", "/", "a~/~/b~"},
		{"~", "/", "%7E"},
		{".mail-backup", "/", "%2Email-backup~"},
		{"\x00\xff", "/", "%00%FF"},
		{"Name ", "", "Name%20"},
		{long, "/", long[:157] + "~~+/" + long[157:] + "~"},
	} {
		got, err := EncodeName(c.name, c.delim)
		if err != nil || got != c.want {
			t.Errorf("EncodeName(%q, %q) = %q, %v, want %q", c.name, c.delim, got, err, c.want)
		}
	}
	for name, delim := range map[string]string{"": "/", strings.Repeat("é", 1000): "", strings.Repeat("/", 500): "/", strings.Repeat("x", 1<<20): ""} {
		if got, err := EncodeName(name, delim); err == nil {
			t.Errorf("EncodeName of %d octets = %q, want an error", len(name), shorten(got))
		}
	}
}

func TestDecodeNameRefuses(t *testing.T) {
	for _, dir := range []string{"", "/", "a", "lists", "Sent~1", "Sent~", "Inbox", "inbox~", "INBOX~1f", "TODO~F", "TODO~0f", "TODO~e", "Cur", "Con", "new~0",
		"%2e", "%41", "%4", "%", "%GG", "a~/", "/a~", "a~//b~", "..", ".", ".mail-backup", "a.b~", "a b~", "ü~", "a~+", "a~~+", "a~~+/b~", "~+/b~", "a~\x00",
		"a\\b~", strings.Repeat("a", 201) + "~", strings.Repeat("A/", 2000) + "A"} {
		if levels, err := DecodeName(dir); err == nil {
			t.Errorf("DecodeName(%q) = %q, want an error", shorten(dir), levels)
		}
	}
}

// hostileNames returns n different names, of every kind that has led programs astray.
func hostileNames(n int) []string {
	rnd := rand.New(rand.NewPCG(1, 2))
	seeds := []string{"", ".", "..", "...", "/", "//", "../..", "/etc/passwd", "C:", `C:\x`, `\\server\share`, "con", "NUL", "Com1", "lpt9", "aux.txt", "COM¹",
		"cur", "new", "tmp", "Cur", "TMP", "dovecot-keywords", ".mail-backup", "INBOX", "inbox", "Inbox", "iNbOx", "é", "e\u0301", "É", "Ａ", "ß", "SS", "ı", "İ",
		"i", "I", "K", "\u212a", "ﬁ", "a.", "a ", " a", "a:b", "a?b", "a*b", "a|b", `a"b`, "a<b>", "a\x00b", "a\nb", "\r\n", "\x7f", "\xff\xfe", "\xed\xa0\x80",
		"%2E", "%", "%%", "~", "~+", "a~", "A~1", "a~+", "&AOk-", "\u202egnp", "\ufeff", "-rf", "$(id)", "`id`", "~root", "Entwürfe", "日本語", "😀", "🏳️‍🌈"}
	letters := []string{"a", "A", "b", "Z", "0", ".", "/", "~", "%", "+", "é", "e\u0301", "\x00", "\xff", " ", "\\", ":", "cur", "NEW", "con", "inbox", "_", "-", "\u0130"}
	seen := map[string]bool{}
	var list []string
	add := func(s string) {
		if s != "" && !seen[s] && len(s) <= 900 && len(list) < n {
			seen[s] = true
			list = append(list, s)
		}
	}
	for _, a := range seeds {
		add(a)
		add(strings.ToUpper(a))
		add(strings.ToLower(a))
		add(strings.Repeat(a, 60))
		for _, b := range seeds {
			add(a + "/" + b)
		}
	}
	for _, size := range []int{150, 190, 195, 196, 197, 198, 199, 200, 201, 202, 203, 250, 255, 256, 400, 600} {
		for _, s := range []string{"a", "A", "x.", "0", "é", "aA"} {
			add(strings.Repeat(s, (size+len(s)-1)/len(s)))
		}
	}
	for len(list) < n {
		var b strings.Builder
		for range 1 + rnd.IntN(12) {
			b.WriteString(letters[rnd.IntN(len(letters))])
		}
		if rnd.IntN(20) == 0 {
			add(strings.Repeat(b.String(), 1+rnd.IntN(30)))
		}
		add(b.String())
	}
	return list
}

func TestF1_HostileMailboxNames(t *testing.T) {
	names := hostileNames(10_000)
	for _, delim := range []string{"/", ".", ""} {
		dirs := map[string]string{}
		for _, name := range names {
			dir, err := EncodeName(name, delim)
			if err != nil && delim != "" && strings.Count(name, delim) >= maxDepth {
				continue
			}
			if err != nil {
				t.Fatalf("EncodeName(%q, %q): %v", name, delim, err)
			}
			levels, err := DecodeName(dir)
			if err != nil {
				t.Fatalf("DecodeName(%q): %v", dir, err)
			}
			if got := joinLevels(levels, delim); got != foldInbox(name, delim) {
				t.Fatalf("%q became %q became %q", name, dir, got)
			}
			checkSafe(t, name, dir)
			folded := strings.ToLower(dir)
			if other, ok := dirs[folded]; ok && foldInbox(other, delim) != foldInbox(name, delim) {
				t.Fatalf("%q and %q have the folder %q", name, other, dir)
			}
			dirs[folded] = name
		}
		if len(dirs) < 9_000 {
			t.Errorf("delimiter %q: only %d folders for %d names", delim, len(dirs), len(names))
		}
	}
}

func joinLevels(levels []string, delim string) string {
	if delim == "" && len(levels) != 1 {
		return fmt.Sprintf("%d levels: %q", len(levels), levels)
	}
	return strings.Join(levels, delim)
}

// foldInbox writes INBOX in its one way.
func foldInbox(name, delim string) string {
	first, rest, more := name, "", false
	if delim != "" {
		first, rest, more = strings.Cut(name, delim)
	}
	if !strings.EqualFold(first, inbox) || len(first) != len(inbox) {
		return name
	}
	if more {
		rest = delim + rest
	}
	return inbox + rest
}

// checkSafe checks that a path is one on every system, whatever it does with the
// case and the composition of letters.
func checkSafe(t *testing.T, name, dir string) {
	t.Helper()
	for _, piece := range strings.Split(dir, "/") {
		stem := strings.ToLower(piece)
		switch {
		case piece == "" || len(piece) > maxPiece:
			t.Fatalf("%q has a folder name of %d octets: %q", name, len(piece), piece)
		case slices.Contains([]string{"con", "prn", "aux", "nul", "cur", "new", "tmp", keywordsFile}, stem), len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && stem[3] <= '9':
			t.Fatalf("%q has the folder name %q", name, piece)
		}
		for i := range len(piece) {
			if c := piece[i]; !plain(c) && strings.IndexByte("%~+", c) < 0 {
				t.Fatalf("%q has the octet %q in its folder %q", name, c, dir)
			}
		}
	}
}

// TestF1_NoFolderOutside makes the folders, and looks around them.
func TestF1_NoFolderOutside(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "backup")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, name := range hostileNames(2_000) {
		rel, err := EncodeName(name, "/")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		for rel != "." {
			want[rel] = true
			rel = filepath.Dir(rel)
		}
	}
	got := 0
	err := filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
		if rel, rerr := filepath.Rel(dir, path); rerr == nil && want[rel] {
			got++
		} else if path != parent && path != dir {
			t.Errorf("outside or unexpected: %q", path)
		}
		return err
	})
	if err != nil || got != len(want) {
		t.Errorf("%d folders, %v, want %d", got, err, len(want))
	}
}

func FuzzName(f *testing.F) {
	for _, name := range hostileNames(300) {
		f.Add(name, "/")
	}
	f.Fuzz(func(t *testing.T, text, delim string) {
		if levels, err := DecodeName(text); err == nil { // as a folder
			if again := encodeLevels(levels); again != text {
				t.Fatalf("folder %q is %q, of which the folder is %q", text, levels, again)
			}
		}
		dir, err := EncodeName(text, delim)
		if err != nil {
			return
		}
		levels, err := DecodeName(dir)
		if err != nil || joinLevels(levels, delim) != foldInbox(text, delim) {
			t.Fatalf("%q (delimiter %q) became %q became %q, %v", text, delim, dir, levels, err)
		}
		checkSafe(t, text, dir)
	})
}
