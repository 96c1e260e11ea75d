package store

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Message is a message that was read back.
type Message struct {
	*Spool
	Meta Meta   // date, flags and sender as far as the source has them
	Path string // file it was read from, "" for a stream
}

// ReadStream reads what stands on standard input: one plain message, or an mboxrd
// stream when it begins with "From ". Empty input is no message. A message is
// valid until the next one is asked for, which closes it; after an error the
// sequence ends.
func ReadStream(r io.Reader) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if sec, size, ok := regular(r); ok {
			start := make([]byte, 5)
			n, err := sec.ReadAt(start, 0)
			if err != nil && err != io.EOF {
				yield(nil, err)
			} else if string(start[:n]) == "From " {
				readMbox(sec, yield)
			} else if size > 0 {
				yieldOne(yield, r)
			}
			return
		}
		br := bufio.NewReaderSize(r, 64<<10)
		start, err := br.Peek(5)
		switch {
		case err != nil && err != io.EOF:
			yield(nil, err)
		case string(start) == "From ":
			readMbox(br, yield)
		case len(start) > 0:
			yieldOne(yield, br)
		}
	}
}

func yieldOne(yield func(*Message, error) bool, r io.Reader) {
	sp, err := NewSpool(r)
	if err != nil {
		yield(nil, err)
		return
	}
	defer sp.Close()
	yield(&Message{Spool: sp}, nil)
}

// ReadMbox reads the messages of an mbox, of which the first line begins with
// "From ". A later line that does begins a message only if it holds a date, as
// such lines do; so an mbox without stuffing comes apart where it should in most
// cases. Messages are valid as with ReadStream.
func ReadMbox(r io.Reader) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) { readMbox(r, yield) }
}

func readMbox(r io.Reader, yield func(*Message, error) bool) {
	m := mboxReader{r: bufio.NewReaderSize(r, 64<<10)}
	for {
		msg, err := m.next()
		if err == io.EOF {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		more := yield(msg, nil)
		if err := msg.Close(); err != nil && more {
			yield(nil, err)
			return
		}
		if !more {
			return
		}
	}
}

// mboxReader cuts an mbox into messages.
type mboxReader struct {
	r       *bufio.Reader
	started bool
	from    fromLine // of the next message
	done    bool
}

// next returns the next message, or io.EOF.
func (m *mboxReader) next() (*Message, error) {
	if !m.started {
		m.started = true
		if err := m.first(); err != nil {
			return nil, err
		}
	}
	if m.done {
		return nil, io.EOF
	}
	from := m.from
	w := newSpoolWriter()
	if err := m.copyMessage(w); err != nil {
		w.discard()
		return nil, err
	}
	if from.noEOL {
		if err := w.dropLF(); err != nil {
			w.discard()
			return nil, err
		}
	}
	sp, err := w.spool(from.wire)
	if err != nil {
		return nil, err
	}
	return &Message{Spool: sp, Meta: Meta{Date: from.date, From: from.sender}}, nil
}

// first reads the first "From " line, of which the looks do not matter. Blank
// lines may stand in front of it.
func (m *mboxReader) first() error {
	for {
		line, err := m.r.ReadSlice('\n')
		if len(line) == 0 || errors.Is(err, bufio.ErrBufferFull) || err != nil && err != io.EOF {
			return errors.Join(err, notMboxIf(errors.Is(err, bufio.ErrBufferFull)))
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		if !bytes.HasPrefix(line, fromWord) {
			return &Error{Path: "mbox", Msg: `does not begin with "From "`}
		}
		m.from, _ = parseFromLine(line)
		return nil
	}
}

func notMboxIf(bad bool) error {
	if bad {
		return &Error{Path: "mbox", Msg: `does not begin with "From "`}
	}
	return nil
}

// copyMessage copies lines to w up to the next "From " line, unstuffed and without
// the blank line before that.
func (m *mboxReader) copyMessage(w io.Writer) error {
	u := unstuffer{w: w}
	blank := []byte(nil) // a blank line that may be the separator
	start := true
	for {
		if start && len(blank) == 0 {
			if err := m.copyPlain(w); err != nil {
				return err
			}
		}
		piece, err := m.r.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(piece) == 0 { // end of input
			m.done = true
			return u.close()
		}
		if start && piece[0] == 'F' {
			if from, ok := parseFromLine(bytes.TrimRight(piece, "\r\n")); ok {
				m.from = from
				return u.close()
			}
		}
		if len(blank) > 0 {
			if _, err := w.Write(blank); err != nil {
				return err
			}
			blank = nil
		}
		if start && isBlank(piece) {
			blank = blankLine(piece)
			continue
		}
		if err := u.piece(piece, start, m.r); err != nil {
			return err
		}
		start = piece[len(piece)-1] == '\n'
	}
}

// copyPlain copies the lines in the buffer up to the first that needs a look, all
// in one.
func (m *mboxReader) copyPlain(w io.Writer) error {
	p, _ := m.r.Peek(m.r.Buffered()) // cannot fail for what is there
	n := 0
	for n < len(p) {
		if c := p[n]; c == 'F' || c == '>' || c == '\n' || c == '\r' {
			break
		}
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			break
		}
		n += i + 1
	}
	if n == 0 {
		return nil
	}
	if _, err := w.Write(p[:n]); err != nil {
		return err
	}
	_, err := m.r.Discard(n)
	return err
}

func isBlank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

func blankLine(line []byte) []byte {
	if len(line) == 1 {
		return []byte{'\n'}
	}
	return []byte{'\r', '\n'}
}

// unstuffer takes one ">" out of every line that matches "^>+From ". Lines come
// in pieces when they are long; one ">" waits until it is known what follows.
type unstuffer struct {
	w    io.Writer
	run  bool // nothing but ">" since the line start
	held bool // one ">" was kept back
}

// piece takes a line or a part of it, r holds what follows. piece is not valid
// any more when r is looked at, hence the order here.
func (u *unstuffer) piece(piece []byte, start bool, r *bufio.Reader) error {
	if start {
		u.run = true
	}
	if !u.run {
		_, err := u.w.Write(piece)
		return err
	}
	quotes := len(piece) - len(bytes.TrimLeft(piece, ">"))
	if quotes == len(piece) { // the run goes on behind this piece
		if u.held {
			if _, err := u.w.Write(piece[:1]); err != nil {
				return err
			}
		}
		u.held = true
		_, err := u.w.Write(piece[1:])
		return err
	}
	u.run = false
	rest := piece[quotes:]
	stuffed := bytes.HasPrefix(rest, fromWord)
	if !stuffed && len(rest) < len(fromWord) && bytes.HasPrefix(fromWord, rest) {
		// "From " is cut by the end of the piece.
		saved := append([]byte(nil), piece...)
		next, _ := r.Peek(len(fromWord) - len(rest))
		stuffed = string(saved[quotes:])+string(next) == string(fromWord)
		piece = saved
	}
	if stuffed && !u.held && quotes > 0 {
		piece = piece[1:]
	} else if u.held && !stuffed {
		if _, err := u.w.Write([]byte{'>'}); err != nil {
			return err
		}
	}
	u.held = false
	_, err := u.w.Write(piece)
	return err
}

// close writes what was kept back at the end of input.
func (u *unstuffer) close() error {
	if !u.held {
		return nil
	}
	u.held = false
	_, err := u.w.Write([]byte{'>'})
	return err
}

// ReadMaildir reads the messages in new and cur of a Maildir in the order of their
// names. Symbolic links and what is no regular file are left out. Messages are
// valid as with ReadStream; one that goes away meanwhile is skipped.
func ReadMaildir(dir string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		defer root.Close()
		var paths []string
		for _, sub := range []string{"new", "cur"} {
			names, err := listDir(root, sub)
			if err != nil {
				yield(nil, err)
				return
			}
			paths = append(paths, names...)
		}
		slices.SortFunc(paths, func(a, b string) int {
			return strings.Compare(filepath.Base(a), filepath.Base(b))
		})
		readFiles(root, dir, paths, yield)
	}
}

