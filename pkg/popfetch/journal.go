package popfetch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The state file is a journal: lines of words, of which the last is the CRC-32C of those before it. The first line is
// its name. The others are
//
//   - KEY TIME SIZE DIGEST TOP   a message that is being stored
//     =                            the messages since the last = are stored, durably
//   - KEY                        a message that is not stored after all, or is not on the server any more
//     ~ KEY                        the server said that it has deleted the message
//     ?                            some messages may be stored that nothing is known of
//     .                            the run that wrote this ended by itself
//
// KEY is u and the server's unique id, or c and the digest of a message that has no such id. TIME is when it was stored,
// in seconds since 1970, SIZE what LIST said, TOP the digest of what TOP gave. Lines that do not stand this are damage.
const journalName = "mail-pop-state 1"

const (
	recordAdd     = "+"
	recordStored  = "="
	recordDrop    = "-"
	recordDeleted = "~"
	recordDoubt   = "?"
	recordEnd     = "."
)

// maxRecord is the longest line that is looked at, in octets.
const maxRecord = 4096

// checksum is the CRC-32C of a record.
func checksum(record []byte) uint32 { return crc32.Checksum(record, crc32.MakeTable(crc32.Castagnoli)) }

// entry is one message that was stored.
type entry struct {
	id      string    // the server's, "" when it has none that can be used
	at      time.Time // when it was stored
	size    int64     // as LIST said
	digest  digest
	top     digest // of messages without id
	deleted bool   // the server said it has deleted it
	listed  bool   // this session's listing has it
}

func (e *entry) key() string {
	if e.id != "" {
		return "u" + e.id
	}
	return "c" + e.digest.String()
}

func (e *entry) record() string {
	return fmt.Sprintf("%s %s %d %d %v %v", recordAdd, e.key(), e.at.Unix(), e.size, e.digest, e.top)
}

func appendRecord(b []byte, record string) []byte {
	return fmt.Appendf(b, "%s %08x\n", record, checksum([]byte(record)))
}

// recordOf checks a line and takes its checksum off.
func recordOf(line []byte) (string, bool) {
	line, whole := bytes.CutSuffix(line, []byte("\n"))
	i := bytes.LastIndexByte(line, ' ')
	if !whole || i < 0 || len(line)-i != 9 {
		return "", false
	}
	sum := fmt.Sprintf("%08x", checksum(line[:i]))
	return string(line[:i]), string(line[i+1:]) == sum
}

func parseEntry(words []string) (*entry, bool) {
	if len(words) != 6 || len(words[1]) < 2 {
		return nil, false
	}
	at, err1 := strconv.ParseInt(words[2], 10, 64)
	size, err2 := strconv.ParseInt(words[3], 10, 64)
	sum, ok1 := parseDigest(words[4])
	top, ok2 := parseDigest(words[5])
	if err1 != nil || err2 != nil || !ok1 || !ok2 {
		return nil, false
	}
	e := &entry{at: time.Unix(at, 0), size: size, digest: sum, top: top}
	if words[1][0] == 'u' {
		e.id = words[1][1:]
	}
	return e, e.key() == words[1]
}

// load reads the journal. What is damaged is counted and passed over.
func (s *State) load(r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxRecord)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && err != io.EOF:
			return err
		case len(line) == 0:
			s.settle()
			return nil
		}
		s.lines++
		record, ok := recordOf(line)
		if !ok || first != (record == journalName) || !first && !s.apply(record) {
			s.damaged++
		}
		s.torn = line[len(line)-1] != '\n'
	}
}

// apply does what a record says.
func (s *State) apply(record string) bool {
	words := strings.Split(record, " ")
	keyed := len(words) == 2 && len(words[1]) > 1
	s.ended = false
	switch {
	case words[0] == recordAdd:
		e, ok := parseEntry(words)
		if ok {
			s.pending = append(s.pending, e)
		}
		return ok
	case words[0] == recordDrop && keyed:
		s.forget(words[1])
		return true
	case words[0] == recordDeleted && keyed:
		for _, e := range s.find(words[1]) {
			e.deleted = true
		}
		return true
	case record == recordStored:
		s.take(s.pending)
		s.pending = nil
	case record == recordDoubt:
		s.doubt = true
	case record == recordEnd:
		s.ended = true
	default:
		return false
	}
	return true
}

// settle judges what was read.
func (s *State) settle() {
	switch {
	case s.lines == 0: // made, and never written to
		s.fresh = true
	case s.damaged > 0, !s.ended && !s.killed, len(s.pending) > 0: // or the end is missing, or a run died while storing
		s.doubt = true
	}
}

// write appends records, durably when sync is set. A failure is final.
func (s *State) write(sync bool, records ...string) error {
	if s.err != nil {
		return s.err
	}
	var b []byte
	if !s.changed {
		if b, s.err = s.begin(); s.err != nil {
			return s.err
		}
	}
	for _, r := range records {
		b = appendRecord(b, r)
	}
	if s.err = s.disk.write(s.f, b); s.err == nil && sync {
		s.err = s.disk.sync(s.f)
	}
	s.lines += len(records)
	return s.err
}

// begin says in the lock file that a run writes from now on, from which the next run learns that this one was killed.
// It returns what comes before the first records of a run.
func (s *State) begin() (b []byte, err error) {
	s.changed = true
	if s.torn {
		b = append(b, '\n')
	}
	if s.lines == 0 {
		b = appendRecord(b, journalName)
	}
	if s.doubt {
		b = appendRecord(b, recordDoubt)
	}
	for _, e := range s.pending { // the doubt stands for them
		b = appendRecord(b, recordDrop+" "+e.key())
	}
	s.lines += 2 + len(s.pending)
	s.pending = nil
	return b, s.disk.write(s.lock, []byte("x"))
}

// rewrite puts a new journal, of the present entries only, into the place of the old one.
func (s *State) rewrite() (err error) {
	temp := s.path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollow, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	b := appendRecord(nil, journalName)
	var gone []string
	for _, e := range s.all() {
		b = appendRecord(b, e.record())
		if e.deleted {
			gone = append(gone, recordDeleted+" "+e.key())
		}
	}
	for _, record := range append(append([]string{recordStored}, gone...), recordEnd) {
		b = appendRecord(b, record)
	}
	if err = s.disk.write(f, b); err == nil {
		err = s.disk.sync(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.disk.rename(temp, s.path)
	}
	if err != nil {
		return err
	}
	return s.disk.syncDir(filepath.Dir(s.path))
}

// openPrivate opens a file for reading and appending and makes it when it is missing, which made tells.
func openPrivate(d disk, path string) (f *os.File, made bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|noFollow, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, false, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, false, err
	}
	if err := errors.Join(f.Chmod(0o600), d.syncDir(filepath.Dir(path))); err != nil { // the umask may have taken bits
		return nil, false, errors.Join(err, f.Close())
	}
	return f, true, nil
}
