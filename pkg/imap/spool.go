package imap

import (
	"bytes"
	"io"
	"os"
)

// spoolMemory is how much of a section that came out of order is kept in
// memory; the rest goes to a temporary file.
const spoolMemory = 1 << 20

// spools are the temporary files of one Fetch.
type spools struct{ files []*os.File }

// keep reads r to its end and returns a reader of the same octets.
func (s *spools) keep(r io.Reader) (io.Reader, error) {
	var head bytes.Buffer
	if _, err := io.CopyN(&head, r, spoolMemory); err == io.EOF {
		return &head, nil
	} else if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "mail-*")
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, f)
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, r); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(&head, f), nil
}

func (s *spools) close() {
	for _, f := range s.files {
		f.Close()
	}
	s.files = nil
}
