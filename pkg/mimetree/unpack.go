package mimetree

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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

	// Container, when set, is called for each container when it is over, for its defects.
	Container func(p *Part)
}

// Entry tells what became of one part.
type Entry struct {
	Part *Part
	Name string // the file, relative to the folder
	Size int64  // octets of the decoded body
}

// LimitError says that a message is larger than allowed. Nothing of the part that passed the limit is left behind.
type LimitError struct {
	Max int64 // octets
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("message unpacks to more than %d octets", e.Max)
}

// Unpack writes every leaf of the message in r to a file of its own in dir and tells each, after it is complete, to each. Files
// have mode 0600 and safe names (see [SafeName]); one that exists is never replaced, the new one gets a number. A file
// appears complete or not at all. No symbolic link in dir is followed out of it, and none is written through.
//
// It fails with the errors of [Walk], a [*LimitError], those of the file system, of each and of ctx. Files that were told stay.
func Unpack(ctx context.Context, r io.Reader, dir string, o *UnpackOptions, each func(Entry) error) error {
	if o == nil {
		o = new(UnpackOptions)
	}
	u := &unpacker{ctx: ctx, o: o, each: each, used: make(map[string]bool), next: make(map[string]int)}
	if !o.List {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close() //nolint:errcheck // nothing is written through it
		u.root = root
	}
	u.in = &countingReader{ctx: ctx, r: r}
	return Walk(u.in, &WalkOptions{Limits: o.Limits, Decode: DecodeOptions{LF: true}, Leave: u.leave}, u.visit)
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
	ctx     context.Context
	o       *UnpackOptions
	root    *os.Root
	in      *countingReader
	each    func(Entry) error
	used    map[string]bool // folded names written in this run
	next    map[string]int  // number to try next for a name
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
	e := Entry{Part: p, Name: name}
	if u.o.List {
		n, err := body.WriteTo(io.Discard)
		if err != nil {
			return err
		}
		e.Size, e.Name = n, u.free(name)
	} else if e.Name, e.Size, err = u.write(name, body); err != nil {
		return err
	}
	u.done = e
	return nil
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
	if name == "" {
		name = "part-" + p.ID + extensionOf(p.MediaType)
	}
	return name, nil
}

// free numbers a name until this run has not used it, and uses it.
func (u *unpacker) free(name string) string {
	key := foldName(name)
	for n := u.next[key]; ; n++ {
		candidate := numberedName(name, n)
		if k := foldName(candidate); !u.used[k] {
			u.used[k] = true
			u.next[key] = n + 1
			return candidate
		}
	}
}

// limit is how much may have been written by now.
func (u *unpacker) limit() int64 {
	if u.o.MaxBytes > 0 {
		return u.o.MaxBytes
	}
	return max(defaultMaxBytes, 100*u.in.n)
}

// write copies body to a temporary file and gives it its name when it is complete.
func (u *unpacker) write(name string, body *Body) (used string, n int64, err error) {
	f, temp, err := u.create()
	if err != nil {
		return "", 0, err
	}
	n, err = body.WriteTo(&cappedWriter{f: f, u: u})
	if err = errors.Join(err, f.Close()); err == nil {
		used, err = u.publish(temp, name)
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

// publish gives the complete file its name. A hard link never replaces anything; where there are none, the name is looked up first.
func (u *unpacker) publish(temp, name string) (string, error) {
	for {
		candidate := u.free(name)
		err := u.root.Link(temp, candidate)
		switch {
		case err == nil:
			return candidate, nil
		case errors.Is(err, fs.ErrExist):
			if u.o.Keep {
				return "", err
			}
			continue
		}
		if _, lerr := u.root.Lstat(candidate); lerr == nil {
			continue
		} else if !errors.Is(lerr, fs.ErrNotExist) {
			return "", errors.Join(err, lerr)
		}
		return candidate, u.root.Rename(temp, candidate)
	}
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
