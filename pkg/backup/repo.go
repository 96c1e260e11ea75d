package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/mail-toolkit/mail/pkg/store"
)

// What is in the directory of a repository beside the mailboxes. No mailbox has
// such a folder: a name that EncodeName makes has no dot.
const (
	metaDir      = ".mail-backup"
	settingsFile = metaDir + "/settings.json"
	lockFile     = metaDir + "/lock"
	dirtyFile    = metaDir + "/dirty"
	manifestFile = metaDir + "/manifest.jsonl"
	newSuffix    = ".new" // of a file that is to be renamed once it is whole
	damagedDir   = metaDir + "/damaged"

	settingsVersion = 1
	maxSettings     = 64 << 10 // octets
)

// Formats of the folders.
const (
	FormatMaildir = "maildir"
	FormatEML     = "eml"
	FormatMbox    = "mbox" // mboxrd
)

// Settings are what a repository is made with.
type Settings struct {
	Format string // FormatMaildir, FormatEML or FormatMbox; "" means the first
}

// OpenOptions say how to open a repository.
type OpenOptions struct {
	Create *Settings // make the repository when it is missing
	Write  bool      // take the lock: for everything that changes it
}

// Repo is an open repository. What changes it needs OpenOptions.Write, and belongs
// to one goroutine.
type Repo struct {
	dir      string
	root     *os.Root
	settings Settings
	write    bool
	lock     *os.File
	disk     disk
	log      *manifestLog
	seen     survey
	tip      *index     // of the whole manifest; nil: not in memory
	aside    sync.Mutex // held while a file is put aside
	listing  struct {
		sync.Mutex
		recent []*listing // of the folders that were looked at last
	}
	mboxes struct {
		sync.Mutex
		recent []*mboxIndex
	}
}

// DamageError says that the manifest of a repository is not as it was written.
// [Repo.Verify] tells more, [Repo.Repair] mends it.
type DamageError struct {
	Path   string
	Lines  int   // that are not whole, or do not fit to those before
	First  int64 // where the first of them begins, in octets
	Reason string
}

// Error implements error.
func (e *DamageError) Error() string {
	if e.Lines == 0 {
		return fmt.Sprintf("%q: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%q: %d damaged lines, the first at octet %d: %s", e.Path, e.Lines, e.First, e.Reason)
}

// Open opens the repository in dir. The manifest may be damaged: then reading gives
// what can be read and a *[DamageError] at the end, and only [Repo.Verify] and
// [Repo.Repair] do their work in full.
//
// Errors: *store.LockError when another process writes to it, *store.Error for what
// is no repository, *VersionError for one of a later version of this program.
func Open(dir string, o OpenOptions) (*Repo, error) { return open(dir, o, osDisk{}) }

func open(dir string, o OpenOptions, d disk) (*Repo, error) {
	if o.Create != nil && o.Write {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	r := &Repo{dir: dir, root: root, write: o.Write, disk: d}
	if err := r.open(o); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Repo) open(o OpenOptions) error {
	if st, err := r.root.Lstat(metaDir); err != nil || !st.IsDir() {
		if !o.Write || o.Create == nil {
			return &store.Error{Path: r.dir, Msg: "not a backup repository"}
		}
		if err := r.makeMeta(); err != nil {
			return err
		}
	}
	if o.Write {
		if err := r.takeLock(); err != nil {
			return err
		}
	}
	err := r.readSettings()
	if errors.Is(err, fs.ErrNotExist) {
		err = r.create(o)
	}
	if err != nil {
		return err
	}
	if err := r.openManifest(); err != nil {
		return err
	}
	if o.Write {
		return r.recover()
	}
	return nil
}

// makeDir makes the directory unless it is there. The parent must be there.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(os.Chmod(dir, 0o700), syncFile(parent), parent.Close())
}

// makeMeta begins a repository, in an empty directory only.
func (r *Repo) makeMeta() error {
	d, err := r.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if names, err := d.Readdirnames(1); len(names) > 0 || err != io.EOF {
		return &store.Error{Path: r.dir, Msg: "neither a backup repository nor empty"}
	}
	if err := r.disk.mkdir(r.root, metaDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return r.disk.sync(d)
}

// takeLock keeps other writers out until Close, or the end of the process.
func (r *Repo) takeLock() error {
	f, err := r.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	ok, err := tryLock(f)
	if ok {
		r.lock = f
		_ = f.Truncate(0) // who it is helps people only
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		return nil
	}
	if err == nil {
		holder := make([]byte, 20)
		n, _ := f.ReadAt(holder, 0)
		lock := &store.LockError{Path: filepath.Join(r.dir, filepath.FromSlash(lockFile))}
		if pid, perr := strconv.Atoi(strings.TrimSpace(string(holder[:n]))); perr == nil {
			lock.Holder = fmt.Sprintf("process %d", pid)
		}
		err = lock
	}
	return errors.Join(err, f.Close())
}

// settingsJSON is the file of the settings.
type settingsJSON struct {
	Version int    `json:"version"`
	Format  string `json:"format"`
}

func (r *Repo) readSettings() error {
	f, err := r.root.Open(settingsFile)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSettings))
	if err != nil {
		return err
	}
	var s settingsJSON
	name := filepath.Join(r.dir, filepath.FromSlash(settingsFile))
	if err := json.Unmarshal(data, &s); err != nil || s.Version < 1 {
		return &store.Error{Path: name, Msg: "damaged"}
	}
	if s.Version > settingsVersion || !isFormat(s.Format) {
		return &VersionError{Path: name, What: fmt.Sprintf("version %d, format %q", s.Version, shorten(s.Format))}
	}
	r.settings = Settings{Format: s.Format}
	return nil
}

