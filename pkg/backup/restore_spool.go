package backup

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
)

// spoolMemory is how much of a spool is in memory, in octets.
const spoolMemory = 256 << 10

// spool keeps records of one size, in memory first and then in a temporary file.
type spool[T spooled[T]] struct {
	last []byte // what is not in the file
	file *os.File
	size int64 // of the file
	n    int   // records
}

// spooled is a record.
type spooled[T any] interface {
	octets() int             // how many octets it takes
	append(to []byte) []byte // adds these
	parse(octets []byte) T   // reads them
}

// add takes in a record.
func (s *spool[T]) add(record T) (err error) {
	s.last = record.append(s.last)
	if s.n++; len(s.last) < spoolMemory {
		return nil
	}
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "mail-*"); err != nil {
			return err
		}
	}
	n, err := s.file.Write(s.last)
	s.size += int64(n)
	s.last = s.last[:0]
	return err
}

// all yields the records in their order. An error is the last that it yields.
func (s *spool[T]) all() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var record T
		size := record.octets()
		from := io.Reader(bytes.NewReader(s.last))
		if s.file != nil {
			from = io.MultiReader(io.NewSectionReader(s.file, 0, s.size), from)
		}
		buf := make([]byte, 1024*size)
		for left := s.n; left > 0; {
			some := buf[:min(left, 1024)*size]
			if _, err := io.ReadFull(from, some); err != nil {
				yield(record, err)
				return
			}
			for ; len(some) > 0; some = some[size:] {
				if !yield(record.parse(some), nil) {
					return
				}
				left--
			}
		}
	}
}

// close removes the file.
func (s *spool[T]) close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
