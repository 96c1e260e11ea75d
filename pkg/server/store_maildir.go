package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// Names in the tree of a Maildir store. Below the directory of the store there is
// one for each user, which is a Maildir (INBOX) with the other mailboxes in
// directories below it, as Maildir++ has it: ".Archive.2024" is Archive/2024.
//
// Messages are stored as pkg/store does: in LF form, or marked ",X=wire" in wire
// form. Messages on their way in are in tmp of the user, named tempPrefix and their
// name to be. A change counts when its journal line is on disk: files of an added
// message are renamed, those of an expunged one removed after it, and if that did
// not happen any more, at the next start.
const (
	lockName      = "mail-lock"
	intentsFile   = ".mail-deliveries"
	nameFile      = "mail-name"     // in a folder: the name of the mailbox if the folder does not tell
	folderMark    = "maildirfolder" // in a folder: an empty file, says Maildir++
	tempPrefix    = "mail."
	trashPrefix   = "mail-away-" // a mailbox that is being made or deleted
	wireMark      = ",X=wire"
	infoMark      = ":2,"
	memoryBody    = 4 << 20               // octets up to which a body is converted in memory
	maxNameFile   = 4096                  // octets
	settleTime    = 20 * time.Millisecond // file times are not finer than this
	rescanTime    = 10 * time.Second      // after changes of ours directories are read again
	dirCur        = "cur"
	dirNew        = "new"
	dirTmp        = "tmp"
	modeDirectory = 0o700
)

// OpenMaildir opens or makes a store in dir, the parent of which must be there. A
// second store on the same directory, be it of another process, is refused with
// ErrStoreInUse. Files are made with mode 0600, directories with 0700.
//
// Other programs may read, add, remove and flag messages meanwhile as they do in
// any Maildir; Mailbox and State take that up. Mailboxes that they make are seen
// at the next start.
func OpenMaildir(dir string) (Store, error) { return openMaildir(dir, nil) }

func openMaildir(dir string, fault diskFault) (Store, error) {
	if err := os.Mkdir(dir, modeDirectory); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &disk{root: root, fault: fault}
	lock, err := lockFile(d, lockName)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), d.close())
	}
	keep := &maildirStore{disk: d, lock: lock, host: hostName()}
	s := &localStore{keep: keep, accounts: map[string]*account{}}
	if err := keep.openIntents(s); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), s.Close())
	}
	return s, nil
}

// hostName is the name of this host as Maildir wants it in file names.
func hostName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "localhost"
	}
	clean := strings.Map(func(r rune) rune {
		if isCapital(byte(r)) || isSmall(byte(r)) || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, host)
	return clean[:min(len(clean), 64)]
}

// maildirStore is the directory of a store.
type maildirStore struct {
	disk    *disk
	lock    *diskFile
	host    string
	intents *intents
}

func (s *maildirStore) close() error {
	return errors.Join(s.intents.close(), s.disk.close(), s.lock.Close())
}

// account opens the directory of a user.
func (s *maildirStore) account(a *account) (fresh bool, err error) {
	dir := userFolder(a.user)
	if err := s.disk.makeFolder(dir); err != nil {
		return false, err
	}
	if err := s.disk.sync("."); err != nil {
		return false, err
	}
	d, err := s.disk.openRoot(dir)
	if err != nil {
		return false, err
	}
	k := &maildirAccount{disk: d, host: s.host}
	if k.journal, err = openJournal(d, accountFile, k.replay); err != nil {
		return false, errors.Join(err, d.close())
	}
	a.keep = k
	return !k.settled, k.open(a)
}

// maildirAccount is the directory of a user.
type maildirAccount struct {
	disk    *disk
	host    string
	journal *journal
	last    accountRecord // as of the journal
	settled bool          // the account was made to its end
}

// accountRecord is a line of the account's journal. The last of each kind counts.
type accountRecord struct {
	Validity      uint32            `json:"uidValidity,omitempty"` // the highest one given out
	Settled       bool              `json:"settled,omitempty"`     // the next two are meant
	SpecialUse    map[string]string `json:"specialUse,omitempty"`
	Subscriptions []string          `json:"subscriptions,omitempty"`
	Renaming      *renaming         `json:"renaming,omitempty"` // must be done before the next line
}

