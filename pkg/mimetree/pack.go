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
	mixed []byte // what went into it last
	start []byte // of the file being looked at
	nodes int
}

// node is a part to be written: a multipart, or a leaf. It is small, for there may be many thousands: what can be worked out when it is
// written is not kept.
type node struct {
	mediaType string
	path      string // of a file of which the draft tells only that
	size      int64  // of the content
	*rare
	inline  bool
	unknown bool // the charset of a text file
}

// rare is what few nodes have.
type rare struct {
	multi *multipart // nil for a leaf
	file  *File      // of the draft; nil when the path is all
	open  Opener     // of a text, or of the copy of a pipe
	facts *textFacts // of a text or a message file
}

// ordinary is shared by the nodes that have nothing of it.
var ordinary rare

// own gives n what it does not share.
func (n *node) own() *rare {
	if n.rare == &ordinary {
		n.rare = new(rare)
	}
	return n.rare
}

// multipart is what is particular about a node that holds others.
type multipart struct {
	boundary string
	children []*node
}

// text tells if a leaf is a text of the draft: its line ends are those of the message. Otherwise the octets are kept.
func (n *node) text() bool { return n.file == nil && n.path == "" }

// given is what the draft tells of a file.
func (n *node) given() *File {
	if n.file == nil {
		return &File{Path: n.path}
	}
	return n.file
}

