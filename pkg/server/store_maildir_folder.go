package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/store"
)

// maildirFolder is the directory of one mailbox.
type maildirFolder struct {
	acct    *maildirAccount
	box     *mailbox
	dir     string // below the user's
	journal *journal

	times    [2]time.Time        // of cur and new, as far as their content is known
	rescanAt time.Time           // when to read them again though times fits, zero for not
	dying    map[string]struct{} // files of messages that are gone, which are yet to be removed
	moved    record              // while opening: the last record, if it adds messages
}

// path is the path of a message's file below the user's directory.
func (f *maildirFolder) path(file *mailFile) string {
	if file.sub == dirTmp {
		return path.Join(dirTmp, file.name())
	}
	return path.Join(f.dir, file.sub, file.name())
}

// moveTo notes that the directory has another name.
func (f *maildirFolder) moveTo(dir string) {
	f.dir, f.journal.path = dir, path.Join(dir, journalFile)
}

// make makes the directory of a new mailbox, which appears complete. That of INBOX
// is there already.
func (f *maildirFolder) make(m *mailbox) error {
	if m.name == inbox {
		return f.fillFolder(m, f.dir)
	}
	d, final := f.acct.disk, f.dir
	f.dir = trashPrefix + newID('N')
	err := d.mkdir(f.dir)
	if err != nil {
		return err
	}
	if err = f.fillFolder(m, final); err == nil {
		err = d.rename(f.dir, final)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%q: %w", m.name, ErrMailboxExists) // another program made it
	}
	if err == nil {
		if err = d.sync("."); err == nil {
			f.moveTo(final)
			return nil
		}
		err = errors.Join(err, d.rename(final, f.dir))
	}
	_ = d.removeAll(f.dir) // or at the next start
	if f.journal != nil {
		_ = f.journal.close() // it is gone
	}
	return err
}

func (f *maildirFolder) fillFolder(m *mailbox, final string) error {
	d := f.acct.disk
	for _, sub := range []string{dirTmp, dirNew, dirCur} {
		if err := d.makeFolder(path.Join(f.dir, sub)); err != nil {
			return err
		}
	}
	if m.name != inbox {
		if err := d.writeFile(path.Join(f.dir, folderMark), nil); err != nil {
			return err
		}
		if err := f.acct.writeName(f.dir, final, m.name); err != nil {
			return err
		}
	}
	j, err := newJournal(d, path.Join(f.dir, journalFile), []any{f.header(m)})
	if err != nil {
		if j.f != nil {
			err = errors.Join(err, j.close())
		}
		return err
	}
	f.journal = j
	return nil
}

func (f *maildirFolder) header(m *mailbox) record {
	return record{Kind: recordBox, Validity: m.validity, UIDNext: m.uidNext, ModSeq: m.modSeq, ID: m.id}
}

// load reads the journal into m.
func (f *maildirFolder) load(m *mailbox) (err error) {
	f.journal, err = openJournal(f.acct.disk, path.Join(f.dir, journalFile), func(line []byte) error { return f.replay(m, line) })
	if err != nil {
		return err
	}
	if f.journal.damaged {
		m.validity = 0 // UIDs may be given out again
	}
	f.journal.base = len(m.vanished) + len(m.list)/recordBatch
	return nil
}

func (f *maildirFolder) replay(m *mailbox, line []byte) error {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	f.dying, f.moved = map[string]struct{}{}, record{}
	for _, file := range r.Dying {
		base, err := url.PathUnescape(file)
		if err != nil {
			return err
		}
		f.dying[base] = struct{}{}
	}
	m.modSeq = max(m.modSeq, r.ModSeq)
	switch r.Kind {
	case recordBox:
		m.validity, m.id = r.Validity, r.ID
		m.uidNext = max(m.uidNext, r.UIDNext)
	case recordAdd:
		f.moved = r
		return f.replayAdd(m, r)
	case recordFlags:
		for _, c := range r.Messages {
			if i, ok := m.index(c.UID); ok {
				m.count(m.list[i], -1)
				m.list[i].Flags, m.list[i].ModSeq = c.Flags, r.ModSeq
				m.count(m.list[i], 1)
			}
		}
	case recordGone, recordMissing:
		f.replayGone(m, r)
	}
	return nil
}

