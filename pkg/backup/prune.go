package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io/fs"
	"iter"
	"path"
	"slices"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// PruneResult is what a prune has removed, or would remove.
type PruneResult struct {
	Messages int   // that no snapshot that is left and not the present state has
	Files    int   // of these
	Size     int64 // octets of the files; less gets free where another file is a link of the same
}

const (
	planFiles = 5000 // in one prune line
	planSize  = maxLine / 2
)

// errPrune says that the new manifest would not tell the same as the old one.
var errPrune = errors.New("prune: the new manifest differs from the old one; nothing was changed")

// Prune removes what no snapshot that is left and not the present state names: first
// it writes a new manifest without it, which says what files are to be removed; then
// it removes them; then it says so. When that is cut short, the next writer finishes
// it. No file goes that has not a name of ours and stood in the manifest. With dryRun
// it only counts. After an error the repository has to be opened again.
func (r *Repo) Prune(ctx context.Context, dryRun bool) (PruneResult, error) {
	if r.seen.damage != nil {
		return PruneResult{}, r.seen.damage
	}
	if !r.write && !dryRun {
		return PruneResult{}, errReadOnly
	}
	if r.log.size == 0 {
		return PruneResult{}, nil
	}
	r.tip = nil // there will be two others
	result, err := r.prune(ctx, dryRun)
	if err != nil || dryRun {
		return result, errors.Join(err, r.look())
	}
	if err := r.openAgain(); err != nil {
		return result, err
	}
	return result, r.finishPrune()
}

// prune writes the new manifest.
func (r *Repo) prune(ctx context.Context, dryRun bool) (PruneResult, error) {
	p := &pruner{lastState: map[uint32]int64{}, boxes: map[uint32]bool{}, rewriter: rewriter{ctx: ctx, r: r}}
	if err := p.mark(); err != nil {
		return PruneResult{}, err
	}
	err := p.rewrite(dryRun)
	return p.result, err
}

// openAgain reads the manifest that has taken the place of the old one.
func (r *Repo) openAgain() error {
	if f := r.log.f; f != nil {
		if err := f.Close(); err != nil {
			return err
		}
	}
	return r.openManifest()
}

// pruner is one Prune. It never has more than each message once in its indexes: that
// of the old manifest is dropped when it is known what is to be kept.
type pruner struct {
	keep      []bool           // by msg line of the old manifest
	boxes     map[uint32]bool  // that were present at a place that is kept
	lastState map[uint32]int64 // where the last state line of each mailbox is
	prints    []uint64         // of the states that are kept: of each snapshot, and now
	result    PruneResult

	rewriter        // of what is kept
	drop     *index // the msg lines that are not
	n        int    // msg lines passed
	snap     int    // snapshots passed
}

// mark finds out what is to be kept.
func (p *pruner) mark() error {
	from, old := int64(0), newIndex(p.r.log)
	old.reserve(p.r.seen.end)
	for _, end := range append(p.ends(), p.r.seen.end) {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		err := scanManifest(p.r.log.f, from, end, func(l rawLine, rec *record, _ string) error {
			if rec.kind == kindState {
				p.lastState[rec.box] = l.off
			}
			return old.apply(rec, l.off)
		})
		if err != nil {
			return err
		}
		p.keep = append(p.keep, make([]bool, old.entries.n-len(p.keep))...)
		for i := range p.keep {
			if old.stateOf(ref(i))&goneBit == 0 {
				p.keep[i] = true
			}
		}
		for n, b := range old.boxes {
			p.boxes[n] = p.boxes[n] || b.present
		}
		p.prints = append(p.prints, old.fingerprint())
		from = end
	}
	return nil
}

func (p *pruner) ends() []int64 {
	var ends []int64
	for _, s := range p.r.seen.snaps {
		ends = append(ends, s.end)
	}
	return ends
}

// fingerprint returns a number that is the same for two indexes that say the same of
// what is present.
func (x *index) fingerprint() uint64 {
	var sum uint64
	for n, b := range x.boxes {
		if b.present {
			h := fnv.New64a()
			h.Write(binary.LittleEndian.AppendUint32(nil, n))
			for _, s := range append([]string{b.mailbox.Name, b.mailbox.Dir, b.mailbox.Delim, b.mailbox.ID}, b.mailbox.Attrs...) {
				h.Write([]byte(s))
			}
			sum += h.Sum64()
		}
	}
	for i := range ref(x.entries.n) {
		state := x.stateOf(i)
		if state&goneBit != 0 {
			continue
		}
		e := x.entries.at(i)
		h := uint64(14695981039346656037) // FNV-1a, by words
		for _, word := range [...]uint64{uint64(e.box), uint64(e.uid), e.digest, x.entries.oid(i), x.marks[state].hash} {
			h = (h ^ word) * 1099511628211
			h ^= h >> 29
		}
		sum += h
	}
	return sum
}

