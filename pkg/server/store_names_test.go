package server

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// hostileNames are parts of names that lead astray where they are taken for paths.
var hostileNames = []string{"..", ".", "...", `..\..`, `C:`, `\\host\share`, "CON", "nul", "COM1", "cur", "new", "tmp", "a.", "a ", " ",
	"%2E%2E", "%", "%%", "a%%b", ".cur", "mail-lock", "INBOX", "inbox", "Inbox", "~", "*", "%41", "&AOk-", "é", "e\u0301", "Ä", "ß", "K", "ſ", "日本"}

// generatedNames makes names of hostile parts and random characters.
func generatedNames(n int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("abAB.%-_ :~\\&é01ÉsſkK日\u0301")
	names := slices.Clone(hostileNames)
	for len(names) < n {
		var parts []string
		for range 1 + rng.IntN(4) {
			if rng.IntN(3) == 0 {
				parts = append(parts, hostileNames[rng.IntN(len(hostileNames))])
				continue
			}
			part := make([]rune, 1+rng.IntN(6)*rng.IntN(6))
			for i := range part {
				part[i] = alphabet[rng.IntN(len(alphabet))]
			}
			parts = append(parts, strings.TrimRight(string(part), separator))
		}
		names = append(names, strings.Join(parts, separator))
	}
	return names
}

// TestF1_F2_FolderNames: the encoding is reversible, stays in the tree and no two
// names are one on file systems that fold case and normalise.
func TestF1_F2_FolderNames(t *testing.T) {
	folded, names := map[string]string{}, map[string]bool{}
	for _, name := range generatedNames(20_000) {
		name, err := canonicalName(name)
		if err != nil || name == inbox || names[name] {
			continue
		}
		names[name] = true
		dir := folderName(name)
		key := cases.Fold().String(norm.NFC.String(dir))
		if other, ok := folded[key]; ok {
			t.Errorf("%q and %q are both %q", name, other, dir)
		}
		folded[key] = name
		if len(dir) > maxFolderName || !filepath.IsLocal(dir) || strings.ContainsAny(dir, "/\\: \x00") || strings.HasPrefix(dir, "..") || strings.HasSuffix(dir, ".") {
			t.Errorf("%q: bad directory name %q", name, dir)
		}
		if back, ok := mailboxName(dir); !strings.Contains(dir, digestMark) && (!ok || back != name) {
			t.Errorf("%q: %q decodes to %q, %v", name, dir, back, ok)
		}
	}
	if len(names) < 10_000 {
		t.Errorf("only %d names were made", len(names))
	}
}

func TestFolderNames_Readable(t *testing.T) {
	for _, c := range []struct{ name, dir string }{
		{"Sent", ".Sent"}, {"Archive/2024", ".Archive.2024"}, {"sent", ".%73ent"}, {"SENT", ".S%45%4E%54"},
		{"INBOX/Work", ".INBOX.Work"}, {"Sent mail", ".Sent%20mail"}, {"..", ".%2E%2E"}, {"A/INBOX", ".A.I%4E%42%4F%58"},
	} {
		wantEqual(t, c.name, folderName(c.name), c.dir)
	}
	for _, c := range []struct{ dir, name string }{
		{".work", "work"}, {".A.b", "A/b"}, {".", ""}, {"..", ""}, {"..a", ""}, {".a.", ""}, {".INBOX", ""}, {"cur", ""}, {".a%2Fb", ""},
		{".a%zz", ""}, {".a%4", ""}, {".%00", ""},
	} {
		name, ok := mailboxName(c.dir)
		wantEqual(t, c.dir, fmt.Sprintf("%q %t", name, ok), fmt.Sprintf("%q %t", c.name, c.name != ""))
	}
	for _, c := range []struct{ user, dir string }{
		{"alice", "alice"}, {"Alice@example.org", "%41lice%40example%2Eorg"}, {"..", "%2E%2E"}, {"../x", "%2E%2E%2Fx"}, {"con", "%63on"}, {"lpt9", "%6Cpt9"},
	} {
		wantEqual(t, c.user, userFolder(c.user), c.dir)
	}
}

// TestF1_NothingOutsideTheRoot makes mailboxes and users of hostile names and looks
// from above what came of it.
func TestF1_NothingOutsideTheRoot(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "store")
	s, err := OpenMaildir(dir)
	mustDo(t, err)
	long := strings.Repeat("long/", 20) + strings.Repeat("é", 200)
	for _, user := range []string{"../../evil", "..", "/etc", "a\x00b", "alice"} {
		a, err := s.Account(user)
		mustDo(t, err)
		var made []string
		for i, name := range append(slices.Clone(hostileNames), long, long+"x", "x/../../y") {
			if i > 4 && user != "alice" {
				break // the names are the same for all
			}
			if err := a.Create(name, ""); err == nil {
				name, err := canonicalName(name)
				mustDo(t, err)
				putAll(t, testMailbox(t, a, name), name)
				made = append(made, name)
			}
		}
		if user != "alice" {
			continue
		}
		before := listNames(a)
		mustDo(t, a.Rename(long, long+"y"))
		mustDo(t, a.Rename(long+"y", long))
		mustDo(t, s.Close())
		s = openTestMaildir(t, dir)
		a, err = s.Account(user)
		mustDo(t, err)
		wantSlice(t, "names after opening again", listNames(a), before)
		for _, name := range made {
			wantEqual(t, "message in "+name, storedBody(t, testMailbox(t, a, name), 1), name)
		}
	}
	entries, err := os.ReadDir(top)
	mustDo(t, err)
	wantEqual(t, "entries beside the store", len(entries), 1)
	mustDo(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&(fs.ModeDir|fs.ModeType) != d.Type() {
			t.Errorf("%s is a %v", path, d.Type())
		}
		if info, ierr := d.Info(); err == nil && path != dir && (ierr != nil || info.Mode().Perm()&0o077 != 0) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func FuzzMailboxName(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(folderName(name))
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := mailboxName(s); ok {
			if again, err := canonicalName(name); err != nil || again != name {
				t.Errorf("%q gives %q, which is %q, %v", s, name, again, err)
			}
		}
		if name, err := canonicalName(s); err == nil && name != inbox {
			dir := folderName(name)
			if back, ok := mailboxName(dir); !strings.Contains(dir, digestMark) && (!ok || back != name) {
				t.Errorf("%q: %q decodes to %q, %v", name, dir, back, ok)
			}
		}
	})
}
