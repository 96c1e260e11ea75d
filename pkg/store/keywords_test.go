//go:build linux

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// keywordMaildir opens a new Maildir with those keywords.
func keywordMaildir(t *testing.T, keywords string) (dir string, m *maildir) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "md")
	m = open(t, "maildir:"+dir, SinkOptions{}).(*maildir)
	if keywords != "" {
		writeFile(t, filepath.Join(dir, keywordsFile), keywords)
	}
	return dir, m
}

// TestKeywordsWritten: a keyword has the letter that it has already, or the first free one.
func TestKeywordsWritten(t *testing.T) {
	many := make([]string, 30)
	for i := range many {
		many[i] = fmt.Sprintf("k%02d", i)
	}
	for name, c := range map[string]struct {
		before, after string
		flags, want   []string
		letters       string
	}{
		"no file":   {"", "0 work\n1 $Junk\n", []string{"work", `\Seen`, "$Junk"}, []string{`\Seen`, "work", "$Junk"}, "Sab"},
		"known":     {"3 Work\n", "3 Work\n", []string{"work"}, []string{"Work"}, "d"},
		"gap":       {"0 a\n2 c\n", "0 a\n1 new\n2 c\n", []string{"new", "c"}, []string{"new", "c"}, "bc"},
		"twice":     {"", "0 x\n", []string{"x", "X", "x"}, []string{"x"}, "a"},
		"too many":  {"", "", many, many[:26], "abcdefghijklmnopqrstuvwxyz"},
		"no place":  {"", "", []string{`\Recent`, "a b", "caf\u00e9", "", "x\ny", strings.Repeat("k", maxKeyword+1)}, nil, ""},
		"forwarded": {"", "", []string{"$Forwarded"}, []string{"$Forwarded"}, "P"},
	} {
		dir, m := keywordMaildir(t, c.before)
		path := put(t, m, "a\r\n", Meta{Flags: c.flags})
		if _, info := cutInfo(path); info != c.letters {
			t.Errorf("%s: letters %q, want %q", name, info, c.letters)
		}
		if _, meta, _ := readAll(t, dir); !slices.Equal(meta[0].Flags, c.want) {
			t.Errorf("%s: got %q, want %q", name, meta[0].Flags, c.want)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, keywordsFile)); c.after != "" && string(got) != c.after {
			t.Errorf("%s: file %q, want %q", name, got, c.after)
		}
	}
}

// TestKeywordsShared: writers of one Maildir give a keyword one letter.
func TestKeywordsShared(t *testing.T) {
	dir, _ := keywordMaildir(t, "")
	var group sync.WaitGroup
	for w := range 4 {
		s := open(t, "maildir:"+dir, SinkOptions{})
		group.Go(func() {
			for i := range 20 {
				flags := []string{fmt.Sprintf("k%d", (w*7+i)%20)}
				if _, err := s.Put(context.Background(), strings.NewReader(flags[0]+"\r\n"), Meta{Flags: flags}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, meta, _ := readAll(t, dir)
	for i, m := range meta {
		if want := []string{strings.TrimSpace(got[i])}; !slices.Equal(m.Flags, want) {
			t.Errorf("got %q, want %q", m.Flags, want)
		}
	}
	if len(got) != 80 {
		t.Errorf("got %d messages, want 80", len(got))
	}
}

// TestKeywordsLock: a lock of another program is waited for, a forgotten one is removed.
func TestKeywordsLock(t *testing.T) {
	dir, m := keywordMaildir(t, "")
	lock := writeFile(t, filepath.Join(dir, keywordsLock), "")
	m.wait = 2 * lockPause
	var locked *LockError
	if _, err := m.Put(context.Background(), strings.NewReader("a\r\n"), Meta{Flags: []string{"work"}}); !errors.As(err, &locked) {
		t.Errorf("got %v, want a *LockError", err)
	}
	old := time.Now().Add(-2 * keywordsStale)
	if err := os.Chtimes(lock, old, old); err != nil {
		t.Fatal(err)
	}
	put(t, m, "b\r\n", Meta{Flags: []string{"work"}})
	got, meta, _ := readAll(t, dir)
	compare(t, got, []string{"b\r\n"}, false)
	if !slices.Equal(meta[0].Flags, []string{"work"}) {
		t.Errorf("got %q, want work", meta[0].Flags)
	}
}

// TestL1_KeywordsFaults: an error in any step leaves the old keywords, no lock and no message, and the Maildir goes on.
func TestL1_KeywordsFaults(t *testing.T) {
	for _, fault := range faults {
		for at := 1; ; at++ {
			dir, m := keywordMaildir(t, "0 old\n")
			d := &badDisk{at: at, err: fault}
			m.disk = d
			_, err := m.Put(context.Background(), strings.NewReader("a\r\n"), Meta{Flags: []string{"new", "old"}})
			d.at = 0
			if err == nil {
				break
			}
			if _, serr := os.Lstat(filepath.Join(dir, keywordsLock)); serr == nil {
				t.Errorf("%v in step %d: the lock is still there", fault, at)
			}
			put(t, m, "b\r\n", Meta{Flags: []string{"old", "new"}})
			got, meta, _ := readAll(t, dir)
			if len(got) != 1 || got[0] != "b\r\n" || !slices.Equal(meta[0].Flags, []string{"old", "new"}) {
				t.Errorf("%v in step %d: got %q %v", fault, at, got, meta)
			}
			if len(d.wrong)+len(d.renamed) > 0 {
				t.Errorf("%v in step %d: %q, names not durable in %v", fault, at, d.wrong, d.renamed)
			}
		}
	}
}