// rewrite writes the new manifest and puts it in its place. In a dry run it only
// counts.
func (p *pruner) rewrite(dryRun bool) error {
	kept := 0
	for _, keep := range p.keep {
		if keep {
			kept++
		}
	}
	p.drop = newIndex(p.r.log)
	p.drop.reserve(int64(len(p.keep)-kept) * typicalLine)
	return p.rewriter.run(p.ctx, p.r, dryRun, func() error {
		p.x.reserve(int64(kept) * typicalLine)
		err := scanManifest(p.r.log.f, 0, p.r.seen.end, p.line)
		if err == nil {
			err = p.compare(len(p.prints) - 1)
		}
		if err == nil {
			err = p.plan()
		}
		return err
	})
}

// line passes on a line of the old manifest, or what is left of it.
func (p *pruner) line(l rawLine, rec *record, _ string) error {
	switch rec.kind {
	case kindSnap:
		if p.snap == len(p.r.seen.snaps) || p.r.seen.snaps[p.snap].end != l.off+l.size {
			return nil // forgotten
		}
		if err := p.compare(p.snap); err != nil {
			return err
		}
		p.snap++
		return p.copy(l.text)
	case kindForget, kindPrune, kindPruned:
		return nil
	case kindMsg:
		p.n++
		if p.keep[p.n-1] {
			return p.copyMsg(l)
		}
		if err := p.drop.apply(rec, l.off); err != nil {
			return err
		}
		return p.replaced(rec)
	case kindBox:
		if err := p.drop.apply(rec, l.off); err != nil {
			return err
		}
	}
	if !p.boxes[rec.box] {
		return nil
	}
	b := p.x.boxes[rec.box]
	switch rec.kind {
	case kindFlags:
		if _, ok := p.x.findRecord(b, rec); !ok {
			return nil
		}
	case kindGone:
		return p.gone(b, rec)
	case kindState:
		if p.lastState[rec.box] != l.off {
			return nil
		}
	}
	return p.copy(l.text)
}

// copyMsg is copy for a msg line. In a dry run it can be read in the old manifest.
func (p *pruner) copyMsg(l rawLine) error {
	err := p.copy(l.text)
	if err == nil && p.out == nil {
		p.x.entries.at(ref(p.x.entries.n - 1)).off = l.off
	}
	return err
}

// compare checks that the new manifest says what the old one did at a place.
func (p *pruner) compare(n int) error {
	if p.x.fingerprint() != p.prints[n] {
		return errPrune
	}
	return nil
}

// gone passes on what a gone line says of messages that are kept.
func (p *pruner) gone(b *boxEntry, rec *record) error {
	var uidls []string
	for _, uidl := range rec.list {
		oid, uid := uidlKey(string(uidl))
		if _, ok := p.x.find(rec.box, uid, oid); ok {
			uidls = append(uidls, string(uidl))
		}
	}
	var set imap.UIDSet
	if len(rec.uids) > 0 && rec.v == b.UIDValidity {
		set, _ = parseUIDs(rec.uids) // was good
		set = b.known.Minus(b.known.Minus(set))
	}
	return p.write(func(w *lineWriter) {
		if len(uidls) > 0 {
			w.writeGoneUIDL(rec.box, uidls)
		}
		for _, part := range set.Split(maxUIDSet) {
			w.writeGone(rec.box, rec.v, part)
		}
	})
}

// plan adds the lines that tell which files are to be removed. In a dry run it only
// counts them.
func (p *pruner) plan() error {
	var files []string
	size := 0
	dryRun := p.out == nil
	if dryRun {
		p.x.log = p.r.log // see copyMsg
	}
	flush := func() error {
		if len(files) == 0 || dryRun {
			files, size = files[:0], 0
			return nil
		}
		err := p.write(func(w *lineWriter) {
			start := w.begin(kindPrune)
			w.texts("files", files)
			w.end(start)
		})
		files, size = files[:0], 0
		return err
	}
	for i := range ref(p.drop.entries.n) {
		m, err := p.drop.message(i)
		if err != nil {
			return err
		}
		p.result.Messages++
		facts, ours := parseFileName(m.File)
		named, err := p.namedElsewhere(i, m)
		if err != nil {
			return err
		}
		if named || !ours {
			continue
		}
		p.result.Files++
		p.result.Size += facts.Size
		name := path.Join(m.Mailbox.Dir, m.File)
		if len(files) == planFiles || size+len(name) > planSize {
			if err := flush(); err != nil {
				return err
			}
		}
		files, size = append(files, name), size+len(name)
	}
	return flush()
}

// namedElsewhere reports whether a line that is kept, or one that was dropped before,
// names the file of a message.
func (p *pruner) namedElsewhere(i ref, m *Message) (bool, error) {
	if named, err := p.x.names(m.Mailbox.Dir, m.File, anyRef); named || err != nil {
		return named, err
	}
	return p.drop.names(m.Mailbox.Dir, m.File, func(other ref) bool { return other < i })
}

