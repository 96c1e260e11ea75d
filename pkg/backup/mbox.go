package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// With FormatMbox the folder of a mailbox has one file, an mboxrd. The line in front
// of a message is "From NAME DATE". NAME is what the file of the message is called in
// the other formats, DATE the time in it. The message stands there as it would in a
// Maildir, quoted, with an empty line behind it, which a line end comes before where
// the message has none.
//
// A message is taken out by takenOut in the place of the first octet of its NAME; it
// goes when the mbox is written anew. The path of a message is that of the mbox, "/"
// and its NAME, with "@" and the octet where it begins where another one before it has
// that NAME.
const (
	mboxFile    = "messages.mbox"
	mboxNew     = metaDir + "/mbox" + newSuffix
	takenOut    = 'x'
	fromWord    = "From "
	maxMboxLine = len(fromWord) + maxFileName + 40
	mboxBuffer  = 256 << 10
)

// errExcess says that something else follows a message than what belongs there.
var errExcess = errors.New("what follows the message in the mbox is not its")

// mboxLine is the line in front of a message, with its line end.
func mboxLine(name string, facts fileFacts) string {
	date := facts.Date
	if date.IsZero() {
		date = time.Unix(0, 0)
	}
	return fromWord + name + " " + date.UTC().Format(time.ANSIC) + "\n"
}

// mboxPiece is a part of an mbox, up to the next line that begins with "From ".
type mboxPiece struct {
	off, body, end int64  // its line, what follows that, the next piece
	name           string // "": not a message of ours
	gone           bool   // a message of ours that was taken out
	torn           bool   // the line has no end
}

// parse reads the line of a piece.
func (p *mboxPiece) parse(line []byte) {
	p.body = p.off
	end := bytes.IndexByte(line, '\n')
	if p.torn = end < 0; p.torn {
		return
	}
	text := string(line[:end+1])
	rest, ok := strings.CutPrefix(text, fromWord)
	name, _, _ := strings.Cut(rest, " ")
	if !ok || name == "" {
		return
	}
	if name[0] != takenOut {
		if facts, ok := parseFileName(name); ok && mboxLine(name, facts) == text {
			p.name, p.body = name, p.off+int64(len(text))
		}
		return
	}
	for _, first := range "-0123456789" {
		was := string(first) + name[1:]
		if facts, ok := parseFileName(was); ok && mboxLine(was, facts)[len(fromWord)+1:] == rest[1:] {
			p.gone, p.body = true, p.off+int64(len(text))
			return
		}
	}
}

// scanMbox calls fn for the pieces of an mbox, from one on that begins at from.
func scanMbox(f io.ReaderAt, from, size int64, fn func(mboxPiece) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), mboxBuffer)
	piece := mboxPiece{off: -1}
	start := true // of a line
	for at := from; ; {
		line, err := in.ReadSlice('\n')
		if start && len(line) > 0 && (at == from || bytes.HasPrefix(line, []byte(fromWord))) {
			if piece.off >= 0 {
				piece.end = at
				if err := fn(piece); err != nil {
					return err
				}
			}
			piece = mboxPiece{off: at}
			piece.parse(line)
		}
		at += int64(len(line))
		start = err == nil
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
		case err != io.EOF:
			return err
		case piece.off < 0:
			return nil
		default:
			piece.end = at
			return fn(piece)
		}
	}
}

// mboxIndex says where the messages of an mbox are, in 24 octets each.
type mboxIndex struct {
	path  string
	stat  fs.FileInfo // of the file when it was looked through
	last  int64       // where its last piece begins
	seed  maphash.Seed
	parts []mboxPart // by hash and place
}

type mboxPart struct {
	hash     uint64 // of the name
	off, end int64
}

// find returns the first message with a name.
func (x *mboxIndex) find(name string) (mboxPart, bool) {
	hash := maphash.String(x.seed, name)
	i, ok := slices.BinarySearchFunc(x.parts, hash, func(p mboxPart, h uint64) int { return cmp.Compare(p.hash, h) })
	if !ok {
		return mboxPart{}, false
	}
	return x.parts[i], true
}