// renaming is a change of folder names.
type renaming struct {
	From, To []string // directories
	Old, New []string // names
}

func (k *maildirAccount) replay(line []byte) error {
	var r accountRecord
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	k.last.Validity = max(k.last.Validity, r.Validity)
	k.last.Renaming = r.Renaming
	if r.Settled {
		k.settled = true
		k.last.SpecialUse, k.last.Subscriptions = r.SpecialUse, r.Subscriptions
	}
	return nil
}

// open finishes what a process that was killed had begun, and opens all mailboxes.
func (k *maildirAccount) open(a *account) error {
	if err := k.tidy(); err != nil {
		return err
	}
	a.validity = k.last.Validity
	for _, name := range k.last.Subscriptions {
		a.subs[name] = true
	}
	dirs, err := k.list(".")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := k.openMailbox(a, dir); err != nil {
			return fmt.Errorf("mailbox directory %q: %w", dir, err)
		}
	}
	for _, m := range a.boxes {
		if err := m.keep.(*maildirFolder).endMove(a); err != nil {
			return fmt.Errorf("mailbox %q: %w", m.name, err)
		}
	}
	for _, m := range a.boxes {
		if err := m.keep.(*maildirFolder).start(m); err != nil {
			return fmt.Errorf("mailbox %q: %w", m.name, err)
		}
	}
	if k.settled && a.boxes[inbox] == nil { // its files are gone
		if err := a.make(inbox, ""); err != nil {
			return err
		}
	}
	return k.cleanTemp()
}

// tidy ends renaming and deleting that were cut short.
func (k *maildirAccount) tidy() error {
	if r := k.last.Renaming; r != nil {
		if err := k.resume(r); err != nil {
			return err
		}
	}
	names, err := k.list(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, trashPrefix) {
			if err := k.disk.removeAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// list returns the names in a directory, sorted.
func (k *maildirAccount) list(dir string) ([]string, error) {
	d, err := k.disk.open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

// openMailbox opens the mailbox in dir if there is one. The name "cur" stands for
// INBOX.
func (k *maildirAccount) openMailbox(a *account, dir string) error {
	name, ok := inbox, dir == dirCur
	if ok {
		dir = "."
	} else if name, ok = k.nameOf(dir); !ok || a.boxes[name] != nil {
		return nil
	}
	if st, err := k.disk.lstat(path.Join(dir, dirCur)); err != nil || !st.IsDir() {
		return nil
	}
	m := a.blankMailbox(name, k.last.SpecialUse[name])
	f := &maildirFolder{acct: k, dir: dir, box: m}
	m.keep = f
	a.boxes[name] = m
	if err := f.load(m); err != nil {
		delete(a.boxes, name)
		return err
	}
	a.validity = max(a.validity, m.validity)
	return nil
}

// nameOf returns the name of the mailbox in a folder.
func (k *maildirAccount) nameOf(dir string) (string, bool) {
	if name, ok := mailboxName(dir); ok {
		return name, true
	}
	if !strings.HasPrefix(dir, ".") || !strings.Contains(dir, digestMark) {
		return "", false
	}
	f, err := k.disk.open(path.Join(dir, nameFile))
	if errors.Is(err, fs.ErrNotExist) {
		return dir[1:], true
	}
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNameFile))
	if err != nil {
		return "", false
	}
	name, err := canonicalName(string(b))
	if err != nil || name == inbox {
		name = dir[1:] // better than a mailbox that is not seen
	}
	return name, true
}

// cleanTemp removes messages that were never added.
func (k *maildirAccount) cleanTemp() error {
	names, err := k.list(dirTmp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			err = errors.Join(err, k.disk.remove(path.Join(dirTmp, name)))
		}
	}
	return err
}

