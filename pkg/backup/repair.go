package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RepairResult is what a repair has done.
type RepairResult struct {
	BadLines  int // of the manifest that were dropped
	Mailboxes int // whose line was made anew from the folder
	Rebuilt   int // messages whose line was made anew from the file
	Lost      int // lines of messages that were dropped, because there is no such file or it is damaged
	Damaged   int // files that do not hold what their names say, or have the name of another, moved to .mail-backup/damaged
}

// Repair makes the manifest fit to the files. It keeps every good line, and reads
// every file that has a name of ours. A file that no line names gets one, made from
// its name: with the flags that the name tells, and the keywords of Dovecot's
// dovecot-keywords; it counts as stored at the first damaged place, or now if there
// is none. A message without its file loses its line, so that the next run fetches
// it again; a damaged file is moved away. The next run compares everything with the
// server. After an error the repository has to be opened again.
func (r *Repo) Repair(ctx context.Context) (RepairResult, error) {
	if !r.write {
		return RepairResult{}, errReadOnly
	}
	p := &repairer{rewriter: rewriter{ctx: ctx, r: r}, firstV: map[uint32]uint32{}, homeless: map[string]uint32{}, planned: map[string]bool{},
		parts: map[partKey]part{}, generations: map[partKey]bool{}, first: r.seen.end}
	if len(r.seen.bad) > 0 {
		p.first = r.seen.bad[0].off
	}
	r.tip = nil
	err := p.repair()
	if p.spill != nil {
		err = errors.Join(err, p.spill.Close(), r.root.Remove(spillFile))
	}
	p.old, p.x = nil, nil // there will be another
	if err == nil {
		err = r.openAgain()
	}
	if err == nil {
		err = r.finishPrune()
	}
	return p.result, err
}

// spillFile holds the lines of the messages that were found.
const spillFile = manifestFile + ".found"

// repairer is one Repair.
type repairer struct {
	rewriter
	old      *index // what the good lines say
	found    []bool // by entry of old: the file is there
	first    int64  // where the damage begins, the end of the manifest if nowhere
	result   RepairResult
	firstV   map[uint32]uint32 // first generation that the lines tell of a mailbox, 0 for a reset
	homeless map[string]uint32 // names of files of mailboxes that no line names
	planned  map[string]bool   // files that a prune has not removed yet
	last     string            // name of the last good file of the folder, without info
	newBoxes []newBox
	highest  uint32 // number of a mailbox

	spill *os.File
	used  int64 // octets of spill
	parts map[partKey]part

	n           ref              // msg lines of old passed
	inserted    bool             // the damaged place was passed
	generations map[partKey]bool // that a mailbox has had
}

type newBox struct {
	n uint32
	m *Mailbox
}

// partKey is a generation of a mailbox, part where the lines of its messages are that
// were found.
type partKey struct{ box, v uint32 }
type part struct{ off, size int64 }

func (p *repairer) repair() error {
	if err := p.survey(); err != nil {
		return err
	}
	dirs, err := p.folders()
	if err != nil {
		return err
	}
	if err := p.index(dirs); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := p.folder(dir); err != nil {
			return err
		}
	}
	for _, found := range p.found {
		if !found {
			p.result.Lost++
		}
	}
	p.result.BadLines = len(p.r.seen.bad)
	if p.result == (RepairResult{}) && p.r.log.f != nil {
		return nil
	}
	p.old = nil // there will be another
	return p.run(p.ctx, p.r, false, p.rewrite)
}

// scan calls fn for the lines that can be read.
func (p *repairer) scan(fn func(l rawLine, rec *record) error) error {
	if p.r.log.f == nil {
		return nil
	}
	return scanManifest(p.r.log.f, 0, p.r.seen.end, func(l rawLine, rec *record, _ string) error {
		if rec == nil {
			return nil
		}
		return fn(l, rec)
	})
}

// survey looks for what the good lines lack.
func (p *repairer) survey() error {
	known := map[uint32]bool{}
	return p.scan(func(_ rawLine, rec *record) error {
		switch rec.kind {
		case kindBox:
			known[rec.box] = true
		case kindMsg:
			if !known[rec.box] && len(p.homeless) < maxBadLines {
				p.homeless[string(rec.file)] = rec.box
			}
		case kindPrune:
			for _, name := range rec.list {
				p.planned[string(name)] = true
			}
		case kindPruned:
			clear(p.planned)
		}
		p.highest = max(p.highest, rec.box)
		if _, ok := p.firstV[rec.box]; !ok && (rec.kind == kindMsg || rec.kind == kindState || rec.kind == kindReset) {
			p.firstV[rec.box] = rec.v
			if rec.kind == kindReset {
				p.firstV[rec.box] = 0
			}
		}
		return nil
	})
}