func isFormat(s string) bool { return s == FormatMaildir || s == FormatEML || s == FormatMbox }

// create writes what a new repository has. The settings come last: with them it is
// one.
func (r *Repo) create(o OpenOptions) error {
	if !o.Write || o.Create == nil {
		return &store.Error{Path: r.dir, Msg: "not a backup repository (" + settingsFile + " is missing)"}
	}
	format := o.Create.Format
	if format == "" {
		format = FormatMaildir
	}
	if !isFormat(format) {
		return &store.Error{Path: r.dir, Msg: fmt.Sprintf("a repository cannot have the format %q (want %s, %s or %s)", shorten(format), FormatMaildir, FormatEML, FormatMbox)}
	}
	if st, err := r.root.Stat(manifestFile); err == nil && st.Size() > 0 {
		return &store.Error{Path: r.dir, Msg: "a backup repository without " + settingsFile + `: write {"version":1,"format":"maildir"} there, or "eml", or "mbox"`}
	}
	data, err := json.Marshal(settingsJSON{Version: settingsVersion, Format: format})
	if err != nil {
		return err
	}
	if err := r.replace(manifestFile, nil); err != nil {
		return err
	}
	if err := r.replace(settingsFile, append(data, '\n')); err != nil {
		return err
	}
	r.settings = Settings{Format: format}
	return nil
}

// replace writes a file beside its place, and durably puts it there.
func (r *Repo) replace(name string, data []byte) error {
	f, err := r.beside(name)
	if err != nil {
		return err
	}
	_, err = r.disk.writeAt(f, data, 0)
	return errors.Join(r.putBeside(f, name, err), f.Close())
}