// create makes the folder of a mailbox. Before it is there its UIDVALIDITY is
// noted, so that no later mailbox gets it.
func (k *maildirAccount) create(m *mailbox) (folder, error) {
	if err := k.journal.write(accountRecord{Validity: m.validity}); err != nil {
		return nil, err
	}
	f := &maildirFolder{acct: k, dir: ".", box: m}
	if m.name != inbox {
		f.dir = folderName(m.name)
	}
	if err := f.make(m); err != nil {
		return nil, err
	}
	return f, nil
}

// remove renames the folder, so that it goes at once, and removes it.
func (k *maildirAccount) remove(m *mailbox) error {
	f := m.keep.(*maildirFolder)
	trash := trashPrefix + newID('D')
	if err := k.disk.rename(f.dir, trash); err != nil {
		return err
	}
	if err := k.disk.sync("."); err != nil {
		return errors.Join(err, k.disk.rename(trash, f.dir))
	}
	_ = f.close()               // nothing is in it that counts
	_ = k.disk.removeAll(trash) // or at the next start
	return nil
}

// rename renames folders. After an error they get their names back.
func (k *maildirAccount) rename(boxes []*mailbox, names []string) (int, error) {
	r := &renaming{New: names}
	for i, m := range boxes {
		r.From = append(r.From, m.keep.(*maildirFolder).dir)
		r.To = append(r.To, folderName(names[i]))
		r.Old = append(r.Old, m.name)
	}
	if err := k.journal.write(accountRecord{Renaming: r}); err != nil {
		return 0, err
	}
	done, err := k.renameFolders(r)
	if err == nil {
		err = k.disk.sync(".")
	}
	for err != nil && done > 0 && k.renameFolder(r.To[done-1], r.From[done-1], r.Old[done-1]) == nil {
		done--
	}
	if err != nil {
		k.journal.undo(accountRecord{})
	}
	for i, m := range boxes[:done] {
		m.keep.(*maildirFolder).moveTo(r.To[i])
	}
	return done, err
}

func (k *maildirAccount) renameFolders(r *renaming) (done int, err error) {
	for i, from := range r.From {
		if err := k.renameFolder(from, r.To[i], r.New[i]); err != nil {
			return i, errors.Join(err, k.writeName(from, from, r.Old[i]))
		}
	}
	return len(r.From), nil
}

// resume ends renaming that was cut short.
func (k *maildirAccount) resume(r *renaming) error {
	if len(r.From) != len(r.To) || len(r.From) != len(r.Old) || len(r.From) != len(r.New) {
		return fs.ErrInvalid
	}
	for i, from := range r.From {
		if _, err := k.disk.lstat(from); err == nil {
			if err := k.renameFolder(from, r.To[i], r.New[i]); err != nil {
				continue // it keeps its name
			}
		}
		if use, ok := k.last.SpecialUse[r.Old[i]]; ok {
			delete(k.last.SpecialUse, r.Old[i])
			k.last.SpecialUse[r.New[i]] = use
		}
		if at := slices.Index(k.last.Subscriptions, r.Old[i]); at >= 0 {
			k.last.Subscriptions[at] = r.New[i]
		}
	}
	return k.disk.sync(".")
}

func (k *maildirAccount) renameFolder(from, to, name string) error {
	if err := k.writeName(from, to, name); err != nil {
		return err
	}
	return k.disk.rename(from, to)
}

// writeName writes the name of a mailbox into its folder if the name that the
// folder has, or will have, does not tell.
func (k *maildirAccount) writeName(dir, final, name string) error {
	if !strings.Contains(final, digestMark) {
		return nil
	}
	return k.disk.writeFile(path.Join(dir, nameFile), []byte(name))
}

// settle writes special uses and subscriptions.
func (k *maildirAccount) settle(a *account) error {
	if k.journal.long() {
		return k.journal.replace([]any{k.settlement(a)})
	}
	return k.journal.write(k.settlement(a))
}

// settleRenamed writes it too. Until it is there the record of the renaming stands.
func (k *maildirAccount) settleRenamed(a *account) { k.journal.undo(k.settlement(a)) }

