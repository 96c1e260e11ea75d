package mimetree

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	nethtml "golang.org/x/net/html"

	"github.com/mail-toolkit/mail/pkg/message"
)

const (
	maxHTML   = 16 << 20 // octets of an HTML text
	maxImages = 1000     // different images of one HTML text
)

// Why an image is refused.
var (
	errImageOutside = errors.New("it is outside of the folder of the HTML text")
	errImageKind    = errors.New("it is no image by its content")
	errImageFile    = errors.New("it is not a regular file")
	errImageURL     = errors.New("the reference cannot be read")
	errImageMany    = fmt.Errorf("there are more than %d images", maxImages)
)

// ImageError says why an image that an HTML text refers to cannot be packed. It wraps [io/fs.ErrNotExist] when there is no such file.
type ImageError struct {
	Src string // as the HTML text has it
	Err error
}

// Error implements error.
func (e *ImageError) Error() string {
	src := e.Src
	if len(src) > 200 {
		src = src[:200] + "..."
	}
	return fmt.Sprintf("image %+q: %v", src, e.Err)
}

// Unwrap gives the reason.
func (e *ImageError) Unwrap() error { return e.Err }

// InlineImages makes inline files of the local images an HTML text shows: src of img and input, background, and url() in style
// attributes. Each such reference becomes cid: and the Content-ID of its file; nothing else in the text changes. References with a
// scheme other than file, to another host or to a fragment stay, and so do srcset and style sheets. The Content-ID follows from the
// content, so that it is the same each time and an image used twice is packed once.
//
// The text may come from elsewhere, and what it names is sent away. So the paths, relative to the folder dir, must stay in it, whatever
// symbolic links there are, and the files must be images by their first octets. Anything else is an [*ImageError].
func InlineImages(text []byte, dir string) (rewritten []byte, files []File, err error) {
	if len(text) > maxHTML {
		return nil, nil, &message.Error{Msg: fmt.Sprintf("HTML text is larger than %d octets", maxHTML)}
	}
	f := &imageFinder{dir: dir, byPath: make(map[string]string), byID: make(map[string]bool)}
	z := nethtml.NewTokenizer(bytes.NewReader(text))
	at := 0
	for kind := z.Next(); kind != nethtml.ErrorToken; kind = z.Next() {
		raw := text[at : at+len(z.Raw())]
		at += len(raw)
		if kind == nethtml.StartTagToken || kind == nethtml.SelfClosingTagToken {
			if err := f.tag(raw); err != nil {
				return nil, nil, err
			}
			continue
		}
		f.out = append(f.out, raw...)
	}
	return append(f.out, text[at:]...), f.files, nil
}

// imageFinder rewrites one text.
type imageFinder struct {
	dir    string
	out    []byte
	files  []File
	byPath map[string]string // the Content-ID
	byID   map[string]bool
}

// span is a part of a tag.
type span struct{ from, to int }

// tag writes a start tag with its references replaced.
func (f *imageFinder) tag(raw []byte) error {
	done := 0
	err := eachAttribute(raw, func(element, name string, value span) error {
		switch {
		case name == "style":
			return f.style(raw, value, &done)
		case name == "background", name == "src" && (element == "img" || element == "input"):
			return f.reference(raw, value, &done)
		}
		return nil
	})
	f.out = append(f.out, raw[done:]...)
	return err
}

// reference replaces the reference at a place of raw, of which done octets have been written.
func (f *imageFinder) reference(raw []byte, at span, done *int) error {
	src := html.UnescapeString(string(raw[at.from:at.to]))
	name, local, err := localPath(src)
	if err == nil && !local {
		return nil
	}
	id := ""
	if err == nil {
		id, err = f.image(name)
	}
	if err != nil {
		return &ImageError{Src: src, Err: err}
	}
	f.out = append(append(f.out, raw[*done:at.from]...), "cid:"+id...)
	*done = at.to
	return nil
}

// style replaces what is in url() of a style attribute, quoted or not. The quotes may be written as entities.
func (f *imageFinder) style(raw []byte, value span, done *int) error {
	lower := bytes.ToLower(raw[value.from:value.to])
	if len(lower) != value.to-value.from { // letters that change their length
		return nil
	}
	for at := 0; ; {
		i := bytes.Index(lower[at:], []byte("url("))
		if i < 0 {
			return nil
		}
		at += i + len("url(")
		at += len(lower[at:]) - len(bytes.TrimLeft(lower[at:], " \t\r\n"))
		end := ")"
		for _, quote := range []string{`"`, "'", "&quot;", "&#34;", "&#39;", "&apos;"} {
			if bytes.HasPrefix(lower[at:], []byte(quote)) {
				at += len(quote)
				end = quote
				break
			}
		}
		n := bytes.Index(lower[at:], []byte(end))
		if n < 0 {
			return nil
		}
		if err := f.reference(raw, span{value.from + at, value.from + at + n}, done); err != nil {
			return err
		}
		at += n
	}
}