func (f *maildirFolder) replayAdd(m *mailbox, r record) error {
	for _, one := range r.Messages {
		base, err := url.PathUnescape(one.File)
		if err != nil {
			return err
		}
		if n := len(m.list); n > 0 && m.list[n-1].UID >= one.UID {
			continue // damaged: UIDs ascend
		}
		m.insert([]incoming{{
			info: MessageInfo{UID: one.UID, ModSeq: cmp.Or(one.ModSeq, r.ModSeq), Flags: one.Flags, Date: one.Date, Size: one.Size, ID: one.ID},
			body: &mailFile{base: base, wire: one.Size},
		}})
	}
	return nil
}

func (f *maildirFolder) replayGone(m *mailbox, r record) {
	gone := make(map[uint32]bool, len(r.UIDs))
	for _, uid := range r.UIDs {
		gone[uid] = true
		if file, ok := m.bodies[uid].(*mailFile); ok && r.Kind == recordGone {
			f.dying[file.base] = struct{}{}
		}
		delete(m.bodies, uid)
		m.vanished = append(m.vanished, expunged{uid, r.ModSeq})
	}
	m.list = slices.DeleteFunc(m.list, func(i MessageInfo) bool {
		if gone[i.UID] {
			m.count(i, -1)
		}
		return gone[i.UID]
	})
}