// ReadEML reads the messages of a folder of .eml files in the order of their
// names. Messages are valid as with ReadStream.
func ReadEML(dir string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		defer root.Close()
		names, err := listDir(root, ".")
		if err != nil {
			yield(nil, err)
			return
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.EqualFold(filepath.Ext(n), emlSuffix) })
		slices.Sort(names)
		readFiles(root, dir, names, yield)
	}
}

// listDir returns the paths of the entries of sub that are not hidden.
func listDir(root *os.Root, sub string) ([]string, error) {
	d, err := root.Open(sub)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, n := range names {
		if n[0] != '.' {
			paths = append(paths, filepath.Join(sub, n))
		}
	}
	return paths, nil
}

func readFiles(root *os.Root, dir string, paths []string, yield func(*Message, error) bool) {
	for _, path := range paths {
		f, err := root.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			if st, lerr := root.Lstat(path); lerr == nil && !st.Mode().IsRegular() {
				continue
			}
			yield(nil, err)
			return
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			_ = f.Close() // a directory or device, not read
			continue
		}
		more := err == nil && yieldFile(f, st, filepath.Join(dir, path), yield)
		_ = f.Close() // only read from
		if err != nil {
			yield(nil, err)
		}
		if !more {
			return
		}
	}
}

// yieldFile gives out the message in f.
func yieldFile(f *os.File, st os.FileInfo, path string, yield func(*Message, error) bool) bool {
	base, info, _ := strings.Cut(filepath.Base(path), ":2,")
	wire := slices.Contains(strings.Split(strings.TrimSuffix(base, emlSuffix), ","), fieldWire[1:])
	sp, err := newSpool(f, wire)
	if err != nil {
		yield(nil, err)
		return false
	}
	defer sp.Close()
	m := Meta{Date: st.ModTime(), Flags: lettersFlags(info)}
	return yield(&Message{Spool: sp, Meta: m, Path: path}, nil)
}