// eachAttribute finds the attributes of a start tag, the first of each name. They are where a browser finds them.
func eachAttribute(raw []byte, each func(element, name string, value span) error) error {
	const blank = " \t\r\n\f"
	until := func(at int, set string) int {
		if i := bytes.IndexAny(raw[at:], set); i >= 0 {
			return at + i
		}
		return len(raw)
	}
	skip := func(at int, set string) int {
		for at < len(raw) && strings.IndexByte(set, raw[at]) >= 0 {
			at++
		}
		return at
	}
	at := until(0, blank+"/>")
	element := strings.ToLower(string(raw[1:at]))
	seen := make(map[string]bool)
	for {
		if at = skip(at, blank+"/"); at >= len(raw) || raw[at] == '>' {
			return nil
		}
		end := until(at+1, blank+"/>=") // even "=" may be the first character
		name := strings.ToLower(string(raw[at:end]))
		again := seen[name]
		seen[name] = true
		if at = skip(end, blank); at >= len(raw) || raw[at] != '=' {
			continue
		}
		value := span{from: skip(at+1, blank)}
		if value.from < len(raw) && (raw[value.from] == '"' || raw[value.from] == '\'') {
			quote := string(raw[value.from])
			value.from++
			value.to = until(value.from, quote)
			at = min(value.to+1, len(raw))
		} else {
			value.to = until(value.from, blank+">")
			at = value.to
		}
		if again {
			continue
		}
		if err := each(element, name, value); err != nil {
			return err
		}
	}
}

// localPath gives the path that a reference means, if it means a file here.
func localPath(ref string) (name string, local bool, err error) {
	ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.Trim(ref, " \t\r\n\f"))
	if ref == "" || ref[0] == '#' || strings.HasPrefix(ref, "//") {
		return "", false, nil
	}
	if scheme, rest, ok := strings.Cut(ref, ":"); ok && isScheme(scheme) {
		if len(scheme) == 1 { // a drive
			return "", true, errImageOutside
		}
		if !strings.EqualFold(scheme, "file") {
			return "", false, nil
		}
		ref = rest
	}
	if i := strings.IndexAny(ref, "?#"); i >= 0 {
		ref = ref[:i]
	}
	if name, err = url.PathUnescape(ref); err != nil || strings.ContainsRune(name, 0) {
		return "", true, errImageURL
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", true, errImageOutside
	}
	return path.Clean(name), true, nil
}

// isScheme tells if s is the scheme of an URL (RFC 3986 §3.1).
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || strings.IndexByte("0123456789+-.", c) < 0) {
			return false
		}
	}
	return s != ""
}

// image packs the file of a path, once, and gives its Content-ID.
func (f *imageFinder) image(name string) (id string, err error) {
	if id, ok := f.byPath[name]; ok {
		return id, nil
	}
	if len(f.byPath) >= maxImages {
		return "", errImageMany
	}
	open := func() (io.ReadCloser, error) { return openInside(f.dir, name) }
	r, err := open()
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // only read
	start := make([]byte, fileStart)
	n, err := fill(r, start)
	if start = start[:n]; err != nil && err != io.EOF {
		return "", err
	}
	mediaType := imageType(start)
	if mediaType == "" {
		return "", errImageKind
	}
	h := sha256.New()
	h.Write(start)
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	id = hex.EncodeToString(h.Sum(nil)[:12]) + "@inline"
	f.byPath[name] = id
	if !f.byID[id] {
		f.byID[id] = true
		f.files = append(f.files, File{Path: filepath.Join(f.dir, filepath.FromSlash(name)), Name: path.Base(name),
			MediaType: mediaType, ContentID: id, Open: open})
	}
	return id, nil
}

// openInside opens a regular file in dir that no symbolic link leads out of.
func openInside(dir, name string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	name = filepath.FromSlash(name)
	info, err := root.Stat(name) // before it is opened, which waits when it is a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errImageFile
	}
	return root.Open(name)
}

// imageType names the media type of an image by its first octets, "" when it is none.
func imageType(start []byte) string {
	s := string(start)
	for _, m := range magics {
		if strings.HasPrefix(m.mediaType, "image/") && strings.HasPrefix(s, m.prefix) {
			return m.mediaType
		}
	}
	switch {
	case len(s) >= 14 && s[:2] == "BM" && s[6:10] == "\x00\x00\x00\x00":
		return "image/bmp"
	case len(s) >= 12 && s[:4] == "RIFF" && s[8:12] == "WEBP":
		return "image/webp"
	case len(s) >= 12 && s[4:8] == "ftyp" && (s[8:12] == "avif" || s[8:12] == "avis"):
		return "image/avif"
	case len(s) >= 12 && s[4:8] == "ftyp" && (s[8:12] == "heic" || s[8:12] == "heix"):
		return "image/heic"
	case strings.HasPrefix(s, "\x00\x00\x01\x00"):
		return "image/vnd.microsoft.icon"
	case strings.HasPrefix(s, "II*\x00"), strings.HasPrefix(s, "MM\x00*"):
		return "image/tiff"
	}
	text := strings.TrimSpace(strings.TrimPrefix(s, "\ufeff"))
	for _, prefix := range []string{"<svg", "<?xml", "<!--", "<!DOCTYPE svg"} {
		if strings.HasPrefix(text, prefix) && strings.Contains(text, "<svg") && looksText(start) {
			return "image/svg+xml"
		}
	}
	return ""
}
