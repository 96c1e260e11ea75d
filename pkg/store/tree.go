package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TreeTemp is where a Tree keeps what is not published yet, relative to its path.
const TreeTemp = ".mail-backup/tmp"

const (
	treeTempName = "stage-" // what the directories in TreeTemp begin with
	maxTreeDirs  = 200      // directories held open
)

// Tree is a directory of many folders, all Maildirs or all folders of .eml files,
// whose messages become durable together. In a tree of KindMbox messages are staged as
// for a Maildir, and the caller copies them to where they belong. Stage may be called by several goroutines
// at once; the other methods belong to one goroutine. No symbolic link leads out of
// the directory.
//
// One process uses a Tree at a time: the caller holds a lock.
type Tree struct {
	staging // our directory in TreeTemp

	path  string
	root  *os.Root
	self  *os.File // root as a file, opened before anything is written
	name  string   // of that directory
	count atomic.Int64
	dirs  map[string]*os.File // where final names are
	fresh map[string]bool     // directories in which names were made that are not durable
}

// Staged is a message that is written, but not visible.
type Staged struct {
	Digest   Digest // SHA-256 of the octets of the file
	Size     int64  // octets of the file
	WireSize int64  // octets on the wire
	Marked   bool   // the name needs the field ",X=wire": see the package comment

	name string
}

// Placement is a message that gets a name.
type Placement struct {
	Staged *Staged // its file, which the Placement uses up
	LinkOf string  // in place of Staged: a file with the same octets, relative to the Tree's path, with slashes
	Dir    string  // the folder, relative, with slashes; made when it is missing
	Name   string  // in the folder, or in "cur" of a Maildir
}

// OpenTree opens the directory at path, which is there, as a Tree of Maildirs
// (KindMaildir), of folders of .eml files (KindEML), or for messages that are staged
// alone (KindMbox).
func OpenTree(path string, kind Kind) (*Tree, error) { return openTree(path, kind, osDisk{}) }

// OpenFaultyTree is OpenTree for tests: fault is asked before each step of the disk
// ("create", "write", "sync", "syncfs", "rename", "link", "mkdir"), and an error of
// it is what the step fails with.
func OpenFaultyTree(path string, kind Kind, fault func(step string) error) (*Tree, error) {
	return openTree(path, kind, faultyDisk{osDisk{}, fault})
}

