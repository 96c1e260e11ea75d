package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// journalHead is how many octets of an append the journal holds.
const journalHead = 64

// journal makes appending to a file safe against the death of the process. It is
// a file ".NAME.mail-journal" beside the file NAME, and says in one line, durable
// before the append begins: the old length, the new length, and the first octets
// of what is appended. It is empty after the append, and removed in the end.
//
// Recovery cuts the file to its old length when it ends between the two lengths
// and holds those octets behind the old one. A file that another program has
// rewritten meanwhile does not look like that and is left alone.
//
// Where the directory does not allow another file there is no journal; then only
// errors are undone, not the death of the process.
type journal struct {
	path string
	f    *os.File
	off  bool // cannot be made here
}

func newJournal(path string) journal {
	return journal{path: filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".mail-journal")}
}

const journalFormat = "%020d %020d %0128x"

// begin records an append.
func (j *journal) begin(d disk, old, end int64, head []byte) error {
	if err := j.open(); err != nil || j.off {
		return err
	}
	var h [journalHead]byte
	copy(h[:], head)
	line := fmt.Sprintf(journalFormat, old, end, h)
	line += fmt.Sprintf(" %08x\n", crc32.ChecksumIEEE([]byte(line)))
	_, err := d.writer(j.f).WriteAt([]byte(line), 0)
	if err == nil {
		err = d.sync(j.f)
	}
	if err != nil {
		j.end(d)
	}
	return err
}

// open makes the file when it is first needed.
func (j *journal) open() error {
	if j.off {
		return nil
	}
	if j.f != nil {
		// Another process may have removed it, at its end.
		if st, err := os.Lstat(j.path); err == nil {
			if mine, err := j.f.Stat(); err == nil && os.SameFile(st, mine) {
				return nil
			}
		}
		if err := j.f.Close(); err != nil {
			return err
		}
		j.f = nil
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|noFollow|nonBlock, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		j.off = true
		return nil
	}
	if err != nil {
		return err
	}
	if err = f.Chmod(0o600); err == nil {
		err = syncPath(filepath.Dir(j.path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.f = f
	return nil
}

// end records that nothing is being appended. It need not be durable: the journal
// of a finished append changes nothing.
func (j *journal) end(d disk) {
	if j.f != nil {
		_ = d.truncate(j.f, 0) // see above
	}
}

// recover cuts off what an append left that did not finish, and removes the
// journal that tells of it. The caller holds the lock of the file.
func (j *journal) recover(d disk, f *os.File) error {
	data, err := readJournal(j.path)
	if err != nil || len(data) == 0 {
		return err
	}
	// A journal that is torn itself is of an append that had not begun.
	if old, end, head, ok := parseJournal(data); ok {
		if err := cutUnfinished(d, f, old, end, head); err != nil {
			return err
		}
	}
	return os.Remove(j.path)
}

// cutUnfinished cuts f to old if it ends before end and holds there what head
// begins with, or nothing but zeros that never became octets.
func cutUnfinished(d disk, f *os.File, old, end int64, head []byte) error {
	st, err := f.Stat()
	if err != nil || st.Size() <= old || st.Size() >= end {
		return err
	}
	have := make([]byte, min(int64(len(head)), st.Size()-old))
	if _, err := f.ReadAt(have, old); err != nil {
		return err
	}
	if !bytes.HasPrefix(head, have) && len(bytes.Trim(have, "\x00")) > 0 {
		return nil
	}
	if err := d.truncate(f, old); err != nil {
		return err
	}
	return d.sync(f)
}

// readJournal returns what the journal holds, nothing when there is none.
func readJournal(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 512)
	n, err := f.Read(buf)
	if n == 0 {
		err = nil // empty
	}
	return buf[:n], err
}

// parseJournal reads the line; ok is false unless it is whole.
func parseJournal(data []byte) (old, end int64, head []byte, ok bool) {
	i := bytes.LastIndexByte(data, ' ')
	if i < 0 {
		return 0, 0, nil, false
	}
	var sum uint32
	if _, err := fmt.Sscanf(string(data[i+1:]), "%08x\n", &sum); err != nil || sum != crc32.ChecksumIEEE(data[:i]) {
		return 0, 0, nil, false
	}
	n, err := fmt.Sscanf(string(data[:i]), "%d %d %x", &old, &end, &head)
	return old, end, head, err == nil && n == 3 && len(head) == journalHead
}

// remove removes the journal when it tells of nothing. The caller holds the lock of
// the file.
func (j *journal) remove() {
	if j.f == nil {
		return
	}
	if st, err := j.f.Stat(); err == nil && st.Size() == 0 {
		_ = os.Remove(j.path) // empty, it may as well stay
	}
}

// close closes the journal.
func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}
