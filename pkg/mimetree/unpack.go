package mimetree

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"io/fs"
	"os"

	"github.com/mail-toolkit/mail/pkg/message"
)

// defaultMaxBytes is what Unpack writes at most, unless the input itself is large.
const defaultMaxBytes = 1 << 30

// UnpackOptions tells how a message is unpacked. The zero value is fine.
type UnpackOptions struct {
	Limits   Limits // of the walk
	MaxBytes int64  // octets written in all; 0 means 1 GiB or 100 times the input, whichever is more
	Messages bool   // embedded messages become one file each, and are not opened
	Keep     bool   // a name that would have to be changed is an error
	List     bool   // nothing is written; the entries tell the names that would be tried first
	Digest   bool   // the entries tell the digest
	Names    *Names // shared by the messages that are unpacked into one folder; nil for one message

	// Container, when set, is called for each container when it is over, for its defects.
	Container func(p *Part)
}

// Entry tells what became of one part.
type Entry struct {
	Part *Part
	Name string // the file, relative to the folder
	Size int64  // octets of the decoded body
	// SHA256 is the digest of the file, nil unless it was asked for.
	SHA256 []byte
}

// LimitError says that a message is larger than allowed. Nothing of the part that passed the limit is left behind.
type LimitError struct {
	Max int64 // octets
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("message unpacks to more than %d octets", e.Max)
}

// Unpack writes every leaf of the message in r to a file of its own in dir and tells each, after it is complete, to each; so the
// uuencoded files in a text (see [WalkOptions]) come before it. Files
// have mode 0600 and safe names (see [SafeName]); one that exists is never replaced, the new one gets a number. A file
// appears complete or not at all. No symbolic link in dir is followed out of it, and none is written through. When dir itself is a
// symbolic link that is a [*LinkError], unless its name ends in a separator; so nobody who can swap the folder for a link while
// this runs gains a file elsewhere.
//
// It fails with the errors of [Walk], a [*LimitError], those of the file system, of each and of ctx. Files that were told stay.
func Unpack(ctx context.Context, r io.Reader, dir string, o *UnpackOptions, each func(Entry) error) error {
	if o == nil {
		o = new(UnpackOptions)
	}
	u := newUnpacker(ctx, r, o)
	u.each = each
	if !o.List {
		root, err := openFolder(dir)
		if err != nil {
			return err
		}
		defer root.Close() //nolint:errcheck // nothing is written through it
		u.root = root
	}
	return Walk(u.in, &WalkOptions{Limits: o.Limits, Decode: DecodeOptions{LF: true}, OpenEncoded: true, OpenUuencoded: true,
		Leave: u.leave}, u.visit)
}

func newUnpacker(ctx context.Context, r io.Reader, o *UnpackOptions) *unpacker {
	u := &unpacker{in: &countingReader{ctx: ctx, r: r}, o: o, names: o.Names}
	if u.names == nil {
		u.names = new(Names)
	}
	return u
}

// Names remembers the file names of several messages, so that those of a later one are numbered on, without a look at each that is
// there. The zero value is ready. It belongs to one goroutine.
type Names struct {
	seed maphash.Seed
	next map[uint64]int32 // of each name that is used, folded and hashed: the number to try next for it
}

// maxNames is how many names are remembered. Beyond that it starts anew, and the folder alone tells what is there.
const maxNames = 20000

// free numbers a name until it has not been used, and uses it. Of two names with one hash the second is numbered, too.
func (s *Names) free(name string) string {
	switch {
	case s.next == nil:
		s.seed, s.next = maphash.MakeSeed(), make(map[uint64]int32)
	case len(s.next) > maxNames:
		clear(s.next)
	}
	key := s.hash(name)
	for n := s.next[key]; ; n++ {
		candidate := numberedName(name, int(n))
		if k := s.hash(candidate); s.next[k] == 0 {
			s.next[k] = 1
			s.next[key] = n + 1
			return candidate
		}
	}
}

// hash is the same for names that a file system may take for the same.
func (s *Names) hash(name string) uint64 { return maphash.String(s.seed, foldName(name)) }

// LinkError says that the folder to write into is a symbolic link, or became one.
type LinkError struct {
	Path string
}

// Error implements error.
func (e *LinkError) Error() string { return e.Path + " is a symbolic link" }

