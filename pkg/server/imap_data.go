package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

var (
	// errNoPart says that a message has no part of that number. A FETCH gives NIL for it.
	errNoPart = errors.New("no such part")
	// errUnknownEncoding says that a transfer encoding cannot be undone: NO [UNKNOWN-CTE], RFC 3516 §4.3.
	errUnknownEncoding = errors.New("unknown transfer encoding")
)

// dataLimits bound the structure of a message as clients see it. The depth leaves room for the parentheses around a
// structure within the hundred that a careful client accepts, the number of parts for its cap on values.
var dataLimits = mimetree.Limits{Depth: 80, Parts: 5000, AllHeaders: 8 << 20}

// wholeBody reads a body from its start.
func wholeBody(b Body) *io.SectionReader { return io.NewSectionReader(b, 0, b.Size()) }

// walkBody visits the parts of a message. A message whose header is beyond all limits is one part without header
// fields.
func walkBody(b Body, r io.Reader, leave func(*mimetree.Part) error, visit mimetree.Visitor) error {
	over := func(p *mimetree.Part) error {
		if err := cutLineEnd(b, p); err != nil || leave == nil {
			return err
		}
		return leave(p)
	}
	err := mimetree.Walk(r, &mimetree.WalkOptions{Limits: dataLimits, Leave: over}, visit)
	var tooLarge *message.Error
	if !errors.As(err, &tooLarge) {
		return err
	}
	at, err := headerEnd(b)
	if err != nil {
		return err
	}
	p := &mimetree.Part{ID: "1", Header: new(message.Header), MediaType: "text/plain", Encoding: "7bit", BodyOffset: at, Size: b.Size() - at}
	if err := visit(p, nil); err != nil && !errors.Is(err, mimetree.ErrStop) {
		return err
	}
	if leave != nil {
		if err := leave(p); err != nil && !errors.Is(err, mimetree.ErrStop) {
			return err
		}
	}
	return nil
}

// cutLineEnd takes from a part the line end that belongs to the delimiter behind it (RFC 2046 §5.1.1) and was read as
// that of the delimiter before, which ended what is inside the part.
func cutLineEnd(b Body, p *mimetree.Part) error {
	if !p.Container || p.Root() || p.Size < 2 || p.BodyOffset+p.Size == b.Size() {
		return nil
	}
	var around [4]byte // two octets of the part, two behind it
	if _, err := b.ReadAt(around[:], p.BodyOffset+p.Size-2); err != nil && err != io.EOF {
		return err
	}
	switch {
	case string(around[2:]) != "--" || around[1] != '\n':
	case around[0] == '\r':
		p.Size -= 2
	default:
		p.Size--
	}
	return nil
}

// headerEnd finds the octet behind the first blank line.
func headerEnd(b Body) (int64, error) {
	r := bufio.NewReaderSize(wholeBody(b), 64<<10)
	var at int64
	for start := true; ; {
		piece, err := r.ReadSlice('\n')
		at += int64(len(piece))
		if start && (string(piece) == "\r\n" || string(piece) == "\n") || err == io.EOF {
			return at, nil
		}
		if err != nil && err != bufio.ErrBufferFull {
			return 0, err
		}
		start = err == nil
	}
}

// topHeader gives the header of a message and where its body starts. The header is empty when it is beyond all limits.
func topHeader(b Body) (h *message.Header, bodyAt int64, err error) {
	err = walkBody(b, wholeBody(b), nil, func(p *mimetree.Part, _ *mimetree.Body) error {
		h, bodyAt = p.Header, p.BodyOffset
		return mimetree.ErrStop
	})
	return h, bodyAt, err
}

// quickHeader gives the header fields of a message, where the place of the body does not matter. A header beyond all
// limits is empty.
func quickHeader(b Body) (*message.Header, error) {
	h, err := message.ReadHeader(bufio.NewReader(wholeBody(b)))
	var tooLarge *message.Error
	if errors.As(err, &tooLarge) {
		return new(message.Header), nil
	}
	if err == nil && len(h.Fields) == 0 { // a line that is no field may stand before the first one
		h, _, err = topHeader(b)
	}
	return h, err
}