// Prepare looks at every text and file of the draft, so that what is missing is known before the first octet of output. The caller
// closes what it returns. Nothing is kept in memory and no file stays open, so what changes afterwards makes writing fail.
func (d *Draft) Prepare() (*Packed, error) {
	kept := *d
	kept.Attach, kept.Inline = nil, nil // the nodes have what they need of it
	p := &Packed{d: &kept}
	if err := p.prepare(d); err != nil {
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

func (p *Packed) prepare(d *Draft) error {
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
	inline, err := p.fileNodes(d.Inline, true)
	if err != nil {
		return err
	}
	attached, err := p.fileNodes(d.Attach, false)
	if err != nil {
		return err
	}
	if html != nil && len(inline) > 0 {
		html = newMultipart("related", append([]*node{html}, inline...))
		inline = nil
	}
	body := text
	switch {
	case text != nil && html != nil:
		body = newMultipart("alternative", []*node{text, html})
	case html != nil:
		body = html
	}
	files := append(inline, attached...)
	if len(files) > 0 {
		if body != nil {
			files = append([]*node{body}, files...)
		}
		body = newMultipart("mixed", files)
	}
	if body == nil {
		return ErrEmptyDraft
	}
	p.root = body
	p.bound(body)
	return nil
}

func newMultipart(subtype string, children []*node) *node {
	return &node{mediaType: "multipart/" + subtype, rare: &rare{multi: &multipart{children: children}}}
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
	all := fmt.Appendf(p.mixed[:0], "%d:%s", len(p.seed), p.seed)
	for _, b := range parts {
		all = append(fmt.Appendf(all, "%d:", len(b)), b...)
	}
	sum := sha256.Sum256(all)
	p.seed, p.mixed = append(p.seed[:0], sum[:]...), all
}

// bound gives every multipart its boundary. "=_" cannot occur in base64 or quoted-printable, and texts that stay as they are have gone
// into the seed. Files that stay as they are have not: they only do when the seed is random.
func (p *Packed) bound(n *node) {
	if n.multi == nil {
		return
	}
	p.nodes++
	sum := sha256.Sum256(append(bytes.Clone(p.seed), byte(p.nodes), byte(p.nodes>>8)))
	n.multi.boundary = "=_" + hex.EncodeToString(sum[:16])
	for _, c := range n.multi.children {
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
	return &node{mediaType: "text/" + subtype, size: f.size, rare: &rare{open: open, facts: &f}}, nil
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
func (p *Packed) fileNodes(files []File, inline bool) ([]*node, error) {
	nodes := make([]*node, len(files))
	block := make([]node, len(files)) // in one piece: among garbage they would keep its pages
	ids := make(map[string]bool)
	for i := range files {
		n, f := &block[i], &files[i]
		nodes[i], n.inline, n.path, n.rare = n, inline, f.Path, &ordinary
		if f.Name != "" || f.MediaType != "" || f.ContentID != "" || f.Open != nil {
			n.own().file = f
		}
		if inline {
			id := contentID(f)
			if ids[id] {
				return nil, &message.Error{Msg: "two inline files have the Content-ID " + id}
			}
			ids[id] = true
		}
		if err := p.look(n); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// name is what the receiver sees.
func (f *File) name() string {
	if f.Name == "" {
		return filepath.Base(f.Path)
	}
	return f.Name
}

// contentID gives the Content-ID of an inline file in characters that need no quoting in a header or an URL.
func contentID(f *File) string {
	id := f.ContentID
	if id == "" {
		id = f.name()
	}
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>[]:;\,"%/?#&`, r) {
			return r
		}
		return '_'
	}, id)
}

// look finds what has to be known about a file.
func (p *Packed) look(n *node) error {
	start, err := p.inspect(n)
	if err != nil {
		return err
	}
	if kind, _, _ := ParseMediaType(n.mediaType); strings.HasPrefix(kind, "multipart/") || !strings.Contains(n.mediaType, "/") ||
		strings.ContainsAny(n.mediaType, "\r\n\x00") {
		return &message.Error{Msg: fmt.Sprintf("%q cannot be the media type of a file", n.mediaType)}
	}
	p.mix([]byte(n.disposition()), []byte(n.given().name()), []byte(n.mediaType))
	n.unknown = !looksText(start)
	return nil
}

func (n *node) disposition() string {
	if n.inline {
		return "inline"
	}
	return "attachment"
}

// encoding chooses how a leaf travels.
func (n *node) encoding(target Encoding) string {
	if n.text() {
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
	if n.multi == nil {
		return encodingClass(n.encoding(target))
	}
	most := SevenBit
	for _, c := range n.multi.children {
		most = max(most, c.class(target))
	}
	return most
}

// appendFields writes the MIME fields of a part, in LF form.
func (n *node) appendFields(dst []byte, target Encoding) []byte {
	if n.multi != nil {
		dst = appendField(dst, "Content-Type", n.mediaType, n.params()...)
		if class := n.class(target); class != SevenBit { // RFC 2045 §6.4
			dst = appendField(dst, "Content-Transfer-Encoding", class.String())
		}
		return dst
	}
	mediaType, encoding := n.mediaType, n.encoding(target)
	if strings.HasPrefix(mediaType, "message/") && n.raw(encoding) { // RFC 2046 §5.2.1: a message is not encoded
		mediaType = "application/octet-stream"
	}
	dst = appendField(dst, "Content-Type", mediaType, n.params()...)
	dst = appendField(dst, "Content-Transfer-Encoding", encoding)
	if n.inline {
		dst = append(dst, "Content-ID: <"+contentID(n.given())+">\n"...)
	}
	if !n.text() {
		dst = appendField(dst, "Content-Disposition", n.disposition(), formatParam("filename", n.given().name())...)
	}
	return dst
}

// params is those of Content-Type.
func (n *node) params() []string {
	switch {
	case n.multi != nil && n.mediaType == "multipart/related":
		return []string{`boundary="` + n.multi.boundary + `"`, `type="` + n.multi.children[0].mediaType + `"`}
	case n.multi != nil:
		return []string{`boundary="` + n.multi.boundary + `"`}
	case n.text():
		return []string{"charset=" + charsetOf(n.facts.invalid)}
	case strings.HasPrefix(n.mediaType, "text/") && !strings.Contains(n.mediaType, ";"):
		return []string{"charset=" + charsetOf(n.unknown)}
	}
	return nil
}

// raw tells if the octets of the content are kept, its line ends too.
func (n *node) raw(encoding string) bool {
	return !n.text() && (encoding == "base64" || encoding == "binary")
}
