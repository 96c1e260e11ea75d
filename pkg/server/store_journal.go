package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"
)

// The journals of a Maildir store are files of lines: the CRC-32 of the rest in eight
// hex digits, a blank, and a JSON object. One line is one change, all of it or, if
// it is torn, nothing. A line counts when it is on disk.
//
// The file journalFile is in the directory of each mailbox, accountFile in that of
// the user.
const (
	journalFile = "mail-journal"
	accountFile = "mail-account"

	newTemp = "mail-new" // a file on its way to its name

	journalSlack = 1000 // lines beyond twice the number it began with before it is rewritten
	recordBatch  = 500  // messages in one line of a rewritten journal
)

// Kinds of records.
const (
	recordBox     = "mailbox"
	recordAdd     = "add"
	recordFlags   = "flags"
	recordGone    = "gone"
	recordMissing = "missing" // gone without us
)

// record is one change of a mailbox.
type record struct {
	Kind     string          `json:"kind"`
	ModSeq   uint64          `json:"modSeq,omitempty"`
	Validity uint32          `json:"uidValidity,omitempty"` // recordBox, as the next two
	UIDNext  uint32          `json:"uidNext,omitempty"`
	ID       string          `json:"id,omitempty"`
	Messages []recordMessage `json:"messages,omitempty"`
	UIDs     []uint32        `json:"uids,omitempty"`  // recordGone, recordMissing; recordAdd: of the mailbox From
	From     string          `json:"from,omitempty"`  // recordAdd: ID of the mailbox from which all of it is moved
	Dying    []string        `json:"dying,omitempty"` // files of messages that are gone already, as in a URL
}

// recordMessage is one message of recordAdd, or UID and flags of recordFlags.
type recordMessage struct {
	UID    uint32    `json:"uid"`
	ModSeq uint64    `json:"modSeq,omitempty"` // if not that of the record
	Flags  []string  `json:"flags,omitempty"`
	File   string    `json:"file,omitempty"` // its name up to the flags, as in a URL
	Date   time.Time `json:"date,omitzero"`
	Size   int64     `json:"size,omitempty"`
	ID     string    `json:"id,omitempty"`
}

// errUnsure says that a change failed and may yet be there after the next start.
var errUnsure = errors.New("the change may come back at the next start")

// journal is a journal that is open for appending.
type journal struct {
	disk     *disk
	path     string
	f        *diskFile
	size     int64
	lines    int
	base     int   // lines that it needs for what is true, about
	damaged  bool  // a line was left out
	torn     bool  // behind size there may be a line that failed
	unsynced bool  // the name of the file is not yet durable
	owed     []any // records that undo what is in it, to be written before any other
	broken   error // why nothing can be appended any more
}

// sizeLine is the first line of a journal: how long it was after the last change that
// was acknowledged. It is written over, after the change and without waiting for the
// disk: a journal that is shorter has lost lines, a longer one has not lost any.
type sizeLine struct {
	Octets string `json:"octets"` // always of the same length
}

func (j *journal) sizeLine(size int64) []byte {
	line, _ := journalLine(nil, sizeLine{fmt.Sprintf("%016d", size)}) // a string is never refused
	return line
}

// openJournal opens or makes a journal and gives each of its lines to replay. A torn
// line at the end, which was never acknowledged, is cut off; a line that is damaged or
// missing otherwise is left out, which shows in damaged.
func openJournal(d *disk, path string, replay func(line []byte) error) (*journal, error) {
	f, err := d.openFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	j := &journal{disk: d, path: path, f: f, unsynced: true}
	if err := j.load(replay); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *journal) load(replay func(line []byte) error) error {
	if st, err := j.f.Stat(); err != nil || !st.Mode().IsRegular() {
		return errors.Join(err, fs.ErrInvalid)
	}
	data, err := io.ReadAll(j.f)
	if err != nil {
		return err
	}
	j.size = int64(bytes.LastIndexByte(data, '\n') + 1)
	j.torn = j.size < int64(len(data))
	rest := data[:j.size]
	if len(rest) > 0 {
		first, after, _ := bytes.Cut(rest, []byte("\n"))
		text, ok := checkLine(first)
		var s sizeLine
		if ok && json.Unmarshal(text, &s) == nil && s.Octets != "" {
			rest = after
		}
		octets, err := strconv.ParseInt(s.Octets, 10, 64)
		j.damaged = err != nil || octets > j.size
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		text, ok := checkLine(line)
		if !ok || replay(text) != nil {
			j.damaged = true
		}
		j.lines++
	}
	return nil
}