// start takes the files up, after the journals of all mailboxes were read. A folder
// of another program becomes a mailbox.
func (f *maildirFolder) start(m *mailbox) error {
	for _, sub := range []string{dirTmp, dirNew} {
		if err := f.acct.disk.makeFolder(path.Join(f.dir, sub)); err != nil {
			return err
		}
	}
	if m.validity == 0 || m.id == "" {
		m.validity, m.id = m.acct.nextValidity(), newID('F')
		if err := f.acct.journal.write(accountRecord{Validity: m.validity}); err != nil {
			return err
		}
		if err := f.introduce(m); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refresh(true)
}

// introduce writes the header of a journal that has none, or is damaged.
func (f *maildirFolder) introduce(m *mailbox) error {
	if f.journal.damaged {
		return f.compact()
	}
	return f.write(f.header(m))
}

// write appends to the journal. The files that are yet to be removed go along.
func (f *maildirFolder) write(r record) error {
	for base := range f.dying {
		r.Dying = append(r.Dying, url.PathEscape(base))
	}
	slices.Sort(r.Dying)
	return f.journal.write(r)
}

// endMove removes messages that were moved to this mailbox from where they were, if a
// process was killed before it had done so. It comes before anything else is written to
// the journal, the last line of which tells of the move.
func (f *maildirFolder) endMove(a *account) error {
	r := f.moved
	f.moved = record{}
	if r.From == "" || len(r.UIDs) != len(r.Messages) {
		return nil
	}
	found, err := f.scan()
	if err != nil {
		return ignoreMissing(err)
	}
	for i, one := range r.Messages {
		file, ok := f.box.bodies[one.UID].(*mailFile)
		if !ok {
			continue
		}
		if _, ok = found[file.base]; !ok {
			_, err := f.acct.disk.lstat(path.Join(dirTmp, tempPrefix+file.base))
			ok = err == nil
		}
		if !ok {
			r.UIDs[i] = 0 // it was taken back: what it came from stays
		}
	}
	for _, m := range a.boxes {
		if m.id == r.From {
			return m.endMove(r, f.acct.disk)
		}
	}
	return nil
}

// endMove removes the messages that r added elsewhere, if they are the same ones.
func (m *mailbox) endMove(r record, d *disk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var left []uint32
	for n, uid := range r.UIDs {
		if i, ok := m.index(uid); ok && m.list[i].ID == r.Messages[n].ID {
			left = append(left, uid)
		}
	}
	if len(left) == 0 {
		return nil
	}
	f := m.keep.(*maildirFolder)
	for _, sub := range []string{dirNew, dirCur} {
		if err := d.makeFolder(path.Join(f.dir, sub)); err != nil {
			return err
		}
	}
	found, err := f.scan()
	if err != nil {
		return err
	}
	for _, uid := range left {
		file := m.bodies[uid].(*mailFile)
		if now, ok := found[file.base]; ok {
			now.wire = file.wire
			*file = now
		}
	}
	_, err = m.expunge(left)
	return err
}

// compact rewrites a journal that is long for what it says, or damaged.
func (f *maildirFolder) compact() error {
	m := f.box
	if !f.journal.long() {
		return nil
	}
	records := []any{f.header(m)}
	for batch := range slices.Chunk(m.vanished, recordBatch) {
		for _, same := range bySeq(batch) {
			records = append(records, same)
		}
	}
	for batch := range slices.Chunk(m.list, recordBatch) {
		r := record{Kind: recordAdd}
		for _, info := range batch {
			r.Messages = append(r.Messages, addRecord(info, m.bodies[info.UID]))
		}
		records = append(records, r)
	}
	last := f.header(m)
	for base := range f.dying {
		last.Dying = append(last.Dying, url.PathEscape(base))
	}
	return f.journal.replace(append(records, last))
}

// bySeq makes one record for each mod-sequence.
func bySeq(gone []expunged) []record {
	var out []record
	for _, e := range gone {
		if n := len(out); n == 0 || out[n-1].ModSeq != e.modSeq {
			out = append(out, record{Kind: recordMissing, ModSeq: e.modSeq})
		}
		last := &out[len(out)-1]
		last.UIDs = append(last.UIDs, e.uid)
	}
	return out
}

func addRecord(info MessageInfo, body payload) recordMessage {
	return recordMessage{UID: info.UID, ModSeq: info.ModSeq, Flags: info.Flags, File: url.PathEscape(body.(*mailFile).base),
		Date: info.Date, Size: info.Size, ID: info.ID}
}

// ours notes that the change of the directories until done is called is ours, unless
// others had changed them before.
func (f *maildirFolder) ours() (done func()) {
	before, err := f.modTimes()
	if err != nil || before != f.times {
		return func() {}
	}
	return func() {
		if after, err := f.modTimes(); err == nil {
			f.times = after
			if f.rescanAt.IsZero() {
				f.rescanAt = time.Now().Add(rescanTime) // others may have been as quick
			}
		}
	}
}

func (f *maildirFolder) modTimes() (t [2]time.Time, err error) {
	for i, sub := range []string{dirCur, dirNew} {
		st, err := f.acct.disk.root.Stat(path.Join(f.dir, sub))
		if err != nil {
			return t, err
		}
		t[i] = st.ModTime()
	}
	return t, nil
}

// append implements folder.
func (f *maildirFolder) append(modSeq uint64, messages []incoming) error {
	if err := f.compact(); err != nil {
		return err
	}
	defer f.ours()()
	r := record{Kind: recordAdd, ModSeq: modSeq}
	for _, one := range messages {
		r.Messages = append(r.Messages, addRecord(one.info, one.body))
		if one.source != "" {
			r.From, r.UIDs = one.source, append(r.UIDs, one.sourceUID)
		}
	}
	if err := f.acct.disk.sync(dirTmp); err != nil {
		return err
	}
	var files []*mailFile
	err := f.write(r)
	if err == nil {
		if err = f.place(messages); err == nil {
			return nil
		}
	} else if !errors.Is(err, errUnsure) {
		return err
	}
	// The line cannot be taken back, another one can follow. Its UIDs are used up.
	f.box.modSeq, f.box.uidNext = modSeq, messages[len(messages)-1].info.UID+1
	undo := record{Kind: recordGone, ModSeq: modSeq}
	for _, one := range messages {
		undo.UIDs = append(undo.UIDs, one.info.UID)
		files = append(files, one.body.(*mailFile))
	}
	f.journal.undo(undo)
	f.bury(files)
	return err
}

// bury removes files of messages that are gone. What cannot be removed now is noted in
// every line of the journal until it is.
func (f *maildirFolder) bury(files []*mailFile) {
	if f.dying == nil {
		f.dying = map[string]struct{}{}
	}
	d := f.acct.disk
	for _, file := range files {
		err := d.remove(f.path(file))
		if errors.Is(err, fs.ErrNotExist) {
			err = f.chase(file, func(now *mailFile) error { return d.remove(f.path(now)) })
		}
		if err != nil {
			f.dying[file.base] = struct{}{}
		}
	}
	for _, sub := range []string{dirCur, dirNew} {
		_ = d.sync(path.Join(f.dir, sub)) // the last line of the journal names them
	}
}

// place gives files the names that fit their messages.
func (f *maildirFolder) place(messages []incoming) error {
	touched := map[string]bool{}
	for _, one := range messages {
		file := one.body.(*mailFile)
		want := file.wanted(one.info.Flags)
		if want == *file {
			continue
		}
		err := f.acct.disk.rename(f.path(file), f.path(&want))
		if errors.Is(err, fs.ErrNotExist) && file.sub != dirTmp {
			err = f.chase(file, func(now *mailFile) error {
				want = now.wanted(one.info.Flags)
				return f.acct.disk.rename(f.path(now), f.path(&want))
			})
		}
		if err != nil {
			return err
		}
		touched[want.sub] = true
		*file = want
	}
	for sub := range touched {
		if err := f.acct.disk.sync(path.Join(f.dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// chase calls do with where a file is now that another program has renamed. If it is
// gone there is nothing to do: the next look finds that out.
func (f *maildirFolder) chase(file *mailFile, do func(now *mailFile) error) error {
	found, err := f.scan()
	if err != nil {
		return err
	}
	if now, ok := found[file.base]; ok {
		now.wire = file.wire
		return ignoreMissing(do(&now))
	}
	return nil
}

// setFlags implements folder.
func (f *maildirFolder) setFlags(modSeq uint64, changed []incoming) error {
	if err := f.compact(); err != nil {
		return err
	}
	defer f.ours()()
	r, undo := record{Kind: recordFlags, ModSeq: modSeq}, record{Kind: recordFlags, ModSeq: modSeq}
	before := make([]incoming, len(changed))
	for i, c := range changed {
		at, _ := f.box.index(c.info.UID)
		before[i] = incoming{info: f.box.list[at], body: c.body}
		r.Messages = append(r.Messages, recordMessage{UID: c.info.UID, Flags: c.info.Flags})
		undo.Messages = append(undo.Messages, recordMessage{UID: c.info.UID, Flags: before[i].info.Flags})
	}
	err := f.write(r)
	if err == nil {
		if err = f.place(changed); err != nil {
			_ = f.place(before) // a letter that stays is taken up as another program's
		}
	} else if !errors.Is(err, errUnsure) {
		return err
	}
	if err != nil {
		f.journal.undo(undo)
	}
	return err
}

// expunge implements folder.
func (f *maildirFolder) expunge(modSeq uint64, uids []uint32, bodies []payload) error {
	if err := f.compact(); err != nil {
		return err
	}
	defer f.ours()()
	kind := recordMissing
	files := make([]*mailFile, len(bodies))
	for i, b := range bodies {
		if files[i] = b.(*mailFile); files[i].sub != "" {
			kind = recordGone
		}
	}
	if err := f.write(record{Kind: kind, ModSeq: modSeq, UIDs: uids}); err != nil {
		return err
	}
	if kind == recordGone {
		f.bury(files)
	}
	return nil
}

// takeBack implements folder.
func (f *maildirFolder) takeBack(modSeq uint64, uids []uint32, bodies []payload) {
	defer f.ours()()
	files := make([]*mailFile, len(bodies))
	for i, b := range bodies {
		files[i] = b.(*mailFile)
	}
	f.journal.undo(record{Kind: recordGone, ModSeq: modSeq, UIDs: uids})
	f.bury(files)
}

// rescan implements folder.
func (f *maildirFolder) rescan(m *mailbox, force bool) (outside, error) {
	now := time.Now()
	times, err := f.modTimes()
	if err != nil {
		return outside{}, err
	}
	if !force && times == f.times && (f.rescanAt.IsZero() || now.Before(f.rescanAt)) {
		return outside{}, nil
	}
	found, err := f.scan()
	if err != nil {
		return outside{}, err
	}
	if slices.ContainsFunc(m.list, func(i MessageInfo) bool { return !has(found, m.bodies[i.UID]) }) {
		again, err := f.scan() // a file renamed meanwhile may be seen under neither name
		if err != nil {
			return outside{}, err
		}
		for base, file := range again {
			found[base] = file
		}
	}
	f.rescanAt = time.Time{}
	if times != f.times && now.Sub(latest(times)) < settleTime {
		f.rescanAt = now.Add(settleTime)
	}
	f.times = times
	out, err := f.compare(m, found)
	if len(out.added)+len(out.changed)+len(out.missing) > 0 {
		f.rescanAt = now // another look: these may fail to get into the journal
	}
	return out, err
}

func has(found map[string]mailFile, body payload) bool {
	_, ok := found[body.(*mailFile).base]
	return ok
}

func latest(t [2]time.Time) time.Time {
	if t[0].After(t[1]) {
		return t[0]
	}
	return t[1]
}

// scan reads the directories: new first, from where files go to cur.
func (f *maildirFolder) scan() (map[string]mailFile, error) {
	found := map[string]mailFile{}
	for _, sub := range []string{dirNew, dirCur} {
		d, err := f.acct.disk.open(path.Join(f.dir, sub))
		if err != nil {
			return nil, err
		}
		entries, err := d.ReadDir(-1)
		if err = errors.Join(err, d.Close()); err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
				continue
			}
			base, info, tag := strings.Cut(e.Name(), infoMark)
			found[base] = mailFile{base: base, sub: sub, info: info, tag: tag}
		}
	}
	return found, nil
}

// compare finds what others did, and takes what was found out of found.
func (f *maildirFolder) compare(m *mailbox, found map[string]mailFile) (outside, error) {
	var out outside
	for _, info := range m.list {
		file := m.bodies[info.UID].(*mailFile)
		now, ok := found[file.base]
		delete(found, file.base)
		if !ok {
			back, err := f.fetchBack(file, info.Flags)
			if err != nil {
				return outside{}, err
			}
			if !back {
				file.sub = ""
				out.missing = append(out.missing, info.UID)
			}
			continue
		}
		now.wire = file.wire
		*file = now
		if flags := withLetters(info.Flags, now.info); !slices.Equal(flags, info.Flags) {
			info.Flags = flags
			out.changed = append(out.changed, incoming{info: info, body: file})
		}
	}
	for base := range f.dying {
		file, ok := found[base]
		delete(found, base)
		if !ok || ignoreMissing(f.acct.disk.remove(f.path(&file))) == nil {
			delete(f.dying, base)
		}
	}
	out.added = f.adopt(found)
	return out, nil
}

// fetchBack takes a file to its place that stayed in tmp when a process was killed.
func (f *maildirFolder) fetchBack(file *mailFile, flags []string) (bool, error) {
	temp := &mailFile{base: file.base, sub: dirTmp, wire: file.wire}
	if _, err := f.acct.disk.lstat(f.path(temp)); err != nil {
		return false, ignoreMissing(err)
	}
	if err := f.place([]incoming{{info: MessageInfo{Flags: flags}, body: temp}}); err != nil {
		return false, err
	}
	*file = *temp
	return true, nil
}

// adopt makes messages of the files of other programs, in the order in which they
// came. What cannot be read is left out.
func (f *maildirFolder) adopt(found map[string]mailFile) []incoming {
	in := make([]incoming, 0, len(found))
	for _, file := range found {
		info, err := f.inspect(&file)
		if err == nil {
			in = append(in, incoming{info: info, body: &file})
		}
	}
	slices.SortFunc(in, func(x, y incoming) int {
		return cmp.Or(x.info.Date.Compare(y.info.Date), strings.Compare(x.body.(*mailFile).base, y.body.(*mailFile).base))
	})
	return in
}

func (f *maildirFolder) inspect(file *mailFile) (MessageInfo, error) {
	r, err := f.acct.disk.open(f.path(file))
	if err != nil {
		return MessageInfo{}, err
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return MessageInfo{}, err
	}
	facts, err := message.Scan(wireOf(file, r))
	if err != nil {
		return MessageInfo{}, err
	}
	file.wire = facts.Size
	return MessageInfo{Flags: withLetters(nil, file.info), Date: fileDate(st), Size: facts.Size, ID: newID('M')}, nil
}

// fileDate is when a file says that it was changed, if that can be written down.
func fileDate(st fs.FileInfo) time.Time {
	t := st.ModTime().UTC().Truncate(time.Second)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// wireOf reads a file in wire form.
func wireOf(file *mailFile, r io.Reader) io.Reader {
	if slices.Contains(strings.Split(file.base, ","), wireMark[1:]) {
		return r
	}
	return message.ToWire(r)
}

// open implements folder.
func (f *maildirFolder) open(body payload) (Body, error) {
	file := body.(*mailFile)
	r, err := f.acct.disk.open(f.path(file))
	if err != nil {
		return nil, err
	}
	st, err := r.Stat()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if st.Size() == file.wire { // wire form as it stands
		return fileBody{r.File, file.wire}, nil
	}
	defer r.Close()
	return convert(wireOf(file, r), file)
}

// convert makes a Body of a reader of wire form.
func convert(r io.Reader, file *mailFile) (Body, error) {
	var b Body
	if file.wire <= memoryBody {
		blob, err := readBlob(io.LimitReader(r, file.wire+1))
		if err != nil {
			return nil, err
		}
		b = blob
	} else {
		sp, err := store.NewWireSpool(r)
		if err != nil {
			return nil, err
		}
		at, ok := sp.Open().(io.ReaderAt)
		if !ok {
			return nil, errors.Join(fs.ErrInvalid, sp.Close())
		}
		b = spoolBody{at, sp}
	}
	if b.Size() != file.wire {
		return nil, errors.Join(fmt.Errorf("%s: has %d octets rather than %d", file.name(), b.Size(), file.wire), b.Close())
	}
	return b, nil
}

// fileBody is a file that holds wire form.
type fileBody struct {
	f    *os.File
	size int64
}

// ReadAt implements Body.
func (b fileBody) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

// Close implements Body.
func (b fileBody) Close() error { return b.f.Close() }

// Size implements Body.
func (b fileBody) Size() int64 { return b.size }

// spoolBody is a body that was converted.
type spoolBody struct {
	io.ReaderAt
	sp *store.Spool
}

// Size implements Body.
func (b spoolBody) Size() int64 { return b.sp.WireSize() }

// Close implements Body.
func (b spoolBody) Close() error { return b.sp.Close() }

func (f *maildirFolder) close() error { return f.journal.close() }