// naming yields the msg lines that name a file.
func (x *index) naming(dir, file string) iter.Seq2[ref, error] {
	return func(yield func(ref, error) bool) {
		facts, ok := parseFileName(file)
		box, known := x.box(dir)
		if !ok || !known {
			return
		}
		uid, oid := facts.UID, uint64(0)
		if uid == 0 {
			oid, uid = hashKey(facts.UIDLHash)
		}
		for i := range x.after(box, uid) {
			e := x.entries.at(i)
			if e.box != box || oid != 0 && x.entries.oid(i) != oid || e.digest != binary.BigEndian.Uint64(facts.Digest[:]) {
				continue
			}
			if m, err := x.message(i); (err != nil || m.File == file) && !yield(i, err) {
				return
			}
		}
	}
}

// after yields the messages that may have files with the name of a UID.
func (x *index) after(box, uid uint32) iter.Seq[ref] {
	return func(yield func(ref) bool) {
		key := x.mix(uidKey(box, uid))
		for i := range x.byUID.candidates(key) {
			if x.entries.at(i).uid == uid && !yield(i) {
				return
			}
		}
		for i := range x.byAlias.candidates(key) {
			if a := x.aliases[i]; a.uid == uid && !yield(a.at) {
				return
			}
		}
	}
}

// names reports whether one of the msg lines for which among is true names a file.
func (x *index) names(dir, file string, among func(ref) bool) (bool, error) {
	for i, err := range x.naming(dir, file) {
		if err != nil || among(i) {
			return true, err
		}
	}
	return false, nil
}

func anyRef(ref) bool { return true }

// finishPrune removes the files that the manifest says are to be removed, and then
// says that they are.
func (r *Repo) finishPrune() error {
	if len(r.seen.prunes) == 0 {
		return nil
	}
	for _, off := range r.seen.prunes {
		line, err := r.log.line(off)
		if err != nil {
			return err
		}
		var p lineReader
		rec, err := p.parse(line)
		if err != nil {
			return err
		}
		if err := r.removePlanned(textsOf(rec.list)); err != nil {
			return err
		}
	}
	c := &recorder{r: r, x: r.tip}
	err := c.append(func(w *lineWriter) { w.end(w.begin(kindPruned)) })
	if err == nil {
		err = c.commit()
	}
	if err == nil {
		r.seen.prunes = nil
	}
	return err
}

// removePlanned removes the files of one plan, as far as no line names them.
func (r *Repo) removePlanned(files []string) error {
	byDir := map[string]map[string]bool{}
	for _, name := range files {
		dir, file := path.Split(name)
		dir = path.Clean(dir)
		if _, err := DecodeName(dir); err != nil || !isFileName(file) {
			continue
		}
		if named, err := r.tip.names(dir, file, anyRef); err != nil {
			return err
		} else if named {
			continue
		}
		if byDir[dir] == nil {
			byDir[dir] = map[string]bool{}
		}
		byDir[dir][file] = true
	}
	for dir, bases := range byDir {
		for _, sub := range r.subs() {
			if err := r.removeIn(path.Join(dir, sub), bases); err != nil {
				return err
			}
		}
		if _, known := r.tip.box(dir); !known {
			r.removeEmpty(dir)
		}
	}
	return nil
}

// subs returns the directories of a mailbox, or its mbox, that hold messages.
func (r *Repo) subs() []string {
	switch r.settings.Format {
	case FormatEML:
		return []string{""}
	case FormatMbox:
		return []string{mboxFile}
	}
	return []string{"cur", "new"}
}

// removeIn durably removes the messages of a directory, or of an mbox, that have those
// names, with what may follow them.
func (r *Repo) removeIn(dir string, bases map[string]bool) error {
	if r.settings.Format == FormatMbox {
		return r.rewriteMbox(dir, func(p mboxPiece) bool { return p.gone || bases[p.name] })
	}
	var names []string
	err := r.eachName(dir, func(name string) error {
		if base, _ := r.cutName(name); bases[base] {
			names = append(names, name)
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := r.disk.remove(r.root, path.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return r.syncDir(dir)
}

// removeEmpty removes the folder of a mailbox that is no more, and those above it,
// as far as nothing is in them.
func (r *Repo) removeEmpty(dir string) {
	if r.settings.Format == FormatMaildir {
		for _, sub := range [...]string{"cur", "new", "tmp"} {
			_ = r.root.Remove(path.Join(dir, sub)) // what is not empty stays
		}
	}
	if st, err := r.root.Lstat(path.Join(dir, mboxFile)); err == nil && r.settings.Format == FormatMbox && st.Size() == 0 {
		_ = r.root.Remove(path.Join(dir, mboxFile))
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if st, err := r.root.Lstat(dir); err != nil || !st.IsDir() || r.root.Remove(dir) != nil {
			return
		}
	}
}
