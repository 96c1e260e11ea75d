package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

// stageChunk is how much of a file is written at once, in octets.
const stageChunk = 64 << 10

// staging is a directory where files are written before they get their names.
type staging struct {
	disk  disk
	kind  Kind     // KindEML: files are in wire form
	temp  *os.Root // the directory
	from  *os.File // the same as a file
	whole bool     // one sync of its file system does it
	chmod bool     // the umask takes bits of new files
}

// probe finds out whether the umask takes bits, by a file of that name.
func (g *staging) probe(name string) error {
	f, err := g.disk.create(g.temp, name)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	g.chmod = err == nil && st.Mode().Perm() != 0o600
	return errors.Join(err, f.Close(), g.disk.remove(g.temp, name))
}

// stager writes one message: to a Maildir in LF form as long as that can be undone.
// When it shows that it cannot, what is written is converted back.
type stager struct {
	ctx    context.Context
	t      *staging
	f      *os.File
	staged Staged
	sum    hash.Hash
	plain  bool   // no digest is wanted
	buf    []byte // octets for the file at off
	off    int64
	raw    bool // the file has wire form
	cr     bool // the last octet that came was a CR; in LF form it is not in the file yet
}

// begin makes s ready for a message, in a file with that name.
func (s *stager) begin(ctx context.Context, t *staging, name string) {
	if s.sum == nil {
		s.sum, s.buf = sha256.New(), make([]byte, 0, stageChunk+stageChunk/4)
	}
	s.sum.Reset()
	*s = stager{ctx: ctx, t: t, staged: Staged{name: name}, sum: s.sum, buf: s.buf[:0], raw: t.kind == KindEML}
}

// read writes what wire gives.
func (s *stager) read(wire io.Reader) error {
	if from, ok := wire.(io.WriterTo); ok {
		_, err := from.WriteTo(s)
		return err
	}
	_, err := copyTo(s, wire)
	return err
}

// Write implements io.Writer.
func (s *stager) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		chunk := p[:min(len(p), stageChunk/2)]
		p = p[len(chunk):]
		if err := s.chunk(chunk); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (s *stager) chunk(p []byte) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if len(s.buf)+len(p)+1 > cap(s.buf) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.staged.WireSize += int64(len(p))
	if !s.raw && !s.convert(p) {
		if err := s.toWire(); err != nil {
			return err
		}
		if len(s.buf)+len(p) > cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	if s.raw {
		s.rawChunk(p)
	}
	return nil
}

// rawChunk takes octets as they are, and marks an .eml file that has a bare LF.
func (s *stager) rawChunk(p []byte) {
	if s.t.kind == KindEML && !s.staged.Marked {
		bare, _ := bareEnds(p, s.cr)
		s.staged.Marked = bare
	}
	s.cr = p[len(p)-1] == '\r'
	s.buf = append(s.buf, p...)
}

// bareEnds counts line ends: bare reports an LF without CR, crlf is the number of the
// others. cr tells if a CR stands before p.
func bareEnds(p []byte, cr bool) (bare bool, crlf int) {
	for at := 0; ; {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			return false, crlf
		}
		at += i
		if at > 0 && p[at-1] != '\r' || at == 0 && !cr {
			return true, crlf
		}
		crlf++
		at++
	}
}

// convert appends p in LF form. It reports false, and has done nothing, when p has a
// bare CR or LF.
func (s *stager) convert(p []byte) bool {
	out, line, crs := s.buf, p, bytes.Count(p, crOctet)
	if s.cr { // it is part of a line end, or bare
		if p[0] != '\n' {
			return false
		}
		out, line = append(out, '\n'), p[1:]
	}
	for len(line) > 0 {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			break
		}
		if i == 0 || line[i-1] != '\r' {
			return false
		}
		crs--
		out = append(out, line[:i-1]...)
		out = append(out, '\n')
		line = line[i+1:]
	}
	cr := len(line) > 0 && line[len(line)-1] == '\r'
	if cr {
		crs--
		line = line[:len(line)-1]
	}
	if crs != 0 {
		return false
	}
	s.buf, s.cr = append(out, line...), cr
	return true
}

var crOctet = []byte{'\r'}

// toWire goes over to wire form. What is in the file goes to another one.
func (s *stager) toWire() error {
	before := io.Reader(bytes.NewReader(bytes.Clone(s.buf)))
	old, name := s.f, s.staged.name
	if old != nil {
		f, err := s.t.temp.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		before = io.MultiReader(io.LimitReader(f, s.off), before)
	}
	held := s.cr
	s.f, s.staged.name, s.off, s.buf, s.raw, s.staged.Marked = nil, name+"w", 0, s.buf[:0], true, true
	s.sum.Reset()
	_, err := copyTo(appender{s}, message.ToWire(before))
	if err == nil && held {
		_, err = appender{s}.Write(crOctet)
	}
	if old != nil {
		err = errors.Join(err, old.Close(), s.t.disk.remove(s.t.temp, name))
	}
	return err
}

// appender puts octets into the file as they are.
type appender struct{ s *stager }

// Write implements io.Writer.
func (a appender) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(a.s.buf) == cap(a.s.buf) {
			if err := a.s.flush(); err != nil {
				return 0, err
			}
		}
		room := min(len(p), cap(a.s.buf)-len(a.s.buf))
		a.s.buf = append(a.s.buf, p[:room]...)
		p = p[room:]
	}
	return n, nil
}

// flush writes what is collected.
func (s *stager) flush() error {
	if s.f == nil {
		f, err := s.t.disk.create(s.t.temp, s.staged.name)
		if err != nil {
			return err
		}
		s.f = f
	}
	if len(s.buf) == 0 {
		return nil
	}
	if !s.plain {
		s.sum.Write(s.buf)
	}
	n, err := s.t.disk.writer(s.f).WriteAt(s.buf, s.off)
	s.off += int64(n)
	s.buf = s.buf[:0]
	return err
}

// complete writes all of the file, which stays open.
func (s *stager) complete(date time.Time) error {
	if s.cr && !s.raw { // a CR at the very end
		if err := s.toWire(); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	if !s.plain {
		s.sum.Sum(s.staged.Digest[:0])
	}
	s.staged.Size = s.off
	var err error
	if s.t.chmod {
		err = s.f.Chmod(0o600)
	}
	if err == nil && !date.IsZero() {
		err = setTime(s.t.from, s.staged.name, date)
	}
	return err
}

// finish completes the file, durably where it has to be synced alone.
func (s *stager) finish(date time.Time, durable bool) error {
	err := s.complete(date)
	switch {
	case err != nil:
	case durable:
		err = s.t.disk.sync(s.f)
	case s.staged.Size >= writeSoon:
		startWriting(s.f)
	}
	if err == nil {
		err = s.f.Close()
		s.f = nil
	}
	return err
}

// drop removes what is written.
func (s *stager) drop() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return errors.Join(err, s.t.disk.remove(s.t.temp, s.staged.name))
}
