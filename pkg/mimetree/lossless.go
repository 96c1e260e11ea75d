package mimetree

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
)

// LosslessName is the file in a folder of [UnpackLossless] that holds what is in no other: JSON Lines, in the order of the message.
//
//	{"format":"mail-lossless-1"}
//	{"text":"Subject: …"}                        octets between bodies: headers, delimiters, preambles; "octets" in base64 when they are not UTF-8
//	{"kept":"…"}                                 octets of the body that comes next, as it stood; "keptOctets" in base64
//	{"part":"2","file":"a.png","encoding":"base64","row":76,"eol":"\r\n","lead":5700,"size":5731,"sha256":"…"}
//	{"end":true,"size":9000,"sha256":"…"}        of the message
//
// A part that is base64 has its first lead octets in rows of row characters, and kept what follows them. Of other encodings the whole body
// is kept. A body without an encoding is the file, octet for octet.
const LosslessName = "message.jsonl"

const losslessFormat = "mail-lossless-1"

// losslessRecord is a line of the file. Exactly one of the fields before Part is set, or Part.
type losslessRecord struct {
	Format     string `json:"format,omitempty"`
	Text       string `json:"text,omitempty"`
	Octets     []byte `json:"octets,omitempty"`
	Kept       string `json:"kept,omitempty"`
	KeptOctets []byte `json:"keptOctets,omitempty"`
	End        bool   `json:"end,omitempty"`

	Part       string   `json:"part,omitempty"`
	File       string   `json:"file,omitempty"`
	Type       string   `json:"type,omitempty"`
	Encoding   string   `json:"encoding,omitempty"`
	Boundaries []string `json:"boundaries,omitempty"`     // that no line of the body may be taken for
	RawBounds  [][]byte `json:"boundaryOctets,omitempty"` // those that are not UTF-8
	Row        int      `json:"row,omitempty"`            // characters
	EOL        string   `json:"eol,omitempty"`            // of the rows, and of a text that is encoded again
	Open       bool     `json:"open,omitempty"`           // the body does not end with a line end
	Joined     bool     `json:"joined,omitempty"`         // the body is empty and no line end is between the header and the delimiter
	NoBlank    bool     `json:"noBlank,omitempty"`        // no blank line is before the body
	Lead       int64    `json:"lead,omitempty"`           // octets, decoded
	Size       int64    `json:"size"`
	SHA256     string   `json:"sha256,omitempty"`
}

// UnpackLossless is [Unpack] with everything that it takes to put the same message together again: each leaf becomes a file, decoded, and
// [LosslessName] holds the rest. Messages inside that are transfer-encoded are not opened, nor uuencoded files in texts, and line ends stay as they are. Messages, List
// and Digest of o are not looked at.
//
// [Repack] is the way back. Memory does not depend on the size of the message. A message of unusual quoted-printable takes about twice
// its size on disk.
func UnpackLossless(ctx context.Context, r io.Reader, dir string, o *UnpackOptions, each func(Entry) error) (err error) {
	if o == nil {
		o = new(UnpackOptions)
	}
	u := newUnpacker(ctx, r, o)
	u.each = each
	if u.root, err = openFolder(dir); err != nil {
		return err
	}
	defer u.root.Close() //nolint:errcheck // nothing is written through it
	if _, err := u.root.Lstat(LosslessName); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "create", Path: LosslessName, Err: fs.ErrExist}
		}
		return err
	}
	u.names.free(LosslessName)
	f, temp, err := u.create()
	if err != nil {
		return err
	}
	l := &lossless{u: u, out: bufio.NewWriter(f), whole: sha256.New()}
	err = errors.Join(l.write(), f.Close())
	if err == nil {
		err = u.place(temp, LosslessName)
	}
	if rerr := u.root.Remove(temp); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// lossless is one run of UnpackLossless.
type lossless struct {
	u       *unpacker
	out     *bufio.Writer
	literal []byte
	eol     string // of the first line
	whole   hash.Hash
	size    int64
	record  losslessRecord // of the part visited
	err     error
}

// maxLiteral is how many octets one record holds.
const maxLiteral = 32 << 10

