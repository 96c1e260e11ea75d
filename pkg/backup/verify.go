package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// ProblemKind is what is wrong in a repository.
type ProblemKind string

// The kinds of problems.
const (
	MissingFile ProblemKind = "missing-file" // the manifest names it
	ChangedFile ProblemKind = "changed"      // it does not hold what was stored, or cannot be read
	BadLink     ProblemKind = "bad-link"     // something else than a file has its name
	BadLine     ProblemKind = "bad-line"     // of the manifest
	UnknownFile ProblemKind = "unknown-file" // the manifest does not name it
)

// Problem is one finding of [Repo.Verify].
type Problem struct {
	Kind    ProblemKind
	Mailbox string // "" for what is in none
	File    string // path below the repository, with slashes
	Detail  string
}

// VerifyOptions say how much to look at.
type VerifyOptions struct {
	Sample   float64                 // share of the files that are read, between 0 and 1; 0: all
	Progress func(done, total int64) // octets on the wire of the messages; nil: not wanted
}

// Verify looks at the manifest and at every file of every message that is stored, in
// old snapshots too, and yields what is wrong. Files are read and compared with their
// digests, one with several names once; with Sample only some, the others must be
// there and have their size. It only reads.
func (r *Repo) Verify(ctx context.Context, o VerifyOptions) iter.Seq2[Problem, error] {
	return func(yield func(Problem, error) bool) {
		v := &verifier{r: r, ctx: ctx, o: o, yield: yield, linked: map[fileID][16]byte{}}
		if err := v.run(); err != nil && err != errStop {
			yield(Problem{}, err)
		}
	}
}

// fileID names a file that may have several names.
type fileID struct{ device, inode uint64 }

// verifier is one Verify.
type verifier struct {
	r           *Repo
	ctx         context.Context
	o           VerifyOptions
	yield       func(Problem, error) bool
	x           *index
	batch       []check
	octets      int64               // of the batch
	linked      map[fileID][16]byte // how the digests of files with several names begin
	missing     map[uint64]bool     // hashes of names, in the folder of one mailbox
	done, total int64
}

// check is a file that is to be read.
type check struct {
	m   *Message
	job *hashJob // shared by the names of one file
}

func (v *verifier) run() (err error) {
	if err := v.badLines(); err != nil {
		return err
	}
	if v.x, _, err = v.r.index(""); err != nil {
		return err
	}
	for i := range ref(v.x.entries.n) {
		v.total += int64(v.x.entries.at(i).size)
	}
	refs := v.x.byMailbox()
	for _, box := range v.x.boxNumbers(true) {
		lo := sort.Search(len(refs), func(i int) bool { return v.x.entries.at(refs[i]).box >= box })
		hi := sort.Search(len(refs), func(i int) bool { return v.x.entries.at(refs[i]).box > box })
		if err := v.mailbox(box, refs[lo:hi]); err != nil {
			return err
		}
	}
	return v.strangers()
}

func (v *verifier) tell(p Problem) error {
	if !v.yield(p, nil) {
		return errStop
	}
	return nil
}

// badLines tells of the manifest.
func (v *verifier) badLines() error {
	seen := &v.r.seen
	if seen.damage != nil && seen.damage.Lines == 0 {
		return v.tell(Problem{Kind: MissingFile, File: manifestFile, Detail: seen.damage.Reason})
	}
	for _, b := range seen.bad {
		if err := v.tell(Problem{Kind: BadLine, File: manifestFile, Detail: fmt.Sprintf("line of %d octets at octet %d: %s", b.size, b.off, b.reason)}); err != nil {
			return err
		}
	}
	return nil
}

// mailbox looks at the files of a mailbox, and then at what else is in its folder.
func (v *verifier) mailbox(box uint32, refs []ref) error {
	info, _ := v.x.info(box)
	l, err := v.r.listAbout(info.Mailbox.Dir, len(refs))
	if err != nil {
		return err
	}
	v.missing = map[uint64]bool{}
	for _, i := range refs {
		m, err := v.x.message(i)
		if err != nil {
			return err
		}
		v.done += int64(v.x.entries.at(i).size)
		if err := v.message(m, l); err != nil {
			return err
		}
		if len(v.batch) >= hashFiles || v.octets >= hashOctets {
			if err := v.flush(); err != nil {
				return err
			}
		}
	}
	if err := v.flush(); err != nil {
		return err
	}
	if err := v.unknown(info.Mailbox, l); err != nil || v.r.settings.Format != FormatMbox {
		return err
	}
	return v.pieces(info.Mailbox)
}