// partText writes part numbers as mimetree does.
func partText(part []int) string {
	var b strings.Builder
	for i, n := range part {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// findPart gives the part with the numbers given or, with inside, the message that this part holds. Its size is known.
func findPart(b Body, part []int, inside bool) (*mimetree.Part, error) {
	id := partText(part)
	is := func(p *mimetree.Part) bool {
		if inside {
			return p.Embedded && p.Parent.ID == id
		}
		return p.ID == id
	}
	var found *mimetree.Part
	leave := func(p *mimetree.Part) error {
		if found == nil || p != found {
			return nil
		}
		return mimetree.ErrStop
	}
	err := walkBody(b, wholeBody(b), leave, func(p *mimetree.Part, _ *mimetree.Body) error {
		if found == nil && is(p) {
			found = p
		}
		return nil
	})
	if err == nil && found == nil {
		err = errNoPart
	}
	return found, err
}

// imapSection gives the octets of a section of BODY[...] (RFC 9051 §6.4.5) exactly as they are stored, and their
// number. It reads b while r is read. A part that the message has not is errNoPart: the answer is NIL then. Offset and
// Length are honoured.
func imapSection(b Body, sec imapwire.Section) (r io.Reader, size int64, err error) {
	from, size, err := int64(0), b.Size(), error(nil)
	var fields []byte
	switch {
	case len(sec.Part) == 0 && sec.Spec == "":
	case strings.HasPrefix(sec.Spec, "HEADER."):
		if fields, err = headerFields(b, sec); err != nil {
			return nil, 0, err
		}
		size = int64(len(fields))
	default:
		if from, size, err = sectionExtent(b, sec); err != nil {
			return nil, 0, err
		}
	}
	skip := min(int64(sec.Offset), size)
	from, size = from+skip, size-skip
	if sec.Length > 0 {
		size = min(size, int64(sec.Length))
	}
	if strings.HasPrefix(sec.Spec, "HEADER.") {
		return bytes.NewReader(fields[from : from+size]), size, nil
	}
	octets := io.NewSectionReader(b, from, size)
	if all, ok := b.(io.WriterTo); ok && size == b.Size() {
		return wholeReader{octets, all}, size, nil
	}
	return octets, size, nil
}

// wholeReader reads a whole body, which can also write itself without copying.
type wholeReader struct {
	*io.SectionReader
	io.WriterTo
}

// sectionExtent finds a section that is one run of octets.
func sectionExtent(b Body, sec imapwire.Section) (from, size int64, err error) {
	if len(sec.Part) == 0 {
		_, at, err := topHeader(b)
		if sec.Spec == "HEADER" {
			return 0, at, err
		}
		return at, b.Size() - at, err // TEXT
	}
	p, err := findPart(b, sec.Part, sec.Spec == "HEADER" || sec.Spec == "TEXT")
	if err != nil {
		return 0, 0, err
	}
	if sec.Spec == "HEADER" || sec.Spec == "MIME" {
		return p.HeaderOffset, p.BodyOffset - p.HeaderOffset, nil
	}
	return p.BodyOffset, p.Size, nil
}

// headerFields makes HEADER.FIELDS and HEADER.FIELDS.NOT: the fields as they are stored and the blank line, unless the
// message has neither that nor a body (RFC 9051 §6.4.5.1).
func headerFields(b Body, sec imapwire.Section) ([]byte, error) {
	var h *message.Header
	extent := b.Size() // of the header, or more
	if len(sec.Part) == 0 {
		top, err := quickHeader(b)
		if err != nil {
			return nil, err
		}
		h = top
	} else {
		p, err := findPart(b, sec.Part, true)
		if err != nil {
			return nil, err
		}
		h, extent = p.Header, p.BodyOffset-p.HeaderOffset
	}
	want := make(map[string]bool, len(sec.Fields))
	for _, name := range sec.Fields {
		want[strings.ToLower(name)] = true
	}
	var out []byte
	for _, f := range h.Fields {
		extent -= int64(len(f.Raw))
		listed := f.Name != "" && want[strings.ToLower(f.Name)]
		if listed == (sec.Spec == "HEADER.FIELDS.NOT") {
			continue
		}
		out = append(out, f.Raw...)
		if !bytes.HasSuffix(f.Raw, []byte("\n")) {
			out = append(out, "\r\n"...)
		}
	}
	if extent == 0 && len(h.Fields) > 0 {
		return out, nil
	}
	return append(out, "\r\n"...), nil
}

// imapBinary gives a part with its transfer encoding undone (BINARY[...], RFC 3516), and the number of its octets. No
// part numbers mean the whole message. What is no leaf is given as it stands. Errors are errNoPart and
// errUnknownEncoding. It reads b while r is read.
func imapBinary(b Body, part []int) (r io.Reader, size int64, err error) {
	if len(part) == 0 {
		return wholeBody(b), b.Size(), nil
	}
	p, err := findPart(b, part, false)
	if err != nil {
		return nil, 0, err
	}
	raw := func() *io.SectionReader { return io.NewSectionReader(b, p.BodyOffset, p.Size) }
	switch {
	case p.Container, p.Multipart(), p.Encoding == "7bit", p.Encoding == "8bit", p.Encoding == "binary":
		return raw(), p.Size, nil
	}
	d := mimetree.NewDecoder(raw(), p.Encoding, mimetree.DecodeOptions{})
	if size, err = d.WriteTo(io.Discard); err != nil {
		return nil, 0, err
	}
	for _, defect := range d.Defects() {
		if defect.ID == mimetree.DefectUnknownEncoding {
			return nil, 0, errUnknownEncoding
		}
	}
	return mimetree.NewDecoder(raw(), p.Encoding, mimetree.DecodeOptions{}), size, nil
}

// lineBlock is how many octets lineCounter takes together.
const lineBlock = 4096

// lineCounter counts the line ends of a message while it is read from its start, so that the lines of every part are
// known after one pass.
type lineCounter struct {
	b      Body
	r      io.Reader
	at     int64
	lines  int64
	before []int64 // line ends before each block
}

func newLineCounter(b Body) *lineCounter {
	return &lineCounter{b: b, r: wholeBody(b), before: []int64{0}}
}

// Read reads the message.
func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for data := p[:n]; len(data) > 0; {
		k := min(int64(len(data)), lineBlock-c.at%lineBlock)
		c.lines += int64(bytes.Count(data[:k], []byte{'\n'}))
		c.at += k
		if c.at%lineBlock == 0 {
			c.before = append(c.before, c.lines)
		}
		data = data[k:]
	}
	return n, err
}

// upTo counts the line ends before an offset that has been read.
func (c *lineCounter) upTo(offset int64) (int64, error) {
	i := sort.Search(len(c.before), func(i int) bool { return int64(i)*lineBlock > offset }) - 1
	var scratch [lineBlock]byte
	rest := scratch[:min(offset-int64(i)*lineBlock, lineBlock)]
	if _, err := io.ReadFull(io.NewSectionReader(c.b, int64(i)*lineBlock, int64(len(rest))), rest); err != nil {
		return 0, err
	}
	return c.before[i] + int64(bytes.Count(rest, []byte{'\n'})), nil
}

// of counts the lines of a part's body, which are its line ends.
func (c *lineCounter) of(p *mimetree.Part) (int64, error) {
	if p.Size <= 0 {
		return 0, nil
	}
	first, err := c.upTo(p.BodyOffset)
	if err != nil {
		return 0, err
	}
	last, err := c.upTo(p.BodyOffset + p.Size)
	if err != nil {
		return 0, err
	}
	return last - first, nil
}