// write walks the message and writes all records.
func (l *lossless) write() error {
	l.put(&losslessRecord{Format: losslessFormat})
	err := walk(l.u.in, &WalkOptions{Limits: l.u.o.Limits, Leave: l.leave}, l.tap, l.visit)
	if err != nil {
		return err
	}
	l.flush()
	l.put(&losslessRecord{End: true, Size: l.size, SHA256: hex.EncodeToString(l.whole.Sum(nil))})
	return errors.Join(l.err, l.out.Flush())
}

// put writes a record; the first error stays.
func (l *lossless) put(r *losslessRecord) {
	if l.err != nil {
		return
	}
	e := json.NewEncoder(l.out)
	e.SetEscapeHTML(false)
	l.err = e.Encode(r)
}

// tap takes all octets of the message. Those of bodies are written by visit.
func (l *lossless) tap(p []byte, body bool) {
	l.whole.Write(p)
	l.size += int64(len(p))
	if body {
		return
	}
	if i := bytes.IndexByte(p, '\n'); l.eol == "" && i >= 0 {
		if l.eol = "\n"; i > 0 && p[i-1] == '\r' {
			l.eol = "\r\n"
		}
	}
	for len(p) > 0 {
		n := min(len(p), maxLiteral-len(l.literal))
		l.literal = append(l.literal, p[:n]...)
		if p = p[n:]; len(l.literal) == maxLiteral {
			l.flush()
		}
	}
}

// flush writes the octets between bodies that have come together.
func (l *lossless) flush() {
	switch {
	case len(l.literal) == 0:
		return
	case utf8.Valid(l.literal):
		l.put(&losslessRecord{Text: string(l.literal)})
	default:
		l.put(&losslessRecord{Octets: l.literal})
	}
	l.literal = l.literal[:0]
}

// keep writes octets of a body.
func (l *lossless) keep(p []byte) {
	for len(p) > 0 {
		n := min(len(p), maxLiteral)
		if utf8.Valid(p[:n]) {
			l.put(&losslessRecord{Kept: string(p[:n])})
		} else {
			l.put(&losslessRecord{KeptOctets: p[:n]})
		}
		p = p[n:]
	}
}

func (l *lossless) visit(p *Part, body *Body) error {
	if p.Container {
		return nil
	}
	name, err := l.u.name(p)
	if err != nil {
		return err
	}
	chunks := body.chunks()
	l.flush()
	l.record = losslessRecord{Part: p.ID, Type: p.MediaType, Encoding: p.Encoding, EOL: l.eol}
	if p.Multipart() || !isKnownEncoding(p.Encoding) {
		l.record.Encoding = "binary"
	}
	for q := p.Parent; q != nil; q = q.Parent {
		switch b := boundaryOf(q); {
		case !q.Multipart():
		case utf8.ValidString(b):
			l.record.Boundaries = append(l.record.Boundaries, b)
		default:
			l.record.RawBounds = append(l.record.RawBounds, []byte(b))
		}
	}
	done := Entry{Part: p}
	h := sha256.New()
	split := &bodySplitter{src: chunks, keep: l.keep, record: &l.record}
	done.Name, done.Size, err = l.u.write(p, name, func(f io.Writer) (int64, error) {
		return split.decode(io.MultiWriter(f, h))
	})
	l.record.Joined = body.w.bodyEnd == p.BodyOffset && body.w.before > 0
	l.record.NoBlank = !endsBlank(body.w.block)
	for _, d := range split.defects {
		p.defect(d.ID, d.Detail)
	}
	done.SHA256 = h.Sum(nil)
	l.record.File, l.record.Size, l.record.SHA256 = done.Name, done.Size, hex.EncodeToString(done.SHA256)
	l.u.done = done
	l.put(&l.record)
	return errors.Join(err, l.err)
}

// endsBlank tells if a header ends with a blank line.
func endsBlank(block []byte) bool {
	rest, ok := bytes.CutSuffix(block, []byte("\n"))
	rest = bytes.TrimSuffix(rest, []byte("\r"))
	return ok && (len(rest) == 0 || rest[len(rest)-1] == '\n')
}

func (l *lossless) leave(p *Part) error { return l.u.leave(p) }

// bodySplitter decodes a body and keeps of it what encoding would not give again.
type bodySplitter struct {
	src     chunker
	keep    func([]byte)
	record  *losslessRecord
	defects []Defect
	last    byte   // the last octet of the body
	carry   []byte // of the body, kept and not decoded yet
	plain   []byte
	again   []byte
}

