package mimetree

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Repack writes the message that [UnpackLossless] took apart into dir, octet for octet. A file that was edited since is encoded anew, in the
// encoding of its part, and nothing else differs; changed has the IDs of those parts. What an edited file would break is a
// [*message.Error], found before anything is written: a line that reads as a delimiter, or octets that the encoding which the header
// names cannot have. So is a damaged [LosslessName]; when only its octets are others that is found in the end, and not where a file was
// edited. No file outside of dir is read, whatever it names.
func Repack(dir string, w io.Writer) (changed []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	p := &repacker{root: root, whole: sha256.New()}
	if err := p.each(p.plan); err != nil {
		return nil, err
	}
	if p.total == nil {
		return nil, errLossless("it has no end")
	}
	for _, part := range p.parts {
		if part.edited {
			changed = append(changed, part.Part)
		}
	}
	p.out = bufio.NewWriterSize(io.MultiWriter(w, p.whole), chunkSize)
	if err := errors.Join(p.each(p.write), p.out.Flush()); err != nil {
		return nil, err
	}
	if changed == nil && hex.EncodeToString(p.whole.Sum(nil)) != p.total.SHA256 {
		return nil, errLossless("the message is not what it was")
	}
	return changed, nil
}

type repacker struct {
	root  *os.Root
	parts []*repackPart
	total *losslessRecord
	next  int  // the part that comes next
	begun bool // its lead is written
	out   *bufio.Writer
	whole hash.Hash
	b     buffers
}

type repackPart struct {
	losslessRecord
	edited bool
}

// maxRecord is the longest line of the file, in octets: what [UnpackLossless] writes is below.
const maxRecord = 1 << 20

// each reads the records in order.
func (p *repacker) each(do func(r *losslessRecord) error) error {
	f, err := openRegular(p.root, LosslessName)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, chunkSize), maxRecord)
	for n := 1; lines.Scan(); n++ {
		r := new(losslessRecord)
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			return errLossless(fmt.Sprintf("line %d: %v", n, err))
		}
		if (n == 1) != (r.Format != "") || n == 1 && r.Format != losslessFormat {
			return errLossless(fmt.Sprintf("line %d: the format is not %s", n, losslessFormat))
		}
		if err := do(r); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errLossless("a line is too long")
	}
	return lines.Err()
}

// plan looks at each file.
func (p *repacker) plan(r *losslessRecord) error {
	switch {
	case r.End:
		p.total = r
	case r.File != "":
		if len(p.parts) == maxParts || r.Row < 0 || r.Row > maxRow || r.Row%4 != 0 || r.Lead < 0 || r.Lead > 0 && r.Row == 0 ||
			!isKnownEncoding(r.Encoding) || r.EOL != "" && r.EOL != "\n" && r.EOL != "\r\n" {
			return errLossless("part " + r.Part)
		}
		part := &repackPart{losslessRecord: *r}
		p.parts = append(p.parts, part)
		f, err := openRegular(p.root, r.File)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if part.edited = hex.EncodeToString(h.Sum(nil)) != r.SHA256; part.edited {
			return p.fits(part)
		}
	}
	return nil
}

// maxParts bounds the parts of a damaged file.
const maxParts = 1 << 20

// fits tells why an edited file cannot be the body of its part.
func (p *repacker) fits(part *repackPart) error {
	bad := func(what string) error {
		return &message.Error{Msg: fmt.Sprintf("%s: %s, which part %s (%s) cannot have", part.File, what, part.Part, part.Encoding)}
	}
	switch {
	case part.Encoding == "x-uuencode":
		return bad("a change")
	case part.NoBlank:
		return bad("a change, since no blank line is before it")
	case !isIdentity(part.Encoding):
		return nil
	}
	f, err := openRegular(p.root, part.File)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	s := newScanner(f)
	for _, b := range part.Boundaries {
		s.boundaries = append(s.boundaries, boundary{text: []byte(b)})
	}
	for _, b := range part.RawBounds {
		s.boundaries = append(s.boundaries, boundary{text: b})
	}
	facts, err := scanText(&Decoder{src: s, dec: new(identity)})
	switch {
	case err != nil:
		return err
	case s.found.level >= 0:
		return bad("a line that ends the part")
	case facts.lastCR:
		return bad("a CR at the end") // it would be part of the line end behind it
	case part.Encoding == "7bit" && facts.eightBit > 0:
		return bad("octets above 127")
	case part.Encoding != "binary" && (facts.nul || facts.longest > message.MaxLineLength):
		return bad("octets 0 or lines of more than 998 octets")
	}
	return nil
}