// read looks through what is new of an mbox.
func (x *mboxIndex) read(f *os.File, st fs.FileInfo) error {
	from := x.last
	x.parts = slices.DeleteFunc(x.parts, func(p mboxPart) bool { return p.off >= from })
	err := scanMbox(f, from, st.Size(), func(p mboxPiece) error {
		x.last = p.off
		if p.name != "" {
			x.parts = append(x.parts, mboxPart{maphash.String(x.seed, p.name), p.off, p.end})
		}
		return nil
	})
	slices.SortFunc(x.parts, func(a, b mboxPart) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.off, b.off)) })
	x.stat = st
	return err
}

// openMbox opens an mbox with its index, which is made or completed. An mbox is only
// appended to, or another one takes its place. The lock of r.mboxes is held.
func (r *Repo) openMbox(name string) (*os.File, *mboxIndex, error) {
	f, err := openRegular(r.root, name)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	list := &r.mboxes.recent
	at := slices.IndexFunc(*list, func(x *mboxIndex) bool { return x.path == name })
	if at < 0 {
		*list = append(*list, &mboxIndex{path: name})
		*list = (*list)[max(0, len(*list)-keptListings):]
		at = len(*list) - 1
	}
	x := (*list)[at]
	if x.stat != nil && os.SameFile(x.stat, st) && x.stat.Size() == st.Size() && x.stat.ModTime().Equal(st.ModTime()) {
		return f, x, nil
	}
	if x.stat == nil || !os.SameFile(x.stat, st) || st.Size() <= x.stat.Size() {
		*x = mboxIndex{path: name, seed: maphash.MakeSeed()}
	}
	if err := x.read(f, st); err != nil {
		*x = mboxIndex{path: name, seed: maphash.MakeSeed()}
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, x, nil
}

// openPiece opens an mbox, and finds a message in it by its path.
func (r *Repo) openPiece(name string) (*os.File, mboxPiece, error) {
	r.mboxes.Lock()
	defer r.mboxes.Unlock()
	box, base := path.Split(name)
	box = path.Clean(box)
	for _, anew := range [...]bool{false, true} {
		if anew {
			r.forgetMbox(box)
		}
		f, x, err := r.openMbox(box)
		if err != nil {
			return nil, mboxPiece{}, err
		}
		p, ok, err := x.piece(f, base)
		if ok && err == nil {
			return f, p, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, mboxPiece{}, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	return nil, mboxPiece{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// piece finds a message by its name in the mbox. ok is false if it is not where the
// index says; one that the index does not have is an fs.ErrNotExist.
func (x *mboxIndex) piece(f *os.File, name string) (p mboxPiece, ok bool, err error) {
	name, place, several := strings.Cut(name, "@")
	part, ok := x.find(name)
	if several {
		off, _ := strconv.ParseInt(place, 10, 64)
		i := slices.IndexFunc(x.parts, func(p mboxPart) bool { return p.off == off })
		if ok = i >= 0; ok {
			part = x.parts[i]
		}
	}
	if !ok {
		return p, false, fs.ErrNotExist
	}
	line := make([]byte, min(int64(maxMboxLine), part.end-part.off))
	_, err = f.ReadAt(line, part.off)
	p = mboxPiece{off: part.off, end: part.end}
	p.parse(line)
	return p, p.name == name, err
}

// forgetMbox drops the index of an mbox that was changed. The lock of r.mboxes is held.
func (r *Repo) forgetMbox(name string) {
	r.mboxes.recent = slices.DeleteFunc(r.mboxes.recent, func(x *mboxIndex) bool { return x.path == name })
}

// mboxMessage reads a message in an mbox as it was before it was put there. Behind it
// comes errExcess if something is there that is not its.
type mboxMessage struct {
	f    *os.File
	from io.Reader // without quotes
	left int64     // octets
	last byte
	end  error // what comes behind it
}

func newMboxMessage(f *os.File, p mboxPiece) *mboxMessage {
	facts, _ := parseFileName(p.name)
	return &mboxMessage{f: f, from: store.UnquoteMbox(io.NewSectionReader(f, p.body, p.end-p.body)), left: facts.Size}
}

// Read implements io.Reader.
func (m *mboxMessage) Read(p []byte) (int, error) {
	if m.left == 0 && m.end == nil {
		m.end = m.behind()
	}
	if m.left == 0 {
		return 0, m.end
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left)])
	if m.left -= int64(n); n > 0 {
		m.last = p[n-1]
	}
	return n, err
}

// Close implements io.Closer.
func (m *mboxMessage) Close() error { return m.f.Close() }

// behind reads what is behind the message.
func (m *mboxMessage) behind() error {
	rest := make([]byte, 3)
	n, err := io.ReadFull(m.from, rest)
	switch {
	case err != io.EOF && err != io.ErrUnexpectedEOF && err != nil:
		return err
	case string(rest[:n]) != mboxPad(m.last):
		return errExcess
	}
	return io.EOF
}

// eachPiece calls fn for the messages in an mbox, with their names in it. What is not
// there, or is no file, has none.
func (r *Repo) eachPiece(name string, fn func(string) error) error {
	f, x, err := r.openMboxOnce(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return scanMbox(f, 0, x.stat.Size(), func(p mboxPiece) error {
		if p.name == "" {
			return nil
		}
		if first, ok := x.find(p.name); ok && first.off != p.off {
			p.name += "@" + strconv.FormatInt(p.off, 10)
		}
		return fn(p.name)
	})
}

// openMboxOnce is openMbox without the lock. The index is a copy.
func (r *Repo) openMboxOnce(name string) (*os.File, mboxIndex, error) {
	r.mboxes.Lock()
	defer r.mboxes.Unlock()
	f, x, err := r.openMbox(name)
	if err != nil {
		return nil, mboxIndex{}, err
	}
	own := *x
	own.parts = slices.Clone(x.parts)
	return f, own, nil
}

// takeOut copies a message in an mbox to the file to, and then takes it out.
func (r *Repo) takeOut(name, to string) error {
	f, p, err := r.openPiece(name)
	if err != nil {
		return err
	}
	err = r.copyOut(f, p.off, p.end, to)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	box := path.Dir(name)
	if f, err = r.root.OpenFile(box, os.O_RDWR, 0); err != nil {
		return err
	}
	if _, err = r.disk.writeAt(f, []byte{takenOut}, p.off+int64(len(fromWord))); err == nil {
		err = r.disk.sync(f)
	}
	r.mboxes.Lock()
	r.forgetMbox(box)
	r.mboxes.Unlock()
	return errors.Join(err, f.Close())
}

// copyOut durably copies a part of an mbox to a new file.
func (r *Repo) copyOut(f io.ReaderAt, from, end int64, to string) error {
	out, err := r.disk.create(r.root, to)
	if err != nil {
		return err
	}
	w := &diskWriter{r: r, f: out}
	if _, err = io.Copy(w, io.NewSectionReader(f, from, end-from)); err == nil {
		err = r.disk.sync(out)
	}
	return errors.Join(err, out.Close(), r.syncDir(path.Dir(to)))
}

// diskWriter writes to a file from an octet on.
type diskWriter struct {
	r  *Repo
	f  *os.File
	at int64
}

// Write implements io.Writer.
func (w *diskWriter) Write(p []byte) (int, error) {
	n, err := w.r.disk.writeAt(w.f, p, w.at)
	w.at += int64(n)
	return n, err
}

// rewriteMbox durably puts one in the place of an mbox that lacks the pieces for which
// drop is true. An mbox that has none of these, or is not there, stays as it is.
func (r *Repo) rewriteMbox(name string, drop func(mboxPiece) bool) error {
	f, err := openRegular(r.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	err = scanMbox(f, 0, st.Size(), func(p mboxPiece) error {
		if drop(p) {
			return errStop
		}
		return nil
	})
	if err != errStop {
		return err
	}
	if err := r.root.Remove(mboxNew); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := r.disk.create(r.root, mboxNew)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriterSize(&diskWriter{r: r, f: out}, mboxBuffer)
	err = scanMbox(f, 0, st.Size(), func(p mboxPiece) error {
		if drop(p) {
			return nil
		}
		_, err := io.Copy(w, io.NewSectionReader(f, p.off, p.end-p.off))
		return err
	})
	if err = errors.Join(err, w.Flush()); err == nil {
		err = r.disk.sync(out)
	}
	if err == nil {
		err = r.disk.rename(r.root, mboxNew, name)
	}
	if err != nil {
		return errors.Join(err, r.root.Remove(mboxNew))
	}
	r.mboxes.Lock()
	r.forgetMbox(name)
	r.mboxes.Unlock()
	return r.syncDir(path.Dir(name))
}

// settleMbox cuts off what a run that did not come to its end has not written whole.
// What is recorded stays, and what is whole behind that.
func (r *Repo) settleMbox(name string, recorded func(file string) bool) error {
	f, size, err := r.openToAppend(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	from := int64(0) // the last piece that is recorded
	err = scanMbox(f, 0, size, func(p mboxPiece) error {
		if p.name != "" && recorded(p.name) {
			from = p.off
		}
		return nil
	})
	if err != nil {
		return err
	}
	end, keep := from, false // what is good; the rest is more than what a dead run leaves
	err = scanMbox(f, from, size, func(p mboxPiece) error {
		keep = keep || p.name == "" && !p.gone && !p.torn // of another program
		if end < p.off {
			keep = keep || p.name != ""
			return nil
		}
		whole, err := wholeEnd(f, p)
		if whole == p.off && p.name != "" && recorded(p.name) {
			whole = p.end // Verify tells of it
		}
		end = whole
		return err
	})
	if err != nil || end == size {
		return err
	}
	if keep {
		if _, err := r.keepAside(f, end, size, name); err != nil {
			return err
		}
	}
	if err := r.disk.truncate(f, end); err != nil {
		return err
	}
	return r.disk.sync(f)
}

// wholeEnd returns where a message and what has to follow it ends, or the beginning of
// the piece if it is not whole.
func wholeEnd(f io.ReaderAt, p mboxPiece) (int64, error) {
	if p.gone {
		return p.end, nil
	}
	facts, ok := parseFileName(p.name)
	if !ok {
		return p.off, nil
	}
	sum := sha256.New()
	m := mboxMessage{from: store.UnquoteMbox(io.NewSectionReader(f, p.body, p.end-p.body)), left: facts.Size}
	var raw countWriter
	err := store.QuoteMbox(&raw, io.TeeReader(io.LimitReader(&m, facts.Size), sum))
	if err != nil {
		return p.off, err
	}
	pad := mboxPad(m.last)
	got := make([]byte, len(pad))
	n, err := io.NewSectionReader(f, p.body+int64(raw), p.end-p.body-int64(raw)).ReadAt(got, 0)
	if err != nil && err != io.EOF {
		return p.off, err
	}
	if m.left > 0 || string(got[:n]) != pad || !facts.matches(store.Digest(sum.Sum(nil))) {
		return p.off, nil
	}
	return p.body + int64(raw) + int64(n), nil
}

// countWriter counts octets.
type countWriter int64

// Write implements io.Writer.
func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}

// cleanMbox moves what is no message of ours out of an mbox, and what was taken out
// goes for good. It returns how many pieces it moved: one for what is no file.
func (r *Repo) cleanMbox(name string) (moved int, err error) {
	f, err := openRegular(r.root, name)
	if errors.Is(err, errNotRegular) {
		to, err := r.asideName(mboxFile)
		if err == nil {
			err = r.disk.rename(r.root, name, to)
		}
		return 1, errors.Join(err, r.syncDir(path.Dir(name)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	err = scanMbox(f, 0, st.Size(), func(p mboxPiece) error {
		if p.name != "" || p.gone {
			return nil
		}
		moved++
		_, err := r.keepAside(f, p.off, p.end, name)
		return err
	})
	if err != nil {
		return moved, err
	}
	return moved, r.rewriteMbox(name, func(p mboxPiece) bool { return p.name == "" })
}

// keepAside copies a part of an mbox to .mail-backup/damaged.
func (r *Repo) keepAside(f io.ReaderAt, from, end int64, name string) (to string, err error) {
	r.aside.Lock()
	defer r.aside.Unlock()
	to, err = r.asideName(path.Base(name) + "-" + strconv.FormatInt(from, 10))
	if err == nil {
		err = r.copyOut(f, from, end, to)
	}
	return to, err
}
