package store

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tempAge is the age at which a temporary file of a dead process is removed, as
// Maildir has it.
const tempAge = 36 * time.Hour

// makeDir makes path with mode 0700 unless it is there, and makes its name
// durable. The parent must be there.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil { // the umask may have taken bits
		return err
	}
	return syncPath(filepath.Dir(path))
}

// openRoot makes path if need be and opens it as the root of a destination. The
// path itself is the user's choice and may be a symbolic link.
func openRoot(path string) (*os.Root, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() { // looked at first: opening a FIFO would hang
		return nil, &Error{Path: path, Msg: "not a directory"}
	}
	return os.OpenRoot(path)
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

// uniqueName returns a name that no other process makes: seconds, for those who
// sort, and 130 random bits, which do not depend on the clock.
func uniqueName() string {
	return strconv.FormatInt(time.Now().Unix(), 10) + ".R" + rand.Text()
}

// hostName is the host's name as Maildir wants it in file names.
func hostName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, host)
	return clean[:min(len(clean), 64)]
}

// placement writes one file of a directory tree so that it appears whole under
// its final name, or not at all. Paths are relative to root, which no symbolic
// link leads out of.
type placement struct {
	root *os.Root
	temp string    // where the file is written
	date time.Time // its modification time, zero: now
}

// put calls write with the temporary file, then syncs it and renames it to the
// name that write returned. dir, the directory of that name, is synced last; after
// an error there the file is taken away again.
func (p placement) put(write func(f *os.File) (final string, err error), dir func(final string) *os.File) (string, error) {
	f, err := p.root.OpenFile(p.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return "", err
	}
	final, err := write(f)
	if err == nil {
		err = p.finish(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = p.root.Rename(p.temp, final)
	}
	if err != nil {
		return "", errors.Join(err, p.root.Remove(p.temp))
	}
	if err := syncDir(dir(final)); err != nil {
		return "", errors.Join(err, p.root.Remove(final))
	}
	return final, nil
}

// finish makes the octets of f durable. An error of Sync is final: what the
// system holds of the file is not known any more.
func (p placement) finish(f *os.File) error {
	if err := f.Chmod(0o600); err != nil { // the umask may have taken bits
		return err
	}
	if !p.date.IsZero() {
		if err := p.root.Chtimes(p.temp, p.date, p.date); err != nil {
			return err
		}
	}
	return f.Sync()
}

// cleanTemp removes temporary files that a dead process of ours left in dir: those
// with a name of ours whose time, and whose modification, are long past. Errors
// do not matter, the next run tries again.
func cleanTemp(root *os.Root, dir, prefix, suffix string) {
	d, err := root.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	old := time.Now().Add(-tempAge)
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			mid, ok := strings.CutPrefix(name, prefix)
			if !ok || !strings.HasSuffix(mid, suffix) {
				continue
			}
			sec, rest, _ := strings.Cut(mid, ".")
			n, perr := strconv.ParseInt(sec, 10, 64)
			if perr != nil || !strings.HasPrefix(rest, "R") || !time.Unix(n, 0).Before(old) {
				continue
			}
			path := filepath.Join(dir, name)
			if st, err := root.Lstat(path); err == nil && st.Mode().IsRegular() && st.ModTime().Before(old) {
				_ = root.Remove(path)
			}
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}
