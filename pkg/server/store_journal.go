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

	journalSlack = 1000 // lines beyond the number of messages before it is rewritten
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
	UIDs     []uint32        `json:"uids,omitempty"` // recordGone, recordMissing; recordAdd: of the mailbox From
	From     string          `json:"from,omitempty"` // recordAdd: ID of the mailbox from which all of it is moved
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

// journal is a journal that is open for appending.
type journal struct {
	f       *os.File
	size    int64
	lines   int
	damaged bool  // a line was left out
	broken  error // why nothing can be appended any more
}

// openJournal opens or makes a journal and gives each of its lines to replay. A torn
// line at the end is cut off; a line that is damaged otherwise is left out, which
// shows in damaged.
func openJournal(root *os.Root, path string, replay func(line []byte) error) (*journal, error) {
	f, err := root.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{f: f}
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
	end := int64(bytes.LastIndexByte(data, '\n') + 1)
	for rest := data[:end]; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		text, ok := checkLine(line)
		if !ok {
			j.damaged = true
		} else if err := replay(text); err != nil {
			return err
		}
		j.lines++
	}
	j.size = end
	if end < int64(len(data)) {
		if err := j.f.Truncate(end); err != nil {
			return err
		}
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

// write appends one line and makes it durable. After an error nothing of it is
// there, or the journal is closed to changes.
func (j *journal) write(r any) error {
	if j.broken != nil {
		return j.broken
	}
	line, err := journalLine(nil, r)
	if err != nil {
		return err
	}
	_, err = j.f.WriteAt(line, j.size)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		if terr := j.f.Truncate(j.size); terr != nil {
			j.broken = errors.Join(err, terr)
		}
		return err
	}
	j.size += int64(len(line))
	j.lines++
	return nil
}

func (j *journal) close() error {
	if j.broken == nil {
		j.broken = ErrStoreClosed
	}
	return j.f.Close()
}

// replaceJournal writes a journal anew, so that it is the old or the new one at any
// moment. The directory is to be synced by the caller.
func replaceJournal(root *os.Root, path string, records []any) (*journal, error) {
	temp := path + ".new"
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, r := range records {
		if b, err = journalLine(b, r); err != nil {
			break
		}
	}
	if err == nil {
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = root.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), root.Remove(temp))
	}
	return &journal{f: f, size: int64(len(b)), lines: len(records)}, nil
}

// lockFile takes the lock of a directory, which other processes respect.
func lockFile(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := tryLockFile(f)
	if err == nil && !ok {
		err = ErrStoreInUse
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// syncFolder makes the names in a directory durable.
func syncFolder(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncOpenDir(d), d.Close())
}
