package popfetch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryDir is a folder without a disk below it, where there is one: thousands of syncs take their time.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mail-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func openState(t *testing.T, path string) *State {
	t.Helper()
	s, err := OpenState(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entryOf(id string, n byte) *entry {
	return &entry{id: id, at: time.Unix(1_800_000_000+int64(n), 0), size: int64(n), digest: digest{n}, top: digest{0, n}}
}

func add(s *State, e *entry) error { return s.replace(nil, []*entry{e}) }

// keysOf are the keys of the entries, the oldest first.
func keysOf(s *State) []string {
	var keys []string
	for _, e := range s.all() {
		keys = append(keys, e.key())
	}
	return keys
}

// writtenState makes a state of some entries and returns its file.
func writtenState(t *testing.T) (path string, keys []string) {
	t.Helper()
	path = filepath.Join(memoryDir(t), "a", "b", "state")
	s := openState(t, path)
	if !s.fresh || s.doubt {
		t.Errorf("a new state: fresh %v, doubt %v", s.fresh, s.doubt)
	}
	gone := entryOf("gone", 9)
	for _, entries := range [][]*entry{{entryOf("a", 1), entryOf("-", 2), gone}, {entryOf("", 3), entryOf("", 4)}} {
		if err := errors.Join(s.announce(entries), s.stored(entries)); err != nil {
			t.Fatal(err)
		}
	}
	failed := []*entry{entryOf("failed", 5)}
	err := errors.Join(s.announce(failed), s.abort(failed), s.drop([]*entry{gone}), s.markDeleted(s.find("ua")))
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return path, []string{"ua", "u-", "c" + digest{3}.String(), "c" + digest{4}.String()}
}

func TestState_Again(t *testing.T) {
	path, want := writtenState(t)
	for range 2 { // the second time it was written anew
		s := openState(t, path)
		if got := keysOf(s); !slices.Equal(got, want) || s.doubt || s.fresh {
			t.Errorf("got %q, doubt %v, fresh %v; want %q", got, s.doubt, s.fresh, want)
		}
		if e := s.byID["a"]; !e.deleted || e.size != 1 || e.digest != (digest{1}) || e.top != (digest{0, 1}) || e.at.Unix() != 1_800_000_001 {
			t.Errorf("got %+v", e)
		}
		s.complete, s.doubt = true, true
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, path + ".lock": 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if st, err := os.Stat(name); err != nil || st.Mode() != mode {
			t.Errorf("%s: got mode %v, %v; want %v", name, st.Mode(), err, mode)
		}
	}
}

func TestR9_StateIsLocked(t *testing.T) {
	path, _ := writtenState(t)
	s := openState(t, path)
	if _, err := OpenState(path); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	openState(t, path)
}

// TestP5_StateCutAnywhere cuts the file after each octet, as a disk may that loses what was not synced.
func TestP5_StateCutAnywhere(t *testing.T) {
	path, keys := writtenState(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys = append(keys, "ugone")
	for n := range len(whole) {
		checkDamaged(t, path, whole[:n], keys, fmt.Sprintf("cut after %d octets", n))
	}
}

// TestP5_StateFlippedAnywhere changes each octet of the file.
func TestP5_StateFlippedAnywhere(t *testing.T) {
	path, keys := writtenState(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys = append(keys, "ugone", "ufailed")
	for n := range whole {
		for _, bits := range []byte{0x01, 0x20, 0xff} {
			text := bytes.Clone(whole)
			text[n] ^= bits
			checkDamaged(t, path, text, keys, fmt.Sprintf("octet %d is %q", n, text[n]))
		}
	}
}

// checkDamaged opens a damaged state: it is in doubt and invents nothing, and when a run was complete it is whole again.
func checkDamaged(t *testing.T, path string, text []byte, known []string, what string) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openState(t, path)
	if !s.doubt && !s.fresh {
		t.Errorf("%s: the state is trusted", what)
	}
	for _, key := range keysOf(s) {
		if !slices.Contains(known, key) {
			t.Errorf("%s: got the entry %q", what, key)
		}
	}
	if err := errors.Join(add(s, entryOf("new", 8)), s.Close()); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	s = openState(t, path)
	if !s.doubt && len(text) > 0 || s.byID["new"] == nil {
		t.Errorf("%s: after an incomplete run doubt is %v, got %q", what, s.doubt, keysOf(s))
	}
	s.complete = true
	if err := errors.Join(add(s, entryOf("newer", 8)), s.Close()); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if s = openState(t, path); s.doubt || s.byID["newer"] == nil {
		t.Errorf("%s: after a complete run doubt is %v, got %q", what, s.doubt, keysOf(s))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestP5_StateKilled is for runs that do not end by themselves.
func TestP5_StateKilled(t *testing.T) {
	for name, tt := range map[string]struct {
		do    func(*State) error
		doubt bool
	}{
		"before anything": {func(*State) error { return nil }, false},
		"between batches": {func(s *State) error { return add(s, entryOf("x", 7)) }, false},
		"while storing":   {func(s *State) error { return s.announce([]*entry{entryOf("x", 7)}) }, true},
		"while storing again": {func(s *State) error {
			return errors.Join(add(s, entryOf("y", 6)), s.announce([]*entry{entryOf("x", 7)}))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := writtenState(t)
			s := openState(t, path)
			if err := errors.Join(tt.do(s), s.release()); err != nil {
				t.Fatal(err)
			}
			if s = openState(t, path); s.doubt != tt.doubt {
				t.Errorf("got doubt %v, want %v", s.doubt, tt.doubt)
			}
			if s.byID["x"] != nil == tt.doubt && name != "before anything" {
				t.Errorf("got %q", keysOf(s))
			}
			// What was being stored is not taken for stored later.
			if err := errors.Join(add(s, entryOf("z", 5)), s.Close()); err != nil {
				t.Fatal(err)
			}
			if s = openState(t, path); s.byID["z"] == nil || tt.doubt && s.byID["x"] != nil || s.doubt != tt.doubt {
				t.Errorf("after another run: got %q, doubt %v", keysOf(s), s.doubt)
			}
		})
	}
}

func TestState_WrittenAnewWhenLong(t *testing.T) {
	path, want := writtenState(t)
	s := openState(t, path)
	for range compactAt/2 + 1 {
		e := entryOf("passing", 7)
		if err := errors.Join(add(s, e), s.drop([]*entry{e})); err != nil {
			t.Fatal(err)
		}
	}
	s.complete = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 1000 {
		t.Errorf("got %d octets, %v", st.Size(), err)
	}
	if s = openState(t, path); !slices.Equal(keysOf(s), want) || !s.byID["a"].deleted {
		t.Errorf("got %q, want %q", keysOf(s), want)
	}
}

// FuzzState reads any file, and reads back what it writes.
func FuzzState(f *testing.F) {
	f.Add([]byte(""))
	b := appendRecord(nil, journalName)
	for _, e := range []*entry{entryOf("a", 1), entryOf("", 2)} {
		b = appendRecord(b, e.record())
	}
	f.Add(appendRecord(appendRecord(b, recordStored), recordEnd))
	f.Add(appendRecord(appendRecord(nil, journalName), "- c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &State{byID: map[string]*entry{}}
		if err := s.load(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.all() {
			got, ok := parseEntry(strings.Split(e.record(), " "))
			if !ok || got.key() != e.key() || !got.at.Equal(e.at) || got.size != e.size || got.digest != e.digest || got.top != e.top {
				t.Errorf("got %+v, want %+v", got, e)
			}
		}
	})
}