func openTree(path string, kind Kind, d disk) (*Tree, error) {
	if kind != KindMaildir && kind != KindEML && kind != KindMbox {
		return nil, &Error{Path: path, Msg: "a tree has folders of kind maildir, eml or mbox"}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{staging: staging{kind: kind, disk: d}, path: path, root: root, name: treeTempName + rand.Text()[:12],
		dirs: map[string]*os.File{}, fresh: map[string]bool{}}
	if err := t.open(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tree) open() (err error) {
	if t.self, err = t.root.Open("."); err != nil {
		return err
	}
	t.whole = canSyncWhole(t.self)
	if err := t.makeTemp(); err != nil {
		return err
	}
	if t.from, err = t.temp.Open("."); err != nil {
		return err
	}
	return t.probe("0")
}

// makeTemp makes the directory of what is not published: one of our own in TreeTemp,
// where the file system has room for new files.
func (t *Tree) makeTemp() error {
	if err := t.makeDirs(TreeTemp); err != nil {
		return err
	}
	all, err := t.root.Open(TreeTemp)
	if err != nil {
		return err
	}
	spreadDirs(all)
	if err := errors.Join(all.Close(), t.disk.mkdir(t.root, t.tempDir())); err != nil {
		return err
	}
	t.temp, err = t.root.OpenRoot(t.tempDir())
	return err
}

func (t *Tree) tempDir() string { return path.Join(TreeTemp, t.name) }

// Close releases the Tree. What is staged and not published stays until the Clean of
// a later one.
func (t *Tree) Close() error {
	errs := []error{t.closeDirs()}
	if t.temp != nil {
		_ = t.root.Remove(t.tempDir()) // unless there is something in it
	}
	for _, f := range []*os.File{t.from, t.self} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	for _, r := range []*os.Root{t.temp, t.root} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// closeDirs closes the directories that are held open.
func (t *Tree) closeDirs() error {
	var errs []error
	for name, d := range t.dirs {
		errs = append(errs, d.Close())
		delete(t.dirs, name)
	}
	return errors.Join(errs...)
}

// Clean removes what an earlier process staged and did not publish.
func (t *Tree) Clean() error {
	dirs, err := t.names(TreeTemp)
	errs := []error{err}
	for _, dir := range dirs {
		if !strings.HasPrefix(dir, treeTempName) || dir == t.name {
			continue
		}
		dir = path.Join(TreeTemp, dir)
		names, err := t.names(dir)
		errs = append(errs, err)
		for _, name := range names {
			errs = append(errs, t.disk.remove(t.root, path.Join(dir, name)))
		}
		errs = append(errs, t.disk.remove(t.root, dir))
	}
	return errors.Join(errs...)
}

// names lists a directory.
func (t *Tree) names(dir string) ([]string, error) {
	d, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// Stage writes the message that wire gives in wire form, read to its end, with the
// modification time date (zero: now). After an error nothing of it is left.
func (t *Tree) Stage(ctx context.Context, wire io.Reader, date time.Time) (*Staged, error) {
	s := stagers.Get().(*stager)
	defer stagers.Put(s)
	s.begin(ctx, &t.staging, t.newTempName())
	err := s.read(wire)
	if err == nil {
		err = s.finish(date, !t.whole)
	}
	if err != nil {
		return nil, errors.Join(err, s.drop())
	}
	done := s.staged
	return &done, nil
}

// Open opens the file of a message that is staged. The caller closes it.
func (t *Tree) Open(s *Staged) (*os.File, error) { return t.temp.Open(s.name) }

// Discard removes a message that was staged.
func (t *Tree) Discard(s *Staged) error { return t.disk.remove(t.temp, s.name) }

// Publish makes staged messages durable and then visible under their names, which
// nothing else must have, and returns when these are durable too. A LinkOf may be a
// file of an earlier Placement. After an error none of them is visible.
func (t *Tree) Publish(ctx context.Context, places []Placement) error {
	err := ctx.Err()
	if err == nil {
		err = t.makeFolders(places)
	}
	if err == nil && t.whole && len(places) > 0 {
		err = t.disk.syncWhole(t.self)
	}
	made := 0
	for err == nil && made < len(places) {
		if err = t.place(&places[made]); err == nil {
			made++
		}
	}
	if err == nil {
		err = t.settle()
	}
	if err != nil {
		return errors.Join(err, t.withdraw(places, made))
	}
	if len(t.dirs) > maxTreeDirs {
		return t.closeDirs()
	}
	return nil
}

// makeFolders makes the folders that are missing.
func (t *Tree) makeFolders(places []Placement) error {
	for i := range places {
		if t.dirs[places[i].Dir] == nil {
			if err := t.Folder(places[i].Dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// Folder makes a folder unless it is there. It is durable after the next Publish.
func (t *Tree) Folder(dir string) error {
	d, err := t.root.Open(t.fileDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		if err = t.makeFolder(dir); err == nil {
			d, err = t.root.Open(t.fileDir(dir))
		}
	}
	if err != nil {
		return err
	}
	if old := t.dirs[dir]; old != nil {
		err = old.Close()
	}
	t.dirs[dir] = d
	return err
}

// makeFolder makes a folder. Of a Maildir cur comes last: with it, all is there.
func (t *Tree) makeFolder(dir string) error {
	if err := t.makeDirs(dir); err != nil || t.kind != KindMaildir {
		return err
	}
	sub, err := t.root.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer sub.Close()
	t.fresh[dir] = true
	for _, name := range maildirSubs {
		if err := t.disk.mkdir(sub, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// makeDirs makes a directory and those above it unless they are there.
func (t *Tree) makeDirs(dir string) error {
	err := t.disk.mkdir(t.root, dir)
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(dir, "/") {
		if err = t.makeDirs(path.Dir(dir)); err == nil {
			err = t.disk.mkdir(t.root, dir)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		t.fresh[path.Dir(dir)] = true
	}
	return err
}

// fileDir is the directory of the files of a folder.
func (t *Tree) fileDir(dir string) string {
	if t.kind == KindMaildir {
		return path.Join(dir, "cur")
	}
	return dir
}

// place gives one message its name.
func (t *Tree) place(p *Placement) error {
	dir := t.dirs[p.Dir]
	t.fresh[t.fileDir(p.Dir)] = true
	if p.Staged != nil {
		return t.disk.renameAt(t.from, p.Staged.name, dir, p.Name)
	}
	at, name := path.Split(p.LinkOf)
	from, err := t.root.Open(path.Clean(at))
	if err != nil {
		return err
	}
	defer from.Close()
	err = t.disk.linkAt(from, name, dir, p.Name)
	if err == nil || !cannotLink(err) {
		return err
	}
	return t.copy(p, dir)
}

// copy is what place does where there can be no more links.
func (t *Tree) copy(p *Placement, dir *os.File) error {
	f, err := t.root.OpenFile(p.LinkOf, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	s := &stager{}
	s.begin(context.Background(), &t.staging, t.newTempName())
	s.raw = true
	_, err = io.Copy(s, f)
	if err == nil {
		err = s.finish(st.ModTime(), true)
	}
	if err == nil {
		err = t.disk.renameAt(t.from, s.staged.name, dir, p.Name)
	}
	if err != nil {
		return errors.Join(err, s.drop())
	}
	return nil
}

// settle makes all names durable that are not.
func (t *Tree) settle() error {
	if len(t.fresh) > fewFiles && t.whole {
		if err := t.disk.syncWhole(t.self); err != nil {
			return err
		}
		clear(t.fresh)
		return nil
	}
	for name := range t.fresh {
		d, err := t.root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(t.disk.sync(d), d.Close()); err != nil {
			return err
		}
		delete(t.fresh, name)
	}
	return nil
}

// withdraw removes places, of which the first n have their names.
func (t *Tree) withdraw(places []Placement, n int) error {
	var errs []error
	for i := range places {
		p := &places[i]
		if i < n {
			errs = append(errs, t.disk.remove(t.root, path.Join(t.fileDir(p.Dir), p.Name)))
		} else if p.Staged != nil {
			errs = append(errs, t.disk.remove(t.temp, p.Staged.name))
		}
	}
	return errors.Join(errs...)
}

// Rename gives a file of a folder another name, durable after the next Publish.
func (t *Tree) Rename(dir, from, to string) error {
	if t.dirs[dir] == nil {
		d, err := t.root.Open(t.fileDir(dir))
		if err != nil {
			return err
		}
		t.dirs[dir] = d
	}
	t.fresh[t.fileDir(dir)] = true
	return t.disk.renameAt(t.dirs[dir], from, t.dirs[dir], to)
}

// stagers are shared: they have buffers.
var stagers = sync.Pool{New: func() any { return &stager{} }}

// newTempName is a name that nothing in temp has.
func (t *Tree) newTempName() string { return strconv.FormatInt(t.count.Add(1), 10) }
