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

// Encoding is a class of data of RFC 2045 §2.7 to 2.9: what a message may hold, and so what a server must take.
type Encoding int

// The classes, each within the next.
const (
	SevenBit Encoding = iota // ASCII in lines of at most 998 octets
	EightBit                 // any octets but NUL in such lines: 8BITMIME (RFC 6152)
	Binary                   // anything: BINARYMIME (RFC 3030)
)

// String gives the name used in Content-Transfer-Encoding.
func (e Encoding) String() string {
	switch e {
	case SevenBit:
		return "7bit"
	case EightBit:
		return "8bit"
	}
	return "binary"
}

// encodingClass is the class of what an encoding gives.
func encodingClass(encoding string) Encoding {
	switch encoding {
	case "8bit":
		return EightBit
	case "binary":
		return Binary
	}
	return SevenBit
}

// Opener opens a text or a file from its start. It is called once to look and once for each time the message is written, and must give
// the same octets each time; when it does not, writing fails.
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
	Path string // what is opened, unless Open is set; a pipe is copied to a temporary file first
	Name string // what the receiver sees; the last component of Path when empty
	// MediaType is found by name and content when it is empty.
	MediaType string
	// ContentID is what an HTML text refers to as "cid:…", without brackets; Name when empty. For inline files only.
	ContentID string
	Open      Opener
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

	Wire   bool     // lines end in CRLF; LF otherwise
	Target Encoding // what [Packed.WriteTo] may write
	// Seed makes the boundaries, and so the output, the same for the same draft. When it is nil they are random.
	Seed []byte
}

// ErrEmptyDraft is the error of a draft without text and files.
var ErrEmptyDraft = errors.New("nothing to pack: no text and no file")

// Packed is a draft whose texts and files have been looked at. It can be written any number of times, for servers of different
// abilities, and is closed at the end.
type Packed struct {
	d     *Draft
	root  *node
	temps []*os.File
	seed  []byte
	nodes int
}

// node is a part to be written: a multipart with children, or a leaf.
type node struct {
	mediaType string
	boundary  string
	children  []*node

	params []string // of Content-Type
	tail   string   // the fields after Content-Transfer-Encoding, LF form
	src    source
	text   bool       // the line ends are those of the message; otherwise the octets are kept
	facts  *textFacts // of a text or a message file
}

// Prepare looks at every text and file of the draft, so that what is missing is known before the first octet of output. The caller
// closes what it returns. Nothing is kept in memory and no file stays open, so what changes afterwards makes writing fail.
func (d *Draft) Prepare() (*Packed, error) {
	p := &Packed{d: d}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close removes the copies made of pipes. The message cannot be written after it.
func (p *Packed) Close() error {
	var err error
	for _, f := range p.temps {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	p.temps = nil
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
	text, err := p.textNode(d.Text, "plain")
	if err != nil {
		return err
	}
	html, err := p.textNode(d.HTML, "html")
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

// bound gives every multipart its boundary. "=_" cannot occur in base64 or quoted-printable, and texts that stay as they are have gone
// into the seed. Files that stay as they are have not: they only do when the seed is random.
func (p *Packed) bound(n *node) {
	if n.children == nil {
		return
	}
	p.nodes++
	sum := sha256.Sum256(append(bytes.Clone(p.seed), byte(p.nodes), byte(p.nodes>>8)))
	n.boundary = "=_" + hex.EncodeToString(sum[:16])
	n.params = []string{`boundary="` + n.boundary + `"`}
	if n.mediaType == "multipart/related" {
		n.params = append(n.params, `type="`+n.children[0].mediaType+`"`)
	}
	for _, c := range n.children {
		p.bound(c)
	}
}

// textNode makes the part of a text, or nil.
func (p *Packed) textNode(open Opener, subtype string) (*node, error) {
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
	return &node{mediaType: "text/" + subtype, params: []string{"charset=" + charsetOf(f.invalid)}, text: true, facts: &f,
		src: source{name: "the " + subtype + " text", open: open, size: f.size, digest: f.digest}}, nil
}

// unknownCharset is that of RFC 1428: there are octets above 127, and nobody knows what they mean.
const unknownCharset = "unknown-8bit"

// charsetOf labels a text.
func charsetOf(invalid bool) string {
	if invalid {
		return unknownCharset
	}
	return "utf-8"
}

// fileNodes looks at files and makes the parts of them.
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
	n := &node{src: source{name: f.Name, open: f.Open}}
	start, err := p.inspect(n, f)
	if err != nil {
		return nil, err
	}
	if kind, _, _ := ParseMediaType(n.mediaType); strings.HasPrefix(kind, "multipart/") || !strings.Contains(n.mediaType, "/") ||
		strings.ContainsAny(n.mediaType, "\r\n\x00") {
		return nil, &message.Error{Msg: fmt.Sprintf("%q cannot be the media type of a file", n.mediaType)}
	}
	p.mix([]byte(disposition), []byte(f.Name), []byte(n.mediaType))
	if strings.HasPrefix(n.mediaType, "text/") && !strings.Contains(n.mediaType, ";") {
		n.params = append(n.params, "charset="+charsetOf(!looksText(start)))
	}
	if id != "" {
		n.tail = "Content-ID: <" + id + ">\n"
	}
	n.tail += foldedField("Content-Disposition", disposition, formatParam("filename", f.Name)...)
	return n, nil
}

// encoding chooses how a leaf travels.
func (n *node) encoding(target Encoding) string {
	if n.text {
		return n.facts.encoding(target)
	}
	if n.facts != nil {
		if class, ok := n.facts.asItIs(); ok && class <= target {
			return class.String()
		}
	}
	if target == Binary {
		return "binary"
	}
	return "base64"
}

// class is what a part and all inside it need.
func (n *node) class(target Encoding) Encoding {
	if n.children == nil {
		return encodingClass(n.encoding(target))
	}
	most := SevenBit
	for _, c := range n.children {
		most = max(most, c.class(target))
	}
	return most
}

// fields gives the MIME fields of a part, in LF form.
func (n *node) fields(target Encoding) string {
	if n.children != nil {
		s := foldedField("Content-Type", n.mediaType, n.params...)
		if class := n.class(target); class != SevenBit { // RFC 2045 §6.4
			s += foldedField("Content-Transfer-Encoding", class.String())
		}
		return s
	}
	mediaType, encoding := n.mediaType, n.encoding(target)
	if strings.HasPrefix(mediaType, "message/") && n.raw(encoding) { // RFC 2046 §5.2.1: a message is not encoded
		mediaType = "application/octet-stream"
	}
	return foldedField("Content-Type", mediaType, n.params...) + foldedField("Content-Transfer-Encoding", encoding) + n.tail
}

// raw tells if the octets of the content are kept, its line ends too.
func (n *node) raw(encoding string) bool {
	return !n.text && (encoding == "base64" || encoding == "binary")
}
