package mimetree

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mail-toolkit/mail/pkg/message"
)

// Opener opens a text from its start. It is called twice, to look at the text and to write it, and must give the same octets.
type Opener func() (io.ReadCloser, error)

// TextOf is an Opener of s.
func TextOf(s string) Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// TextFile is an Opener of the file at path.
func TextFile(path string) Opener {
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// File is a file that becomes a part.
type File struct {
	Path string // what is opened, unless Open is set
	Name string // what the receiver sees; the last component of Path when empty
	// MediaType is found by name and content when it is empty.
	MediaType string
	// ContentID is what an HTML text refers to as "cid:…", without brackets; Name when empty. For inline files only.
	ContentID string
	Open      func() (io.ReadCloser, error) // called once
}

// Draft is what a message is packed from. Its parts nest as mixed(alternative(Text, related(HTML, Inline…)), Attach…), every level
// left out that would hold one part only. With nothing but one text it is not a multipart at all.
type Draft struct {
	// Header is what goes above the MIME fields, as it is; nil for none. It must not hold MIME fields itself.
	Header *message.Header
	Text   Opener // text/plain, UTF-8; nil for none
	HTML   Opener // text/html, UTF-8; nil for none
	Attach []File
	Inline []File // shown by the HTML text; attached for display when there is none

	Wire     bool // lines end in CRLF; LF otherwise
	EightBit bool // texts in UTF-8 may stay as they are
	// Seed makes the boundaries, and so the output, the same for the same draft. When it is nil they are random.
	Seed []byte
}

// ErrEmptyDraft is the error of a draft without text and files.
var ErrEmptyDraft = errors.New("nothing to pack: no text and no file")

// Packed is a draft whose files are open and whose texts have been looked at. It is written once, and closed.
type Packed struct {
	d     *Draft
	root  *node
	files []io.Closer
	seed  []byte
	nodes int
}

// node is a part to be written.
type node struct {
	fields   string // its MIME fields, LF form
	boundary string
	children []*node
	// body writes a leaf. Base64 ends with a line end of its own, which then belongs to the delimiter.
	body      func(o *output) error
	endsLine  bool // body ends with a line end that is not part of it
	mediaType string
}

// Prepare opens every file of the draft and looks at every text, so that what is missing is known before the first octet of output. The
// caller closes what it returns.
func (d *Draft) Prepare() (*Packed, error) {
	p := &Packed{d: d}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close closes the files.
func (p *Packed) Close() error {
	var err error
	for _, f := range p.files {
		err = errors.Join(err, f.Close())
	}
	p.files = nil
	return err
}

func (p *Packed) prepare() error {
	d := p.d
	if d.Header != nil {
		for _, name := range []string{"MIME-Version", "Content-Type", "Content-Transfer-Encoding"} {
			if d.Header.Has(name) {
				return &message.Error{Field: name, Msg: "cannot be given, it follows from what is packed"}
			}
		}
	}
	if err := p.seeds(); err != nil {
		return err
	}
	text, err := p.text(d.Text, "plain")
	if err != nil {
		return err
	}
	html, err := p.text(d.HTML, "html")
	if err != nil {
		return err
	}
	inline, err := p.fileNodes(d.Inline, "inline")
	if err != nil {
		return err
	}
	attached, err := p.fileNodes(d.Attach, "attachment")
	if err != nil {
		return err
	}
	if html != nil && len(inline) > 0 {
		html = &node{mediaType: "multipart/related", children: append([]*node{html}, inline...)}
		inline = nil
	}
	body := text
	switch {
	case text != nil && html != nil:
		body = &node{mediaType: "multipart/alternative", children: []*node{text, html}}
	case html != nil:
		body = html
	}
	files := append(inline, attached...)
	if len(files) > 0 {
		mixed := &node{mediaType: "multipart/mixed"}
		if body != nil {
			mixed.children = append(mixed.children, body)
		}
		mixed.children = append(mixed.children, files...)
		body = mixed
	}
	if body == nil {
		return ErrEmptyDraft
	}
	p.root = body
	p.bound(body)
	return nil
}

// seeds starts what the boundaries are made of.
func (p *Packed) seeds() error {
	if p.d.Seed != nil {
		p.seed = bytes.Clone(p.d.Seed)
		return nil
	}
	p.seed = make([]byte, 16)
	_, err := rand.Read(p.seed)
	return err
}

// mix adds to what the boundaries are made of.
func (p *Packed) mix(parts ...[]byte) {
	h := sha256.New()
	for _, b := range append([][]byte{p.seed}, parts...) {
		fmt.Fprintf(h, "%d:", len(b))
		h.Write(b)
	}
	p.seed = h.Sum(nil)
}

// bound gives every multipart its boundary. "=_" cannot occur in base64 or quoted-printable, texts with a line that starts like a
// boundary are never left unencoded, and everything that is left unencoded has gone into the seed.
func (p *Packed) bound(n *node) {
	if n.children == nil {
		return
	}
	p.nodes++
	sum := sha256.Sum256(append(bytes.Clone(p.seed), byte(p.nodes), byte(p.nodes>>8)))
	n.boundary = "=_" + hex.EncodeToString(sum[:16])
	params := []string{`boundary="` + n.boundary + `"`}
	if n.mediaType == "multipart/related" {
		params = append(params, `type="`+n.children[0].mediaType+`"`)
	}
	n.fields = foldedField("Content-Type", n.mediaType, params...)
	for _, c := range n.children {
		p.bound(c)
	}
}

// text makes the part of a text, or nil.
func (p *Packed) text(open Opener, subtype string) (*node, error) {
	if open == nil {
		return nil, nil
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	f, err := scanText(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	p.mix([]byte(subtype), f.digest)
	charset := "utf-8"
	if f.invalid {
		charset = "unknown-8bit" // RFC 1428: there are such octets, nobody knows what they mean
	}
	encoding := f.encoding(p.d.EightBit)
	n := &node{mediaType: "text/" + subtype, endsLine: encoding == "base64"}
	n.fields = foldedField("Content-Type", n.mediaType, "charset="+charset) +
		foldedField("Content-Transfer-Encoding", encoding)
	n.body = func(o *output) error {
		r, err := open()
		if err != nil {
			return err
		}
		check := sha256.New()
		err = o.text(io.TeeReader(r, check), encoding)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if !bytes.Equal(check.Sum(nil), f.digest) {
			return &message.Error{Msg: "the " + subtype + " text changed while it was packed"}
		}
		return nil
	}
	return n, nil
}

// fileNodes opens files and makes the parts of them.
func (p *Packed) fileNodes(files []File, disposition string) ([]*node, error) {
	var nodes []*node
	ids := make(map[string]bool)
	for _, f := range files {
		if f.Name == "" {
			f.Name = filepath.Base(f.Path)
		}
		id := ""
		if disposition == "inline" {
			if id = contentID(f); ids[id] {
				return nil, &message.Error{Msg: "two inline files have the Content-ID " + id}
			}
			ids[id] = true
		}
		n, err := p.fileNode(f, disposition, id)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// contentID gives the Content-ID of an inline file in characters that need no quoting in a header or an URL.
func contentID(f File) string {
	id := f.ContentID
	if id == "" {
		id = f.Name
	}
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>[]:;\,"%/?#&`, r) {
			return r
		}
		return '_'
	}, id)
}

func (p *Packed) fileNode(f File, disposition, id string) (*node, error) {
	open := f.Open
	if open == nil {
		open = func() (io.ReadCloser, error) { return openFile(f.Path) }
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, r)
	start := make([]byte, 4096)
	n, err := io.ReadFull(r, start)
	if start = start[:n]; err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	mediaType := f.MediaType
	if mediaType == "" {
		mediaType = MediaTypeOf(f.Name, start)
	}
	if kind, _, _ := ParseMediaType(mediaType); strings.HasPrefix(kind, "multipart/") || !strings.Contains(mediaType, "/") ||
		strings.ContainsAny(mediaType, "\r\n\x00") {
		return nil, &message.Error{Msg: fmt.Sprintf("%q cannot be the media type of a file", mediaType)}
	}
	p.mix([]byte(disposition), []byte(f.Name), []byte(mediaType))
	whole := io.MultiReader(bytes.NewReader(start), r)
	node := &node{mediaType: mediaType, endsLine: true}
	encoding := "base64"
	if strings.HasPrefix(mediaType, "message/") {
		if encoding, err = p.messageEncoding(r, start); err != nil {
			return nil, err
		}
		if encoding == "base64" { // RFC 2046 §5.2.1: a message is not encoded
			node.mediaType = "application/octet-stream"
		}
	}
	node.endsLine = encoding == "base64"
	var params []string
	if strings.HasPrefix(mediaType, "text/") && !strings.Contains(mediaType, ";") && looksText(start) {
		params = append(params, "charset=utf-8")
	}
	node.fields = foldedField("Content-Type", node.mediaType, params...) +
		foldedField("Content-Transfer-Encoding", encoding)
	if id != "" {
		node.fields += "Content-ID: <" + id + ">\n"
	}
	node.fields += foldedField("Content-Disposition", disposition, formatParam("filename", f.Name)...)
	node.body = func(o *output) error { return o.file(whole, encoding) }
	return node, nil
}

// openFile opens a file to be packed; a folder is refused here and not when it is read.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		if err == nil {
			err = &os.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// messageEncoding tells if a message file can be embedded as it is. It can be when it can be read twice and its lines fit.
func (p *Packed) messageEncoding(r io.Reader, start []byte) (string, error) {
	s, ok := r.(io.ReadSeeker)
	if !ok {
		return "base64", nil
	}
	f, err := scanText(io.MultiReader(bytes.NewReader(start), r))
	if err != nil {
		return "", err
	}
	if _, err := s.Seek(int64(len(start)), io.SeekStart); err != nil {
		return "base64", nil
	}
	p.mix(f.digest)
	switch {
	case f.control || f.longest > 998 || f.eightBit > 0 && !p.d.EightBit:
		return "base64", nil
	case f.eightBit > 0:
		return "8bit", nil
	}
	return "7bit", nil
}

// WriteTo writes the message.
func (p *Packed) WriteTo(w io.Writer) (int64, error) {
	o := &output{w: w, wire: p.d.Wire}
	if p.d.Header != nil {
		for _, f := range p.d.Header.Fields {
			o.lines(strings.TrimRight(strings.ReplaceAll(string(f.Raw), "\r\n", "\n"), "\n") + "\n")
		}
	}
	o.lines("MIME-Version: 1.0\n")
	o.node(p.root)
	if p.root.children == nil && !p.root.endsLine && !o.lineStart {
		o.lines("\n")
	}
	return o.n, o.err
}

// output writes lines in the chosen form; the first error stays.
type output struct {
	w         io.Writer
	wire      bool
	n         int64
	lineStart bool
	err       error
}

func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	n, err := o.w.Write(b)
	o.n += int64(n)
	o.err = err
	o.lineStart = b[len(b)-1] == '\n'
	return n, err
}

// lines writes text given in LF form.
func (o *output) lines(s string) {
	if o.wire {
		s = strings.ReplaceAll(s, "\n", "\r\n")
	}
	io.WriteString(o, s) //nolint:errcheck // kept in o.err
}

// node writes a part: fields, blank line, body. The depth is that of a draft, four at most.
func (o *output) node(n *node) {
	o.lines(n.fields + "\n")
	if n.children == nil {
		if o.err == nil {
			o.fail(n.body(o))
		}
		return
	}
	for i, c := range n.children {
		if i == 0 {
			o.lines("--" + n.boundary + "\n")
		}
		o.node(c)
		end := "--" + n.boundary
		if i == len(n.children)-1 {
			end += "--"
		}
		if !c.endsLine && c.children == nil {
			end = "\n" + end
		}
		o.lines(end + "\n")
	}
}

// fail keeps the first error.
func (o *output) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// text writes a text in its encoding.
func (o *output) text(r io.Reader, encoding string) error {
	switch encoding {
	case "base64": // the canonical form of text has CRLF, RFC 2049 §4
		return o.encode(NewBase64Encoder(o, o.wire), message.ToWire(r))
	case "quoted-printable":
		return o.encode(NewQPEncoder(o, o.wire), r)
	}
	return o.plain(r)
}

// file writes the content of a file in its encoding.
func (o *output) file(r io.Reader, encoding string) error {
	if encoding == "base64" {
		return o.encode(NewBase64Encoder(o, o.wire), r)
	}
	return o.plain(r)
}

func (o *output) plain(r io.Reader) error {
	if o.wire {
		r = message.ToWire(r)
	} else {
		r = message.ToLF(r)
	}
	_, err := io.Copy(o, r)
	return err
}

func (o *output) encode(enc io.WriteCloser, r io.Reader) error {
	if _, err := io.Copy(enc, r); err != nil {
		return err
	}
	return enc.Close()
}