// write writes what a record stands for.
func (p *repacker) write(r *losslessRecord) error {
	switch {
	case r.Text != "":
		_, err := p.out.WriteString(r.Text)
		return err
	case r.Octets != nil:
		_, err := p.out.Write(r.Octets)
		return err
	case r.Kept != "", r.KeptOctets != nil:
		if p.next == len(p.parts) {
			return errLossless("octets of no part")
		}
		if p.parts[p.next].edited {
			return nil
		}
		if err := p.lead(); err != nil {
			return err
		}
		p.out.WriteString(r.Kept) //nolint:errcheck // the next call says it
		_, err := p.out.Write(r.KeptOctets)
		return err
	case r.File != "":
		if p.next == len(p.parts) {
			return errLossless("it changed")
		}
		if err := p.lead(); err != nil {
			return err
		}
		p.next, p.begun = p.next+1, false
	}
	return nil
}

// lead writes what comes from the file of the next part, once.
func (p *repacker) lead() error {
	if p.begun {
		return nil
	}
	p.begun = true
	part := p.parts[p.next]
	if !part.edited && !isIdentity(part.Encoding) && part.Lead == 0 {
		return nil
	}
	f, err := openRegular(p.root, part.File)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	switch {
	case isIdentity(part.Encoding):
		var r io.Reader = f
		if part.edited && part.Encoding != "binary" && part.EOL == "\r\n" { // editors leave LF
			r = message.ToWire(f)
		}
		_, err = io.Copy(p.out, r)
	case part.Encoding == "base64":
		err = p.rows(f, part)
	default:
		err = p.quoted(f, part)
	}
	if err == nil && part.edited && part.Joined {
		_, err = p.out.WriteString(part.eol())
	}
	return err
}

// rows writes the lead of a part in base64, or all of it when it was edited.
func (p *repacker) rows(f io.Reader, part *repackPart) error {
	if part.Row == 0 {
		part.Row = rowChars
	}
	size := part.Row / 4 * 3
	in := make([]byte, size*max(1, chunkSize/size))
	flat := make([]byte, part.Row)
	if !part.edited {
		f = &exactReader{f, part.Lead}
	}
	for first := true; ; first = false {
		n, err := fill(f, in)
		if err != nil && err != io.EOF {
			return err
		}
		for row := in[:n]; len(row) > 0; row = row[min(size, len(row)):] {
			if part.edited && !(first && len(row) == n) { // between rows
				p.out.WriteString(part.eol()) //nolint:errcheck // the next call says it
			}
			src := row[:min(size, len(row))]
			flat = flat[:(len(src)+2)/3*4]
			bulkEncode(flat, src)
			if _, werr := p.out.Write(flat); werr != nil {
				return werr
			}
			if !part.edited {
				p.out.WriteString(part.eol()) //nolint:errcheck // the next call says it
			}
		}
		if err == io.EOF {
			return p.endBody(part)
		}
	}
}

// endBody ends an edited body as it ended before.
func (p *repacker) endBody(part *repackPart) error {
	if part.edited && !part.Open {
		_, err := p.out.WriteString(part.eol())
		return err
	}
	return nil
}

func (r *losslessRecord) eol() string {
	if r.EOL == "" {
		return "\n"
	}
	return r.EOL
}

// quoted writes an edited part in quoted-printable.
func (p *repacker) quoted(f io.Reader, part *repackPart) error {
	e := newEncodedBody(f, nil, bodyForm{encoding: "quoted-printable", wire: part.eol() == "\r\n", guard: true}, &p.b)
	var last byte
	for {
		piece, err := e.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(piece) == 0 {
			continue
		}
		if _, err := p.out.Write(piece); err != nil {
			return err
		}
		last = piece[len(piece)-1]
	}
	if part.Open || last == '\n' {
		return nil
	}
	_, err := p.out.WriteString("=" + part.eol()) // a soft line break: the text has no line end
	return err
}
