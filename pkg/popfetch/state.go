package popfetch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrLocked is a state that another run has open.
var ErrLocked = errors.New("another run is fetching from this maildrop")

// compactAt is how many lines a journal may have beyond two for each message before it is written anew.
const compactAt = 1000

// State is what is known of the messages of one maildrop that were stored and are still on the server. It lives in a
// file, and one run at a time has it: a file beside it, PATH.lock, is locked while it is open, and stays.
//
// A message is in the state once it is stored durably, and leaves it when a listing shows that the server does not have
// it any more. The file survives the death of the process at any moment. When it is lost or damaged, messages that are
// listed and not known are compared with those that are stored, octet for octet, so that they are not stored twice.
type State struct {
	path string
	disk disk
	lock *os.File
	f    *os.File

	byID    map[string]*entry
	byText  []*entry // without id
	pending []*entry // written, not known to be stored

	lines, damaged int
	fresh          bool  // there was no state
	doubt          bool  // messages may be stored that it does not know
	killed         bool  // the last run did not end by itself
	ended          bool  // the last record says that a run ended
	torn           bool  // the last line has no end
	changed        bool  // something was written
	complete       bool  // all messages have been looked at: nothing is in doubt any more
	err            error // of a write, which is final
}

// OpenState opens the state in the file at path, and makes it and its folders when they are missing. Another run having
// it is ErrLocked.
func OpenState(path string) (*State, error) { return openStateOn(osDisk{}, path) }

func openStateOn(d disk, path string) (*State, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, _, err := openPrivate(d, path+".lock")
	if err != nil {
		return nil, err
	}
	s := &State{path: path, disk: d, lock: lock, byID: map[string]*entry{}}
	if err := s.open(); err != nil {
		_ = s.release() // nothing was written
		return nil, err
	}
	return s, nil
}

// ReadState reads the state in the file at path for a dry run: it is not locked and cannot be written to, and a missing
// file is a state that knows nothing.
func ReadState(path string) (*State, error) {
	s := &State{path: path, byID: map[string]*entry{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	return s, errors.Join(s.load(f), f.Close())
}

func (s *State) open() error {
	free, err := tryLock(s.lock)
	if err != nil {
		return err
	}
	if !free {
		return fmt.Errorf("%q: %w", s.path, ErrLocked)
	}
	st, err := s.lock.Stat()
	if err != nil {
		return err
	}
	s.killed = st.Size() > 0
	if s.f, s.fresh, err = openPrivate(s.disk, s.path); err != nil {
		return err
	}
	return s.load(s.f)
}

// all returns the entries, the oldest first.
func (s *State) all() []*entry {
	entries := slices.AppendSeq(slices.Clone(s.byText), maps.Values(s.byID))
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.key(), b.key()))
	})
	return entries
}

// why says what is wrong with the state, when it is fresh or in doubt.
func (s *State) why() string {
	switch {
	case s.damaged > 0:
		return fmt.Sprintf("%q is damaged (%d of %d lines)", s.path, s.damaged, s.lines)
	case s.fresh:
		return fmt.Sprintf("%q has nothing of earlier runs", s.path)
	}
	return fmt.Sprintf("%q does not tell how the last run ended", s.path)
}

// find returns the entries with a key.
func (s *State) find(key string) []*entry {
	if key[0] == 'u' {
		if e := s.byID[key[1:]]; e != nil {
			return []*entry{e}
		}
		return nil
	}
	var found []*entry
	for _, e := range s.byText {
		if e.key() == key {
			found = append(found, e)
		}
	}
	return found
}

// take makes entries known.
func (s *State) take(entries []*entry) {
	for _, e := range entries {
		if e.id == "" {
			s.byText = append(s.byText, e)
		} else {
			s.byID[e.id] = e
		}
	}
}

// forget drops what has this key, of several the last: first what is not known to be stored.
func (s *State) forget(key string) {
	named := func(e *entry) bool { return e.key() == key }
	if i := lastIndex(s.pending, named); i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
		return
	}
	if key[0] == 'u' {
		delete(s.byID, key[1:])
	} else if i := lastIndex(s.byText, named); i >= 0 {
		s.byText = slices.Delete(s.byText, i, i+1)
	}
}

func lastIndex(entries []*entry, is func(*entry) bool) int {
	for i, e := range slices.Backward(entries) {
		if is(e) {
			return i
		}
	}
	return -1
}

// announce records that entries are about to be stored.
func (s *State) announce(entries []*entry) error {
	records := make([]string, len(entries))
	for i, e := range entries {
		records[i] = e.record()
	}
	return s.write(true, records...)
}

// stored records, durably, that all announced entries are stored.
func (s *State) stored(entries []*entry) error {
	if err := s.write(true, recordStored); err != nil {
		return err
	}
	s.take(entries)
	return nil
}

// abort records that announced entries are not stored after all.
func (s *State) abort(entries []*entry) error {
	records := make([]string, len(entries))
	for i, e := range entries {
		records[i] = recordDrop + " " + e.key()
	}
	return s.write(false, records...)
}

// drop records that entries are not on the server any more. It need not be durable.
func (s *State) drop(entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	s.remove(entries)
	return s.abort(entries)
}

// replace records, durably, entries that are known to be stored, in the place of others.
func (s *State) replace(old, entries []*entry) error {
	var records []string
	for _, e := range old {
		records = append(records, recordDrop+" "+e.key())
	}
	for _, e := range entries {
		records = append(records, e.record())
	}
	if err := s.write(true, append(records, recordStored)...); err != nil {
		return err
	}
	s.remove(old)
	s.take(entries)
	return nil
}

// remove makes entries unknown.
func (s *State) remove(entries []*entry) {
	gone := make(map[*entry]bool, len(entries))
	for _, e := range entries {
		gone[e] = true
	}
	maps.DeleteFunc(s.byID, func(_ string, e *entry) bool { return gone[e] })
	s.byText = slices.DeleteFunc(s.byText, func(e *entry) bool { return gone[e] })
}

// markDeleted records what the server said about entries. It need not be durable.
func (s *State) markDeleted(entries []*entry) error {
	records := make([]string, len(entries))
	for i, e := range entries {
		e.deleted = true
		records[i] = recordDeleted + " " + e.key()
	}
	return s.write(false, records...)
}

// Close ends the run and releases the state.
func (s *State) Close() error {
	if s.f == nil {
		return nil
	}
	var err error
	live := len(s.byID) + len(s.byText)
	switch {
	case s.err != nil: // the next run finds out
	case s.complete && (s.doubt || s.lines > 2*live+compactAt):
		err = s.rewrite()
	case s.changed:
		err = s.write(true, recordEnd)
	}
	if err == nil && s.err == nil {
		err = s.disk.empty(s.lock)
	}
	return errors.Join(err, s.release())
}

func (s *State) release() error {
	var err error
	if s.f != nil {
		err = s.f.Close()
		s.f = nil
	}
	return errors.Join(err, s.lock.Close())
}