// checkLine takes the check sum off a line.
func checkLine(line []byte) ([]byte, bool) {
	if len(line) < 9 || line[8] != ' ' {
		return nil, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	return line[9:], err == nil && uint32(sum) == crc32.ChecksumIEEE(line[9:])
}

// journalLine appends r as a line to b.
func journalLine(b []byte, r any) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b = fmt.Appendf(b, "%08x ", crc32.ChecksumIEEE(text))
	return append(append(b, text...), '\n'), nil
}

// write appends one line and makes it durable. After an error nothing of it is there,
// or the error is errUnsure.
func (j *journal) write(r any) error {
	if j.broken != nil {
		return j.broken
	}
	if err := j.mend(); err != nil {
		return err
	}
	var lines []byte
	var err error
	for _, one := range append(j.owed[:len(j.owed):len(j.owed)], r) {
		if lines, err = journalLine(lines, one); err != nil {
			return err
		}
	}
	if j.size == 0 {
		lines = append(j.sizeLine(0), lines...)
	}
	if _, err = j.f.WriteAt(lines, j.size); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		j.torn = true
		if merr := j.mend(); merr != nil {
			return fmt.Errorf("%w: %w: %w", err, merr, errUnsure)
		}
		return err
	}
	j.size += int64(len(lines))
	j.lines += 1 + len(j.owed)
	j.owed = nil
	j.note()
	return nil
}

// note writes the size down. What is short of the truth is no harm, half a line would
// be: it is tried again.
func (j *journal) note() {
	line := j.sizeLine(j.size)
	for range 2 {
		if _, err := j.f.WriteAt(line, 0); err == nil {
			return
		}
	}
}

// mend takes away what a failed write may have left, and makes the name durable.
func (j *journal) mend() error {
	if j.torn {
		if err := errors.Join(j.f.Truncate(j.size), j.f.Sync()); err != nil {
			return err
		}
		j.torn = false
	}
	if j.unsynced {
		if err := j.disk.sync(path.Dir(j.path)); err != nil {
			return err
		}
		j.unsynced = false
	}
	return nil
}

// undo writes a record that takes back, or ends, what the last one began. If that fails
// it is written before any other one, or at the end.
func (j *journal) undo(r any) {
	if err := j.write(r); err != nil {
		j.owed = append(j.owed, r)
	}
}

func (j *journal) close() error {
	if n := len(j.owed); n > 0 && j.broken == nil {
		last := j.owed[n-1]
		j.owed = j.owed[:n-1]
		_ = j.write(last) // tried before, and nothing was promised
	}
	if j.broken == nil {
		j.broken = ErrStoreClosed
	}
	return j.f.Close()
}

// newJournal makes a journal; one that is there is replaced.
func newJournal(d *disk, path string, records []any) (*journal, error) {
	j := &journal{disk: d, path: path}
	return j, j.replace(records)
}

// replace writes the journal anew, so that it is the old or the new one at any moment.
func (j *journal) replace(records []any) error {
	temp := j.path + ".new"
	f, err := j.disk.openFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	b := j.sizeLine(0)
	for _, r := range records {
		if b, err = journalLine(b, r); err != nil {
			break
		}
	}
	if err == nil {
		copy(b, j.sizeLine(int64(len(b))))
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.disk.rename(temp, j.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), ignoreMissing(j.disk.root.Remove(temp)))
	}
	if j.f != nil {
		_ = j.f.Close() // nothing is in it that counts
	}
	f.name = j.path
	*j = journal{disk: j.disk, path: j.path, f: f, size: int64(len(b)), lines: len(records), base: len(records), unsynced: true}
	return j.mend()
}

// long says whether the journal should be replaced by one with what is still true.
func (j *journal) long() bool { return j.damaged || j.lines > journalSlack+2*j.base }

// lockFile takes the lock of a directory, which other processes respect.
func lockFile(d *disk, name string) (*diskFile, error) {
	f, err := d.openFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	ok, err := tryLockFile(f.File)
	if err == nil && !ok {
		err = ErrStoreInUse
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
