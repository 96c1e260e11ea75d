package backup

import (
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"path"
	"slices"
	"sync"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// takenOver are files that a run has given their names and has not recorded. nil is
// none.
type takenOver struct {
	mu    sync.Mutex
	files map[string][]string // names by fileDir
	byID  map[takenKey][]string
}

// takenKey is what a file name tells of whose it is.
type takenKey struct {
	dir  string
	v, u uint32
	uidl [digestPart]byte
}

func (t *takenOver) none(b *boxRun) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.files[b.m.Dir]) == 0
}

// recover looks, after a run that did not come to its end, for what that left.
func (f *fetching) recover() error {
	dirty, err := f.r.dirty()
	if err != nil || !dirty || f.o.DryRun {
		return err
	}
	if err := f.openTree(); err != nil {
		return err
	}
	recorded, err := f.recordedFiles()
	if err != nil {
		return err
	}
	t := &takenOver{files: map[string][]string{}, byID: map[takenKey][]string{}}
	for _, id := range f.index.boxNumbers(true) {
		info, _ := f.index.info(id)
		dir := f.r.fileDir(info.Mailbox)
		if f.r.settings.Format == FormatMbox {
			err := f.r.settleMbox(dir, func(file string) bool { return recorded.has(info.Mailbox.Dir, file) })
			if err != nil {
				return err
			}
		}
		err := f.r.eachName(dir, func(name string) error {
			base, _ := f.r.cutName(name)
			facts, ok := parseFileName(base)
			if ok && !recorded.has(info.Mailbox.Dir, base) {
				t.files[info.Mailbox.Dir] = append(t.files[info.Mailbox.Dir], name)
				k := keyOf(info.Mailbox.Dir, facts)
				t.byID[k] = append(t.byID[k], name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.taken = t
	return nil
}

func keyOf(dir string, facts fileFacts) takenKey {
	return takenKey{dir: dir, v: facts.UIDValidity, u: facts.UID, uidl: facts.UIDLHash}
}

// fileSet are the files that the manifest names, by their hashes.
type fileSet struct {
	seed   maphash.Seed
	hashes []uint64 // sorted
}

func (s *fileSet) hash(dir, file string) uint64 { return maphash.String(s.seed, dir+"/"+file) }

func (s *fileSet) has(dir, file string) bool {
	_, ok := slices.BinarySearch(s.hashes, s.hash(dir, file))
	return ok
}

func (f *fetching) recordedFiles() (*fileSet, error) {
	n := f.index.size()
	s := &fileSet{maphash.MakeSeed(), make([]uint64, 0, n)}
	for i := range n {
		m, err := f.index.message(ref(i))
		if err != nil {
			return nil, err
		}
		s.hashes = append(s.hashes, s.hash(m.Mailbox.Dir, m.File))
	}
	slices.Sort(s.hashes)
	return s, nil
}

// size is the number of messages that were ever recorded.
func (x *index) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries.n
}

// find looks for the file of a message, and completes the message with what it tells.
// One that is not what its name says is set aside.
func (t *takenOver) find(f *fetching, b *boxRun, m *Message) bool {
	if t == nil {
		return false
	}
	k := takenKey{dir: b.m.Dir, v: m.UIDValidity, u: m.UID}
	if m.UID == 0 {
		k.uidl = hashUIDL(m.UIDL)
	}
	t.mu.Lock()
	names := t.byID[k]
	delete(t.byID, k)
	t.mu.Unlock()
	found := false
	for _, name := range names {
		if found {
			f.setAside(b, name)
			continue
		}
		if found = f.check(b, name, m); found {
			f.rename(b, name, m)
		}
	}
	return found
}

// check reads a file, and fills in what it tells if it is what its name says.
func (f *fetching) check(b *boxRun, name string, m *Message) bool {
	base, _ := f.r.cutName(name)
	facts, _ := parseFileName(base)
	digest, size, err := f.r.digestOf(path.Join(f.r.fileDir(b.m), name))
	if err != nil && !errors.Is(err, errNotRegular) && !errors.Is(err, errExcess) {
		return false
	}
	if err != nil || size != facts.Size || !facts.matches(digest) {
		f.setAside(b, name)
		return false
	}
	m.Digest, m.Size, m.File = digest, facts.WireSize, base
	return true
}

// digestOf hashes a file.
func (r *Repo) digestOf(file string) (d store.Digest, size int64, err error) {
	h, err := r.openMessage(file)
	if err != nil {
		return d, 0, err
	}
	defer h.Close()
	sum := sha256.New()
	size, err = copyAll(sum, h)
	sum.Sum(d[:0])
	return d, size, err
}

// rename gives a file that is taken over the letters of the flags of its message.
func (f *fetching) rename(b *boxRun, name string, m *Message) {
	if to := f.r.diskName(m); to != name && f.r.settings.Format == FormatMaildir {
		dir := f.r.fileDir(b.m)
		_ = f.r.disk.rename(f.r.root, path.Join(dir, name), path.Join(dir, to)) // it is found under either
	}
}

// setAside moves a file to where nothing looks for it.
func (f *fetching) setAside(b *boxRun, name string) {
	base, _ := f.r.cutName(name)
	to, err := f.r.putAside(path.Join(f.r.fileDir(b.m), name), base)
	if err != nil {
		f.fail(err) // else it would stay, and nobody look at it again
		return
	}
	f.warn("%s: the file %q is not what its name says, and was moved to %s", b.m.Name, name, to)
}

// leftovers records files of messages that the server has no more.
func (f *fetching) leftovers(b *boxRun) {
	if f.taken.none(b) {
		return
	}
	f.taken.mu.Lock()
	names := f.taken.files[b.m.Dir]
	delete(f.taken.files, b.m.Dir)
	f.taken.mu.Unlock()
	for _, name := range names {
		base, _ := f.r.cutName(name)
		_, info := cutInfo(name)
		facts, _ := parseFileName(base)
		k := keyOf(b.m.Dir, facts)
		f.taken.mu.Lock()
		_, left := f.taken.byID[k]
		delete(f.taken.byID, k)
		f.taken.mu.Unlock()
		m := &Message{Mailbox: b.m, UIDValidity: facts.UIDValidity, UID: facts.UID, Date: facts.Date, Flags: infoFlags(info, nil)}
		if !left || facts.UID == 0 || !f.check(b, name, m) {
			continue
		}
		var set imap.UIDSet
		set.Add(imap.UID(facts.UID))
		if f.push(item{kind: itemMsg, box: b, msg: m}) != nil ||
			f.push(item{kind: itemGone, box: b, uids: set, state: boxState{UIDValidity: facts.UIDValidity}}) != nil {
			return
		}
	}
}
