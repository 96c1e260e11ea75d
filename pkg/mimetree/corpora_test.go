package mimetree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"

	"github.com/mail-toolkit/mail/pkg/message"
)

// ways are what the commands do with a message.
var ways = map[string]func(r io.Reader) error{
	"tree": func(r io.Reader) error {
		_, err := ReadTree(r, &WalkOptions{OpenEncoded: true, OpenUuencoded: true})
		return err
	},
	"unpack": func(r io.Reader) error {
		return Unpack(context.Background(), r, "", &UnpackOptions{List: true, Digest: true}, func(Entry) error { return nil })
	},
	"headers": func(r io.Reader) error {
		return Walk(r, nil, func(p *Part, _ *Body) error {
			for _, f := range p.Header.Fields {
				message.DecodeWords(f.Value())
			}
			return nil
		})
	},
	"check": func(r io.Reader) error { return Check(r, nil, func(Finding) error { return nil }) },
}

// TestS2_CorporaLinear puts every file of all corpora, whatever it is, through all ways of reading, and each hundredth, or all with
// MAIL_SOAK, as so many parts of a message and as twice as many.
func TestS2_CorporaLinear(t *testing.T) {
	number := 0
	err := filepath.WalkDir(corpus(t, ""), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data := readFile(t, path)
		for name, way := range ways {
			if err := way(bytes.NewReader(data)); err != nil {
				t.Errorf("%s %s: %v", name, path, err)
			}
		}
		if number++; len(data) == 0 || testing.Short() || number%100 != 0 && os.Getenv("MAIL_SOAK") == "" {
			return nil
		}
		part := append(append([]byte("--=_outside\n"), data...), '\n')
		for name, way := range ways {
			linear(t, name+" "+path, func(n int) {
				in := append([]byte("Content-Type: multipart/mixed; boundary=\"=_outside\"\n\n"), bytes.Repeat(part, n/len(part)+1)...)
				var over *message.Error
				if err := way(bytes.NewReader(in)); err != nil && !errors.As(err, &over) {
					t.Errorf("%s %s: %v", name, path, err)
				}
			})
		}
		return nil
	})
	if err != nil || number < 900 {
		t.Errorf("%d files, %v", number, err)
	}
}

// TestTortureTrees compares the two torture tests with their trees, in which leaves have their size, decoded, with LF.
func TestTortureTrees(t *testing.T) {
	for line := range strings.Lines(string(readFile(t, filepath.Join("testdata", "torture.tsv")))) {
		name, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		var got strings.Builder
		depth := 0
		data := readFile(t, corpus(t, name))
		err := Walk(bytes.NewReader(data), nil, func(p *Part, body *Body) error {
			got.WriteString(strings.Repeat(")", depth-p.Depth))
			depth = p.Depth
			if !strings.HasSuffix("("+got.String(), "(") {
				got.WriteString(", ")
			}
			if p.Container {
				depth++
				got.WriteString(p.MediaType + "(")
				return nil
			}
			b, err := io.ReadAll(body)
			fmt.Fprintf(&got, "%s %d", p.MediaType, len(lf(b)))
			return err
		})
		got.WriteString(strings.Repeat(")", depth))
		if err != nil || got.String() != want {
			t.Errorf("%s, %v\n got %s\nwant %s", name, err, got.String(), want)
		}
	}
}

// TestM9_EveryCharset finds every charset of the library by the names it has in mail.
func TestM9_EveryCharset(t *testing.T) {
	lists := [][]encoding.Encoding{charmap.All, japanese.All, korean.All, simplifiedchinese.All, traditionalchinese.All, unicode.All, utf32.All}
	number := 0
	for _, list := range lists {
		for _, e := range list {
			if e == charmap.XUserDefined { // no charset of mail
				continue
			}
			name, err := ianaindex.MIME.Name(e)
			if e == charmap.MacintoshCyrillic { // IANA does not know it
				name, err = "x-mac-cyrillic", nil
			}
			if err != nil || name == "" {
				if name, err = ianaindex.IANA.Name(e); err != nil {
					t.Logf("%v has no name", e)
					continue
				}
			}
			number++
			want := "plain text"
			in, err := e.NewEncoder().String(want)
			if err != nil { // EBCDIC and such can; what cannot is shown
				t.Errorf("%s: %v", name, err)
				continue
			}
			r, known := NewCharsetReader(name, bytes.NewReader([]byte(in)))
			got, err := io.ReadAll(r)
			if !known || err != nil || string(bytes.TrimPrefix(got, []byte("\ufeff"))) != want {
				t.Errorf("%s: known %v, got %q, %v", name, known, got, err)
			}
		}
	}
	if number < 55 {
		t.Errorf("only %d charsets", number)
	}
}