func (k *maildirAccount) settlement(a *account) accountRecord {
	r := accountRecord{Validity: a.validity, Settled: true, SpecialUse: map[string]string{}}
	for name, m := range a.boxes {
		if m.use != "" {
			r.SpecialUse[name] = m.use
		}
	}
	r.Subscriptions = slices.Sorted(maps.Keys(a.subs))
	return r
}

func (k *maildirAccount) close() error { return errors.Join(k.journal.close(), k.disk.close()) }

// mailFile is the file of a message.
type mailFile struct {
	base string // name up to infoMark
	sub  string // dirCur, dirNew, dirTmp, or "" if it is not there
	info string // flag letters
	tag  bool   // the name has infoMark
	wire int64  // octets of the wire form
}

// name is the name of the file in its directory.
func (f *mailFile) name() string {
	switch {
	case f.sub == dirTmp:
		return tempPrefix + f.base
	case f.tag:
		return f.base + infoMark + f.info
	}
	return f.base
}

// wanted is where the file of a message with flags belongs: in new if it is there or
// comes in and there is nothing to say about it.
func (f *mailFile) wanted(flags []string) mailFile {
	letters := flagLetters(flags)
	switch {
	case letters == "" && f.sub == dirTmp:
		return mailFile{base: f.base, sub: dirNew, wire: f.wire}
	case letters == flagLetters(withLetters(nil, f.info)) && f.sub != dirTmp:
		return *f
	}
	letters = otherLetters(letters, f.info)
	return mailFile{base: f.base, sub: dirCur, info: letters, tag: true, wire: f.wire}
}

// take writes a body to tmp and makes it durable.
func (k *maildirAccount) take(r io.Reader, date time.Time) (payload, int64, error) {
	sp, err := store.NewWireSpool(r)
	if err != nil {
		return nil, 0, err
	}
	defer sp.Close()
	f := &mailFile{sub: dirTmp, base: k.newBase() + ",W=" + strconv.FormatInt(sp.WireSize(), 10), wire: sp.WireSize()}
	if !sp.Facts().Reversible() {
		f.base += wireMark
	}
	temp := path.Join(dirTmp, f.name())
	if err := k.writeTemp(temp, sp, date); err != nil {
		return nil, 0, errors.Join(err, ignoreMissing(k.disk.remove(temp)))
	}
	return f, sp.WireSize(), nil
}

// newBase makes the name of a new file, which no other process makes: seconds, for
// those who sort, random bits and the host.
func (k *maildirAccount) newBase() string {
	return strconv.FormatInt(time.Now().Unix(), 10) + "." + newID('R') + "." + k.host
}

func (k *maildirAccount) writeTemp(temp string, sp *store.Spool, date time.Time) (err error) {
	w, err := k.disk.openFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r := sp.LF()
	if !sp.Facts().Reversible() {
		r = sp.Wire()
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, firstChunk)); err != nil {
		return err
	}
	if err := k.disk.chtimes(temp, date); err != nil {
		return err
	}
	return w.Sync()
}

// link makes a hard link in tmp, or a copy where there are none.
func (k *maildirAccount) link(from folder, body payload) (payload, error) {
	old := body.(*mailFile)
	f := &mailFile{sub: dirTmp, base: k.newBase(), wire: old.wire}
	if i := strings.IndexByte(old.base, ','); i >= 0 {
		f.base += old.base[i:] // size and mark go along
	}
	source, temp := from.(*maildirFolder).path(old), path.Join(dirTmp, f.name())
	err := k.disk.link(source, temp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", source, ErrNoMessage)
	}
	if err != nil {
		err = k.copyFile(source, temp)
	}
	if err != nil {
		return nil, errors.Join(err, ignoreMissing(k.disk.remove(temp)))
	}
	return f, nil
}

func (k *maildirAccount) copyFile(source, temp string) (err error) {
	r, err := k.disk.open(source)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := k.disk.openFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// drop removes a file that is in tmp yet.
func (k *maildirAccount) drop(body payload) {
	if f := body.(*mailFile); f.sub == dirTmp {
		_ = k.disk.remove(path.Join(dirTmp, f.name())) // or at the next start
	}
}