// folders returns the folders of mailboxes that are there.
func (p *repairer) folders() ([]string, error) {
	seen := map[string]bool{}
	see := func(dir string) {
		if _, err := DecodeName(dir); err == nil {
			seen[dir] = true
		}
	}
	format := p.r.settings.Format
	skip := func(dir string) bool {
		base := path.Base(dir)
		in := format == FormatMaildir && (base == "cur" || base == "new" || base == "tmp")
		if in {
			see(path.Dir(dir))
		}
		return in
	}
	err := p.r.walk(p.ctx, skip, func(dir, name string) error {
		if format == FormatEML && path.Ext(name) == emlSuffix || format == FormatMbox && name == mboxFile {
			see(dir)
		}
		return nil
	})
	dirs := make([]string, 0, len(seen))
	for dir := range seen {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs, err
}

// index makes the index of the good lines, with lines for folders of which they say
// nothing.
func (p *repairer) index(dirs []string) error {
	known := map[string]bool{}
	byNumber := map[uint32]string{}
	delim := "/"
	err := p.scan(func(_ rawLine, rec *record) error {
		if rec.kind == kindBox {
			byNumber[rec.box] = string(rec.dir)
			if len(rec.delim) > 0 {
				delim = string(rec.delim)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range byNumber {
		known[dir] = true
	}
	p.old = newIndex(p.r.log)
	for _, dir := range dirs {
		if known[dir] {
			continue
		}
		if err := p.newBox(dir, delim); err != nil {
			return err
		}
	}
	if p.r.log.f != nil {
		p.old.reserve(p.r.seen.end)
		if err := p.old.replay(p.r.log.f, 0, p.r.seen.end); err != nil {
			return err
		}
	}
	p.found = make([]bool, p.old.entries.n)
	return nil
}

// newBox makes a mailbox of a folder, if a message is in it.
func (p *repairer) newBox(dir, delim string) error {
	box, ours := uint32(0), false
	err := p.r.eachFile(&listing{dir: dir, subs: p.r.subs()}, func(_ uint32, base, _ string) error {
		n, ok := p.homeless[base]
		if _, is := parseFileName(base); is && !p.planned[path.Join(dir, base)] {
			ours = true
		}
		if ok {
			box = n
			return errStop
		}
		return nil
	})
	if err != nil || !ours {
		return err
	}
	if _, taken := p.old.boxes[box]; box == 0 || taken {
		p.highest++
		box = p.highest
	}
	levels, err := DecodeName(dir)
	if err != nil {
		return err
	}
	for _, d := range [...]string{delim, "/", ".", "|", "\\"} {
		if delim = d; !slices.ContainsFunc(levels, func(l string) bool { return strings.Contains(l, d) }) {
			break
		}
	}
	m := &Mailbox{Name: strings.Join(levels, delim), Delim: delim, Dir: dir}
	p.newBoxes = append(p.newBoxes, newBox{box, m})
	p.result.Mailboxes++
	return p.old.tellBox(box, m)
}

// tellBox takes in a mailbox that no line tells of.
func (x *index) tellBox(box uint32, m *Mailbox) error {
	var w lineWriter
	w.writeBox(box, m)
	rec, err := x.parser.parse(bytes.TrimSuffix(w.b, []byte{'\n'}))
	if err != nil {
		return err
	}
	return x.apply(rec, 0)
}

// foundFile is a file that has a name of ours.
type foundFile struct {
	sub          uint32
	base, suffix string
	facts        fileFacts
	refs         []ref // lines that name it
	job          *hashJob
}

// foundName is the name of such a file, in 56 octets.
type foundName struct {
	unix           int64
	v, uid         uint32
	uidl, digest   [digestPart]byte
	size, wireSize int64
	suffix         uint32 // as in listedFile
	wire, eml      bool
}

func nameFound(base string, facts fileFacts) foundName {
	n := foundName{v: facts.UIDValidity, uid: facts.UID, uidl: facts.UIDLHash, digest: facts.Digest, size: facts.Size, wireSize: facts.WireSize,
		wire: facts.Wire, eml: strings.HasSuffix(base, emlSuffix)}
	if !facts.Date.IsZero() {
		n.unix = facts.Date.Unix()
	}
	return n
}

// file returns the file that has the name in the folder of l.
func (n *foundName) file(l *listing) foundFile {
	f := fileFacts{UIDValidity: n.v, UID: n.uid, UIDLHash: n.uidl, Digest: n.digest, Size: n.size, WireSize: n.wireSize, Wire: n.wire}
	if n.unix != 0 {
		f.Date = time.Unix(n.unix, 0).UTC()
	}
	base := f.name()
	if n.eml {
		base += emlSuffix
	}
	return foundFile{sub: n.suffix % 2, base: base, suffix: l.suffixes[n.suffix/2], facts: f}
}

// compare puts the newest generation first, then goes by UID or date and by name.
func (n *foundName) compare(o *foundName, l *listing) int {
	c := cmp.Or(cmp.Compare(o.v, n.v), cmp.Compare(n.uid, o.uid), cmp.Compare(n.unix, o.unix), bytes.Compare(n.uidl[:], o.uidl[:]))
	if c != 0 {
		return c
	}
	a, b := n.file(l), o.file(l)
	return cmp.Or(strings.Compare(a.base, b.base), strings.Compare(a.suffix, b.suffix))
}

// foundNames is a list that grows without moving.
type foundNames [][]foundName

const foundChunk = 1024

func (s *foundNames) add(n foundName) {
	if last := len(*s) - 1; last < 0 || len((*s)[last]) == foundChunk {
		*s = append(*s, make([]foundName, 0, foundChunk))
	}
	last := &(*s)[len(*s)-1]
	*last = append(*last, n)
}

func (s foundNames) at(i uint32) *foundName { return &s[i/foundChunk][i%foundChunk] }

// sorted returns the places of the names of the folder of l in their order.
func (s foundNames) sorted(l *listing) []uint32 {
	if len(s) == 0 {
		return nil
	}
	order := make([]uint32, (len(s)-1)*foundChunk+len(s[len(s)-1]))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return s.at(a).compare(s.at(b), l) })
	return order
}

// folder looks at the files of a folder.
func (p *repairer) folder(dir string) error {
	box, ok := p.old.box(dir)
	if !ok {
		return p.clean(dir)
	}
	keywords, err := p.r.readKeywords(dir)
	if err != nil {
		return err
	}
	l := &listing{dir: dir, subs: p.r.subs()}
	known := map[string]uint32{}
	var names foundNames
	err = p.r.eachFile(l, func(sub uint32, base, suffix string) error {
		if facts, ok := parseFileName(base); ok {
			n := nameFound(base, facts)
			n.suffix = l.number(known, sub, suffix)
			names.add(n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.last = ""
	var batch []foundFile
	octets := int64(0)
	order := names.sorted(l)
	for n, i := range order {
		f := names.at(i).file(l)
		batch, octets = append(batch, f), octets+f.facts.Size
		if len(batch) < hashFiles && octets < hashOctets && n < len(order)-1 {
			continue
		}
		if err := p.files(box, l, batch, keywords); err != nil {
			return err
		}
		batch, octets = batch[:0], 0
	}
	return p.clean(dir)
}

// clean moves what is no message of ours out of the mbox of a folder.
func (p *repairer) clean(dir string) error {
	if p.r.settings.Format != FormatMbox {
		return nil
	}
	moved, err := p.r.cleanMbox(path.Join(dir, mboxFile))
	p.result.Damaged += moved
	return err
}

// files reads files, and tells what becomes of each.
func (p *repairer) files(box uint32, l *listing, list []foundFile, keywords []string) error {
	var jobs []*hashJob
	for i := range list {
		f := &list[i]
		for e, err := range p.old.naming(l.dir, f.base) {
			if err != nil {
				return err
			}
			f.refs = append(f.refs, e)
		}
		if len(f.refs) == 0 && p.planned[path.Join(l.dir, f.base)] {
			continue
		}
		f.job = p.r.job(path.Join(l.dir, l.subs[f.sub], f.base+f.suffix))
		jobs = append(jobs, f.job)
	}
	if err := p.r.hashAll(p.ctx, jobs); err != nil {
		return err
	}
	for i := range list {
		f := &list[i]
		if f.job == nil || errors.Is(f.job.err, fs.ErrNotExist) {
			continue
		}
		ok, err := p.good(f)
		switch {
		case err != nil || !ok:
		case f.base == p.last:
			err = p.moveAway(f)
		case len(f.refs) == 0:
			err = p.rebuild(box, f, keywords)
		}
		if err != nil {
			return err
		}
		if ok {
			p.last = f.base
		}
	}
	return nil
}

// good reports whether a file is what its name and the lines that name it say. One
// that is not is moved away.
func (p *repairer) good(f *foundFile) (bool, error) {
	ok := f.job.err == nil && f.job.size == f.facts.Size && f.facts.matches(f.job.digest)
	for _, i := range f.refs {
		m, err := p.old.message(i)
		if err != nil {
			return false, err
		}
		ok = ok && m.Digest == f.job.digest
	}
	if !ok {
		return false, p.moveAway(f)
	}
	for _, i := range f.refs {
		p.found[i] = true
	}
	return true, nil
}

// moveAway moves a damaged file to where no line looks for it.
func (p *repairer) moveAway(f *foundFile) error {
	_, err := p.r.putAside(f.job.name, f.base)
	if err == nil {
		p.result.Damaged++
	}
	return err
}

// putAside moves a file of a mailbox to .mail-backup/damaged, under the name given or
// with a number behind it, and returns where it is. It is safe for use by several
// goroutines.
func (r *Repo) putAside(file, name string) (to string, err error) {
	r.aside.Lock()
	defer r.aside.Unlock()
	if to, err = r.asideName(name); err != nil {
		return "", err
	}
	if r.settings.Format == FormatMbox {
		return to, r.takeOut(file, to)
	}
	if err := r.disk.rename(r.root, file, to); err != nil {
		return "", err
	}
	return to, errors.Join(r.syncDir(damagedDir), r.syncDir(path.Dir(file)))
}

// asideName is the path for a file that is put aside, which nothing has yet.
func (r *Repo) asideName(name string) (string, error) {
	if err := r.disk.mkdir(r.root, damagedDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	to := path.Join(damagedDir, name)
	for n := 2; ; n++ {
		if _, err := r.root.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to, nil
		} else if err != nil {
			return "", err
		}
		to = path.Join(damagedDir, name+"-"+strconv.Itoa(n))
	}
}

// rebuild makes the line of a message from the name of its file.
func (p *repairer) rebuild(box uint32, f *foundFile, keywords []string) error {
	m := &Message{UIDValidity: f.facts.UIDValidity, UID: f.facts.UID, File: f.base, Size: f.facts.WireSize, Digest: f.job.digest, Date: f.facts.Date}
	if m.UID == 0 {
		m.UIDL = lostText(f.facts.UIDLHash)
	}
	if _, info := cutInfo(f.base + f.suffix); info != "" {
		m.Flags = infoFlags(info, keywords)
	}
	var w lineWriter
	w.writeMsg(box, m)
	if p.spill == nil {
		if err := p.r.root.Remove(spillFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var err error
		if p.spill, err = p.r.disk.create(p.r.root, spillFile); err != nil {
			return err
		}
	}
	if _, err := p.r.disk.writeAt(p.spill, w.b, p.used); err != nil {
		return err
	}
	key := partKey{box, m.UIDValidity}
	t, ok := p.parts[key]
	if !ok {
		t.off = p.used
	}
	t.size += int64(len(w.b))
	p.parts[key] = t
	p.used += int64(len(w.b))
	p.result.Rebuilt++
	return nil
}

// rewrite writes the lines of the new manifest.
func (p *repairer) rewrite() error {
	p.x.reserve(p.r.seen.end + p.used)
	err := p.scan(func(l rawLine, rec *record) error {
		if l.off >= p.first {
			if err := p.insert(); err != nil {
				return err
			}
		}
		return p.line(l, rec)
	})
	if err == nil {
		err = p.insert()
	}
	if err == nil {
		err = p.rest()
	}
	return err
}

// insert writes, at the damaged place, the mailboxes that no line tells of, and the
// messages of the generations that there are.
func (p *repairer) insert() error {
	if p.inserted {
		return nil
	}
	p.inserted = true
	for _, b := range p.newBoxes {
		if err := p.write(func(w *lineWriter) { w.writeBox(b.n, b.m) }); err != nil {
			return err
		}
	}
	for _, box := range p.x.boxNumbers(true) {
		if err := p.offer(box); err != nil {
			return err
		}
	}
	return nil
}

// line passes on a good line, if what it tells of is there.
func (p *repairer) line(l rawLine, rec *record) error {
	switch rec.kind {
	case kindSnap, kindForget, kindPrune, kindPruned:
		return p.copy(l.text)
	case kindBox:
		if err := p.copy(l.text); err != nil {
			return err
		}
		return p.offer(rec.box)
	}
	b := p.x.boxes[rec.box]
	if b == nil {
		return nil
	}
	switch rec.kind {
	case kindMsg:
		p.n++
		if err := p.lostReset(b, l, rec); err != nil {
			return err
		}
		if !p.found[p.n-1] {
			return p.replaced(rec)
		}
	case kindState:
		return nil // not everything is stored, as far as we know
	case kindGone:
		if _, ok := parseUIDs(rec.uids); !ok && len(rec.uids) > 0 {
			return nil
		}
	}
	if err := p.copy(l.text); err != nil {
		return err
	}
	p.generations[partKey{rec.box, b.UIDValidity}] = true
	if rec.kind == kindReset {
		return p.offer(rec.box)
	}
	return nil
}

// lostReset makes up for a reset line behind the damaged place: messages come with a
// generation that the mailbox has not had.
func (p *repairer) lostReset(b *boxEntry, l rawLine, rec *record) error {
	if l.off < p.first || rec.u == 0 || b.UIDValidity == 0 || rec.v == b.UIDValidity || p.generations[partKey{rec.box, rec.v}] {
		return nil
	}
	if err := p.reset(rec.box, rec.v); err != nil {
		return err
	}
	return p.offer(rec.box)
}

func (p *repairer) reset(box, v uint32) error {
	p.generations[partKey{box, v}] = true
	return p.write(func(w *lineWriter) {
		start := w.begin(kindReset)
		w.number("box", uint64(box))
		w.number("v", uint64(v))
		w.end(start)
	})
}

// offer writes the messages that were found and are of the generation that a mailbox
// has now.
func (p *repairer) offer(box uint32) error {
	if !p.inserted {
		return nil
	}
	v := p.x.boxes[box].UIDValidity
	if v == 0 {
		told, ok := p.firstV[box]
		for key := range p.parts {
			if !ok && key.box == box {
				v = max(v, key.v) // servers count up
			}
		}
		v = max(v, told)
	}
	if err := p.putPart(partKey{box, 0}); err != nil { // POP3 too
		return err
	}
	return p.putPart(partKey{box, v})
}

// rest writes what was found of generations that no line tells of.
func (p *repairer) rest() error {
	keys := make([]partKey, 0, len(p.parts))
	for key := range p.parts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b partKey) int { return cmp.Or(cmp.Compare(a.box, b.box), cmp.Compare(a.v, b.v)) })
	for _, key := range keys {
		if b := p.x.boxes[key.box]; b.UIDValidity != 0 && key.v > b.UIDValidity && !p.generations[key] {
			if err := p.reset(key.box, key.v); err != nil {
				return err
			}
		}
		if err := p.putPart(key); err != nil {
			return err
		}
	}
	return nil
}

// putPart writes the messages of a generation, once.
func (p *repairer) putPart(key partKey) error {
	t, ok := p.parts[key]
	if !ok {
		return nil
	}
	delete(p.parts, key)
	p.generations[key] = true
	lines := bufio.NewReader(io.NewSectionReader(p.spill, t.off, t.size))
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = p.copy(bytes.TrimSuffix(line, []byte{'\n'}))
		}
		if err != nil {
			return fmt.Errorf("what was found: %w", err)
		}
	}
}

// Caps on what Dovecot says of keywords.
const (
	maxKeywords     = 26 // a letter each
	maxKeyword      = 200
	maxKeywordsFile = 64 << 10
)

// readKeywords reads what the letters a to z in the names of a folder stand for:
// lines of a number, from 0 on, and a keyword. The file may be missing.
func (r *Repo) readKeywords(dir string) ([]string, error) {
	f, err := openRegular(r.root, path.Join(dir, keywordsFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeywordsFile))
	keywords := make([]string, maxKeywords)
	for line := range strings.Lines(string(data)) {
		number, word, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < maxKeywords && len(word) <= maxKeyword {
			keywords[n] = word
		}
	}
	return keywords, err
}
