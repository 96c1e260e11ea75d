package store

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Message is a message that was read back.
type Message struct {
	*Spool
	Meta Meta   // date, flags and sender as far as the source has them
	Path string // file it was read from, as Sink.Put names it; "" for a stream

	offset int64 // of its "From " line
}

// ReadStream reads what stands on standard input: one plain message, or an mboxrd
// stream when it begins with "From ". Empty input is no message. A message is
// valid until the next one is asked for, which closes it; after an error the
// sequence ends.
func ReadStream(r io.Reader) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if sec, size, ok := regular(r); ok {
			start := make([]byte, 5)
			n, err := sec.ReadAt(start, 0)
			if err != nil && err != io.EOF {
				yield(nil, err)
			} else if string(start[:n]) == "From " {
				readMbox(sec, yield)
			} else if size > 0 {
				yieldOne(yield, r)
			}
			return
		}
		br := bufio.NewReaderSize(r, 64<<10)
		start, err := br.Peek(5)
		switch {
		case err != nil && err != io.EOF:
			yield(nil, err)
		case string(start) == "From ":
			readMbox(br, yield)
		case len(start) > 0:
			yieldOne(yield, br)
		}
	}
}

func yieldOne(yield func(*Message, error) bool, r io.Reader) {
	sp, err := NewSpool(r)
	if err != nil {
		yield(nil, err)
		return
	}
	defer sp.Close()
	yield(&Message{Spool: sp}, nil)
}

// ReadMaildir reads the messages in new and cur of a Maildir in the order of their
// names. Keywords are those that dovecot-keywords names. Symbolic links and what is
// no regular file are left out. Messages are valid as with ReadStream; one that is
// renamed meanwhile, because its flags change, is found again, and one that goes
// away is skipped.
func ReadMaildir(dir string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		defer root.Close()
		paths, err := listMaildir(root)
		if err == nil {
			f := files{root: root, dir: dir}
			f.keywords, err = readKeywords(root)
			if err == nil {
				f.read(paths, yield)
				return
			}
		}
		yield(nil, err)
	}
}

// listMaildir returns the paths in new and cur.
func listMaildir(root *os.Root) ([]string, error) {
	var paths []string
	for _, sub := range maildirSubs[1:] {
		names, err := listDir(root, sub)
		if err != nil {
			return nil, err
		}
		paths = append(paths, names...)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return paths, nil
}

// ReadEML reads the messages of a folder of .eml files in the order of their
// names. Messages are valid as with ReadStream.
func ReadEML(dir string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		defer root.Close()
		names, err := listDir(root, ".")
		if err != nil {
			yield(nil, err)
			return
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !isEML(n) })
		slices.Sort(names)
		files{root: root, dir: dir}.read(names, yield)
	}
}

// listDir returns the paths of the entries of sub that are not hidden.
func listDir(root *os.Root, sub string) ([]string, error) {
	d, err := root.Open(sub)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, n := range names {
		if n[0] != '.' {
			paths = append(paths, filepath.Join(sub, n))
		}
	}
	return paths, nil
}

// files reads messages that have files of their own.
type files struct {
	root     *os.Root
	dir      string
	keywords []string          // of the letters a, b, … in names
	moved    map[string]string // where the files of a Maildir are now, by what stays of their names
}

// read reads the files with those paths.
func (l files) read(paths []string, yield func(*Message, error) bool) {
	for _, path := range paths {
		f, path, err := l.open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			if st, lerr := l.root.Lstat(path); lerr == nil && !st.Mode().IsRegular() {
				continue
			}
			yield(nil, err)
			return
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			_ = f.Close() // a directory or device, not read
			continue
		}
		more := err == nil && l.yield(f, st, path, yield)
		_ = f.Close() // only read from
		if err != nil {
			yield(nil, err)
		}
		if !more {
			return
		}
	}
}

// open opens a file, under its new name if it has one.
func (l *files) open(path string) (*os.File, string, error) {
	f, err := l.root.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
	if !errors.Is(err, os.ErrNotExist) || filepath.Dir(path) == "." {
		return f, path, err
	}
	base, _ := cutInfo(path)
	for range 3 { // it may be renamed again
		if now, ok := l.moved[base]; ok {
			if f, err = l.root.OpenFile(now, os.O_RDONLY|noFollow|nonBlock, 0); !errors.Is(err, os.ErrNotExist) {
				return f, now, err
			}
		}
		paths, lerr := listMaildir(l.root)
		if lerr != nil {
			return nil, path, lerr
		}
		l.moved = make(map[string]string, len(paths))
		for _, p := range paths {
			b, _ := cutInfo(p)
			l.moved[b] = p
		}
		if _, ok := l.moved[base]; !ok {
			break
		}
	}
	return nil, path, err
}

// cutInfo cuts the last element of a path into what stays and the flags. Systems
// that cannot have a colon there have another mark.
func cutInfo(path string) (base, info string) {
	base = filepath.Base(path)
	if i := strings.LastIndex(base, "2,"); i > 0 && strings.IndexByte(":;!", base[i-1]) >= 0 {
		return base[:i-1], base[i+2:]
	}
	return base, ""
}

// yield gives out the message in f.
func (l *files) yield(f *os.File, st os.FileInfo, path string, yield func(*Message, error) bool) bool {
	base, info := cutInfo(path)
	wire := slices.Contains(strings.Split(strings.TrimSuffix(base, emlSuffix), ","), fieldWire[1:])
	sp, err := newSpool(f, wire)
	if err != nil {
		yield(nil, err)
		return false
	}
	defer sp.Close()
	m := Meta{Date: st.ModTime(), Flags: lettersFlags(info, l.keywords)}
	return yield(&Message{Spool: sp, Meta: m, Path: filepath.Join(l.dir, path)}, nil)
}