// openFolder opens a folder that is no symbolic link, unless its name ends in a separator. What was opened is compared with what is
// there afterwards: a link that was there for a moment only is found out.
func openFolder(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil || dir != "" && os.IsPathSeparator(dir[len(dir)-1]) {
		return root, err
	}
	opened, err := root.Stat(".")
	if err == nil {
		var there os.FileInfo
		if there, err = os.Lstat(dir); err == nil && !os.SameFile(opened, there) {
			err = &LinkError{dir}
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// countingReader counts the input and ends it when the context does.
type countingReader struct {
	ctx context.Context
	r   io.Reader
	n   int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

type unpacker struct {
	o       *UnpackOptions
	root    *os.Root
	in      *countingReader
	each    func(Entry) error
	names   *Names
	written int64
	done    Entry // the part written last
}

func (u *unpacker) visit(p *Part, body *Body) error {
	if p.Container && !(u.o.Messages && p.Message()) {
		return nil
	}
	name, err := u.name(p)
	if err != nil {
		return err
	}
	done := Entry{Part: p}
	var h hash.Hash
	if u.o.Digest {
		h = sha256.New()
	}
	if u.o.List {
		if done.Size, err = body.WriteTo(withDigest(io.Discard, h)); err == nil {
			done.Name, err = u.candidate(p, name)
		}
	} else {
		done.Name, done.Size, err = u.write(p, name, func(f io.Writer) (int64, error) { return body.WriteTo(withDigest(f, h)) })
	}
	if h != nil {
		done.SHA256 = h.Sum(nil)
	}
	u.done = done // reading a text has set it to the files inside
	return err
}

// withDigest makes w feed h, too, when there is one.
func withDigest(w io.Writer, h hash.Hash) io.Writer {
	if h == nil {
		return w
	}
	return io.MultiWriter(w, h)
}

// leave tells a part when all is known about it.
func (u *unpacker) leave(p *Part) error {
	if u.done.Part == p {
		return u.each(u.done)
	}
	if u.o.Container != nil {
		u.o.Container(p)
	}
	return nil
}

// name is the file name wished for.
func (u *unpacker) name(p *Part) (string, error) {
	name := SafeName(p.Filename)
	if u.o.Keep && p.Filename != "" && name != p.Filename {
		return "", &message.Error{Msg: fmt.Sprintf("part %s: the name %+.80q cannot be kept", p.ID, p.Filename)}
	}
	return FileName(p), nil
}

// FileName is the file name that [Unpack] wishes for a part: the safe form of its own name, or else "part-", its ID and an extension.
func FileName(p *Part) string {
	if name := SafeName(p.Filename); name != "" {
		return name
	}
	return "part-" + p.ID + extensionOf(p.MediaType)
}

// limit is how much may have been written by now.
func (u *unpacker) limit() int64 {
	if u.o.MaxBytes > 0 {
		return u.o.MaxBytes
	}
	return max(defaultMaxBytes, 100*u.in.n)
}

// write lets fill write a temporary file for p and gives it its name when it is complete.
func (u *unpacker) write(p *Part, name string, fill func(io.Writer) (int64, error)) (used string, n int64, err error) {
	f, temp, err := u.create()
	if err != nil {
		return "", 0, err
	}
	n, err = fill(&cappedWriter{f: f, u: u})
	if err = errors.Join(err, f.Close()); err == nil {
		used, err = u.publish(p, temp, name)
	}
	if rerr := u.root.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return used, n, err
}

// create opens a new temporary file; its name starts with a dot and cannot be that of a part.
func (u *unpacker) create() (*os.File, string, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, "", err
	}
	name := ".mail-" + hex.EncodeToString(random[:]) + ".part"
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, "", err
	}
	if err := f.Chmod(0o600); err != nil { // whatever the umask says
		return nil, "", errors.Join(err, f.Close(), u.root.Remove(name))
	}
	return f, name, nil
}

// publish gives the complete file a name that is free. A hard link never replaces anything; where there are none, the name is looked
// up first.
func (u *unpacker) publish(p *Part, temp, name string) (string, error) {
	for {
		candidate, err := u.candidate(p, name)
		if err != nil {
			return "", err
		}
		if err := u.place(temp, candidate); !errors.Is(err, fs.ErrExist) {
			return candidate, err
		}
	}
}

// candidate is the next name to try. A name that the message gives is the only one when it is to be kept.
func (u *unpacker) candidate(p *Part, name string) (string, error) {
	candidate := u.names.free(name)
	if candidate != name && u.o.Keep && p.Filename != "" {
		return "", &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return candidate, nil
}

// place gives a file its name, and never that of another.
func (u *unpacker) place(temp, name string) error {
	err := u.root.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, lerr := u.root.Lstat(name); lerr == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	} else if !errors.Is(lerr, fs.ErrNotExist) {
		return errors.Join(err, lerr)
	}
	return u.root.Rename(temp, name)
}

// cappedWriter stops at the limit of the whole run.
type cappedWriter struct {
	f *os.File
	u *unpacker
}

func (c *cappedWriter) Write(p []byte) (int, error) {
	if c.u.written += int64(len(p)); c.u.written > c.u.limit() {
		return 0, &LimitError{Max: c.u.limit()}
	}
	return c.f.Write(p)
}
