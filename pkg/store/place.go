package store

import (
	"crypto/rand"
	"errors"
	"fmt"
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
	return errors.Join(syncFile(d), d.Close())
}

// namer makes names that no other process makes: seconds and a count, for those
// who sort, and 130 random bits, which do not depend on the clock. The names of one
// namer are in order even if the clock is set back.
type namer struct {
	second int64
	count  int
}

func (n *namer) next() string {
	if now := time.Now().Unix(); now > n.second {
		n.second, n.count = now, 0
	}
	n.count++
	return fmt.Sprintf("%d.Q%08dR%s", n.second, n.count, rand.Text())
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

// tree is a destination that holds each message in a file of its own. A file
// appears whole under its final name, or not at all. Names are relative to root,
// which no symbolic link leads out of.
type tree struct {
	path string
	root *os.Root
	disk disk
	name namer
	self *os.File            // root as a file, opened before anything is written
	dirs map[string]*os.File // where final names are, to be synced
}

// stagedFile is a file that is written, but neither durable nor visible.
type stagedFile struct {
	temp, final string
	size        int64    // octets of the wire form
	f           *os.File // nil once it is closed
}

// newTree opens path as a tree. The caller fills dirs.
func newTree(path string) (tree, error) {
	root, err := openRoot(path)
	if err != nil {
		return tree{}, err
	}
	self, err := root.Open(".")
	if err != nil {
		return tree{}, errors.Join(err, root.Close())
	}
	return tree{path: path, root: root, self: self, disk: osDisk{}, dirs: map[string]*os.File{}}, nil
}

// openDir opens a directory that final names are in.
func (t *tree) openDir(name string) error {
	d, err := t.root.Open(name)
	if err == nil {
		t.dirs[name] = d
	}
	return err
}

// stage makes the file temp with the modification time date (zero: now) and calls
// write, which returns its final name and the octets of the message.
func (t *tree) stage(temp string, date time.Time, write func(w io.Writer) (final string, size int64, err error)) (stagedFile, error) {
	f, err := t.disk.create(t.root, temp)
	if err != nil {
		return stagedFile{}, err
	}
	s := stagedFile{temp: temp, f: f}
	s.final, s.size, err = write(io.NewOffsetWriter(t.disk.writer(f), 0))
	if err == nil {
		err = f.Chmod(0o600) // the umask may have taken bits
	}
	if err == nil && !date.IsZero() {
		err = t.root.Chtimes(temp, date, date)
	}
	if err != nil {
		return stagedFile{}, errors.Join(err, s.close(), t.disk.remove(t.root, temp))
	}
	return s, nil
}

// sync makes the octets of s durable and closes it. An error is final: what the
// system holds of the file is not known any more.
func (t *tree) sync(s *stagedFile) error {
	if s.f == nil {
		return nil
	}
	err := t.disk.sync(s.f)
	return errors.Join(err, s.close())
}

func (s *stagedFile) close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}

// publish gives durable files their final names and makes these durable. After an
// error there are neither files nor names.
func (t *tree) publish(files []stagedFile) ([]string, error) {
	names := make([]string, 0, len(files))
	touched := map[string]bool{}
	for _, s := range files {
		if err := t.disk.rename(t.root, s.temp, s.final); err != nil {
			return nil, errors.Join(err, t.withdraw(files, len(names)))
		}
		names = append(names, filepath.Join(t.path, s.final))
		touched[filepath.Dir(s.final)] = true
	}
	for dir := range touched {
		if err := t.disk.sync(t.dirs[dir]); err != nil {
			return nil, errors.Join(err, t.withdraw(files, len(files)))
		}
	}
	return names, nil
}

// withdraw removes files, of which the first n have their final names.
func (t *tree) withdraw(files []stagedFile, n int) error {
	var errs []error
	for i := range files {
		name := files[i].temp
		if i < n {
			name = files[i].final
		}
		errs = append(errs, files[i].close(), t.disk.remove(t.root, name))
	}
	return errors.Join(errs...)
}

// put makes one staged message durable and visible.
func (t *tree) put(s stagedFile, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if err := t.sync(&s); err != nil {
		return "", errors.Join(err, t.disk.remove(t.root, s.temp))
	}
	names, err := t.publish([]stagedFile{s})
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// Close implements Sink.
func (t *tree) Close() error {
	errs := []error{t.self.Close()}
	for _, d := range t.dirs {
		errs = append(errs, d.Close())
	}
	return errors.Join(append(errs, t.root.Close())...)
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
			if perr != nil || !strings.HasPrefix(rest, "Q") || !time.Unix(n, 0).Before(old) {
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
