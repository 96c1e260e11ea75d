package store

import (
	"context"
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

// fileSink is a destination that holds each message in a file of its own. A file
// appears whole under its final name, or not at all. Names are relative to root,
// which no symbolic link leads out of.
type fileSink struct {
	staging
	path  string
	root  *os.Root
	name  namer
	self  *os.File            // root as a file, opened before anything is written
	dirs  map[string]*os.File // where final names are, to be synced
	stage stager
}

// stagedFile is a file that is written, but neither durable nor visible.
type stagedFile struct {
	temp       string
	dir, final string
	size       int64    // octets of the wire form
	f          *os.File // nil once it is closed
}

// newFileSink opens path. The caller opens the directories.
func newFileSink(path string, kind Kind) (*fileSink, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	t := &fileSink{staging: staging{kind: kind, disk: osDisk{}}, path: path, root: root, dirs: map[string]*os.File{}}
	if t.self, err = root.Open("."); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	t.whole = canSyncWhole(t.self)
	return t, nil
}

// open opens the directory for temporary files, where one named probe can be made,
// and those that final names are in.
func (t *fileSink) open(temp, probe string, finals ...string) (err error) {
	if t.temp, err = t.root.OpenRoot(temp); err != nil {
		return err
	}
	if t.from, err = t.temp.Open("."); err != nil {
		return err
	}
	for _, name := range finals {
		if t.dirs[name], err = t.root.Open(name); err != nil {
			delete(t.dirs, name)
			return err
		}
	}
	return t.probe(probe)
}

// write writes a message to the file with the name that file has, gives it the
// modification time date (zero: now), and leaves it open. file.f is its own from then on.
func (t *fileSink) write(ctx context.Context, wire io.Reader, file freshFile, date time.Time) (stagedFile, Staged, error) {
	s := &t.stage
	s.begin(ctx, &t.staging, file.name)
	s.f, s.plain = file.f, true
	err := ctx.Err()
	if err == nil {
		err = s.read(wire)
	}
	if err == nil {
		err = s.complete(date)
	}
	if err != nil {
		return stagedFile{}, Staged{}, errors.Join(err, s.drop())
	}
	return stagedFile{temp: s.staged.name, size: s.staged.WireSize, f: s.f}, s.staged, nil
}

// sync makes the octets of s durable and closes it. An error is final: what the
// system holds of the file is not known any more.
func (t *fileSink) sync(s *stagedFile) error {
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
func (t *fileSink) publish(files []stagedFile) ([]string, error) {
	names := make([]string, 0, len(files))
	touched := map[*os.File]bool{}
	for _, s := range files {
		dir := t.dirs[s.dir]
		if err := t.disk.renameAt(t.from, s.temp, dir, s.final); err != nil {
			return nil, errors.Join(err, t.withdraw(files, len(names)))
		}
		names = append(names, filepath.Join(t.path, s.dir, s.final))
		touched[dir] = true
	}
	for dir := range touched {
		if err := t.disk.sync(dir); err != nil {
			return nil, errors.Join(err, t.withdraw(files, len(files)))
		}
	}
	return names, nil
}

// discard removes a file in the directory for temporary files, unless it is nil.
func (t *fileSink) discard(f *os.File, name string) error {
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), t.disk.remove(t.temp, name))
}

// withdraw removes files, of which the first n have their final names.
func (t *fileSink) withdraw(files []stagedFile, n int) error {
	var errs []error
	for i := range files {
		s := &files[i]
		errs = append(errs, s.close())
		if i < n {
			errs = append(errs, t.disk.remove(t.root, filepath.Join(s.dir, s.final)))
		} else {
			errs = append(errs, t.disk.remove(t.temp, s.temp))
		}
	}
	return errors.Join(errs...)
}

// put makes one staged message durable and visible.
func (t *fileSink) put(s stagedFile, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if err := t.sync(&s); err != nil {
		return "", errors.Join(err, t.disk.remove(t.temp, s.temp))
	}
	names, err := t.publish([]stagedFile{s})
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// Close implements Sink.
func (t *fileSink) Close() error {
	errs := []error{t.self.Close(), t.root.Close()}
	for _, d := range t.dirs {
		errs = append(errs, d.Close())
	}
	if t.from != nil {
		errs = append(errs, t.from.Close())
	}
	if t.temp != nil {
		errs = append(errs, t.temp.Close())
	}
	return errors.Join(errs...)
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