// beside opens a new file that is to take the place of name.
func (r *Repo) beside(name string) (*os.File, error) {
	if err := r.root.Remove(name + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r.disk.create(r.root, name+newSuffix)
}

// putBeside puts f in the place of name, or removes it after an error.
func (r *Repo) putBeside(f *os.File, name string, err error) error {
	if err == nil {
		err = r.disk.sync(f)
	}
	if err == nil {
		err = r.disk.rename(r.root, name+newSuffix, name)
	}
	if err != nil {
		_ = r.root.Remove(name + newSuffix) // the next writer does it if this fails
		return err
	}
	return r.syncDir(path.Dir(name))
}

// syncDir makes the names in a directory durable.
func (r *Repo) syncDir(dir string) error {
	d, err := r.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(r.disk.sync(d), d.Close())
}

// openManifest opens the manifest and looks through it. A missing one is damage.
func (r *Repo) openManifest() error {
	mode := os.O_RDONLY
	if r.write {
		mode = os.O_RDWR
	}
	f, err := r.root.OpenFile(manifestFile, mode, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.log = &manifestLog{f: f}
	if f == nil {
		r.seen = survey{damage: &DamageError{Path: r.manifestPath(), Reason: "missing"}}
		r.tip = newIndex(r.log)
		return nil
	}
	return r.look()
}

// look goes through the whole manifest.
func (r *Repo) look() (err error) {
	st, err := r.log.f.Stat()
	if err != nil {
		return err
	}
	r.tip = newIndex(r.log)
	dirty, err := r.dirty()
	if err != nil {
		return err
	}
	r.seen, err = surveyManifest(r.log.f, surveyOptions{path: r.manifestPath(), size: st.Size(), dirty: dirty, index: r.tip})
	r.log.size = r.seen.end
	return err
}

// recover does what a writer has to do before all else: it cuts off what a dead one
// had not written whole, and finishes its prune.
func (r *Repo) recover() error {
	for _, name := range [...]string{manifestFile + newSuffix, settingsFile + newSuffix, mboxNew} {
		if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if r.log.f == nil || r.seen.damage != nil {
		return nil
	}
	if r.seen.torn > 0 {
		if err := r.disk.truncate(r.log.f, r.seen.end); err != nil {
			return err
		}
		if err := r.disk.sync(r.log.f); err != nil {
			return err
		}
	}
	return r.finishPrune()
}

func (r *Repo) manifestPath() string { return filepath.Join(r.dir, filepath.FromSlash(manifestFile)) }

// Damage returns what is wrong with the manifest, nil for nothing.
func (r *Repo) Damage() *DamageError { return r.seen.damage }

// Settings returns what the repository was made with.
func (r *Repo) Settings() Settings { return r.settings }

// Dir returns the directory of the repository.
func (r *Repo) Dir() string { return r.dir }

// Close releases the repository and its lock.
func (r *Repo) Close() error {
	err := r.root.Close()
	for _, f := range []*os.File{r.lock, r.logFile()} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

func (r *Repo) logFile() *os.File {
	if r.log == nil {
		return nil
	}
	return r.log.f
}

// dirty reports whether a run has not come to its end: files may be there that the
// manifest does not name.
func (r *Repo) dirty() (bool, error) {
	_, err := r.root.Lstat(dirtyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// setDirty durably says that a run is under way, or over.
func (r *Repo) setDirty(on bool) error {
	is, err := r.dirty()
	if err != nil || is == on {
		return err
	}
	if !on {
		err = r.disk.remove(r.root, dirtyFile)
	} else {
		var f *os.File
		if f, err = r.disk.create(r.root, dirtyFile); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return err
	}
	return r.syncDir(metaDir)
}

// index returns what the manifest says at a snapshot ("" means now), and the error
// that is to be told once that was read.
func (r *Repo) index(at string) (x *index, damage error, err error) {
	end, err := r.endOf(at)
	if err != nil {
		return nil, nil, err
	}
	if d := r.seen.damage; d != nil && d.First <= end {
		damage = d
	}
	if at == "" && r.tip != nil {
		return r.tip, damage, nil
	}
	if !r.write {
		r.tip = nil // not two at once
	}
	x = newIndex(r.log)
	if err := x.replay(r.log.f, 0, end); err != nil {
		return nil, nil, err
	}
	if at == "" {
		r.tip = x
	}
	return x, damage, nil
}

// endOf returns where the lines end that make a snapshot, "" for all.
func (r *Repo) endOf(at string) (int64, error) {
	if at == "" {
		return r.seen.end, nil
	}
	s, err := r.snapshot(at)
	return s.end, err
}

// Snapshots returns the snapshots that were not forgotten, the oldest first.
func (r *Repo) Snapshots() []Snapshot {
	list := make([]Snapshot, len(r.seen.snaps))
	for i, s := range r.seen.snaps {
		list[i] = s.Snapshot
	}
	return list
}

// snapshot finds a snapshot by its ID, a prefix of it that no other has, or
// "latest". What is not there is an fs.ErrNotExist.
func (r *Repo) snapshot(at string) (snapMark, error) {
	var found []snapMark
	for _, s := range r.seen.snaps {
		if s.ID == at {
			return s, nil
		}
		if strings.HasPrefix(s.ID, at) {
			found = append(found, s)
		}
	}
	if n := len(r.seen.snaps); at == "latest" && n > 0 {
		return r.seen.snaps[n-1], nil
	}
	switch {
	case len(found) == 0 || at == "":
		return snapMark{}, fmt.Errorf("no snapshot %q: %w", shorten(at), fs.ErrNotExist)
	case len(found) > 1:
		return snapMark{}, fmt.Errorf("%d snapshots begin with %q: %w", len(found), shorten(at), fs.ErrNotExist)
	}
	return found[0], nil
}

// Mailboxes returns the mailboxes that the account had at a snapshot, by their
// names. at is the ID of a snapshot, a prefix of it that no other has, "latest", or
// "" for now. With a *[DamageError] comes what can be read.
func (r *Repo) Mailboxes(at string) ([]Mailbox, error) {
	x, damage, err := r.index(at)
	if err != nil {
		return nil, err
	}
	var list []Mailbox
	for _, n := range x.boxNumbers(false) {
		info, _ := x.info(n)
		list = append(list, *info.Mailbox)
	}
	return list, damage
}

// Messages yields the messages of the mailboxes with those names, of all without
// any, at a snapshot (see [Repo.Mailboxes]): by mailbox, and by UID in it. It ends
// after an error. A message may be kept; its Mailbox and its slices are shared and
// not to be changed. A mailbox that is not there is an fs.ErrNotExist.
func (r *Repo) Messages(at string, mailbox ...string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		x, damage, err := r.index(at)
		if err == nil {
			var boxes []uint32
			if boxes, err = x.named(mailbox); err == nil {
				if err = x.yieldPresent(boxes, yield); err == errStop {
					return
				}
			}
		}
		if err == nil {
			err = damage
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// errStop says that the caller wants no more.
var errStop = errors.New("stop")

func (x *index) yieldPresent(boxes []uint32, yield func(*Message, error) bool) error {
	for _, n := range boxes {
		for i := range x.present(n) {
			m, err := x.message(i)
			if err != nil {
				return err
			}
			if !yield(m, nil) {
				return errStop
			}
		}
	}
	return nil
}

// named returns the mailboxes with those names that are present, all without any.
func (x *index) named(names []string) ([]uint32, error) {
	all := x.boxNumbers(false)
	if len(names) == 0 {
		return all, nil
	}
	var list []uint32
	for _, name := range names {
		before := len(list)
		for _, n := range all {
			if info, _ := x.info(n); info.Mailbox.Name == name {
				list = append(list, n)
			}
		}
		if len(list) == before {
			return nil, fmt.Errorf("mailbox %q: %w", shorten(name), fs.ErrNotExist)
		}
	}
	return list, nil
}

// Path returns the path of the file of a message as it is named now: other programs
// change what follows ":2,". With FormatMbox it is the path of the mbox, "@" and the
// octet where the message begins. A file that is gone is an fs.ErrNotExist.
func (r *Repo) Path(m *Message) (string, error) {
	name, err := r.locate(m)
	if err != nil {
		return "", err
	}
	if r.settings.Format == FormatMbox {
		f, p, err := r.openPiece(name)
		if err != nil {
			return "", err
		}
		return filepath.Join(r.dir, filepath.FromSlash(path.Dir(name))) + "@" + strconv.FormatInt(p.off, 10), f.Close()
	}
	return filepath.Join(r.dir, filepath.FromSlash(name)), nil
}

// Read opens the message m. The caller closes it. The date and the flags are those of m.
func (r *Repo) Read(m *Message) (*store.Message, error) {
	name, err := r.locate(m)
	if err != nil {
		return nil, err
	}
	f, err := r.openMessage(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	newSpool := store.NewSpool
	if strings.HasSuffix(strings.TrimSuffix(m.File, emlSuffix), wireMark) {
		newSpool = store.NewWireSpool
	}
	sp, err := newSpool(struct{ io.Reader }{f}) // copied: f is closed here
	if err != nil {
		return nil, err
	}
	return &store.Message{Spool: sp, Meta: store.Meta{Date: m.Date, Flags: m.Flags}, Path: filepath.Join(r.dir, filepath.FromSlash(name))}, nil
}