// pieces tells of what is in an mbox beside messages of ours.
func (v *verifier) pieces(m *Mailbox) error {
	name := v.r.fileDir(m)
	f, err := openRegular(v.r.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, errNotRegular) {
		return v.tell(Problem{Kind: BadLink, Mailbox: m.Name, File: name, Detail: err.Error()})
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return scanMbox(f, 0, st.Size(), func(p mboxPiece) error {
		if p.name != "" || p.gone {
			return v.ctx.Err()
		}
		return v.tell(Problem{Kind: UnknownFile, Mailbox: m.Name, File: name + "@" + strconv.FormatInt(p.off, 10),
			Detail: fmt.Sprintf("%d octets that do not begin as a message does", p.end-p.off)})
	})
}

// message looks at a file, and puts it into the batch if it is to be read.
func (v *verifier) message(m *Message, l *listing) error {
	name, file, ok := l.find(m.File)
	if !ok {
		hash := maphash.String(l.seed, m.File)
		if v.missing[hash] {
			return nil // several lines name it
		}
		v.missing[hash] = true
		return v.tell(Problem{Kind: MissingFile, Mailbox: m.Mailbox.Name, File: path.Join(l.dir, l.subs[0], m.File), Detail: fmt.Sprintf("message of %d octets", m.Size)})
	}
	if file.seen {
		return nil
	}
	file.seen = true
	j := v.r.job(name)
	if facts, _ := parseFileName(m.File); j.err == nil && facts.Size != j.size {
		return v.tell(Problem{Kind: ChangedFile, Mailbox: m.Mailbox.Name, File: name, Detail: fmt.Sprintf("%d octets, not %d", j.size, facts.Size)})
	}
	if j.err == nil && v.o.Sample > 0 && v.o.Sample < 1 && rand.Float64() >= v.o.Sample {
		return nil
	}
	if start, ok := v.linked[j.id]; ok && j.id != (fileID{}) {
		if start != [16]byte(m.Digest[:]) {
			return v.tell(changed(m, name))
		}
		return nil
	}
	v.batch = append(v.batch, check{m, j})
	v.octets += j.size
	return nil
}

func changed(m *Message, name string) Problem {
	return Problem{Kind: ChangedFile, Mailbox: m.Mailbox.Name, File: name, Detail: fmt.Sprintf("its digest is not %x", m.Digest)}
}

// flush reads the files of the batch.
func (v *verifier) flush() error {
	jobs := make([]*hashJob, 0, len(v.batch))
	first := map[fileID]*hashJob{}
	for i := range v.batch {
		c := &v.batch[i]
		if j := first[c.job.id]; j != nil {
			c.job = &hashJob{name: c.job.name, id: c.job.id}
			continue
		}
		if c.job.id != (fileID{}) {
			first[c.job.id] = c.job
		}
		jobs = append(jobs, c.job)
	}
	if err := v.r.hashAll(v.ctx, jobs); err != nil {
		return err
	}
	for _, c := range v.batch {
		if j := first[c.job.id]; j != nil && j != c.job {
			c.job.digest, c.job.err = j.digest, j.err
		}
		if err := v.judge(c); err != nil {
			return err
		}
	}
	v.batch, v.octets = v.batch[:0], 0
	if v.o.Progress != nil {
		v.o.Progress(v.done, v.total)
	}
	return nil
}

// judge tells of a file that was read.
func (v *verifier) judge(c check) error {
	switch {
	case errors.Is(c.job.err, errNotRegular):
		return v.tell(Problem{Kind: BadLink, Mailbox: c.m.Mailbox.Name, File: c.job.name, Detail: errNotRegular.Error()})
	case errors.Is(c.job.err, os.ErrNotExist):
		return v.tell(Problem{Kind: MissingFile, Mailbox: c.m.Mailbox.Name, File: c.job.name, Detail: "it went away meanwhile"})
	case c.job.err != nil:
		return v.tell(Problem{Kind: ChangedFile, Mailbox: c.m.Mailbox.Name, File: c.job.name, Detail: c.job.err.Error()})
	case c.job.digest != c.m.Digest:
		return v.tell(changed(c.m, c.job.name))
	}
	if c.job.id != (fileID{}) {
		v.linked[c.job.id] = [16]byte(c.job.digest[:])
	}
	return nil
}

// unknown tells of the files in the folder of a mailbox that no line names.
func (v *verifier) unknown(m *Mailbox, l *listing) error {
	if !slices.ContainsFunc(l.files, func(f listedFile) bool { return !f.seen }) {
		return nil
	}
	detail, err := v.unknownDetail()
	if err != nil {
		return err
	}
	return v.r.eachFile(l, func(sub uint32, base, suffix string) error {
		if !l.unseen(sub, base, suffix) {
			return nil
		}
		p := Problem{Kind: UnknownFile, Mailbox: m.Name, File: path.Join(l.dir, l.subs[sub], base+suffix)}
		if _, ours := parseFileName(base); ours {
			p.Detail = detail
		}
		return v.tell(p)
	})
}

// unknownDetail tells what files are that have names of ours.
func (v *verifier) unknownDetail() (string, error) {
	if dirty, err := v.r.dirty(); err != nil || dirty {
		return "the next run takes it over from the one that did not come to its end", err
	}
	return "it is named as a message is", nil
}

// strangers tells of what is in no folder of a mailbox.
func (v *verifier) strangers() error {
	format := v.r.settings.Format
	skip := func(dir string) bool { // was looked at
		if format != FormatMaildir {
			return false
		}
		_, known := v.x.box(path.Dir(dir))
		base := path.Base(dir)
		return known && (base == "cur" || base == "new" || base == "tmp")
	}
	return v.r.walk(v.ctx, skip, func(dir, name string) error {
		_, known := v.x.box(dir)
		if known && (format == FormatEML && path.Ext(name) == emlSuffix || format == FormatMbox && name == mboxFile || ofOtherProgram(name)) {
			return nil
		}
		return v.tell(Problem{Kind: UnknownFile, File: path.Join(dir, name)})
	})
}

// ofOtherProgram reports whether a file beside the directories of a Maildir is what
// mail programs keep there.
func ofOtherProgram(name string) bool {
	return strings.HasPrefix(name, "dovecot") || strings.HasPrefix(name, "maildir") || name[0] == '.'
}

// Sums writes a line for each file, as sha256sum does and "sha256sum -c" reads in the
// directory of the repository. Files that are missing have a line too, with the name
// that they had. With FormatMbox the messages are compared with their digests, and an
// mbox in which all are right has a line; the others are a *MboxError. Errors are those
// of w, of the context and of reading.
func (r *Repo) Sums(ctx context.Context, w io.Writer) error {
	x, damage, err := r.index("")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if r.settings.Format == FormatMbox {
		err = r.mboxSums(ctx, x, out)
		return errors.Join(err, out.Flush(), damage)
	}
	var l *listing
	for _, i := range x.byMailbox() {
		m, err := x.message(i)
		if err != nil {
			return err
		}
		if l == nil || l.dir != m.Mailbox.Dir {
			if l, err = r.list(m.Mailbox.Dir); err != nil {
				return err
			}
		}
		name, file, ok := l.find(m.File)
		switch {
		case !ok:
			name = path.Join(l.dir, l.subs[0], m.File)
		case file.seen:
			continue
		default:
			file.seen = true
		}
		fmt.Fprintf(out, "%x  %s\n", m.Digest, name)
	}
	return errors.Join(out.Flush(), damage)
}

// MboxError says that messages are missing in an mbox, or are not what was stored.
type MboxError struct {
	Path     string
	Messages int
}

// Error implements error.
func (e *MboxError) Error() string {
	return fmt.Sprintf("%q: %d messages are missing or changed: no digest of it is written", e.Path, e.Messages)
}

// mboxSums is Sums for mboxes.
func (r *Repo) mboxSums(ctx context.Context, x *index, w io.Writer) error {
	bad := map[uint32]int{}
	jobs := make([]*hashJob, 0, hashFiles)
	var want []ref
	compare := func() error {
		err := r.hashAll(ctx, jobs)
		for n, j := range jobs {
			m, merr := x.message(want[n])
			if err = errors.Join(err, merr); err != nil {
				return err
			}
			if j.err != nil || j.digest != m.Digest {
				bad[x.entries.at(want[n]).box]++
			}
		}
		jobs, want = jobs[:0], want[:0]
		return err
	}
	for _, i := range x.byMailbox() {
		m, err := x.message(i)
		if err != nil {
			return err
		}
		jobs, want = append(jobs, &hashJob{name: path.Join(r.fileDir(m.Mailbox), m.File)}), append(want, i)
		if len(jobs) == hashFiles {
			if err := compare(); err != nil {
				return err
			}
		}
	}
	if err := compare(); err != nil {
		return err
	}
	var errs []error
	for _, n := range x.boxNumbers(true) {
		info, _ := x.info(n)
		name := r.fileDir(info.Mailbox)
		if bad[n] > 0 {
			errs = append(errs, &MboxError{name, bad[n]})
			continue
		}
		f, err := openRegular(r.root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		digest, err := hashOf(ctx, f, make([]byte, mboxBuffer))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(w, "%x  %s\n", digest, name)
	}
	return errors.Join(errs...)
}