func (s *bodySplitter) decode(w io.Writer) (n int64, err error) {
	if isIdentity(s.record.Encoding) {
		for {
			chunk, err := s.src.next()
			if err == io.EOF {
				return n, nil
			}
			if err == nil {
				var m int
				m, err = w.Write(chunk)
				n += int64(m)
			}
			if err != nil {
				return n, err
			}
		}
	}
	var rest []byte
	if s.record.Encoding == "base64" {
		if n, rest, err = s.rows(w); err != nil {
			return n, err
		}
		s.record.Lead = n
	}
	s.keep(rest)
	d := NewDecoder(io.MultiReader(bytes.NewReader(rest), &keepingReader{s}), s.record.Encoding, DecodeOptions{})
	m, err := d.WriteTo(w)
	s.defects = d.Defects()
	s.note(nil)
	return n + m, err
}

// note remembers how the body ends so far.
func (s *bodySplitter) note(p []byte) {
	if len(p) > 0 {
		s.last = p[len(p)-1]
	}
	s.record.Open = s.last != '\n'
}

// keepingReader is what is left of the body, kept as it is read.
type keepingReader struct{ s *bodySplitter }

func (k *keepingReader) Read(p []byte) (int, error) {
	if len(k.s.carry) == 0 {
		chunk, err := k.s.src.next()
		if err != nil {
			return 0, err
		}
		k.s.note(chunk)
		k.s.keep(chunk)
		k.s.carry = append(k.s.carry[:0], chunk...)
	}
	n := copy(p, k.s.carry)
	k.s.carry = k.s.carry[:copy(k.s.carry, k.s.carry[n:])]
	return n, nil
}

// maxRow is the longest row of base64 that is taken for a row, in characters.
const maxRow = 1000

// rows decodes full rows of one length as long as there is nothing else, and gives what it has read beyond them.
func (s *bodySplitter) rows(w io.Writer) (n int64, rest []byte, err error) {
	var pending []byte
	for {
		chunk, err := s.src.next()
		if err == io.EOF {
			return n, pending, nil
		}
		if err != nil {
			return n, nil, err
		}
		s.note(chunk)
		pending = append(pending, chunk...)
		good := s.good(pending)
		m, err := w.Write(s.plain)
		if n += int64(m); err != nil {
			return n, nil, err
		}
		left := pending[good:]
		if len(left) > maxRow+2 || bytes.IndexByte(left, '\n') >= 0 {
			return n, left, nil
		}
		pending = pending[:copy(pending, left)]
	}
}

// good decodes the rows at the start of p into s.plain and gives their length.
func (s *bodySplitter) good(p []byte) (n int) {
	s.plain = s.plain[:0]
	for {
		i := bytes.IndexByte(p[n:min(len(p), n+maxRow+2)], '\n')
		if i < 0 {
			return n
		}
		row, eol := p[n:n+i], "\n"
		if i > 0 && row[i-1] == '\r' {
			row, eol = row[:i-1], "\r\n"
		}
		if s.record.Row == 0 {
			if len(row) == 0 || len(row)%4 != 0 {
				return n
			}
			s.record.Row, s.record.EOL = len(row), eol
		}
		if len(row) != s.record.Row || eol != s.record.EOL || !s.row(row) {
			return n
		}
		n += i + 1
	}
}

// row decodes one row, if it is what encoding gives.
func (s *bodySplitter) row(row []byte) bool {
	at, want := len(s.plain), len(row)/4*3
	s.plain = grow(s.plain, want)
	n, err := bulkDecode(s.plain[at:], row)
	if err == nil && n == want {
		s.again = grow(s.again[:0], len(row))
		bulkEncode(s.again, s.plain[at:])
		if bytes.Equal(s.again, row) {
			return true
		}
	}
	s.plain = s.plain[:at]
	return false
}

// errLossless is the error of a record that cannot be.
func errLossless(detail string) error {
	return &message.Error{Msg: LosslessName + " cannot be read: " + detail}
}

// openRegular opens a regular file of the folder, and tells nothing about any other.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is not a regular file")}
	}
	return root.Open(name)
}
