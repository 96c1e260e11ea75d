package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// locate returns the path of the file of a message below the repository, with
// slashes.
func (r *Repo) locate(m *Message) (string, error) {
	dir := m.Mailbox.Dir
	if r.settings.Format == FormatEML {
		name := path.Join(dir, m.File)
		_, err := r.root.Lstat(name)
		return name, err
	}
	guess := path.Join(dir, "cur", m.File+infoMark+infoLetters(m.Flags))
	if _, err := r.root.Lstat(guess); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return guess, err
	}
	for _, anew := range [...]bool{false, true} {
		name, err := r.listed(m, anew)
		if err != nil {
			return "", err
		}
		if name == "" {
			continue
		}
		if _, err := r.root.Lstat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return name, err
		}
	}
	return "", &fs.PathError{Op: "open", Path: path.Join(dir, "cur", m.File), Err: fs.ErrNotExist}
}

// listed looks for the file of a message in the listing of its folder, which is kept
// for the next messages, or made anew. It returns "" for none.
func (r *Repo) listed(m *Message, anew bool) (string, error) {
	r.listing.Lock()
	defer r.listing.Unlock()
	recent := &r.listing.recent
	at := slices.IndexFunc(*recent, func(l *listing) bool { return l.dir == m.Mailbox.Dir })
	if anew || at < 0 {
		l, err := r.list(m.Mailbox.Dir)
		if err != nil {
			return "", err
		}
		if at >= 0 {
			*recent = slices.Delete(*recent, at, at+1)
		}
		*recent = append(*recent, l)
		*recent = (*recent)[max(0, len(*recent)-keptListings):]
		at = len(*recent) - 1
	}
	name, _, _ := (*recent)[at].find(m.File)
	return name, nil
}

// keptListings is how many folders are kept in mind: one for each goroutine that reads.
const keptListings = defaultConnections

// eachName calls fn for each name in a directory until it returns errStop. A
// directory that is not there is an empty one.
func (r *Repo) eachName(dir string, fn func(string) error) error {
	d, err := r.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, n := range names {
			if err := fn(n); err == errStop {
				return nil
			} else if err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errNotRegular says that something else than a file has the name of one.
var errNotRegular = errors.New("not a regular file")

// openRegular opens a file for reading. Anything else, a symbolic link too, is an
// error, and is not waited for.
func openRegular(root *os.Root, name string) (*os.File, error) {
	st, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: %w", name, errNotRegular)
	}
	return root.Open(name)
}
