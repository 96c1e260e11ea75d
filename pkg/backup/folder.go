package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// locate returns the path of the file of a message below the repository, with
// slashes.
func (r *Repo) locate(m *Message) (string, error) {
	dir := m.Mailbox.Dir
	if r.settings.Format != FormatMaildir {
		name := path.Join(r.fileDir(m.Mailbox), m.File)
		_, _, err := r.stat(name)
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

// eachName calls fn for each name in a directory of messages, or in an mbox, until it
// returns errStop. What is not there is empty.
func (r *Repo) eachName(dir string, fn func(string) error) error {
	if r.settings.Format == FormatMbox {
		if err := r.eachPiece(dir, fn); err != errStop {
			return err
		}
		return nil
	}
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

// openMessage opens the file of a message by its path below the repository.
func (r *Repo) openMessage(name string) (io.ReadCloser, error) {
	if r.settings.Format == FormatMbox {
		f, p, err := r.openPiece(name)
		if err != nil {
			return nil, err
		}
		return newMboxMessage(f, p), nil
	}
	f, err := openRegular(r.root, name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// stat asks the file system about the file of a message. Something else than a file is
// errNotRegular. id is set where the file has several names.
func (r *Repo) stat(name string) (size int64, id fileID, err error) {
	if r.settings.Format == FormatMbox {
		f, p, err := r.openPiece(name)
		if err != nil {
			return 0, id, err
		}
		facts, _ := parseFileName(p.name)
		return min(facts.Size, p.end-p.body), id, f.Close()
	}
	st, err := r.root.Lstat(name)
	if err != nil {
		return 0, id, err
	}
	if file, several := links(st); several {
		id = file
	}
	if !st.Mode().IsRegular() {
		err = errNotRegular
	}
	return st.Size(), id, err
}

// cutName cuts a name that eachName tells into the File of a message and what follows
// it: flags, or a number.
func (r *Repo) cutName(name string) (file, suffix string) {
	switch r.settings.Format {
	case FormatMaildir:
		file, _ = cutInfo(name)
	case FormatMbox:
		file, _, _ = strings.Cut(name, "@")
	default:
		file = name
	}
	return file, name[len(file):]
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
